#include "conf/conf.h"
#include "conf/parse_in.h"
#include "conf/table.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

/* What belongs to both roles: rules, telling a role, describing keys, comparing for a reload. */

int
conf_default_path(char *out, size_t max, const char *state, const char *name, struct conf_fault *f)
{
	if (snprintf(out, max, "%s/%s", state, name) >= (int)max)
		return conf_fault_set(f, "", "state", 0, "too long a path to keep files in");
	return 0;
}

int
conf_common_settle(struct conf_common *c, const struct conf_hold *h, struct conf_fault *f)
{
	/* Names of up to 150 characters are made in it (large/, homes/). */
	if (strlen(c->state) + 150 > CONF_PATH_MAX)
		return conf_fault_set(f, "", "state", 0, "too long; at most %d characters",
		    CONF_PATH_MAX - 150);
	if (strlen(c->control) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return conf_fault_set(f, "", "control", 0,
		    "too long for a socket; at most %zu characters",
		    sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	if (h->memory < h->threshold)
		return conf_fault_set(f, "hold", "memory", 0,
		    "smaller than hold.threshold: not one object "
		    "would fit");
	if (conf_alarms_settle(&c->alarms, f) == -1)
		return -1;
	if (c->tunnel_key[0] == '\0')
		return conf_default_path(c->tunnel_key, sizeof(c->tunnel_key), c->state,
		    "tunnel.pem", f);
	return 0;
}

bool
conf_service_name_ok(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");

	return n > 0 && name[n] == '\0' && strcmp(name, "tunnel") != 0 &&
	    strcmp(name, "control") != 0;
}

bool
conf_smtp_name(const char *name)
{
	return strcmp(name, "smtp") == 0 || strcmp(name, "submission") == 0 ||
	    strcmp(name, "submissions") == 0 || strcmp(name, "smtps") == 0;
}

bool
conf_smtp_port(uint16_t port)
{
	return port == 25 || port == 465 || port == 587 || port == 2525;
}

static const struct conf_table *
table_of(enum conf_role role)
{
	return role == CONF_EDGE ? &conf_edge_table : &conf_home_table;
}

static bool
has_section(const struct conf_table *t, struct span word)
{
	for (size_t i = 0; i < t->nsections; i++)
		if (span_eq(word, span_str(t->sections[i].name)))
			return true;
	return false;
}

/* Whether the word is a key of the section ("": top level, where sections are words too). */
static bool
has_word(const struct conf_table *t, struct span section, struct span word)
{
	if (section.n == 0 && has_section(t, word))
		return true;
	for (size_t i = 0; i < t->nkeys; i++)
		if (span_eq(section, span_str(t->keys[i].section)) &&
		    span_eq(word, span_str(t->keys[i].name)))
			return true;
	return false;
}

/* Which role alone has the word there; CONF_NO_ROLE: neither, or both. */
static enum conf_role
word_role(struct span section, struct span word)
{
	bool edge = has_word(&conf_edge_table, section, word),
	    home = has_word(&conf_home_table, section, word);

	return edge == home ? CONF_NO_ROLE : edge ? CONF_EDGE : CONF_HOME;
}

enum conf_role
conf_role(const char *file, struct span text, struct why *why)
{
	static const struct span top = { "", 0 };
	struct span section = top;	/* the one we are in, or whose title and brace come next */
	size_t depth = 0, n;
	bool value = false;		/* behind a "=": a word there is no key */
	/* What speaks for each: one word in the wrong file does not decide, a section says most. */
	size_t edge = 0, home = 0;

	for (size_t i = 0; i < text.n; i += n) {
		char c = text.p[i];

		if ((n = conf_skip(text, i)) > 0) {
			value = value && c != '"' && c != '\'';
			continue;
		}
		while (i + n < text.n && strchr(" \t\r\n={},()+#\"'", text.p[i + n]) == NULL)
			n++;
		if (n > 0) {
			struct span w = { text.p + i, n };
			bool title = depth == 0 && section.n > 0;
			enum conf_role r = word_role(section, w);

			if (!value && !title && depth <= 1 && depth == (section.n > 0)) {
				edge += r == CONF_EDGE ? 2 - depth : 0;
				home += r == CONF_HOME ? 2 - depth : 0;
				/* Of home's services only one listens; its file says more. */
				edge += depth == 1 && span_eq(section, SPAN_LIT("service")) &&
				    span_eq(w, SPAN_LIT("listen"));
			}
			if (!value && !title && depth == 0 &&
			    (has_section(&conf_edge_table, w) || has_section(&conf_home_table, w)))
				section = w;
			value = false;
			continue;
		}
		n = 1;
		if (c == '=')
			value = true;
		if (c == '{') {
			depth++;
			value = false;
		}
		if (c == '}' && depth > 0 && --depth == 0)
			section = top;
	}
	if (edge + home > 0)
		return edge >= home ? CONF_EDGE : CONF_HOME;
	if (conf_plain_text(file, text, why) == 0)	/* what is broken may hide it */
		why_set(why, "%s: neither an edge's nor a home's configuration; an edge has "
		    "service { ... }, a home has deliver { ... }", file);
	return CONF_NO_ROLE;
}

static void
full_name(const struct conf_key *k, char *out, size_t max)
{
	snprintf(out, max, "%s%s%s", k->section, k->section[0] != '\0' ? "." : "", k->name);
}

static bool
describe_text(const struct conf_table *t, struct buf *out)
{
	char name[96], least[32], most[32];

	for (size_t i = 0; i < t->nkeys; i++) {
		const struct conf_key *k = &t->keys[i];

		full_name(k, name, sizeof(name));
		buf_addf(out, "%s\n\t%s", name, conf_type_name(k->type));
		if (conf_type_range(k->type)) {
			conf_value_print(k->type, k->least, least, sizeof(least));
			conf_value_print(k->type, k->most, most, sizeof(most));
			buf_addf(out, ", %s to %s", least, most);
		}
		for (size_t w = 0; k->words != NULL && k->words[w] != NULL; w++)
			buf_addf(out, "%s%s", w == 0 ? ": " : " | ", k->words[w]);
		buf_addf(out, "; default: %s%s\n\t%s\n", k->def != NULL ? k->def : k->shown,
		    k->fixed ? "; changes with a restart" : "", k->doc);
	}
	return !out->failed;
}

static bool
describe_json(const struct conf_table *t, struct buf *out)
{
	json_t *all = json_array();
	char name[96], least[32], most[32];
	char *text;

	for (size_t i = 0; i < t->nkeys; i++) {
		const struct conf_key *k = &t->keys[i];
		json_t *o = json_object(), *words;

		full_name(k, name, sizeof(name));
		json_object_set_new(o, "key", json_string(name));
		json_object_set_new(o, "type", json_string(conf_type_name(k->type)));
		json_object_set_new(o, "default", k->def != NULL ? json_string(k->def) :
		    json_null());
		if (k->shown != NULL)
			json_object_set_new(o, "default_is", json_string(k->shown));
		if (conf_type_range(k->type)) {
			conf_value_print(k->type, k->least, least, sizeof(least));
			conf_value_print(k->type, k->most, most, sizeof(most));
			json_object_set_new(o, "least", json_string(least));
			json_object_set_new(o, "most", json_string(most));
		}
		if (k->words != NULL) {
			words = json_array();
			for (size_t w = 0; k->words[w] != NULL; w++)
				json_array_append_new(words, json_string(k->words[w]));
			json_object_set_new(o, "words", words);
		}
		json_object_set_new(o, "reloadable", json_boolean(!k->fixed));
		json_object_set_new(o, "doc", json_string(k->doc));
		json_array_append_new(all, o);
	}
	text = json_dumps(all, JSON_INDENT(2));
	json_decref(all);
	if (text == NULL)
		return false;
	buf_add_str(out, text);
	buf_add_str(out, "\n");
	free(text);
	return !out->failed;
}

bool
conf_describe(enum conf_role role, bool json, struct buf *out)
{
	return json ? describe_json(table_of(role), out) : describe_text(table_of(role), out);
}

static size_t
count_of(const void *base, size_t at)
{
	size_t n;

	memcpy(&n, (const char *)base + at, sizeof(n));
	return n;
}

/* Equal values have equal bytes: conf_value_store zeroes what it does not fill. */
static bool
same_value(const struct conf_key *k, const void *a, const void *b)
{
	size_t n = 1;

	if (conf_type_list(k->type)) {
		n = count_of(a, k->count);
		if (n != count_of(b, k->count))
			return false;
	}
	return memcmp((const char *)a + k->at, (const char *)b + k->at, n * k->size) == 0;
}

/* The file that is to come into force, and what of it a reload cannot bring. */
struct change {
	const struct conf_table *table;
	const char	*file;
	struct span	 text;
	struct why	*why;
	int		 n;
};

static void
differs(struct change *c, const char *name, const struct conf_fault *where)
{
	size_t n = c->n++ > 0 ? strlen(c->why->text) : 0, room = sizeof(c->why->text) - n;
	int line = conf_table_line(c->table, c->text, where);
	char at[16] = "";

	if (line > 0)
		snprintf(at, sizeof(at), ":%d", line);
	snprintf(c->why->text + n, room, "%s%s%s: %s", n > 0 ? ", " : "", c->file, at, name);
}

/* The first item with another title, or that one of the two lacks. */
static void
compare_titles(struct change *c, const struct conf_section *s, const char *a, const char *b)
{
	size_t na = count_of(a, s->count), nb = count_of(b, s->count), m = 0;

	while (m < na && m < nb && strcmp(a + s->items + m * s->item_size,
	    b + s->items + m * s->item_size) == 0)
		m++;
	if (m < na || m < nb)
		differs(c, s->name, &(struct conf_fault){ .section = s->name, .key = "",
		    .item = m });
}

/* The item of that title; NULL: there was none, and it is named by its title. */
static const char *
item_titled(const struct conf_section *s, const char *base, const char *title)
{
	for (size_t i = 0; i < count_of(base, s->count); i++)
		if (strcmp(base + s->items + i * s->item_size, title) == 0)
			return base + s->items + i * s->item_size;
	return NULL;
}

static void
compare_key(struct change *c, const struct conf_key *k, const char *a, const char *b)
{
	const struct conf_section *s = conf_table_section(c->table, k->section);
	bool titled = s != NULL && s->titled;
	size_t items = titled ? count_of(b, s->count) : 1;
	char name[96];

	full_name(k, name, sizeof(name));
	for (size_t m = 0; m < items; m++) {
		const char *now = titled ? b + s->items + m * s->item_size : b;
		const char *was = titled ? item_titled(s, a, now) : a;

		if (was != NULL && !same_value(k, was, now)) {
			differs(c, name, &(struct conf_fault){ .section = k->section,
			    .key = k->name, .item = m });
			return;
		}
	}
}

static int
reloadable(struct change *c, const void *a, const void *b)
{
	const struct conf_table *t = c->table;

	for (size_t i = 0; i < t->nsections; i++)
		if (t->sections[i].titled && t->sections[i].fixed)
			compare_titles(c, &t->sections[i], a, b);
	for (size_t i = 0; i < t->nkeys; i++)
		if (t->keys[i].fixed)
			compare_key(c, &t->keys[i], a, b);
	return c->n;
}

int
conf_edge_reloadable(const struct conf_edge *old, const struct conf_edge *new_, const char *file,
    struct span text, struct why *why)
{
	struct change c = { &conf_edge_table, file, text, why, 0 };

	return reloadable(&c, old, new_);
}

static size_t
push_item(const struct conf_home *c)
{
	const struct conf_home_service *s = conf_home_push(c);

	return s != NULL ? (size_t)(s - c->services) : CONF_SERVICES_MAX;
}

int
conf_home_reloadable(const struct conf_home *old, const struct conf_home *new_, const char *file,
    struct span text, struct why *why)
{
	struct change c = { &conf_home_table, file, text, why, 0 };
	int n = reloadable(&c, old, new_);

	/* Listeners are bound at start. */
	if ((conf_home_push(old) == NULL) != (conf_home_push(new_) == NULL))
		differs(&c, "service \"push\"", &(struct conf_fault){ .section = "service",
		    .key = "", .item = push_item(new_) });
	/* The courier's sandbox knows one port.  Where a fixed key differs, that says it all. */
	if (n == 0 && new_->deliver.to == CONF_TO_SERVICE &&
	    conf_deliver_port(old) != conf_deliver_port(new_))
		differs(&c, "service.backend (its port, as held mail goes there)",
		    &(struct conf_fault){ .section = "service", .key = "backend",
		    .item = new_->deliver.service });
	return c.n;
}
