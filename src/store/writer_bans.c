/*
 * Home: bans, changed and told.  What is told is in w->bans, and on disk before.  There a
 * ban ends by boot_ms, which never jumps; on disk by the wall clock, which is all that
 * outlives the machine: where that jumps, the rows go with it.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/writer_in.h"

/* Pieces of a WE_BANS on their way to one client, or to all. */
struct telling {
	struct writer	*w;
	struct client	*c;		/* NULL: everybody */
	struct buf	 bans;
	size_t		 n;
	bool		 anew;
};

static void
tell(struct telling *t, bool whole)
{
	struct wire_out w = { .n = 0 };

	wire_u8(&w, t->anew);
	wire_u8(&w, whole);
	if (t->bans.failed)
		abort();		/* before a ban is lost to the edges without a word */
	if (t->c != NULL)
		(void)writer_send(t->c, WE_BANS, 0, &w, buf_span(&t->bans), -1);
	else
		writer_tell(t->w, WE_BANS, &w, buf_span(&t->bans));
	buf_clear(&t->bans);
	t->n = 0;
	t->anew = false;
}

static void
add(struct telling *t, const struct spool_ban *b)
{
	struct wire_out w = { .n = 0 };

	if (t->n == WIRE_BANS_MAX)
		tell(t, false);
	wire_ban(&w, b);
	buf_add_span(&t->bans, wire_span(&w));
	t->n++;
}

static void
add_banned(void *arg, const struct netset_entry *e)
{
	add(arg, &(struct spool_ban){ .on = *e });
}

static void
tell_all(struct writer *w, struct client *c)
{
	struct telling t = { .w = w, .c = c, .anew = true };

	buf_init(&t.bans, WIRE_BANS_MAX * WIRE_BAN_LEN);
	(void)netset_expire(w->bans, boot_ms());
	netset_each(w->bans, add_banned, &t);
	tell(&t, true);
	buf_fini(&t.bans);
}

void
writer_greet_bans(struct client *c)
{
	if (c->w->conf.role == CONF_HOME)
		tell_all(c->w, c);
}

static int
load(struct writer *w, struct why *why)
{
	struct netset *set = netset_new(DB_BANS_MAX);

	if (set == NULL)
		return why_set(why, "writer: out of memory for the bans");
	if (db_banned(w->db, wall_ms(), boot_ms(), set, why) == -1) {
		netset_free(&set);
		return -1;
	}
	netset_free(&w->bans);
	w->bans = set;
	return 0;
}

/* What a full disk refuses here is no reason not to start: such a ban lasts too long. */
int
writer_bans_open(struct writer *w, struct why *why)
{
	struct why full = { "" };

	if (w->conf.role == CONF_HOME && (db_bans_ahead(w->db, wall_ms(), &full) == -1 ||
	    db_commit(w->db, &full) == -1)) {
		log_warn(NULL, "bans.clock: %s", full.text);
		db_rollback(w->db);
	}
	return load(w, why);
}

/* What the database says of this network now becomes true, and is told. */
static int
take_over(struct writer *w, struct netset_entry e, struct why *why)
{
	struct telling t = { .w = w };
	int banned = db_ban_of(w->db, &e, wall_ms(), why);

	if (banned == -1)
		return -1;
	if (netset_count(w->bans) == DB_BANS_MAX)
		(void)netset_expire(w->bans, boot_ms());
	if (banned == 1 && e.until_ms != 0)
		e.until_ms += boot_ms() - wall_ms();
	if (banned == 1 && !netset_add(w->bans, &e.net, e.bits, e.until_ms))
		abort();		/* memory: there is room, or db_ban was not asked */
	if (banned == 0)
		(void)netset_remove(w->bans, &e.net, e.bits);
	buf_init(&t.bans, WIRE_BAN_LEN);
	add(&t, &(struct spool_ban){ .on = e, .lifted = banned == 0 });
	tell(&t, true);
	buf_fini(&t.bans);
	return 0;
}

/* Every change so far is undone when one of them fails (writer_failed). */
static int
failed(struct writer *w, const struct why *why)
{
	writer_failed(w, why);
	return -1;
}

int
writer_bans_settle(struct writer *w, struct why *why)
{
	if (w->conf.role != CONF_HOME || w->bans_late_ms == 0)
		return 0;
	if (db_bans_move(w->db, w->bans_late_ms, why) == -1)
		return failed(w, why);
	if (writer_commit(w, why) == -1)
		return -1;
	w->bans_late_ms = 0;
	return 0;
}

/* Whether the rows and the wall clock agree: before either is used. */
static int
in_time(struct writer *w, struct why *why)
{
	writer_clock_watch(w);
	return writer_bans_settle(w, why);
}

static int
make_room(struct writer *w, struct why *why)
{
	int n, gone = 1;

	while ((n = db_bans_count(w->db, why)) >= DB_BANS_MAX && gone > 0)
		if ((gone = db_bans_expire(w->db, wall_ms(), why)) == -1)
			return failed(w, why);
	if (n >= DB_BANS_MAX)
		return why_set(why, "%d bans are the most that are kept: lift some, or ban a "
		    "network in place of its addresses", DB_BANS_MAX);
	return n == -1 ? -1 : 0;
}

int
writer_ban(struct writer *w, const struct db_ban *b, struct why *why)
{
	if (in_time(w, why) == -1 || make_room(w, why) == -1)
		return -1;
	if (db_ban(w->db, b, why) == -1)
		return failed(w, why);
	if (writer_commit(w, why) == -1)
		return -1;
	return take_over(w, b->on, why);
}

int
writer_unban(struct writer *w, const struct netset_entry *net, const char *by, struct why *why)
{
	int n;

	if (in_time(w, why) == -1)
		return -1;
	n = net != NULL ? db_unban(w->db, net, by, why) : db_unban_all(w->db, by, why);
	if (n == -1)
		return failed(w, why);
	if (writer_commit(w, why) == -1)
		return -1;
	if (n == 0)
		return 0;
	if (net != NULL)
		return take_over(w, *net, why) == -1 ? -1 : n;
	if (load(w, why) == -1)
		return -1;
	tell_all(w, NULL);
	return n;
}

const struct netset *
writer_bans(struct writer *w)
{
	(void)netset_expire(w->bans, boot_ms());
	return w->bans;
}
