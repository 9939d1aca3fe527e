#include "home/courier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define NOTE_AGAIN_MS	1000		/* a note that a living writer refused: its disk is full */
#define HELD_AGAIN_MS	15000

enum batch_phase {
	BATCH_CLAIMING = 0,		/* its objects come in and are opened */
	BATCH_STAGING,			/* everything synced; `staged` is being noted */
	BATCH_SETTLING,			/* everything published; the ends are being noted */
};

struct batch {
	struct courier	*c;
	enum batch_phase phase;
	struct parcel	*parcels;
	size_t		 n, cap;
	size_t		 owed;		/* notes that are not told yet */
	bool		 lost;		/* a note failed */
	bool		 forgotten;	/* the writer died: only the answers are awaited */
	bool		 again;		/* noted again when the timer runs out */
};

static void	batch_publish(struct batch *);
static void	batch_settle(struct batch *);
static void	on_retry(uv_timer_t *);

/* Ledger and tmp/ know all that this process knows: to be started anew is the whole recovery. */
static void
out_of_memory(void)
{
	log_error(NULL, "courier.memory: memory is out; starting anew");
	abort();
}

/* --- a batch ------------------------------------------------------------------------------ */

static void
batch_end(struct batch *b)
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

static struct batch *
batch_begin(struct courier *c, size_t cap)
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

static void
retry_in(struct courier *c, uint64_t ms)
{
	if (!uv_is_active((uv_handle_t *)&c->retry) || uv_timer_get_due_in(&c->retry) > ms)
		uv_timer_start(&c->retry, on_retry, ms, 0);
}

