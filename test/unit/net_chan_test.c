#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/codec.h"
#include "kit/loop.h"
#include "net/chan.h"

static struct {
	int		 fds[2];
	struct chan	*a, *b;		/* b listens */
	uint64_t	 got;		/* messages; tags count up from 0 */
	size_t		 octets;
	unsigned	 with_fd, closed;
	char		 why[512];
	uint64_t	 free_at;	/* after this many; 0 never */
	bool		 keep;		/* the descriptor */
	int		 kept;
	unsigned	 follow;	/* large ones: each is written when one is given out */
} T;

/* What message n holds, so that a mix-up shows: sizes around every boundary, at most 300 KB. */
static size_t
size_of(uint64_t n)
{
	return n % 500 == 499 ? 300000 : (n * 7919) % 200;
}

static char big[CHAN_BODY_MAX];

/* Two reads take it: the buffer, then the rest of the frame, no octet more. */
static void
follow(void)
{
	enum { BODY = 100000 };
	static unsigned char frame[16 + BODY];

	put_u32(frame, BODY);
	put_u16(frame + 4, (uint16_t)(7 + T.got % 3));
	put_u64(frame + 8, T.got);
	memset(frame + 16, 'b', BODY);
	T.follow--;
	assert_int_equal(write(T.fds[0], frame, sizeof(frame)), sizeof(frame));
}

static void
on_msg(void *arg, struct chan_msg *m)
{
	assert_int_equal(m->tag, T.got);
	assert_int_equal(m->type, 7 + m->tag % 3);
	T.got++;
	T.octets += m->body.n;
	if (m->body.n > 0)
		assert_memory_equal(m->body.p, big, m->body.n);
	if (m->fd != -1) {
		T.with_fd++;
		assert_true(fcntl(m->fd, F_GETFD) & FD_CLOEXEC);
		if (T.keep) {
			T.kept = m->fd;
			m->fd = -1;
		}
	}
	if (T.free_at != 0 && T.got == T.free_at)
		chan_free(&T.b);
	if (T.follow > 0)
		follow();
}

static void
on_close(void *arg, const struct why *why)
{
	T.closed++;
	snprintf(T.why, sizeof(T.why), "%s", why->text);
	chan_free(&T.b);
}

static int
setup(void **state)
{
	struct why why;

	memset(&T, 0, sizeof(T));
	memset(big, 'b', sizeof(big));
	loop_begin();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, T.fds), 0);
	T.b = chan_new(&loop, T.fds[1], &why);
	assert_non_null(T.b);
	chan_start(T.b, on_msg, on_close, NULL);
	return 0;
}

static int
teardown(void **state)
{
	chan_free(&T.a);
	chan_free(&T.b);
	loop_end();
	return 0;
}

static void
start_a(void)
{
	struct why why;

	T.a = chan_new(&loop, T.fds[0], &why);
	assert_non_null(T.a);
}

static void
send_n(uint64_t n, int fd)
{
	size_t size = size_of(n);
	struct span parts[3] = { { big, size / 2 }, { big, 0 }, { big, size - size / 2 } };

	assert_true(chan_send(T.a, (uint16_t)(7 + n % 3), n, parts, 3, fd));
}

static int
open_fds(void)
{
	int n = 0, fd;

	for (fd = 0; fd < 4096; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

static void
small_messages_keep_their_order(void **state)
{
	enum { N = 100000 };
	uint64_t n;
	size_t octets = 0;

	start_a();
	for (n = 0; n < N; n++) {
		send_n(n, -1);
		octets += size_of(n);
		if (chan_queued(T.a) > 2u << 20)
			RUN_UNTIL(chan_queued(T.a) == 0);
	}
	RUN_UNTIL(T.got == N);
	assert_int_equal(T.octets, octets);
}

static void
descriptors_ride_with_their_message(void **state)
{
	int before = open_fds(), p[2];
	char c;
	uint64_t n;

	start_a();
	for (n = 0; n < 1000; n++) {
		send_n(n, n % 3 == 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1);
		if (n % 50 == 0)
			RUN_UNTIL(T.got == n + 1);
	}
	RUN_UNTIL(T.got == 1000);
	assert_int_equal(T.with_fd, 334);
	assert_int_equal(open_fds(), before);	/* sent and not taken: closed on both sides */

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	T.keep = true;
	T.kept = -1;
	send_n(1000, p[1]);
	RUN_UNTIL(T.got == 1001);
	assert_int_equal(write(T.kept, "x", 1), 1);	/* it is the very pipe */
	assert_int_equal(read(p[0], &c, 1), 1);
	close(p[0]);
	close(T.kept);
}

static void
the_largest_body_passes(void **state)
{
	struct span part = { big, CHAN_BODY_MAX };
	int i;

	start_a();
	for (i = 0; i < 5; i++)
		assert_true(chan_send(T.a, (uint16_t)(7 + i % 3), (uint64_t)i, &part, 1,
		    i == 2 ? dup(0) : -1));
	RUN_UNTIL(T.got == 5);
	assert_int_equal(T.octets, 5 * (size_t)CHAN_BODY_MAX);
	assert_int_equal(T.with_fd, 1);
}

static void
what_was_said_before_death_is_heard(void **state)
{
	uint64_t n;

	start_a();
	for (n = 0; n < 400; n++)
		send_n(n, -1);
	chan_free(&T.a);
	assert_null(T.a);
	RUN_UNTIL(T.closed == 1);
	assert_int_equal(T.got, 400);
	assert_non_null(strstr(T.why, "gone"));
}

static void
sending_to_the_dead_ends_in_on_close(void **state)
{
	struct chan *listener = T.b;
	int i;

	close(T.fds[0]);
	T.a = listener;
	for (i = 0; i < 100; i++)
		send_n(0, -1);
	T.a = NULL;
	RUN_UNTIL(T.closed == 1);
	assert_int_equal(T.got, 0);
}

static void
it_may_be_freed_in_its_own_callback(void **state)
{
	uint64_t n;

	start_a();
	T.free_at = 5;
	for (n = 0; n < 100; n++)
		send_n(n, -1);
	RUN_UNTIL(T.b == NULL);
	loop_turns(1);
	assert_int_equal(T.got, 5);
	assert_int_equal(T.closed, 0);
}

static void
a_peer_that_does_not_read_fills_a_bounded_queue(void **state)
{
	struct span part = { big, CHAN_BODY_MAX };
	size_t sent = 0;
	int before, held = dup(T.fds[1]);

	chan_free(&T.b);		/* its end is there, and nobody reads it */
	start_a();
	while (chan_send(T.a, 7, 0, &part, 1, -1))
		assert_true((sent += part.n) <= CHAN_QUEUE_MAX + (8u << 20));
	assert_true(chan_queued(T.a) <= CHAN_QUEUE_MAX);
	before = open_fds();
	assert_false(chan_send(T.a, 7, 0, &part, 1, dup(0)));
	assert_int_equal(open_fds(), before);
	close(held);
}

/* --- a peer that breaks the form --------------------------------------------------- */

static void
raw(const void *p, size_t n, const int *fds, size_t nfds)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(8 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)p, n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfds > 0) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), fds, nfds * sizeof(int));
	}
	assert_int_equal(sendmsg(T.fds[0], &m, 0), n);
}

