/*
 * Random homes and random addresses: mail ends where a slow and simple reading of the list says,
 * however an address is spelt, and no edge refuses whom home would take.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "home/recipients.h"

#define HOMES		3000
#define ADDRESSES	40
#define NAMES		6
#define ALIASES		4

static const char granted[3][256] = { "a.test", "b.test", "c.test" };

struct list {
	char	name[NAMES][40];	/* mailboxes */
	char	from[ALIASES][40];
	size_t	to[ALIASES];		/* of name */
	size_t	nnames, naliases;
};

static uint32_t state = 1;

static uint32_t
any(uint32_t n)
{
	state = state * 1664525u + 1013904223u;
	return (state >> 8) % n;
}

/* Of few letters, so that names meet, and lie in one another with tags, dots and case. */
static void
some_local(char out[20])
{
	static const char letters[] = "aAbB.+-";
	size_t n;

	do {
		n = 1 + any(6);
		for (size_t i = 0; i < n; i++)
			out[i] = letters[any(sizeof(letters) - 1)];
		out[n] = '\0';
	} while (out[0] == '.' || out[n - 1] == '.' || strstr(out, "..") != NULL);
}

static void
some_list(struct list *l)
{
	char local[20];

	*l = (struct list){ .nnames = 1 + any(NAMES) };
	l->naliases = any(ALIASES + 1);
	for (size_t i = 0; i < l->nnames; i++) {
		do {
			some_local(local);
		} while (!address_mailbox_ok(span_str(local)));
		if (any(8) == 0)
			snprintf(l->name[i], sizeof(l->name[i]), "%s@%.10s", local,
			    granted[any(3)]);
		else
			span_copy(span_str(local), l->name[i], sizeof(l->name[i]));
	}
	for (size_t i = 0; i < l->naliases; i++) {
		some_local(local);
		snprintf(l->from[i], sizeof(l->from[i]), "%s@%.10s", local, granted[any(3)]);
		l->to[i] = any((uint32_t)l->nnames);
	}
}

static void
some_rules(struct conf_home_domain *d, const char *name)
{
	static const char *const tags[] = { "+", "-", "" };

	memset(d, 0, sizeof(*d));
	span_copy(span_str(name), d->name, sizeof(d->name));
	span_copy(span_str(tags[any(3)]), d->tag, sizeof(d->tag));
	d->dots = any(2) == 0;
	d->letter_case = any(4) == 0;
	d->own = any(6) == 0;
}

/* --- the simple reading ------------------------------------------------------------------- */

/* The local part that a domain means by it, and the domain. */
static void
meant(const struct conf_home_domain *d, const char *local, size_t n, const char *domain,
    char out[64])
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (local[i] != '.' || d->dots)
			out[k++] = d->letter_case || local[i] < 'A' || local[i] > 'Z' ? local[i] :
			    (char)(local[i] | 0x20);
	snprintf(out + k, 64 - k, "@%s", domain);
}

static bool
is_meant(const struct conf_home_domain *d, const char *want, const char *whole, const char *domain)
{
	const char *at = strchr(whole, '@');
	char said[64];

	if (at != NULL && strcmp(at + 1, domain) != 0)
		return false;
	meant(d, whole, at != NULL ? (size_t)(at - whole) : strlen(whole), domain, said);
	return strcmp(said, want) == 0;
}

/* Whether mail for the first n octets may end in `box`; box NULL: in any. */
static bool
may_end(const struct list *l, const struct conf_home_domain *d, const char *local, size_t n,
    const char *box)
{
	bool own = d->own, aliased = false, exact = false, found = false;
	char want[64];

	meant(d, local, n, d->name, want);
	for (size_t i = 0; i < l->naliases; i++)
		if (is_meant(d, want, l->from[i], d->name)) {
			aliased = true;
			found |= box == NULL || strcasecmp(l->name[l->to[i]], box) == 0;
		}
	if (aliased)
		return found;
	for (size_t i = 0; i < l->nnames; i++)
		if (strchr(l->name[i], '@') != NULL) {
			own |= strcmp(strchr(l->name[i], '@') + 1, d->name) == 0;
			if (!is_meant(d, want, l->name[i], d->name))
				continue;
			exact = true;
			found |= box == NULL || strcasecmp(l->name[i], box) == 0;
		}
	for (size_t i = 0; i < l->nnames && !own && !exact; i++)
		if (strchr(l->name[i], '@') == NULL && is_meant(d, want, l->name[i], d->name))
			found |= box == NULL || strcasecmp(l->name[i], box) == 0;
	return found;
}

/* How much of the local part is a name here; 0: nothing is. */
static size_t
name_length(const struct list *l, const struct conf_home_domain *d, const char *local)
{
	for (size_t n = strlen(local); n > 0; n--)
		if ((local[n] == '\0' || (d->tag[0] != '\0' && local[n] == d->tag[0] &&
		    local[0] != d->tag[0])) && may_end(l, d, local, n, NULL))
			return n;
	return 0;
}

/* --- the check ---------------------------------------------------------------------------- */

static void
check(const struct router *r, const struct list *l, const struct policy_domain *told,
    const struct conf_home_domain *d)
{
	char local[20], path[64];
	struct address a;
	struct route to;
	size_t n;

	some_local(local);
	snprintf(path, sizeof(path), "%s@%.10s", local, d->name);
	assert_true(address_parse(span_str(path), &a));
	route_address(r, granted, 3, &a, &to);
	n = name_length(l, d, local);
	if (n == 0 ? to.to != ROUTE_REFUSED :
	    to.to != ROUTE_MAILBOX || !may_end(l, d, local, n, to.mailbox))
		fail_msg("%s went to %d %s", path, (int)to.to, to.mailbox);
	assert_int_equal(told->unknown, POLICY_REFUSE);
	if (n > 0 && !policy_domain_knows(told, a.local))
		fail_msg("an edge refuses %s", path);
}

static void
mail_ends_where_the_list_says_and_edges_know_it(void **unused)
{
	for (int i = 0; i < HOMES; i++) {
		struct mailboxes boxes = { .names = NULL };
		struct conf_home_domain rules[3];
		struct router r = { .boxes = &boxes, .domains = rules, .ndomains = 3,
			.catch_all = "", .roles = "", .first = "" };
		struct list l;

		some_list(&l);
		for (size_t k = 0; k < 3; k++)
			some_rules(&rules[k], granted[k]);
		for (size_t k = 0; k < l.nnames; k++)
			assert_true(mailboxes_add(&boxes, span_str(l.name[k])));
		for (size_t k = 0; k < l.naliases; k++)
			assert_true(mailboxes_alias(&boxes, span_str(l.from[k]),
			    span_str(l.name[l.to[k]])));
		for (size_t k = 0; k < 3; k++) {
			struct policy_domain told = { .salt = { 7 } };

			span_copy(span_str(granted[k]), told.name, sizeof(told.name));
			recipients_of(&told, &r, true, POLICY_RECIPIENTS_MAX);
			for (int times = 0; times < ADDRESSES; times++)
				check(&r, &l, &told, &rules[k]);
			free(told.digests);
		}
		mailboxes_fini(&boxes);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_ends_where_the_list_says_and_edges_know_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
