#include "store/control_answer.h"

#include <string.h>

#include "base/clock.h"
#include "store/db.h"
#include "store/ledger_words.h"
#include "store/peers.h"
#include "store/writer.h"

/* status: totals of the database, peers, and the scoreboard, which is input. */

json_t *
answer_board_text(const char *p, size_t max)
{
	char copy[BOARD_WORDS];

	memcpy(copy, p, max);
	return answer_text(copy, max);
}

/* Passed services that had a client since start. */
static json_t *
board_passed_services(struct scoreboard *b)
{
	json_t *all = json_array();

	for (size_t i = 0; i < BOARD_SERVICES; i++) {
		struct board_passed *s = &b->passed[i];
		int holding = atomic_load(&s->holding);
		json_t *why;

		if (s->name[0] == '\0')
			continue;
		why = json_object();
		for (int r = 0; r < BR_COUNT; r++)
			if (atomic_load(&s->why[r]) > 0)
				json_object_set_new(why, board_refusal_names[r],
				    json_integer(atomic_load(&s->why[r])));
		json_array_append_new(all, json_pack("{s:o, s:I, s:I, s:I, s:I, s:o}",
		    "service", answer_board_text(s->name, sizeof(s->name)),
		    "open", (json_int_t)atomic_load(&s->open),
		    "total", (json_int_t)atomic_load(&s->total),
		    "held", (json_int_t)atomic_load(&s->held),
		    "refused", (json_int_t)atomic_load(&s->refused),
		    "why", why));
		if (holding > 0 && holding <= BR_COUNT)
			json_object_set_new(json_array_get(all, json_array_size(all) - 1),
			    "holding", json_string(board_refusal_names[holding - 1]));
	}
	return all;
}

/* By what list of its recipients an edge refuses for a home. */
static void
board_list(struct board_peer *p, json_t *o)
{
	int64_t learned = atomic_load(&p->list_ms), until = atomic_load(&p->list_until_ms);

	if (learned == 0)
		return;
	json_object_set_new(o, "recipients", json_integer(atomic_load(&p->recipients)));
	json_object_set_new(o, "list", answer_moment(learned));
	json_object_set_new(o, "list_ms", json_integer(learned));
	json_object_set_new(o, "list_stale", json_boolean(until < wall_ms()));
}

void
answer_board(json_t *o, struct scoreboard *b)
{
	json_t *procs, *peers, *services, *counters;

	if (b == NULL)
		return;
	procs = json_array();
	peers = json_array();
	services = json_array();
	counters = json_object();
	for (size_t i = 0; i < BOARD_PROCS; i++) {
		struct board_proc *p = &b->proc[i];
		json_t *name = answer_board_text(p->name, sizeof(p->name)), *one;
		const char *who = json_string_value(name);

		if (who == NULL || who[0] == '\0') {
			json_decref(name);
			continue;
		}
		one = json_pack("{s:o, s:i, s:I, s:o}",
		    "name", name,
		    "pid", atomic_load(&p->pid),
		    "restarts", (json_int_t)atomic_load(&p->restarts),
		    "sandbox", answer_board_text(p->sandbox, sizeof(p->sandbox)));
		json_array_append_new(procs, one);
	}
	for (size_t i = 0; i < BOARD_PEERS; i++) {
		struct board_peer *p = &b->peer[i];

		if (p->name[0] == '\0')
			continue;
		json_array_append_new(peers, json_pack("{s:o, s:I, s:o, s:I, s:I, s:o, s:o}",
		    "name", answer_board_text(p->name, sizeof(p->name)),
		    "connections", (json_int_t)atomic_load(&p->connections),
		    "since", answer_moment(atomic_load(&p->since_ms)),
		    "since_ms", (json_int_t)atomic_load(&p->since_ms),
		    "rtt_us", (json_int_t)atomic_load(&p->rtt_us),
		    "address", answer_board_text(p->address, sizeof(p->address)),
		    "error", answer_board_text(p->error, sizeof(p->error))));
		board_list(p, json_array_get(peers, json_array_size(peers) - 1));
	}
	for (size_t i = 0; i < BOARD_SERVICES; i++) {
		struct board_service *s = &b->service[i];

		if (s->name[0] == '\0')
			continue;
		json_array_append_new(services, json_pack("{s:o, s:o, s:b, s:I, s:o}",
		    "name", answer_board_text(s->name, sizeof(s->name)),
		    "backend", answer_board_text(s->backend, sizeof(s->backend)),
		    "up", atomic_load(&s->up) != 0,
		    "streams", (json_int_t)atomic_load(&s->streams),
		    "why", answer_board_text(s->why, sizeof(s->why))));
	}
	for (int i = 0; i < BC_COUNT; i++)
		json_object_set_new(counters, board_counter_names[i],
		    json_integer(board_get(b, (enum board_counter)i)));
	json_object_set_new(o, "started", answer_moment(atomic_load(&b->started_ms)));
	json_object_set_new(o, "started_ms", json_integer(atomic_load(&b->started_ms)));
	json_object_set_new(o, "processes", procs);
	json_object_set_new(o, "peers", peers);
	json_object_set_new(o, "services", services);
	json_object_set_new(o, "counters", counters);
	json_object_set_new(o, "passed", board_passed_services(b));
}

