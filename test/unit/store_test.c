/* Spool and ledger from a client's side: whole round trips over a channel. */
#include "kit/store_play.h"

/* --- edge ---------------------------------------------------------------------------- */

static void
what_is_kept_comes_back_whole(void **state)
{
	static const size_t sizes[] = { 0, 1, 5000, 256 << 10, (256 << 10) + 1, 3 << 20 };
	struct put_told told = { 0 };
	struct listed l = { 0 };
	struct done d = { 0 };
	struct play p;
	struct spool *s;
	unsigned i, n = sizeof(sizes) / sizeof(sizes[0]);

	play_begin(&p, CONF_EDGE);
	s = play_client(&p);
	play_attach(&p, s);
	for (i = 0; i < n; i++) {
		struct spool_meta m = a_meta(&p, i);

		assert_int_equal(put_one(s, &m, i, sizes[i], &told), 0);
	}
	assert_true(spool_memory(s) > 0);
	play_until(&p, &told.told, n);
	assert_int_equal(told.kept, n);
	assert_int_equal(spool_memory(s), 0);
	spool_list(s, "alice", 0, 100, on_listed, &l);
	play_until(&p, &l.told, 1);
	assert_true(l.ok);
	assert_int_equal(l.n, n);
	assert_string_equal(l.first.meta.signer, "mx1.example.org");
	assert_string_equal(l.first.meta.home, "alice");
	assert_int_equal(l.first.meta.received_ms, 1795232400000);
	for (i = 0; i < n; i++) {
		struct got g = { .n = i };

		assert_true(i == 0 || l.rows[i] > l.rows[i - 1]);
		spool_get(s, l.rows[i], on_got, &g);
		play_until(&p, &g.told, 1);
		assert_true(g.ok && g.right);
		assert_int_equal(g.size, sizes[i]);
		spool_delete(s, l.rows[i], on_done, &d);
		play_until(&p, &d.told, i + 1);
		assert_true(d.ok);
	}
	l.told = 0;
	spool_list(s, "alice", 0, 100, on_listed, &l);
	play_until(&p, &l.told, 1);
	assert_int_equal(l.n, 0);
	spool_free(&s);
	play_end(&p);
}

static void
the_same_key_is_kept_once(void **state)
{
	struct put_told told = { 0 };
	struct play p;
	struct spool_meta m;
	struct spool *s;
	int64_t row;

	play_begin(&p, CONF_EDGE);
	s = play_client(&p);
	play_attach(&p, s);
	m = a_meta(&p, 7);
	put_one(s, &m, 7, 5000, &told);
	play_until(&p, &told.told, 1);
	row = told.row;
	put_one(s, &m, 7, 5000, &told);
	put_one(s, &m, 7, 1 << 20, &told);
	play_until(&p, &told.told, 3);
	assert_int_equal(told.before, 2);
	assert_int_equal(told.row, row);
	/* another edge's id is another object */
	snprintf(m.signer, sizeof(m.signer), "mx2.example.org");
	put_one(s, &m, 7, 5000, &told);
	play_until(&p, &told.told, 4);
	assert_int_equal(told.kept, 2);
	spool_free(&s);
	play_end(&p);
}

static void
an_open_verdict_hides_until_it_is_over(void **state)
{
	struct put_told told = { 0 };
	struct listed l = { 0 };
	struct play p;
	struct spool_meta m;
	struct spool *s, *other;
	unsigned work;

	play_begin(&p, CONF_EDGE);
	s = play_client(&p);
	other = play_client(&p);
	play_attach(&p, s);
	play_attach(&p, other);
	m = a_meta(&p, 1);
	m.verdict = true;
	put_one(s, &m, 1, 100, &told);
	m = a_meta(&p, 2);
	m.verdict = true;
	put_one(s, &m, 2, 100, &told);
	play_until(&p, &told.told, 2);
	spool_list(other, "alice", 0, 10, on_listed, &l);
	play_until(&p, &l.told, 1);
	assert_int_equal(l.n, 0);
	spool_release(s, told.row);
	work = p.work;
	play_until(&p, &p.work, work + 1);
	spool_list(other, "alice", 0, 10, on_listed, &l);
	play_until(&p, &l.told, 2);
	assert_int_equal(l.n, 1);
	work = p.work;
	/* its process is gone: nobody knows what the sender was told */
	spool_attach(s, NULL);
	play_until(&p, &p.work, work + 1);
	spool_list(other, "alice", 0, 10, on_listed, &l);
	play_until(&p, &l.told, 3);
	assert_int_equal(l.n, 2);
	spool_free(&s);
	spool_free(&other);
	play_end(&p);
}

