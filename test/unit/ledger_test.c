/* The ledger of a home from its clients' side: whole round trips over a channel. */
#include "kit/store_play.h"

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
	e.next_ms = wall_ms() + 2000;
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

/* By these the pauses grow. */
static void
a_try_is_counted_when_somebody_was_there_to_try_it_with(void **state)
{
	static const struct {
		const char *name;
		bool sent;
		enum ledger_state end;
		unsigned enhanced[2];
		unsigned tries;
	} plays[] = {
		{ "deferred by the server", true, LEDGER_DEFERRED, { 2, 1 }, 1 },
		{ "sent whole, no answer", true, LEDGER_UNCERTAIN, { 4, 2 }, 1 },
		{ "the server's own word for somebody else's absence", true, LEDGER_DEFERRED,
		    { 4, 1 }, 1 },
		{ "our disk", false, LEDGER_DEFERRED, { 3, 0 }, 1 },
		{ "no server was there", false, LEDGER_DEFERRED, { 4, 1 }, 0 },
	};
	struct jobs j = { 0 };
	struct play p;
	struct spool *s;

	play_begin(&p, CONF_HOME);
	s = play_client(&p);
	play_attach(&p, s);
	for (unsigned i = 0; i < sizeof(plays) / sizeof(plays[0]); i++) {
		int64_t row = put_at_home(&p, s, i, false);
		struct ledger_entry e = an_entry(row, 0, LEDGER_SENDING);

		print_message("%s\n", plays[i].name);
		for (unsigned k = 0; k < 2; k++) {
			claim(&p, s, 1, &j);
			assert_int_equal(j.object[0].row, row);
			assert_int_equal(j.object[0].tries, k * plays[i].tries);
			e.state = LEDGER_SENDING;
			if (plays[i].sent)
				note(&p, s, &e, 1);
			e.state = plays[i].end;
			e.reply = smtp_reply(451, 4, plays[i].enhanced[0], plays[i].enhanced[1],
			    "later");
			note(&p, s, &e, 1);
		}
		e.state = LEDGER_DELIVERED;
		note(&p, s, &e, 1);
	}
	spool_free(&s);
	play_end(&p);
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
		if (i == 9)
			play_until(&p, &told.told, 10);
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

static unsigned bad_moments, refusals;

static int
stat_fails(int fd, const char *name, struct stat *st, int flags)
{
	if (refusals == bad_moments || strlen(name) != DB_FILE_LEN)
		return sys_real.fstatat(fd, name, st, flags);
	refusals++;
	errno = EIO;
	return -1;
}

/* It is claimed again, later each time, stands in nobody's way meanwhile, and is not parked. */
static void
what_the_disk_does_not_give_is_asked_for_again(void **state)
{
	static struct sys sys;
	struct put_told told = { 0 };
	struct spool_meta m;
	struct jobs j = { 0 };
	struct db_noted noted;
	struct why why = { "" };
	struct spool *s;
	struct play p;

	play_begin(&p, CONF_HOME);
	writer_free(&p.writer);
	sys = sys_real;
	sys.fstatat = stat_fails;
	p.conf.sys = &sys;
	play_writer(&p);
	s = play_client(&p);
	play_attach(&p, s);
	m = a_meta(&p, 7);
	put_one(s, &m, 7, 300000, &told);
	play_until(&p, &told.told, 1);
	bad_moments = refusals + 2;
	j.content.n = 7;
	for (int i = 0; i < 3; i++)
		claim(&p, s, 10, &j);
	assert_int_equal(j.n, 0);
	assert_int_equal(bad_moments - refusals, 1);
	for (int i = 0; i < 2; i++) {		/* the operator does not wait */
		assert_int_equal(db_retry(writer_db(p.writer), told.row, false, &noted, &why), 1);
		assert_int_equal(db_commit(writer_db(p.writer), &why), 0);
		claim(&p, s, 10, &j);
		assert_int_equal(j.n, i);
	}
	assert_true(j.content.right);
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

static enum kept
put_again(struct play *p, struct spool *s, unsigned n)
{
	struct spool_meta m = a_meta(p, n);
	struct put_told told = { 0 };

	assert_int_equal(put_one(s, &m, n, 100, &told), 0);
	play_until(p, &told.told, 1);
	return told.last;
}

static void
nothing_is_thrown_away_for_an_age_that_a_jump_made(void **state)
{
	const int64_t day = 24LL * 3600 * 1000, wall = wall_ms();
	struct clock_watch clock;
	struct ledger_entry e;
	struct why why = { "" };
	struct play p;
	struct db *db;
	struct spool *s;
	int64_t parked;

	play_begin(&p, CONF_HOME);
	db = writer_db(p.writer);
	s = play_client(&p);
	play_attach(&p, s);
	parked = put_at_home(&p, s, 1, false);
	e = an_entry(parked, 0, LEDGER_PARKED);
	e.park = PARK_POLICY;
	note(&p, s, &e, 1);
	e = an_entry(put_at_home(&p, s, 2, false), 0, LEDGER_DELIVERED);
	note(&p, s, &e, 1);

	clock_watch_init(&clock, 0, wall);
	assert_int_equal(clock_watch_look(&clock, 1000, wall + 1000 + 62 * day), 62 * day);
	assert_int_equal(db_expire(db, clock_surely_ms(&clock), &why), 0);
	assert_int_equal(writer_commit(p.writer, &why), 0);
	assert_int_equal(entry_of(&p, parked).state, LEDGER_PARKED);
	assert_int_equal(put_again(&p, s, 2), KEPT_BEFORE);

	/* A day later it is taken for the truth. */
	assert_int_equal(clock_watch_look(&clock, 1000 + day, wall + 1000 + 63 * day), 0);
	assert_int_equal(db_expire(db, clock_surely_ms(&clock), &why), 0);
	assert_int_equal(writer_commit(p.writer, &why), 0);
	assert_int_equal(entry_of(&p, parked).state, 0);
	assert_int_equal(put_again(&p, s, 2), KEPT);
	spool_free(&s);
	play_end(&p);
}

static void
written_before(struct play *p, time_t seconds)
{
	const struct timespec t = { .tv_sec = time(NULL) - seconds }, both[] = { t, t };
	char path[100];

	writer_free(&p->writer);
	play_for(p, 10);
	snprintf(path, sizeof(path), "%s/spool.db", p->dir);
	assert_int_equal(utimensat(AT_FDCWD, path, both, 0), 0);
	play_writer(p);
	play_for(p, 500);		/* housekeeping begins after 300 ms */
}

/* The clock may have been wrong when the machine started, which nobody saw. */
static void
a_start_throws_away_only_what_the_last_run_would_have(void **state)
{
	struct ledger_entry e;
	struct play p;
	struct spool *s;
	int64_t row;

	play_begin(&p, CONF_HOME);
	s = play_client(&p);
	play_attach(&p, s);
	row = put_at_home(&p, s, 1, false);
	e = an_entry(row, 0, LEDGER_PARKED);
	e.park = PARK_POLICY;
	note(&p, s, &e, 1);
	spool_free(&s);
	p.home->parked_keep_ms = 1;
	written_before(&p, 3600);
	assert_int_equal(entry_of(&p, row).state, LEDGER_PARKED);
	written_before(&p, -2);
	assert_int_equal(entry_of(&p, row).state, 0);
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
		cmocka_unit_test(delivered_is_gone_and_remembered),
		cmocka_unit_test(a_courier_that_dies_leaves_nothing_behind),
		cmocka_unit_test(deferred_comes_back_when_it_is_due),
		cmocka_unit_test(a_try_is_counted_when_somebody_was_there_to_try_it_with),
		cmocka_unit_test(a_refusal_is_provisional_only_while_the_sender_waits),
		cmocka_unit_test(one_refused_of_two_is_parked),
		cmocka_unit_test(many_recipients_fit),
		cmocka_unit_test(large_ones_take_half),
		cmocka_unit_test(what_the_disk_does_not_give_is_asked_for_again),
		cmocka_unit_test(a_forged_one_is_set_aside),
		cmocka_unit_test(nothing_is_thrown_away_for_an_age_that_a_jump_made),
		cmocka_unit_test(a_start_throws_away_only_what_the_last_run_would_have),
		cmocka_unit_test(home_does_not_take_an_edges_orders),
	};

	log_init("test.store", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
