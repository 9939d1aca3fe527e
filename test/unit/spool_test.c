/* The spool of an edge from a client's side: whole round trips over a channel. */
#include "kit/store_play.h"

#include <dirent.h>
#include <sys/statvfs.h>

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

/* The list is asked for in the turn in which the row comes, and answered before its commit. */
static void
what_is_not_committed_is_not_listed(void **state)
{
	for (int verdict = 0; verdict < 2; verdict++) {
		struct put_told told = { 0 };
		struct listed l = { 0 };
		struct play p;
		struct spool_meta m;
		struct spool *s;
		unsigned work;

		play_begin(&p, CONF_EDGE);
		s = play_client(&p);
		play_attach(&p, s);
		m = a_meta(&p, 1);
		put_one(s, &m, 1, 100, &told);
		play_until(&p, &told.told, 1);
		m = a_meta(&p, 2);
		m.verdict = verdict != 0;
		work = p.work;
		put_one(s, &m, 2, 100, &told);
		spool_list(s, "alice", 0, 10, on_listed, &l);
		play_until(&p, &l.told, 1);
		play_until(&p, &told.told, 2);
		assert_int_equal(l.n, 1);
		if (verdict == 0)		/* it is asked again */
			play_until(&p, &p.work, work + 1);
		spool_list(s, "alice", 0, 10, on_listed, &l);
		play_until(&p, &l.told, 2);
		assert_int_equal(l.n, verdict != 0 ? 1 : 2);
		spool_free(&s);
		play_end(&p);
	}
}

static unsigned
files_in(int dir)
{
	DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	const struct dirent *e;
	unsigned n = 0;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
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
	put_one(s, &m, 2, 11000, &told);	/* another network may, and one of any size */
	play_until(&p, &told.told, 3);
	assert_int_equal(told.last, KEPT);

	m = a_meta(&p, 3);
	put_one(s, &m, 3, 30000, &told);	/* 50,000 of home's 40,000 */
	play_until(&p, &told.told, 4);
	assert_int_equal(told.last, KEPT_FULL);
	assert_non_null(strstr(told.why, "alice"));
	snprintf(m.home, sizeof(m.home), "bob");
	put_one(s, &m, 3, 71000, &told);	/* bob has the default quota: all of it */
	play_until(&p, &told.told, 5);
	assert_int_equal(told.last, KEPT);
	m.id.b[15] = 4;
	put_one(s, &m, 4, 10000, &told);	/* 101,000 of 100,000 in all */
	play_until(&p, &told.told, 6);
	assert_int_equal(told.last, KEPT_FULL);
	assert_non_null(strstr(told.why, "quota"));
	put_one(s, &m, 4, 300 << 10, &told);	/* in a file, of which nothing stays */
	play_until(&p, &told.told, 7);
	assert_int_equal(told.last, KEPT_FULL);
	assert_int_equal(files_in(p.large), 0);

	spool_delete(s, first, on_done, &d);
	put_one(s, &m, 4, 17000, &told);	/* in the place of 9,000 and the 9,000 left */
	play_until(&p, &told.told, 8);
	assert_int_equal(told.last, KEPT);
	p.edge->hold.reserve = 1ull << 60;	/* no disk has so much free */
	assert_int_equal(writer_reload(p.writer, &p.conf, &why), 0);
	m.id.b[15] = 5;
	put_one(s, &m, 5, 10, &told);
	play_until(&p, &told.told, 9);
	assert_int_equal(told.last, KEPT_FULL);
	assert_non_null(strstr(told.why, "reserve"));
	spool_free(&s);
	play_end(&p);
}

/* By whoever is there already; what the writer answers behind it came behind it. */
static void
reload(struct play *p, struct spool *s, uint64_t reserve, unsigned share)
{
	struct listed l = { 0 };
	struct why why = { "" };

	p->edge->hold.reserve = reserve;
	p->edge->hold.share = share;
	assert_int_equal(writer_reload(p->writer, &p->conf, &why), 0);
	spool_list(s, "alice", 0, 1, on_listed, &l);
	play_until(p, &l.told, 1);
}

/* -1 with why, as soon as it is stopped on its way. */
static int
put_part(struct spool *s, struct spool_put **put, const struct spool_meta *m, size_t size,
    struct why *why)
{
	static const char piece[1 << 20];
	int rc = 0;

	assert_non_null(*put = spool_put_new(s, m));
	for (size_t at = 0; at < size && rc == 0; at += sizeof(piece))
		rc = spool_put_add(*put, piece, sizeof(piece), why);
	return rc;
}

static void
what_a_client_keeps_itself_is_reloaded(void **state)
{
	const uint64_t room = 1u << 30;
	struct spool_put *first, *second;
	struct spool_meta m;
	struct statvfs v;
	struct spool *s;
	struct play p;
	struct why why;

	play_begin(&p, CONF_EDGE);
	s = play_client(&p);
	play_attach(&p, s);
	m = a_meta(&p, 1);
	m.client_net.ip[10] = m.client_net.ip[11] = 0xff;
	m.client_net.ip[12] = 192;
	assert_int_equal(put_part(s, &first, &m, 8 << 20, &why), 0);
	m.id.b[15] = 2;
	assert_int_equal(put_part(s, &second, &m, 8 << 20, &why), 0);
	spool_put_drop(&second);

	reload(&p, s, 1ull << 60, 100);		/* no disk has so much free */
	assert_int_equal(put_part(s, &second, &m, 8 << 20, &why), -1);
	assert_non_null(strstr(why.text, "reserve"));
	spool_put_drop(&second);

	assert_int_equal(fstatvfs(p.large, &v), 0);
	assert_true(v.f_bavail * v.f_frsize > room);
	reload(&p, s, v.f_bavail * v.f_frsize - room, 1);	/* 1 % of it is 10 MiB */
	assert_int_equal(put_part(s, &second, &m, 8 << 20, &why), -1);
	assert_non_null(strstr(why.text, "share"));
	spool_put_drop(&second);

	reload(&p, s, 0, 100);
	assert_int_equal(put_part(s, &second, &m, 8 << 20, &why), 0);
	spool_put_drop(&second);
	spool_put_drop(&first);
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
		{ 500, 11, MARKED_STALE }, { 500, 12, MARKED_STALE }, { 500, 99, MARKED_STALE },
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
		for (i = round == 0 ? 0 : 7; i < sizeof(marks) / sizeof(marks[0]); i++) {
			spool_mark(s, "alice", (struct ledger_mark){ .epoch = marks[i].epoch,
			    .counter = marks[i].counter }, on_marked, &t);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_kept_comes_back_whole),
		cmocka_unit_test(the_same_key_is_kept_once),
		cmocka_unit_test(an_open_verdict_hides_until_it_is_over),
		cmocka_unit_test(what_is_not_committed_is_not_listed),
		cmocka_unit_test(full_says_which_limit_and_recovers),
		cmocka_unit_test(what_a_client_keeps_itself_is_reloaded),
		cmocka_unit_test(memory_has_a_budget),
		cmocka_unit_test(a_mark_never_goes_back),
		cmocka_unit_test(a_writer_that_comes_back_finds_its_client),
		cmocka_unit_test(nonsense_ends_the_channel_and_nothing_else),
	};

	log_init("test.store", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
