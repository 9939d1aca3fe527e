/* What becomes of each delivery, and through them of each object (home). */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/db_in.h"

_Static_assert(LEDGER_PARKED == 5 && LEDGER_REFUSED == 7 && PARK_POLICY == 1 && PARK_REFUSED == 2,
    "written out in SQL");

#define DAY_MS		(24 * 3600 * 1000LL)
/* nobody can still be waiting: an edge waits a minute at most */
#define VERDICT_MS	(3600 * 1000)
#define UNREAD_LEAST_MS	5000		/* between tries to read what the disk does not give */
#define UNREAD_MOST_MS	(15 * 60 * 1000)
#define STEP		100		/* rows of one housekeeping step */

/* A row of entries summed up. */
struct sum {
	unsigned	n, active, sending, waits, tried, uncertain, delivered, refused, parked,
			serious;
	int64_t		next_ms;	/* the earliest of those that wait */
	struct smtp_reply reply;	/* the first refusal's */
};

/* RFC 3463 X.4.1: there was nobody to try it with, and no pause of its own comes of that. */
static bool
unreached(const struct smtp_reply *r)
{
	return r->enhanced[0] == 4 && r->enhanced[1] == 4 && r->enhanced[2] == 1;
}

static bool
add(void *arg, const struct ledger_entry *e)
{
	struct sum *s = arg;

	s->n++;
	switch (e->state) {
	case LEDGER_SENDING:
	case LEDGER_STAGED:
		s->sending++;
		/* FALLTHROUGH */
	case LEDGER_QUEUED:
		s->active++;
		break;
	case LEDGER_UNCERTAIN:
		s->uncertain++;
		/* FALLTHROUGH */
	case LEDGER_DEFERRED:
		if (s->waits++ == 0 || e->next_ms < s->next_ms)
			s->next_ms = e->next_ms;
		s->tried += !unreached(&e->reply);
		break;
	case LEDGER_DELIVERED:
		s->delivered++;
		break;
	case LEDGER_PARKED:
		s->parked++;
		s->serious += e->park != PARK_POLICY;
		break;
	case LEDGER_REFUSED:
		if (s->refused++ == 0)
			s->reply = e->reply;
		break;
	}
	return true;
}

void
db_delivered_note(struct db *db, int64_t row)
{
	db->delivered[db->ndelivered++ % (sizeof(db->delivered) / sizeof(db->delivered[0]))] = row;
}

bool
db_delivered_lately(const struct db *db, int64_t row)
{
	for (size_t i = 0; i < sizeof(db->delivered) / sizeof(db->delivered[0]); i++)
		if (db->delivered[i] == row && row != 0)
			return true;
	return false;
}

static int
set_state(struct db *db, int64_t row, enum ledger_state state, int64_t due, int64_t parked,
    struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_SETTLE, why);

	if (st == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, row);
	sqlite3_bind_int(st, 2, state);
	if (due < 0)
		sqlite3_bind_null(st, 3);
	else
		sqlite3_bind_int64(st, 3, due);
	if (parked <= 0)
		sqlite3_bind_null(st, 4);
	else
		sqlite3_bind_int64(st, 4, parked);
	return db_run(db, st, why);
}

/*
 * The one place where an object's state follows from its entries'.  A refusal
 * is provisional only while every entry is refused and the sender still waits;
 * anything else about the object means that 250 will be or was said.
 */
static int
settle(struct db *db, int64_t row, bool verdict, int64_t now, struct db_noted *n, struct why *why)
{
	struct sum s = { 0 };

	*n = (struct db_noted){ 0 };
	if (db_entries(db, row, add, &s, why) == -1)
		return -1;
	if (s.active > 0 || s.n == 0)
		return set_state(db, row, s.sending > 0 ? LEDGER_SENDING : LEDGER_QUEUED, 0, 0,
		    why);
	if (s.refused > 0 && (s.refused < s.n || !verdict)) {
		if (db_story_state(db, row, EVENT_PARKED, LEDGER_REFUSED,
		    "refused after the sender was told 250", why) == -1 ||
		    db_run_with(db, ST_PARK_REFUSED, row, why) == -1)
			return -1;
		s = (struct sum){ 0 };
		if (db_entries(db, row, add, &s, why) == -1)
			return -1;
	}
	n->outcome = OUTCOME_ACCEPTED;
	if (s.waits > 0) {
		n->waits = true;
		n->tried = s.tried > 0;
		n->next_ms = s.next_ms < 0 ? 0 : s.next_ms;
		return set_state(db, row, s.uncertain > 0 ? LEDGER_UNCERTAIN : LEDGER_DEFERRED,
		    n->next_ms, 0, why);
	}
	n->settled = true;
	if (s.refused == s.n) {
		n->outcome = OUTCOME_REFUSED;
		n->reply = s.reply;
		return set_state(db, row, LEDGER_REFUSED, -1, 0, why);
	}
	if (s.delivered == s.n) {
		n->outcome = OUTCOME_DELIVERED;
		if (db_drop(db, row, true, why) == -1)
			return -1;
		db_delivered_note(db, row);
		return 0;
	}
	return set_state(db, row, LEDGER_PARKED, -1, s.serious > 0 ? 0 : now, why);
}

