#include "conf/parse_in.h"

#include <string.h>

#define NEAR_MAX	2	/* edits that are still taken for a slip of the pen */

/* Edits that make b of a; more than `most` is only said to be more. */
static unsigned
distance(const char *a, const char *b, unsigned most)
{
	unsigned row[CONF_WORD_MAX];
	size_t na = strlen(a), nb = strlen(b);

	if (na >= CONF_WORD_MAX || nb >= CONF_WORD_MAX)
		return most + 1;
	for (unsigned j = 0; j <= nb; j++)
		row[j] = j;
	for (unsigned i = 1; i <= na; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= nb; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[nb];
}

static void
nearer(const char *word, const char *name, const char **best, unsigned *least)
{
	unsigned d = distance(word, name, NEAR_MAX);

	if (d < *least && d < strlen(name)) {
		*least = d;
		*best = name;
	}
}

static bool
also(const struct conf_key *k, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = k->also; p != NULL && n > 0 && (p = strstr(p, word)) != NULL; p++)
		if (p[n] == ' ' && (p == k->also || p[-1] == ' '))
			return true;
	return false;
}

const char *
conf_near_key(const struct conf_table *t, const char *section, const char *word)
{
	const char *best = NULL;
	unsigned least = NEAR_MAX + 1;

	for (size_t i = 0; i < t->nkeys; i++) {
		if (strcmp(t->keys[i].section, section) != 0)
			continue;
		if (also(&t->keys[i], word))
			return t->keys[i].name;
		nearer(word, t->keys[i].name, &best, &least);
	}
	for (size_t i = 0; i < t->nsections && section[0] == '\0'; i++)
		nearer(word, t->sections[i].name, &best, &least);
	return best;
}

bool
conf_key_of_the_other(const struct conf_table *t, const char *section, const char *word)
{
	const struct conf_table *o = t == &conf_edge_table ? &conf_home_table : &conf_edge_table;

	for (size_t i = 0; i < o->nkeys; i++)
		if (strcmp(o->keys[i].section, section) == 0 && strcmp(o->keys[i].name, word) == 0)
			return true;
	return section[0] == '\0' && conf_table_section(o, word) != NULL;
}

const char *
conf_key_elsewhere(const struct conf_table *t, const char *word)
{
	for (size_t i = 0; i < t->nkeys; i++)
		if (strcmp(t->keys[i].name, word) == 0)
			return t->keys[i].section;
	return NULL;
}
