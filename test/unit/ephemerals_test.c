/* Keys made ahead: each given out once, those of recipients that are gone wiped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/secret.h"
#include "edge/ephemerals.h"

/* For all recipients. */
#define AHEAD	1024
/* Well below the tenth of a second for which the thread stands back. */
#define BETWEEN_TAKES	(struct timespec){ .tv_nsec = 5000000 }

static struct home home;
static struct homes homes = { .list = { &home }, .n = 1 };
static struct age_identity ids[3];

static void
wanted_are(size_t n)
{
	home.peer.nrecipients = n;
	for (size_t i = 0; i < n; i++)
		memcpy(home.peer.recipients[i].pub, ids[i].pub, 32);
}

static struct age_recipient
recipient(size_t i)
{
	struct age_recipient r;

	memcpy(r.pub, ids[i].pub, 32);
	return r;
}

static int
set_up(void **state)
{
	unsigned char key[32];

	for (size_t i = 0; i < 3; i++) {
		random_bytes(key, sizeof(key));
		assert_true(age_identity_from_bytes(key, &ids[i]));
	}
	wanted_are(2);
	return 0;
}

static size_t
ahead(struct ephemerals *es, size_t i)
{
	struct age_recipient r = recipient(i);

	return ephemerals_ahead(es, &r);
}

