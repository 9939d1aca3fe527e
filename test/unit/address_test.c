#include "proto/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#define X63	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

/* What a path means, printed again; NULL: it is refused. */
static const struct {
	const char	*rule, *path;
	enum address_kind kind;
	bool		 utf8;
	const char	*means;
} paths[] = {
	{ "plain",			"<bob@ours.test>", 0, 0, "bob@ours.test" },
	{ "domain is lowered, local is not", "<Bob@OURS.Test>", 0, 0, "Bob@ours.test" },
	{ "final dot goes",		"<bob@ours.test.>", 0, 0, "bob@ours.test" },
	{ "null reverse",		"<>", ADDRESS_REVERSE, 0, "" },
	{ "no null forward",		"<>", ADDRESS_FORWARD, 0, NULL },
	{ "bare postmaster",		"<PostMaster>", ADDRESS_FORWARD, 0, "PostMaster" },
	{ "no bare postmaster sends",	"<postmaster>", ADDRESS_REVERSE, 0, NULL },
	{ "no other bare name",		"<bob>", ADDRESS_FORWARD, 0, NULL },
	{ "quoted postmaster is not bare", "<\"postmaster\">", ADDRESS_FORWARD, 0, NULL },
	{ "postmaster of a domain",	"<postmaster@ours.test>", ADDRESS_FORWARD, 0,
	    "postmaster@ours.test" },
	{ "source route goes",		"<@a.test,@b.test:bob@ours.test>", 1, 0, "bob@ours.test" },
	{ "source route by literals",	"<@[IPv6:::1],@[192.0.2.1]:bob@ours.test>", 1, 0,
	    "bob@ours.test" },
	{ "source route to nobody",	"<@a.test:>", 1, 0, NULL },
	{ "source route to postmaster",	"<@a.test:postmaster>", 1, 0, NULL },
	{ "source route without colon",	"<@a.test,bob@ours.test>", 1, 0, NULL },
	{ "source route of rubbish",	"<@a b:bob@ours.test>", 1, 0, NULL },
	{ "empty hop",			"<@a.test,,@b.test:bob@ours.test>", 1, 0, NULL },
	{ "percent is a character",	"<a%evil.test@ours.test>", 1, 0, "a%evil.test@ours.test" },
	{ "bang is a character",	"<evil.test!a@ours.test>", 1, 0, "evil.test!a@ours.test" },
	{ "quoted @ is a character",	"<\"a@evil.test\"@ours.test>", 1, 0,
	    "\"a@evil.test\"@ours.test" },
	{ "two @",			"<a@evil.test@ours.test>", 1, 0, NULL },
	{ "@ escaped outside quotes",	"<a\\@evil.test@ours.test>", 1, 0, NULL },
	{ "needless quotes go",		"<\"bob\"@ours.test>", 1, 0, "bob@ours.test" },
	{ "needless escapes go",	"<\"b\\ob\"@ours.test>", 1, 0, "bob@ours.test" },
	{ "needed escapes stay",	"<\"b\\\"\\\\b\"@ours.test>", 1, 0,
	    "\"b\\\"\\\\b\"@ours.test" },
	{ "quoted bracket",		"<\"a>b\"@ours.test>", 1, 0, "\"a>b\"@ours.test" },
	{ "quoted space",		"<\"a b\"@ours.test>", 1, 0, "\"a b\"@ours.test" },
	{ "quotes half way",		"<a\"b\"@ours.test>", 1, 0, NULL },
	{ "text behind quotes",		"<\"a\"b@ours.test>", 1, 0, NULL },
	{ "open quotes",		"<\"a@ours.test>", 1, 0, NULL },
	{ "empty quotes",		"<\"\"@ours.test>", 1, 0, NULL },
	{ "escape at the end",		"<\"a\\", 1, 0, NULL },
	{ "dots in quotes",		"<\"..\"@ours.test>", 1, 0, "\"..\"@ours.test" },
	{ "dot first",			"<.a@ours.test>", 1, 0, NULL },
	{ "dot last",			"<a.@ours.test>", 1, 0, NULL },
	{ "dot twice",			"<a..b@ours.test>", 1, 0, NULL },
	{ "dot within",			"<a.b@ours.test>", 1, 0, "a.b@ours.test" },
	{ "no local",			"<@ours.test>", 1, 0, NULL },
	{ "no domain",			"<bob@>", 1, 0, NULL },
	{ "only a dot",			"<bob@.>", 1, 0, NULL },
	{ "two final dots",		"<bob@ours.test..>", 1, 0, NULL },
	{ "empty label",		"<bob@ours..test>", 1, 0, NULL },
	{ "leading dot",		"<bob@.ours.test>", 1, 0, NULL },
	{ "hyphen first",		"<bob@-ours.test>", 1, 0, NULL },
	{ "hyphen last",		"<bob@ours-.test>", 1, 0, NULL },
	{ "underscore",			"<bob@my_host.test>", 1, 0, "bob@my_host.test" },
	{ "looks like an address",	"<bob@192.0.2.1>", 1, 0, NULL },
	{ "numeric within",		"<bob@192.0.2.test>", 1, 0, "bob@192.0.2.test" },
	{ "space in front",		"< bob@ours.test>", 1, 0, NULL },
	{ "space behind",		"<bob@ours.test >", 1, 0, NULL },
	{ "tab in a domain",		"<bob@ours\t.test>", 1, 0, NULL },
	{ "control in quotes",		"<\"a\001b\"@ours.test>", 1, 0, NULL },
	{ "delete in quotes",		"<\"a\177b\"@ours.test>", 1, 0, NULL },
	{ "escaped control",		"<\"a\\\rb\"@ours.test>", 1, 0, NULL },
	{ "no brackets",		"bob@ours.test", 1, 0, NULL },
	{ "no closing bracket",		"<bob@ours.test", 1, 0, NULL },
	{ "nothing",			"", 0, 0, NULL },
	{ "half a null",		"<", 0, 0, NULL },
	{ "comment",			"<bob(x)@ours.test>", 1, 0, NULL },
	{ "v4 literal",			"<bob@[192.0.2.1]>", 1, 0, "bob@[192.0.2.1]" },
	{ "v6 literal, one spelling",	"<bob@[ipv6:2001:DB8:0::1]>", 1, 0,
	    "bob@[IPv6:2001:db8::1]" },
	{ "mapped literal is v4",	"<bob@[IPv6:::ffff:192.0.2.1]>", 1, 0, "bob@[192.0.2.1]" },
	{ "v6 without its tag",		"<bob@[2001:db8::1]>", 1, 0, NULL },
	{ "v4 with v6's tag",		"<bob@[IPv6:192.0.2.1]>", 1, 0, NULL },
	{ "v4 out of range",		"<bob@[192.0.2.256]>", 1, 0, NULL },
	{ "v4 octal",			"<bob@[192.0.2.010]>", 1, 0, NULL },
	{ "other literal",		"<bob@[x400:abc]>", 1, 0, NULL },
	{ "text behind a literal",	"<bob@[192.0.2.1].test>", 1, 0, NULL },
	{ "open literal",		"<bob@[192.0.2.1>", 1, 0, NULL },
	{ "empty literal",		"<bob@[]>", 1, 0, NULL },
	{ "local of 64",		"<" X63 "x@ours.test>", 1, 0, X63 "x@ours.test" },
	{ "local of 65",		"<" X63 "xx@ours.test>", 1, 0, NULL },
	{ "64 quotes undone",		"<\"" X63 "\\ \"@ours.test>", 1, 0,
	    "\"" X63 " \"@ours.test" },
	{ "label of 63",		"<a@" X63 ".test>", 1, 0, "a@" X63 ".test" },
	{ "label of 64",		"<a@" X63 "x.test>", 1, 0, NULL },
	{ "domain of 255",		"<a@" X63 "." X63 "." X63 "." X63 ">", 1, 0,
	    "a@" X63 "." X63 "." X63 "." X63 },
	{ "domain of 257",		"<a@" X63 "." X63 "." X63 "." X63 ".x>", 1, 0, NULL },
	{ "utf8 local",			"<b\xc3\xb6" "b@ours.test>", 1, 1,
	    "b\xc3\xb6" "b@ours.test" },
	{ "utf8 local quoted",		"<\"b\xc3\xb6 b\"@ours.test>", 1, 1,
	    "\"b\xc3\xb6 b\"@ours.test" },
	{ "utf8 not allowed",		"<b\xc3\xb6" "b@ours.test>", 1, 0, NULL },
	{ "utf8 domain not allowed",	"<bob@b\xc3\xbc" "cher.test>", 1, 0, NULL },
	{ "utf8 hop not allowed",	"<@b\xc3\xbc" "cher.test:bob@ours.test>", 1, 0, NULL },
	{ "domain to A-labels",		"<bob@B\xc3\x9c" "CHER.test>", 1, 1,
	    "bob@xn--bcher-kva.test" },
	{ "sharp s is its own letter",	"<bob@fa\xc3\x9f.test>", 1, 1, "bob@xn--fa-hia.test" },
	{ "wide letters are the letters", "<bob@\xef\xbd\x8furs.test>", 1, 1, "bob@ours.test" },
	{ "ideographic dot is a dot",	"<bob@\xc3\xb6\xe3\x80\x82test>", 1, 1,
	    "bob@xn--nda.test" },
	{ "wide @ is not in a domain",	"<bob@evil.test\xef\xbc\xa0ours.test>", 1, 1, NULL },
	{ "overlong utf8",		"<b\xc0\xaf@ours.test>", 1, 1, NULL },
	{ "surrogate",			"<b\xed\xa0\x80@ours.test>", 1, 1, NULL },
	{ "above U+10FFFF",		"<b\xf4\x90\x80\x80@ours.test>", 1, 1, NULL },
	{ "C1 control",			"<b\xc2\x85@ours.test>", 1, 1, NULL },
	{ "half a character",		"<b\xc3@ours.test>", 1, 1, NULL },
	{ "escaped utf8",		"<\"b\\\xc3\xb6\"@ours.test>", 1, 1, NULL },
};

