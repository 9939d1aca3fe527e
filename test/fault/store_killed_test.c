/* A writer is killed at any moment, again and again: what it told kept is there, whole. */
#include "store_stage.h"

#include <signal.h>
#include <sys/wait.h>

enum { KEYS = 4000 };
struct killed {
	struct play	 p;
	struct spool	*s;
	struct put_told	 told[KEYS];
	bool		 gone[KEYS], delete_asked[KEYS];
	size_t		 size[KEYS];
	unsigned	 n, kept_at_all;
};
static struct killed *k;

static void
on_row_gone(void *arg, bool ok, const struct why *why)
{
	k->gone[(size_t)(uintptr_t)arg] = ok;
}

static void
write_until_killed(const struct play *p, int fd)
{
	struct play child = *p;
	struct why why = { "" };

	uv_loop_init(&child.loop);
	if ((child.writer = writer_new(&child.loop, &child.conf, &why)) == NULL) {
		fprintf(stderr, "%s\n", why.text);
		_exit(1);
	}
	writer_client(child.writer, chan_new(&child.loop, fd, &why));
	uv_run(&child.loop, UV_RUN_DEFAULT);
	_exit(0);
}

static unsigned
answered(unsigned from)
{
	unsigned n = 0;

	for (unsigned i = from; i < k->n; i++)
		n += k->told[i].told;
	return n;
}

static void
put_next(unsigned i)
{
	unsigned n = k->n++, back = n - 5;
	struct spool_meta m = a_meta(&k->p, n);

	k->size[n] = i % 20 == 7 ? 300000 : 100 + (n * 37) % 9000;
	put_one(k->s, &m, n, k->size[n], &k->told[n]);
	if (n >= 5 && k->told[back].kept == 1 && n % 3 == 0) {
		k->delete_asked[back] = true;
		spool_delete(k->s, k->told[back].row, on_row_gone, (void *)(uintptr_t)back);
	}
}

/* A writer that is killed when so many puts have been answered, and more are under way. */
static void
one_life(unsigned answers)
{
	struct play *p = &k->p;
	struct why why = { "" };
	unsigned i, from = k->n, waits = 0;
	int sv[2], status;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
	if ((pid = fork()) == 0) {
		close(sv[1]);
		write_until_killed(p, sv[0]);
	}
	close(sv[0]);
	spool_attach(k->s, chan_new(&p->loop, sv[1], &why));
	for (i = 0; i < 200 && answered(from) < answers; i++) {
		put_next(i);
		if (i % 10 == 9)
			play_for(p, 1);
	}
	while (answered(from) < answers && waits++ < 5000)
		play_for(p, 1);
	for (i = 0; i < 20; i++)
		put_next(i);
	play_for(p, 1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	play_for(p, 30);
	for (i = 0; i < from; i++)	/* what was asked of an earlier one is answered */
		assert_int_equal(k->told[i].told, 1);
}

static void
a_killed_writer_loses_nothing_it_told(void **state)
{
	unsigned round, lost = 0, seed = (unsigned)getpid();

	k = calloc(1, sizeof(*k));
	play_begin(&k->p, CONF_EDGE);
	writer_free(&k->p.writer);
	play_for(&k->p, 5);
	k->s = play_client(&k->p);
	srandom(seed);
	for (round = 0; round < 15; round++) {
		struct why why = { "" };
		struct db *db;

		one_life((unsigned)random() % 200);
		assert_non_null(db = db_open(&sys_real, k->p.dir, CONF_EDGE, NULL, &why));
		assert_string_equal(db_alarm(db), "");
		for (unsigned n = 0; n < k->n; n++) {
			struct db_row r;
			int rc = db_find(db, a_meta(&k->p, n).id, &r, &why);

			if (rc == 1 && !stage_whole(db, r.object.row, n, k->size[n]))
				fail_msg("seed %u: object %u is not whole", seed, n);
			lost += rc == 0 && k->told[n].kept > 0 && !k->delete_asked[n];
			if (rc == 1 && k->gone[n])
				fail_msg("seed %u: object %u was gone", seed, n);
			k->kept_at_all += round == 14 && k->told[n].kept > 0;
		}
		db_close(&db);
	}
	print_message("seed %u: %u puts, %u told kept, %u lost\n", seed, k->n, k->kept_at_all,
	    lost);
	assert_int_equal(lost, 0);
	assert_true(k->kept_at_all > 0);
	play_writer(&k->p);
	play_attach(&k->p, k->s);
	for (unsigned n = 0; n < k->n; n++)
		play_until(&k->p, &k->told[n].told, 1);
	for (unsigned n = 0; n < k->n; n++)
		assert_int_equal(k->told[n].told, 1);
	spool_free(&k->s);
	play_end(&k->p);
	free(k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_killed_writer_loses_nothing_it_told),
	};

	log_init("test.store", LOG_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
