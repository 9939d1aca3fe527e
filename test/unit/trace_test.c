#include "proto/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS	1795232400000LL		/* Sat, 21 Nov 2026 03:40:00 */
#define ID	"01234567-89ab-7cde-8f01-23456789abcd"

static struct trace
base_trace(const char *client)
{
	struct trace t = {
		.helo = "mail.example", .by = "mx.ours.test", .with = "ESMTP", .received_ms = MS,
	};

	assert_true(netaddr_parse_ip(span_str(client), &t.client));
	assert_true(uuid_parse(SPAN_LIT(ID), &t.id));
	return t;
}

static void
expect(const struct trace *t, const char *line)
{
	struct buf out;

	buf_init(&out, 4096);
	assert_true(trace_received(t, &out));
	assert_true(buf_add(&out, "", 1));
	assert_string_equal(out.p, line);
	buf_fini(&out);
}

static void
test_plain(void **state)
{
	struct trace t = base_trace("192.0.2.7");

	expect(&t, "Received: from mail.example (unknown [192.0.2.7])\r\n"
	    "\tby mx.ours.test (Posthouse) with ESMTP\r\n"
	    "\tid " ID ";\r\n"
	    "\tSat, 21 Nov 2026 03:40:00 +0000\r\n");
}

static void
test_full(void **state)
{
	struct trace t = base_trace("2001:db8::7");

	t.client_name = "out.mail.example";
	t.with = "ESMTPS";
	t.tls = "TLSv1.3 TLS_AES_256_GCM_SHA384";
	t.rcpt = "\"a b\"@ours.test";
	expect(&t, "Received: from mail.example (out.mail.example [IPv6:2001:db8::7])\r\n"
	    "\tby mx.ours.test (Posthouse) with ESMTPS\r\n"
	    "\tid " ID "\r\n"
	    "\tfor <\"a b\"@ours.test>\r\n"
	    "\ttls TLS_AES_256_GCM_SHA384 (TLSv1.3);\r\n"
	    "\tSat, 21 Nov 2026 03:40:00 +0000\r\n");
}

static void
test_hostile(void **state)
{
	struct trace t = base_trace("192.0.2.7");

	t.helo = "a)(b;\r\nX: y\xff[IPv6:::1]";
	t.rcpt = "a\r\nX: y@ours.test";
	expect(&t, "Received: from a??b???X:?y?[IPv6:::1] (unknown [192.0.2.7])\r\n"
	    "\tby mx.ours.test (Posthouse) with ESMTP\r\n"
	    "\tid " ID ";\r\n"
	    "\tSat, 21 Nov 2026 03:40:00 +0000\r\n");
	t.helo = "";
	t.rcpt = NULL;
	expect(&t, "Received: from unknown (unknown [192.0.2.7])\r\n"
	    "\tby mx.ours.test (Posthouse) with ESMTP\r\n"
	    "\tid " ID ";\r\n"
	    "\tSat, 21 Nov 2026 03:40:00 +0000\r\n");
}

static void
test_no_room(void **state)
{
	struct trace t = base_trace("192.0.2.7");
	struct buf out;

	buf_init(&out, 50);
	assert_false(trace_received(&t, &out));
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
