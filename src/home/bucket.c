#include "home/bucket.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "home/bucket_keep.h"
#include "home/fetch.h"
#include "home/pace.h"
#include "home/shunned.h"

#define ASIDE_LINES	20	/* of one look that are named in the log; all are counted */

enum looking {
	LOOK_NOT = 0,		/* the timer, or bucket_go, begins one */
	LOOK_LISTS,
	LOOK_FETCHES,
	LOOK_OVER,		/* what is due between two looks is done */
};

struct slot {
	struct bucket	*bucket;
	struct fetch	*fetch;		/* NULL: free */
};

struct look {			/* zeroed when one begins */
	struct s3_walk	 walk;
	struct listing	 listing;
	size_t		 next;		/* of the listing, to be fetched */
	uint64_t	 taken, octets;
	uint64_t	 aside;
	unsigned	 lines;		/* of the log, about what lies aside */
	unsigned	 failures;	/* in a row */
	int64_t		 oldest_left_ms;	/* of what failed; 0: nothing did */
	uint64_t	 nleft;
	bool		 skewed;	/* it asked a second time for the clock */
	bool		 stuck;		/* nothing may be deleted: what is here is not tried */
	bool		 stopped;	/* no further fetch is begun */
	bool		 failed;
	bool		 more;		/* the listing was not read to its end */
	int64_t		 wait_ms;	/* the store said so */
};

struct bucket {
	struct drain_proc *drain;
	size_t		 place;		/* in the configuration */
	struct s3	*s3;
	struct s3_call	*call;		/* of a listing */
	struct board_bucket *board;
	struct pace	 pace;
	struct shunned	*shunned;
	enum looking	 looking;
	struct look	 look;
	struct slot	 slots[CONF_FETCHES_MAX];
	unsigned	 nfetches;
	struct bucket_keep keep;
	bool		 wanted;	/* the operator wants another look after this one */
	bool		 no_conditions;	/* the store refused one on a DELETE */
	uint64_t	 looks;		/* begun */
	uv_timer_t	 timer;
};

static const struct conf_bucket *
conf_of(const struct bucket *b)
{
	return &b->drain->proc->home->buckets[b->place];
}

static void begin(struct bucket *);
static void fetch_more(struct bucket *);

/* --- what is shown ------------------------------------------------------------------------ */

/* error "": all is well.  A store that refuses us is mended by nobody but a person. */
static void
show_error(struct bucket *b, const char *error, bool alarm)
{
	struct board_bucket *o = b->board;

	if (strncmp(o->error, error, sizeof(o->error) - 1) != 0 && error[0] != '\0')
		log_warn(NULL, "bucket.trouble bucket=%s: %s", conf_of(b)->name, error);
	else if (o->error[0] != '\0' && error[0] == '\0')
		log_info(NULL, "bucket.well bucket=%s", conf_of(b)->name);
	atomic_store(&o->alarm, alarm);
	memset(o->error, 0, sizeof(o->error));
	span_copy(span_of(error, strnlen(error, sizeof(o->error) - 1)), o->error,
	    sizeof(o->error));
}

static bool
needs_operator(enum s3_end end)
{
	return end == S3_NO_BUCKET || end == S3_FORBIDDEN || end == S3_ELSEWHERE ||
	    end == S3_UNKNOWN;
}

static void
show_waiting(struct bucket *b)
{
	const struct look *l = &b->look;
	int64_t oldest = l->oldest_left_ms;

	/* In order of time, and so are those under way, more or less. */
	if (l->next < l->listing.n && (oldest == 0 ||
	    l->listing.list[l->next].modified_ms < oldest))
		oldest = l->listing.list[l->next].modified_ms;
	atomic_store(&b->board->waiting,
	    (int64_t)(l->listing.n - l->next + l->listing.left + l->nleft + b->nfetches));
	atomic_store(&b->board->oldest_ms, oldest);
	atomic_store(&b->board->octets, (int64_t)(l->listing.octets - l->octets));
}

