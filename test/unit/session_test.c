/* The edge's SMTP sessions over true sockets: limits, time, TLS, the end, a full spool. */
#include "kit/edge_rig.h"

#include <errno.h>

#include "edge/session_in.h"
#include "net/tls.h"
#include "kit/net_keys.h"

struct client {
	int	 fd;
	char	 text[16384];
	size_t	 n;
	bool	 eof;
};

static struct net_key key;
static struct client A, B;

static int
set_up(void **state)
{
	rig_up("limits { errors = 3 }\n");
	A.fd = B.fd = -1;
	return 0;
}

static int
tear_down(void **state)
{
	struct client *all[] = { &A, &B };

	for (size_t i = 0; i < 2; i++)
		if (all[i]->fd >= 0)
			close(all[i]->fd);
	SSL_CTX_free(R.e.smtp_tls);
	R.e.smtp_tls = NULL;
	rig_down();
	assert_int_equal(board_get(&R.board, BC_CONNECTIONS), 0);
	assert_int_equal(R.e.nsessions, 0);
	return 0;
}

static void
hear(struct client *c)
{
	ssize_t n;

	while ((n = recv(c->fd, c->text + c->n, sizeof(c->text) - 1 - c->n, 0)) > 0)
		c->n += (size_t)n;
	if (n == 0 || (n == -1 && errno != EAGAIN))
		c->eof = true;
	c->text[c->n] = '\0';
}

static bool
heard(struct client *c, const char *what)
{
	hear(c);
	return strstr(c->text, what) != NULL;
}

static bool
ended(struct client *c)
{
	hear(c);
	return c->eof;
}

