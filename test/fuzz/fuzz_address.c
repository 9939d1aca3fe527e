/*
 * The address parser.  First octet: kind and utf8.  What it takes, printed again,
 * is the same address; what it says about a domain holds for comparing.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/address.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define must(x)	((x) ? (void)0 : abort())

static void
check_domain(const char *domain)
{
	char again[ADDRESS_DOMAIN_MAX + 1];
	size_t n = strlen(domain);

	must(n > 0 && n <= ADDRESS_DOMAIN_MAX && domain[n - 1] != '.');
	for (size_t i = 0; i < n; i++)
		must((domain[i] >= 'a' && domain[i] <= 'z') ||
		    (domain[i] >= '0' && domain[i] <= '9') ||
		    domain[i] == '-' || domain[i] == '_' || domain[i] == '.');
	must(address_domain(span_str(domain), again) && strcmp(again, domain) == 0);
}

static void
check_same(const struct address *a, const struct address *b)
{
	must(strcmp(a->local, b->local) == 0 && strcmp(a->domain, b->domain) == 0);
	must(a->null == b->null && a->postmaster == b->postmaster && a->literal == b->literal &&
	    a->utf8 == b->utf8);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct address a, again;
	char text[ADDRESS_PRINT_MAX], path[ADDRESS_PRINT_MAX + 2], domain[ADDRESS_DOMAIN_MAX + 1];
	enum address_kind kind;
	bool utf8;
	struct span in;
	size_t used;

	if (n < 1)
		return 0;
	kind = (data[0] & 1) != 0 ? ADDRESS_FORWARD : ADDRESS_REVERSE;
	utf8 = (data[0] & 2) != 0;
	in = span_of(data + 1, n - 1);
	if (address_domain(in, domain))
		check_domain(domain);
	if (address_parse(in, &a)) {
		address_print(&a, text, sizeof(text));
		must(address_parse(span_str(text), &again));
		check_same(&a, &again);
	}
	used = address_parse_path(in, kind, utf8, &a);
	if (used == 0) {
		must(a.local[0] == '\0' && a.domain[0] == '\0' && !a.null && !a.postmaster);
		return 0;
	}
	must(used <= in.n && in.p[0] == '<' && in.p[used - 1] == '>');
	must(!a.null || kind == ADDRESS_REVERSE);
	must(!a.postmaster || kind == ADDRESS_FORWARD);
	must(!a.utf8 || utf8);
	must(a.null || a.local[0] != '\0');
	must((a.domain[0] == '\0') == (a.null || a.postmaster));
	if (a.domain[0] != '\0' && !a.literal)
		check_domain(a.domain);
	for (const char *p = a.local; *p != '\0'; p++)
		must((unsigned char)*p >= 0x20 && *p != 0x7f);
	address_print(&a, text, sizeof(text));
	must(strlen(text) < sizeof(text) - 1);
	snprintf(path, sizeof(path), "<%s>", text);
	must(address_parse_path(span_str(path), kind, utf8, &again) == strlen(path));
	check_same(&a, &again);
	/* What stands behind the path is not looked at. */
	must(address_parse_path(span_of(in.p, used), kind, utf8, &again) == used);
	check_same(&a, &again);
	return 0;
}
