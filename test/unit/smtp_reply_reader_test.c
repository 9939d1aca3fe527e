/* What a client hears: each transcript in every cut, and what real servers offer. */
#include "proto/smtp_reply_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/smtp_ehlo.h"

#define A100	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A1000	A100 A100 A100 A100 A100 A100 A100 A100 A100 A100

/* What the server says, and what is heard: "code enhanced text;" a reply, "!why" where it ends. */
static const struct heard {
	const char	*rule;
	const char	*says, *heard;
} rows[] = {
	{ "a greeting", "220 mx.example ESMTP\r\n", "220 mx.example ESMTP;" },
	{ "a code alone", "250\r\n", "250 ;" },
	{ "an enhanced code", "550 5.7.1 Relaying denied\r\n", "550 5.7.1 Relaying denied;" },
	{ "an enhanced code in each line", "454-4.7.1 <a@b>: Relay\r\n454 4.7.1 access denied\r\n",
	    "454 4.7.1 <a@b>: Relay|access denied;" },
	{ "an enhanced code of another class is text", "250 5.1.1 odd\r\n", "250 5.1.1 odd;" },
	{ "pipelined", "250 2.1.0 Ok\r\n550 5.1.1 Who?\r\n354 Go\r\n",
	    "250 2.1.0 Ok;550 5.1.1 Who?;354 Go;" },
	{ "several lines", "250-mx.example\r\n250-SIZE 1000\r\n250 HELP\r\n",
	    "250 mx.example|SIZE 1000|HELP;" },
	{ "empty lines of text", "250-\r\n250\r\n", "250 |;" },
	{ "the beginning of one", "250-mx.example\r\n250 O", "" },
	{ "octets that are no ASCII", "550 caf\xe9 \x1b[31m\r\n", "550 caf? ?[31m;" },
	{ "nothing", "", "" },

	{ "a bare LF", "250 ok\n", "!a line that ends in LF alone" },
	{ "a bare LF makes no reply", "550 no\n250 yes\r\n", "!a line that ends in LF alone" },
	{ "a bare CR", "550 no\r250 yes\r\n", "!a CR that ends no line" },
	{ "CR CR LF", "250 ok\r\r\n", "!a CR that ends no line" },
	{ "a good one, then a bad one", "220 hi\r\n250 ok\n",
	    "220 hi;!a line that ends in LF alone" },
	{ "several codes", "250-ok\r\n550 no\r\n", "!one reply with several codes" },
	{ "IMAP", "* OK ready\r\n", "!something that is no SMTP reply" },
	{ "an empty line", "\r\n", "!something that is no SMTP reply" },
	{ "SSH", "SSH-2.0-OpenSSH_9.2\r\n", "!something that is no SMTP reply" },
	{ "four digits", "2500 ok\r\n", "!something that is no SMTP reply" },
	{ "1yz, which SMTP has not", "150 wait\r\n", "!something that is no SMTP reply" },
	{ "6yz", "600 ok\r\n", "!something that is no SMTP reply" },
	{ "a line that is too long", "250 " A1000 A1000 A100, "!a line that is too long" },
};

static void
note(const struct reply_ev *ev, char *out, size_t max)
{
	const unsigned char *e = ev->reply.enhanced;
	size_t n = strlen(out);

	if (ev->type == REPLY_BAD) {
		snprintf(out + n, max - n, "!%s", ev->why);
		return;
	}
	n += (size_t)snprintf(out + n, max - n, "%u ", ev->reply.code);
	if (e[0] != 0)
		n += (size_t)snprintf(out + n, max - n, "%u.%u.%u ", e[0], e[1], e[2]);
	snprintf(out + n, max - n, "%s;", ev->reply.text);
	for (; out[n] != '\0'; n++)
		if (out[n] == '\n')
			out[n] = '|';
}