static void
test_paths(void **state)
{
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct address a, again;
		char text[ADDRESS_PRINT_MAX], path[ADDRESS_PRINT_MAX + 2];
		struct span in = span_str(paths[i].path);
		size_t n = address_parse_path(in, paths[i].kind, paths[i].utf8, &a);

		if (paths[i].means == NULL) {
			if (n != 0)
				fail_msg("%s: taken", paths[i].rule);
			assert_memory_equal(&a, &(struct address){ 0 }, sizeof(a));
			continue;
		}
		address_print(&a, text, sizeof(text));
		if (n != in.n || strcmp(text, paths[i].means) != 0)
			fail_msg("%s: %zu of %zu, '%s'", paths[i].rule, n, in.n, text);
		snprintf(path, sizeof(path), "<%s>", text);
		n = address_parse_path(span_str(path), paths[i].kind, paths[i].utf8, &again);
		if (n != strlen(path) || strcmp(a.local, again.local) != 0 ||
		    strcmp(a.domain, again.domain) != 0 || a.null != again.null ||
		    a.postmaster != again.postmaster || a.literal != again.literal ||
		    a.utf8 != again.utf8)
			fail_msg("%s: '%s' is not the same again", paths[i].rule, path);
	}
}

static void
test_what_it_is(void **state)
{
	struct address a;

	assert_int_equal(address_parse_path(SPAN_LIT("<> SIZE=1"), ADDRESS_REVERSE, false, &a), 2);
	assert_true(a.null);
	assert_int_equal(address_parse_path(SPAN_LIT("<postmaster> X"), ADDRESS_FORWARD, false, &a),
	    12);
	assert_true(a.postmaster);
	assert_string_equal(a.domain, "");
	assert_int_equal(address_parse_path(SPAN_LIT("<a@[192.0.2.1]>"), ADDRESS_FORWARD, false,
	    &a), 15);
	assert_true(a.literal);
	assert_true(address_parse(SPAN_LIT("b\xc3\xb6@ours.test"), &a));
	assert_true(a.utf8);
	assert_true(address_parse(SPAN_LIT("bob@b\xc3\xbc" "cher.test"), &a));
	assert_false(a.utf8);
}