/* Named once, and counted in each look. */
static void
put_aside(struct bucket *b, const struct listed *what, const char *why)
{
	struct board_bucket *o = b->board;

	b->look.aside++;
	if (shunned_is(b->shunned, what, boot_ms()) == SHUN_ASIDE)
		return;
	shunned_note(b->shunned, what, SHUN_ASIDE, boot_ms());
	memset(o->aside_name, 0, sizeof(o->aside_name));
	memset(o->aside_why, 0, sizeof(o->aside_why));
	span_copy(span_str(what->name), o->aside_name, sizeof(o->aside_name));
	span_copy(span_of(why, strnlen(why, sizeof(o->aside_why) - 1)), o->aside_why,
	    sizeof(o->aside_why));
	if (b->look.lines++ < ASIDE_LINES)
		log_error(NULL, "bucket.aside bucket=%s name=%s size=%llu: %s; it stays there and "
		    "is not delivered", conf_of(b)->name, log_safe(span_str(what->name)).s,
		    (unsigned long long)what->size, why);
}

/* --- the end of a look -------------------------------------------------------------------- */

static bool
ready(const struct bucket *b)
{
	return b->drain->intake.up && !b->drain->draining;
}

static void
on_time(uv_timer_t *timer)
{
	begin(timer->data);
}

static enum pace_found
found(const struct look *l)
{
	if (l->failed)
		return PACE_FAILED;
	if (l->taken == 0)
		return PACE_NOTHING;
	return l->more || l->listing.left > 0 ? PACE_MORE : PACE_MAIL;
}

/* It is over: when the next one begins is decided here alone. */
static void
rest(struct bucket *b)
{
	int64_t now = boot_ms(), at = pace_next(&b->pace, found(&b->look), now);

	if (b->look.wait_ms > at - now)
		at = now + b->look.wait_ms;
	listing_fini(&b->look.listing);
	b->looking = LOOK_NOT;
	atomic_store(&b->board->looks, b->looks);
	atomic_store(&b->board->looking, 0);
	if (b->wanted)
		at = now;
	b->wanted = false;
	atomic_store(&b->board->next_ms, wall_ms() + at - now);
	if (!b->drain->draining)
		uv_timer_start(&b->timer, on_time, (uint64_t)(at - now), 0);
}

static void
on_kept(struct bucket_keep *k)
{
	rest((struct bucket *)((char *)k - offsetof(struct bucket, keep)));
}

/* Nothing is under way any more. */
static void
over(struct bucket *b)
{
	struct look *l = &b->look;

	show_waiting(b);
	atomic_store(&b->board->aside, (int64_t)l->aside);
	if (l->aside == 0) {
		memset(b->board->aside_name, 0, sizeof(b->board->aside_name));
		memset(b->board->aside_why, 0, sizeof(b->board->aside_why));
	} else if (l->lines > ASIDE_LINES) {
		log_error(NULL, "bucket.aside bucket=%s more=%u", conf_of(b)->name,
		    l->lines - ASIDE_LINES);
	}
	if (!l->failed) {
		atomic_store(&b->board->looked_ms, wall_ms());
		if (l->nleft == 0)
			show_error(b, "", false);
	}
	if (l->taken > 0)
		log_info(NULL, "bucket.drained bucket=%s taken=%llu octets=%llu left=%llu",
		    conf_of(b)->name, (unsigned long long)l->taken, (unsigned long long)l->octets,
		    (unsigned long long)(l->listing.left + l->nleft));
	if (l->failed || b->drain->draining || b->wanted || found(l) == PACE_MORE) {
		rest(b);
		return;
	}
	b->looking = LOOK_OVER;
	bucket_keep_run(&b->keep);
}

static void
trouble(struct bucket *b, const struct s3_answer *a)
{
	show_error(b, a->why.text, needs_operator(a->end));
	if (a->end == S3_SLOW_DOWN)
		b->look.wait_ms = a->wait_ms;
	b->look.failed = true;
}

