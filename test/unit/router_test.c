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
	bool		 stale, unread;
};

static const struct home plain = { "alice bob", "", "", false, false };
static const struct home catching = { "alice bob", "inbox", "admin", false, false };
static const struct home stale = { "alice bob", "", "", true, false };
static const struct home unread = { "alice", "inbox", "admin", true, true };
static const struct home with_tag = { "alice alice+lists postmaster", "", "", false, false };
static const struct home empty = { "", "", "", false, false };
static const struct home mixed = { "Alice BOB", "", "", false, false };

static const struct home abroad = { "alice j\xc3\xbcrgen", "", "", false, false };

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
	{ "a list that was not read yet may name him: the catch-all must wait", &unread,
	    "<bob@example.org>", ROUTE_LATER, "4.1.1" },
	{ "and so must whoever has the roles", &unread, "<abuse@example.org>", ROUTE_LATER,
	    "4.1.1" },
	{ "who is configured beside such a list waits for nothing", &unread,
	    "<alice+x@example.org>", ROUTE_MAILBOX, "alice" },
	{ "nor does postmaster", &unread, "<postmaster>", ROUTE_MAILBOX, "admin" },
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
			.roles = t->home->roles, .first = first, .stale = t->home->stale,
			.unread = t->home->unread };
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

/* --- rules of domains --------------------------------------------------------------------- */

static const char list[] =
    "alice\nbob\nj.smith\nAnn\nann\nlong-tag\n"
    "bob@other.test\n"
    "sales@example.org alice\n"
    "first@example.org second@example.org\nsecond@example.org third\n"
    "third@example.org bob\n"
    "away@example.org bob@other.test\n"
    "team.lead@dots.test alice\n"
    "nowhere@example.org carol\n"
    "up@example.org ../alice\n"
    "us@team.test alice, bob\n"
    "@all.test sales@example.org\n"
    "@up.test ../../etc\n"
    "team@example.org alice, bob\n"
    "all@example.org team  sales,\tj.smith alice\n"
    "partly@example.org alice nobody\n"
    "abroad@example.org bob@other.test bob\n"
    "team@example.org j.smith\n"
    "Stra\303\237e@example.org alice\n"
    "a.b@b\303\274cher.example bob\n"
    "Sales@case.test alice\nsales@case.test bob\n"
    "Tea.M@both.test alice\ntea.m@both.test bob\n"
    "stray@example.org bob@elsewhere.test\n"
    "known@example.org alice@strict.test\n"
    "@stray.test bob@elsewhere.test\n"
    "over@example.org team@elsewhere.test\nteam@elsewhere.test alice\n";

static const struct conf_home_domain sections[] = {
	{ .name = "dots.test", .tag = "+", .dots = false },
	{ .name = "case.test", .tag = "+", .dots = true, .letter_case = true },
	{ .name = "both.test", .tag = "+", .dots = false, .letter_case = true },
	{ .name = "dash.test", .tag = "-", .dots = true },
	{ .name = "notag.test", .tag = "", .dots = true },
	{ .name = "own.test", .tag = "+", .dots = true, .own = true },
	{ .name = "strict.test", .tag = "+", .dots = true, .refuse = true },
	{ .name = "roles.test", .tag = "+", .dots = true, .roles = "bob" },
	{ .name = "catch.test", .tag = "+", .dots = true, .catch_all = "bob" },
	{ .name = "team.test", .tag = "+", .dots = true, .roles = "us" },
};