int
db_settle(struct db *db, int64_t row, struct db_noted *n, struct why *why)
{
	struct db_row r;
	int rc = db_row_get(db, row, &r, why);

	*n = (struct db_noted){ 0 };
	return rc != 1 ? rc : settle(db, row, r.object.meta.verdict, wall_ms(), n, why);
}

/*
 * Whether an entry is as it was: those of an object are noted together, whichever of them
 * changed.  What was tried again waits for another time.  -1.
 */
static int
unchanged(struct db *db, const struct ledger_entry *e, enum ledger_state state, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_ENTRY_WAS, why);
	int rc;

	if (st == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, e->row);
	sqlite3_bind_int64(st, 2, e->part);
	if ((rc = db_step(db, st, why)) == 1)
		rc = sqlite3_column_int(st, 0) == (int)state &&
		    sqlite3_column_int64(st, 1) == e->next_ms;
	sqlite3_reset(st);
	return rc;
}

static int
note_one(struct db *db, const struct ledger_entry *e, bool verdict, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_NOTE, why);
	enum ledger_state state = e->state;
	enum park_class park = e->park;
	int same;

	if (st == NULL)
		return -1;
	/* The courier may not have heard yet that the wait is over. */
	if (state == LEDGER_REFUSED && !verdict) {
		state = LEDGER_PARKED;
		park = park_class_of(&e->reply);
	}
	if ((same = unchanged(db, e, state, why)) == -1)
		return -1;
	sqlite3_bind_int64(st, 1, e->row);
	sqlite3_bind_int64(st, 2, e->part);
	sqlite3_bind_int(st, 3, state);
	sqlite3_bind_int(st, 4, park);
	db_bind_str(st, 5, e->recipient);
	db_bind_str(st, 6, e->mailbox);
	db_bind_str(st, 7, e->name);
	sqlite3_bind_int64(st, 8, e->next_ms);
	sqlite3_bind_int(st, 9, (int)e->reply.code);
	sqlite3_bind_int(st, 10,
	    e->reply.enhanced[0] << 16 | e->reply.enhanced[1] << 8 | e->reply.enhanced[2]);
	db_bind_str(st, 11, e->reply.text);
	if (db_run(db, st, why) == -1)
		return -1;
	return same ? 0 : db_story_entry(db, e, state, park, why);
}

int
db_note(struct db *db, const struct ledger_entry *e, size_t n, int64_t now, struct db_noted *noted,
    struct why *why)
{
	struct db_row r;
	bool sent;
	int rc;

