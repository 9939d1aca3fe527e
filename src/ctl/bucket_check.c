#include "ctl/bucket_check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/uuid.h"
#include "ctl/bucket_door.h"
#include "ctl/text.h"

#define BODY	1000
#define MARK	"posthouse-check"	/* metadata of the object */

enum verdict {
	FINE = 0,
	WARNS,			/* it works, and somebody should know */
	FAILS,			/* mail would not come home, or not go */
};

struct check {
	struct bucket_door d;
	const struct conf_common *common;
	bool		 edge;			/* it puts; whether it may do more is no matter */
	json_t		*list;			/* NULL: standard output */
	struct s3_walk	 walk;
	bool		 written, copied, failed, waits;
	char		 key[100], copy[110];
	struct uuid_text mark;
	char		 body[BODY];
	size_t		 at;			/* of the body, sent or come */
	bool		 other;			/* what came is another */
	int64_t		 age_ms;		/* at which rules delete; 0: they do not */
};

static void
say(struct check *c, const char *step, enum verdict v, const char *format, ...)
{
	static const char *const words[] = { "ok", "warning", "failed" };
	struct shown text;
	struct why why;
	bool red = v != FINE && c->list == NULL && text_colour(stdout);
	va_list ap;

	va_start(ap, format);
	vsnprintf(why.text, sizeof(why.text), format, ap);
	va_end(ap);
	c->failed |= v == FAILS;
	shown(span_str(why.text), &text);
	if (c->list == NULL)
		printf("  %s%-7s%s  %-11s  %s\n", red ? TEXT_ALARM : "", words[v],
		    red ? TEXT_PLAIN : "", step, text.s);
	else
		json_array_append_new(c->list, json_pack("{s:s, s:s, s:s, s:s}", "bucket",
		    c->d.conf->name, "step", step, "result", words[v], "text", text.s));
	fflush(stdout);
}

static void
say_answer(struct check *c, const char *step, enum verdict v)
{
	say(c, step, v, "%s", c->d.answer.why.text);
}

/* --- what is asked --------------------------------------------------------------------------- */

static void
on_page(void *door, const struct s3_page *page)
{
	struct bucket_door *d = door;
	struct check *c = d->of;

	c->waits = page->n + page->unnamed > 0;
}

static bool
on_head(void *door, const struct s3_head *head)
{
	struct bucket_door *d = door;
	struct check *c = d->of;
	bool marked = false;

	for (size_t i = 0; i < head->nmeta; i++)
		marked |= strcmp(head->meta[i].name, MARK) == 0 &&
		    span_eq(head->meta[i].value, span_str(c->mark.s));
	c->at = 0;
	c->other = !marked || head->size != BODY;
	return true;
}

static bool
on_body(void *door, struct span s)
{
	struct bucket_door *d = door;
	struct check *c = d->of;

	c->other |= s.n > BODY - c->at || memcmp(c->body + c->at, s.p, s.n) != 0;
	c->at += c->other ? 0 : s.n;
	return true;
}

static ssize_t
on_pull(void *door, char *out, size_t room)
{
	struct bucket_door *d = door;
	struct check *c = d->of;
	size_t n = BODY - c->at < room ? BODY - c->at : room;

	memcpy(out, c->body + c->at, n);
	c->at += n;
	return (ssize_t)n;
}

static bool
on_again(void *door)
{
	struct bucket_door *d = door;
	struct check *c = d->of;

	c->at = 0;
	return true;
}

static void
on_lifecycle(void *door, const struct s3_lifecycle *l)
{
	struct bucket_door *d = door;
	struct check *c = d->of;

	c->age_ms = s3_lifecycle_age(l, d->conf->prefix, wall_ms() - d->skew_ms);
}

static const struct s3_ops ops = {
	.head = on_head, .body = on_body, .pull = on_pull, .again = on_again, .page = on_page,
	.lifecycle = on_lifecycle, .done = bucket_door_done,
};

static struct s3_call *
ask_list(struct bucket_door *d, struct why *why)
{
	struct check *c = d->of;

	c->walk = (struct s3_walk){ .pages = 0 };
	return s3_list(d->s3, d->conf->prefix, 1, &c->walk, &ops, d, why);
}

