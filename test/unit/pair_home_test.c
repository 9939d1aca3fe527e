/*
 * Home's side of pairing against an edge that plays a part: the true one, and
 * those that refuse, lie, stop, or are somebody else.  The edge is a process of
 * its own on loopback.
 */
#include "ctl/pair_home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/codec.h"
#include "ctl/keygen.h"
#include "ctl/role.h"
#include "net/h2.h"
#include "net/tls.h"

enum part {
	PART_TRUE = 0,
	PART_UNPINNED,		/* no line is open: home's certificate is refused */
	PART_OTHER_KEY,		/* it shows another key than the line says */
	PART_REFUSES,		/* an error instead of the test */
	PART_OTHER_RECIPIENT,	/* the test is sealed to somebody else */
	PART_JUNK,		/* not JSON */
	PART_EARLY,		/* "paired" before the proof */
	PART_LONG,		/* more than pairing takes */
	PART_NO_DOMAIN,
	PART_BAD_NAME,
	PART_HANGS_UP,		/* ends the stream without a word */
	PART_404,
};

/* --- the edge ------------------------------------------------------------------------------ */

static struct {
	uv_loop_t	 loop;
	enum part	 part;
	SSL_CTX		*ctx;
	int		 listen;
	struct h2	*h2;
	struct h2_stream *stream;
	struct buf	 in, out;
	size_t		 sent;
	bool		 last;
	unsigned char	 secret[32];
	unsigned char	 token[PAIRING_TOKEN_LEN];
} edge;

static void
say(const char *text, bool last)
{
	buf_add_str(&edge.out, text);
	buf_add_str(&edge.out, "\n");
	edge.last = last;
	h2_stream_resume(edge.stream);
}

static ssize_t
edge_pull(void *arg, void *to, size_t max, bool *eof)
{
	size_t n = edge.out.n - edge.sent < max ? edge.out.n - edge.sent : max;

	if (n > 0)
		memcpy(to, edge.out.p + edge.sent, n);
	edge.sent += n;
	*eof = edge.last && edge.sent == edge.out.n;
	return (ssize_t)n;
}

static void
send_test(const json_t *hello)
{
	unsigned char rnd[AGE_SEAL_RND(1)];
	char text[4096], line[4200];
	struct age_recipient to;
	struct age_seal *seal;
	struct buf sealed;

	if (!age_recipient_parse(span_str(json_string_value(json_array_get(
	    json_object_get(hello, "recipients"), 0))), &to) ||
	    !hex_decode(span_str(json_string_value(json_object_get(hello, "token"))), edge.token,
	    sizeof(edge.token)))
		_exit(9);
	if (edge.part == PART_OTHER_RECIPIENT)
		memset(to.pub, 9, sizeof(to.pub));
	random_bytes(rnd, sizeof(rnd));
	random_bytes(edge.secret, sizeof(edge.secret));
	buf_init(&sealed, 4096);
	seal = age_seal_new(&to, 1, rnd);
	if (seal == NULL || !age_seal_add(seal, edge.secret, sizeof(edge.secret), &sealed) ||
	    !age_seal_end(seal, &sealed))
		_exit(9);
	base64_encode(sealed.p, sealed.n, true, text);
	snprintf(line, sizeof(line), "{\"test\":\"%s\"}", text);
	say(line, false);
}

/* The domain of the grant tells which MAC key this side has. */
static void
send_grant(const json_t *line)
{
	unsigned char proof[32], exporter[32];
	char mac[33], text[512];
	struct secret key = { .set = false };

	if (!hex_decode(span_str(json_string_value(json_object_get(line, "proof"))), proof,
	    sizeof(proof)) || memcmp(proof, edge.secret, sizeof(proof)) != 0 ||
	    !tls_exporter(h2_ssl(edge.h2), "EXPORTER-posthouse-pair-1", exporter))
		_exit(9);
	pairing_mac_key(exporter, edge.token, "alice", &key);
	hex_encode(key.b, 16, mac);
	snprintf(text, sizeof(text), "{\"paired\":true,\"edge\":\"%s\",\"domains\":[%s%s%s]}",
	    edge.part == PART_BAD_NAME ? "../my \\\\ edge" : "mx1.test",
	    edge.part == PART_NO_DOMAIN ? "" : "\"", edge.part == PART_NO_DOMAIN ? "" : mac,
	    edge.part == PART_NO_DOMAIN ? "" : ".test\"");
	say(text, true);
}

