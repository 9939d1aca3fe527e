/* Bans at the edge: who is refused, whose mail goes on, and what is let go when one comes. */
#include "kit/edge_rig.h"

#include <errno.h>

#include "base/clock.h"
#include "base/codec.h"
#include "edge/bans.h"
#include "kit/ahead.h"

struct client {
	int	 fd;
	char	 text[4096];
	size_t	 n;
	bool	 eof;
};

static struct client A;

#define HOUR_MS		3600000
#define ENVELOPE(to)	"MAIL FROM:<s@far.test>\r\nRCPT TO:<x@" to ">\r\n"

static int
set_up(void **state)
{
	rig_up("");
	A = (struct client){ .fd = -1 };
	return 0;
}

static int
tear_down(void **state)
{
	if (A.fd >= 0)
		close(A.fd);
	rig_down();
	assert_int_equal(R.e.nsessions, 0);
	return 0;
}

static bool
heard(const char *what)
{
	ssize_t n;

	while ((n = recv(A.fd, A.text + A.n, sizeof(A.text) - 1 - A.n, 0)) > 0)
		A.n += (size_t)n;
	if (n == 0 || (n == -1 && errno != EAGAIN))
		A.eof = true;
	A.text[A.n] = '\0';
	return strstr(A.text, what) != NULL;
}

static bool
ended(void)
{
	(void)heard("");
	return A.eof;
}

