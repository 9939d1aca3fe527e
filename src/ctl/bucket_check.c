#include "ctl/bucket_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/secret.h"
#include "base/uuid.h"
#include "ctl/bucket_door.h"
#include "ctl/bucket_stray.h"
#include "ctl/text.h"

#define BODY	1000
#define MARK	"posthouse-check"	/* metadata of the object */
#define WAIT_MS	500

struct check {
	struct bucket_door d;
	const struct role *role;
	const struct conf_common *common;
	bool		 edge;			/* it puts; whether it may do more is no matter */
	const struct findings *to;
	uv_timer_t	 timer;
	struct instant	 began;
	struct s3_walk	 walk;
	struct waits {				/* what the listing's first page has */
		size_t	 n;
		bool	 more;
		int64_t	 oldest_ms;		/* by the store's clock; 0: none */
	} waits;
	bool		 written, copied, late;
	char		 key[100], copy[110];
	struct uuid_text mark;
	char		 body[BODY];
	size_t		 at;			/* of the body, sent or come */
	bool		 other;			/* what came is another */
	int64_t		 age_ms;		/* at which rules delete; 0: they do not */
};

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
		return "style = \"host\" asks below that name for the bucket's: try \"path\"";
	if (!tls && a->end == S3_BROKEN)
		return "does it speak TLS there? Then write https://";
	if (tls && strstr(a->why.text, "wrong version number") != NULL)
		return "it speaks no TLS there: is the port right?";
	return "";
}

/* What the store said, or why it said nothing. */
static void
say_answer(const struct check *c, const char *step, enum finding_state state)
{
	const struct s3_answer *a = &c->d.answer;

	if (a->status != 0)
		finding_tell_words(c->to, state, step, a->why.text, ": ", "");
	else
		finding_tell(c->to, state, step, hint(c), "%s", a->why.text);
}

/* False: it took too long already, and what is left is left out. */
static bool
patient(struct check *c)
{
	if (instant_ms_since(c->began, instant_now()) > BUCKET_CHECK_MS)
		c->late = true;
	return !c->late;
}

/* --- what is asked --------------------------------------------------------------------------- */

