#include "proto/rspamd.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_OCTETS	76	/* of a field's name */
#define LINE_OCTETS	900	/* of a line, well below the 998 of RFC 5322 2.1.1 */

static const struct {
	const char	*word;
	enum rspamd_action action;
} actions[] = {
	{ "no action", RSPAMD_PASS },
	{ "add header", RSPAMD_SUSPECT },
	{ "rewrite subject", RSPAMD_SUSPECT },
	{ "soft reject", RSPAMD_LATER },
	{ "greylist", RSPAMD_LATER },
	{ "reject", RSPAMD_REJECT },
	{ "discard", RSPAMD_REJECT },
	{ "quarantine", RSPAMD_REJECT },
};

/*
 * What a message has once (RFC 5322 3.6) or means something by (RFC 2045), what delivery goes
 * by, and what we say ourselves: of these only its sender and we add any.
 */
static bool
is_taken(const char *name)
{
	static const char *const taken[] = {
		"From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Subject", "Date", "Message-ID",
		"In-Reply-To", "References", "MIME-Version", "Received", "Return-Path",
		"Delivered-To", "X-Posthouse-Id",
	};

	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (strcasecmp(name, taken[i]) == 0)
			return true;
	return strncasecmp(name, "Content-", 8) == 0 || strncasecmp(name, "Resent-", 7) == 0;
}