static const struct {
	const char	*name, *path;
	const char	*want;		/* a mailbox, or "!5.1.1" */
	bool		 catching;	/* mailboxes.catch_all = "inbox", roles = "admin" */
} domain_rules[] = {
	{ "an alias is its mailbox", "<sales@example.org>", "alice", false },
	{ "an alias without regard to case", "<SALES@Example.ORG>", "alice", false },
	{ "an alias has tags, too", "<sales+x@example.org>", "alice", false },
	{ "of several tags the last ends the name first", "<long-tag-x@dash.test>", "long-tag",
	    false },
	{ "and then the one before", "<bob-x-y@dash.test>", "bob", false },
	{ "what begins with one has none", "<-bob-x@dash.test>", "!5.1.1", false },
	{ "an alias of one domain is none of another", "<sales@dash.test>", "!5.1.1", false },
	{ "an alias of an alias of an alias", "<first@example.org>", "bob", false },
	{ "an alias may be an address of another of our domains", "<away@example.org>",
	    "bob@other.test", false },
	{ "an alias that ends nowhere waits for its mending", "<nowhere@example.org>", "!4.3.5",
	    true },
	{ "an alias is no path", "<up@example.org>", "!4.3.5", false },
	{ "an alias of non-ASCII letters", "<Stra\303\237e@example.org>", "alice", false },
	{ "an alias in a domain of non-ASCII letters", "<a.b@xn--bcher-kva.example>", "bob",
	    false },
	{ "an alias of two", "<team@example.org>", "alice bob", false },
	{ "with a tag", "<team+x@example.org>", "alice bob", false },
	{ "and of several who share people: each once", "<all@example.org>", "alice bob j.smith",
	    false },
	{ "if one of them ends nowhere nobody gets a part of it", "<partly@example.org>", "!4.3.5",
	    true },
	{ "two of one name in two domains are two", "<abroad@example.org>", "bob@other.test bob",
	    false },
	{ "bob of another domain is not our bob", "<bob@other.test>", "bob@other.test", false },
	{ "nor is he with a tag", "<bob+x@other.test>", "bob@other.test", false },
	{ "our bob is not another domain's", "<bob@example.org>", "bob", false },
	{ "a domain with mailboxes of its own has no others", "<alice@other.test>", "!5.1.1",
	    false },
	{ "nor a domain that says so", "<alice@own.test>", "!5.1.1", false },
	{ "but it has its postmaster", "<postmaster@own.test>", "alice", false },
	{ "nor is he where an alias leads to him", "<stray@example.org>", "!4.3.5", false },
	{ "nor where a catch-all of a file does", "<x@stray.test>", "!4.3.5", false },
	{ "an alias to a domain of ours finds our people", "<known@example.org>", "alice", false },
	{ "and one to an alias of any domain finds that", "<over@example.org>", "alice", false },
	{ "dots count", "<jsmith@example.org>", "!5.1.1", false },
	{ "dots do not count where a domain says so", "<jsmith@dots.test>", "j.smith", false },
	{ "however many", "<j.s.m.ith@dots.test>", "j.smith", false },
	{ "dots do not count in aliases either", "<tea.mlead@dots.test>", "alice", false },
	{ "nor before a tag", "<j.smith.+a.b@dots.test>", "j.smith", false },
	{ "those behind it do not count at all", "<js.mith+a.b@dots.test>", "j.smith", false },
	{ "case counts where a domain says so", "<Alice@case.test>", "!5.1.1", false },
	{ "and two may differ in it alone", "<Ann@case.test>", "Ann", false },
	{ "and the other is found", "<ann@case.test>", "ann", false },
	{ "of aliases, too", "<Sales@case.test>", "alice", false },
	{ "the other alias is found", "<sales@case.test>", "bob", false },
	{ "a third is nobody", "<SALES@case.test>", "!5.1.1", false },
	{ "dots do not count where case does", "<A.nn@both.test>", "Ann", false },
	{ "but case does", "<a.nn@both.test>", "ann", false },
	{ "and a third is nobody", "<A.NN@both.test>", "!5.1.1", false },
	{ "aliases likewise", "<T.eaM@both.test>", "alice", false },
	{ "and their other case", "<team+x@both.test>", "bob", false },
	{ "another character ends the name", "<alice-shop@dash.test>", "alice", false },
	{ "then plus is a character", "<alice+shop@dash.test>", "!5.1.1", false },
	{ "a name with it in it comes first", "<long-tag@dash.test>", "long-tag", false },
	{ "no tags at all", "<alice+shop@notag.test>", "!5.1.1", false },
	{ "refuse, though there is a catch-all", "<carol@strict.test>", "!5.1.1", true },
	{ "a catch-all of one domain", "<carol@catch.test>", "bob", true },
	{ "the catch-all of all", "<carol@dash.test>", "inbox", true },
	{ "a catch-all in a file", "<carol@all.test>", "alice", false },
	{ "a catch-all in a file is no path", "<carol@up.test>", "!4.3.5", false },
	{ "roles go to the mailbox of roles", "<abuse@example.org>", "admin", true },
	{ "roles of a domain", "<DMARC@roles.test>", "bob", true },
	{ "roles may be an alias", "<abuse@team.test>", "alice bob", false },
	{ "postmaster's, too", "<postmaster@team.test>", "alice bob", false },
	{ "postmaster's mail ends where the catch-all of a file does", "<postmaster@all.test>",
	    "alice", false },
	{ "and in no path", "<postmaster@up.test>", "!4.3.5", false },
	{ "a role with a tag is none", "<abuse+x@roles.test>", "!5.1.1", false },
	{ "a role that is an alias is an alias", "<sales@example.org>", "alice", true },
	{ "without roles a role is nobody", "<abuse@example.org>", "!5.1.1", false },
	{ "at in quotes is a character", "<\"a@b\"@example.org>", "!5.1.1", false },
	{ "an address in quotes is not the address", "<\"bob@other.test\"@example.org>",
	    "!5.1.1", false },
	{ "spaces in quotes", "<\"al ice\"@example.org>", "!5.1.1", false },
	{ "an escaped letter is the letter", "<\"al\\ice\"@example.org>", "alice", false },
	{ "quotes that hold nothing are no address", "<\"\"@example.org>", "!", false },
	{ "two dots are no address", "<a..b@example.org>", "!", false },
	{ "a dot in front is no address", "<.alice@example.org>", "!", false },
	{ "a dot in front in quotes is one", "<\".alice\"@dots.test>", "alice", false },
	{ "a final dot of the domain", "<alice@example.org.>", "alice", false },
	{ "a name that only begins like one", "<alicea@example.org>", "!5.1.1", false },
	{ "a name that only ends like one", "<balice@example.org>", "!5.1.1", false },
	{ "a bang is no road", "<example.org!alice@example.org>", "!5.1.1", false },
	{ "a local part of 64 octets",
	    "<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@example.org>",
	    "!5.1.1", false },
};