static void
test_bare(void **state)
{
	struct address a;

	assert_true(address_parse(SPAN_LIT("\"a b\"@Ours.test"), &a));
	assert_string_equal(a.local, "a b");
	assert_string_equal(a.domain, "ours.test");
	assert_false(address_parse(SPAN_LIT("<bob@ours.test>"), &a));
	assert_false(address_parse(SPAN_LIT("@a.test:bob@ours.test"), &a));
	assert_false(address_parse(SPAN_LIT("postmaster"), &a));
	assert_false(address_parse(SPAN_LIT("bob@ours.test "), &a));
	assert_false(address_parse(SPAN_LIT("bob\0@ours.test"), &a));
	assert_false(address_parse(SPAN_LIT("bob@ours.test\0"), &a));
	assert_false(address_parse(SPAN_LIT("bob@ours\0.test"), &a));
	assert_false(address_parse((struct span){ NULL, 0 }, &a));
}

static void
test_domain(void **state)
{
	char out[ADDRESS_DOMAIN_MAX + 1];

	assert_true(address_domain(SPAN_LIT("XN--BCHER-KVA.Test."), out));
	assert_string_equal(out, "xn--bcher-kva.test");
	assert_true(address_domain(SPAN_LIT("localhost"), out));
	assert_false(address_domain(SPAN_LIT("[192.0.2.1]"), out));
	assert_string_equal(out, "");
	assert_false(address_domain(SPAN_LIT("\xff.test"), out));
	assert_false(address_domain((struct span){ NULL, 0 }, out));
}

static void
test_mailbox_names(void **state)
{
	static const char *const good[] = {
		"alice", "Alice.B+c_d=e-f", "j\xc3\xbcrgen", "\xd0\xbf\xd0\xbe",
		"_", "+", X63, "bob@example.org", "b\xc3\xb6@m\xc3\xbcnster.test",
	};
	static const char *const bad[] = {
		"", ".", "..", ".x", "-x", "a/b", "a b", "a\n", "a~b", "a\x7f", X63 "x",
		"@b", "a@", "a@b@c", "a@../b", "a@b/c", "a@[192.0.2.1]", "a~@b", X63 "@b",
		"\xc2\x85", "\xff", "j\xc3", "\xc0\xaf", "\xed\xa0\x80",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(address_mailbox_ok(span_str(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(address_mailbox_ok(span_str(bad[i])));
	assert_false(address_mailbox_ok(SPAN_LIT("a\0b")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_what_it_is),
		cmocka_unit_test(test_bare),
		cmocka_unit_test(test_domain),
		cmocka_unit_test(test_mailbox_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