/*
 * The peer of that name in the list, made where it is missing: a paired one that
 * nobody has seen yet.  The scoreboard cuts names at BOARD_NAME.
 */
#define BOARD_NAME	(sizeof(((struct board_peer *)0)->name) - 1)
static json_t *
peer_entry(json_t *list, const char *name)
{
	json_t *p;
	size_t i;

	json_array_foreach(list, i, p)
		if (strncmp(json_string_value(json_object_get(p, "name")), name, BOARD_NAME) == 0)
			return p;
	json_array_append_new(list, json_pack("{s:o, s:i, s:n, s:i, s:i, s:s, s:s}",
	    "name", answer_text(name, 256), "connections", 0, "since", "since_ms", 0, "rtt_us", 0,
	    "address", "", "error", "not seen yet"));
	return json_array_get(list, json_array_size(list) - 1);
}

static int
totals(struct writer *w, json_t *o, struct why *why)
{
	static struct db_totals t[PEERS_MAX + CONF_HOMES_MAX];	/* one question at a time */
	const struct writer_conf *c = writer_conf(w);
	int n = db_totals(writer_db(w), t, sizeof(t) / sizeof(t[0]), why);
	json_t *peers = json_object_get(o, "peers"), *p;
	size_t at;
	uint64_t objects = 0, octets = 0, quota = c->hold->quota;
	int64_t oldest = 0;

	if (n == -1)
		return -1;
	if (c->role == CONF_EDGE)
		json_array_foreach(peers, at, p)
			json_object_set_new(p, "held", json_integer(0));
	for (int i = 0; i < n; i++) {
		objects += t[i].objects;
		octets += t[i].bytes;
		if (t[i].oldest_ms != 0 && (oldest == 0 || t[i].oldest_ms < oldest))
			oldest = t[i].oldest_ms;
		if (c->role == CONF_EDGE && peers != NULL) {
			p = peer_entry(peers, t[i].home);
			json_object_set_new(p, "held", json_integer((json_int_t)t[i].objects));
			json_object_set_new(p, "held_octets", json_integer((json_int_t)t[i].bytes));
		}
	}
	json_object_set_new(o, "held", json_pack("{s:I, s:I, s:o, s:I}",
	    "objects", (json_int_t)objects,
	    "octets", (json_int_t)octets,
	    "oldest", answer_moment(oldest),
	    "oldest_ms", (json_int_t)oldest));
	json_object_set_new(o, "disk", json_pack("{s:I, s:I, s:I, s:I}",
	    "free", (json_int_t)db_disk_free(writer_db(w)),
	    "quota", (json_int_t)quota,
	    "reserve", (json_int_t)c->hold->reserve,
	    "percent", (json_int_t)(quota > 0 ? (double)octets / (double)quota * 100 : 100)));
	return 0;
}

/* By class, and when the next of what expires does. */
static json_t *
parked(struct writer *w, const struct db_parked *p)
{
	int64_t keep = writer_conf(w)->home->parked_keep_ms;
	json_t *o = json_object();

	for (int i = PARK_POLICY; i <= PARK_OPERATOR; i++)
		if (p->objects[i] > 0)
			json_object_set_new(o, park_class_word((enum park_class)i),
			    json_integer((json_int_t)p->objects[i]));
	if (p->first_ms > 0)
		json_object_set_new(o, "next_expires", answer_moment(p->first_ms + keep));
	return o;
}

/* Who judges held mail, and why he does not. */
static json_t *
filter(struct writer *w)
{
	const struct writer_conf *c = writer_conf(w);
	const struct conf_filter *f = &c->home->filter;

	return json_pack("{s:o, s:o}", "rspamd", answer_text(f->rspamd, sizeof(f->rspamd)),
	    "trouble", c->board != NULL ?
	    answer_board_text(c->board->filter, sizeof(c->board->filter)) : json_string(""));
}

