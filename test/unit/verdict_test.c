/* A sender waits for home's word: verdicts, over a true SMTP session. */
#include "kit/handover_play.h"

static struct {
	int	 fd;
	char	 text[8192];
	size_t	 n;
} C;

static void
hear(void)
{
	ssize_t n;

	while ((n = recv(C.fd, C.text + C.n, sizeof(C.text) - 1 - C.n, 0)) > 0)
		C.n += (size_t)n;
	C.text[C.n] = '\0';
}

static bool
heard(const char *what)
{
	hear();
	return strstr(C.text, what) != NULL;
}

static void
say(const char *text)
{
	assert_int_equal(send(C.fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

/* A client up to the final dot. */
static void
message(void)
{
	int fds[2];

	tcp_pair(fds);
	C.fd = fds[0];
	C.n = 0;
	session_accept(&R.e, fds[1], &R.conf->services[0]);
	RUN_UNTIL(heard("220 "));
	say("EHLO c.test\r\nMAIL FROM:<s@far.test>\r\nRCPT TO:<x@alice.test>\r\nDATA\r\n");
	RUN_UNTIL(heard("354 "));
	C.n = 0;
	say("Subject: x\r\n\r\nhello\r\n.\r\n");
}

static void
goodbye(void)
{
	close(C.fd);
	RUN_UNTIL(R.e.sessions == NULL);
}

static void
the_verdict_is_taken(void **state)
{
	dial(0);
	message();
	RUN_UNTIL(heard("250 2.0.0"));
	assert_true(heard("handed over"));
	assert_int_equal(H.asked, 1);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);
	assert_int_equal(rows(), 0);
	assert_int_equal(H.nputs, 1);
	assert_int_equal(R.e.verdicts, 0);
	goodbye();
	assert_int_equal(board_get(&R.board, BC_ACCEPTED), 1);
}

static unsigned
refuse(const struct put *p)
{
	return p->prefer ? 422 : 202;
}

static void
the_verdict_is_no(void **state)
{
	H.judge = refuse;
	H.words = "550 5.1.1 no such mailbox\r\n";
	dial(0);
	message();
	RUN_UNTIL(heard("550 5.1.1 no such mailbox\r\n"));
	RUN_UNTIL(H.deletes == 1);		/* home hears that the sender was told */
	assert_int_equal(rows(), 0);
	assert_int_equal(H.nputs, 1);
	say("QUIT\r\n");
	RUN_UNTIL(heard("221 "));
	goodbye();
	assert_int_equal(board_get(&R.board, BC_REFUSED), 1);
	assert_int_equal(board_get(&R.board, BC_ACCEPTED), 0);
}

/* Words that are no permanent refusal are no refusal at all. */
static void
a_no_that_is_none(void **state)
{
	H.judge = refuse;
	H.words = "450 4.2.0 later\r\n";
	dial(0);
	message();
	RUN_UNTIL(heard("250 2.0.0"));
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);
	assert_int_equal(H.nputs, 2);		/* again, and not asked */
	assert_int_equal(H.asked, 1);
	assert_int_equal(H.deletes, 0);
	goodbye();
}

static void
the_verdict_is_late(void **state)
{
	H.judge = refuse;
	H.words = "550 5.1.1 no such mailbox\r\n";
	H.hold = 1;
	R.conf->verdict_ms = 100;
	dial(0);
	message();
	RUN_UNTIL(H.now == 1);
	RUN_UNTIL(heard("250 2.0.0"));
	assert_int_equal(board_get(&R.board, BC_VERDICTS_LATE), 1);
	assert_int_equal(R.e.verdicts, 0);
	assert_int_equal(H.nputs, 1);
	put_answer(H.puts, 422);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);
	assert_int_equal(H.nputs, 2);		/* home is told by another PUT that it was 250 */
	assert_int_equal(H.asked, 1);
	assert_int_equal(H.deletes, 0);
	assert_int_equal(rows(), 0);
	goodbye();
}

/* The 422 never came: the sender has his 250, and the message goes home by the next tunnel. */
static void
cut_before_the_verdict(void **state)
{
	H.judge = refuse;
	H.hold = 1;
	dial(0);
	message();
	RUN_UNTIL(H.now == 1);
	hang_up(0);
	RUN_UNTIL(heard("250 2.0.0"));
	assert_int_equal(rows(), 1);		/* no more hidden */
	H.hold = 0;
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);
	assert_int_equal(H.asked, 1);
	assert_int_equal(H.deletes, 0);
	goodbye();
}

/* The client is gone when home says no: nobody was told, so home must keep it. */
static void
the_client_does_not_wait(void **state)
{
	H.judge = refuse;
	H.words = "550 5.1.1 no such mailbox\r\n";
	H.hold = 1;
	dial(0);
	message();
	RUN_UNTIL(H.now == 1);
	goodbye();
	put_answer(H.puts, 422);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);
	assert_int_equal(H.nputs, 2);
	assert_int_equal(H.asked, 1);
	assert_int_equal(H.deletes, 0);
	assert_int_equal(rows(), 0);
}

/* The tunnel goes between home's no and the sender's: the sender was told, home is not. */
static void
cut_before_the_delete(void **state)
{
	H.judge = refuse;
	H.words = "550 5.1.1 no such mailbox\r\n";
	H.hold = 1;
	dial(0);
	message();
	RUN_UNTIL(H.now == 1);
	put_answer(H.puts, 422);
	RUN_UNTIL(heard("550 5.1.1"));
	hang_up(0);
	RUN_UNTIL(rows() == 0);
	dial(0);
	loop_run_ms(100);
	assert_int_equal(H.nputs, 1);		/* it is not sent again: nobody was told 250 */
	goodbye();
}

static void
no_more_verdicts_than_allowed(void **state)
{
	R.conf->verdicts = 0;
	dial(0);
	message();
	RUN_UNTIL(heard("250 2.0.0"));
	assert_true(heard("held"));
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);	/* it is not hidden for ever */
	assert_int_equal(H.asked, 0);
	goodbye();
}

static void
the_writer_is_killed_meanwhile(void **state)
{
	H.hold = 1;
	dial(0);
	message();
	RUN_UNTIL(H.now == 1);
	rig_writer_down();
	rig_writer_up();
	put_answer(H.puts, 200);
	RUN_UNTIL(heard("250 2.0.0"));
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);
	assert_int_equal(rows(), 0);
	goodbye();
}

int
main(void)
{
#define TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, handover_play_setup, handover_play_teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_verdict_is_taken),
		TEST(the_verdict_is_no),
		TEST(a_no_that_is_none),
		TEST(the_verdict_is_late),
		TEST(cut_before_the_verdict),
		TEST(the_client_does_not_wait),
		TEST(cut_before_the_delete),
		TEST(no_more_verdicts_than_allowed),
		TEST(the_writer_is_killed_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