static struct s3_call *
put(struct bucket_door *d, bool only_new, struct why *why)
{
	struct check *c = d->of;
	struct s3_meta mark = { MARK, span_str(c->mark.s) };
	struct s3_put p = { .key = c->key, .size = BODY, .only_new = only_new, .meta = &mark,
		.nmeta = 1 };

	c->at = 0;
	return s3_put(d->s3, &p, &ops, d, why);
}

static struct s3_call *
ask_put(struct bucket_door *d, struct why *why)
{
	return put(d, false, why);
}

static struct s3_call *
ask_put_new(struct bucket_door *d, struct why *why)
{
	return put(d, true, why);
}

static struct s3_call *
ask_get(struct bucket_door *d, struct why *why)
{
	return s3_get(d->s3, ((struct check *)d->of)->key, BODY, &ops, d, why);
}

static struct s3_call *
ask_copy(struct bucket_door *d, struct why *why)
{
	struct check *c = d->of;

	return s3_copy(d->s3, c->key, c->copy, &ops, d, why);
}

static struct s3_call *
ask_delete(struct bucket_door *d, struct why *why)
{
	return s3_delete(d->s3, ((struct check *)d->of)->key, &ops, d, why);
}

static struct s3_call *
ask_delete_copy(struct bucket_door *d, struct why *why)
{
	return s3_delete(d->s3, ((struct check *)d->of)->copy, &ops, d, why);
}

static struct s3_call *
ask_lifecycle(struct bucket_door *d, struct why *why)
{
	return s3_lifecycle(d->s3, &ops, d, why);
}

/* --- what follows from it -------------------------------------------------------------------- */

/* What only home cannot do without: an edge puts, and counts what waits if it may. */
static enum verdict
for_home(const struct check *c)
{
	return c->edge ? WARNS : FAILS;
}

/* What may be written wrongly where no store said anything: libcurl's words tell nobody. */
static const char *
hint(const struct check *c)
{
	const struct s3_answer *a = &c->d.answer;
	const struct conf_bucket *b = c->d.conf;
	bool tls = strncmp(b->endpoint, "https:", 6) == 0;

	if (a->status != 0)
		return "";
	if (b->style == CONF_BUCKET_HOST && a->end == S3_NOT_REACHED)
		return "; style = \"host\" asks below that name for the bucket's: try \"path\"";
	if (!tls && a->end == S3_BROKEN)
		return "; does it speak TLS there? Then write https://";
	if (tls && strstr(a->why.text, "wrong version number") != NULL)
		return "; it speaks no TLS there: is the port right?";
	return "";
}

/* False: nothing else could go better. */
static bool
check_list(struct check *c)
{
	if (bucket_ask(&c->d, ask_list) == S3_DONE) {
		say(c, "list", FINE, "%s waits below %s", c->waits ? "mail" : "nothing",
		    c->d.conf->prefix);
		return true;
	}
	if (c->d.answer.end == S3_FORBIDDEN && strcmp(c->d.answer.code, "AccessDenied") == 0) {
		say_answer(c, "list", for_home(c));
		return true;
	}
	say(c, "list", FAILS, "%.400s%s", c->d.answer.why.text, hint(c));
	return false;
}

static void
check_write(struct check *c)
{
	enum s3_end end = bucket_ask(&c->d, ask_put);

	/* After what is uncertain it may be there: it is deleted below all the same. */
	c->written = end == S3_DONE || end == S3_BROKEN || end == S3_FAILED;
	if (end == S3_DONE)
		say(c, "write", FINE, "%s", c->key);
	else
		say_answer(c, "write", FAILS);
}

/* Who puts mail there a second time, not knowing of the first, must not replace another's. */
static void
check_condition(struct check *c)
{
	enum s3_end end = bucket_ask(&c->d, ask_put_new);
	enum verdict v = c->edge ? FAILS : WARNS;

	if (end == S3_EXISTS)
		say(c, "condition", FINE, "what is there is not written over (If-None-Match)");
	else if (end == S3_DONE)
		say(c, "condition", v, "the store wrote over an object though it was told not "
		    "to (If-None-Match: *): an edge cannot have its spool here");
	else if (end == S3_UNKNOWN)
		say(c, "condition", v, "the store knows no If-None-Match: an edge cannot have "
		    "its spool here");
	else
		say_answer(c, "condition", FAILS);
}