/* The same of what did not even begin: memory is out. */
static void
cannot(struct bucket *b, const struct why *why)
{
	show_error(b, why->text, false);
	b->look.failed = true;
}

/* --- fetching ----------------------------------------------------------------------------- */

static void
left_behind(struct bucket *b, const struct listed *what)
{
	struct look *l = &b->look;

	l->nleft++;
	if (l->oldest_left_ms == 0 || what->modified_ms < l->oldest_left_ms)
		l->oldest_left_ms = what->modified_ms;
}

static void
failed(struct bucket *b, const struct listed *what, const struct fetch_end *end)
{
	struct look *l = &b->look;
	const struct s3_answer *a = &end->answer;
	const char *words = a->why.text[0] != '\0' ? a->why.text : end->words.text;
	struct why why;

	why_set(&why, "%s: %s", log_safe(span_str(what->name)).s, words);
	if (needs_operator(a->end) || a->end == S3_SLOW_DOWN ||
	    ++l->failures >= BUCKET_FAILURES_MAX)
		l->stopped = l->failed = true;
	if (a->end == S3_SLOW_DOWN)
		l->wait_ms = a->wait_ms;
	show_error(b, why.text, needs_operator(a->end));
}

/* Where nobody lets us delete, mail comes home all the same. */
static void
left_there(struct bucket *b, const struct listed *what, const struct fetch_end *end)
{
	bool stopped = b->look.stopped;

	failed(b, what, end);
	if (!needs_operator(end->answer.end))
		return;
	b->look.stuck = true;
	b->look.stopped = stopped;
}

static void
taken(struct bucket *b, const struct listed *what, const struct fetch_end *end)
{
	struct look *l = &b->look;

	l->taken++;
	l->octets += what->size;
	atomic_fetch_add(&b->board->taken, 1);
	if (conf_of(b)->keep_ms > 0)
		pace_spend(&b->pace, 1, boot_ms());	/* the copy */
	if (!end->before)
		board_add(b->drain->proc->board, BC_RECEIVED, 1);
	log_info(NULL, "mail.in bucket=%s edge=%s name=%s size=%llu%s", conf_of(b)->name,
	    log_safe(span_str(end->signer)).s, log_safe(span_str(what->name)).s,
	    (unsigned long long)what->size, end->before ? " known=1" : "");
}

static void
on_fetched(void *arg, const struct listed *what, const struct fetch_end *end)
{
	struct slot *s = arg;
	struct bucket *b = s->bucket;
	struct look *l = &b->look;
	int64_t now = boot_ms();

	s->fetch = NULL;
	b->nfetches--;
	b->no_conditions |= end->no_conditions;
	switch (end->what) {
	case FETCH_TAKEN:
		l->failures = 0;
		shunned_note(b->shunned, what, SHUN_NOT, now);
		taken(b, what, end);
		break;
	case FETCH_LEFT:
		shunned_note(b->shunned, what, SHUN_TAKEN, now);
		left_there(b, what, end);
		break;
	case FETCH_GONE:
		break;
	case FETCH_ASIDE:
		l->failures = 0;
		board_add(b->drain->proc->board, BC_FORGED, 1);
		put_aside(b, what, end->words.text);
		break;
	case FETCH_FAILED:
		left_behind(b, what);
		shunned_note(b->shunned, what, SHUN_LATER, now);
		failed(b, what, end);
		break;
	case FETCH_UNKEPT:
		left_behind(b, what);
		l->stopped = true;
		cannot(b, &end->words);
		break;
	}
	show_waiting(b);
	fetch_more(b);
}

