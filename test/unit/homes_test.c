/* Configuration and pairing joined, and what keeps one home from another's domains. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "edge/homes.h"

static struct conf_edge *conf;
static struct homes homes;

static int
set_up(void **state)
{
	log_init("test", LOG_ERROR + 1);
	conf = calloc(1, sizeof(*conf));
	homes = (struct homes){ .n = 0 };
	return conf == NULL;
}

static int
tear_down(void **state)
{
	homes_fini(&homes);
	free(conf);
	return 0;
}

/*
 * As the writer would tell it; a pin, a key and a recipient with this
 * octet, and domains, NULL ends.
 */
static struct home *
pair(const char *name, unsigned char octet, const char *d0, const char *d1)
{
	struct peer p = { .npins = 1, .nmac = 1, .nrecipients = 1 };

	snprintf(p.name, sizeof(p.name), "%s", name);
	p.pins[0].b[0] = p.recipients[0].pub[0] = octet;
	if (d0 != NULL)
		snprintf(p.domains[p.ndomains++], sizeof(p.domains[0]), "%s", d0);
	if (d1 != NULL)
		snprintf(p.domains[p.ndomains++], sizeof(p.domains[0]), "%s", d1);
	return homes_paired(&homes, conf, name, &p);
}

static struct conf_edge_home *
configure(const char *name, const char *domain)
{
	struct conf_edge_home *c = &conf->homes[conf->nhomes++];

	snprintf(c->name, sizeof(c->name), "%s", name);
	if (domain != NULL)
		snprintf(c->domains[c->ndomains++], sizeof(c->domains[0]), "%s", domain);
	return c;
}

static const char *
owner(const char *domain)
{
	struct home *h = homes_by_domain(&homes, domain);

	return h == NULL ? "-" : h->name;
}

static void
the_configuration_wins(void **state)
{
	struct conf_edge_home *c = configure("alice", "conf.test");
	struct pin pin = { .b = { 9 } };
	struct home *h;

	c->has_pin = true;
	c->pin = pin;
	homes_configure(&homes, conf);
	h = pair("alice", 1, "paired.test", NULL);
	assert_string_equal(owner("conf.test"), "alice");
	assert_string_equal(owner("paired.test"), "-");
	assert_ptr_equal(homes_by_pin(&homes, &pin), h);
	assert_int_equal(h->peer.recipients[0].pub[0], 1);	/* it says nothing of these */
	assert_true(home_can_hold(h));
	/* and what it says no more is the pairing's again */
	conf->nhomes = 0;
	homes_configure(&homes, conf);
	assert_string_equal(owner("paired.test"), "alice");
	assert_null(homes_by_pin(&homes, &pin));
}

static void
a_domain_has_one_home(void **state)
{
	struct home *a = pair("alice", 1, "a.test", NULL), *b = pair("bob", 2, "b.test", "a.test");

	assert_string_equal(owner("a.test"), "alice");
	assert_int_equal(b->peer.ndomains, 1);
	/* whoever has it keeps it against one that stands before it in the list */
	pair("alice", 1, "a.test", "b.test");
	assert_string_equal(owner("b.test"), "bob");
	assert_int_equal(a->peer.ndomains, 1);
	/* given up, it is another's who asked for it */
	homes_paired(&homes, conf, "alice", NULL);
	assert_false(home_can_hold(a));
	assert_string_equal(owner("a.test"), "bob");
	homes_paired(&homes, conf, "bob", NULL);
	assert_string_equal(owner("a.test"), "-");
	assert_string_equal(owner("b.test"), "-");
}

static void
a_reload_moves_a_domain(void **state)
{
	struct conf_edge_home *a = configure("alice", "x.test"), *b = configure("bob", "y.test");

	homes_configure(&homes, conf);
	strcpy(a->domains[0], "y.test");
	strcpy(b->domains[0], "x.test");
	homes_configure(&homes, conf);
	assert_string_equal(owner("y.test"), "alice");
	assert_string_equal(owner("x.test"), "bob");
}

static void
no_more_than_there_is_room_for(void **state)
{
	char name[16];

	for (int i = 0; i < CONF_HOMES_MAX; i++) {
		snprintf(name, sizeof(name), "h%d", i);
		assert_non_null(pair(name, 1, NULL, NULL));
	}
	assert_null(pair("another", 1, "z.test", NULL));
	assert_non_null(pair("h0", 1, "z.test", NULL));
	assert_string_equal(owner("z.test"), "h0");
}

/* Answers in this order, each by a tunnel: later than what is in force, or not. */
static void
an_older_word_is_not_the_last(void **state)
{
	static const struct {
		const char *why;
		size_t	 by;		/* the oldest is 0 */
		const char *said;
		bool	 later;
		int	 gone;		/* a tunnel that ends before it, or -1 */
	} steps[] = {
		{ "the first",					1, "7.1", true, -1 },
		{ "the next, by another tunnel",		0, "7.3", true, -1 },
		{ "one that was overtaken",			1, "7.2", false, -1 },
		{ "the same again",				1, "7.3", true, -1 },
		{ "a run that dialled later begins anew",	2, "5.1", true, -1 },
		{ "and the one before has still a word",	0, "7.9", false, -1 },
		{ "the later one is gone, and it is home yet",	0, "7.10", true, 2 },
		{ "a home that does not count",			1, "", true, -1 },
		{ "nor then",					0, "x", true, -1 },
		{ "from there on it does",			0, "9.1", true, -1 },
		{ "no number",					1, "9.0x", true, -1 },
	};
	struct lanes l = { .n = 0 };
	struct order has = { .run = 0 };
	static char h2[3];

	for (size_t i = 0; i < 3; i++)
		assert_true(lanes_add(&l, (struct h2 *)&h2[i]));
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct order said = order_parse(span_str(steps[i].said));

		if (steps[i].gone != -1)
			lanes_drop(&l, (struct h2 *)&h2[steps[i].gone]);
		if (lanes_later(&l, (struct h2 *)&h2[steps[i].by], said, has) != steps[i].later)
			fail_msg("%s", steps[i].why);
		if (steps[i].later)
			has = said;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_configuration_wins, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_domain_has_one_home, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_reload_moves_a_domain, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_more_than_there_is_room_for, set_up, tear_down),
		cmocka_unit_test(an_older_word_is_not_the_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
