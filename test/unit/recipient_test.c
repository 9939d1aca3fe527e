/* Whose mail is taken at an edge: the whole of what keeps it from being an open relay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
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
		struct recipient_rules rules = { .homes = &homes, .service = &service,
			.postmaster = "", .client = &client,
			.txn = rows[i].txn != NULL ? homes_by_name(&homes, rows[i].txn) : NULL };
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

/* --- by home's list ----------------------------------------------------------------------- */

#define LEARNED	INT64_C(1795232400000)
#define STALE	(24 * 3600 * 1000)

static int
by_digest(const void *a, const void *b)
{
	return memcmp(a, b, POLICY_DIGEST_LEN);
}

static unsigned
answer_sized(const char *path, int64_t now, uint64_t size)
{
	struct conf_service service = { .nhomes = 0 };
	struct netaddr client = { .ip = { [10] = 0xff, 0xff, 192, 0, 2, 7 } };
	struct recipient_rules rules = { .homes = &homes, .service = &service, .postmaster = "",
		.client = &client, .now_ms = now, .size = size };
	struct smtp_reply reply = { 0 };
	struct address a;

	assert_int_equal(address_parse_path(span_str(path), ADDRESS_FORWARD, false, &a),
	    strlen(path));
	(void)recipient_home(&rules, &a, &reply);
	return reply.code;
}

static unsigned
answer(const char *path, int64_t now)
{
	return answer_sized(path, now, 0);
}

static void
home_s_list_decides_until_it_is_stale(void **state)
{
	static const char *const names[] = { "Alice", "j.smith", "x" };
	static const struct {
		const char	*path;
		unsigned	 code, stale, plain;	/* plain: where dots count, and no tag */
	} listed[] = {
		{ "<alice@alice.test>", 250, 250, 250 },
		{ "<ALICE@alice.test>", 250, 250, 250 },
		{ "<alice+shop@alice.test>", 250, 250, 550 },
		{ "<+alice@alice.test>", 550, 450, 550 },
		{ "<\"alice\"@ALICE.TEST>", 250, 250, 250 },
		{ "<JSmith@alice.test>", 250, 250, 550 },
		{ "<j.s.mith+x.y@alice.test>", 250, 250, 550 },
		{ "<j.smith@alice.test>", 250, 250, 250 },
		{ "<postmaster@alice.test>", 250, 250, 250 },
		{ "<postmaster>", 250, 250, 250 },
		{ "<carol@alice.test>", 550, 450, 550 },
		{ "<alic@alice.test>", 550, 450, 550 },
		{ "<alice2@alice.test>", 550, 450, 550 },
		{ "<whoever@bob.test>", 250, 250, 250 },	/* has no list */
	};

	for (int plain = 0; plain < 2; plain++) {
		unsigned char digests[3][POLICY_DIGEST_LEN];
		struct policy_domain d = { .name = "alice.test", .unknown = POLICY_REFUSE,
			.fold_case = true, .ignore_dots = !plain, .tag = plain ? 0 : '+',
			.salt = { 7 }, .learned_ms = LEARNED, .digests = digests, .ndigests = 3 };
		struct policy p = { .stale_after_ms = STALE, .domains = &d, .ndomains = 1 };

		for (size_t i = 0; i < 3; i++)
			assert_true(policy_digest(&d, names[i], digests[i]));
		qsort(digests, 3, POLICY_DIGEST_LEN, by_digest);
		alice.policy = &p;
		for (size_t i = 0; i < sizeof(listed) / sizeof(listed[0]); i++) {
			print_message("%s\n", listed[i].path);
			assert_int_equal(answer(listed[i].path, LEARNED + STALE),
			    plain ? listed[i].plain : listed[i].code);
			if (!plain)
				assert_int_equal(answer(listed[i].path, LEARNED + STALE + 1),
				    listed[i].stale);
		}
		d.unknown = POLICY_ACCEPT;
		assert_int_equal(answer("<carol@alice.test>", LEARNED), 250);
	}
	alice.policy = NULL;
}

