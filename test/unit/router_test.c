#include "home/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Where mail goes, one rule a line. */

static const char granted[2][256] = { "example.org", "xn--bcher-kva.example" };

struct home {
	const char	*users;		/* parted by spaces; the first is `first` */
	const char	*catch_all;
	const char	*roles;
	bool		 stale;
};

static const struct home plain = { "alice bob", "", "", false };
static const struct home catching = { "alice bob", "inbox", "admin", false };
static const struct home stale = { "alice bob", "", "", true };
static const struct home with_tag = { "alice alice+lists postmaster", "", "", false };
static const struct home empty = { "", "", "", false };
static const struct home mixed = { "Alice BOB", "", "", false };

static const struct home abroad = { "alice j\xc3\xbcrgen", "", "", false };

static const struct rule {
	const char	*name;
	const struct home *home;
	const char	*path;
	enum route_to	 to;
	const char	*mailbox;	/* or the reply's beginning, "5.1.1" */
} rules[] = {
	{ "a user's name is its mailbox", &plain, "<alice@example.org>", ROUTE_MAILBOX, "alice" },
	{ "case of the local part does not matter", &plain, "<ALICE@example.org>", ROUTE_MAILBOX,
	    "alice" },
	{ "the mailbox keeps its own spelling", &mixed, "<alice@example.org>", ROUTE_MAILBOX,
	    "Alice" },
	{ "case of the domain does not matter", &plain, "<alice@EXAMPLE.Org>", ROUTE_MAILBOX,
	    "alice" },
	{ "a name in any script is its mailbox", &abroad, "<j\xc3\xbcrgen+x@example.org>",
	    ROUTE_MAILBOX, "j\xc3\xbcrgen" },
	{ "quotes change nothing", &plain, "<\"alice\"@example.org>", ROUTE_MAILBOX, "alice" },
	{ "a second granted domain", &plain, "<bob@xn--bcher-kva.example>", ROUTE_MAILBOX, "bob" },
	{ "a tag is not part of the name", &plain, "<alice+shop@example.org>", ROUTE_MAILBOX,
	    "alice" },
	{ "only the first plus ends the name", &plain, "<alice+a+b@example.org>", ROUTE_MAILBOX,
	    "alice" },
	{ "a mailbox that has the tag in its name comes first", &with_tag,
	    "<alice+lists@example.org>", ROUTE_MAILBOX, "alice+lists" },
	{ "a tag alone is nobody", &plain, "<+shop@example.org>", ROUTE_REFUSED, "5.1.1" },
	{ "a tag goes to its user before the catch-all", &catching, "<bob+x@example.org>",
	    ROUTE_MAILBOX, "bob" },
	{ "nobody is refused", &plain, "<carol@example.org>", ROUTE_REFUSED, "5.1.1" },
	{ "nobody goes to the catch-all", &catching, "<carol@example.org>", ROUTE_MAILBOX,
	    "inbox" },
	{ "a list that may be too old refuses nobody", &stale, "<carol@example.org>", ROUTE_LATER,
	    "4.1.1" },
	{ "a list that may be too old still knows its own", &stale, "<bob@example.org>",
	    ROUTE_MAILBOX, "bob" },
	{ "postmaster goes to the roles", &catching, "<postmaster@example.org>", ROUTE_MAILBOX,
	    "admin" },
	{ "postmaster without roles goes to the first user", &plain, "<PostMaster@example.org>",
	    ROUTE_MAILBOX, "alice" },
	{ "postmaster without a domain is ours", &plain, "<Postmaster>", ROUTE_MAILBOX, "alice" },
	{ "a mailbox called postmaster is postmaster's", &with_tag, "<postmaster>", ROUTE_MAILBOX,
	    "postmaster" },
	{ "postmaster of a stale list is not asked to wait", &stale, "<postmaster@example.org>",
	    ROUTE_MAILBOX, "alice" },
	{ "postmaster is never refused, only kept waiting", &empty, "<postmaster>", ROUTE_LATER,
	    "4.3.5" },
	{ "another's domain is foreign", &plain, "<alice@example.com>", ROUTE_FOREIGN, "5.7.1" },
	{ "another's domain is foreign to the catch-all too", &catching, "<alice@example.com>",
	    ROUTE_FOREIGN, "5.7.1" },
	{ "another's postmaster is foreign", &catching, "<postmaster@example.com>", ROUTE_FOREIGN,
	    "5.7.1" },
	{ "a subdomain was not granted", &plain, "<alice@sub.example.org>", ROUTE_FOREIGN,
	    "5.7.1" },
	{ "a domain that only ends like ours was not granted", &plain, "<alice@notexample.org>",
	    ROUTE_FOREIGN, "5.7.1" },
	{ "an address literal was not granted", &catching, "<alice@[192.0.2.1]>", ROUTE_FOREIGN,
	    "5.7.1" },
	{ "percent is a character", &plain, "<alice%example.com@example.org>", ROUTE_REFUSED,
	    "5.1.1" },
	{ "a source route is no road", &plain, "<@example.org:alice@example.com>", ROUTE_FOREIGN,
	    "5.7.1" },
	{ "a path is not a mailbox", &plain, "<\"../alice\"@example.org>", ROUTE_REFUSED, "5.1.1" },
};