static void
say(const char *text)
{
	A.n = 0;
	assert_int_equal(send(A.fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void
connect_client(void)
{
	int fds[2];

	if (A.fd >= 0)
		close(A.fd);
	tcp_pair(fds);
	A = (struct client){ .fd = fds[0] };
	session_accept(&R.e, fds[1], &R.conf->services[0]);
}

/* What the home says next; the rig's clients all come from 127.0.0.1. */
static void
ban(struct home *h, const char *net, unsigned bits, int64_t until_ms)
{
	struct ban_change c = { .on = { .bits = bits, .until_ms = until_ms } };
	struct netset *set = netset_new(1);

	assert_true(netaddr_parse_ip(span_str(net), &c.on.net));
	assert_true(set != NULL && bans_apply(set, &c, 0));
	home_set_bans(h, set, SPAN_LIT("\"tag\""));
	bans_changed(&R.e, h);
}

static struct home *
second_home(void)
{
	struct peer peer = R.alice->paired;
	struct home *h;

	peer.nmac = 0;			/* a secret has one owner */
	snprintf(peer.name, sizeof(peer.name), "bob");
	snprintf(peer.domains[0], sizeof(peer.domains[0]), "bob.test");
	h = homes_paired(&R.e.homes, R.conf, "bob", &peer);
	assert_non_null(h);
	return h;
}

static void
the_banned_are_told_so_at_the_door(void **state)
{
	ban(R.alice, "127.0.0.0", 8, 0);
	connect_client();
	RUN_UNTIL(heard("421 4.7.1 ") && ended());
	assert_int_equal(board_get(&R.board, BC_CONNECTIONS_BANNED), 1);
	assert_int_equal(board_get(&R.board, BC_CONNECTIONS_REFUSED), 0);
	ban(R.alice, "192.0.2.0", 24, 0);
	connect_client();
	RUN_UNTIL(heard("220 "));
}

static void
a_ban_ends_by_the_clock_alone(void **state)
{
	ban(R.alice, "127.0.0.1", 32, boot_ms() + HOUR_MS);
	connect_client();
	RUN_UNTIL(heard("421 4.7.1 ") && ended());
	ahead_ms += HOUR_MS;
	connect_client();
	RUN_UNTIL(heard("220 "));
}

static void
nothing_that_was_not_accepted_yet_is(void **state)
{
	static const char *const phases[] = {
		"EHLO c\r\n",
		"EHLO c\r\n" ENVELOPE("alice.test"),
		"EHLO c\r\n" ENVELOPE("alice.test") "DATA\r\n",
		"EHLO c\r\n" ENVELOPE("alice.test") "BDAT 3\r\ntwoBDAT 100\r\n",
	};
	static const char *const answers[] = { "250 ENHANCED", "250 2.1.5", "354 ", "250 2." };

	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		ban(R.alice, "192.0.2.0", 24, 0);
		connect_client();
		RUN_UNTIL(heard("220 "));
		say(phases[i]);
		RUN_UNTIL(heard(answers[i]));
		loop_run_ms(10);
		ban(R.alice, "127.0.0.1", 32, boot_ms() + HOUR_MS);
		RUN_UNTIL(heard("421 4.7.1 ") && ended());
		RUN_UNTIL(R.e.sessions == NULL);
		assert_int_equal(board_get(&R.board, BC_CONNECTIONS_BANNED), i + 1);
	}
	assert_int_equal(board_get(&R.board, BC_ACCEPTED), 0);
}

static bool
committing(void)
{
	(void)heard("");
	return R.works > 0;
}

/* Its last octet was there and its commit is under way: the 250 comes, and then the end. */
static void
what_is_being_kept_stays_kept(void **state)
{
	connect_client();
	RUN_UNTIL(heard("220 "));
	say("EHLO c\r\n" ENVELOPE("alice.test") "DATA\r\n");
	RUN_UNTIL(heard("354 "));
	spool_attach(R.e.spool, NULL);		/* the commit takes its time */
	say("one\r\n.\r\n" ENVELOPE("alice.test"));
	loop_run_ms(50);
	ban(R.alice, "127.0.0.1", 32, 0);
	assert_false(ended());
	rig_writer_down();
	rig_writer_up();
	RUN_UNTIL(committing());
	RUN_UNTIL(heard("250 2.0.0 Accepted, held") && heard("421 4.7.1 ") && ended());
	assert_int_equal(board_get(&R.board, BC_ACCEPTED), 1);
}

static void
a_ban_is_its_home_s_alone(void **state)
{
	struct home *bob = second_home();

	ban(bob, "127.0.0.1", 32, 0);
	connect_client();
	RUN_UNTIL(heard("220 "));
	say("EHLO c\r\n" ENVELOPE("bob.test") "RCPT TO:<x@alice.test>\r\n");
	RUN_UNTIL(heard("550 5.7.1 This domain takes no mail") && heard("250 2.1.5"));
	assert_int_equal(board_get(&R.board, BC_RCPT_REFUSED), 1);
	ban(bob, "127.0.0.0", 8, 0);		/* alice's recipient is not bob's affair */
	loop_run_ms(20);
	assert_false(ended());
	ban(R.alice, "127.0.0.1", 32, 0);
	RUN_UNTIL(heard("421 4.7.1 ") && ended());
	connect_client();
	RUN_UNTIL(heard("421 4.7.1 ") && ended());
}

static void
a_listener_of_one_home_knows_only_its_bans(void **state)
{
	struct conf_service *s = &R.conf->services[0];
	struct home *bob = second_home();
	struct netaddr a;

	assert_true(netaddr_parse_ip(SPAN_LIT("192.0.2.7"), &a));
	ban(bob, "192.0.2.0", 24, 0);
	s->nhomes = 1;
	snprintf(s->homes[0], sizeof(s->homes[0]), "alice");
	assert_false(bans_service(&R.e, s, &a));
	snprintf(s->homes[0], sizeof(s->homes[0]), "bob");
	assert_true(bans_service(&R.e, s, &a));
	assert_true(bans_home(bob, &a));
	assert_false(bans_home(R.alice, &a));
	snprintf(s->homes[0], sizeof(s->homes[0]), "gone");
	assert_false(bans_service(&R.e, s, &a));	/* nobody's service is closed by nobody */
}

/* A wide ban has the household in it, or fail2ban met a phone there with an old password. */
static void
a_home_never_bans_its_own_people(void **state)
{
	struct netaddr tunnel, phone, neighbour;

	assert_true(netaddr_parse(SPAN_LIT("[2001:db8:1:2::7]:40000"), &tunnel));
	assert_true(netaddr_parse_ip(SPAN_LIT("2001:db8:1:2:aa::9"), &phone));
	assert_true(netaddr_parse_ip(SPAN_LIT("2001:db8:1:3::9"), &neighbour));
	ban(R.alice, "2001:db8::", 32, 0);
	assert_true(bans_home(R.alice, &phone));
	home_came_from(R.alice, &tunnel);
	assert_false(bans_home(R.alice, &phone));
	assert_true(bans_home(R.alice, &neighbour));
	/* Only the last few lines are remembered. */
	for (unsigned i = 0; i < 2 * HOME_AT_MAX; i++) {
		tunnel.ip[0] = (unsigned char)(0x30 + i);
		home_came_from(R.alice, &tunnel);
	}
	assert_true(bans_home(R.alice, &phone));
}

/* --- how much it costs: shown, not judged -------------------------------------------------- */

static double
ms_since(struct instant then)
{
	return (double)(instant_now().ns - then.ns) / 1e6;
}

/* No two the same, all public: 12.x.y.z with a stride that is prime to 2^24. */
static struct netaddr
stranger(unsigned i)
{
	unsigned char ip[4];

	put_u32(ip, 12u << 24 | (i * 9973u & 0xffffff));
	return netaddr_from_octets(ip, sizeof(ip), 0);
}

/* Printed, read and taken over in pieces as a tunnel brings them: none keeps the loop for long. */
static void
as_many_as_there_may_be(void **state)
{
	struct netset *set = netset_new(POLICY_BANS_MAX);
	struct ban_reader r = { .n = 0 };
	struct ban_change c;
	struct why why = { "" };
	struct instant began;
	double longest = 0, all = 0;
	unsigned banned = 0;
	struct buf list;

	buf_init(&list, POLICY_BANS_MAX * BAN_RECORD_MAX);
	for (unsigned i = 0; i < POLICY_BANS_MAX; i++) {
		c = (struct ban_change){ { stranger(i), 32, boot_ms() + HOUR_MS + i }, false };
		assert_true(ban_print(&c, boot_ms(), &list));
	}
	for (size_t at = 0; at < list.n; at += 16384) {
		struct span s = span_of(list.p + at, list.n - at < 16384 ? list.n - at : 16384);
		double took;

		began = instant_now();
		while (ban_next(&r, &s, boot_ms(), &c, &why) == BAN_ONE)
			assert_true(bans_apply(set, &c, boot_ms()));
		took = ms_since(began);
		all += took;
		longest = took > longest ? took : longest;
	}
	assert_true(ban_whole(&r));
	print_message("%u bans: %zu octets, taken in %.1f ms, a frame in %.2f ms at most\n",
	    POLICY_BANS_MAX, list.n, all, longest);
	home_set_bans(R.alice, set, SPAN_LIT("\"tag\""));
	assert_int_equal(netset_count(R.alice->bans), POLICY_BANS_MAX);
	c = (struct ban_change){ { stranger(3 * POLICY_BANS_MAX), 32, 0 }, false };
	assert_false(bans_apply(R.alice->bans, &c, boot_ms()));		/* none of them is over */
	began = instant_now();
	for (unsigned i = 0; i < 2 * POLICY_BANS_MAX; i++) {
		struct netaddr a = stranger(i);

		banned += bans_service(&R.e, &R.conf->services[0], &a);
	}
	print_message("asked at accept: %.0f ns\n", ms_since(began) * 1e6 / (2 * POLICY_BANS_MAX));
	assert_int_equal(banned, POLICY_BANS_MAX);
	assert_true(bans_apply(R.alice->bans, &c, boot_ms() + 2 * HOUR_MS + POLICY_BANS_MAX));
	assert_int_equal(netset_count(R.alice->bans), 1);
	buf_fini(&list);
}

#define TEST(t)	cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_banned_are_told_so_at_the_door),
		TEST(a_ban_ends_by_the_clock_alone),
		TEST(nothing_that_was_not_accepted_yet_is),
		TEST(what_is_being_kept_stays_kept),
		TEST(a_ban_is_its_home_s_alone),
		TEST(a_listener_of_one_home_knows_only_its_bans),
		TEST(a_home_never_bans_its_own_people),
		TEST(as_many_as_there_may_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
