#include "store/conditions.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "proto/alarms.h"
#include "store/control_answer.h"
#include "store/db.h"
#include "store/peers.h"
#include "store/writer_in.h"

#define DAY_MS	(24LL * 3600 * 1000)

struct finder {
	struct writer	*w;
	condition_fn	*fn;
	void		*arg;
};

static void	say(const struct finder *, enum condition, const char *kind, const char *whose,
		    const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* whose: NULL where there is one only */
static void
say(const struct finder *f, enum condition c, const char *kind, const char *whose, const char *fmt,
    ...)
{
	char key[ALARM_KEY_MAX], text[ALARM_TEXT_MAX];
	va_list ap;

	snprintf(key, sizeof(key), "%s%s%s", kind, whose != NULL ? "/" : "",
	    whose != NULL ? whose : "");
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	f->fn(f->arg, c, key, text);
}

/* --- the scoreboard ------------------------------------------------------------------------- */

struct words {
	char	s[2 * BOARD_WORDS];
};

/* A text on it may change while we read it, and need not end. */
static struct words
board_words(const char *p, size_t max)
{
	struct words w;
	char copy[BOARD_WORDS + 1];

	memcpy(copy, p, max);
	copy[max] = '\0';
	log_escape_words(span_of(copy, strlen(copy)), w.s, sizeof(w.s));
	return w;
}

static const struct board_peer *
board_peer(const struct scoreboard *b, const char *name)
{
	for (size_t i = 0; b != NULL && i < BOARD_PEERS; i++)
		if (strncmp(b->peer[i].name, name, sizeof(b->peer[i].name) - 1) == 0)
			return &b->peer[i];
	return NULL;
}

static void
configuration(const struct finder *f, const struct scoreboard *b)
{
	if (b->refused[0] != '\0')
		say(f, CONDITION_NOW, "configuration", NULL, "configuration: %s; until it is "
		    "mended and taken by a SIGHUP, the old one stays in force",
		    board_words(b->refused, sizeof(b->refused)).s);
}

static void
filter(const struct finder *f, const struct scoreboard *b)
{
	if (b->filter[0] != '\0')
		say(f, CONDITION_NOW, "filter", NULL, "filter: mail is delivered unjudged: %s",
		    board_words(b->filter, sizeof(b->filter)).s);
}

static void
processes(const struct finder *f, const struct scoreboard *b)
{
	for (size_t i = 0; i < BOARD_PROCS; i++) {
		const struct board_proc *p = &b->proc[i];
		struct words who = board_words(p->name, sizeof(p->name));

		if (who.s[0] != '\0' && p->alarm[0] != '\0')
			say(f, CONDITION_NOW, "process", who.s, "%s: %s", who.s,
			    board_words(p->alarm, sizeof(p->alarm)).s);
	}
}

static void
peer(const struct finder *f, const char *name)
{
	bool edge = f->w->conf.role == CONF_EDGE;
	const struct board_peer *p = board_peer(f->w->conf.board, name);
	struct words why = { "it was not seen since the start" };
	struct log_text who = log_safe(span_str(name));

	if (p != NULL)
		why = board_words(p->error, sizeof(p->error));
	if (p != NULL && atomic_load(&p->alarm) != 0)
		say(f, CONDITION_NOW, "keys", who.s, "%s: %s", who.s, why.s);
	if (p == NULL || atomic_load(&p->connections) == 0)
		say(f, CONDITION_PATIENT, edge ? "home" : "edge", who.s, !edge ?
		    "edge %s is out of reach: %s; what it holds waits there" :
		    f->w->conf.edge->nbuckets > 0 ?
		    "home %s has no tunnel to this edge: %s; its mail goes into the bucket" :
		    "home %s has no tunnel to this edge: %s; its mail is held here", who.s, why.s);
}

/* One after another, as they are mended; the log has them all. */
static void
unread(const struct finder *f)
{
	const char *file, *why;

	if (peers_unread(f->w->peers, &file, &why) > 0)
		say(f, CONDITION_NOW, "pairing", NULL, f->w->conf.role == CONF_EDGE ?
		    "homes/%s in the state is no pairing (%s): mail for domains that are not "
		    "known here is deferred. Put a good copy there and start anew, or pair that "
		    "home again: posthouse pair NAME DOMAIN" :
		    "edges/%s in the state is no pairing (%s): put a good copy there and start "
		    "anew, or pair with that edge again: posthouse pair",
		    log_safe(span_str(file)).s, why);
}

/* Those that are paired, and those that the configuration names with a key. */
static void
peers(const struct finder *f)
{
	const struct writer_conf *c = &f->w->conf;
	size_t n = peers_count(f->w->peers);

	if (c->board == NULL)
		return;
	for (size_t i = 0; i < n; i++)
		peer(f, peers_at(f->w->peers, i)->name);
	for (size_t i = 0; c->edge != NULL && i < c->edge->nhomes; i++)
		if (c->edge->homes[i].has_pin &&
		    peers_find(f->w->peers, c->edge->homes[i].name) == NULL)
			peer(f, c->edge->homes[i].name);
	for (size_t i = 0; c->home != NULL && i < c->home->nedges; i++)
		if (peers_find(f->w->peers, c->home->edges[i].name) == NULL)
			peer(f, c->home->edges[i].name);
}

/* Whether the interlock has closed that service: then it is no matter that it is. */
static bool
interlocked(const struct finder *f, const char *service)
{
	for (size_t i = 0; i < writer_interlocks(f->w); i++) {
		const json_t *r = writer_interlock(f->w, i);
		const char *name = json_string_value(json_object_get(r, "service"));

		if (name != NULL && strcmp(name, service) == 0)
			return !json_is_true(json_object_get(r, "open"));
	}
	return false;
}

static void
backends(const struct finder *f, const struct scoreboard *b)
{
	const struct conf_home *c = f->w->conf.home;

	for (size_t i = 0; c != NULL && i < c->nservices; i++)
		for (size_t k = 0; k < BOARD_SERVICES; k++) {
			const struct board_service *s = &b->service[k];
			const char *name = c->services[i].name;

			if (strncmp(s->name, name, sizeof(s->name)) == 0 &&
			    atomic_load(&s->up) == 0 && !interlocked(f, name))
				say(f, CONDITION_PATIENT, "backend", name, "service %s is closed "
				    "to clients: %s", name, board_words(s->why, sizeof(s->why)).s);
		}
}

static void
bucket_trouble(const struct finder *f, const struct board_bucket *b, const char *name,
    const char *why)
{
	bool alarm = atomic_load(&b->alarm) != 0;
	enum condition c = alarm ? CONDITION_NOW : CONDITION_PATIENT;

	if (f->w->conf.role != CONF_EDGE)
		say(f, c, "bucket", name, "bucket %s is not emptied: %s; what it holds waits there",
		    name, why);
	else if (alarm || atomic_load(&b->away) != 0)
		say(f, c, "bucket", name, "bucket %s takes no mail: %s; senders are told to come "
		    "again", name, why);
	else
		say(f, c, "bucket", name, "bucket %s is in trouble: %s; what it does not take in "
		    "time stays with its sender", name, why);
}

/*
 * A bucket that cannot be emptied, and the age of what waits in it, long before the bucket's own
 * rules would delete it; and what is no mail of ours, which only its owner can judge.
 */
static void
bucket(const struct finder *f, const struct board_bucket *b, const char *name)
{
	int64_t oldest = atomic_load(&b->oldest_ms), expires = atomic_load(&b->expires_ms);
	int64_t most = f->w->conf.common->alarms.oldest_ms, aside = atomic_load(&b->aside);
	struct words why = board_words(b->error, sizeof(b->error)), date = { "" };
	int64_t age = writer_surely_ms(f->w) - oldest;

	if (why.s[0] != '\0')
		bucket_trouble(f, b, name, why.s);
	if (expires > 0 && expires / 2 < most)
		most = expires / 2;
	if (oldest > 0 && age > most) {
		if (expires > 0)
			wall_iso(oldest + expires, date.s, sizeof(date.s));
		say(f, CONDITION_NOW, "bucket-waiting", name, "bucket %s: %lld message%s wait%s, "
		    "the oldest for %lld h%s%.10s: see posthouse status", name,
		    (long long)atomic_load(&b->waiting), atomic_load(&b->waiting) == 1 ? "" : "s",
		    atomic_load(&b->waiting) == 1 ? "s" : "", (long long)(age / 3600000),
		    expires > 0 ? ", which the bucket's own rules delete on " : "", date.s);
	}
	if (aside > 0)
		say(f, CONDITION_NOW, "bucket-aside", name, "bucket %s has %lld object%s that "
		    "%s no mail for this home, such as %s: %s; look, and remove or sign "
		    "what it is", name, (long long)aside, aside == 1 ? "" : "s",
		    aside == 1 ? "is" : "are",
		    board_words(b->aside_name, sizeof(b->aside_name)).s,
		    board_words(b->aside_why, sizeof(b->aside_why)).s);
}

static void
buckets(const struct finder *f, const struct scoreboard *b)
{
	const struct writer_conf *c = &f->w->conf;
	const struct conf_bucket *list = c->edge != NULL ? c->edge->bucket :
	    c->home != NULL ? c->home->buckets : NULL;
	size_t n = c->edge != NULL ? c->edge->nbuckets : c->home != NULL ? c->home->nbuckets : 0;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < BOARD_BUCKETS; k++)
			if (strncmp(b->bucket[k].name, list[i].name,
			    sizeof(b->bucket[k].name)) == 0)
				bucket(f, &b->bucket[k], list[i].name);
}