	*noted = (struct db_noted){ 0 };
	if (n == 0)
		return 0;
	if (db_begin(db, why) == -1 || (rc = db_row_get(db, e[0].row, &r, why)) == -1)
		return -1;
	if (rc == 0) {		/* the operator took it away meanwhile */
		noted->settled = true;
		noted->outcome = OUTCOME_ACCEPTED;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		if (note_one(db, &e[i], r.object.meta.verdict, why) == -1)
			return -1;
	if (settle(db, e[0].row, r.object.meta.verdict, now, noted, why) == -1)
		return -1;
	sent = r.state == LEDGER_SENDING;
	return noted->waits && (sent || noted->tried) ?
	    db_run_with(db, ST_TRIED, e[0].row, why) : 0;
}

static bool
first_reply(void *arg, const struct ledger_entry *e)
{
	*(struct smtp_reply *)arg = e->reply;
	return false;
}

static int
outcome(struct db *db, const struct db_row *r, struct db_noted *n, struct why *why)
{
	switch (r->state) {
	case LEDGER_QUEUED:
	case LEDGER_SENDING:
	case LEDGER_STAGED:
		return 1;
	case LEDGER_DEFERRED:
	case LEDGER_UNCERTAIN:
		n->waits = true;
		n->next_ms = r->due_ms;
		n->outcome = OUTCOME_ACCEPTED;
		return 1;
	case LEDGER_REFUSED:
		n->settled = true;
		n->outcome = OUTCOME_REFUSED;
		return db_entries(db, r->object.row, first_reply, &n->reply, why) == -1 ? -1 : 1;
	default:
		n->settled = true;
		n->outcome = r->state == LEDGER_DELIVERED ? OUTCOME_DELIVERED : OUTCOME_ACCEPTED;
		return 1;
	}
}

static int
outcome_of(struct db *db, int64_t row, struct db_row *r, struct db_noted *n, struct why *why)
{
	int rc;

	*n = (struct db_noted){ 0 };
	if ((rc = db_row_get(db, row, r, why)) == 1)
		return outcome(db, r, n, why);
	if (rc == 0) {
		n->settled = true;
		n->outcome = row == 0 || db_delivered_lately(db, row) ? OUTCOME_DELIVERED :
		    OUTCOME_ACCEPTED;
	}
	return rc;
}

int
db_outcome(struct db *db, int64_t row, struct db_noted *n, struct why *why)
{
	struct db_row r;

	return outcome_of(db, row, &r, n, why);
}

int
db_verdict_over(struct db *db, int64_t row, struct db_noted *n, struct why *why)
{
	struct db_row r;
	int rc = outcome_of(db, row, &r, n, why);

	if (rc != 1 || n->outcome == OUTCOME_REFUSED || !r.object.meta.verdict)
		return rc;
	if (db_begin(db, why) == -1 || db_run_with(db, ST_VERDICT_OFF, row, why) == -1)
		return -1;
	return 1;
}

int
db_park_refused(struct db *db, int64_t row, struct why *why)
{
	struct db_noted n;

	if (db_begin(db, why) == -1 || db_run_with(db, ST_VERDICT_OFF, row, why) == -1)
		return -1;
	return settle(db, row, false, wall_ms(), &n, why);
}

/*
 * The key is remembered: the edge that dies between our answer and its own delete
 * puts the object again, and it must not come back as new mail.
 */
int
db_confirm_refused(struct db *db, const char *signer, struct uuid id, struct why *why)
{
	struct db_row r;
	int64_t row;
	int rc;

	if ((rc = db_key_row(db, signer, id, &row, why)) != 1)
		return rc;
	if ((rc = db_row_get(db, row, &r, why)) != 1 || r.state != LEDGER_REFUSED)
		return rc == -1 ? -1 : 0;
	return db_drop(db, row, true, why);
}

int
db_claim_lost(struct db *db, int64_t row, struct why *why)
{
	struct db_noted n;
	struct db_row r;
	int rc;

	if (db_begin(db, why) == -1 || db_run_with(db, ST_LOST, row, why) == -1)
		return -1;
	if (sqlite3_changes(db->sq) == 0)
		return 0;
	if (db_story(db, row, EVENT_UNCERTAIN, "the courier ended while it was sending", why) == -1)
		return -1;
	if ((rc = db_row_get(db, row, &r, why)) != 1)
		return rc;
	if (settle(db, row, r.object.meta.verdict, wall_ms(), &n, why) == -1)
		return -1;
	return n.waits ? db_run_with(db, ST_TRIED, row, why) : 0;
}

/* --- what is due ------------------------------------------------------------- */

/* The oldest rows first; insertion keeps out[0..n) sorted and at most max long. */
static unsigned
place(struct db_claim *out, unsigned n, unsigned max, struct db_claim c)
{
	unsigned at = n;

	while (at > 0 && out[at - 1].row > c.row)
		at--;
	if (at == max)
		return n;
	if (n == max)
		n--;
	memmove(out + at + 1, out + at, (n - at) * sizeof(*out));
	out[at] = c;
	return n + 1;
}

int
db_due(struct db *db, int64_t now, unsigned max, unsigned max_large, db_skip_fn *skip, void *arg,
    struct db_claim *out, struct why *why)
{
	unsigned n = 0;

	for (int which = 0; which < 4; which++) {
		bool large = which & 1;
		sqlite3_stmt *st = db_st(db, which < 2 ? ST_DUE_NOW : ST_DUE_LATER, why);
		unsigned taken = 0, most = large && max_large < max ? max_large : max;
		int rc = 0;

		if (st == NULL)
			return -1;
		sqlite3_bind_int(st, 1, large);
		if (which >= 2)
			sqlite3_bind_int64(st, 2, now);
		while (taken < most && (rc = db_step(db, st, why)) == 1) {
			struct db_claim c = { sqlite3_column_int64(st, 0), large };

			if (skip(arg, c.row))
				continue;
			n = place(out, n, max, c);
			taken++;
		}
		sqlite3_reset(st);
		if (rc == -1)
			return -1;
		if (which == 3 || !large)
			continue;
		max_large -= taken;
	}
	return (int)n;
}

int
db_next_due(struct db *db, int64_t now, int64_t *due, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_NEXT_DUE, why);
	int rc;