static void
full_says_which_limit_and_recovers(void **state)
{
	struct put_told told = { 0 };
	struct done d = { 0 };
	struct play p;
	struct spool_meta m;
	struct spool *s;
	struct why why;
	int64_t first;

	play_begin(&p, CONF_EDGE);
	p.edge->hold.quota = 100000;
	p.edge->hold.share = 25;
	snprintf(p.edge->homes[0].name, sizeof(p.edge->homes[0].name), "alice");
	p.edge->homes[0].quota = 40000;
	p.edge->nhomes = 1;
	assert_int_equal(writer_reload(p.writer, &p.conf, &why), 0);
	s = play_client(&p);
	play_attach(&p, s);

	m = a_meta(&p, 1);
	m.client_net.ip[10] = m.client_net.ip[11] = 0xff;
	m.client_net.ip[12] = 192;
	put_one(s, &m, 1, 9000, &told);
	play_until(&p, &told.told, 1);
	first = told.row;
	m.id.b[15] = 2;
	put_one(s, &m, 2, 2000, &told);		/* 11,000 of the 10,000 that one network may fill */
	play_until(&p, &told.told, 2);
	assert_int_equal(told.last, KEPT_FULL);
	assert_non_null(strstr(told.why, "share"));
	m.client_net.ip[12] = 193;
	put_one(s, &m, 2, 2000, &told);		/* another network may */
	play_until(&p, &told.told, 3);
	assert_int_equal(told.last, KEPT);

	m = a_meta(&p, 3);
	put_one(s, &m, 3, 30000, &told);	/* 41,000 of home's 40,000 */
	play_until(&p, &told.told, 4);
	assert_int_equal(told.last, KEPT_FULL);
	assert_non_null(strstr(told.why, "alice"));
	snprintf(m.home, sizeof(m.home), "bob");
	put_one(s, &m, 3, 80000, &told);	/* bob has the default quota: all of it */
	play_until(&p, &told.told, 5);
	assert_int_equal(told.last, KEPT);
	m.id.b[15] = 4;
	put_one(s, &m, 4, 10000, &told);	/* 101,000 of 100,000 in all */
	play_until(&p, &told.told, 6);
	assert_int_equal(told.last, KEPT_FULL);
	assert_non_null(strstr(told.why, "quota"));

	spool_delete(s, first, on_done, &d);
	put_one(s, &m, 4, 9000, &told);
	play_until(&p, &told.told, 7);
	assert_int_equal(told.last, KEPT);
	p.edge->hold.reserve = 1ull << 60;	/* no disk has so much free */
	assert_int_equal(writer_reload(p.writer, &p.conf, &why), 0);
	m.id.b[15] = 5;
	put_one(s, &m, 5, 10, &told);
	play_until(&p, &told.told, 8);
	assert_int_equal(told.last, KEPT_FULL);
	assert_non_null(strstr(told.why, "reserve"));
	spool_free(&s);
	play_end(&p);
}

static void
memory_has_a_budget(void **state)
{
	struct put_told told = { 0 };
	struct play p;
	struct spool *s;
	unsigned i;

	play_begin(&p, CONF_EDGE);
	p.edge->hold.memory = 100000;
	s = play_client(&p);
	for (i = 0; i < 30; i++) {		/* no writer yet: all of it waits */
		struct spool_meta m = a_meta(&p, i);

		put_one(s, &m, i, 10000, &told);
		assert_true(spool_memory(s) <= 100000);
	}
	assert_true(spool_memory(s) > 50000);
	play_attach(&p, s);
	play_until(&p, &told.told, 30);
	assert_int_equal(told.kept, 30);
	assert_int_equal(spool_memory(s), 0);
	spool_free(&s);
	play_end(&p);
}