static void
bad_form_ends_the_channel(void **state)
{
	static const struct {
		const char *what;
		uint32_t body;
		uint16_t flags;
		size_t nfds, octets;	/* octets sent of the frame, its body included */
	} cases[] = {
		{ "a body over the limit", CHAN_BODY_MAX + 1, 0, 0, 16 },
		{ "the largest length there is", UINT32_MAX, 0, 0, 16 },
		{ "a flag without a descriptor", 0, 1, 0, 16 },
		{ "a descriptor without a flag", 0, 0, 1, 16 },
		{ "a descriptor with a frame that has only begun, without a flag", 100, 0, 1, 50 },
		{ "two descriptors", 0, 1, 2, 16 },
		{ "eight descriptors", 0, 1, 8, 16 },
		{ "a flag nobody knows", 0, 2, 0, 16 },
	};
	size_t i, j;

	teardown(state);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned char frame[200] = { 0 };
		int fds[8], before;

		setup(state);
		before = open_fds();
		for (j = 0; j < 8; j++)
			fds[j] = dup(0);
		put_u32(frame, cases[i].body);
		put_u16(frame + 4, 7);
		put_u16(frame + 6, cases[i].flags);
		raw(frame, cases[i].octets, fds, cases[i].nfds);
		for (j = 0; j < 8; j++)
			close(fds[j]);
		RUN_UNTIL(T.closed == 1);
		if (T.got > 1)
			fail_msg("%s: taken", cases[i].what);
		close(T.fds[0]);
		/* Both ends, and nothing was left open. */
		assert_int_equal(open_fds(), before - 2);
		teardown(state);
	}
	setup(state);
	close(T.fds[0]);
}

static void
frames_come_in_any_pieces(void **state)
{
	unsigned char frame[16 + 5] = { 0 };
	size_t i, piece;

	put_u32(frame, 5);
	memcpy(frame + 16, "bbbbb", 5);
	for (piece = 1; piece <= sizeof(frame); piece++) {
		put_u16(frame + 4, (uint16_t)(7 + (piece - 1) % 3));
		put_u64(frame + 8, piece - 1);
		for (i = 0; i < sizeof(frame); i += piece) {
			raw(frame + i, piece < sizeof(frame) - i ? piece : sizeof(frame) - i, NULL,
			    0);
			loop_turns(1);
		}
		RUN_UNTIL(T.got == piece);
	}
	close(T.fds[0]);
}

/* Though the turn's last read brought the end of it, and nothing comes after it. */
static void
what_came_whole_is_given_out_at_once(void **state)
{
	enum { N = 24 };

	T.follow = N;
	follow();
	RUN_UNTIL(T.got == N);
	close(T.fds[0]);
}

int
main(void)
{
#define NET(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		NET(small_messages_keep_their_order),
		NET(descriptors_ride_with_their_message),
		NET(the_largest_body_passes),
		NET(what_was_said_before_death_is_heard),
		NET(sending_to_the_dead_ends_in_on_close),
		NET(it_may_be_freed_in_its_own_callback),
		NET(a_peer_that_does_not_read_fills_a_bounded_queue),
		NET(bad_form_ends_the_channel),
		NET(frames_come_in_any_pieces),
		NET(what_came_whole_is_given_out_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