static void
domains_have_rules_of_their_own(void **state)
{
	static const char all[][256] = { "example.org", "other.test", "dots.test", "case.test",
	    "dash.test", "notag.test", "own.test", "strict.test", "roles.test", "catch.test",
	    "all.test", "up.test", "both.test", "stray.test", "team.test",
	    "xn--bcher-kva.example" };
	struct mailboxes boxes = { .names = NULL };
	struct why why;
	size_t skipped;

	assert_int_equal(mailboxes_read(&boxes, SPAN_LIT(list), &skipped, &why), 0);
	assert_int_equal(skipped, 0);
	for (size_t i = 0; i < sizeof(domain_rules) / sizeof(domain_rules[0]); i++) {
		bool all_caught = domain_rules[i].catching;
		struct router router = { .boxes = &boxes, .catch_all = all_caught ? "inbox" : "",
			.roles = all_caught ? "admin" : "", .all_roles = all_caught,
			.first = "alice",
			.domains = sections,
			.ndomains = sizeof(sections) / sizeof(sections[0]) };
		struct address to;
		struct route r;
		char got[80] = "!";

		if (address_parse_path(span_str(domain_rules[i].path), ADDRESS_FORWARD, true,
		    &to) > 0) {
			route_address(&router, all, sizeof(all) / sizeof(all[0]), &to, &r);
			if (r.to == ROUTE_MAILBOX)
				snprintf(got, sizeof(got), "%s", r.mailbox);
			for (size_t k = 0; k < r.nalso; k++)
				snprintf(got + strlen(got), sizeof(got) - strlen(got), " %s",
				    r.also[k]);
			if (r.to != ROUTE_MAILBOX)
				snprintf(got, sizeof(got), "!%u.%u.%u", r.reply.enhanced[0],
				    r.reply.enhanced[1], r.reply.enhanced[2]);
		}
		if (strcmp(got, domain_rules[i].want) != 0)
			fail_msg("%s: %s went to %s", domain_rules[i].name, domain_rules[i].path,
			    got);
	}
	mailboxes_fini(&boxes);
}