static void
a_mark_never_goes_back(void **state)
{
	static const struct {
		uint64_t epoch, counter;
		enum marked marked;
	} marks[] = {
		{ 500, 10, MARKED }, { 500, 10, MARKED }, { 500, 12, MARKED },
		{ 500, 11, MARKED_STALE }, { 500, 12, MARKED },
		{ 77, 1, MARKED },		/* a new ledger, whatever its number */
		{ 500, 13, MARKED_STALE },	/* the old one, restored */
		{ 77, 2, MARKED },
	};
	struct mark_told t = { 0 };
	struct play p;
	struct spool *s;
	unsigned i, n = 0;

	play_begin(&p, CONF_EDGE);
	/* the second after a restart: the last is remembered */
	for (unsigned round = 0; round < 2; round++) {
		s = play_client(&p);
		play_attach(&p, s);
		for (i = round == 0 ? 0 : 6; i < sizeof(marks) / sizeof(marks[0]); i++) {
			spool_mark(s, "alice", (struct ledger_mark){ marks[i].epoch,
			    marks[i].counter }, on_marked, &t);
			play_until(&p, &t.told, ++n);
			assert_int_equal(t.last, marks[i].marked);
			if (t.last == MARKED_STALE)
				assert_non_null(strstr(t.why, "older"));
		}
		spool_free(&s);
		writer_free(&p.writer);
		play_writer(&p);
	}
	play_end(&p);
}

static void
a_writer_that_comes_back_finds_its_client(void **state)
{
	struct put_told told = { 0 }, late = { 0 };
	struct listed l = { 0 };
	struct play p;
	struct spool_meta m;
	struct spool *s;

	play_begin(&p, CONF_EDGE);
	s = play_client(&p);
	play_attach(&p, s);
	play_for(&p, 20);
	assert_int_equal(p.up, 1);
	m = a_meta(&p, 1);
	put_one(s, &m, 1, 5000, &told);
	m = a_meta(&p, 2);
	put_one(s, &m, 2, 500000, &told);
	writer_free(&p.writer);			/* both are under way */
	play_until(&p, &told.told, 2);
	assert_int_equal(told.not_kept, 2);
	assert_int_equal(p.up, 0);
	m = a_meta(&p, 3);
	put_one(s, &m, 3, 5000, &late);		/* this one waits */
	play_for(&p, 20);
	assert_int_equal(late.told, 0);
	play_writer(&p);
	play_attach(&p, s);
	play_until(&p, &late.told, 1);
	assert_int_equal(late.kept, 1);
	assert_int_equal(p.up, 1);
	spool_list(s, "alice", 0, 10, on_listed, &l);
	play_until(&p, &l.told, 1);
	assert_true(l.n >= 1 && l.n <= 3);
	spool_free(&s);
	play_end(&p);
}

static void
nonsense_ends_the_channel_and_nothing_else(void **state)
{
	static const struct {
		unsigned type;
		const char *body;
		size_t n;
	} says[] = {
		{ 0, "", 0 }, { 63, "", 0 }, { 64, "x", 1 }, { 1, "", 0 }, { 1, "\0\1", 2 }, { 4,
		    "1234567", 7 },
		{ 4, "123456789", 9 }, { 4, "\377\377\377\377\377\377\377\377", 8 }, { 3,
		    "\377\377", 2 },
		{ 9, "\0\0\0\1", 4 }, { 2, "\0\0", 2 }, { 16, "", 0 }, { 17, "{}", 2 },
	};
	struct put_told told = { 0 };
	struct play p;
	struct spool_meta m;
	struct spool *s;
	struct why why;

	play_begin(&p, CONF_EDGE);
	s = play_client(&p);
	play_attach(&p, s);
	for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
		struct span body = span_of(says[i].body, says[i].n);
		char b[4096];
		struct chan *c;
		ssize_t k;
		int sv[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		    sv), 0);
		writer_client(p.writer, chan_new(&p.loop, sv[0], &why));
		c = chan_new(&p.loop, dup(sv[1]), &why);
		assert_true(chan_send(c, (uint16_t)says[i].type, (uint64_t)says[i].type << 56 | 1,
		    &body, 1, -1));
		play_for(&p, 5);
		while ((k = read(sv[1], b, sizeof(b))) > 0)
			;
		assert_int_equal(k, 0);		/* the writer hung up */
		chan_free(&c);
		close(sv[1]);
	}
	m = a_meta(&p, 1);
	put_one(s, &m, 1, 5000, &told);
	play_until(&p, &told.told, 1);
	assert_int_equal(told.kept, 1);
	spool_free(&s);
	play_end(&p);
}

/* --- home ---------------------------------------------------------------------------- */

struct jobs {
	unsigned	ended, n;
	struct spool_object object[64];
	size_t		nentries[64];
	struct ledger_entry entry[64];		/* the first of each */
	struct got	content;
};

