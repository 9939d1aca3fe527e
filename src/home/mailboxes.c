#include "home/mailboxes.h"

#include <stdlib.h>
#include <string.h>

#include "proto/address.h"

void
mailboxes_fini(struct mailboxes *m)
{
	free(m->names);
	*m = (struct mailboxes){ .names = NULL };
}

enum added {
	ADDED = 0,
	NO_NAME,		/* it cannot be a mailbox */
	NO_ROOM,
};

static enum added
add(struct mailboxes *m, struct span name)
{
	if (!address_mailbox_ok(name))
		return NO_NAME;
	if (m->n == MAILBOXES_MAX)
		return NO_ROOM;
	if (m->n == m->cap) {
		size_t cap = m->cap == 0 ? 16 : m->cap * 2;
		void *p = realloc(m->names, cap * sizeof(*m->names));

		if (p == NULL)
			return NO_ROOM;
		m->names = p;
		m->cap = cap;
	}
	span_copy(name, m->names[m->n], sizeof(m->names[0]));
	m->n++;
	m->sorted = false;
	return ADDED;
}

bool
mailboxes_add(struct mailboxes *m, struct span name)
{
	return add(m, name) == ADDED;
}

static struct span
trim(struct span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = span_from(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
		s.n--;
	return s;
}

bool
mailboxes_read(struct mailboxes *m, struct span text, size_t *skipped)
{
	*skipped = 0;
	while (text.n > 0) {
		const char *nl = memchr(text.p, '\n', text.n);
		size_t len = nl != NULL ? (size_t)(nl - text.p) : text.n;
		struct span line = trim(span_of(text.p, len));
		enum added added = line.n > 0 ? add(m, line) : ADDED;

		if (added == NO_ROOM)
			return false;
		if (added == NO_NAME)
			(*skipped)++;
		text = span_from(text, nl != NULL ? len + 1 : len);
	}
	return true;
}

static int
compare(const void *a, const void *b)
{
	return strcasecmp(a, b);
}

const char *
mailboxes_find(struct mailboxes *m, struct span local)
{
	char key[CONF_NAME_MAX];

	if (local.n == 0 || local.n >= sizeof(key) || m->n == 0 ||
	    !span_copy(local, key, sizeof(key)))
		return NULL;
	if (!m->sorted) {
		qsort(m->names, m->n, sizeof(m->names[0]), compare);
		m->sorted = true;
	}
	return bsearch(key, m->names, m->n, sizeof(m->names[0]), compare);
}