static void
check_read(struct check *c)
{
	if (bucket_ask(&c->d, ask_get) != S3_DONE)
		say_answer(c, "read", for_home(c));
	else if (c->other || c->at != BODY)
		say(c, "read", FAILS, "what came is not what was written: octets or metadata "
		    "(x-amz-meta-) are others");
	else
		say(c, "read", FINE, "what was written, with its metadata");
}

static void
check_copy(struct check *c)
{
	enum s3_end end = bucket_ask(&c->d, ask_copy);

	c->copied = end == S3_DONE || end == S3_BROKEN || end == S3_FAILED;
	if (end == S3_DONE)
		say(c, "copy", FINE, "as bucket.keep wants it");
	else
		say_answer(c, "copy", FAILS);
}

static void
check_delete(struct check *c)
{
	struct why why;
	bool gone = true;

	if (c->copied && bucket_ask(&c->d, ask_delete_copy) != S3_DONE) {
		gone = false;
		why_set(&why, "%.300s; %s stays behind", c->d.answer.why.text, c->copy);
	}
	if (bucket_ask(&c->d, ask_delete) != S3_DONE) {
		gone = false;
		why_set(&why, "%.300s; %s stays behind", c->d.answer.why.text, c->key);
	}
	if (!gone)
		say(c, "delete", for_home(c), "%s", why.text);
	else if (bucket_ask(&c->d, ask_get) == S3_DONE)
		say(c, "delete", FAILS, "it is still there: does the bucket lock its objects?");
	else
		say(c, "delete", FINE, "it is gone");
}

static void
check_lifecycle(struct check *c)
{
	int64_t alarm_ms = c->common->alarms.oldest_ms;
	enum s3_end end = bucket_ask(&c->d, ask_lifecycle);

	if (end == S3_FORBIDDEN || end == S3_UNKNOWN)
		say(c, "lifecycle", WARNS, "these credentials, or this store, do not tell its "
		    "rules: see yourself that none deletes mail before home has been told of it");
	else if (end != S3_DONE && end != S3_GONE)
		say_answer(c, "lifecycle", FAILS);
	else if (c->age_ms == 0)
		say(c, "lifecycle", WARNS, "no rule deletes below %s: what home never takes stays "
		    "for ever; one of 30 days, say, would end that", c->d.conf->prefix);
	else if (c->age_ms <= alarm_ms)
		say(c, "lifecycle", FAILS, "a rule deletes mail that is %s old, and alarms.oldest "
		    "is %s: make the rule longer by days", brief_age(c->age_ms).s,
		    brief_age(alarm_ms).s);
	else
		say(c, "lifecycle", FINE, "a rule deletes what is %s old; alarms.oldest is %s",
		    brief_age(c->age_ms).s, brief_age(alarm_ms).s);
}

static void
check_clock(struct check *c)
{
	int64_t s = (c->d.skew_ms < 0 ? -c->d.skew_ms : c->d.skew_ms) / 1000;

	if (c->d.skew_ms == 0)
		return;
	say(c, "clock", WARNS, "this machine's clock is %" PRId64 " h %" PRId64 " min %s the "
	    "store's; requests are dated by the store's, but set it (is NTP running?)", s / 3600,
	    s / 60 % 60, c->d.skew_ms < 0 ? "behind" : "ahead of");
}

static void
check_all(struct check *c)
{
	if (!check_list(c))
		return;
	check_write(c);
	if (c->written) {
		check_condition(c);
		check_read(c);
		if (c->d.conf->keep_ms > 0)
			check_copy(c);
		check_delete(c);
	}
	check_lifecycle(c);
	check_clock(c);
}

bool
bucket_check(const struct role *r, const struct conf_bucket *b, json_t *list)
{
	struct check c = { .common = r->common, .edge = r->role == CONF_EDGE, .list = list };
	struct why why;

	if (list == NULL)
		printf("%s: bucket %s at %s\n", b->name, b->bucket, b->endpoint);
	random_bytes(c.body, sizeof(c.body));
	c.mark = uuid_text(uuid_v7(wall_ms(), (unsigned char *)c.body));
	snprintf(c.key, sizeof(c.key), BUCKET_CHECK_PREFIX "%s", c.mark.s);
	snprintf(c.copy, sizeof(c.copy), "%s.copy", c.key);
	if (bucket_door_open(&c.d, r->common, b, &why) == 0) {
		c.d.of = &c;
		check_all(&c);
	} else
		say(&c, "settings", FAILS, "%s", why.text);
	bucket_door_close(&c.d);
	return !c.failed;
}