static void
on_page(void *door, const struct s3_page *page)
{
	struct bucket_door *d = door;
	struct check *c = d->of;

	c->waits = (struct waits){ page->n + page->unnamed, page->next != NULL, 0 };
	for (size_t i = 0; i < page->n; i++)
		if (c->waits.oldest_ms == 0 || page->objects[i].modified_ms < c->waits.oldest_ms)
			c->waits.oldest_ms = page->objects[i].modified_ms;
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
	return s3_list(d->s3, d->conf->prefix, S3_PAGE_MAX, &c->walk, &ops, d, why);
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
static enum finding_state
for_home(const struct check *c)
{
	return c->edge ? FINDING_WARN : FINDING_FAIL;
}

/* A name of ours begins with its time, so that a page has the oldest of what waits. */
static void
say_waits(const struct check *c)
{
	const struct waits *w = &c->waits;
	int64_t age = w->oldest_ms != 0 ? wall_ms() - c->d.skew_ms - w->oldest_ms : 0;
	bool late = age >= c->common->alarms.oldest_ms;

	if (w->n == 0)
		finding_tell(c->to, FINDING_OK, "list", "", "nothing waits below %s",
		    c->d.conf->prefix);
	else
		finding_tell(c->to, late ? FINDING_WARN : FINDING_OK, "list", !late ? "" :
		    c->edge ? "is the home running that drains this bucket?" :
		    "is home running, and what does posthouse status say of the bucket?",
		    "mail waits below %s, %zu object%s%s, the oldest for %s", c->d.conf->prefix,
		    w->n, w->n == 1 ? "" : "s", w->more ? " and more" : "", brief_age(age).s);
}

/* False: nothing else could go better. */
static bool
check_list(struct check *c)
{
	const struct s3_answer *a = &c->d.answer;

	if (bucket_ask(&c->d, ask_list) == S3_DONE) {
		say_waits(c);
		return true;
	}
	if (a->end == S3_FORBIDDEN && strcmp(a->code, "AccessDenied") == 0) {
		say_answer(c, "list", for_home(c));
		return true;
	}
	say_answer(c, "list", FINDING_FAIL);
	return false;
}

static void
check_write(struct check *c)
{
	enum s3_end end = bucket_ask(&c->d, ask_put);

	/* After what is uncertain it may be there: it is deleted below all the same. */
	c->written = end == S3_DONE || end == S3_BROKEN || end == S3_FAILED;
	if (end == S3_DONE)
		finding_tell(c->to, FINDING_OK, "write", "", "%s", c->key);
	else
		say_answer(c, "write", FINDING_FAIL);
}

/* Who puts mail there a second time, not knowing of the first, must not replace another's. */
static void
check_condition(struct check *c)
{
	enum s3_end end = bucket_ask(&c->d, ask_put_new);
	enum finding_state v = c->edge ? FINDING_FAIL : FINDING_WARN;

	if (end == S3_EXISTS)
		finding_tell(c->to, FINDING_OK, "condition", "", "what is there is not written "
		    "over (If-None-Match)");
	else if (end == S3_DONE)
		finding_tell(c->to, v, "condition", "an edge cannot have its spool here",
		    "the store wrote over an object though it was told not to (If-None-Match: *)");
	else if (end == S3_UNKNOWN)
		finding_tell(c->to, v, "condition", "an edge cannot have its spool here",
		    "the store knows no If-None-Match");
	else
		say_answer(c, "condition", FINDING_FAIL);
}

static void
check_read(struct check *c)
{
	if (bucket_ask(&c->d, ask_get) != S3_DONE)
		say_answer(c, "read", for_home(c));
	else if (c->other || c->at != BODY)
		finding_tell(c->to, FINDING_FAIL, "read", "", "what came is not what was written: "
		    "octets or metadata (x-amz-meta-) are others");
	else
		finding_tell(c->to, FINDING_OK, "read", "", "what was written, with its metadata");
}

static void
check_copy(struct check *c)
{
	enum s3_end end = bucket_ask(&c->d, ask_copy);

	c->copied = end == S3_DONE || end == S3_BROKEN || end == S3_FAILED;
	if (end == S3_DONE)
		finding_tell(c->to, FINDING_OK, "copy", "", "as bucket.keep wants it");
	else
		say_answer(c, "copy", FINDING_FAIL);
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
		finding_tell_words(c->to, for_home(c), "delete", why.text, ": ", "");
	else if (patient(c) && bucket_ask(&c->d, ask_get) == S3_DONE)
		finding_tell(c->to, FINDING_FAIL, "delete", "does the bucket lock its objects?",
		    "it is still there");
	else
		finding_tell(c->to, FINDING_OK, "delete", "", "it is gone");
}

static void
check_lifecycle(struct check *c)
{
	int64_t alarm_ms = c->common->alarms.oldest_ms;
	enum s3_end end = bucket_ask(&c->d, ask_lifecycle);

	if (end == S3_FORBIDDEN || end == S3_UNKNOWN)
		finding_tell(c->to, FINDING_WARN, "lifecycle", "see yourself that none deletes "
		    "mail before home has been told of it",
		    "these credentials, or this store, do not tell its rules");
	else if (end != S3_DONE && end != S3_GONE)
		say_answer(c, "lifecycle", FINDING_FAIL);
	else if (c->age_ms == 0)
		finding_tell(c->to, FINDING_WARN, "lifecycle", "one of 30 days, say, would end "
		    "that", "no rule deletes below %s: what home never takes stays for ever",
		    c->d.conf->prefix);
	else if (c->age_ms <= alarm_ms)
		finding_tell(c->to, FINDING_FAIL, "lifecycle", "make the rule longer by days",
		    "a rule deletes mail that is %s old, and alarms.oldest is %s",
		    brief_age(c->age_ms).s, brief_age(alarm_ms).s);
	else
		finding_tell(c->to, FINDING_OK, "lifecycle", "", "a rule deletes what is %s old; "
		    "alarms.oldest is %s", brief_age(c->age_ms).s, brief_age(alarm_ms).s);
}

static void
check_clock(struct check *c)
{
	int64_t s = (c->d.skew_ms < 0 ? -c->d.skew_ms : c->d.skew_ms) / 1000;

	if (c->d.skew_ms == 0)
		return;
	finding_tell(c->to, FINDING_WARN, "clock", "requests are dated by the store's, but set it "
	    "(is NTP running?)", "this machine's clock is %" PRId64 " h %" PRId64 " min %s the "
	    "store's", s / 3600, s / 60 % 60, c->d.skew_ms < 0 ? "behind" : "ahead of");
}

static void
check_all(struct check *c)
{
	if (!check_list(c))
		return;
	if (patient(c))
		check_write(c);
	if (c->written) {
		if (patient(c))
			check_condition(c);
		if (patient(c))
			check_read(c);
		if (c->d.conf->keep_ms > 0 && patient(c))
			check_copy(c);
		check_delete(c);
	}
	if (patient(c))
		check_lifecycle(c);
	if (!c->edge && patient(c))
		bucket_stray(&c->d, c->role, c->to);
	check_clock(c);
	if (c->late)
		finding_tell(c->to, FINDING_FAIL, "time", "is the store slow, or the way there?",
		    "what is not named here was not tried: the rest took over %d s",
		    BUCKET_CHECK_MS / 1000);
}

static void
on_wait(uv_timer_t *t)
{
	const struct check *c = t->data;

	c->to->wait(c->to->arg);
}

void
bucket_check(const struct role *r, const struct conf_bucket *b, const struct findings *to)
{
	struct check c = { .role = r, .common = r->common, .edge = r->role == CONF_EDGE, .to = to,
		.began = instant_now() };
	struct why why;

	random_bytes(c.body, sizeof(c.body));
	c.mark = uuid_text(uuid_v7(wall_ms(), (unsigned char *)c.body));
	snprintf(c.key, sizeof(c.key), BUCKET_CHECK_PREFIX "%s", c.mark.s);
	snprintf(c.copy, sizeof(c.copy), "%s.copy", c.key);
	if (bucket_door_open(&c.d, r->common, b, &why) == 0) {
		c.d.of = c.timer.data = &c;
		uv_timer_init(&c.d.loop, &c.timer);
		uv_timer_start(&c.timer, on_wait, WAIT_MS, WAIT_MS);
		uv_unref((uv_handle_t *)&c.timer);	/* what is asked keeps the loop going */
		check_all(&c);
		uv_close((uv_handle_t *)&c.timer, NULL);
	} else
		finding_tell(to, FINDING_FAIL, "settings", "", "%s", why.text);
	bucket_door_close(&c.d);
}