static void
on_job(void *arg, struct ledger_job *job)
{
	struct jobs *j = arg;

	if (job == NULL) {
		j->ended++;
		return;
	}
	assert_true(j->n < 64);
	j->object[j->n] = job->object;
	j->nentries[j->n] = job->nentries;
	if (job->nentries > 0)
		j->entry[j->n] = job->entries[0];
	check_content(&j->content, &job->content);
	j->n++;
}

static void
claim(struct play *p, struct spool *s, unsigned max, struct jobs *j)
{
	unsigned ended = j->ended;

	j->n = 0;
	ledger_claim(s, max, on_job, j);
	play_until(p, &j->ended, ended + 1);
}

static struct ledger_entry
an_entry(int64_t row, unsigned part, enum ledger_state state)
{
	struct ledger_entry e = { .row = row, .part = part, .state = state };

	snprintf(e.recipient, sizeof(e.recipient), "user%u@example.org", part);
	snprintf(e.mailbox, sizeof(e.mailbox), "user%u", part);
	return e;
}

static void
note(struct play *p, struct spool *s, const struct ledger_entry *e, size_t n)
{
	struct done d = { 0 };

	ledger_note(s, e, n, on_done, &d);
	play_until(p, &d.told, 1);
	assert_true(d.ok);
}

struct heard {
	unsigned	told;
	enum outcome	outcome;
	struct smtp_reply reply;
};

static void
on_outcome(void *arg, enum outcome o, const struct smtp_reply *reply)
{
	struct heard *h = arg;

	h->told++;
	h->outcome = o;
	h->reply = *reply;
}

static int64_t
put_at_home(struct play *p, struct spool *s, unsigned n, bool verdict)
{
	struct spool_meta m = a_meta(p, n);
	struct put_told told = { 0 };

	m.verdict = verdict;
	put_one(s, &m, n, 5000, &told);
	play_until(p, &told.told, 1);
	assert_int_equal(told.kept, 1);
	return told.row;
}

static void
delivered_is_gone_and_remembered(void **state)
{
	struct put_told told = { 0 };
	struct heard h = { 0 };
	struct jobs j = { 0 };
	struct ledger_entry e[2];
	struct spool_meta m;
	struct spool *s, *courier;
	struct play p;
	struct got g = { 0 };
	int64_t row;

	play_begin(&p, CONF_HOME);
	s = play_client(&p);
	courier = play_client(&p);
	play_attach(&p, s);
	play_attach(&p, courier);
	row = put_at_home(&p, s, 5, false);
	ledger_watch(s, row, on_outcome, &h);
	j.content.n = 5;
	claim(&p, courier, 10, &j);
	assert_int_equal(j.n, 1);
	assert_int_equal(j.object[0].row, row);
	assert_int_equal(j.nentries[0], 0);
	assert_true(j.content.right);
	claim(&p, courier, 10, &j);		/* it is in somebody's hands */
	assert_int_equal(j.n, 0);
	e[0] = an_entry(row, 0, LEDGER_STAGED);
	snprintf(e[0].name, sizeof(e[0].name), "1795.M1P2.host");
	e[1] = an_entry(row, 1, LEDGER_QUEUED);
	note(&p, courier, e, 2);
	assert_int_equal(h.told, 0);
	e[0].state = LEDGER_DELIVERED;
	note(&p, courier, e, 1);
	assert_int_equal(h.told, 0);
	e[1].state = LEDGER_DELIVERED;
	note(&p, courier, e + 1, 1);
	play_until(&p, &h.told, 1);
	assert_int_equal(h.outcome, OUTCOME_DELIVERED);
	spool_get(s, row, on_got, &g);
	play_until(&p, &g.told, 1);
	assert_false(g.ok);
	m = a_meta(&p, 5);
	put_one(s, &m, 5, 5000, &told);
	play_until(&p, &told.told, 1);
	assert_int_equal(told.last, KEPT_BEFORE);
	ledger_watch(s, told.row, on_outcome, &h);	/* of what was delivered before */
	play_until(&p, &h.told, 2);
	assert_int_equal(h.outcome, OUTCOME_DELIVERED);
	assert_true(p.mark.counter >= 4 && p.mark.epoch > 0);
	spool_free(&s);
	spool_free(&courier);
	play_end(&p);
}