/* What refile goes by: mail that the catch-all took is somebody's own only if he claims it. */
static void
who_is_called_so_claims_it_and_a_catch_all_does_not(void **state)
{
	static const struct {
		const char	*address;
		bool		 claimed;
	} rows[] = {
		{ "alice@example.org", true }, { "ALICE+x@example.org", true },
		{ "sales@example.org", true }, { "carol@example.org", false },
		{ "postmaster@example.org", false }, { "abuse@example.org", false },
		{ "carol@strict.test", false }, { "alice@elsewhere.test", false },
	};
	static const char all[][256] = { "example.org", "strict.test" };
	struct mailboxes boxes = { .names = NULL };
	struct router router = { .boxes = &boxes, .catch_all = "inbox", .roles = "admin",
		.all_roles = true, .first = "alice", .domains = sections,
		.ndomains = sizeof(sections) / sizeof(sections[0]) };
	struct address to;
	struct route r;
	struct why why;
	size_t skipped;

	assert_int_equal(mailboxes_read(&boxes, SPAN_LIT(list), &skipped, &why), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(address_parse(span_str(rows[i].address), &to));
		route_address(&router, all, 2, &to, &r);
		if (r.claimed != rows[i].claimed)
			fail_msg("%s", rows[i].address);
	}
	router_to_catch_all(&router, "example.org", &r);
	assert_string_equal(r.mailbox, "inbox");
	router_to_catch_all(&router, "all.test", &r);	/* by way of an alias */
	assert_string_equal(r.mailbox, "alice");
	router_to_catch_all(&router, "strict.test", &r);
	assert_int_equal(r.to, ROUTE_NONE);
	mailboxes_fini(&boxes);
}

