#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/batch_smtp.h"

#define EHLO		"EHLO client.example\r\n"
#define XCLIENT		"XCLIENT NAME=mail.example ADDR=192.0.2.7 PORT=40001 PROTO=ESMTP " \
			"HELO=client.example DESTADDR=198.51.100.1 DESTPORT=25\r\n"
#define XFORWARD	"XFORWARD IDENT=0193e4a0-0000-7000-8000-000000000001 " \
			"SOURCE=REMOTE NAME=mx1.example\r\n"
#define MAIL		"MAIL FROM:<a@example.net> SIZE=5 BODY=8BITMIME\r\n"
#define RCPT		"RCPT TO:<b@example.org>\r\n"
#define HEAD		EHLO XCLIENT XFORWARD MAIL RCPT
#define TAIL		"BDAT 5\r\nhi\r\n!BDAT 0 LAST\r\nQUIT\r\n"

struct heard {
	enum batch_ev_type end;		/* NONE: it ended in the middle */
	char		*body;
	size_t		 n;
	struct envelope	*envelope;
	char		 why[160];
};

/* What the reader makes of the input, given piece by piece. */
static struct heard
hear(struct span in, size_t piece)
{
	struct batch_reader *r = batch_reader_new();
	struct heard h = { .body = malloc(in.n + 1) };
	struct batch_ev ev = { BATCH_EV_NONE, { NULL, 0 } };

	while (in.n > 0 && ev.type != BATCH_EV_BAD) {
		size_t len = in.n < piece ? in.n : piece;
		size_t used = batch_reader_step(r, in.p, len, &ev);

		in = span_from(in, used);
		if (ev.type == BATCH_EV_BODY) {
			assert_non_null(h.envelope);
			memcpy(h.body + h.n, ev.arg.p, ev.arg.n);
			h.n += ev.arg.n;
		} else if (ev.type == BATCH_EV_ENVELOPE) {
			assert_null(h.envelope);
			assert_non_null(batch_reader_envelope(r));
			h.envelope = batch_reader_envelope_take(r);
		} else if (ev.type != BATCH_EV_NONE) {
			h.end = ev.type;
		} else {
			assert_int_equal(used, len);
		}
	}
	assert_int_equal(batch_reader_done(r), h.end == BATCH_EV_END);
	snprintf(h.why, sizeof(h.why), "%s", batch_reader_why(r));
	h.body[h.n] = '\0';
	batch_reader_free(&r);
	assert_null(r);
	return h;
}

static void
heard_fini(struct heard *h)
{
	free(h->body);
	envelope_free(&h->envelope);
}

static void
every_cut_says_the_same(void **state)
{
	static const char text[] = HEAD TAIL;
	size_t n = sizeof(text) - 1;

	for (size_t piece = 1; piece <= n; piece++) {
		struct heard h = hear(span_of(text, n), piece);

		assert_int_equal(h.end, BATCH_EV_END);
		assert_string_equal(h.body, "hi\r\n!");
		assert_int_equal(h.envelope->nrcpts, 1);
		assert_string_equal(h.envelope->rcpts[0].addr.domain, "example.org");
		assert_string_equal(h.envelope->from_params, "SIZE=5 BODY=8BITMIME");
		heard_fini(&h);
	}
}

static void
what_is_cut_off_is_not_whole(void **state)
{
	static const char text[] = HEAD TAIL;

	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		struct heard h = hear(span_of(text, n), 1000);

		assert_int_equal(h.end, BATCH_EV_NONE);
		heard_fini(&h);
	}
}

