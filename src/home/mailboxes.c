#include "home/mailboxes.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "proto/address.h"

#define KEY_MAX		(ADDRESS_LOCAL_MAX + 1 + ADDRESS_DOMAIN_MAX + 1)

static void
unsorted(struct mailboxes *m)
{
	free(m->dotless);
	free(m->dotless_aliases);
	m->dotless = m->dotless_aliases = NULL;
	m->sorted = false;
}

void
mailboxes_fini(struct mailboxes *m)
{
	unsorted(m);
	free(m->names);
	free(m->aliases);
	buf_fini(&m->text);
	*m = (struct mailboxes){ .names = NULL };
}

/* --- adding ------------------------------------------------------------------------------- */

enum added {
	ADDED = 0,
	NO_NAME,		/* it cannot be a mailbox */
	NO_ROOM,
};

/* Room for one more of size octets; false: memory is out, or there are too many. */
static bool
room(void **list, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap == 0 ? 16 : *cap * 2;
	void *p;

	if (n < *cap)
		return true;
	if (n >= MAILBOXES_MAX || (p = realloc(*list, more * size)) == NULL)
		return false;
	*list = p;
	*cap = more;
	return true;
}

/* A domain in a name is spelt as address_domain spells it. */
static enum added
add(struct mailboxes *m, struct span name)
{
	char whole[CONF_NAME_MAX], domain[ADDRESS_DOMAIN_MAX + 1];
	const char *at = name.n > 0 ? memchr(name.p, '@', name.n) : NULL;
	size_t local = at != NULL ? (size_t)(at - name.p) : 0;

	if (!address_mailbox_ok(name))
		return NO_NAME;
	if (at != NULL) {
		if (!address_domain(span_from(name, local + 1), domain) ||
		    local + 1 + strlen(domain) >= sizeof(whole))
			return NO_NAME;
		memcpy(whole, name.p, local + 1);
		memcpy(whole + local + 1, domain, strlen(domain) + 1);
		name = span_str(whole);
	}
	if (m->n + m->naliases >= MAILBOXES_MAX ||
	    !room((void **)&m->names, m->n, &m->cap, sizeof(*m->names)))
		return NO_ROOM;
	span_copy(name, m->names[m->n++], sizeof(m->names[0]));
	unsorted(m);
	return ADDED;
}

bool
mailboxes_add(struct mailboxes *m, struct span name)
{
	return add(m, name) == ADDED;
}

static bool
keep(struct mailboxes *m, struct span s, uint32_t *at)
{
	if (m->text.max == 0)
		buf_init(&m->text, 4 * MAILBOXES_TEXT_MAX);
	*at = (uint32_t)m->text.n;
	return buf_add_span(&m->text, s) && buf_add(&m->text, "", 1);
}

bool
mailboxes_next(struct span *rest, struct span *target)
{
	size_t n = 0;

	while (rest->n > 0 && (*rest->p == ' ' || *rest->p == '\t' || *rest->p == ','))
		*rest = span_from(*rest, 1);
	while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t' && rest->p[n] != ',')
		n++;
	*target = span_of(rest->p, n);
	*rest = span_from(*rest, n);
	return n > 0;
}

static bool
targets_ok(struct span to)
{
	struct span one;
	size_t n = 0;

	while (mailboxes_next(&to, &one))
		if (++n > MAILBOXES_TARGETS_MAX || one.n >= KEY_MAX)
			return false;
	return n > 0;
}