static void
a_courier_that_dies_leaves_nothing_behind(void **state)
{
	struct jobs j = { 0 };
	struct ledger_entry e;
	struct spool *s, *courier;
	struct play p;
	int64_t row[3];
	unsigned work;

	play_begin(&p, CONF_HOME);
	s = play_client(&p);
	courier = play_client(&p);
	play_attach(&p, s);
	play_attach(&p, courier);
	for (unsigned i = 0; i < 3; i++)
		row[i] = put_at_home(&p, s, i, false);
	claim(&p, courier, 2, &j);
	assert_int_equal(j.n, 2);		/* the oldest */
	assert_int_equal(j.object[0].row, row[0]);
	assert_int_equal(j.object[1].row, row[1]);
	e = an_entry(row[0], 0, LEDGER_SENDING);
	note(&p, courier, &e, 1);
	e = an_entry(row[1], 0, LEDGER_STAGED);
	note(&p, courier, &e, 1);
	work = p.work;
	spool_free(&courier);
	play_until(&p, &p.work, work + 1);
	courier = play_client(&p);
	play_attach(&p, courier);
	claim(&p, courier, 10, &j);
	assert_int_equal(j.n, 3);
	assert_int_equal(j.object[0].row, row[0]);
	assert_int_equal(j.entry[0].state, LEDGER_UNCERTAIN);
	assert_string_equal(j.entry[0].recipient, "user0@example.org");
	assert_int_equal(j.entry[1].state, LEDGER_STAGED);
	assert_int_equal(j.nentries[2], 0);
	/* The same for a writer that dies. */
	e = an_entry(row[2], 0, LEDGER_SENDING);
	note(&p, courier, &e, 1);
	writer_free(&p.writer);
	play_for(&p, 10);
	play_writer(&p);
	play_attach(&p, courier);
	claim(&p, courier, 10, &j);
	assert_int_equal(j.n, 3);
	assert_int_equal(j.entry[2].state, LEDGER_UNCERTAIN);
	spool_free(&s);
	spool_free(&courier);
	play_end(&p);
}

static void
deferred_comes_back_when_it_is_due(void **state)
{
	struct jobs j = { 0 };
	struct ledger_entry e;
	struct spool *s;
	struct play p;
	int64_t row;
	unsigned work;

	play_begin(&p, CONF_HOME);
	s = play_client(&p);
	play_attach(&p, s);
	row = put_at_home(&p, s, 1, false);
	claim(&p, s, 10, &j);
	e = an_entry(row, 0, LEDGER_DEFERRED);
	e.next_ms = wall_ms() + 300;
	e.reply = smtp_reply(451, 4, 3, 0, "not now\nreally");
	note(&p, s, &e, 1);
	claim(&p, s, 10, &j);
	assert_int_equal(j.n, 0);
	work = p.work;
	play_until(&p, &p.work, work + 1);
	claim(&p, s, 10, &j);
	assert_int_equal(j.n, 1);
	assert_int_equal(j.entry[0].state, LEDGER_DEFERRED);
	assert_int_equal(j.entry[0].reply.code, 451);
	assert_int_equal(j.entry[0].reply.enhanced[1], 3);
	assert_string_equal(j.entry[0].reply.text, "not now\nreally");
	spool_free(&s);
	play_end(&p);
}

struct parked {
	enum ledger_state state;
	enum park_class park;
};

static bool
on_entry(void *arg, const struct ledger_entry *e)
{
	*(struct parked *)arg = (struct parked){ e->state, e->park };
	return true;
}

static struct parked
entry_of(struct play *p, int64_t row)
{
	struct parked k = { 0 };

	assert_int_equal(db_entries(writer_db(p->writer), row, on_entry, &k, NULL), 0);
	return k;
}

