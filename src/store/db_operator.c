/* What the operator does to one object. */
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "store/db_in.h"

struct parts {
	unsigned	n, waiting, parked, staged, open;
	bool		put_off;	/* nothing of it waits but itself: it could not be read */
};

static bool
add(void *arg, const struct ledger_entry *e)
{
	struct parts *p = arg;

	p->n++;
	p->waiting += e->state == LEDGER_DEFERRED || e->state == LEDGER_UNCERTAIN;
	p->parked += e->state == LEDGER_PARKED;
	p->staged += e->state == LEDGER_STAGED || e->state == LEDGER_SENDING;
	p->open += e->state == LEDGER_QUEUED;
	return true;
}

/* 1 with what is known of its parts, and a transaction that is open; 0 it is not here; -1. */
static int
look(struct db *db, int64_t row, struct parts *p, struct why *why)
{
	struct db_row r;
	int rc;

	*p = (struct parts){ 0 };
	if (db_begin(db, why) == -1 || (rc = db_row_get(db, row, &r, why)) == -1 ||
	    db_entries(db, row, add, p, why) == -1)
		return -1;
	if (rc == 0) {
		why_set(why, "no such object here");
		return 0;
	}
	p->put_off = p->waiting == 0 && r.due_ms > 0;
	if (p->staged > 0) {
		why_set(why, "it is half delivered: the courier must finish that first");
		return 0;
	}
	return 1;
}

/* mailbox: NULL, or of ST_RETRY_PARKED */
static int
change(struct db *db, enum db_stmt which, int64_t row, const char *mailbox, struct why *why)
{
	sqlite3_stmt *st = db_st(db, which, why);

	if (st == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, row);
	if (mailbox != NULL)
		sqlite3_bind_text(st, 2, mailbox, -1, SQLITE_STATIC);
	return db_run(db, st, why);
}

static int
changed(struct db *db, int64_t row, enum db_event what, const char *text, struct db_noted *n,
    struct why *why)
{
	if (db_story(db, row, what, text, why) == -1 || db_settle(db, row, n, why) == -1)
		return -1;
	return 1;
}

int
db_retry(struct db *db, int64_t row, bool parked, struct db_noted *n, struct why *why)
{
	struct parts p;
	int rc = look(db, row, &p, why);

	*n = (struct db_noted){ 0 };
	if (rc != 1)
		return rc;
	if (p.waiting == 0 && !p.put_off && (!parked || p.parked == 0)) {
		why_set(why, p.parked > 0 ? "it is parked" :
		    "it is due already: nothing has to be tried again");
		return 0;
	}
	if (change(db, ST_RETRY_WAITING, row, NULL, why) == -1)
		return -1;
	/* What never could be opened has no recipients yet: it is read anew. */
	if (parked && (change(db, ST_RETRY_PARKED, row, "", why) == -1 ||
	    change(db, ST_UNROUTED, row, NULL, why) == -1))
		return -1;
	return changed(db, row, EVENT_RETRIED, "", n, why);
}

int
db_park(struct db *db, int64_t row, struct db_noted *n, struct why *why)
{
	const struct ledger_entry whole = { .row = row, .state = LEDGER_PARKED,
	    .park = PARK_OPERATOR };
	struct parts p;
	int rc = look(db, row, &p, why);

	*n = (struct db_noted){ 0 };
	if (rc != 1)
		return rc;
	if (p.n == 0)		/* nobody has looked into it */
		return db_note(db, &whole, 1, 0, n, why) == -1 ? -1 : 1;
	if (p.waiting + p.open == 0) {
		why_set(why, p.parked > 0 ? "it is parked already" :
		    "its sender is being told that it was refused");
		return 0;
	}
	if (change(db, ST_PARK_OPEN, row, NULL, why) == -1 ||
	    db_story(db, row, EVENT_PARKED, "by the operator", why) == -1)
		return -1;
	return db_settle(db, row, n, why) == -1 ? -1 : 1;
}

int
db_unpark(struct db *db, int64_t row, const char *mailbox, struct db_noted *n, struct why *why)
{
	struct parts p;
	int rc = look(db, row, &p, why);

	*n = (struct db_noted){ 0 };
	if (rc != 1)
		return rc;
	if (p.parked == 0) {
		why_set(why, "nothing of it is parked");
		return 0;
	}
	if (change(db, ST_RETRY_PARKED, row, mailbox, why) == -1)
		return -1;
	return changed(db, row, EVENT_UNPARKED, mailbox, n, why);
}

int
db_discard(struct db *db, int64_t row, struct why *why)
{
	struct parts p;
	int rc = look(db, row, &p, why);

	if (rc != 1)
		return rc;
	if (db_story(db, row, EVENT_DROPPED, "", why) == -1)
		return -1;
	return db_drop(db, row, db->role == CONF_HOME, why) == -1 ? -1 : 1;
}