static void
say(struct client *c, const char *text)
{
	c->n = 0;
	assert_int_equal(send(c->fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void
connect_client(struct client *c)
{
	int fds[2];

	tcp_pair(fds);
	*c = (struct client){ .fd = fds[0] };
	session_accept(&R.e, fds[1], &R.conf->services[0]);
}

static unsigned
codes(const struct client *c, const char *code)
{
	unsigned n = 0;

	for (const char *p = c->text; p != NULL && *p != '\0';
	    p = strchr(p, '\n'), p = p != NULL ? p + 1 : p)
		n += strncmp(p, code, strlen(code)) == 0;
	return n;
}

#define ENVELOPE "MAIL FROM:<s@far.test>\r\nRCPT TO:<x@alice.test>\r\n"

/* --- the tests -------------------------------------------------------------------------------- */

/* All in one write: each message waits for its commit before the next is read. */
static void
pipelined(void **state)
{
	connect_client(&A);
	RUN_UNTIL(heard(&A, "220 mx.edge.test"));
	say(&A, "EHLO c\r\n" ENVELOPE "DATA\r\none\r\n.\r\n" ENVELOPE
	    "BDAT 3\r\ntwoBDAT 2 LAST\r\n\r\n" ENVELOPE "BDAT 0 LAST\r\nQUIT\r\n");
	RUN_UNTIL(ended(&A));
	assert_int_equal(codes(&A, "250 2.0.0 Accepted, held, id "), 3);
	assert_non_null(strstr(A.text, "221 "));
	assert_int_equal(board_get(&R.board, BC_ACCEPTED), 3);
}

static void
a_client_that_closes_behind_its_last_word(void **state)
{
	connect_client(&A);
	say(&A, "EHLO c\r\n" ENVELOPE "DATA\r\none\r\n.\r\nQUIT\r\n");
	shutdown(A.fd, SHUT_WR);
	RUN_UNTIL(ended(&A));
	assert_int_equal(codes(&A, "250 2.0.0 Accepted"), 1);
	assert_int_equal(board_get(&R.board, BC_ACCEPTED), 1);
}

/* Who has said all that he has to say, and no QUIT, still wants to know what became of it. */
static void
a_client_that_closes_behind_its_message(void **state)
{
	connect_client(&A);
	say(&A, "EHLO c\r\n" ENVELOPE "DATA\r\none\r\n.\r\n");
	shutdown(A.fd, SHUT_WR);
	RUN_UNTIL(ended(&A));
	assert_int_equal(codes(&A, "250 2.0.0 Accepted"), 1);
	assert_int_equal(board_get(&R.board, BC_ACCEPTED), 1);
}

/* It goes while its message is being made durable: nothing is left behind, and it is kept. */
static void
a_client_that_goes_before_the_answer(void **state)
{
	struct linger reset = { 1, 0 };

	connect_client(&A);
	RUN_UNTIL(heard(&A, "220 "));
	say(&A, "EHLO c\r\n" ENVELOPE "DATA\r\none\r\n.\r\n");
	setsockopt(A.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(A.fd);
	A.fd = -1;
	RUN_UNTIL(R.e.sessions == NULL);
	loop_run_ms(50);
}

static void
wrong_codes_have_their_names(void **state)
{
	static const struct {
		const char	*says, *hears;
	} rows[] = {
		{ "MAIL FROM:<s@far.test>\r\n", "503 5.5.1" },
		{ "EHLO c\r\n", "250 ENHANCEDSTATUSCODES" },
		{ "MAIL FROM:<s@far.test>\r\n", "250 2.1.0" },
		{ "RCPT TO:<x@evil.test>\r\n", "550 5.7.1" },
		{ "RCPT TO:<x@alice.test>\r\n", "250 2.1.5" },
		{ "RSET\r\n", "250 2.0.0" },
		{ "AUTH PLAIN x\r\n", "421 4.7.0" },	/* the third error ends it */
	};

	connect_client(&A);
	RUN_UNTIL(heard(&A, "220 "));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		say(&A, rows[i].says);
		RUN_UNTIL(heard(&A, rows[i].hears));
	}
	RUN_UNTIL(ended(&A));
	assert_int_equal(board_get(&R.board, BC_RCPT_REFUSED), 1);
}

static void
one_client_takes_not_all(void **state)
{
	R.conf->connections_client = 1;
	connect_client(&A);
	connect_client(&B);
	RUN_UNTIL(heard(&B, "421 4.7.0") && ended(&B));
	assert_int_equal(board_get(&R.board, BC_CONNECTIONS_REFUSED), 1);
	say(&A, "QUIT\r\n");
	RUN_UNTIL(ended(&A) && R.e.sessions == NULL);
	close(B.fd);
	connect_client(&B);			/* its place is free again */
	RUN_UNTIL(heard(&B, "220 "));
}

/* --- time --------------------------------------------------------------------------------- */

static void
sweep_in(int64_t ms)
{
	struct instant then = instant_now();

	then.ns += ms * 1000000;
	sessions_sweep(&R.e, then);
}

static void
silence_ends(void **state)
{
	connect_client(&A);
	RUN_UNTIL(heard(&A, "220 "));
	sweep_in(R.e.terms->timeouts.command_ms - 2000);
	loop_run_ms(20);
	assert_false(heard(&A, "421"));
	sweep_in(R.e.terms->timeouts.command_ms + 2000);
	RUN_UNTIL(heard(&A, "421 4.4.2") && ended(&A));
	assert_int_equal(board_get(&R.board, BC_TIMEOUTS), 1);
}

/* An octet now and then is no command. */
static void
dripping_ends(void **state)
{
	connect_client(&A);
	RUN_UNTIL(heard(&A, "220 "));
	loop_run_ms(1500);
	say(&A, "E");
	loop_run_ms(20);
	sweep_in(R.e.terms->timeouts.command_ms - 1000);
	RUN_UNTIL(heard(&A, "421 4.4.2"));
}

static void
a_whole_session_ends(void **state)
{
	connect_client(&A);
	RUN_UNTIL(heard(&A, "220 "));
	R.e.terms->timeouts.command_ms = 10 * R.e.terms->timeouts.session_ms;
	say(&A, "NOOP\r\n");
	RUN_UNTIL(heard(&A, "250 "));
	sweep_in(R.e.terms->timeouts.session_ms + 1000);
	sweep_in(R.e.terms->timeouts.session_ms + 2000);
	RUN_UNTIL(heard(&A, "421 4.4.2") && ended(&A));
	assert_int_equal(board_get(&R.board, BC_TIMEOUTS), 1);		/* counted once */
}

/* --- the end ------------------------------------------------------------------------------ */

static void
a_drain_lets_messages_end(void **state)
{
	connect_client(&A);
	connect_client(&B);
	RUN_UNTIL(heard(&A, "220 ") && heard(&B, "220 "));
	say(&A, "EHLO c\r\n" ENVELOPE "DATA\r\n");
	RUN_UNTIL(heard(&A, "354 "));
	R.e.draining = true;
	sessions_drain(&R.e);
	RUN_UNTIL(heard(&B, "421 4.3.2") && ended(&B));
	assert_int_equal(R.e.nsessions, 1);
	say(&A, "one\r\n.\r\n");
	RUN_UNTIL(heard(&A, "250 2.0.0 Accepted"));
	sessions_drain(&R.e);
	RUN_UNTIL(heard(&A, "421 4.3.2") && ended(&A));
}

static void
smtp_tls(void)
{
	struct why why = { "" };

	R.e.smtp_tls = tls_server_new(net_key_span(&key), net_key_span(&key), &why);
	if (R.e.smtp_tls == NULL)
		fail_msg("%s", why.text);
}

/* In the middle of a handshake there is nothing that could be said. */
static void
a_drain_during_a_handshake(void **state)
{
	smtp_tls();
	connect_client(&A);
	RUN_UNTIL(heard(&A, "220 "));
	say(&A, "EHLO c\r\n");
	RUN_UNTIL(heard(&A, "250-STARTTLS"));
	say(&A, "STARTTLS\r\n");
	RUN_UNTIL(heard(&A, "220 2.0.0"));
	loop_run_ms(20);
	sessions_drain(&R.e);
	loop_run_ms(20);
	assert_false(heard(&A, "421"));
	assert_int_equal(R.e.nsessions, 1);
	sweep_in(R.e.terms->timeouts.handshake_ms + 1000);
	RUN_UNTIL(ended(&A));
	assert_false(heard(&A, "421"));
}

/* A true handshake, then a message over it. */
static void
starttls(void **state)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	char text[4096];
	size_t n;
	int rc;

	smtp_tls();
	connect_client(&A);
	say(&A, "EHLO c\r\n");
	RUN_UNTIL(heard(&A, "ENHANCEDSTATUSCODES") && heard(&A, "250-STARTTLS"));
	say(&A, "STARTTLS\r\n");
	RUN_UNTIL(heard(&A, "220 2.0.0"));
	SSL_set_fd(ssl, A.fd);
	SSL_set_connect_state(ssl);
	RUN_UNTIL(SSL_do_handshake(ssl) == 1);
	rc = SSL_write_ex(ssl, "EHLO c\r\n" ENVELOPE "DATA\r\none\r\n.\r\n",
	    strlen("EHLO c\r\n" ENVELOPE "DATA\r\none\r\n.\r\n"), &n);
	assert_int_equal(rc, 1);
	A.n = 0;
	RUN_UNTIL((SSL_read_ex(ssl, text, sizeof(text), &n) == 1 &&
	    (memcpy(A.text + A.n, text, n), A.n += n, A.text[A.n] = '\0', 1) && 0) ||
	    strstr(A.text, "250 2.0.0 Accepted") != NULL);
	assert_null(strstr(A.text, "STARTTLS"));	/* not offered twice */
	assert_int_equal(board_get(&R.board, BC_TLS_TOTAL), 1);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

/* --- several homes ------------------------------------------------------------------------ */

static void
says(struct home *h, struct policy said)
{
	struct policy *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	*p = said;
	home_set_policy(h, p, SPAN_LIT("x"));
}

static struct home *
bob_too(void)
{
	struct peer peer = R.alice->peer;
	struct home *bob;

	strcpy(peer.name, "bob");
	strcpy(peer.domains[0], "bob.test");
	assert_non_null(bob = homes_paired(&R.e.homes, R.conf, "bob", &peer));
	return bob;
}

/* One whose server takes little is no reason to refuse what another takes. */
static void
a_home_that_takes_little(void **state)
{
	says(R.alice, (struct policy){ .size = 2000 });
	says(bob_too(), (struct policy){ .size = 20 });
	connect_client(&A);
	say(&A, "EHLO c\r\n");
	RUN_UNTIL(heard(&A, "250 ENHANCED"));
	assert_non_null(strstr(A.text, "250-SIZE 2000\r\n"));
	say(&A, "MAIL FROM:<s@far.test> SIZE=100\r\nRCPT TO:<x@bob.test>\r\n"
	    "RCPT TO:<x@alice.test>\r\nDATA\r\nThis one has more than twenty octets.\r\n.\r\n");
	RUN_UNTIL(heard(&A, "250 2.0.0 Accepted"));
	assert_int_equal(codes(&A, "552 5.3.4"), 1);
	say(&A, "MAIL FROM:<s@far.test>\r\nRCPT TO:<x@bob.test>\r\n"
	    "DATA\r\nThis one has more than twenty octets.\r\n.\r\n");
	RUN_UNTIL(heard(&A, "552 5.3.4"));
	homes_paired(&R.e.homes, R.conf, "bob", NULL);
	say(&A, "QUIT\r\n");
	RUN_UNTIL(ended(&A));
}

static const char *
offers(void)
{
	connect_client(&A);
	say(&A, "EHLO c\r\n");
	RUN_UNTIL(heard(&A, "250 ENHANCED"));
	return A.text;
}

/* One whose server does not honour SMTPUTF8 is no reason to refuse what another's honours. */
static void
a_home_without_smtputf8(void **state)
{
	static const char utf8[] = "MAIL FROM:<\xc3\xb6@far.test> SMTPUTF8\r\n";
	struct home *bob = bob_too();

	says(R.alice, (struct policy){ .smtputf8 = true });
	says(bob, (struct policy){ .size = 0 });
	assert_non_null(strstr(offers(), "250-SMTPUTF8\r\n"));
	say(&A, utf8);
	RUN_UNTIL(heard(&A, "250 2.1.0"));
	say(&A, "RCPT TO:<x@bob.test>\r\nRCPT TO:<x@alice.test>\r\nDATA\r\n"
	    "A: \xc3\xb6\r\n.\r\n");
	RUN_UNTIL(heard(&A, "250 2.0.0 Accepted"));
	assert_int_equal(codes(&A, "553 5.6.7"), 1);
	/* It has lost it meanwhile: what counts is what it says at RCPT. */
	says(R.alice, (struct policy){ .smtputf8 = false });
	say(&A, utf8);
	RUN_UNTIL(heard(&A, "250 2.1.0"));
	say(&A, "RCPT TO:<x@alice.test>\r\n");
	RUN_UNTIL(heard(&A, "553 5.6.7"));
	/* Only the keyword: the header decides. */
	say(&A, "RSET\r\nMAIL FROM:<s@far.test> SMTPUTF8\r\nRCPT TO:<x@bob.test>\r\nDATA\r\n"
	    "A: b\r\n\r\n\xc3\xb6\r\n.\r\n");
	RUN_UNTIL(heard(&A, "250 2.0.0 Accepted"));
	say(&A, "MAIL FROM:<s@far.test> SMTPUTF8\r\nRCPT TO:<x@bob.test>\r\nDATA\r\n"
	    "A: \xc3\xb6\r\n\r\n.\r\n");
	RUN_UNTIL(heard(&A, "554 5.6.9"));
	say(&A, "QUIT\r\n");
	RUN_UNTIL(ended(&A));
	assert_null(strstr(offers(), "SMTPUTF8"));
	homes_paired(&R.e.homes, R.conf, "bob", NULL);
	say(&A, "QUIT\r\n");
	RUN_UNTIL(ended(&A));
}

/* Nobody is promised a report that one of them does not make. */
static void
a_home_without_dsn(void **state)
{
	struct home *bob = bob_too();

	says(R.alice, (struct policy){ .dsn = true });
	says(bob, (struct policy){ .dsn = false });
	assert_null(strstr(offers(), "DSN"));
	say(&A, "QUIT\r\n");
	RUN_UNTIL(ended(&A));
	says(bob, (struct policy){ .dsn = true });
	assert_non_null(strstr(offers(), "250-DSN\r\n"));
	says(bob, (struct policy){ .dsn = false });
	say(&A, "MAIL FROM:<s@far.test> RET=HDRS\r\n"
	    "RCPT TO:<x@bob.test> NOTIFY=SUCCESS,FAILURE\r\n"
	    "RCPT TO:<x@bob.test> NOTIFY=FAILURE ORCPT=rfc822;y@bob.test\r\n"
	    "DATA\r\none\r\n.\r\n"
	    "MAIL FROM:<s@far.test>\r\nRCPT TO:<x@alice.test> NOTIFY=SUCCESS\r\n"
	    "DATA\r\ntwo\r\n.\r\nNOOP\r\n");
	RUN_UNTIL(heard(&A, "250 2.0.0 Still here"));
	assert_int_equal(codes(&A, "455 4.5.4"), 1);
	assert_int_equal(codes(&A, "250 2.0.0 Accepted"), 2);
	homes_paired(&R.e.homes, R.conf, "bob", NULL);
	say(&A, "QUIT\r\n");
	RUN_UNTIL(ended(&A));
}

/* --- a spool that says no ----------------------------------------------------------------- */

static void
quota(uint64_t octets)
{
	R.conf->hold.quota = octets;
	rig_writer_down();
	rig_writer_up();
}

static void
full(void **state)
{
	quota(10);
	connect_client(&A);
	say(&A, "EHLO c\r\nMAIL FROM:<s@far.test>\r\n");	/* not only behind DATA */
	RUN_UNTIL(heard(&A, "452 4.3.1"));
	quota(1 << 30);
	say(&A, ENVELOPE "DATA\r\none\r\n.\r\n");
	RUN_UNTIL(heard(&A, "250 2.0.0 Accepted"));		/* it recovers by itself */
	assert_int_equal(board_get(&R.board, BC_DEFERRED), 1);
	assert_int_equal(board_get(&R.board, BC_ACCEPTED), 1);
}

static int64_t oldest;

static void
on_list(void *arg, bool ok, const struct spool_object *o, size_t n)
{
	assert_true(ok && n > 0);
	oldest = o[0].row;
}

/* What was announced does not fit, what was not may; what is held goes, and it fits again. */
static void
nearly_full(void **state)
{
	static char text[16000];
	size_t n;

	R.conf->hold.share = 100;
	quota(20000);
	connect_client(&A);
	say(&A, "EHLO c\r\nMAIL FROM:<s@far.test> SIZE=19500\r\n");
	RUN_UNTIL(heard(&A, "452 4.3.1"));
	n = (size_t)snprintf(text, sizeof(text), "%s", ENVELOPE "BDAT 15000 LAST\r\n");
	memset(text + n, 'x', 15000);
	memcpy(text + n + 14998, "\r\n", 2);
	text[n + 15000] = '\0';
	say(&A, text);
	RUN_UNTIL(heard(&A, "250 2.0.0 Accepted"));
	say(&A, "MAIL FROM:<s@far.test> SIZE=5000\r\n");
	RUN_UNTIL(heard(&A, "452 4.3.1"));
	say(&A, "MAIL FROM:<s@far.test> SIZE=100\r\nRSET\r\n");
	RUN_UNTIL(heard(&A, "250 2.1.0"));
	spool_list(R.e.spool, "alice", 0, 1, on_list, NULL);
	RUN_UNTIL(oldest > 0);
	spool_delete(R.e.spool, oldest, NULL, NULL);
	RUN_UNTIL(spool_room(R.e.spool) >= 20000);
	say(&A, "MAIL FROM:<s@far.test> SIZE=5000\r\n");
	RUN_UNTIL(heard(&A, "250 2.1.0"));
	assert_int_equal(board_get(&R.board, BC_DEFERRED), 2);
}

/* The home is unpaired between RCPT and DATA: nothing can be sealed, and nothing is taken. */
static void
unpaired_in_between(void **state)
{
	connect_client(&A);
	say(&A, "EHLO c\r\n" ENVELOPE);
	RUN_UNTIL(heard(&A, "250 2.1.5"));
	homes_paired(&R.e.homes, R.conf, "alice", NULL);
	say(&A, "DATA\r\n");
	RUN_UNTIL(heard(&A, "452 4.3.1"));
	say(&A, ENVELOPE);
	RUN_UNTIL(heard(&A, "550 5.7.1"));
}

/* A client that sends and never reads makes us hold a bounded lot, and is ended in time. */
static void
a_client_that_never_reads(void **state)
{
	static char noops[6 * 1000 + 1];
	int small = 4096;
	ssize_t n = 0;
	size_t sent = 0;

	R.e.terms->smtp.limits.commands = 10000000;
	connect_client(&A);
	setsockopt(A.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	for (int i = 0; i < 1000; i++)
		memcpy(noops + 6 * i, "HELP\r\n", 6);
	for (int i = 0; i < 20000 && sent < (64u << 20); i++) {
		if ((n = send(A.fd, noops, 6000, MSG_NOSIGNAL)) > 0)
			sent += (size_t)n;
		loop_turns(1);
	}
	assert_int_equal(n, -1);		/* we read no more of it */
	assert_int_equal(errno, EAGAIN);
	sweep_in(R.e.terms->timeouts.command_ms + 2000);
	RUN_UNTIL(R.e.sessions == NULL);
}

/* It is not the client who is slow: whatever time the disk takes, he hears what became of it. */
static void
the_disk_has_its_time(void **state)
{
	connect_client(&A);
	say(&A, "EHLO c\r\n" ENVELOPE);
	RUN_UNTIL(heard(&A, "250 2.1.5"));
	rig_writer_down();
	say(&A, "DATA\r\none\r\n.\r\n");
	RUN_UNTIL(heard(&A, "354 ") && R.e.sessions->waiting == WAIT_SPOOL);
	sweep_in(R.e.terms->timeouts.session_ms + 2000);
	loop_run_ms(20);
	assert_false(heard(&A, "421"));
	rig_writer_up();
	RUN_UNTIL(heard(&A, "250 2.0.0 Accepted"));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pipelined),
		TEST(a_client_that_closes_behind_its_last_word),
		TEST(a_client_that_closes_behind_its_message),
		TEST(a_client_that_goes_before_the_answer),
		TEST(wrong_codes_have_their_names),
		TEST(one_client_takes_not_all),
		TEST(silence_ends),
		TEST(dripping_ends),
		TEST(a_whole_session_ends),
		TEST(a_drain_lets_messages_end),
		TEST(a_drain_during_a_handshake),
		TEST(starttls),
		TEST(a_home_that_takes_little),
		TEST(a_home_without_smtputf8),
		TEST(a_home_without_dsn),
		TEST(full),
		TEST(nearly_full),
		TEST(unpaired_in_between),
		TEST(a_client_that_never_reads),
		TEST(the_disk_has_its_time),
	};

	net_key_make(&key, "P-256");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