/* Whose file is damaged is not told for good that his domain is none of ours. */
static void
nobody_is_refused_for_good_while_a_pairing_is_unread(void **state)
{
	struct conf_service service = { .nhomes = 0 };
	struct netaddr client = { .ip = { [10] = 0xff, 0xff, 192, 0, 2, 7 } };
	struct recipient_rules rules = { .homes = &homes, .service = &service, .postmaster = "",
		.client = &client, .unread = true };
	static const struct {
		const char	*path;
		unsigned	 code;
	} said[] = {
		{ "<x@alice.test>", 250 }, { "<x@other.test>", 451 }, { "<x@[192.0.2.1]>", 550 },
	};

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		struct smtp_reply reply = { 0 };
		struct address a;

		assert_int_equal(address_parse_path(span_str(said[i].path), ADDRESS_FORWARD,
		    false, &a), strlen(said[i].path));
		(void)recipient_home(&rules, &a, &reply);
		assert_int_equal(reply.code, said[i].code);
	}
}

static void
what_a_home_takes_bounds_its_own_mail_alone(void **state)
{
	struct policy p = { .size = 1000 };

	alice.policy = &p;
	assert_int_equal(answer_sized("<x@alice.test>", 0, 0), 250);
	assert_int_equal(answer_sized("<x@alice.test>", 0, 1000), 250);
	assert_int_equal(answer_sized("<x@alice.test>", 0, 1001), 552);
	assert_int_equal(answer_sized("<postmaster@alice.test>", 0, 1001), 552);
	assert_int_equal(answer_sized("<x@bob.test>", 0, 1001), 250);
	alice.policy = NULL;
}

/* "": no policy was heard; else what it says the server honours. */
static void
what_a_home_honours_is_its_own(void **state)
{
	static const struct {
		const char	*honours, *path;
		bool		 from_utf8, report;
		unsigned	 code, detail;
	} said[] = {
		{ "8D", "<x@alice.test>", true, true, 250, 5 },
		{ "8D", "<\xc3\xb6@alice.test>", false, false, 250, 5 },
		{ "D", "<x@alice.test>", false, true, 250, 5 },
		{ "D", "<x@alice.test>", true, true, 553, 7 },
		{ "D", "<\xc3\xb6@alice.test>", false, false, 553, 7 },
		/* Such a domain travels in ASCII. */
		{ "-", "<x@b\xc3\xbc" "cher.test>", false, false, 250, 5 },
		{ "8", "<x@alice.test>", true, false, 250, 5 },
		{ "8", "<x@alice.test>", true, true, 455, 4 },
		{ "-", "<postmaster>", false, true, 455, 4 },
		{ "-", "<nobody@elsewhere.test>", true, true, 550, 1 },
		{ "", "<x@alice.test>", true, false, 451, 0 },
		{ "", "<\xc3\xb6@alice.test>", false, false, 451, 0 },
		{ "", "<x@alice.test>", false, true, 455, 4 },
		{ "", "<x@alice.test>", false, false, 250, 5 },
	};
	struct conf_service service = { .nhomes = 0 };
	struct netaddr client = { .ip = { [10] = 0xff, 0xff, 192, 0, 2, 7 } };

	strcpy(alice.peer.domains[alice.peer.ndomains++], "xn--bcher-kva.test");
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		struct policy p = { .smtputf8 = strchr(said[i].honours, '8') != NULL,
			.dsn = strchr(said[i].honours, 'D') != NULL };
		struct recipient_rules rules = { .homes = &homes, .service = &service,
			.postmaster = "", .client = &client, .from_utf8 = said[i].from_utf8,
			.report = said[i].report };
		struct smtp_reply reply = { 0 };
		struct address a;

		alice.policy = said[i].honours[0] != '\0' ? &p : NULL;
		print_message("%s %s\n", said[i].honours, said[i].path);
		assert_int_equal(address_parse_path(span_str(said[i].path), ADDRESS_FORWARD, true,
		    &a), strlen(said[i].path));
		assert_true((recipient_home(&rules, &a, &reply) != NULL) == (said[i].code == 250));
		assert_int_equal(reply.code, said[i].code);
		assert_int_equal(reply.enhanced[2], said[i].detail);
	}
	alice.policy = NULL;
	alice.peer.ndomains--;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judged),
		cmocka_unit_test(home_s_list_decides_until_it_is_stale),
		cmocka_unit_test(nobody_is_refused_for_good_while_a_pairing_is_unread),
		cmocka_unit_test(what_a_home_takes_bounds_its_own_mail_alone),
		cmocka_unit_test(what_a_home_honours_is_its_own),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