/* What a refusal becomes, by when the wait ended. */
static void
a_refusal_is_provisional_only_while_the_sender_waits(void **state)
{
	static const struct {
		const char *name;
		bool verdict, over_first, put_again, confirm;
		unsigned enhanced[2];
		enum outcome outcome;
		enum ledger_state state;
		enum park_class park;
	} plays[] = {
		{ "nobody waits", false, false, false, false, { 2, 1 }, OUTCOME_ACCEPTED,
		    LEDGER_PARKED, PARK_REFUSED },
		{ "refused in time", true, false, false, false, { 2, 1 }, OUTCOME_REFUSED,
		    LEDGER_REFUSED, PARK_NONE },
		{ "the wait ended before", true, true, false, false, { 1, 1 }, OUTCOME_ACCEPTED,
		    LEDGER_PARKED, PARK_POLICY },
		{ "put again: 250 was said", true, false, true, false, { 7, 1 }, OUTCOME_REFUSED,
		    LEDGER_PARKED, PARK_POLICY },
		{ "put again: 250 was said", true, false, true, false, { 6, 0 }, OUTCOME_REFUSED,
		    LEDGER_PARKED, PARK_REFUSED },
		{ "the sender was told", true, false, false, true, { 2, 1 }, OUTCOME_REFUSED, 0,
		    0 },
	};
	struct play p;
	struct spool *s;

	play_begin(&p, CONF_HOME);
	s = play_client(&p);
	play_attach(&p, s);
	for (unsigned i = 0; i < sizeof(plays) / sizeof(plays[0]); i++) {
		struct heard h = { 0 }, over = { 0 };
		struct put_told told = { 0 };
		struct spool_meta m = a_meta(&p, i);
		struct jobs j = { 0 };
		struct ledger_entry e;
		struct parked k;
		struct done d = { 0 };
		int64_t row = put_at_home(&p, s, i, plays[i].verdict);

		print_message("%s\n", plays[i].name);
		ledger_watch(s, row, on_outcome, &h);
		claim(&p, s, 1, &j);
		assert_int_equal(j.object[0].row, row);
		if (plays[i].over_first) {
			ledger_verdict_over(s, row, on_outcome, &over);
			play_until(&p, &over.told, 1);
			assert_int_equal(over.outcome, OUTCOME_PENDING);
		}
		e = an_entry(row, 0, plays[i].verdict ? LEDGER_REFUSED : LEDGER_PARKED);
		e.park = plays[i].verdict ? PARK_NONE : PARK_REFUSED;
		e.reply = smtp_reply(550, 5, plays[i].enhanced[0], plays[i].enhanced[1], "no");
		note(&p, s, &e, 1);
		play_until(&p, &h.told, 1);
		assert_int_equal(h.outcome, plays[i].outcome);
		if (h.outcome == OUTCOME_REFUSED) {
			assert_int_equal(h.reply.code, 550);
			ledger_verdict_over(s, row, on_outcome, &over);
			play_until(&p, &over.told, 1);
			assert_int_equal(over.outcome, OUTCOME_REFUSED);
		}
		if (plays[i].put_again) {
			put_one(s, &m, i, 5000, &told);
			play_until(&p, &told.told, 1);
			assert_int_equal(told.last, KEPT_BEFORE);
		}
		/* touches only what is provisional */
		ledger_confirm_refused(s, m.signer, m.id, on_done, &d);
		if (plays[i].confirm || plays[i].state == LEDGER_PARKED)
			play_until(&p, &d.told, 1);
		else {
			play_until(&p, &d.told, 1);
			continue;
		}
		k = entry_of(&p, row);
		assert_int_equal(k.state, plays[i].state);
		assert_int_equal(k.park, plays[i].park);
		if (plays[i].confirm) {
			put_one(s, &m, i, 5000, &told);
			play_until(&p, &told.told, 1);
			/* it does not come back as new mail */
			assert_int_equal(told.last, KEPT_BEFORE);
		}
	}
	spool_free(&s);
	play_end(&p);
}

static void
one_refused_of_two_is_parked(void **state)
{
	struct heard h = { 0 };
	struct jobs j = { 0 };
	struct ledger_entry e[2];
	struct play p;
	struct spool *s;
	int64_t row;

	play_begin(&p, CONF_HOME);
	s = play_client(&p);
	play_attach(&p, s);
	row = put_at_home(&p, s, 1, true);
	ledger_watch(s, row, on_outcome, &h);
	claim(&p, s, 1, &j);
	e[0] = an_entry(row, 0, LEDGER_DELIVERED);
	e[1] = an_entry(row, 1, LEDGER_REFUSED);
	e[1].reply = smtp_reply(550, 5, 2, 1, "no");
	note(&p, s, e, 2);
	play_until(&p, &h.told, 1);
	assert_int_equal(h.outcome, OUTCOME_ACCEPTED);
	assert_int_equal(entry_of(&p, row).state, LEDGER_PARKED);
	spool_free(&s);
	play_end(&p);
}