static enum added
add_alias(struct mailboxes *m, struct span from, struct span to)
{
	const char *at = from.n > 0 ? memrchr(from.p, '@', from.n) : NULL;
	size_t local = at != NULL ? (size_t)(at - from.p) : 0;
	char key[KEY_MAX], domain[ADDRESS_DOMAIN_MAX + 1];
	struct mailboxes_alias a;
	size_t n;

	if (at == NULL || local > ADDRESS_LOCAL_MAX || !targets_ok(to) ||
	    !address_domain(span_from(from, local + 1), domain))
		return NO_NAME;
	memcpy(key, from.p, local);
	key[local] = '@';
	n = strlen(domain);
	memcpy(key + local + 1, domain, n + 1);
	if (m->n + m->naliases >= MAILBOXES_MAX ||
	    !room((void **)&m->aliases, m->naliases, &m->aliases_cap, sizeof(*m->aliases)) ||
	    !keep(m, span_of(key, local + 1 + n), &a.from) || !keep(m, to, &a.to))
		return NO_ROOM;
	m->aliases[m->naliases++] = a;
	unsorted(m);
	return ADDED;
}

bool
mailboxes_alias(struct mailboxes *m, struct span from, struct span to)
{
	return add_alias(m, from, to) == ADDED;
}

/* --- comparing ---------------------------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
	return strcasecmp(a, b);
}

/* The next octet of a name without the dots of its local part; *domain: that is behind it. */
static char
dotless(const char **name, bool *domain)
{
	while (!*domain && **name == '.')
		(*name)++;
	*domain |= **name == '@';
	return *(*name)++;
}

/* Without regard to case, and to dots in the local part. */
static int
compare_dotless(const char *a, const char *b)
{
	bool domain_a = false, domain_b = false;

	for (;;) {
		char x = dotless(&a, &domain_a), y = dotless(&b, &domain_b);
		int d = tolower((unsigned char)x) - tolower((unsigned char)y);

		if (d != 0 || x == '\0')
			return d;
	}
}

/* Whether two that are alike but for case, and for dots where they do not count, are one. */
static bool
same(const char *a, const char *b, struct mailboxes_rule rule)
{
	bool domain_a = !rule.no_dots, domain_b = !rule.no_dots;

	if (!rule.letter_case)
		return true;
	for (;;) {
		char x = dotless(&a, &domain_a), y = dotless(&b, &domain_b);

		if (x != y || x == '\0')
			return x == y;
	}
}

static const char *
alias_from(const struct mailboxes *m, size_t i)
{
	return m->text.p + m->aliases[i].from;
}

static int
compare_name_orders(const void *a, const void *b, void *arg)
{
	const struct mailboxes *m = arg;

	return compare_dotless(m->names[*(const uint32_t *)a], m->names[*(const uint32_t *)b]);
}

static int
compare_alias_orders(const void *a, const void *b, void *arg)
{
	const uint32_t *x = a, *y = b;
	int d = compare_dotless(alias_from(arg, *x), alias_from(arg, *y));

	return d != 0 ? d : (*x > *y) - (*x < *y);
}

static int
compare_aliases(const void *a, const void *b, void *arg)
{
	const struct mailboxes *m = arg;
	const struct mailboxes_alias *x = a, *y = b;
	int d = strcasecmp(m->text.p + x->from, m->text.p + y->from);

	/* Of several lines for one address the first counts, and is found first. */
	return d != 0 ? d : (x->from > y->from) - (x->from < y->from);
}

/* The domains that mailboxes are named with.  Beyond the limit none is granted. */
static void
find_owned(struct mailboxes *m)
{
	m->nowned = 0;
	for (size_t i = 0; i < m->n && m->nowned < PEER_DOMAINS_MAX; i++) {
		const char *at = strchr(m->names[i], '@');
		size_t k = 0;

		while (at != NULL && k < m->nowned && strcmp(m->owned[k], at + 1) != 0)
			k++;
		if (at != NULL && k == m->nowned)
			span_copy(span_str(at + 1), m->owned[m->nowned++], sizeof(m->owned[0]));
	}
}

static void
sort(struct mailboxes *m)
{
	if (m->sorted)
		return;
	if (m->n > 0)
		qsort(m->names, m->n, sizeof(m->names[0]), compare);
	if (m->naliases > 0)
		qsort_r(m->aliases, m->naliases, sizeof(m->aliases[0]), compare_aliases, m);
	find_owned(m);
	m->sorted = true;
}

