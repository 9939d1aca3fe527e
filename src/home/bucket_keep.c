#include "home/bucket_keep.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

static void go_on(struct bucket_keep *);
static void expire_next(struct bucket_keep *);

static const struct conf_bucket *
conf_of(const struct bucket_keep *k)
{
	return &k->drain->proc->home->buckets[k->place];
}

static struct board_bucket *
board_of(const struct bucket_keep *k)
{
	return &k->drain->proc->board->bucket[k->place];
}

/* --- by what rules the store deletes ------------------------------------------------------- */

static void
on_rules(void *arg, const struct s3_lifecycle *rules)
{
	struct bucket_keep *k = arg;

	atomic_store(&board_of(k)->expires_ms,
	    s3_lifecycle_age(rules, conf_of(k)->prefix, wall_ms()));
}

static void
on_rules_done(void *arg, const struct s3_answer *a)
{
	struct bucket_keep *k = arg;

	k->call = NULL;
	if (a->end == S3_GONE)
		atomic_store(&board_of(k)->expires_ms, 0);
	else if (a->end != S3_DONE)	/* many keys may not read them, which is no trouble */
		atomic_store(&board_of(k)->expires_ms, -1);
	go_on(k);
}

/* --- what was kept long enough ------------------------------------------------------------- */

static void
on_gone(void *arg, const struct s3_answer *a)
{
	struct bucket_keep *k = arg;

	k->call = NULL;
	if (a->end != S3_DONE && a->end != S3_GONE) {
		log_warn(NULL, "bucket.expire bucket=%s: %s", conf_of(k)->name, a->why.text);
		k->nold = 0;
	}
	expire_next(k);
}

static void
expire_next(struct bucket_keep *k)
{
	static const struct s3_ops ops = { .done = on_gone };
	char key[FETCH_KEY_MAX];
	struct why why;

	if (k->nold > 0) {
		snprintf(key, sizeof(key), "%s%s", CONF_BUCKET_PROCESSED, k->old[--k->nold].name);
		if ((k->call = s3_delete(k->s3, key, &ops, k, &why)) != NULL)
			return;
	}
	k->done(k);
}

static void
on_page(void *arg, const struct s3_page *page)
{
	struct bucket_keep *k = arg;
	int64_t until = wall_ms() - conf_of(k)->keep_ms;
	struct uuid id;

	for (size_t i = 0; i < page->n && k->nold < S3_PAGE_MAX; i++) {
		struct span name = span_from(span_str(page->objects[i].key),
		    strlen(CONF_BUCKET_PROCESSED));

		/* Nothing is deleted that is not named as we name things. */
		if (page->objects[i].modified_ms < until && page->objects[i].modified_ms > 0 &&
		    listed_read(name, &id) != LISTED_FOREIGN)
			span_copy(name, k->old[k->nold++].name, sizeof(k->old[0].name));
	}
}

static void
on_listed(void *arg, const struct s3_answer *a)
{
	struct bucket_keep *k = arg;

	k->call = NULL;
	if (a->end != S3_DONE || k->walk.over) {
		k->walk = (struct s3_walk){ .over = false };
		k->expiry_ms = boot_ms() + BUCKET_EXPIRY_MS;
	}
	expire_next(k);
}

/* --- one after the other ------------------------------------------------------------------- */

static void
go_on(struct bucket_keep *k)
{
	static const struct s3_ops rules_ops = { .lifecycle = on_rules, .done = on_rules_done },
	    old_ops = { .page = on_page, .done = on_listed };
	int64_t now = boot_ms();
	struct why why;

	if (!k->rules_asked && k->rules_ms <= now) {
		k->rules_asked = true;
		k->rules_ms = now + BUCKET_RULES_MS;
		if ((k->call = s3_lifecycle(k->s3, &rules_ops, k, &why)) != NULL)
			return;
	}
	if (conf_of(k)->keep_ms > 0 && k->expiry_ms <= now) {
		pace_spend(k->pace, 1, now);
		k->nold = 0;
		k->call = s3_list(k->s3, CONF_BUCKET_PROCESSED, S3_PAGE_MAX, &k->walk, &old_ops, k,
		    &why);
		if (k->call != NULL)
			return;
	}
	k->done(k);
}

void
bucket_keep_run(struct bucket_keep *k)
{
	k->rules_asked = false;
	if (!k->stopped)
		go_on(k);
}

void
bucket_keep_stop(struct bucket_keep *k)
{
	k->stopped = true;
	if (k->call != NULL)
		s3_call_cancel(&k->call);
}