static int
states(struct writer *w, json_t *o, struct why *why)
{
	struct ledger_mark mark = db_ledger_mark(writer_db(w));
	struct db_parked p;
	struct db_states s;
	json_t *list;

	if (writer_conf(w)->role != CONF_HOME)
		return 0;
	if (db_states(writer_db(w), &s, why) == -1 || db_parked(writer_db(w), &p, why) == -1)
		return -1;
	list = json_object();
	for (int i = 0; i <= LEDGER_REFUSED; i++)
		if (i != LEDGER_DELIVERED)
			json_object_set_new(list, ledger_state_word((enum ledger_state)i),
			    json_integer((json_int_t)s.objects[i]));
	json_object_set_new(o, "states", list);
	json_object_set_new(o, "parked", parked(w, &p));
	json_object_set_new(o, "filter", filter(w));
	json_object_set_new(o, "remembered", json_integer((json_int_t)s.delivered));
	json_object_set_new(o, "ledger", json_pack("{s:I, s:I}", "epoch", (json_int_t)mark.epoch,
	    "counter", (json_int_t)mark.counter));
	return 0;
}

/* Of each mail server the verdict and its evidence; the whole table is `interlock`'s. */
static void
interlocks(struct writer *w, json_t *o)
{
	static const char *const shown[] = {
		"service", "verdict", "open", "cause", "evidence", "warnings", "tested",
		"tested_ms",
	};
	json_t *list = json_array();

	for (size_t i = 0; i < writer_interlocks(w); i++) {
		const json_t *r = writer_interlock(w, i);
		json_t *one = json_object();

		for (size_t k = 0; k < sizeof(shown) / sizeof(shown[0]); k++)
			if (json_object_get(r, shown[k]) != NULL)
				json_object_set(one, shown[k], json_object_get(r, shown[k]));
		json_array_append_new(list, one);
	}
	json_object_set_new(o, "interlock", list);
}

/* Who signs here without a tunnel, and where it may push to. */
static void
workers(const struct conf_home *c, json_t *o)
{
	const struct conf_home_service *push = conf_home_push(c);
	json_t *names = json_array(), *at = json_array();

	for (size_t i = 0; i < c->nworkers; i++)
		json_array_append_new(names, answer_text(c->workers[i].name,
		    sizeof(c->workers[i].name)));
	for (size_t i = 0; push != NULL && i < push->nlisten; i++)
		json_array_append_new(at, json_string(netaddr_hostport(&push->listen[i]).s));
	json_object_set_new(o, "workers", names);
	json_object_set_new(o, "push", at);
}

json_t *
answer_status(struct writer *w, const json_t *question)
{
	const struct writer_conf *c = writer_conf(w);
	json_t *o = answer_ok();
	struct peers *peers = writer_peers(w);
	struct pairing_pending pending[PEERS_PENDING_MAX];
	struct why why;

	json_object_set_new(o, "role", json_string(c->role == CONF_EDGE ? "edge" : "home"));
	json_object_set_new(o, "hostname",
	    answer_text(c->common->hostname, sizeof(c->common->hostname)));
	json_object_set_new(o, "version", json_string(POSTHOUSE_VERSION));
	json_object_set_new(o, "now", answer_moment(wall_ms()));
	writer_alarms_answer(w, o);
	answer_board(o, c->board);
	if (json_object_get(o, "peers") == NULL)
		json_object_set_new(o, "peers", json_array());
	for (size_t i = 0; i < peers_count(peers); i++)
		peer_entry(json_object_get(o, "peers"), peers_at(peers, i)->name);
	json_object_set_new(o, "pairing_lines", json_integer((json_int_t)(c->role == CONF_EDGE ?
	    peers_pairings(peers, wall_ms(), pending, PEERS_PENDING_MAX) : 0)));
	if (c->role == CONF_HOME)
		json_object_set_new(o, "bans",
		    json_integer((json_int_t)netset_count(writer_bans(w))));
	json_object_set_new(o, "aside", json_integer(db_aside_count(writer_db(w))));
	if (c->role == CONF_HOME || (c->edge != NULL && c->edge->nbuckets > 0))
		json_object_set_new(o, "buckets", answer_buckets(c->board,
		    c->common->alarms.oldest_ms));
	if (c->role == CONF_HOME) {
		json_object_set_new(o, "delivery", answer_delivery(c->home, c->board));
		interlocks(w, o);
		workers(c->home, o);
	}
	if (totals(w, o, &why) == -1 || states(w, o, &why) == -1) {
		json_decref(o);
		return answer_failed(&why);
	}
	return o;
}