static void
certificate(const struct finder *f, struct scoreboard *b)
{
	const struct conf_edge *c = f->w->conf.edge;
	int64_t now = writer_surely_ms(f->w), until = atomic_load(&b->tls_until_ms);
	char date[40];

	if (c == NULL || !board_tls_ends(b, now, c->common.alarms.certificate_ms))
		return;
	wall_iso(until, date, sizeof(date));
	say(f, CONDITION_NOW, "certificate", NULL, "certificate: %s, for %s, %s %.10s: renew it; a "
	    "new file is taken when it is there", c->tls.cert,
	    board_words(b->tls_name, sizeof(b->tls_name)).s,
	    until <= now ? "is over since" : "ends on", date);
}

/* --- what is held --------------------------------------------------------------------------- */

/* An edge's home: of its quota, and the network that holds most of what may be one's share. */
static int
home_room(const struct finder *f, const struct db_totals *t, struct why *why)
{
	const struct conf_hold *h = f->w->conf.hold;
	uint64_t quota = writer_quota(f->w, t->home), octets;
	enum used used;
	struct netaddr net;
	int percent;

	/* Without a quota of its own it has hold.quota, which is looked at already. */
	used = quota < h->quota ? answer_used(t->bytes, quota, &percent) : USED_LITTLE;
	if (used == USED_NEARLY)
		say(f, CONDITION_NOW, "quota", t->home, "home %s: %d %% of its quota are used: is "
		    "it connected? Else raise its quota", t->home, percent);
	else if (used == USED_UP)
		say(f, CONDITION_NOW, "quota", t->home, "home %s: its mail is refused: its quota "
		    "is used up. Let it fetch what is held, or raise its quota", t->home);
	if (h->share == 0 || h->share >= 100)
		return 0;
	if (db_share_most(f->w->db, t->home, &net, &octets, why) == -1)
		return -1;
	used = answer_used(octets, db_share(f->w->db, quota, db_disk_free(f->w->db)),
	    &percent);
	if (used != USED_LITTLE)
		say(f, CONDITION_NOW, "share", t->home, "home %s: the client network of %s has "
		    "used %d %% of what one network may fill (hold.share); beyond it, its mail is "
		    "refused", t->home, netaddr_cidr(&net, SPOOL_NET_V4, SPOOL_NET_V6).s, percent);
	return 0;
}

