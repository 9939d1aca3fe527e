#include "home/courier_batch.h"

#include <stdlib.h>

#include "base/log.h"
#include "home/filter.h"

#define NOTE_AGAIN_MS	1000		/* a note that a living writer refused: its disk is full */

static void	batch_settle(struct batch *);

/* --- a batch ------------------------------------------------------------------------------ */

void
courier_batch_end(struct batch *b)
{
	struct courier *c = b->c;

	for (size_t i = 0; i < COURIER_BATCHES; i++)
		if (c->batches[i] == b)
			c->batches[i] = NULL;
	for (size_t i = 0; i < b->n; i++)
		parcel_fini(&b->parcels[i]);
	free(b->parcels);
	free(b);
}

struct batch *
courier_batch_begin(struct courier *c, size_t cap)
{
	struct batch **slot = NULL, *b;

	for (size_t i = 0; i < COURIER_BATCHES && slot == NULL; i++)
		if (c->batches[i] == NULL)
			slot = &c->batches[i];
	if (slot == NULL || (b = calloc(1, sizeof(*b))) == NULL)
		return NULL;
	if ((b->parcels = calloc(cap, sizeof(*b->parcels))) == NULL) {
		free(b);
		return NULL;
	}
	b->c = c;
	b->cap = cap;
	return *slot = b;
}

/* Every note of this phase has been told. */
static void
batch_told(struct batch *b)
{
	struct courier *c = b->c;

	if (b->forgotten) {
		courier_batch_end(b);
		courier_work(c);
	} else if (b->lost) {
		b->again = true;
		courier_retry_in(c, NOTE_AGAIN_MS);
	} else if (b->phase == BATCH_STAGING) {
		courier_batch_publish(b);
	} else {
		batch_settle(b);
	}
}

static void
on_noted(void *arg, bool ok, const struct why *why)
{
	struct batch *b = arg;

	if (!ok && !b->lost && !b->forgotten && b->c->up)
		log_error(NULL, "courier.note: %s; tried again",
		    why != NULL ? why->text : "the ledger failed");
	b->lost = b->lost || !ok;
	if (--b->owed == 0)
		batch_told(b);
}

/*
 * Notes every parcel of the batch.  Before anything is published, what is
 * deferred is noted as queued: a deferral ends the claim, and the parcel still
 * has staged parts in our hands.
 */
void
courier_batch_note(struct batch *b, enum batch_phase phase)
{
	b->phase = phase;
	b->lost = b->again = false;
	b->owed = 1; /* our own, so that no answer ends the phase before all are asked */
	for (size_t i = 0; i < b->n; i++) {
		struct parcel *p = &b->parcels[i];
		bool open = phase == BATCH_STAGING && parcel_has(p, LEDGER_STAGED);

		for (size_t k = 0; open && k < p->n; k++)
			if (p->entries[k].state == LEDGER_DEFERRED)
				p->entries[k].state = LEDGER_QUEUED;
		b->owed++;
		ledger_note(b->c->spool, p->entries, p->n, on_noted, b);
		for (size_t k = 0; open && k < p->n; k++)
			if (p->entries[k].state == LEDGER_QUEUED)
				p->entries[k].state = LEDGER_DEFERRED;
	}
	if (--b->owed == 0)
		batch_told(b);
}

/* --- staging ------------------------------------------------------------------------------ */

/* Nothing of this batch may be called staged: its files may not survive. */
static void
unsynced(struct batch *b, const struct why *why)
{
	struct smtp_reply reply = smtp_reply(451, 4, 3, 0, "%s", why->text);

	log_error(NULL, "courier.sync: %s; tried again later", why->text);
	courier_trouble(b->c, why->text);
	b->c->opener.now_ms = wall_ms();
	for (size_t i = 0; i < b->n; i++)
		for (size_t k = 0; k < b->parcels[i].n; k++)
			if (b->parcels[i].fresh[k])
				parcel_defer(
				    &b->c->opener, &b->parcels[i], k, OPENER_RETRY_MS, &reply);
}

static void
batch_stage(struct batch *b)
{
	struct courier *c = b->c;
	struct why why = { "" };

	if (c->opener.trouble.text[0] != '\0')
		courier_trouble(c, c->opener.trouble.text);
	if (maildir_sync_tmp(c->maildir, &why) == -1)
		unsynced(b, &why);
	courier_batch_note(b, BATCH_STAGING);
}

/* --- judging ------------------------------------------------------------------------------ */