static void
objects(void **state)
{
	static const struct {
		const char	*name, *text;
		const char	*why;		/* NULL: it is whole */
	} cases[] = {
		{ "plain", HEAD TAIL, NULL },
		{ "no chunk but the last", HEAD "BDAT 0 LAST\r\nQUIT\r\n", NULL },
		{ "octets in the last", HEAD "BDAT 2\r\nabBDAT 1 LAST\r\ncQUIT\r\n", NULL },
		{ "a chunk may hold anything", HEAD "BDAT 8\r\nQUIT\r\n\r\nBDAT 0 LAST\r\nQUIT\r\n",
		    NULL },
		{ "attributes in any order", EHLO
		    "XCLIENT DESTPORT=25 DESTADDR=198.51.100.1 HELO=client.example PROTO=SMTP "
		    "PORT=1 ADDR=IPV6:2001:db8::1 NAME=[UNAVAILABLE]\r\n"
		    "XFORWARD NAME=e SOURCE=REMOTE IDENT=0193e4a0-0000-7000-8000-000000000001\r\n"
		    "MAIL FROM:<>\r\n" RCPT TAIL, NULL },
		{ "what a worker cannot know", EHLO
		    "XCLIENT NAME=[TEMPUNAVAIL] ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE] PROTO=ESMTP "
		    "HELO=client.example DESTADDR=[UNAVAILABLE] DESTPORT=[UNAVAILABLE]\r\n"
		    XFORWARD MAIL RCPT TAIL, NULL },
		{ "postmaster", EHLO XCLIENT XFORWARD MAIL "RCPT TO:<postmaster> NOTIFY=NEVER\r\n"
		    TAIL, NULL },
		{ "bare LF", EHLO "XCLIENT\n", "line 2: not ended by CRLF" },
		{ "CR inside", "EHLO a\rb\r\n", "line 1: not ended by CRLF" },
		{ "HELO first", "HELO a\r\n", "line 1: not the command" },
		{ "lower case", "ehlo a\r\n", "line 1: not the command" },
		{ "EHLO of nothing", "EHLO \r\n", "line 1: malformed EHLO" },
		{ "EHLO with a space", "EHLO a b\r\n", "line 1: malformed EHLO" },
		{ "another HELO than EHLO", "EHLO other\r\n" XCLIENT, "line 2: HELO is not what" },
		{ "LOGIN is never ours", EHLO "XCLIENT LOGIN=root\r\n", "line 2: an attribute" },
		{ "an attribute missing", EHLO "XCLIENT NAME=a ADDR=192.0.2.7\r\n",
		    "line 2: PORT is missing" },
		{ "an attribute twice", EHLO "XCLIENT NAME=a NAME=a\r\n", "line 2: NAME twice" },
		{ "two spaces", EHLO "XCLIENT NAME=a  PORT=1\r\n", "line 2: malformed attributes" },
		{ "no value", EHLO "XCLIENT NAME\r\n", "line 2: malformed attributes" },
		{ "an empty value", EHLO "XCLIENT NAME=\r\n", "line 2: malformed NAME" },
		{ "xtext: lower case", EHLO "XCLIENT NAME=a+2b\r\n", "line 2: malformed NAME" },
		{ "xtext: cut short", EHLO "XCLIENT NAME=a+2\r\n", "line 2: malformed NAME" },
		{ "xtext: NUL", EHLO "XCLIENT NAME=a+00\r\n", "line 2: malformed NAME" },
		{ "xtext: =", EHLO "XCLIENT NAME=a=b\r\n", "line 2: malformed NAME" },
		{ "a bracket in the clear", EHLO "XCLIENT NAME=[a]\r\n", "line 2: malformed NAME" },
		{ "v6 without its prefix", EHLO "XCLIENT ADDR=2001:db8::1\r\n",
		    "line 2: malformed ADDR" },
		{ "mapped v4", EHLO "XCLIENT ADDR=IPV6:::ffff:192.0.2.1\r\n",
		    "line 2: malformed ADDR" },
		{ "v4 as v6", EHLO "XCLIENT ADDR=IPV6:192.0.2.1\r\n", "line 2: malformed ADDR" },
		{ "port 0", EHLO "XCLIENT PORT=0\r\n", "line 2: malformed PORT" },
		{ "port 65536", EHLO "XCLIENT PORT=65536\r\n", "line 2: malformed PORT" },
		{ "port 025", EHLO "XCLIENT PORT=025\r\n", "line 2: malformed PORT" },
		{ "PROTO=LMTP", EHLO "XCLIENT PROTO=LMTP\r\n", "line 2: malformed PROTO" },
		{ "SOURCE=LOCAL", EHLO XCLIENT "XFORWARD SOURCE=LOCAL\r\n",
		    "line 3: malformed SOURCE" },
		{ "no edge", EHLO XCLIENT "XFORWARD NAME=[UNAVAILABLE]\r\n",
		    "line 3: malformed NAME" },
		{ "an id that is none", EHLO XCLIENT "XFORWARD IDENT=1\r\n",
		    "line 3: malformed IDENT" },
		{ "no sender", EHLO XCLIENT XFORWARD "MAIL FROM:\r\n",
		    "line 4: malformed address" },
		{ "a space in front", EHLO XCLIENT XFORWARD "MAIL FROM: <>\r\n",
		    "line 4: malformed address" },
		{ "behind the path", EHLO XCLIENT XFORWARD "MAIL FROM:<>x\r\n",
		    "line 4: malformed param" },
		{ "two spaces before parameters", EHLO XCLIENT XFORWARD "MAIL FROM:<>  X=1\r\n",
		    "line 4: malformed param" },
		{ "a space at the end", EHLO XCLIENT XFORWARD "MAIL FROM:<> X=1 \r\n",
		    "line 4: malformed param" },
		{ "a tab", EHLO XCLIENT XFORWARD "MAIL FROM:<> X\t\r\n",
		    "line 4: malformed param" },
		{ "a null recipient", EHLO XCLIENT XFORWARD MAIL "RCPT TO:<>\r\n",
		    "line 5: malformed address" },
		{ "no recipient", EHLO XCLIENT XFORWARD MAIL "BDAT 1\r\n",
		    "line 5: not the command" },
		{ "a second MAIL", HEAD MAIL, "line 6: not the command" },
		{ "RCPT behind the data", HEAD "BDAT 1\r\nx" RCPT, "line 7: not the command" },
		{ "BDAT without a number", HEAD "BDAT \r\n", "line 6: malformed BDAT" },
		{ "BDAT 01", HEAD "BDAT 01\r\n", "line 6: malformed BDAT" },
		{ "BDAT -1", HEAD "BDAT -1\r\n", "line 6: malformed BDAT" },
		{ "BDAT 2^64", HEAD "BDAT 18446744073709551616\r\n", "line 6: malformed BDAT" },
		{ "BDAT 1 last", HEAD "BDAT 1 last\r\n", "line 6: malformed BDAT" },
		{ "LAST alone", HEAD "BDAT LAST\r\n", "line 6: malformed BDAT" },
		{ "QUIT before LAST", HEAD "BDAT 1\r\nxQUIT\r\n", "line 7: not the command" },
		{ "more behind LAST", HEAD "BDAT 0 LAST\r\nBDAT 1\r\n", "line 7: not the command" },
		{ "QUIT and a word", HEAD "BDAT 0 LAST\r\nQUIT x\r\n", "line 7: malformed QUIT" },
		{ "something behind QUIT", HEAD TAIL "\r\n", "line 9: something behind QUIT" },
	};
	static const size_t pieces[] = { 1, 2, 7, 100000 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
			struct heard h = hear(span_str(cases[i].text), pieces[k]);

			if (cases[i].why == NULL ? h.end != BATCH_EV_END : h.end != BATCH_EV_BAD ||
			    strncmp(h.why, cases[i].why, strlen(cases[i].why)) != 0)
				fail_msg("%s: %d \"%s\"", cases[i].name, h.end, h.why);
			heard_fini(&h);
		}
}

