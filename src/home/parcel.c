#include "home/opener.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/secret.h"
#include "home/opener_in.h"

/* --- entries ------------------------------------------------------------------------------ */

void
parcel_fini(struct parcel *p)
{
	free(p->entries);
	free(p->fresh);
	envelope_free(&p->env);
	buf_fini(&p->heads);
	age_payload_fini(&p->payload);
	if (p->content.ok && p->content.fd != -1)
		close(p->content.fd);
	free((void *)p->content.data.p);
	*p = (struct parcel){ .entries = NULL };
}

bool
parcel_keep(struct parcel *p, struct spool_content *c)
{
	char *copy = NULL;

	if (c->fd == -1) {
		if ((copy = malloc(c->data.n > 0 ? c->data.n : 1)) == NULL)
			return false;
		memcpy(copy, c->data.p, c->data.n);
	}
	p->content = (struct spool_content){ .ok = true, .fd = c->fd,
		.data = span_of(copy, c->fd == -1 ? c->data.n : 0) };
	c->fd = -1;
	return true;
}

bool
parcel_has(const struct parcel *p, enum ledger_state state)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->entries[i].state == state)
			return true;
	return false;
}

bool
parcel_room(struct parcel *p, size_t n)
{
	struct ledger_entry *e = calloc(n, sizeof(*e));
	bool *fresh = calloc(n, sizeof(*fresh));

	if (e == NULL || fresh == NULL) {
		free(e);
		free(fresh);
		return false;
	}
	free(p->entries);
	free(p->fresh);
	p->entries = e;
	p->fresh = fresh;
	p->n = 0;
	p->cap = n;
	return true;
}

/* Room for n more. */
static bool
more_room(struct parcel *p, size_t n)
{
	struct ledger_entry *e;
	bool *fresh;

	if (n <= p->cap - p->n)
		return true;
	if ((e = realloc(p->entries, (p->n + n) * sizeof(*e))) == NULL)
		return false;
	p->entries = e;
	if ((fresh = realloc(p->fresh, (p->n + n) * sizeof(*fresh))) == NULL)
		return false;
	p->fresh = fresh;
	p->cap = p->n + n;
	return true;
}

void
parcel_defer(const struct opener *o, struct parcel *p, size_t i, int64_t first_ms,
    const struct smtp_reply *reply)
{
	struct ledger_entry *e = &p->entries[i];
	int64_t pause = first_ms;
	uint32_t rnd;

	for (unsigned k = 0; k < p->object.tries && pause < o->retry_max_ms; k++)
		pause *= 2;
	if (pause > o->retry_max_ms)
		pause = o->retry_max_ms;
	random_bytes(&rnd, sizeof(rnd));
	/* So that a backlog does not come back in one moment. */
	pause -= (int64_t)(rnd % (uint32_t)(pause / 8 + 1));
	e->state = LEDGER_DEFERRED;
	e->next_ms = o->now_ms + pause;
	e->reply = *reply;
	p->fresh[i] = false;
}

bool
entry_open(const struct ledger_entry *e)
{
	return e->state == LEDGER_QUEUED || e->state == LEDGER_SENDING ||
	    e->state == LEDGER_DEFERRED || e->state == LEDGER_UNCERTAIN;
}

void
entry_junk(struct ledger_entry *e)
{
	size_t n = strlen(e->mailbox);

	if (n + sizeof(MAILDIR_JUNK) <= sizeof(e->mailbox))
		memcpy(e->mailbox + n, MAILDIR_JUNK, sizeof(MAILDIR_JUNK));
}

void
entry_inbox(struct ledger_entry *e)
{
	e->mailbox[strcspn(e->mailbox, "/")] = '\0';
}

bool
parcel_open(const struct parcel *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (entry_open(&p->entries[i]) && p->entries[i].mailbox[0] != '\0')
			return p->env != NULL && p->content.ok;
	return false;
}

static void
park(struct ledger_entry *e, enum park_class class, const struct smtp_reply *reply)
{
	e->state = LEDGER_PARKED;
	e->park = class;
	e->reply = *reply;
}

