#include "conf/table.h"

#include <assert.h>
#include <confuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/parse_in.h"

/*
 * From text to struct: libconfuse knows the syntax and takes every value as
 * text; the table knows what each must be.  A value is stored when libconfuse
 * has just read it, because only then is its line known.
 */
#define KEYS_MAX	128
/* Enough for any real file; beyond it only the file is named. */
#define PLACES_MAX	1024

/* Where a key of an item stood, so that a rule across keys can name its line. */
struct place {
	const char	*section, *key;	/* key "": the section itself */
	size_t		 item;
	int		 line;
};

struct parse {
	const struct conf_table	*table;
	const char		*file;
	void			*conf;
	struct why		*why;
	bool			 failed;
	bool			 seen[KEYS_MAX];	/* keys of this section so far */
	/* Nothing large stands on the stack: its pages stay with the process for good. */
	struct place		*places;
	size_t			 nplaces;
};

/*
 * libconfuse passes no argument through its callbacks, and its scanner is global
 * as well: one parse at a time, and this is it.
 */
static struct parse *parsing;

static int
fail_at(int line, const char *section, const char *key, const char *what)
{
	char at[160] = "";

	if (parsing->failed)
		return -1;		/* the first is the one to mend */
	parsing->failed = true;
	if (key[0] != '\0')
		snprintf(at, sizeof(at), "%s%s%s: ", section, section[0] != '\0' ? "." : "", key);
	why_set(parsing->why, "%s:%d: %s%s", parsing->file, line, at, what);
	return -1;
}

static void
note_place(const char *section, const char *key, size_t item, int line)
{
	if (parsing->nplaces < PLACES_MAX)
		parsing->places[parsing->nplaces++] = (struct place){ section, key, item, line };
}

/* The line of the key; of its section where the key is not written; else 0. */
static int
find_place(const struct parse *p, const struct conf_fault *f)
{
	int line = 0;

	for (size_t i = 0; i < p->nplaces; i++) {
		const struct place *at = &p->places[i];

		if (strcmp(at->section, f->section) != 0 || at->item != f->item)
			continue;
		if (strcmp(at->key, f->key) == 0)
			return at->line;
		if (at->key[0] == '\0')
			line = at->line;
	}
	return line;
}

int
conf_fault_set(struct conf_fault *f, const char *section, const char *key, size_t item,
    const char *fmt, ...)
{
	va_list ap;

	*f = (struct conf_fault){ .section = section, .key = key, .item = item };
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	return -1;
}

static const char *
section_of(const cfg_t *cfg)
{
	return strcmp(cfg->name, "root") == 0 ? "" : cfg->name;
}

const struct conf_section *
conf_table_section(const struct conf_table *t, const char *name)
{
	for (size_t i = 0; i < t->nsections; i++)
		if (strcmp(t->sections[i].name, name) == 0)
			return &t->sections[i];
	return NULL;
}

static void
on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	static const char unknown[] = "no such option '", twice[] = "found duplicate title '";
	const char *section = section_of(cfg), *near, *place;
	char said[256], word[CONF_WORD_MAX], text[400];
	size_t n = strlen(unknown);

	vsnprintf(said, sizeof(said), fmt, ap);
	for (char *p = said; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	if (strncmp(said, twice, strlen(twice)) == 0) {
		snprintf(text, sizeof(text), "a second section is called \"%.*s\"; write what "
		    "both say into one, or give this one another name",
		    (int)strcspn(said + strlen(twice), "'"), said + strlen(twice));
		fail_at(cfg->line, section, "", text);
		return;
	}
	if (strncmp(said, unknown, n) != 0) {
		fail_at(cfg->line, section, "", said);
		return;
	}
	snprintf(word, sizeof(word), "%.*s", (int)strcspn(said + n, "'"), said + n);
	near = conf_near_key(parsing->table, section, word);
	place = conf_key_elsewhere(parsing->table, word);
	snprintf(text, sizeof(text), "no key \"%s\" %s%s", word, section[0] != '\0' ? "in " :
	    "at top level",
	    section);
	n = strlen(text);
	if (conf_key_of_the_other(parsing->table, section, word))
		snprintf(text + n, sizeof(text) - n, "; it is one of %s's configuration",
		    parsing->table == &conf_edge_table ? "home" : "an edge");
	else if (near != NULL)
		snprintf(text + n, sizeof(text) - n, "; did you mean \"%s\"?", near);
	else if (place != NULL && place[0] != '\0')
		snprintf(text + n, sizeof(text) - n, "; it belongs in %s { ... }", place);
	else if (place != NULL)
		snprintf(text + n, sizeof(text) - n,
		    "; it belongs at top level, outside any { ... }");
	else
		snprintf(text + n, sizeof(text) - n, "; posthouse.conf(5) lists them all");
	fail_at(cfg->line, section, "", text);
}