/* Whether mail of that home can leave: by its pairing, or by a key in the configuration. */
static bool
reachable(const struct writer *w, const char *home)
{
	const struct conf_edge *c = w->conf.edge;

	for (size_t i = 0; c != NULL && i < c->nhomes; i++)
		if (c->homes[i].has_pin && strcmp(c->homes[i].name, home) == 0)
			return true;
	return peers_find(w->peers, home) != NULL;
}

/* Homes that are paired, while no listener takes what they are paired for. */
static void
unserved(const struct finder *f)
{
	const struct conf_edge *c = f->w->conf.edge;
	char words[400];

	for (size_t i = 0; c != NULL && i < peers_count(f->w->peers); i++) {
		const char *name = peers_at(f->w->peers, i)->name;

		if (answer_unserved(c, name, words, sizeof(words)))
			say(f, CONDITION_NOW, "unserved", name, "%s", words);
	}
}

/* Listeners that one home had, until another was paired. */
static void
crowded(const struct finder *f)
{
	const struct conf_edge *c = f->w->conf.edge;
	char words[400];

	for (size_t i = 0; c != NULL && i < c->nservices; i++)
		if (answer_crowded(f->w, &c->services[i], NULL, words, sizeof(words)))
			say(f, CONDITION_NOW, "crowded", c->services[i].name, "%s", words);
}