static void
limits(void **state)
{
	char line[BATCH_LINE_MAX + 3];
	struct heard h;
	struct buf b;

	memset(line, 'a', sizeof(line));
	h = hear(span_of(line, sizeof(line)), 100);
	assert_int_equal(h.end, BATCH_EV_BAD);
	heard_fini(&h);
	for (int n = ENVELOPE_RCPTS_MAX; n <= ENVELOPE_RCPTS_MAX + 1; n++) {
		buf_init(&b, 1 << 20);
		buf_add_str(&b, EHLO XCLIENT XFORWARD MAIL);
		for (int i = 0; i < n; i++)
			buf_add_str(&b, RCPT);
		buf_add_str(&b, TAIL);
		h = hear(buf_span(&b), 1000);
		assert_int_equal(h.end, n == ENVELOPE_RCPTS_MAX ? BATCH_EV_END : BATCH_EV_BAD);
		heard_fini(&h);
		buf_fini(&b);
	}
}

static struct envelope *
some_envelope(const char *from, const char *to, const char *params)
{
	struct envelope *e = envelope_new();
	struct address a;

	snprintf(e->helo, sizeof(e->helo), "client.example");
	snprintf(e->edge, sizeof(e->edge), "mx1.example");
	assert_true(netaddr_parse(SPAN_LIT("192.0.2.7:40001"), &e->client));
	assert_true(netaddr_parse(SPAN_LIT("[2001:db8::25]:25"), &e->dest));
	assert_true(uuid_parse(SPAN_LIT("0193e4a0-0000-7000-8000-000000000001"), &e->id));
	e->esmtp = true;
	assert_true(address_parse_path(span_str(from), ADDRESS_REVERSE, true, &a) > 0);
	assert_true(envelope_set_from(e, &a, span_str(params)));
	assert_true(address_parse_path(span_str(to), ADDRESS_FORWARD, true, &a) > 0);
	assert_true(envelope_add_rcpt(e, &a, span_str(params)));
	return e;
}