static void
many_recipients_fit(void **state)
{
	enum { N = 1000 };
	struct ledger_entry *e = calloc(N, sizeof(*e));
	struct jobs j = { 0 };
	struct play p;
	struct spool *s;
	int64_t row;

	play_begin(&p, CONF_HOME);
	s = play_client(&p);
	play_attach(&p, s);
	row = put_at_home(&p, s, 1, false);
	claim(&p, s, 1, &j);
	for (unsigned i = 0; i < N; i++) {
		e[i] = an_entry(row, i, LEDGER_DEFERRED);
		e[i].reply = smtp_reply(450, 4, 2, 0, "%0800d", 1);
		memset(e[i].recipient, 'a', 300);
	}
	note(&p, s, e, N);
	claim(&p, s, 1, &j);
	assert_int_equal(j.n, 1);
	assert_int_equal(j.nentries[0], N);
	spool_free(&s);
	play_end(&p);
	free(e);
}

static void
large_ones_take_half(void **state)
{
	struct put_told told = { 0 };
	struct jobs j = { 0 };
	struct play p;
	struct spool *s;
	unsigned i, large = 0;

	play_begin(&p, CONF_HOME);
	s = play_client(&p);
	play_attach(&p, s);
	for (i = 0; i < 20; i++) {
		struct spool_meta m = a_meta(&p, i);

		put_one(s, &m, i, i < 10 ? 300000 : 100, &told);
	}
	play_until(&p, &told.told, 20);
	assert_int_equal(told.kept, 20);
	claim(&p, s, 10, &j);
	for (i = 0; i < j.n; i++)
		large += j.object[i].size > 1000;
	assert_int_equal(j.n, 10);
	assert_int_equal(large, 5);
	spool_free(&s);
	play_end(&p);
}

static void
a_forged_one_is_set_aside(void **state)
{
	struct spool_meta m;
	struct spool_put *put;
	struct done d = { 0 };
	struct jobs j = { 0 };
	struct why why;
	struct play p;
	struct spool *s;

	play_begin(&p, CONF_HOME);
	s = play_client(&p);
	play_attach(&p, s);
	m = a_meta(&p, 1);
	put = spool_put_new(s, &m);
	assert_int_equal(spool_put_add(put, "forged", 6, &why), 0);
	spool_set_aside(&put, "MAC is wrong", on_done, &d);
	play_until(&p, &d.told, 1);
	assert_true(d.ok);
	assert_int_equal(db_aside_count(writer_db(p.writer)), 1);
	assert_non_null(strstr(db_alarm(writer_db(p.writer)), "aside"));
	claim(&p, s, 10, &j);
	assert_int_equal(j.n, 0);
	spool_free(&s);
	play_end(&p);
}

static void
home_does_not_take_an_edges_orders(void **state)
{
	struct done d = { 0 };
	struct play p;
	struct spool *s;
	int64_t row;

	play_begin(&p, CONF_HOME);
	s = play_client(&p);
	play_attach(&p, s);
	row = put_at_home(&p, s, 1, false);
	spool_delete(s, row, on_done, &d);	/* no process of a home may */
	play_until(&p, &d.told, 1);
	assert_false(d.ok);
	assert_int_equal(p.up, 0);
	assert_int_equal(entry_of(&p, row).state, 0);
	spool_free(&s);
	play_end(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_kept_comes_back_whole),
		cmocka_unit_test(the_same_key_is_kept_once),
		cmocka_unit_test(an_open_verdict_hides_until_it_is_over),
		cmocka_unit_test(full_says_which_limit_and_recovers),
		cmocka_unit_test(memory_has_a_budget),
		cmocka_unit_test(a_mark_never_goes_back),
		cmocka_unit_test(a_writer_that_comes_back_finds_its_client),
		cmocka_unit_test(nonsense_ends_the_channel_and_nothing_else),
		cmocka_unit_test(delivered_is_gone_and_remembered),
		cmocka_unit_test(a_courier_that_dies_leaves_nothing_behind),
		cmocka_unit_test(deferred_comes_back_when_it_is_due),
		cmocka_unit_test(a_refusal_is_provisional_only_while_the_sender_waits),
		cmocka_unit_test(one_refused_of_two_is_parked),
		cmocka_unit_test(many_recipients_fit),
		cmocka_unit_test(large_ones_take_half),
		cmocka_unit_test(a_forged_one_is_set_aside),
		cmocka_unit_test(home_does_not_take_an_edges_orders),
	};

	log_init("test.store", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