static bool
name_ok(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (name[i] <= ' ' || name[i] >= 0x7f || name[i] == ':')
			return false;
	return n > 0 && n <= NAME_MAX_OCTETS && !is_taken(name);
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* One field; nothing of it where there is no room for all. */
static void
add_head(struct buf *out, const char *name, struct span value)
{
	size_t before = out->n, line = strlen(name) + 2;

	buf_addf(out, "%s: ", name);
	for (size_t i = 0; i < value.n; i++, line++) {
		bool fold = value.p[i] == '\r' || value.p[i] == '\n' || line >= LINE_OCTETS;
		char c = value.p[i];

		/* All space where a line ends is one fold, so that none of them is blank. */
		if (fold) {
			while (i < value.n && is_space(value.p[i]))
				i++;
			if (i == value.n)
				break;
			buf_add_str(out, "\r\n\t");
			line = 1;
			c = value.p[i];
		}
		buf_add(out, c == '\t' || (c >= ' ' && c < 0x7f) ? &c : "?", 1);
	}
	buf_add_str(out, "\r\n");
	if (out->failed) {
		out->n = before;
		out->failed = false;
	}
}

static void
add_heads(struct buf *out, const char *name, const json_t *j)
{
	const json_t *each;
	size_t i;

	if (json_is_array(j)) {
		json_array_foreach(j, i, each) {
			if (!json_is_array(each))
				add_heads(out, name, each);
		}
		return;
	}
	if (json_is_object(j))
		j = json_object_get(j, "value");
	if (json_is_string(j))
		add_head(out, name, span_of(json_string_value(j), json_string_length(j)));
}

/* --- which of it counts ------------------------------------------------------------------- */

static bool
counts(struct span name)
{
	return span_eq(name, SPAN_LIT("\"action\"")) || span_eq(name, SPAN_LIT("\"messages\"")) ||
	    span_eq(name, SPAN_LIT("\"milter\""));
}

static void
name_ends(struct rspamd_reader *r)
{
	r->keeps = counts(span_of(r->kept.p + r->member, r->kept.n - r->member));
	if (r->keeps)
		buf_add(&r->kept, ":", 1);
	else
		r->kept.n = r->member;
	r->at = RSPAMD_VALUE;
}

static void
value_ends(struct rspamd_reader *r)
{
	if (r->keeps)
		buf_add(&r->kept, ",", 1);
	r->keeps = false;
	r->member = r->kept.n;
}

/* What is no ASCII would be `?` in the end, and need not be UTF-8, which the parser insists on. */
static void
keep(struct rspamd_reader *r, char c)
{
	if (r->at == RSPAMD_NAME && r->kept.n - r->member < NAME_MAX_OCTETS) {
		buf_add(&r->kept, &c, 1);
	} else if (r->at == RSPAMD_VALUE && r->keeps) {
		buf_add(&r->kept, (unsigned char)c < 0x80 ? &c : "?", 1);
		if (r->kept.n - r->member > RSPAMD_MEMBER_MAX) {
			r->kept.n = r->member;
			r->keeps = false;
		}
	}
}

/* An octet outside of quotes. */
static void
mark(struct rspamd_reader *r, char c)
{
	if (is_space(c)) {
		if (r->at == RSPAMD_VALUE)
			keep(r, c);
	} else if (r->at == RSPAMD_BEFORE) {
		r->at = c == '{' ? RSPAMD_NAME : RSPAMD_WRONG;
	} else if (r->at == RSPAMD_NAME && c == ':') {
		name_ends(r);
	} else if (r->at == RSPAMD_AFTER || (r->depth == 0 && c == ']')) {
		r->at = RSPAMD_WRONG;
	} else if (r->depth == 0 && (c == ',' || c == '}')) {
		if (r->at == RSPAMD_NAME)
			r->kept.n = r->member;
		value_ends(r);
		r->at = c == ',' ? RSPAMD_NAME : RSPAMD_AFTER;
	} else {
		r->text = c == '"';
		if (r->at == RSPAMD_VALUE && (c == '{' || c == '['))
			r->depth++;
		else if (c == '}' || c == ']')
			r->depth--;
		keep(r, c);
	}
}

void
rspamd_read_begin(struct rspamd_reader *r)
{
	*r = (struct rspamd_reader){ .member = 1 };
	/* The three, and one of them once more. */
	buf_init(&r->kept, 4 * RSPAMD_MEMBER_MAX);
	buf_add(&r->kept, "{", 1);
}

bool
rspamd_read(struct rspamd_reader *r, struct span s)
{
	for (size_t i = 0; i < s.n && r->at != RSPAMD_WRONG && !r->kept.failed; i++) {
		if (!r->text) {
			mark(r, s.p[i]);
			continue;
		}
		keep(r, s.p[i]);
		r->text = r->escaped || s.p[i] != '"';
		r->escaped = !r->escaped && s.p[i] == '\\';
	}
	return r->at != RSPAMD_WRONG && !r->kept.failed;
}

void
rspamd_read_fini(struct rspamd_reader *r)
{
	buf_wipe(&r->kept);
}

/* --- what it says ------------------------------------------------------------------------- */

static json_t *
kept_object(struct rspamd_reader *r)
{
	struct buf *b = &r->kept;

	if (r->at != RSPAMD_AFTER || b->failed)
		return NULL;
	if (b->n > 1)			/* the last comma */
		b->n--;
	return buf_add(b, "}", 1) ? json_loadb(b->p, b->n, JSON_ALLOW_NUL, NULL) : NULL;
}

bool
rspamd_read_end(struct rspamd_reader *r, struct rspamd_answer *a, struct why *why)
{
	json_t *root = kept_object(r), *heads, *value;
	const char *action = json_string_value(json_object_get(root, "action"));
	const char *words = json_string_value(
	    json_object_get(json_object_get(root, "messages"), "smtp_message"));
	const char *name;

	rspamd_read_fini(r);
	*a = (struct rspamd_answer){ .words = "" };
	buf_init(&a->heads, RSPAMD_HEADS_MAX);
	if (action == NULL) {
		json_decref(root);
		why_set(why, "its answer names no action: it is no rspamd's");
		return false;
	}
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(actions[i].word, action) == 0)
			a->action = actions[i].action;
	if (words != NULL)
		span_copy(span_str(words), a->words, sizeof(a->words));
	heads = json_object_get(json_object_get(root, "milter"), "add_headers");
	json_object_foreach(heads, name, value) {
		if (name_ok(name))
			add_heads(&a->heads, name, value);
	}
	json_decref(root);
	return true;
}