static bool
counts_on(const struct conf_service *s, const char *home)
{
	for (size_t i = 0; i < s->nhomes; i++)
		if (strcmp(s->homes[i], home) == 0)
			return true;
	return strcmp(s->default_home, home) == 0;
}

/* Said once, of the first place; services: how many of them stand before this one. */
static void
missing(const struct finder *f, const char *home, size_t services, const char *what)
{
	const struct conf_edge *c = f->w->conf.edge;

	if (home[0] == '\0' || reachable(f->w, home))
		return;
	for (size_t i = 0; i < services; i++)
		if (counts_on(&c->services[i], home))
			return;
	say(f, CONDITION_NOW, "missing", home, "%s%s%s names home %s, which is not paired: correct "
	    "the name, or pair it: posthouse pair %s DOMAIN", what, services < c->nservices ?
	    " " : "", services < c->nservices ? c->services[services].name : "", home, home);
}

/* Homes that the configuration names and that are not there: slips of the pen, mostly. */
static void
awaited(const struct finder *f)
{
	const struct conf_edge *c = f->w->conf.edge;

	for (size_t i = 0; c != NULL && i < c->nservices; i++) {
		const struct conf_service *s = &c->services[i];

		for (size_t k = 0; k < s->nhomes; k++)
			missing(f, s->homes[k], i, "service");
		if (s->nhomes == 0)		/* else it is one of these */
			missing(f, s->default_home, i, "default_home of service");
	}
	if (c != NULL)
		missing(f, c->postmaster, c->nservices, "postmaster");
}

static void
unpaired(const struct finder *f, const struct db_totals *t)
{
	int64_t age = writer_surely_ms(f->w) - t->oldest_ms;

	say(f, CONDITION_NOW, "unpaired", t->home, "%llu object%s, %llu octets, held for home %s, "
	    "which is not paired; the oldest for %lld days. Pair it again under that name to hand "
	    "them over: posthouse pair %s DOMAIN", (unsigned long long)t->objects,
	    t->objects == 1 ? "" : "s", (unsigned long long)t->bytes, t->home,
	    (long long)(age > 0 ? age / DAY_MS : 0), t->home);
}