static void
fetch_one(struct bucket *b, struct slot *s, const struct listed *what)
{
	const struct conf_bucket *c = conf_of(b);
	struct fetch_from from = { .drain = b->drain, .s3 = b->s3, .prefix = c->prefix,
		.processed = c->keep_ms > 0 ? CONF_BUCKET_PROCESSED : NULL,
		.old = c->old[0] != '\0' ? c->old : NULL, .no_conditions = b->no_conditions };
	bool here = shunned_is(b->shunned, what, boot_ms()) == SHUN_TAKEN;
	struct why why = { "" };

	s->fetch = fetch_new(&from, what, here, on_fetched, s, &why);
	if (s->fetch != NULL) {
		b->nfetches++;
		return;
	}
	left_behind(b, what);
	b->look.stopped = true;
	cannot(b, &why);
}

/* NULL: there is nothing more to do in this look. */
static const struct listed *
next_one(struct bucket *b)
{
	struct look *l = &b->look;

	while (l->next < l->listing.n) {
		const struct listed *what = &l->listing.list[l->next++];

		if (!l->stuck || shunned_is(b->shunned, what, boot_ms()) != SHUN_TAKEN)
			return what;
	}
	return NULL;
}

static void
fetch_more(struct bucket *b)
{
	struct look *l = &b->look;
	size_t most = conf_of(b)->fetches;
	const struct listed *what;

	for (size_t i = 0; i < most && !l->stopped; i++)
		if (b->slots[i].fetch == NULL && (what = next_one(b)) != NULL)
			fetch_one(b, &b->slots[i], what);
	if (b->nfetches == 0 && (l->stopped || l->next == l->listing.n))
		over(b);
}

/* --- listing ------------------------------------------------------------------------------ */

static void
list_one(struct bucket *b, const struct s3_object *o)
{
	const struct conf_bucket *c = conf_of(b);
	struct span name = span_from(span_str(o->key), strlen(c->prefix));
	struct listed one = { .modified_ms = o->modified_ms, .size = o->size };
	enum listed_form form;
	struct uuid id;

	if (name.n == 0)		/* what some tools make of a folder */
		return;
	span_copy(span_of(name.p, name.n < sizeof(one.name) ? name.n : sizeof(one.name) - 1),
	    one.name, sizeof(one.name));
	form = listed_read(name, &id);
	if (form == LISTED_FOREIGN || (form == LISTED_OLD && c->old[0] == '\0'))
		put_aside(b, &one, "its name is no id of ours with .age");
	else if (o->size > b->drain->proc->home->hold.quota)
		put_aside(b, &one, "larger than all that this home may keep (hold.quota)");
	else
		switch (shunned_is(b->shunned, &one, boot_ms())) {
		case SHUN_ASIDE:
			b->look.aside++;
			break;
		case SHUN_LATER:
			left_behind(b, &one);
			break;
		case SHUN_NOT:
		case SHUN_TAKEN:
			/* Memory that is out: what is not listed waits for the next look. */
			if (!listing_add(&b->look.listing, &one))
				b->look.more = true;
			break;
		}
}

static void
on_page(void *arg, const struct s3_page *page)
{
	struct bucket *b = arg;

	for (size_t i = 0; i < page->n; i++)
		list_one(b, &page->objects[i]);
	b->look.aside += page->unnamed;
}

static void on_listed(void *, const struct s3_answer *);
static const struct s3_ops list_ops = { .page = on_page, .done = on_listed };

static void
list_page(struct bucket *b)
{
	struct why why = { "" };

	pace_spend(&b->pace, 1, boot_ms());
	b->call = s3_list(b->s3, conf_of(b)->prefix, S3_PAGE_MAX, &b->look.walk, &list_ops, b,
	    &why);
	if (b->call != NULL)
		return;
	cannot(b, &why);
	over(b);
}