static size_t *
count_at(void *base, size_t at)
{
	return (size_t *)(void *)((char *)base + at);
}

/* One address reaches one mailbox, in either case: of two such names one would stay empty. */
static bool
same(const struct conf_key *k, const char *a, const char *b)
{
	return k->type == CT_MAILBOXES ? strcasecmp(a, b) == 0 : memcmp(a, b, k->size) == 0;
}

static int
store(const struct conf_key *k, void *base, struct span s, struct why *why)
{
	char *dst = (char *)base + k->at;
	size_t *n;

	if (k->type == CT_PIN) {
		if (conf_value_store(k, dst, s, why) == -1)
			return -1;
		*((bool *)base + k->count) = true;
		return 0;
	}
	if (!conf_type_list(k->type))
		return conf_value_store(k, dst, s, why);
	n = count_at(base, k->count);
	if (*n == k->room)
		return why_set(why, "too many; at most %zu fit", k->room);
	if (conf_value_store(k, dst + *n * k->size, s, why) == -1)
		return -1;
	for (size_t i = 0; i < *n; i++)
		if (same(k, dst + i * k->size, dst + *n * k->size))
			return why_set(why, "%s is there twice", conf_quote(s).s);
	++*n;
	return 0;
}

static void
defaults(const struct conf_table *t, const char *section, void *base)
{
	struct why why;

	for (size_t i = 0; i < t->nkeys; i++) {
		const struct conf_key *k = &t->keys[i];

		if (k->def == NULL || strcmp(k->section, section) != 0)
			continue;
		/* A default out of its own range is a bug of the table, found by any parse. */
		if (store(k, base, span_str(k->def), &why) == -1)
			assert(!"a default that its own key refuses");
	}
}

/* Where a section's keys are stored: the role's struct, or its item, made when it is first met. */
static void *
base_of(cfg_t *cfg)
{
	const char *section = section_of(cfg);
	const struct conf_section *s = conf_table_section(parsing->table, section);
	struct conf_key title;
	struct why why;
	size_t *n;
	char *item;

	if (s == NULL || !s->titled)
		return parsing->conf;
	n = count_at(parsing->conf, s->count);
	title = (struct conf_key){ .type = s->title, .size = s->title_size };
	if (*n > 0) {
		item = (char *)parsing->conf + s->items + (*n - 1) * s->item_size;
		if (strcmp(item, cfg->title) == 0)
			return item;
	}
	if (*n == s->room) {
		why_set(&why, "too many of these sections; at most %zu fit", s->room);
		fail_at(cfg->line, "", section, why.text);
		return NULL;
	}
	item = (char *)parsing->conf + s->items + *n * s->item_size;
	if (conf_value_store(&title, item, span_str(cfg->title), &why) == -1) {
		fail_at(cfg->line, "", section, why.text);
		return NULL;
	}
	if (strcmp(item, cfg->title) != 0) {
		/* Titles are compared as they are written: two spellings would be two sections. */
		why_set(&why, "write its name as \"%.200s\"", item);
		fail_at(cfg->line, "", section, why.text);
		return NULL;
	}
	note_place(s->name, "", *n, cfg->line);
	++*n;
	for (size_t i = 0; i < parsing->table->nkeys; i++)
		if (strcmp(parsing->table->keys[i].section, section) == 0)
			parsing->seen[i] = false;
	defaults(parsing->table, section, item);
	return item;
}

static size_t
item_of(const char *section)
{
	const struct conf_section *s = conf_table_section(parsing->table, section);

	return s != NULL && s->titled ? *count_at(parsing->conf, s->count) - 1 : 0;
}

static int
on_value(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	const struct conf_table *t = parsing->table;
	const char *section = section_of(cfg);
	void *base = base_of(cfg);
	struct why why;
	size_t i;

	*(const char **)result = text;		/* libconfuse keeps a copy that nobody asks for */
	if (base == NULL)
		return -1;
	for (i = 0; i < t->nkeys; i++)
		if (strcmp(t->keys[i].section, section) == 0 && strcmp(t->keys[i].name,
		    opt->name) == 0)
			break;
	assert(i < t->nkeys);		/* the options were made from the table */
	if (opt->nvalues <= 1) {	/* a later element of a list has more */
		if (parsing->seen[i])
			return fail_at(cfg->line, section, opt->name,
			    "it was given before; keep one of the two");
		parsing->seen[i] = true;
		note_place(t->keys[i].section, t->keys[i].name, item_of(section), cfg->line);
		if (conf_type_list(t->keys[i].type))
			*count_at(base, t->keys[i].count) = 0;	/* the default goes */
	}
	if (store(&t->keys[i], base, span_str(text), &why) == -1)
		return fail_at(cfg->line, section, opt->name, why.text);
	return 0;
}

