#include "proto/ban_list.h"

#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#define RS	'\x1e'

bool
ban_print(const struct ban_change *c, int64_t now_ms, struct buf *out)
{
	const struct policy_ban *b = &c->on;
	int64_t for_ms = b->until_ms == 0 ? 0 : b->until_ms > now_ms ? b->until_ms - now_ms : 1;

	/* Nothing in it needs JSON's escapes. */
	return c->lifted ?
	    buf_addf(out, "\x1e{\"net\":\"%s/%u\",\"lifted\":true}\n", netaddr_ip(&b->net).s,
	    b->bits) :
	    buf_addf(out, "\x1e{\"net\":\"%s/%u\",\"for_ms\":%" PRId64 "}\n",
	    netaddr_ip(&b->net).s, b->bits, for_ms);
}

static enum ban_read
bad(struct ban_reader *r, struct why *why, const char *what)
{
	r->bad = true;
	why_set(why, "bans: %s", what);
	return BAN_BAD;
}

static bool
read_one(const json_t *o, int64_t now_ms, struct ban_change *c, struct why *why)
{
	const json_t *net = json_object_get(o, "net"), *time = json_object_get(o, "for_ms");
	const json_t *lifted = json_object_get(o, "lifted");
	int64_t for_ms = json_integer_value(time);

	if (!json_is_string(net))
		return why_set(why, "\"net\" is missing"), false;
	if (!policy_ban_parse(span_of(json_string_value(net), json_string_length(net)), &c->on,
	    why))
		return false;
	if ((time != NULL && (!json_is_integer(time) || for_ms < 0)) ||
	    (lifted != NULL && !json_is_boolean(lifted)))
		return why_set(why, "\"for_ms\" or \"lifted\" is malformed"), false;
	c->lifted = json_is_true(lifted);
	if (for_ms > 0)
		c->on.until_ms = for_ms < INT64_MAX - now_ms ? now_ms + for_ms : INT64_MAX;
	return true;
}

static enum ban_read
record(struct ban_reader *r, int64_t now_ms, struct ban_change *c, struct why *why)
{
	struct why inner = { "" };
	json_t *o = json_loadb(r->record, r->n, JSON_REJECT_DUPLICATES, NULL);
	bool ok = read_one(o, now_ms, c, &inner);

	json_decref(o);
	r->n = 0;
	r->begun = false;
	return ok ? BAN_ONE : bad(r, why, inner.text);
}

enum ban_read
ban_next(struct ban_reader *r, struct span *in, int64_t now_ms, struct ban_change *out,
    struct why *why)
{
	*out = (struct ban_change){ .lifted = false };
	if (r->bad)
		return why->text[0] != '\0' ? BAN_BAD : bad(r, why, "not a list");
	while (in->n > 0) {
		const char *lf = r->begun ? memchr(in->p, '\n', in->n) : NULL;
		size_t n = lf != NULL ? (size_t)(lf - in->p) : in->n;

		if (!r->begun) {
			if (in->p[0] != RS)
				return bad(r, why, "not a JSON text sequence");
			r->begun = true;
			*in = span_from(*in, 1);
			continue;
		}
		if (n > sizeof(r->record) - r->n)
			return bad(r, why, "an entry is too long");
		memcpy(r->record + r->n, in->p, n);
		r->n += n;
		*in = span_from(*in, lf != NULL ? n + 1 : n);
		if (lf != NULL)
			return record(r, now_ms, out, why);
	}
	return BAN_MORE;
}

bool
ban_whole(const struct ban_reader *r)
{
	return !r->begun && !r->bad;
}
