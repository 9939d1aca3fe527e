#include "ctl/bucket_stray.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/backup_files.h"
#include "ctl/text.h"
#include "proto/s3_listing.h"

struct prefix {
	char		 text[S3_KEY_MAX + 1];
	char		 key[S3_KEY_MAX + 1];	/* one object below it */
	size_t		 n;
	int64_t		 oldest_ms;		/* by the store's clock */
};

struct stray {
	const struct role *role;
	const struct conf_bucket *bucket;
	struct s3_walk	 walk;
	struct prefix	 list[BUCKET_STRAY_PREFIXES];
	size_t		 n, at;			/* at: the one whose object is asked about */
	char		 signer[256];		/* of that object; "": unsaid */
};

/* Whether somebody of this home looks there. */
static bool
is_looked_at(const struct stray *s, struct span prefix)
{
	const struct conf_home *h = s->role->home;

	for (size_t i = 0; i < h->nbuckets; i++) {
		const struct conf_bucket *b = &h->buckets[i];

		if (strcmp(b->bucket, s->bucket->bucket) == 0 &&
		    strcmp(b->endpoint, s->bucket->endpoint) == 0 &&
		    span_eq(prefix, span_str(b->prefix)))
			return true;
	}
	return prefix.n >= strlen(CONF_BUCKET_PROCESSED) &&
	    memcmp(prefix.p, CONF_BUCKET_PROCESSED, strlen(CONF_BUCKET_PROCESSED)) == 0;
}

static void
note(struct stray *s, const struct s3_object *o)
{
	const char *slash = strrchr(o->key, '/');
	struct span prefix = span_of(o->key, slash != NULL ? (size_t)(slash + 1 - o->key) : 0);
	struct prefix *p = s->list;
	struct uuid id;

	if (!s3_held_name(span_str(o->key + prefix.n), &id) || is_looked_at(s, prefix))
		return;
	while (p < s->list + s->n && !span_eq(prefix, span_str(p->text)))
		p++;
	if (p == s->list + BUCKET_STRAY_PREFIXES)
		return;
	if (p == s->list + s->n) {
		s->n++;
		span_copy(prefix, p->text, sizeof(p->text));
		span_copy(span_str(o->key), p->key, sizeof(p->key));
		p->oldest_ms = o->modified_ms;
	}
	p->n++;
	if (o->modified_ms < p->oldest_ms)
		p->oldest_ms = o->modified_ms;
}

static void
on_page(void *door, const struct s3_page *page)
{
	struct bucket_door *d = door;

	for (size_t i = 0; i < page->n; i++)
		note(d->of, &page->objects[i]);
}

static bool
on_head(void *door, const struct s3_head *head)
{
	struct bucket_door *d = door;
	struct stray *s = d->of;

	for (size_t i = 0; i < head->nmeta; i++)
		if (strcmp(head->meta[i].name, "posthouse-edge") == 0)
			span_copy(head->meta[i].value, s->signer, sizeof(s->signer));
	return true;
}

static const struct s3_ops ops = { .page = on_page, .head = on_head, .done = bucket_door_done };

static struct s3_call *
ask_list(struct bucket_door *d, struct why *why)
{
	return s3_list(d->s3, "", S3_PAGE_MAX, &((struct stray *)d->of)->walk, &ops, d, why);
}

static struct s3_call *
ask_head(struct bucket_door *d, struct why *why)
{
	const struct stray *s = d->of;

	return s3_head(d->s3, s->list[s->at].key, &ops, d, why);
}

/* A stranger's octets: whoever may write there chose them. */
static bool
is_ours(const struct role *r, const char *signer)
{
	char path[BACKUP_PATH_MAX];

	if (signer[0] == '\0' || signer[0] == '.' || strchr(signer, '/') != NULL)
		return false;
	snprintf(path, sizeof(path), "%s/" BACKUP_EDGES "/%s", r->common->state, signer);
	return conf_home_worker(r->home, signer) != NULL || access(path, F_OK) == 0;
}

static void
say(const struct bucket_door *d, const struct stray *s, const struct findings *to)
{
	const struct prefix *p = &s->list[s->at];
	bool worker = conf_home_worker(s->role->home, s->signer) != NULL;
	char advice[SHOWN_MAX];

	snprintf(advice, sizeof(advice), "write %s%s%s%s\" for %s; a bucket { } more here, with "
	    "prefix = \"%.255s\", brings home what lies there", worker ? "BUCKET_PREFIX = \"" :
	    "spool = \"s3://", worker ? "" : s->bucket->bucket, worker ? "" : "/",
	    s->bucket->prefix, s->signer, p->text);
	finding_tell(to, FINDING_FAIL, "elsewhere", advice, "mail that %s put there lies below "
	    "%.300s, where home does not look: %zu object%s, the oldest for %s", s->signer,
	    p->text[0] != '\0' ? p->text : "no prefix", p->n, p->n == 1 ? "" : "s",
	    brief_age(wall_ms() - d->skew_ms - p->oldest_ms).s);
}

void
bucket_stray(struct bucket_door *d, const struct role *r, const struct findings *to)
{
	struct stray s = { .role = r, .bucket = d->conf };
	void *was = d->of;

	d->of = &s;
	while (!s.walk.over && s.walk.pages < BUCKET_STRAY_PAGES)
		if (bucket_ask(d, ask_list) != S3_DONE)
			break;
	for (s.at = 0; s.at < s.n; s.at++) {
		s.signer[0] = '\0';
		if (bucket_ask(d, ask_head) == S3_DONE && is_ours(r, s.signer))
			say(d, &s, to);
	}
	d->of = was;
}