static void
batch_judged(struct batch *b)
{
	struct courier *c = b->c;

	if (!b->forgotten) {
		batch_stage(b);
		return;
	}
	courier_batch_end(b);
	courier_work(c);
}

static void
on_judged(void *arg, struct parcel *p, enum filter_said said)
{
	struct batch *b = arg;
	struct courier *c = b->c;

	if (said == FILTER_GONE)	/* the courier itself ends, and the batch with it */
		return;
	if (said == FILTER_GO && !b->forgotten) {
		c->opener.now_ms = wall_ms();
		c->opener.trouble = (struct why){ "" };
		opener_write(&c->opener, p);
		if (c->opener.trouble.text[0] != '\0')
			courier_trouble(c, c->opener.trouble.text);
	}
	if (--b->owed == 0)
		batch_judged(b);
}

void
courier_batch_judge(struct batch *b)
{
	b->phase = BATCH_JUDGING;
	b->owed = 1; /* our own, as in courier_batch_note */
	for (size_t i = 0; b->c->filter != NULL && i < b->n; i++)
		if (parcel_open(&b->parcels[i])) {
			b->owed++;
			filter_ask(b->c->filter, &b->parcels[i], on_judged, b);
		}
	if (--b->owed == 0)
		batch_judged(b);
}

/* --- publishing --------------------------------------------------------------------------- */

/*
 * Staged so long ago that a reader may have tidied tmp since, and nowhere to be found: whether it
 * was delivered is not to be known (1), or not even that (-1).  We err to a second copy.
 */
static int
swept(struct courier *c, const struct ledger_entry *e, struct why *why)
{
	return c->opener.now_ms < e->next_ms ? 0 :
	    maildir_lost(c->maildir, e->mailbox, e->name, why);
}

/* Renames what is staged; p->stuck if some of it can be called neither published nor not. */
static void
parcel_publish(struct courier *c, struct parcel *p)
{
	p->stuck = false;
	for (size_t k = 0; k < p->n; k++) {
		struct ledger_entry *e = &p->entries[k];
		struct smtp_reply reply;
		struct why why = { "" };
		int lost = 0;

		if (e->state != LEDGER_STAGED)
			continue;
		if ((lost = swept(c, e, &why)) == 1) {
			reply = smtp_reply(451, 4, 3, 0, "staged a day ago or more, and in tmp/, "
			    "new/ or cur/ no more: delivered anew");
			parcel_defer(&c->opener, p, k, OPENER_RETRY_MS, &reply);
		}
		if (lost == 1 ||
		    (lost == 0 && maildir_publish(c->maildir, e->mailbox, e->name, &why) == 0))
			continue;
		log_error(
		    NULL, "courier.publish id=%s: %s", uuid_text(p->object.meta.id).s, why.text);
		courier_trouble(c, why.text);
		/*
		 * Surely still in tmp/: it may be written anew later, under the same
		 * name.  The file stays until then: a row that says staged and a file
		 * that is gone would be read as delivered.
		 */
		if (maildir_staged(c->maildir, e->mailbox, e->name, &why) == 1) {
			reply = smtp_reply(451, 4, 3, 0, "%s", c->trouble);
			parcel_defer(&c->opener, p, k, OPENER_RETRY_MS, &reply);
		} else {
			p->stuck = true;
		}
	}
}

void
courier_log_delivered(struct courier *c, const struct parcel *p, const struct ledger_entry *e)
{
	int64_t ms = wall_ms() - p->object.meta.received_ms;	/* unless the clock went back */

	log_info(NULL, "mail.delivered id=%s edge=%s mailbox=%s size=%llu ms=%lld",
	    uuid_text(p->object.meta.id).s, p->object.meta.signer, e->mailbox,
	    (unsigned long long)p->object.size, (long long)(ms > 0 ? ms : 0));
	if (c->board != NULL)
		board_add(c->board, BC_DELIVERED, 1);
}