static void
on_listed(void *arg, const struct s3_answer *a)
{
	struct bucket *b = arg;
	struct look *l = &b->look;

	b->call = NULL;
	if (a->end == S3_SKEWED && !l->skewed) {
		l->skewed = true;
		list_page(b);
		return;
	}
	if (a->end == S3_DONE && !l->walk.over && l->walk.pages < BUCKET_PAGES_MAX) {
		list_page(b);
		return;
	}
	l->more = l->more || !l->walk.over;
	/* A listing that breaks off, or goes in circles, is an alarm; what it named is mail. */
	if (a->end != S3_DONE)
		trouble(b, a);
	l->stopped = a->end != S3_DONE && a->end != S3_STRANGE;
	listing_sort(&l->listing);
	b->looking = LOOK_FETCHES;
	show_waiting(b);
	fetch_more(b);
}

static void
begin(struct bucket *b)
{
	if (b->looking != LOOK_NOT || !ready(b))
		return;
	uv_timer_stop(&b->timer);
	listing_fini(&b->look.listing);
	b->look = (struct look){ .next = 0 };
	b->looking = LOOK_LISTS;
	b->looks++;
	atomic_store(&b->board->looking, 1);
	list_page(b);
}

/* --- its life ----------------------------------------------------------------------------- */

void
bucket_configure(struct bucket *b)
{
	const struct conf_bucket *c = conf_of(b);

	pace_configure(&b->pace, c->poll_ms, c->requests);
	shunned_again(b->shunned);
	(void)bucket_look(b);
}

void
bucket_go(struct bucket *b)
{
	begin(b);
}

void
bucket_signers(struct bucket *b)
{
	shunned_again(b->shunned);
	if (atomic_load(&b->board->aside) > 0)
		(void)bucket_look(b);
}

void
bucket_recipients(struct bucket *b)
{
	if (conf_of(b)->old[0] != '\0' && b->looks > 0)
		(void)bucket_look(b);
}

uint64_t
bucket_look(struct bucket *b)
{
	if (b->looking == LOOK_NOT)
		begin(b);
	else
		b->wanted = true;
	return b->looks + (b->looking == LOOK_NOT || b->wanted);
}

void
bucket_stop(struct bucket *b)
{
	uv_timer_stop(&b->timer);
	b->look.stopped = true;
	if (b->call != NULL)
		s3_call_cancel(&b->call);
	bucket_keep_stop(&b->keep);
}

bool
bucket_busy(const struct bucket *b)
{
	return b->nfetches > 0;
}

void
bucket_keys(struct bucket *b, const struct s3_keys *keys)
{
	s3_keys_change(b->s3, keys);
	if (b->looking == LOOK_NOT)
		begin(b);
}

struct bucket *
bucket_new(struct drain_proc *d, size_t place, const struct s3_keys *keys, struct why *why)
{
	const struct conf_bucket *c = &d->proc->home->buckets[place];
	const struct s3_place where = { .endpoint = c->endpoint, .bucket = c->bucket,
		.region = c->region, .virtual_host = c->style == CONF_BUCKET_HOST,
		.authorities = buf_span(&d->authorities[place]) };
	struct bucket *b = calloc(1, sizeof(*b));

	if (b == NULL || (b->shunned = shunned_new()) == NULL) {
		free(b);
		why_set(why, "bucket %s: memory is out", c->name);
		return NULL;
	}
	b->drain = d;
	b->place = place;
	b->board = &d->proc->board->bucket[place];
	if ((b->s3 = s3_new(d->http, d->resolver, &where, keys, why)) == NULL) {
		shunned_free(&b->shunned);
		free(b);
		return NULL;
	}
	b->keep = (struct bucket_keep){
		.drain = d, .place = place, .s3 = b->s3, .pace = &b->pace, .done = on_kept,
	};
	for (size_t i = 0; i < CONF_FETCHES_MAX; i++)
		b->slots[i].bucket = b;
	atomic_store(&b->board->expires_ms, -1);
	memset(b->board->name, 0, sizeof(b->board->name));
	span_copy(span_str(c->name), b->board->name, sizeof(b->board->name));
	pace_configure(&b->pace, c->poll_ms, c->requests);
	uv_timer_init(d->loop, &b->timer);
	b->timer.data = b;
	return b;
}