static void
play(const json_t *line)
{
	char lots[PAIRING_OCTETS_MAX + 100];

	switch (edge.part) {
	case PART_REFUSES:
		say("{\"error\":\"the token is wrong\"}", true);
		break;
	case PART_JUNK:
		say("hello", true);
		break;
	case PART_EARLY:
		say("{\"paired\":true,\"edge\":\"mx1.test\",\"domains\":[\"example.org\"]}", true);
		break;
	case PART_LONG:
		memset(lots, 'x', sizeof(lots));
		lots[sizeof(lots) - 1] = '\0';
		say(lots, true);
		break;
	case PART_HANGS_UP:
		edge.last = true;
		h2_stream_resume(edge.stream);
		break;
	default:
		if (json_object_get(line, "proof") != NULL)
			send_grant(line);
		else
			send_test(line);
	}
}

static void
edge_data(void *arg, struct span s)
{
	char *end;

	h2_consumed(edge.stream, s.n);
	buf_add_span(&edge.in, s);
	while (edge.in.n > 0 && (end = memchr(edge.in.p, '\n', edge.in.n)) != NULL) {
		json_t *line = json_loadb(edge.in.p, (size_t)(end - edge.in.p), 0, NULL);

		play(line);
		json_decref(line);
		buf_drop(&edge.in, (size_t)(end - edge.in.p) + 1);
	}
}

static void
edge_stream_closed(void *arg, const struct why *why)
{
	edge.stream = NULL;
}

static const struct h2_stream_ops edge_stream = { .data = edge_data, .closed = edge_stream_closed };

static void
edge_request(void *arg, struct h2_stream *s, const struct h2_head *head, bool has_body)
{
	struct h2_head answer = { .status = edge.part == PART_404 ? 404 : 200 };

	if (!span_eq(head->method, SPAN_LIT("PUT")) || !span_eq(head->path, SPAN_LIT("/pair")))
		_exit(9);
	edge.stream = s;
	h2_stream_own(s, &edge_stream, NULL);
	if (edge.part == PART_404)
		h2_respond(s, &answer, SPAN_LIT("no\n"), NULL, NULL);
	else
		h2_respond(s, &answer, span_of(NULL, 0), edge_pull, NULL);
}

static void
edge_closed(void *arg, const struct why *why)
{
	_exit(0);
}

static const struct h2_ops edge_ops = { .request = edge_request, .closed = edge_closed };

static bool
edge_accepts(void *arg, const struct pin *pin, const char *alpn)
{
	return edge.part != PART_UNPINNED;
}

static void
edge_connection(uv_poll_t *poll, int status, int events)
{
	struct why why;
	int fd = accept4(edge.listen, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	uv_poll_stop(poll);
	if (fd != -1)
		edge.h2 = h2_new(&edge.loop, fd, edge.ctx, true, false, &edge_ops, NULL, &why);
	if (edge.h2 == NULL)
		_exit(9);
}

static void
edge_main(enum part part, int fd, struct span pem)
{
	static const char *const alpn[] = { "posthouse-pair/1", NULL };
	struct why why;
	uv_poll_t poll;

	alarm(20);
	edge.part = part;
	edge.listen = fd;
	buf_init(&edge.in, 65536);
	buf_init(&edge.out, 65536);
	edge.ctx = tls_tunnel_new(pem, true, alpn, edge_accepts, NULL, &why);
	if (edge.ctx == NULL || uv_loop_init(&edge.loop) != 0 ||
	    uv_poll_init(&edge.loop, &poll, fd) != 0)
		_exit(9);
	uv_poll_start(&poll, UV_READABLE, edge_connection);
	uv_run(&edge.loop, UV_RUN_DEFAULT);
	_exit(0);
}

/* --- home ---------------------------------------------------------------------------------- */

static struct buf edge_pem, home_pem;
static struct pin edge_pin;
static struct identities keys;
static struct conf_home conf;

static int
make_keys(void **state)
{
	char dir[] = "/tmp/pair_home_test.XXXXXX", path[64];
	struct why why;
	struct pin pin;
	int rc;

	signal(SIGPIPE, SIG_IGN);
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/key", dir);
	rc = keygen_tunnel(path, &edge_pin, &why) | read_file(path, 65536, &edge_pem, &why) |
	    unlink(path);
	rc |= keygen_tunnel(path, &pin, &why) | read_file(path, 65536, &home_pem, &why) |
	    unlink(path);
	rc |= keygen_age(path, &why) | identities_load(&keys, path, &why) | unlink(path);
	return rc | rmdir(dir);
}

static int
drop_keys(void **state)
{
	buf_wipe(&edge_pem);
	buf_wipe(&home_pem);
	identities_fini(&keys);
	return 0;
}

/* Pairs with an edge that plays this part. */
static int
pair_with(enum part part, struct peer *peer, struct why *why)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sin);
	struct pairing_line line = { .name = "alice", .edge = edge_pin, .token = { 1, 2, 3 } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc, status;
	pid_t pid;

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, n), 0);
	assert_int_equal(listen(fd, 5), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &n), 0);
	snprintf(line.address, sizeof(line.address), "127.0.0.1:%u", ntohs(sin.sin_port));
	if (part == PART_OTHER_KEY)
		line.edge.b[0] ^= 1;
	if ((pid = fork()) == 0)
		edge_main(part, fd, buf_span(&edge_pem));
	close(fd);
	why->text[0] = '\0';
	rc = pair_home(&conf, &line, buf_span(&home_pem), &keys, peer, why);
	kill(pid, SIGTERM);		/* ours, and it may wait for more */
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 9);
	return rc;
}