static void
what_is_written(void **state)
{
	struct envelope *e = some_envelope("<>", "<Bob@Example.ORG>", " X=1 ");
	struct buf b;

	buf_init(&b, 4096);
	assert_true(batch_head(e, &b));
	assert_true(batch_chunk(2, &b));
	assert_true(buf_add_str(&b, "ab"));
	assert_true(batch_end(&b));
	assert_true(span_eq(buf_span(&b), SPAN_LIT("EHLO client.example\r\n"
	    "XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.7 PORT=40001 PROTO=ESMTP HELO=client.example "
	    "DESTADDR=IPV6:2001:db8::25 DESTPORT=25\r\n"
	    "XFORWARD IDENT=0193e4a0-0000-7000-8000-000000000001 " \
			"SOURCE=REMOTE NAME=mx1.example\r\n"
	    "MAIL FROM:<> X=1\r\nRCPT TO:<Bob@example.org> X=1\r\n"
	    "BDAT 2\r\nabBDAT 0 LAST\r\nQUIT\r\n")));
	buf_fini(&b);
	envelope_free(&e);
}

static void
same_address(const struct address *a, const struct address *b)
{
	assert_string_equal(a->local, b->local);
	assert_string_equal(a->domain, b->domain);
	assert_int_equal(a->null, b->null);
	assert_int_equal(a->postmaster, b->postmaster);
	assert_int_equal(a->literal, b->literal);
	assert_int_equal(a->utf8, b->utf8);
}