	*due = 0;
	if (st == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, now);
	if ((rc = db_step(db, st, why)) == 1)
		*due = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	return rc == -1 ? -1 : 0;
}

int
db_put_off(struct db *db, int64_t row, int64_t now, const char *reason, struct why *why)
{
	struct db_row r;
	sqlite3_stmt *st;
	int rc = db_row_get(db, row, &r, why);
	unsigned tries;
	int64_t pause;

	if (rc != 1 || r.due_ms < 0)
		return rc == -1 ? -1 : 0;
	tries = r.object.tries < 16 ? r.object.tries : 16;
	pause = (int64_t)UNREAD_LEAST_MS << tries;
	if (db_begin(db, why) == -1 || (st = db_st(db, ST_PUT_OFF, why)) == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, row);
	sqlite3_bind_int64(st, 2, now + (pause < UNREAD_MOST_MS ? pause : UNREAD_MOST_MS));
	if (db_run(db, st, why) == -1)
		return -1;
	return db_story(db, row, EVENT_DEFERRED, reason, why);
}

int
db_due_by(struct db *db, int64_t latest, struct why *why)
{
	int64_t beyond;

	if (db_next_due(db, latest, &beyond, why) == -1)
		return -1;
	if (beyond == 0)
		return 0;
	if (db_begin(db, why) == -1 || db_run_with(db, ST_NEXT_BY, latest, why) == -1 ||
	    db_run_with(db, ST_DUE_BY, latest, why) == -1)
		return -1;
	return 1;
}

/* --- housekeeping ---------------------------------------------------------------- */

static int
rows_before(struct db *db, enum db_stmt which, int64_t before, int64_t rows[STEP], struct why *why)
{
	sqlite3_stmt *st = db_st(db, which, why);
	int n = 0, rc = 0;

	if (st == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, before);
	while (n < STEP && (rc = db_step(db, st, why)) == 1)
		rows[n++] = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	return rc == -1 ? -1 : n;
}

static int
expire_parked(struct db *db, int64_t now, struct why *why)
{
	int64_t rows[STEP];
	int n = rows_before(db, ST_EXPIRED, now - db->limits.parked_keep_ms, rows, why);
	struct db_row r;

	for (int i = 0; i < n; i++) {
		int there = db_row_get(db, rows[i], &r, why);

		if (there == -1 || db_story(db, rows[i], EVENT_EXPIRED, "", why) == -1 ||
		    db_drop(db, rows[i], true, why) == -1)
			return -1;
		if (there == 0)
			continue;
		log_info(uuid_text(r.object.meta.id).s, "ledger.expired signer=%s size=%" PRIu64
		    " why=\"refused by policy, parked_keep is over\"",
		    log_safe(span_str(r.object.meta.signer)).s, r.object.size);
	}
	return n;
}

static int
end_verdicts(struct db *db, int64_t now, struct why *why)
{
	int64_t rows[STEP];
	int n = rows_before(db, ST_OLD_VERDICTS, now - VERDICT_MS, rows, why);

	for (int i = 0; i < n; i++)
		if (db_park_refused(db, rows[i], why) == -1)
			return -1;
	return n;
}

static int
forget_keys(struct db *db, int64_t now, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_DONE_COUNT, why);
	int64_t before = (now - db->limits.remember_ms) / DAY_MS, count = 0;

	if (st == NULL || db_step(db, st, why) == -1)
		return -1;
	count = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	/* Over the bound the oldest day's go, whatever their age. */
	if ((uint64_t)count > db->limits.keys && (st = db_st(db, ST_FIRST_DAY, why)) != NULL) {
		if (db_step(db, st, why) == 1 && sqlite3_column_int64(st, 0) >= before)
			before = sqlite3_column_int64(st, 0) + 1;
		sqlite3_reset(st);
	}
	if (count == 0)
		return 0;
	if (db_begin(db, why) == -1 || db_run_with(db, ST_FORGET_KEYS, before, why) == -1)
		return -1;
	return sqlite3_changes(db->sq);
}

int
db_expire(struct db *db, int64_t now, struct why *why)
{
	int parked, verdicts, keys, stories, bans;

	if ((parked = expire_parked(db, now, why)) == -1 ||
	    (verdicts = end_verdicts(db, now, why)) == -1 ||
	    (keys = forget_keys(db, now, why)) == -1 ||
	    (stories = db_story_expire(db, now - db->limits.remember_ms, why)) == -1 ||
	    (bans = db_bans_expire(db, now, why)) == -1)
		return -1;
	return parked == STEP || verdicts == STEP || keys > STEP || stories > STEP ||
	    bans > STEP;
}