static void
a_list_with_a_loop_is_refused_by_its_line(void **state)
{
	static const struct {
		const char *text, *line;
	} rows[] = {
		{ "a@x.test a\n", "line 1: a@x.test" },
		{ "bob\nc@x.test bob\na@x.test b@x.test\nb@x.test a\n", "line 3: a@x.test" },
		{ "a@x.test b@y.test\nb@y.test a@x.test\n", "line 1: a@x.test" },
		{ "bob\na@x.test bob c\nc@x.test bob, a\n", "line 2: a@x.test" },
		{ "a\na@x.test a\n", NULL },		/* the mailbox ends it */
		{ "a@x.test a@y.test\na@y.test z\n", NULL },
		{ "ab@x.test bob\n  a@x.test.org bob\n\ta@x.test a\nbob\n", "line 3: a@x.test" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mailboxes boxes = { .names = NULL };
		struct why why = { "" };
		size_t skipped;
		int rc = mailboxes_read(&boxes, span_str(rows[i].text), &skipped, &why);

		assert_int_equal(rc, rows[i].line != NULL ? -1 : 0);
		if (rc == -1 && strncmp(why.text, rows[i].line, strlen(rows[i].line)) != 0)
			fail_msg("%s", why.text);
		mailboxes_fini(&boxes);
	}
}

static void
a_server_that_decides_is_asked_for_all_whom_nobody_takes(void **state)
{
	static const struct {
		const char *address, *want;
	} rows[] = {
		{ "alice+x@example.org", "alice" },
		{ "Carol+X@example.org", "carol+x@example.org" },
		{ "postmaster@example.org", "postmaster@example.org" },
		{ "abuse@example.org", "abuse@example.org" },
		{ "carol@strict.test", "!450" }, { "carol@elsewhere.test", "!550" },
		{ "Carol@case.test", "Carol@case.test" }, { "carol@catch.test", "bob" },
		{ "o'brien@example.org", "!550" }, { "nowhere@example.org", "!450" },
	};
	static const char all[][256] = { "example.org", "strict.test", "case.test", "catch.test" };
	struct mailboxes boxes = { .names = NULL };
	struct router router = { .boxes = &boxes, .catch_all = "", .roles = "", .first = "alice",
		.callout = true, .stale = true, .domains = sections,
		.ndomains = sizeof(sections) / sizeof(sections[0]) };
	struct address to;
	struct route r;
	struct why why;
	size_t skipped;
	char got[80];

	assert_int_equal(mailboxes_read(&boxes, SPAN_LIT(list), &skipped, &why), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(address_parse(span_str(rows[i].address), &to));
		route_address(&router, all, 4, &to, &r);
		snprintf(got, sizeof(got), "!%u", r.reply.code);
		if (strcmp(r.to == ROUTE_MAILBOX ? r.mailbox : got, rows[i].want) != 0)
			fail_msg("%s went to %s %s", rows[i].address, r.mailbox, got);
	}
	mailboxes_fini(&boxes);
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

static const struct mailboxes_rule any;
#define FIND(name)	mailboxes_find(&boxes, SPAN_LIT(name), any)

static void
a_command_prints_one_local_part_a_line(void **state)
{
	static const char text[] =
	    "alice\r\n  bob \n\n# a word\ncarol@example.org\n../etc\n.hidden\na b\n"
	    "x@example.org a, b\nx@example.org a b\n@\n@ a\nlast";
	struct mailboxes boxes = { .names = NULL };
	struct why why;
	size_t skipped;

	assert_int_equal(mailboxes_read(&boxes, SPAN_LIT(text), &skipped, &why), 0);
	assert_int_equal(boxes.n, 4);
	assert_int_equal(boxes.naliases, 2);
	assert_int_equal(skipped, 5);
	assert_string_equal(FIND("ALICE"), "alice");
	assert_string_equal(FIND("bob"), "bob");
	assert_string_equal(FIND("last"), "last");
	assert_null(FIND("carol"));
	assert_null(mailboxes_find(&boxes, span_of("bob\0x", 5), any));
	mailboxes_fini(&boxes);
}

/* posthouse.conf(5), "Lists of mailboxes". */
static void
what_a_line_says_behind_it_is_for_people(void **state)
{
	static const char text[] =
	    "# a comment\n"
	    "alice                            # a mailbox\n"
	    "bob@example.com\t# one that takes this address\n"
	    "team@example.org alice, bob@example.com # several\n"
	    "  # nothing else\n"
	    "no#1@example.org alice\n";
	struct mailboxes boxes = { .names = NULL };
	struct why why;
	size_t skipped;

	assert_int_equal(mailboxes_read(&boxes, SPAN_LIT(text), &skipped, &why), 0);
	assert_int_equal(skipped, 0);
	assert_int_equal(boxes.n, 2);
	assert_string_equal(FIND("alice"), "alice");
	assert_string_equal(mailboxes_target(&boxes, SPAN_LIT("team@example.org"), any),
	    " alice, bob@example.com");
	assert_string_equal(mailboxes_target(&boxes, SPAN_LIT("no#1@example.org"), any), " alice");
	mailboxes_fini(&boxes);
}

static void
keep_step(void *arg, const char *line)
{
	char *steps = arg;

	snprintf(steps + strlen(steps), 400 - strlen(steps), "%s; ", line);
}

static void
a_route_names_the_target_that_is_nobody(void **state)
{
	static const char all[][256] = { "example.org" };
	struct mailboxes boxes = { .names = NULL };
	char steps[400] = "";
	struct router router = { .boxes = &boxes, .catch_all = "", .roles = "", .first = "alice",
		.say = keep_step, .arg = steps };
	struct address to;
	struct route r;
	struct why why;
	size_t skipped;

	assert_int_equal(mailboxes_read(&boxes, SPAN_LIT("alice\nin@example.org all\n"
	    "all@example.org alice, bob\n"), &skipped, &why), 0);
	assert_true(address_parse(span_str("in@example.org"), &to));
	route_address(&router, all, 1, &to, &r);
	assert_int_equal(r.to, ROUTE_LATER);
	assert_string_equal(steps, "goes to all; goes to alice; goes to bob; bob is nobody here; "
	    "the alias ends in no mailbox; ");
	mailboxes_fini(&boxes);
}

static void
many_mailboxes_are_found_and_too_many_refused(void **state)
{
	struct mailboxes boxes = { .names = NULL };
	struct why why;
	char name[32];
	size_t skipped;

	for (unsigned i = 0; i < MAILBOXES_MAX; i++) {
		snprintf(name, sizeof(name), "user%u", (i * 7919u) % MAILBOXES_MAX);
		assert_true(mailboxes_add(&boxes, span_str(name)));
	}
	assert_string_equal(FIND("USER199999"), "user199999");
	assert_null(FIND("user200000"));
	assert_int_equal(mailboxes_read(&boxes, SPAN_LIT("one-more\n"), &skipped, &why), -1);
	mailboxes_fini(&boxes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routes),
		cmocka_unit_test(domains_have_rules_of_their_own),
		cmocka_unit_test(who_is_called_so_claims_it_and_a_catch_all_does_not),
		cmocka_unit_test(a_list_with_a_loop_is_refused_by_its_line),
		cmocka_unit_test(a_server_that_decides_is_asked_for_all_whom_nobody_takes),
		cmocka_unit_test(nothing_granted_is_all_foreign),
		cmocka_unit_test(a_command_prints_one_local_part_a_line),
		cmocka_unit_test(what_a_line_says_behind_it_is_for_people),
		cmocka_unit_test(a_route_names_the_target_that_is_nobody),
		cmocka_unit_test(many_mailboxes_are_found_and_too_many_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