/* In a first piece and then in pieces of one size. */
static void
hear(struct span in, size_t first, size_t piece, char *out, size_t max)
{
	struct reply_reader r;
	struct reply_ev ev = { .type = REPLY_NONE };
	size_t given = 0;

	out[0] = '\0';
	reply_reader_init(&r);
	while (given < in.n && ev.type != REPLY_BAD) {
		size_t end = given + first < in.n ? given + first : in.n;

		while (given < end && ev.type != REPLY_BAD) {
			struct span rest = span_of(in.p + given, end - given);

			given += reply_reader_step(&r, rest.p, rest.n, &ev);
			assert_true(ev.type != REPLY_NONE || given == end);
			if (ev.type != REPLY_NONE)
				note(&ev, out, max);
			if (ev.type == REPLY_WHOLE) {
				assert_true(ev.raw.n <= given);
				assert_memory_equal(ev.raw.p, in.p + given - ev.raw.n, ev.raw.n);
			}
		}
		first = piece;
	}
	if (ev.type == REPLY_BAD) {
		assert_int_equal(reply_reader_step(&r, "250 ok\r\n", 8, &ev), 0);
		assert_int_equal(ev.type, REPLY_BAD);
	}
	reply_reader_fini(&r);
}

static void
every_cut(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span in = span_str(rows[i].says);
		char got[400];

		for (size_t cut = 1; cut <= in.n + 1; cut++) {
			hear(in, cut, in.n, got, sizeof(got));
			if (strcmp(got, rows[i].heard) != 0)
				fail_msg("%s, cut at %zu: %s", rows[i].rule, cut, got);
			hear(in, cut, cut, got, sizeof(got));
			if (strcmp(got, rows[i].heard) != 0)
				fail_msg("%s, in pieces of %zu: %s", rows[i].rule, cut, got);
		}
	}
}

static void
between_replies(void **state)
{
	struct reply_reader r;
	struct reply_ev ev;

	reply_reader_init(&r);
	assert_int_equal(reply_reader_step(&r, "220 go\r\n250 in", 14, &ev), 8);
	assert_int_equal(ev.type, REPLY_WHOLE);
	assert_int_equal(reply_reader_step(&r, "250 in", 6, &ev), 6);
	assert_int_equal(ev.type, REPLY_NONE);
	reply_reader_fini(&r);
}

/* A line of so many octets with CRLF, so many of them and the last. */
static enum reply_ev_type
long_reply(size_t octets, size_t lines)
{
	static char in[2 * REPLY_OCTETS_MAX];
	struct reply_reader r;
	struct reply_ev ev;
	size_t n = 0;

	for (size_t i = 0; i <= lines; i++) {
		memset(in + n, 'x', octets);
		memcpy(in + n, i < lines ? "250-" : "250 ", 4);
		memcpy(in + n + octets - 2, "\r\n", 2);
		n += octets;
	}
	reply_reader_init(&r);
	reply_reader_step(&r, in, n, &ev);
	if (ev.type == REPLY_WHOLE) {
		assert_int_equal(ev.raw.n, n);
		assert_true(strlen(ev.reply.text) <= SMTP_REPLY_TEXT_MAX);
	}
	reply_reader_fini(&r);
	return ev.type;
}

static void
the_limits_hold(void **state)
{
	assert_int_equal(long_reply(REPLY_LINE_MAX, 0), REPLY_WHOLE);
	assert_int_equal(long_reply(REPLY_LINE_MAX + 1, 0), REPLY_BAD);
	assert_int_equal(long_reply(1024, 15), REPLY_WHOLE);		/* 16,384 */
	assert_int_equal(long_reply(1024, 16), REPLY_BAD);
	assert_int_equal(long_reply(6, 3000), REPLY_BAD);
}

#define BASIC	(SMTP_OFFER_SIZE | SMTP_OFFER_PIPELINING | SMTP_OFFER_8BITMIME)
#define E(k)	"250-" k "\r\n"