void
parcel_park_all(struct parcel *p, enum park_class class, const char *words)
{
	struct smtp_reply reply = class == PARK_UNSEALABLE ? smtp_reply(554, 5, 7, 5, "%s", words) :
	    smtp_reply(554, 5, 6, 0, "%s", words);

	if (p->n == 0)
		p->entries[p->n++] = (struct ledger_entry){ .row = p->object.row };
	for (size_t i = 0; i < p->n; i++)
		if (entry_open(&p->entries[i]))
			park(&p->entries[i], class, &reply);
}

void
parcel_defer_all(struct opener *o, struct parcel *p, const char *words)
{
	struct smtp_reply reply = smtp_reply(451, 4, 3, 0, "%s", words);

	if (p->n == 0)
		p->entries[p->n++] = (struct ledger_entry){ .row = p->object.row };
	for (size_t i = 0; i < p->n; i++)
		if (entry_open(&p->entries[i]))
			parcel_defer(o, p, i, OPENER_RETRY_MS, &reply);
	o->trouble = (struct why){ "" };
	why_set(&o->trouble, "%s", words);
}

/* --- routing ------------------------------------------------------------------------------ */

/* The entry of this object that another recipient has already brought to the same mailbox. */
static struct ledger_entry *
same_mailbox(struct parcel *p, size_t i)
{
	for (size_t k = 0; p->entries[i].mailbox[0] != '\0' && k < p->n; k++)
		if (k != i && p->entries[k].state != LEDGER_PARKED &&
		    strcmp(p->entries[k].mailbox, p->entries[i].mailbox) == 0)
			return &p->entries[k];
	return NULL;
}

/*
 * The further mailboxes of a recipient, in whose entry's likeness theirs are made; after his
 * own.  There is room.
 */
static void
also(struct parcel *p, const struct ledger_entry *like, const struct route *r)
{
	unsigned part = 0;

	for (size_t i = 0; i < p->n; i++)
		if (p->entries[i].part >= part)
			part = p->entries[i].part + 1;
	for (size_t i = 0; i < r->nalso; i++) {
		struct ledger_entry *e = &p->entries[p->n];

		*e = *like;
		e->part = part;
		e->state = LEDGER_QUEUED;
		span_copy(span_str(r->also[i]), e->mailbox, sizeof(e->mailbox));
		p->fresh[p->n] = false;
		if (same_mailbox(p, p->n) == NULL) {
			p->n++;
			part++;
		}
	}
}

/* When this came its edge was known: what was granted to it then nobody here knows any more. */
static void
unpaired(struct opener *o, struct parcel *p, size_t i)
{
	struct smtp_reply r = smtp_reply(451, 4, 3, 5,
	    "%s is not known here any more: pair it anew, or park this", p->object.meta.signer);

	parcel_defer(o, p, i, OPENER_LIST_MS, &r);
}

/* In *r the further mailboxes of an entry that is QUEUED then. */
static void
entry_route(struct opener *o, struct parcel *p, size_t i, const struct address *to,
    struct route *r)
{
	const struct home_edge *edge = edges_find(o->edges, p->object.meta.signer);
	struct ledger_entry *e = &p->entries[i];

	route_address(o->router, edge != NULL ? edge->peer.domains : NULL,
	    edge != NULL ? edge->peer.ndomains : 0, to, r);
	switch (r->to) {
	case ROUTE_MAILBOX:
		span_copy(span_str(r->mailbox), e->mailbox, sizeof(e->mailbox));
		e->state = LEDGER_QUEUED;
		e->reply = (struct smtp_reply){ 0 };
		break;
	case ROUTE_LATER:
		o->list_missed = true;
		parcel_defer(o, p, i, OPENER_LIST_MS, &r->reply);
		break;
	case ROUTE_FOREIGN:
		if (edge != NULL && edge->peer.ndomains > 0)
			park(e, PARK_FOREIGN_RECIPIENT, &r->reply);
		else
			unpaired(o, p, i);
		break;
	case ROUTE_NONE:
	case ROUTE_REFUSED:
		park(e, PARK_POLICY, &r->reply);
		break;
	}
}