/* The thread has its own time; a minute is the machine's fault. */
static void
wait_ahead(struct ephemerals *es, size_t i, size_t least)
{
	for (int tries = 0; ahead(es, i) < least; tries++) {
		assert_int_not_equal(tries, 6000);
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
}

/* With as many ahead as there may be, for n recipients. */
static struct ephemerals *
filled(size_t n)
{
	struct ephemerals *es = ephemerals_new(AHEAD);

	wanted_are(n);
	ephemerals_want(es, &homes);
	assert_int_equal(ephemerals_start(es), 0);
	for (size_t i = 0; i < n; i++)
		wait_ahead(es, i, AHEAD / n);
	return es;
}

static void
opens(const struct age_ephemeral *e, size_t i)
{
	unsigned char rnd[AGE_SEAL_RND(0)];
	struct age_open *o = age_open_new(&ids[i], 1);
	struct why why = { "" };
	struct buf sealed, plain;
	struct age_seal *s;

	buf_init(&sealed, 4096);
	buf_init(&plain, 4096);
	random_bytes(rnd, sizeof(rnd));
	assert_non_null(s = age_seal_with(e, 1, rnd));
	assert_true(age_seal_add(s, "hello", 5, &sealed));
	assert_true(age_seal_end(s, &sealed));
	assert_int_equal(age_open_add(o, sealed.p, sealed.n, &plain, &why), AGE_OK);
	assert_int_equal(age_open_end(o, &plain, &why), AGE_OK);
	assert_true(span_eq(buf_span(&plain), SPAN_LIT("hello")));
	age_seal_free(&s);
	age_open_free(&o);
	buf_fini(&sealed);
	buf_fini(&plain);
}

static void
without_a_thread_each_is_made_when_it_is_asked_for(void **state)
{
	struct ephemerals *es = ephemerals_new(AHEAD);
	struct age_recipient to = recipient(0);
	struct age_ephemeral e;

	ephemerals_want(es, &homes);
	assert_int_equal(ahead(es, 0), 0);
	assert_true(ephemerals_take(es, &to, &e));
	opens(&e, 0);
	ephemerals_free(&es);
}

static void
no_two_are_alike_and_each_opens(void **state)
{
	static unsigned char seen[AHEAD + 100][32];
	struct ephemerals *es = filled(2);
	struct age_recipient to = recipient(0);
	struct age_ephemeral e;

	for (size_t n = 0; n < sizeof(seen) / sizeof(seen[0]); n++) {
		assert_true(ephemerals_take(es, &to, &e));
		if (n % 64 == 0)
			opens(&e, 0);
		memcpy(seen[n], e.share, 32);
		for (size_t i = 0; i < n; i++)
			assert_memory_not_equal(seen[i], seen[n], 32);
	}
	wait_ahead(es, 0, AHEAD / 2);
	to = recipient(1);
	assert_true(ephemerals_take(es, &to, &e));
	opens(&e, 1);
	ephemerals_free(&es);
}

static void
a_rotation_leaves_nothing_of_the_old_recipient(void **state)
{
	struct ephemerals *es = ephemerals_new(AHEAD);
	struct age_recipient to = recipient(0);
	struct age_ephemeral e;

	ephemerals_want(es, &homes);
	assert_int_equal(ephemerals_start(es), 0);
	wait_ahead(es, 0, AHEAD / 2);
	memcpy(home.peer.recipients[0].pub, ids[2].pub, 32);
	ephemerals_want(es, &homes);
	assert_int_equal(ahead(es, 0), 0);
	wait_ahead(es, 1, AHEAD / 2);
	wait_ahead(es, 2, AHEAD / 2);
	assert_true(ephemerals_take(es, &to, &e));	/* a message that began before */
	opens(&e, 0);
	home.peer.nrecipients = 0;
	ephemerals_want(es, &homes);
	assert_int_equal(ahead(es, 2), 0);
	ephemerals_free(&es);
}

/* The shares that a copy of our memory could still be asked for, as the copy itself gives them. */
static void
copy_of_memory(struct ephemerals *es, const struct age_recipient *to,
    unsigned char shares[AHEAD][32])
{
	struct age_ephemeral e;
	int end[2], status;
	pid_t pid;
	size_t got = 0;
	ssize_t n;

	assert_int_equal(pipe(end), 0);
	assert_int_not_equal(pid = fork(), -1);
	if (pid == 0) {
		alarm(60);		/* its lock is as the thread had it */
		for (size_t i = ephemerals_ahead(es, to); i > 0; i--)
			if (!ephemerals_take(es, to, &e) || write(end[1], e.share, 32) != 32)
				_exit(1);
		_exit(0);
	}
	close(end[1]);
	while ((n = read(end[0], (unsigned char *)shares + got, AHEAD * 32 - got)) > 0)
		got += (size_t)n;
	close(end[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(got, AHEAD * 32);
}

static int
by_octets(const void *a, const void *b)
{
	return memcmp(a, b, 32);
}

static void
a_copy_of_memory_opens_nothing_after_a_renewal(void **state)
{
	static unsigned char copied[AHEAD][32];
	struct ephemerals *es = filled(1);
	struct age_recipient to = recipient(0);
	struct age_ephemeral e;

	copy_of_memory(es, &to, copied);
	qsort(copied, AHEAD, 32, by_octets);
	ephemerals_renew(es);
	wait_ahead(es, 0, AHEAD);
	for (size_t n = 0; n < AHEAD; n++) {
		assert_true(ephemerals_take(es, &to, &e));
		assert_null(bsearch(e.share, copied, AHEAD, 32, by_octets));
	}
	ephemerals_free(&es);
}

static void
what_is_taken_in_a_renewal_opens_too(void **state)
{
	struct ephemerals *es = filled(1);
	struct age_recipient to = recipient(0);
	struct age_ephemeral e;

	for (size_t n = 0; n < AHEAD + 100; n++) {
		if (n % 512 == 0)
			ephemerals_renew(es);
		assert_true(ephemerals_take(es, &to, &e));
		if (n % 64 == 0)
			opens(&e, 0);
	}
	wait_ahead(es, 0, AHEAD);
	ephemerals_free(&es);
}

static void
take(struct ephemerals *es)
{
	struct age_recipient to = recipient(0);
	struct age_ephemeral e;

	assert_true(ephemerals_take(es, &to, &e));
}

static long
ms_since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - then->tv_sec) * 1000 + (now.tv_nsec - then->tv_nsec) / 1000000;
}

/* So many takes, and whether they were a burst: the machine may have stopped us between two. */
static bool
burst(struct ephemerals *es, int takes)
{
	struct timespec last;
	bool together = true;

	clock_gettime(CLOCK_MONOTONIC, &last);
	for (int i = 0; i < takes; i++) {
		nanosleep(&BETWEEN_TAKES, NULL);
		take(es);
		together = together && ms_since(&last) < 50;
		clock_gettime(CLOCK_MONOTONIC, &last);
	}
	return together;
}

static void
in_a_burst_the_thread_makes_nothing(void **state)
{
	struct ephemerals *es = filled(1);
	size_t left;

	for (int tries = 0;; tries++) {
		bool together = burst(es, 20);

		left = ahead(es, 0);
		wait_ahead(es, 0, AHEAD);	/* and after it, all that is missing */
		if (together)
			break;
		assert_int_not_equal(tries, 1000);
	}
	/* The thread may have had the lock at a take, which then made its own. */
	assert_in_range(left, AHEAD - 20, AHEAD - 10);
	ephemerals_free(&es);
}

/* With takes that never cease: one in 5 ms is no more than it can follow. */
static void
busy_until_ahead(struct ephemerals *es, size_t least)
{
	for (int tries = 0; ahead(es, 0) < least; tries++) {
		assert_int_not_equal(tries, 6000);
		nanosleep(&BETWEEN_TAKES, NULL);
		take(es);
	}
}

static void
with_little_left_it_makes_more_in_a_burst_too(void **state)
{
	struct ephemerals *es = filled(1);

	while (ahead(es, 0) >= AHEAD / 8)
		take(es);
	busy_until_ahead(es, AHEAD / 16 * 3);
	ephemerals_free(&es);
}

static void
a_renewal_comes_to_its_end_in_a_burst_too(void **state)
{
	struct ephemerals *es = filled(1);

	take(es);
	ephemerals_renew(es);
	busy_until_ahead(es, AHEAD / 8 * 7);
	ephemerals_free(&es);
}

static void
another_recipient_gets_its_share_of_it(void **state)
{
	struct ephemerals *es = filled(1);

	wanted_are(2);
	ephemerals_want(es, &homes);
	assert_int_equal(ahead(es, 0), AHEAD / 2);
	wait_ahead(es, 1, AHEAD / 2);
	assert_int_equal(ahead(es, 0), AHEAD / 2);
	wanted_are(1);
	ephemerals_want(es, &homes);
	wait_ahead(es, 0, AHEAD);
	ephemerals_free(&es);
}

static void
a_low_order_recipient_costs_one_try_and_is_refused(void **state)
{
	struct ephemerals *es = ephemerals_new(AHEAD);
	struct age_recipient to = { { 0 } };
	struct age_ephemeral e;

	home.peer.recipients[0] = to;
	ephemerals_want(es, &homes);
	assert_int_equal(ephemerals_start(es), 0);
	wait_ahead(es, 1, AHEAD / 2);	/* the other one is served all the same */
	assert_int_equal(ephemerals_ahead(es, &to), 0);
	assert_false(ephemerals_take(es, &to, &e));
	ephemerals_free(&es);
}

static void
more_recipients_than_shelves_are_still_served(void **state)
{
	static struct home many[EPHEMERALS_RECIPIENTS + 1];
	struct homes hs = { .n = 0 };
	struct ephemerals *es = ephemerals_new(AHEAD);
	struct age_ephemeral e;

	for (size_t i = 0; i <= EPHEMERALS_RECIPIENTS; i++) {
		memcpy(many[i].peer.recipients[0].pub, ids[0].pub, 32);
		many[i].peer.recipients[0].pub[0] ^= (unsigned char)i;
		many[i].peer.nrecipients = 1;
		hs.list[hs.n++] = &many[i];
	}
	ephemerals_want(es, &hs);
	assert_true(ephemerals_take(es, &many[hs.n - 1].peer.recipients[0], &e));
	ephemerals_free(&es);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_a_thread_each_is_made_when_it_is_asked_for, set_up),
		cmocka_unit_test_setup(no_two_are_alike_and_each_opens, set_up),
		cmocka_unit_test_setup(a_rotation_leaves_nothing_of_the_old_recipient, set_up),
		cmocka_unit_test_setup(a_copy_of_memory_opens_nothing_after_a_renewal, set_up),
		cmocka_unit_test_setup(what_is_taken_in_a_renewal_opens_too, set_up),
		cmocka_unit_test_setup(in_a_burst_the_thread_makes_nothing, set_up),
		cmocka_unit_test_setup(with_little_left_it_makes_more_in_a_burst_too, set_up),
		cmocka_unit_test_setup(a_renewal_comes_to_its_end_in_a_burst_too, set_up),
		cmocka_unit_test_setup(another_recipient_gets_its_share_of_it, set_up),
		cmocka_unit_test_setup(a_low_order_recipient_costs_one_try_and_is_refused, set_up),
		cmocka_unit_test_setup(more_recipients_than_shelves_are_still_served, set_up),
	};

	return cmocka_run_group_tests_name("ephemerals", tests, NULL, NULL);
}