/* Behind a section's closing brace: one that is empty must be there too. */
static int
on_section(cfg_t *cfg, cfg_opt_t *opt)
{
	const struct conf_section *s = conf_table_section(parsing->table, opt->name);
	cfg_t *made = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);

	if (s->titled && made != NULL && base_of(made) == NULL)
		return -1;
	return 0;
}

/* The options of one section, in an array that ends with CFG_END. */
static cfg_opt_t *
options(const struct conf_table *t, const char *section, cfg_opt_t *o)
{
	for (size_t i = 0; i < t->nkeys; i++) {
		const struct conf_key *k = &t->keys[i];

		if (strcmp(k->section, section) != 0)
			continue;
		if (conf_type_list(k->type))
			*o++ = (cfg_opt_t)CFG_STR_LIST_CB(k->name, NULL, CFGF_NODEFAULT, on_value);
		else
			*o++ = (cfg_opt_t)CFG_STR_CB(k->name, NULL, CFGF_NODEFAULT, on_value);
	}
	return o;
}

static cfg_t *
reader(const struct conf_table *t)
{
	/* Each section ends with a mark and stands in the top, which ends with one as well. */
	cfg_opt_t *all = calloc(t->nkeys + 2 * t->nsections + 1, sizeof(*all)), *o = all, *sub[16];
	cfg_t *cfg;

	assert(t->nkeys <= KEYS_MAX && t->nsections <= 16);
	if (all == NULL)
		return NULL;
	for (size_t i = 0; i < t->nsections; i++) {
		sub[i] = o;
		o = options(t, t->sections[i].name, o);
		*o++ = (cfg_opt_t)CFG_END();
	}
	cfg_opt_t *top = o;

	o = options(t, "", o);
	for (size_t i = 0; i < t->nsections; i++) {
		*o = (cfg_opt_t)CFG_SEC(t->sections[i].name, sub[i], t->sections[i].titled ?
		    CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES : CFGF_NODEFAULT);
		o->validcb = on_section;
		o++;
	}
	*o = (cfg_opt_t)CFG_END();
	cfg = cfg_init(top, CFGF_NONE);		/* copies the options */
	free(all);
	return cfg;
}

static int
rules(struct parse *p)
{
	struct conf_fault f;
	char at[160] = "";
	int line;

	if (p->table->settle(p->conf, &f) == 0)
		return 0;
	if (f.key[0] != '\0')
		snprintf(at, sizeof(at), "%s%s%s: ", f.section, f.section[0] != '\0' ? "." : "",
		    f.key);
	line = find_place(p, &f);
	if (line > 0)
		return why_set(p->why, "%s:%d: %s%s", p->file, line, at, f.text);
	return why_set(p->why, "%s: %s%s", p->file, at, f.text);
}

/* From text to p->conf and p->places, which the caller frees whatever comes of it. */
static int
read_text(struct parse *p, struct span text)
{
	const struct conf_table *t = p->table;
	cfg_t *cfg = NULL;
	char *copy = malloc(text.n + 1);
	int rc = -1;

	/* Untouched parts of it cost no memory: it is large, and most of it stays zero. */
	p->conf = calloc(1, t->size);
	p->places = calloc(PLACES_MAX, sizeof(*p->places));
	parsing = p;
	if (p->conf != NULL && p->places != NULL && copy != NULL && (cfg = reader(t)) != NULL) {
		memcpy(copy, text.p, text.n);
		copy[text.n] = '\0';
		conf_blank_comments(copy, text.n);
		cfg_set_error_function(cfg, on_error);
		defaults(t, "", p->conf);
		for (size_t i = 0; i < t->nsections; i++)
			if (!t->sections[i].titled)
				defaults(t, t->sections[i].name, p->conf);
		if (cfg_parse_buf(cfg, copy) == CFG_SUCCESS)
			rc = rules(p);
		else if (!p->failed)
			why_set(p->why, "%s: it cannot be read", p->file);
	} else {
		why_set(p->why, "%s: memory is out", p->file);
	}
	parsing = NULL;
	if (cfg != NULL)
		cfg_free(cfg);
	free(copy);
	return rc;
}

void *
conf_table_parse(const struct conf_table *t, const char *file, struct span text, struct why *why)
{
	struct parse p = { .table = t, .file = file, .why = why };

	if (text.n > CONF_FILE_MAX) {
		why_set(why, "%s: larger than %u octets; this is no configuration", file,
		    CONF_FILE_MAX);
		return NULL;
	}
	if (conf_plain_text(file, text, why) == -1)
		return NULL;
	if (read_text(&p, text) == -1) {
		free(p.conf);
		p.conf = NULL;
	}
	free(p.places);
	return p.conf;
}

int
conf_table_line(const struct conf_table *t, struct span text, const struct conf_fault *f)
{
	struct why none;
	struct parse p = { .table = t, .file = "", .why = &none };
	int line = read_text(&p, text) == 0 ? find_place(&p, f) : 0;

	free(p.conf);
	free(p.places);
	return line;
}