/* Not to be brought into all of them: into none, and it waits for a shorter list. */
static void
too_many(struct opener *o, struct parcel *p, size_t i, struct route *r)
{
	struct smtp_reply reply = smtp_reply(452, 4, 5, 3,
	    "this message has more mailboxes than the ledger takes of one, or memory is out");

	p->entries[i].mailbox[0] = '\0';
	r->nalso = 0;
	parcel_defer(o, p, i, OPENER_LIST_MS, &reply);
}

bool
parcel_route(struct opener *o, struct parcel *p, const struct envelope *env)
{
	bool refused = true;

	if (env->nrcpts == 0 || !parcel_room(p, env->nrcpts))
		return false;
	for (size_t k = 0; k < env->nrcpts; k++) {
		size_t i = p->n, left = env->nrcpts - k;
		struct ledger_entry *e = &p->entries[i], like;
		struct route r;

		*e = (struct ledger_entry){ .row = p->object.row, .part = (unsigned)i };
		address_print(&env->rcpts[k].addr, e->recipient, sizeof(e->recipient));
		entry_route(o, p, i, &env->rcpts[k].addr, &r);
		if (p->n + left + r.nalso > PARCEL_ENTRIES_MAX)
			too_many(o, p, i, &r);
		else if (!more_room(p, left + r.nalso))
			return false;
		e = &p->entries[i];
		like = *e;
		if (e->state != LEDGER_QUEUED || same_mailbox(p, i) == NULL)
			p->n++;
		also(p, &like, &r);
	}
	for (size_t i = 0; i < p->n; i++)
		refused = refused && p->entries[i].state == LEDGER_PARKED &&
		    p->entries[i].park == PARK_POLICY;
	/* The sender has not been told 250: he can hear it himself, if nobody took the message. */
	for (size_t i = 0; refused && p->object.meta.verdict && i < p->n; i++) {
		p->entries[i].state = LEDGER_REFUSED;
		p->entries[i].park = PARK_NONE;
	}
	return true;
}

/* What an operator sent to one mailbox for several recipients, or to one that has it already. */
static bool
brought(const struct parcel *p, size_t i)
{
	const struct ledger_entry *e = &p->entries[i], *other = p->entries;

	for (size_t k = 0; e->state == LEDGER_QUEUED && k < p->n; k++, other++)
		if (k != i && strcmp(other->mailbox, e->mailbox) == 0 &&
		    (other->state == LEDGER_DELIVERED || (k < i && entry_open(other))))
			return true;
	return false;
}

void
parcel_route_again(struct opener *o, struct parcel *p, const struct envelope *env)
{
	for (size_t i = 0, n = p->n; i < n; i++) {
		struct ledger_entry *e = &p->entries[i], like;
		struct ledger_entry *same;
		struct address to;
		struct route r;
		char path[420];

		if (!entry_open(e))
			continue;
		if (e->mailbox[0] != '\0') {
			/* It was parked before anybody could look into it. */
			if (e->recipient[0] == '\0' && env->nrcpts > 0)
				address_print(&env->rcpts[0].addr, e->recipient,
				    sizeof(e->recipient));
			if (brought(p, i))
				e->state = LEDGER_DELIVERED;
			continue;
		}
		snprintf(path, sizeof(path), "<%s>", e->recipient);
		if (address_parse_path(span_str(path), ADDRESS_FORWARD, true, &to) == 0) {
			struct smtp_reply bad = smtp_reply(550, 5, 1, 3, "no address");

			park(e, PARK_MALFORMED, &bad);
			continue;
		}
		entry_route(o, p, i, &to, &r);
		if (p->n + r.nalso > PARCEL_ENTRIES_MAX || !more_room(p, r.nalso))
			too_many(o, p, i, &r);
		e = &p->entries[i];
		like = *e;
		/* Another recipient's copy is this one's as well: one mailbox, one delivery. */
		if (e->state == LEDGER_QUEUED && (same = same_mailbox(p, i)) != NULL)
			e->state = LEDGER_DELIVERED;
		also(p, &like, &r);
	}
}