void
courier_log_settled(struct courier *c, const struct parcel *p)
{
	static const char *const classes[] = {
		[PARK_NONE] = "none",
		[PARK_POLICY] = "policy",
		[PARK_REFUSED] = "refused",
		[PARK_FOREIGN_RECIPIENT] = "foreign-recipient",
		[PARK_MALFORMED] = "malformed",
		[PARK_UNSEALABLE] = "unsealable",
		[PARK_FORGED] = "forged",
		[PARK_OPERATOR] = "operator",
	};

	for (size_t k = 0; k < p->n; k++) {
		const struct ledger_entry *e = &p->entries[k];
		bool alarm = e->park != PARK_POLICY;
		const char *id = uuid_text(p->object.meta.id).s;

		if (e->state == LEDGER_PARKED) {
			log_line(alarm ? LOG_ERROR : LOG_INFO, NULL,
			    "mail.parked id=%s edge=%s class=%s rcpt=%s: %s", id,
			    p->object.meta.signer, classes[e->park],
			    log_safe(span_str(e->recipient)).s, e->reply.text);
			if (c->board != NULL)
				board_add(c->board, BC_PARKED, 1);
		} else if (e->state == LEDGER_REFUSED) {
			log_info(NULL, "mail.refused id=%s edge=%s rcpt=%s: %s", id,
			    p->object.meta.signer, log_safe(span_str(e->recipient)).s,
			    e->reply.text);
		} else if (e->state == LEDGER_DEFERRED) {
			log_warn(NULL, "mail.deferred id=%s edge=%s mailbox=%s tries=%u: %s", id,
			    p->object.meta.signer, e->mailbox, p->object.tries, e->reply.text);
		} else if (e->state == LEDGER_UNCERTAIN) {
			log_warn(NULL, "mail.uncertain id=%s edge=%s mailbox=%s: it was sent "
			    "whole, and goes again: %s", id, p->object.meta.signer, e->mailbox,
			    e->reply.text);
		}
	}
}

/* Leaves in the batch only the parcels that the next phase is about, in their order. */
static void
batch_keep(struct batch *b, bool (*keep)(struct courier *, struct parcel *))
{
	size_t kept = 0;

	for (size_t i = 0; i < b->n; i++) {
		struct parcel *p = &b->parcels[i];

		if (!keep(b->c, p))
			continue;
		if (kept != i) {
			b->parcels[kept] = *p;
			*p = (struct parcel){ .entries = NULL };
		}
		kept++;
	}
	b->n = kept;
}

/* What had nothing to stage has been noted to its end. */
static bool
keep_staged(struct courier *c, struct parcel *p)
{
	if (parcel_has(p, LEDGER_STAGED))
		return true;
	courier_log_settled(c, p);
	parcel_fini(p);
	return false;
}

static bool
keep_published(struct courier *c, struct parcel *p)
{
	if (p->stuck) {
		courier_hold(c, p);
		return false;
	}
	for (size_t k = 0; k < p->n; k++)
		if (p->entries[k].state == LEDGER_STAGED) {
			p->entries[k].state = LEDGER_DELIVERED;
			p->entries[k].reply = (struct smtp_reply){ 0 };
			courier_log_delivered(c, p, &p->entries[k]);
		}
	return true;
}

void
courier_batch_publish(struct batch *b)
{
	struct courier *c = b->c;
	struct why why = { "" };

	batch_keep(b, keep_staged);
	c->opener.now_ms = wall_ms();
	for (size_t i = 0; i < b->n; i++)
		parcel_publish(c, &b->parcels[i]);
	if (b->n > 0 && maildir_sync_new(c->maildir, &why) == -1) {
		log_error(NULL, "courier.sync: %s; tried again", why.text);
		courier_trouble(c, why.text);
		for (size_t i = 0; i < b->n; i++)
			b->parcels[i].stuck =
			    b->parcels[i].stuck || parcel_has(&b->parcels[i], LEDGER_STAGED);
	}
	batch_keep(b, keep_published);
	courier_batch_note(b, BATCH_SETTLING);
}

/* --- settled ------------------------------------------------------------------------------ */

/*
 * Other mailboxes going well say nothing about a broken one.  The alarm ends when
 * something goes well that had failed before, or when nothing has failed for as
 * long as the longest pause.
 */
static bool
is_mended(const struct courier *c, bool well, bool retried)
{
	return well && c->nheld == 0 && c->trouble[0] != '\0' &&
	    (retried || instant_ms_since(c->troubled, instant_now()) > c->conf->retry_max_ms);
}

static void
batch_settle(struct batch *b)
{
	struct courier *c = b->c;
	bool well = b->n > 0, retried = false;

	for (size_t i = 0; i < b->n; i++) {
		courier_log_settled(c, &b->parcels[i]);
		well = well && !parcel_has(&b->parcels[i], LEDGER_DEFERRED);
		retried = retried || b->parcels[i].object.tries > 0;
	}
	if (is_mended(c, well, retried))
		courier_trouble(c, "");
	courier_batch_end(b);
	courier_work(c);
}