static uint32_t *
order(size_t n, int (*cmp)(const void *, const void *, void *), struct mailboxes *m)
{
	uint32_t *o = malloc((n + 1) * sizeof(*o));

	if (o == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++)
		o[i] = (uint32_t)i;
	qsort_r(o, n, sizeof(*o), cmp, m);
	return o;
}

/* --- finding ------------------------------------------------------------------------------ */

/* The first of n sorted texts that is not below key, by cmp. */
static size_t
lower_bound(size_t n, const char *key, const char *(*text)(const struct mailboxes *, size_t),
    int (*cmp)(const char *, const char *), const struct mailboxes *m)
{
	size_t low = 0;

	while (low < n) {
		size_t mid = low + (n - low) / 2;

		if (cmp(text(m, mid), key) < 0)
			low = mid + 1;
		else
			n = mid;
	}
	return low;
}

static const char *
name_at(const struct mailboxes *m, size_t i)
{
	return m->names[i];
}

static const char *
name_dotless(const struct mailboxes *m, size_t i)
{
	return m->names[m->dotless[i]];
}

static const char *
alias_dotless(const struct mailboxes *m, size_t i)
{
	return alias_from(m, m->dotless_aliases[i]);
}

const char *
mailboxes_find(struct mailboxes *m, struct span name, struct mailboxes_rule rule)
{
	const struct mailboxes_rule with_dots = { rule.letter_case, false };
	char key[CONF_NAME_MAX];

	if (name.n == 0 || name.n >= sizeof(key) || !span_copy(name, key, sizeof(key)))
		return NULL;
	sort(m);
	/* Several may differ in case alone. */
	for (size_t i = lower_bound(m->n, key, name_at, strcasecmp, m); i < m->n &&
	    strcasecmp(m->names[i], key) == 0; i++)
		if (same(m->names[i], key, with_dots))
			return m->names[i];
	if (!rule.no_dots || (m->dotless == NULL &&
	    (m->dotless = order(m->n, compare_name_orders, m)) == NULL))
		return NULL;
	for (size_t i = lower_bound(m->n, key, name_dotless, compare_dotless, m); i < m->n &&
	    compare_dotless(name_dotless(m, i), key) == 0; i++)
		if (same(name_dotless(m, i), key, rule))
			return name_dotless(m, i);
	return NULL;
}

const char *
mailboxes_target(struct mailboxes *m, struct span from, struct mailboxes_rule rule)
{
	const struct mailboxes_rule with_dots = { rule.letter_case, false };
	char key[KEY_MAX];
	size_t i;

	if (from.n >= sizeof(key) || !span_copy(from, key, sizeof(key)))
		return NULL;
	sort(m);
	for (i = lower_bound(m->naliases, key, alias_from, strcasecmp, m); i < m->naliases &&
	    strcasecmp(alias_from(m, i), key) == 0; i++)
		if (same(alias_from(m, i), key, with_dots))
			return m->text.p + m->aliases[i].to;
	if (!rule.no_dots || (m->dotless_aliases == NULL &&
	    (m->dotless_aliases = order(m->naliases, compare_alias_orders, m)) == NULL))
		return NULL;
	for (i = lower_bound(m->naliases, key, alias_dotless, compare_dotless, m);
	    i < m->naliases && compare_dotless(alias_dotless(m, i), key) == 0; i++)
		if (same(alias_dotless(m, i), key, rule))
			return m->text.p + m->aliases[m->dotless_aliases[i]].to;
	return NULL;
}

bool
mailboxes_own(struct mailboxes *m, const char *domain)
{
	sort(m);
	for (size_t i = 0; i < m->nowned; i++)
		if (strcmp(m->owned[i], domain) == 0)
			return true;
	return false;
}