static void
fill(struct mailboxes *boxes, const char *users, char *first, size_t max)
{
	struct span s = span_str(users);

	first[0] = '\0';
	while (s.n > 0) {
		const char *end = memchr(s.p, ' ', s.n);
		struct span one = span_of(s.p, end != NULL ? (size_t)(end - s.p) : s.n);

		if (first[0] == '\0')
			span_copy(one, first, max);
		assert_true(mailboxes_add(boxes, one));
		s = span_from(s, end != NULL ? one.n + 1 : one.n);
	}
}

static void
routes(void **state)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *t = &rules[i];
		struct mailboxes boxes = { .names = NULL };
		char first[CONF_NAME_MAX], code[32];
		struct address to;
		struct route r;

		fill(&boxes, t->home->users, first, sizeof(first));
		struct router router = { .boxes = &boxes, .catch_all = t->home->catch_all,
			.roles = t->home->roles, .first = first, .stale = t->home->stale };
		if (address_parse_path(span_str(t->path), ADDRESS_FORWARD, true, &to) == 0)
			fail_msg("%s: %s is no path", t->name, t->path);
		route_address(&router, granted, 2, &to, &r);
		snprintf(code, sizeof(code), "%u.%u.%u", r.reply.enhanced[0], r.reply.enhanced[1],
		    r.reply.enhanced[2]);
		if (r.to != t->to ||
		    strcmp(t->mailbox, r.to == ROUTE_MAILBOX ? r.mailbox : code) != 0)
			fail_msg("%s: %s went to %d %s %s", t->name, t->path, (int)r.to, r.mailbox,
			    code);
		mailboxes_fini(&boxes);
	}
}

static void
nothing_granted_is_all_foreign(void **state)
{
	struct mailboxes boxes = { .names = NULL };
	struct router router = { .boxes = &boxes, .catch_all = "inbox", .roles = "", .first = "" };
	struct address to;
	struct route r;

	assert_true(address_parse(span_str("alice@example.org"), &to));
	route_address(&router, NULL, 0, &to, &r);
	assert_int_equal(r.to, ROUTE_FOREIGN);
}

static void
a_command_prints_one_local_part_a_line(void **state)
{
	static const char text[] =
	    "alice\r\n  bob \n\ncarol@example.org\n../etc\n.hidden\na b\nlast";
	struct mailboxes boxes = { .names = NULL };
	size_t skipped;

	assert_true(mailboxes_read(&boxes, SPAN_LIT(text), &skipped));
	assert_int_equal(boxes.n, 3);
	assert_int_equal(skipped, 4);
	assert_string_equal(mailboxes_find(&boxes, SPAN_LIT("ALICE")), "alice");
	assert_string_equal(mailboxes_find(&boxes, SPAN_LIT("bob")), "bob");
	assert_string_equal(mailboxes_find(&boxes, SPAN_LIT("last")), "last");
	assert_null(mailboxes_find(&boxes, SPAN_LIT("carol")));
	assert_null(mailboxes_find(&boxes, span_of("bob\0x", 5)));
	mailboxes_fini(&boxes);
}

static void
many_mailboxes_are_found_and_too_many_refused(void **state)
{
	struct mailboxes boxes = { .names = NULL };
	char name[32];
	size_t skipped;

	for (unsigned i = 0; i < MAILBOXES_MAX; i++) {
		snprintf(name, sizeof(name), "user%u", (i * 7919u) % MAILBOXES_MAX);
		assert_true(mailboxes_add(&boxes, span_str(name)));
	}
	assert_string_equal(mailboxes_find(&boxes, SPAN_LIT("USER199999")), "user199999");
	assert_null(mailboxes_find(&boxes, SPAN_LIT("user200000")));
	assert_false(mailboxes_read(&boxes, SPAN_LIT("one-more\n"), &skipped));
	mailboxes_fini(&boxes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routes),
		cmocka_unit_test(nothing_granted_is_all_foreign),
		cmocka_unit_test(a_command_prints_one_local_part_a_line),
		cmocka_unit_test(many_mailboxes_are_found_and_too_many_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
