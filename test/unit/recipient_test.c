/* Whose mail is taken at an edge: the whole of what keeps it from being an open relay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "edge/recipient.h"

static struct home alice = { .name = "alice" }, bob = { .name = "bob" }, late = { .name = "late" };
static struct homes homes = { .list = { &alice, &bob, &late }, .n = 3 };

static int
set_up(void **state)
{
	(void)state;
	strcpy(alice.peer.domains[0], "alice.test");
	strcpy(bob.peer.domains[0], "bob.test");
	strcpy(late.peer.domains[0], "late.test");
	alice.peer.ndomains = bob.peer.ndomains = late.peer.ndomains = 1;
	alice.peer.nrecipients = alice.peer.nmac = bob.peer.nrecipients = bob.peer.nmac = 1;
	return 0;
}

static const struct {
	const char	*says;		/* the path of RCPT TO */
	const char	*txn;		/* the transaction's home so far */
	const char	*only;		/* the listener's one home, or all */
	unsigned	 code;
	const char	*home;
} rows[] = {
	{ "<x@alice.test>", NULL, NULL, 250, "alice" },
	{ "<x@ALICE.Test>", NULL, NULL, 250, "alice" },
	{ "<x@bob.test>", NULL, NULL, 250, "bob" },
	{ "<x@evil.test>", NULL, NULL, 550, NULL },
	{ "<x@sub.alice.test>", NULL, NULL, 550, NULL },
	{ "<x@alice.test.evil.test>", NULL, NULL, 550, NULL },
	/* A local part with a percent sign, ours to judge. */
	{ "<x%evil.test@alice.test>", NULL, NULL, 250, "alice" },
	{ "<x@alice.test@evil.test>", NULL, NULL, 0, NULL },
	{ "<evil.test!x@alice.test>", NULL, NULL, 250, "alice" },
	{ "<alice.test!x@evil.test>", NULL, NULL, 550, NULL },
	{ "<@alice.test:x@evil.test>", NULL, NULL, 550, NULL },
	{ "<@evil.test:x@alice.test>", NULL, NULL, 250, "alice" },
	{ "<\"x@alice.test\"@evil.test>", NULL, NULL, 550, NULL },
	{ "<\"x@evil.test\"@alice.test>", NULL, NULL, 250, "alice" },
	{ "<x@[127.0.0.1]>", NULL, NULL, 550, NULL },
	{ "<x@[IPv6:::1]>", NULL, NULL, 550, NULL },
	{ "<postmaster>", NULL, NULL, 250, "alice" },
	{ "<PostMaster>", "bob", NULL, 250, "bob" },
	{ "<postmaster@bob.test>", NULL, NULL, 250, "bob" },
	{ "<postmaster@evil.test>", NULL, NULL, 550, NULL },
	{ "<x@bob.test>", "alice", NULL, 452, NULL },
	{ "<x@alice.test>", "alice", NULL, 250, "alice" },
	{ "<x@bob.test>", NULL, "alice", 550, NULL },
	{ "<x@late.test>", NULL, NULL, 451, NULL },
};

static void
judged(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conf_service service = { .nhomes = rows[i].only != NULL };
		struct netaddr client = { .ip = { [10] = 0xff, 0xff, 192, 0, 2, 7 } };
		struct recipient_rules rules = { &homes, &service, "", &client,
			rows[i].txn != NULL ? homes_by_name(&homes, rows[i].txn) : NULL };
		struct smtp_reply reply = { 0 };
		struct address a;
		struct home *h;
		size_t n = address_parse_path(span_str(rows[i].says), ADDRESS_FORWARD, false, &a);

		print_message("%s\n", rows[i].says);
		if (rows[i].code == 0) {
			assert_int_not_equal(n, strlen(rows[i].says));
			continue;
		}
		assert_int_equal(n, strlen(rows[i].says));
		if (rows[i].only != NULL)
			strcpy(service.homes[0], rows[i].only);
		h = recipient_home(&rules, &a, &reply);
		assert_int_equal(reply.code, rows[i].code);
		if (rows[i].home == NULL)
			assert_null(h);
		else
			assert_string_equal(h->name, rows[i].home);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(judged) };

	return cmocka_run_group_tests(tests, set_up, NULL);
}