/* --- a text ------------------------------------------------------------------------------- */

static struct span
trim(struct span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = span_from(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
		s.n--;
	return s;
}

/* A comment is a line of its own, or what follows a blank: "no#1" is a name. */
static struct span
uncommented(struct span line)
{
	for (size_t i = 0; i < line.n; i++)
		if (line.p[i] == '#' && (i == 0 || line.p[i - 1] == ' ' || line.p[i - 1] == '\t'))
			line.n = i;
	return trim(line);
}

static enum added
read_line(struct mailboxes *m, struct span line)
{
	size_t n = 0;

	if (line.n == 0)
		return ADDED;
	if (memchr(line.p, '\0', line.n) != NULL)
		return NO_NAME;
	while (n < line.n && line.p[n] != ' ' && line.p[n] != '\t')
		n++;
	if (n == line.n)
		return add(m, line);
	return add_alias(m, span_of(line.p, n), span_from(line, n));
}

/* Whether what an address leads to has no end, or one too far, on any of its ways. */
static bool
loops(struct mailboxes *m, const char *from, int depth, unsigned *left)
{
	const struct mailboxes_rule plain = { false, false };
	const char *list = mailboxes_target(m, span_str(from), plain);
	struct span rest = span_str(list != NULL ? list : ""), to;
	char key[KEY_MAX];

	if (list != NULL && depth > CONF_ALIAS_DEPTH)
		return true;
	while (mailboxes_next(&rest, &to)) {
		if ((*left)-- == 0)
			return true;
		if (mailboxes_find(m, to, plain) != NULL)
			continue;
		if (memchr(to.p, '@', to.n) != NULL)
			snprintf(key, sizeof(key), "%.*s", (int)to.n, to.p);
		else
			snprintf(key, sizeof(key), "%.*s@%s",
			    (int)(to.n < ADDRESS_LOCAL_MAX ? to.n : ADDRESS_LOCAL_MAX), to.p,
			    strrchr(from, '@') + 1);
		if (loops(m, key, depth + 1, left))
			return true;
	}
	return false;
}

/* The number of the line that says what this address leads to. */
static size_t
line_of(struct span text, const char *from)
{
	size_t n = strlen(from), number = 1;

	for (const char *nl; (nl = memchr(text.p, '\n', text.n)) != NULL; number++) {
		size_t len = (size_t)(nl - text.p);
		struct span line = trim(span_of(text.p, len));

		if (line.n > n && strncasecmp(line.p, from, n) == 0 &&
		    (line.p[n] == ' ' || line.p[n] == '\t'))
			break;
		text = span_from(text, len + 1);
	}
	return number;
}

static int
no_loops(struct mailboxes *m, struct span text, struct why *why)
{
	sort(m);
	for (size_t i = 0; i < m->naliases; i++) {
		const char *from = alias_from(m, i);
		unsigned left = MAILBOXES_TARGETS_MAX;

		if (loops(m, from, 0, &left))
			return why_set(why, "line %zu: %s leads back to itself, or through more "
			    "than %d aliases", line_of(text, from), log_safe(span_str(from)).s,
			    CONF_ALIAS_DEPTH);
	}
	return 0;
}

int
mailboxes_read(struct mailboxes *m, struct span text, size_t *skipped, struct why *why)
{
	struct span whole = text;

	*skipped = 0;
	while (text.n > 0) {
		const char *nl = memchr(text.p, '\n', text.n);
		size_t len = nl != NULL ? (size_t)(nl - text.p) : text.n;
		enum added added = read_line(m, uncommented(span_of(text.p, len)));

		if (added == NO_ROOM)
			return why_set(why, "more than 200,000 lines, or memory is out");
		if (added == NO_NAME)
			(*skipped)++;
		text = span_from(text, nl != NULL ? len + 1 : len);
	}
	return no_loops(m, whole, why);
}