/* What home will not take (TUNNEL.md, PUT), and why it says so, for as long as it is held. */
static int
declined(const struct finder *f, const char *home, struct why *why)
{
	char words[sizeof(((struct db_row *)0)->reason)];
	const char *advice = "is it as new as this edge?";
	uint64_t n;

	if (db_declined(f->w->db, home, &n, words, sizeof(words), why) == -1)
		return -1;
	if (n == 0)
		return 0;
	if (strncmp(words, "home answered 403", 17) == 0)
		advice = "if it is one or a few, look at this disk, which may have damaged them; "
		    "if it is all, pair again";
	else if (strncmp(words, "home answered 413", 17) == 0)
		advice = "raise hold.quota there";
	say(f, CONDITION_NOW, "declined", home, "home %s does not take %llu object%s, which %s "
	    "kept here and offered again: %s: %s; see posthouse queue", home,
	    (unsigned long long)n, n == 1 ? "" : "s", n == 1 ? "is" : "are", words, advice);
	return 0;
}

/* Nothing goes there until its operator has spoken. */
static void
stale(void *arg, const char *home)
{
	say(arg, CONDITION_NOW, "stale", home, "home %s: its ledger is an older one than was seen, "
	    "an old copy that was restored: nothing is handed over until `posthouse restore "
	    "--accept` there says that it is meant", home);
}

static void
room(const struct finder *f, uint64_t octets)
{
	const struct writer_conf *c = &f->w->conf;
	uint64_t left = db_disk_free(f->w->db), quota = c->hold->quota;
	const char *full = answer_room(c->role, left, octets, quota);
	int percent;

	if (full != NULL)
		say(f, CONDITION_NOW, left == 0 ? "disk" : "quota", NULL, "%s", full);
	else if (answer_used(octets, quota, &percent) == USED_NEARLY)
		say(f, CONDITION_NOW, "quota", NULL, "hold.quota: %d %% are used; beyond it mail "
		    "is refused", percent);
	if (left > 0 && left < c->common->alarms.disk)
		say(f, CONDITION_NOW, "disk", NULL, "the disk of the state directory has %llu MB "
		    "left above hold.reserve; beyond that mail is refused",
		    (unsigned long long)(left >> 20));
}

static void
waiting(const struct finder *f, uint64_t objects, int64_t oldest_ms)
{
	const struct writer_conf *c = &f->w->conf;
	const struct conf_alarms *a = &c->common->alarms;
	bool edge = c->role == CONF_EDGE;
	int64_t age = oldest_ms != 0 ? writer_surely_ms(f->w) - oldest_ms : 0;

	if (age > c->hold->max_hold_ms)
		say(f, CONDITION_NOW, "oldest", NULL, edge ? "mail is held longer than max_hold: "
		    "is home connected? It is kept, and waits" :
		    "mail waits longer than max_hold: see posthouse queue");
	else if (age >= a->oldest_ms)
		say(f, CONDITION_NOW, "oldest", NULL, "the oldest message that waits %s since "
		    "%lld h %lld min: %s", edge ? "for home is here" : "to be delivered came",
		    (long long)(age / 3600000), (long long)(age / 60000 % 60),
		    edge ? "is home connected? See posthouse status" : "see posthouse queue");
	if (objects >= a->count)
		say(f, CONDITION_NOW, "count", NULL, "%llu messages wait %s: see posthouse queue",
		    (unsigned long long)objects, edge ? "for home" : "to be delivered");
}

static int
held(const struct finder *f, struct why *why)
{
	static struct db_totals t[PEERS_MAX + CONF_HOMES_MAX];	/* one look at a time */
	bool edge = f->w->conf.role == CONF_EDGE;
	int n = db_totals(f->w->db, t, sizeof(t) / sizeof(t[0]), why);
	uint64_t objects = 0, octets = 0;
	int64_t oldest = 0;

	if (n == -1)
		return -1;
	for (int i = 0; i < n; i++) {
		objects += t[i].objects;
		octets += t[i].bytes;
		if (t[i].oldest_ms != 0 && (oldest == 0 || t[i].oldest_ms < oldest))
			oldest = t[i].oldest_ms;
		if (!edge)
			continue;
		if (!reachable(f->w, t[i].home))
			unpaired(f, &t[i]);
		if (home_room(f, &t[i], why) == -1 || declined(f, t[i].home, why) == -1)
			return -1;
	}
	room(f, octets);
	/* What is parked at home waits for nobody but a person, and has a condition of its own. */
	if (!edge && db_waiting(f->w->db, &objects, &oldest, why) == -1)
		return -1;
	waiting(f, objects, oldest);
	return 0;
}