/* Whatever a client says in HELO, and whatever addresses look like, it is read as it was. */
static void
written_and_read_again(void **state)
{
	static const char *const helos[] = {
		"client.example", "", "[192.0.2.1]", "[UNAVAILABLE]", "[TEMPUNAVAIL]", "a b",
		"a\r\nQUIT",
		"a=b+c", "\xc3\xbc\x01\x7f", "?", " ", "+41",
	};
	static const char *const paths[] = {
		"<a@example.org>", "<\"a b\"@example.org>", "<\"a\\\"b\\\\\"@example.org>",
		"<\"\\>x\"@example.org>", "<a%b!c@example.org>", "<a@[192.0.2.1]>",
		"<a@[IPv6:2001:db8::1]>", "<j\xc3\xbcrgen@m\xc3\xbcller.example>",
	};
	struct address pm;

	assert_true(address_parse_path(SPAN_LIT("<PostMaster>"), ADDRESS_FORWARD, false, &pm) > 0);
	for (size_t i = 0; i < sizeof(helos) / sizeof(helos[0]); i++)
		for (size_t k = 0; k < sizeof(paths) / sizeof(paths[0]); k++) {
			struct envelope *e = some_envelope(paths[k], paths[k],
			    "ORCPT=rfc822;a+2Bb");
			struct heard h;
			struct buf b;

			snprintf(e->helo, sizeof(e->helo), "%s", helos[i]);
			snprintf(e->client_name, sizeof(e->client_name), "%s", helos[i]);
			assert_true(envelope_add_rcpt(e, &pm, SPAN_LIT("")));
			buf_init(&b, 8192);
			assert_true(batch_head(e, &b) && batch_end(&b));
			h = hear(buf_span(&b), 5);
			if (h.end != BATCH_EV_END)
				fail_msg("%s %s: %s", helos[i], paths[k], h.why);
			assert_string_equal(h.envelope->helo, e->helo);
			assert_string_equal(h.envelope->client_name, e->client_name);
			assert_string_equal(h.envelope->edge, e->edge);
			assert_true(uuid_eq(h.envelope->id, e->id));
			assert_memory_equal(&h.envelope->client, &e->client, sizeof(e->client));
			assert_memory_equal(&h.envelope->dest, &e->dest, sizeof(e->dest));
			same_address(&h.envelope->from, &e->from);
			assert_int_equal(h.envelope->nrcpts, 2);
			for (size_t r = 0; r < 2; r++) {
				same_address(&h.envelope->rcpts[r].addr, &e->rcpts[r].addr);
				assert_string_equal(h.envelope->rcpts[r].params,
				    e->rcpts[r].params);
			}
			buf_fini(&b);
			heard_fini(&h);
			envelope_free(&e);
		}
}

/* The longest of everything still fits into BATCH_LINE_MAX. */
static void
the_longest_envelope(void **state)
{
	char params[ENVELOPE_PARAMS_MAX + 2], path[400];
	struct envelope *e;
	struct address a;
	struct heard h;
	struct buf b;

	memset(params, 'X', sizeof(params));
	params[ENVELOPE_PARAMS_MAX] = '\0';
	strcpy(path, "<\"");
	for (int i = 0; i < ADDRESS_LOCAL_MAX; i++)
		strcat(path, "\\\"");
	strcat(path, "\"@");
	for (int i = 0; i < 62; i++)
		strcat(path, "abc.");
	strcat(path, "abcdef>");
	e = some_envelope(path, path, params);
	memset(e->helo, '\xff', sizeof(e->helo) - 1);
	memset(e->client_name, '\xff', sizeof(e->client_name) - 1);
	memset(e->edge, '\xff', sizeof(e->edge) - 1);
	assert_true(netaddr_parse(SPAN_LIT("[2001:db8:1111:2222:3333:4444:5555:6666]:65535"),
	    &e->client));
	e->dest = e->client;
	buf_init(&b, 1 << 16);
	assert_true(batch_head(e, &b) && batch_end(&b));
	h = hear(buf_span(&b), 1000);
	assert_string_equal(h.why, "");
	assert_int_equal(h.end, BATCH_EV_END);
	heard_fini(&h);
	buf_fini(&b);
	/* And what could break a line never gets into an envelope. */
	a = e->from;
	params[ENVELOPE_PARAMS_MAX] = 'X';
	assert_false(envelope_add_rcpt(e, &a, span_of(params, ENVELOPE_PARAMS_MAX + 1)));
	assert_false(envelope_add_rcpt(e, &a, SPAN_LIT("X\r\nQUIT")));
	assert_false(envelope_set_from(e, &a, SPAN_LIT("X\nQUIT")));
	assert_int_equal(e->nrcpts, 1);
	envelope_free(&e);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cut_says_the_same),
		cmocka_unit_test(what_is_cut_off_is_not_whole),
		cmocka_unit_test(objects),
		cmocka_unit_test(limits),
		cmocka_unit_test(what_is_written),
		cmocka_unit_test(written_and_read_again),
		cmocka_unit_test(the_longest_envelope),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
