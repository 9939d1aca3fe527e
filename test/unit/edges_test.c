#include "home/edges.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/log.h"

/* Who signs as whom: pairings and the configuration, joined. */
#define KEY_A	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
#define KEY_B	"ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
#define HOME	"deliver { maildir = \"/m\" } mailboxes { users = {\"alice\"} }\n"
#define WORKER	HOME "worker \"w.example.org\" { domains = {\"example.org\", \"example.net\"} }\n"

static struct conf_home *
conf(const char *text)
{
	struct why why = { "" };
	struct conf_home *c = conf_home_parse("t.conf", span_str(text), &why);

	assert_string_equal(why.text, "");
	return c;
}

static void
a_worker_signs_with_its_key_for_its_domains(void **state)
{
	struct conf_home *c = conf(WORKER);
	struct edges es = { .n = 0 };
	struct home_edge *e;

	assert_string_equal(c->workers[0].mac_key,
	    "/var/lib/posthouse/home/worker-w.example.org.mac");
	edges_worker_keys(&es, c, "w.example.org", span_str(KEY_A KEY_B));
	edges_configure(&es, c);
	e = edges_find(&es, "W.Example.ORG");
	assert_non_null(e);
	assert_true(edge_is_worker(e));
	assert_int_equal(e->peer.nmac, 2);
	assert_int_equal(e->peer.mac[0].b[0], 0x00);
	assert_int_equal(e->peer.mac[1].b[0], 0xff);
	assert_int_equal(e->peer.ndomains, 2);
	assert_string_equal(e->peer.domains[1], "example.net");
	assert_int_equal(e->peer.npins, 0);	/* nothing to dial */

	/* A file that became something else: nobody signs any more. */
	edges_worker_keys(&es, c, "w.example.org", span_str("junk\n"));
	assert_int_equal(e->peer.nmac, 0);
	edges_fini(&es);
	free(c);
}

static void
a_worker_that_left_the_configuration_signs_nothing(void **state)
{
	struct conf_home *c = conf(WORKER), *later = conf(HOME);
	struct edges es = { .n = 0 };
	struct home_edge *e;

	edges_worker_keys(&es, c, "w.example.org", span_str(KEY_A));
	edges_configure(&es, c);
	edges_configure(&es, later);
	e = edges_find(&es, "w.example.org");
	assert_non_null(e);
	assert_false(edge_is_worker(e));
	assert_int_equal(e->peer.nmac, 0);
	assert_int_equal(e->peer.ndomains, 0);
	edges_fini(&es);
	free(c);
	free(later);
}

static void
a_paired_edge_keeps_its_name_from_a_worker(void **state)
{
	struct conf_home *c = conf(WORKER);
	struct edges es = { .n = 0 };
	struct peer p = { .name = "w.example.org", .nmac = 1, .ndomains = 1,
		.domains = { "example.com" } };
	struct home_edge *e;

	memset(p.mac[0].b, 7, SECRET_LEN);
	edges_worker_keys(&es, c, "w.example.org", span_str(KEY_A));
	edges_configure(&es, c);
	e = edges_paired(&es, c, "w.example.org", &p);
	assert_non_null(e);
	assert_false(edge_is_worker(e));
	assert_true(e->worker);
	assert_int_equal(e->peer.nmac, 1);
	assert_int_equal(e->peer.mac[0].b[0], 7);
	assert_int_equal(e->peer.ndomains, 1);
	assert_string_equal(e->peer.domains[0], "example.com");

	/* Unpaired: it is the worker's again, with the worker's key and no other. */
	edges_paired(&es, c, "w.example.org", NULL);
	assert_true(edge_is_worker(e));
	assert_int_equal(e->peer.mac[0].b[0], 0x00);
	assert_string_equal(e->peer.domains[0], "example.org");
	edges_fini(&es);
	free(c);
}

static void
an_edge_vouches_for_a_worker_that_it_was_given_and_no_domain_more(void **state)
{
	struct conf_home *c = conf(HOME "worker \"w.example.org\" { domains = {\"example.org\"} "
	    "edges = {\"mx1.example.org\"} }\n");
	struct peer p = { .name = "mx1.example.org", .ndomains = 1,
		.domains = { "example.org" } };
	struct edges es = { .n = 0 };
	struct home_edge *one, *two, *w;

	assert_string_equal(c->workers[0].password,
	    "/var/lib/posthouse/home/worker-w.example.org.smtp");
	edges_configure(&es, c);
	one = edges_paired(&es, c, "MX1.example.org", &p);
	two = edges_paired(&es, c, "mx2.example.org", &p);
	w = edges_find(&es, "w.example.org");
	assert_true(edge_vouches(c, one, w));
	assert_false(edge_vouches(c, two, w));
	assert_false(edge_vouches(c, one, one));
	assert_false(edge_vouches(c, one, two));
	assert_false(edge_vouches(c, w, w));
	span_copy(SPAN_LIT("example.net"), c->workers[0].domains[1],
	    sizeof(c->workers[0].domains[1]));
	c->workers[0].ndomains = 2;
	assert_false(edge_vouches(c, one, w));

	assert_int_equal(w->login.ndigests, 0);
	edges_worker_password(&es, "w.example.org", span_str(KEY_A KEY_B));
	assert_int_equal(w->login.ndigests, 2);
	assert_true(login_is(&w->login, SPAN_LIT("w.example.org"),
	    span_of(KEY_B, sizeof(KEY_B) - 2)));
	edges_worker_password(&es, "w.example.org", SPAN_LIT("a word\n"));
	assert_int_equal(w->login.ndigests, 0);
	edges_fini(&es);
	free(c);
}

static void
key_files(void **state)
{
	static const struct {
		const char *name, *text;
		size_t n;
	} files[] = {
		{ "as openssl rand -hex 32 writes it", KEY_A, 1 },
		{ "the one in use, and the one before", KEY_A KEY_B, 2 },
		{ "white space and empty lines", "\n \t" KEY_A "\r\n", 1 },
		{ "a third", KEY_A KEY_A KEY_A, 0 },
		{ "a digit short", "00112233\n", 0 },
		{ "a good one does not stay when a bad one follows", KEY_A "junk\n", 0 },
		{ "nothing", "\n", 0 },
	};
	struct secret keys[KEY_LINES_MAX], none[KEY_LINES_MAX] = { 0 };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		size_t n = key_lines_read(span_str(files[i].text), keys);

		if (n != files[i].n)
			fail_msg("%s: %zu", files[i].name, n);
		if (n == 0)
			assert_memory_equal(keys, none, sizeof(keys));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_worker_signs_with_its_key_for_its_domains),
		cmocka_unit_test(a_worker_that_left_the_configuration_signs_nothing),
		cmocka_unit_test(a_paired_edge_keeps_its_name_from_a_worker),
		cmocka_unit_test(an_edge_vouches_for_a_worker_that_it_was_given_and_no_domain_more),
		cmocka_unit_test(key_files),
	};

	log_init("edges_test", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