static int
parked(const struct finder *f, struct why *why)
{
	uint64_t stays = 0, junk;
	struct db_parked p;
	int64_t now = writer_surely_ms(f->w);

	if (f->w->conf.role != CONF_HOME)
		return 0;
	if (db_parked(f->w->db, &p, why) == -1 ||
	    db_parked_since(f->w->db, now - DAY_MS, &junk, why) == -1)
		return -1;
	/* What the operator parked himself he knows of. */
	for (int i = PARK_POLICY + 1; i < PARK_OPERATOR; i++)
		stays += p.objects[i];
	if (stays > 0)
		say(f, CONDITION_NOW, "parked", NULL, "parked mail stays until somebody looks at "
		    "it, %llu object%s: see posthouse queue --state parked",
		    (unsigned long long)stays, stays == 1 ? "" : "s");
	if (junk > 0)
		say(f, CONDITION_SUMMARY, "junk", NULL, "%llu message%s refused by policy, as junk "
		    "or for nobody here, %s parked, %llu of %s in the last day; %s away %lld days "
		    "after that: see posthouse queue --class policy",
		    (unsigned long long)p.objects[PARK_POLICY],
		    p.objects[PARK_POLICY] == 1 ? "" : "s",
		    p.objects[PARK_POLICY] == 1 ? "is" : "are", (unsigned long long)junk,
		    p.objects[PARK_POLICY] == 1 ? "it" : "them",
		    p.objects[PARK_POLICY] == 1 ? "it goes" : "each goes",
		    (long long)(f->w->conf.home->parked_keep_ms / DAY_MS));
	return 0;
}

static void
interlocks(const struct finder *f)
{
	for (size_t i = 0; i < writer_interlocks(f->w); i++) {
		const json_t *r = writer_interlock(f->w, i);
		const char *verdict = json_string_value(json_object_get(r, "verdict"));
		const char *service = json_string_value(json_object_get(r, "service"));

		if (verdict != NULL && service != NULL &&
		    !json_is_true(json_object_get(r, "open")))
			say(f, CONDITION_NOW, "interlock", service, "interlock: service %s is "
			    "closed, the verdict is \"%s\": see posthouse interlock", service,
			    verdict);
	}
}

int
conditions(struct writer *w, condition_fn *fn, void *arg, struct why *why)
{
	struct finder f = { w, fn, arg };
	const char *alarm = db_alarm(w->db), *lost = db_lost(w->db);
	struct why inner;
	char clock[256];

	if (alarm[0] != '\0')
		say(&f, CONDITION_NOW, w->failing ? "store" : "spool", NULL, "spool: %s", alarm);
	if (lost[0] != '\0')
		say(&f, CONDITION_NOW, "lost", NULL, "spool: %s", lost);
	if (writer_clock_alarm(w, clock, sizeof(clock)))
		say(&f, CONDITION_NOW, "clock", NULL, "%s", clock);
	if (w->conf.board != NULL) {
		configuration(&f, w->conf.board);
		filter(&f, w->conf.board);
		processes(&f, w->conf.board);
		backends(&f, w->conf.board);
		certificate(&f, w->conf.board);
		buckets(&f, w->conf.board);
	}
	unread(&f);
	peers(&f);
	unserved(&f);
	awaited(&f);
	crowded(&f);
	if (w->conf.role == CONF_HOME)
		interlocks(&f);
	if (db_marks_stale(w->db, stale, &f, &inner) == 0 && held(&f, &inner) == 0 &&
	    parked(&f, &inner) == 0)
		return 0;
	say(&f, CONDITION_NOW, "ledger", NULL, "the database cannot be read: %s", inner.text);
	*why = inner;
	return -1;
}