static void
an_edge_is_paired(void **state)
{
	struct why why;
	struct peer peer;
	char mac[64];

	if (pair_with(PART_TRUE, &peer, &why) == -1)
		fail_msg("%s", why.text);
	assert_string_equal(peer.name, "mx1.test");
	assert_string_equal(peer.home, "alice");
	assert_int_equal(peer.npins, 1);
	assert_true(pin_eq(&peer.pins[0], &edge_pin));
	assert_int_equal(peer.nrecipients, 1);
	assert_memory_equal(peer.recipients[0].pub, keys.id[0].pub, 32);
	assert_int_equal(peer.nmac, 1);
	hex_encode(peer.mac[0].b, 16, mac);
	memcpy(mac + 32, ".test", 6);
	assert_int_equal(peer.ndomains, 1);
	assert_string_equal(peer.domains[0], mac);	/* both have agreed on one key */
	peer_fini(&peer);
}

/* Both would sign under one name: whose an object is could not be told. */
static void
an_edge_with_a_workers_name_is_not_paired(void **state)
{
	struct why why;
	struct peer peer;
	int rc;

	memcpy(conf.workers[0].name, "mx1.test", sizeof("mx1.test"));
	conf.nworkers = 1;
	rc = pair_with(PART_TRUE, &peer, &why);
	conf.nworkers = 0;
	assert_int_equal(rc, -1);
	assert_non_null(strstr(why.text, "give the Worker another name"));
}

static void
every_failure_has_its_reason(void **state)
{
	static const struct {
		enum part	part;
		const char	*says;
	} t[] = {
		{ PART_UNPINNED, "no pairing line is open there" },
		{ PART_OTHER_KEY, "shows another key" },
		{ PART_REFUSES, "the token is wrong" },
		{ PART_OTHER_RECIPIENT, "does not open with home's age key" },
		{ PART_JUNK, "does not belong to pairing" },
		{ PART_EARLY, "does not belong to pairing" },
		{ PART_LONG, "more than pairing takes" },
		{ PART_NO_DOMAIN, "grants no domain" },
		{ PART_BAD_NAME, "calls itself \"../my \\ edge\", which is no host name" },
		{ PART_HANGS_UP, "without a word" },
		{ PART_404, "answered 404" },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct why why;
		struct peer peer;

		assert_int_equal(pair_with(t[i].part, &peer, &why), -1);
		if (strstr(why.text, t[i].says) == NULL)
			fail_msg("part %d: %s", t[i].part, why.text);
	}
}

static void
nobody_there(void **state)
{
	struct pairing_line line = { .name = "alice", .edge = edge_pin, .address = "127.0.0.1:1" };
	struct why why;
	struct peer peer;

	assert_int_equal(pair_home(&conf, &line, buf_span(&home_pem), &keys, &peer, &why), -1);
	assert_non_null(strstr(why.text, "no connection to 127.0.0.1:1"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_edge_is_paired),
		cmocka_unit_test(an_edge_with_a_workers_name_is_not_paired),
		cmocka_unit_test(every_failure_has_its_reason),
		cmocka_unit_test(nobody_there),
	};

	return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