/* Every note of this phase has been told. */
static void
batch_told(struct batch *b)
{
	struct courier *c = b->c;

	if (b->forgotten) {
		batch_end(b);
		courier_work(c);
	} else if (b->lost) {
		b->again = true;
		retry_in(c, NOTE_AGAIN_MS);
	} else if (b->phase == BATCH_STAGING) {
		batch_publish(b);
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
static void
batch_note(struct batch *b, enum batch_phase phase)
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

static void
trouble(struct courier *c, const char *words)
{
	span_copy(span_str(words), c->trouble, sizeof(c->trouble));
	c->troubled = instant_now();
	courier_alarm(c);
}

/* Nothing of this batch may be called staged: its files may not survive. */
static void
unsynced(struct batch *b, const struct why *why)
{
	struct smtp_reply reply = smtp_reply(451, 4, 3, 0, "%s", why->text);

	log_error(NULL, "courier.sync: %s; tried again later", why->text);
	trouble(b->c, why->text);
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
		trouble(c, c->opener.trouble.text);
	if (maildir_sync_tmp(c->maildir, &why) == -1)
		unsynced(b, &why);
	batch_note(b, BATCH_STAGING);
}

/* --- publishing --------------------------------------------------------------------------- */

/* Renames what is staged; p->stuck if some of it can be called neither published nor not. */
static void
parcel_publish(struct courier *c, struct parcel *p)
{
	p->stuck = false;
	for (size_t k = 0; k < p->n; k++) {
		struct ledger_entry *e = &p->entries[k];
		struct smtp_reply reply;
		struct why why = { "" };

		if (e->state != LEDGER_STAGED ||
		    maildir_publish(c->maildir, e->mailbox, e->name, &why) == 0)
			continue;
		log_error(
		    NULL, "courier.publish id=%s: %s", uuid_text(p->object.meta.id).s, why.text);
		trouble(c, why.text);
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

/* Kept in hand, claimed, and tried again. */
static void
hold(struct courier *c, struct parcel *p)
{
	if (c->nheld == c->held_cap) {
		size_t cap = c->held_cap == 0 ? 64 : c->held_cap * 2;
		void *more = realloc(c->held, cap * sizeof(*c->held));

		if (more == NULL)
			out_of_memory();
		c->held = more;
		c->held_cap = cap;
	}
	c->held[c->nheld++] = *p;
	*p = (struct parcel){ .entries = NULL };
	retry_in(c, HELD_AGAIN_MS);
}

static void
log_delivered(struct courier *c, const struct parcel *p, const struct ledger_entry *e)
{
	int64_t ms = wall_ms() - p->object.meta.received_ms;

	log_info(NULL, "mail.delivered id=%s edge=%s mailbox=%s size=%llu ms=%lld",
	    uuid_text(p->object.meta.id).s, p->object.meta.signer, e->mailbox,
	    (unsigned long long)p->object.size, (long long)ms);
	if (c->board != NULL)
		board_add(c->board, BC_DELIVERED, 1);
}

static void
log_settled(struct courier *c, const struct parcel *p)
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
	log_settled(c, p);
	parcel_fini(p);
	return false;
}

static bool
keep_published(struct courier *c, struct parcel *p)
{
	if (p->stuck) {
		hold(c, p);
		return false;
	}
	for (size_t k = 0; k < p->n; k++)
		if (p->entries[k].state == LEDGER_STAGED) {
			p->entries[k].state = LEDGER_DELIVERED;
			log_delivered(c, p, &p->entries[k]);
		}
	return true;
}

static void
batch_publish(struct batch *b)
{
	struct courier *c = b->c;
	struct why why = { "" };

	batch_keep(b, keep_staged);
	c->opener.now_ms = wall_ms();
	for (size_t i = 0; i < b->n; i++)
		parcel_publish(c, &b->parcels[i]);
	if (b->n > 0 && maildir_sync_new(c->maildir, &why) == -1) {
		log_error(NULL, "courier.sync: %s; tried again", why.text);
		trouble(c, why.text);
		for (size_t i = 0; i < b->n; i++)
			b->parcels[i].stuck =
			    b->parcels[i].stuck || parcel_has(&b->parcels[i], LEDGER_STAGED);
	}
	batch_keep(b, keep_published);
	batch_note(b, BATCH_SETTLING);
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
		log_settled(c, &b->parcels[i]);
		well = well && !parcel_has(&b->parcels[i], LEDGER_DEFERRED);
		retried = retried || b->parcels[i].object.tries > 0;
	}
	if (is_mended(c, well, retried))
		trouble(c, "");
	batch_end(b);
	courier_work(c);
}

/* --- claiming ----------------------------------------------------------------------------- */

static void
on_job(void *arg, struct ledger_job *job)
{
	struct batch *b = arg;
	struct courier *c = b->c;
	struct router router;

	if (job != NULL && (b->forgotten || b->n == b->cap)) {
		if (job->content.fd != -1)
			close(job->content.fd);
		job->content.fd = -1;
		return;
	}
	if (job != NULL) {
		roster_router(c->roster, c->conf, &router);
		c->opener.router = &router;
		if (!opener_open(&c->opener, job, &b->parcels[b->n++]))
			out_of_memory();
		c->opener.router = NULL;
		return;
	}
	c->claiming = false;
	c->work = c->work || b->n == b->cap;
	if (c->opener.list_missed)
		roster_missed(c->roster);
	if (b->forgotten || b->n == 0)
		batch_end(b);
	else
		batch_stage(b);
	courier_work(c);
}

static void
claim(struct courier *c)
{
	size_t max = c->conf->deliveries / COURIER_BATCHES;
	struct batch *b = batch_begin(c, max > 0 ? max : 1);

	if (b == NULL)
		return;
	c->work = false;
	c->claiming = true;
	c->opener.ids = c->ids;
	c->opener.nids = c->nids + c->nretired;
	c->opener.edges = &c->edges;
	c->opener.maildir = c->maildir;
	c->opener.now_ms = wall_ms();
	c->opener.retry_max_ms = c->conf->retry_max_ms;
	c->opener.list_missed = false;
	c->opener.trouble = (struct why){ "" };
	ledger_claim(c->spool, (unsigned)b->cap, on_job, b);
}

void
courier_work(struct courier *c)
{
	if (c->up && c->peers_known && c->work && !c->claiming && !c->draining &&
	    roster_known(c->roster) && c->nids > 0 && c->nheld < COURIER_HELD_MAX)
		claim(c);
}

/* What is held goes through publishing again, as a batch of its own. */
static void
take_held(struct courier *c)
{
	struct batch *b = c->nheld > 0 && !c->draining ? batch_begin(c, c->nheld) : NULL;

	if (b == NULL)
		return;
	memcpy(b->parcels, c->held, c->nheld * sizeof(*c->held));
	b->n = c->nheld;
	c->nheld = 0;
	batch_publish(b);
}

static void
on_retry(uv_timer_t *timer)
{
	struct courier *c = timer->data;

	for (size_t i = 0; i < COURIER_BATCHES; i++)
		if (c->batches[i] != NULL && c->batches[i]->again)
			batch_note(c->batches[i], c->batches[i]->phase);
	take_held(c);
	if (c->nheld > 0)
		retry_in(c, HELD_AGAIN_MS);
}

/* --- what the writer tells ---------------------------------------------------------------- */

static void
drop_held(struct courier *c)
{
	while (c->nheld > 0)
		parcel_fini(&c->held[--c->nheld]);
}

static void
on_work(void *arg)
{
	struct courier *c = arg;

	c->work = true;
	courier_work(c);
}

static void
on_attached(void *arg, bool up)
{
	struct courier *c = arg;

	c->up = up;
	c->work = up;
	for (size_t i = 0; !up && i < COURIER_BATCHES; i++) {
		struct batch *b = c->batches[i];

		if (b == NULL)
			continue;
		b->forgotten = true;
		if (b->again)
			batch_end(b);
	}
	if (up)
		courier_work(c);
	else
		drop_held(c);
}

static void
on_peer(void *arg, const struct peer *p)
{
	struct courier *c = arg;

	edges_paired(&c->edges, c->conf, p->name, p);
}

static void
on_peer_gone(void *arg, const char *name)
{
	struct courier *c = arg;

	if (edges_find(&c->edges, name) != NULL)
		edges_paired(&c->edges, c->conf, name, NULL);
}

static void
on_peers_known(void *arg)
{
	struct courier *c = arg;

	c->peers_known = true;
	courier_work(c);
}

const struct spool_events courier_events = {
	.work = on_work, .peer = on_peer, .peer_gone = on_peer_gone, .peers_known = on_peers_known,
	.attached = on_attached,
};

/* --- a courier ---------------------------------------------------------------------------- */

void
courier_alarm(struct courier *c)
{
	const char *words = c->nids == 0 ? "no usable age key: held mail cannot be opened" :
	    c->trouble[0] != '\0' ? c->trouble : roster_alarm(c->roster);

	span_copy(span_str(words), c->alarm, BOARD_TEXT);
}

void
courier_init(struct courier *c, uv_loop_t *loop, const struct conf_home *conf,
    struct scoreboard *board, char *alarm)
{
	*c = (struct courier){ .loop = loop, .conf = conf, .board = board, .alarm = alarm };
	opener_init(&c->opener);
	uv_timer_init(loop, &c->retry);
	c->retry.data = c;
}

bool
courier_busy(const struct courier *c)
{
	for (size_t i = 0; i < COURIER_BATCHES; i++)
		if (c->batches[i] != NULL)
			return true;
	return false;
}

void
courier_fini(struct courier *c)
{
	for (size_t i = 0; i < COURIER_BATCHES; i++)
		if (c->batches[i] != NULL)
			batch_end(c->batches[i]);
	drop_held(c);
	free(c->held);
	c->held = NULL;
	for (size_t i = 0; i < c->nids + c->nretired; i++)
		age_identity_fini(&c->ids[i]);
	c->nids = c->nretired = 0;
	edges_fini(&c->edges);
	opener_fini(&c->opener);
	uv_close((uv_handle_t *)&c->retry, NULL);
}
