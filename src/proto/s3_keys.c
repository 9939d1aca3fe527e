#include "proto/s3_keys.h"

#include <string.h>

struct field {
	const char	*name;
	char		*out;
	size_t		 max;
};

static struct span
trim(struct span s)
{
	while (s.n > 0 && strchr(" \t\r", s.p[s.n - 1]) != NULL)
		s.n--;
	while (s.n > 0 && strchr(" \t", s.p[0]) != NULL)
		s = span_from(s, 1);
	return s;
}

/* It goes into a header, and is signed with: printable ASCII without a space. */
static bool
value_ok(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return s.n > 0;
}

static int
take(const struct field *f, struct span value, unsigned line, struct why *why)
{
	if (f->out[0] != '\0')
		return why_set(why, "line %u: %s comes a second time; a file has the keys of one "
		    "user", line, f->name);
	if (!value_ok(value) || !span_copy(value, f->out, f->max))
		return why_set(why, "line %u: this is no %s", line, f->name);
	return 0;
}

static int
take_named(const struct field *fields, size_t n, struct span name, struct span value,
    unsigned line, struct why *why)
{
	struct span bare = span_starts_nocase(name, SPAN_LIT("aws_")) ? span_from(name, 4) : name;

	for (size_t i = 0; i < n; i++)
		if (span_eq_nocase(bare, span_str(fields[i].name)))
			return take(&fields[i], value, line, why);
	return why_set(why, "line %u: neither access_key_id, secret_access_key nor session_token",
	    line);
}

static int
parse(struct span text, struct s3_keys *keys, struct why *why)
{
	const struct field fields[] = {
		{ "access_key_id", keys->id, sizeof(keys->id) },
		{ "secret_access_key", keys->secret, sizeof(keys->secret) },
		{ "session_token", keys->token, sizeof(keys->token) },
	};
	unsigned plain = 0, line = 0, headings = 0;
	bool named = false;

	while (text.n > 0) {
		const char *nl = memchr(text.p, '\n', text.n), *eq;
		struct span s = trim(span_of(text.p, nl != NULL ? (size_t)(nl - text.p) : text.n));
		int rc = 0;

		text = span_from(text, nl != NULL ? (size_t)(nl - text.p) + 1 : text.n);
		line++;
		if (s.n == 0 || s.p[0] == '#')
			continue;
		eq = memchr(s.p, '=', s.n);
		/* What the first line is, all are: a secret may have `=` in it, an id has none. */
		if (s.p[0] == '[' && headings++ == 0 && plain == 0 && !named)
			named = true;
		else if (named || (plain == 0 && eq != NULL)) {
			if (eq == NULL)
				return why_set(why, "line %u: write `name = value`", line);
			rc = take_named(fields, 3, trim(span_of(s.p, (size_t)(eq - s.p))),
			    trim(span_from(s, (size_t)(eq - s.p) + 1)), line, why);
			named = true;
		} else if (plain < 2)
			rc = take(&fields[plain++], s, line, why);
		else
			return why_set(why, "line %u: more than two lines; the first is the access "
			    "key id, the second the secret", line);
		if (rc == -1)
			return -1;
	}
	if (keys->id[0] == '\0' || keys->secret[0] == '\0')
		return why_set(why, "the %s is missing; write two lines, the access key id and the "
		    "secret", keys->id[0] == '\0' ? "access key id" : "secret");
	return 0;
}

int
s3_keys_parse(struct span text, struct s3_keys *keys, struct why *why)
{
	*keys = (struct s3_keys){ 0 };
	if (parse(text, keys, why) == 0)
		return 0;
	s3_keys_fini(keys);
	return -1;
}

void
s3_keys_fini(struct s3_keys *keys)
{
	explicit_bzero(keys, sizeof(*keys));
}