static const struct offer {
	const char	*rule, *says;
	unsigned	 offers;
	uint64_t	 size;
} offers[] = {
	{ "Postfix 3.7, to one that may XCLIENT",
	    E("mx.example.org") E("PIPELINING") E("SIZE 10240000") E("VRFY") E("ETRN") E("STARTTLS")
	    E("XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT")
	    E("XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT") E("ENHANCEDSTATUSCODES")
	    E("8BITMIME") E("DSN") E("SMTPUTF8") "250 CHUNKING\r\n",
	    BASIC | SMTP_OFFER_STARTTLS | SMTP_OFFER_XCLIENT | SMTP_OFFER_XFORWARD |
	    SMTP_OFFER_ENHANCED | SMTP_OFFER_DSN | SMTP_OFFER_SMTPUTF8 | SMTP_OFFER_CHUNKING,
	    10240000 },
	{ "exim", E("mx.example Hello a [192.0.2.7]") E("SIZE 52428800") E("8BITMIME")
	    E("PIPELINING") E("PIPECONNECT") E("CHUNKING") E("STARTTLS") E("PRDR") "250 HELP\r\n",
	    BASIC | SMTP_OFFER_CHUNKING | SMTP_OFFER_STARTTLS, 52428800 },
	{ "Dovecot LMTP", E("mx.example") E("8BITMIME") E("CHUNKING")
	    E("XCLIENT ADDR PORT TTL TIMEOUT HELO PROTO") E("ENHANCEDSTATUSCODES")
	    "250 PIPELINING\r\n", SMTP_OFFER_8BITMIME | SMTP_OFFER_CHUNKING |
	    SMTP_OFFER_XCLIENT | SMTP_OFFER_ENHANCED | SMTP_OFFER_PIPELINING, 0 },
	{ "AUTH before TLS", E("mx.example") E("AUTH PLAIN LOGIN") "250 HELP\r\n",
	    SMTP_OFFER_AUTH, 0 },
	{ "AUTH as old servers say it", E("mx.example") "250 AUTH=LOGIN\r\n", SMTP_OFFER_AUTH, 0 },
	{ "lower case", E("mx.example") E("size 7") "250 Starttls\r\n",
	    SMTP_OFFER_SIZE | SMTP_OFFER_STARTTLS, 7 },
	{ "SIZE without a number", E("mx.example") "250 SIZE\r\n", SMTP_OFFER_SIZE, 0 },
	{ "SIZE that is none", E("mx.example") "250 SIZE lots\r\n", SMTP_OFFER_SIZE, 0 },
	{ "a longer word is another", E("mx.example") E("SIZES 1") "250 XCLIENTS\r\n", 0, 0 },
	{ "what the greeting says is no offer", E("AUTH STARTTLS") "250 HELP\r\n", 0, 0 },
	{ "AUTH by no mechanism is none", E("mx.example") E("AUTH ") "250 DSN\r\n",
	    SMTP_OFFER_DSN, 0 },
	{ "unless another line has one", E("mx.example") E("AUTH  ") E("AUTH=PLAIN") "250 DSN\r\n",
	    SMTP_OFFER_AUTH | SMTP_OFFER_DSN, 0 },
	{ "one line", "250 mx.example\r\n", 0, 0 },
	{ "a refusal offers nothing", "550-SIZE 1\r\n550-AUTH PLAIN\r\n550 STARTTLS\r\n", 0, 0 },
	{ "nothing", "", 0, 0 },
};

static void
what_servers_offer(void **state)
{
	for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
		struct smtp_ehlo e = smtp_ehlo_read(span_str(offers[i].says));

		if (e.offers != offers[i].offers || e.size != offers[i].size)
			fail_msg("%s: %x %llu", offers[i].rule, e.offers,
			    (unsigned long long)e.size);
	}
}

static void
what_stands_behind_a_keyword(void **state)
{
	struct span postfix = span_str(offers[0].says), args;

	assert_true(smtp_ehlo_find(postfix, SPAN_LIT("XCLIENT"), &args));
	assert_true(smtp_ehlo_lists(args, SPAN_LIT("NAME")));
	assert_true(smtp_ehlo_lists(args, SPAN_LIT("destport")));
	assert_false(smtp_ehlo_lists(args, SPAN_LIT("DEST")));
	assert_false(smtp_ehlo_lists(args, SPAN_LIT("XCLIENT")));
	assert_true(smtp_ehlo_find(postfix, SPAN_LIT("etrn"), &args));
	assert_int_equal(args.n, 0);
	assert_false(smtp_ehlo_lists(args, SPAN_LIT("")));
	assert_false(smtp_ehlo_find(postfix, SPAN_LIT("AUTH"), &args));
	assert_false(smtp_ehlo_find(postfix, SPAN_LIT("mx.example.org"), &args));
	assert_true(smtp_ehlo_find(SPAN_LIT("250-a\r\n250-AUTH=LOGIN  PLAIN \r\n250 X\r\n"),
	    SPAN_LIT("AUTH"), &args));
	assert_true(smtp_ehlo_lists(args, SPAN_LIT("LOGIN")));
	assert_true(smtp_ehlo_lists(args, SPAN_LIT("PLAIN")));
	assert_false(smtp_ehlo_lists(args, SPAN_LIT("X")));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cut),
		cmocka_unit_test(between_replies),
		cmocka_unit_test(the_limits_hold),
		cmocka_unit_test(what_servers_offer),
		cmocka_unit_test(what_stands_behind_a_keyword),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
