#include "edge/bucket_watch.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "edge/tally.h"

#define LOOK_MS		300000
#define LOOK_FULL_MS	30000		/* while half of the quota or more is used */
#define LOOK_AWAY_MS	5000
#define LOOK_ROOM_MS	5000		/* for room, doubling: a listing costs its owner money */
#define LOOK_PAGES	10		/* ten thousand names: what is beyond is not counted */

struct look {
	struct s3_walk	 walk;
	int64_t		 n, oldest_ms;
	uint64_t	 octets;
	uint64_t	 put_before;	/* what we had put when it began */
};

struct bucket_watch {
	struct s3	*s3;
	const struct conf_edge *conf;	/* a reload changes it in place */
	struct board_bucket *board;
	struct tally	*tally;
	bucket_looked_fn *told;
	void		*arg;
	enum trouble	 trouble;
	struct s3_call	*call;
	struct look	 look, seen;	/* under way; the last whole one */
	struct instant	 look_at;
	bool		 full;		/* somebody was turned away since the last look */
	int64_t		 room_ms;	/* how soon that brings a look */
	bool		 skewed;	/* it was asked a second time for the clock */
	uint64_t	 put;		/* octets, since start */
};

/* --- what is shown ------------------------------------------------------------------------ */

void
bucket_watch_trouble(struct bucket_watch *w, enum trouble what, const char *words)
{
	struct board_bucket *o = w->board;

	if (what < w->trouble)
		return;
	if (what != w->trouble || strncmp(o->error, words, sizeof(o->error) - 1) != 0)
		log_warn(NULL, "bucket.trouble bucket=%s: %s", w->conf->bucket[0].name, words);
	w->trouble = what;
	atomic_store(&o->alarm, what > TROUBLE_REACH);
	memset(o->error, 0, sizeof(o->error));
	span_copy(span_of(words, strnlen(words, sizeof(o->error) - 1)), o->error,
	    sizeof(o->error));
}

static void
well(struct bucket_watch *w, enum trouble least, enum trouble most)
{
	atomic_store(&w->board->away, 0);
	if (w->trouble < least || w->trouble > most)
		return;
	w->trouble = TROUBLE_NONE;
	log_info(NULL, "bucket.well bucket=%s", w->conf->bucket[0].name);
	atomic_store(&w->board->alarm, 0);
	memset(w->board->error, 0, sizeof(w->board->error));
}

void
bucket_watch_put(struct bucket_watch *w, const struct spool_meta *m, uint64_t octets)
{
	tally_add(w->tally, m, octets);
	w->put += octets;
	atomic_fetch_add(&w->board->taken, 1);
	well(w, TROUBLE_REACH, TROUBLE_PUT);
}

uint64_t
bucket_watch_room(const struct bucket_watch *w)
{
	uint64_t there = w->seen.octets + (w->put - w->seen.put_before);

	return there < w->conf->hold.quota ? w->conf->hold.quota - there : 0;
}

uint64_t
bucket_watch_of(const struct bucket_watch *w, const char *home, const struct netaddr *net)
{
	return tally_octets(w->tally, home, net);
}

/* --- looks -------------------------------------------------------------------------------- */

static void
look_in(struct bucket_watch *w, int64_t ms)
{
	w->look_at.ns = instant_now().ns + ms * 1000000;
	atomic_store(&w->board->next_ms, wall_ms() + ms);
}

void
bucket_watch_soon(struct bucket_watch *w, int64_t ms)
{
	struct instant soon = { instant_now().ns + ms * 1000000 };

	if (soon.ns < w->look_at.ns)
		look_in(w, ms);
}

void
bucket_watch_full(struct bucket_watch *w)
{
	w->full = true;
	bucket_watch_soon(w, w->room_ms);
}

void
bucket_watch_away(struct bucket_watch *w, const char *words)
{
	if (w->trouble < TROUBLE_REACH)
		bucket_watch_trouble(w, TROUBLE_REACH, words);
	atomic_store(&w->board->away, 1);
	bucket_watch_soon(w, 0);
}

static bool
held_name(const struct bucket_watch *w, const char *key, struct uuid *id)
{
	size_t n = strlen(w->conf->bucket[0].prefix);

	return strncmp(key, w->conf->bucket[0].prefix, n) == 0 &&
	    s3_held_name(span_str(key + n), id);
}

static void
on_page(void *arg, const struct s3_page *page)
{
	struct bucket_watch *w = arg;
	struct look *l = &w->look;

	for (size_t i = 0; i < page->n; i++) {
		const struct s3_object *o = &page->objects[i];
		struct uuid id;

		l->octets += o->size;
		if (!held_name(w, o->key, &id))	/* a folder's mark, say: home names the others */
			continue;
		tally_seen(w->tally, id);
		l->n++;
		if (l->oldest_ms == 0 || o->modified_ms < l->oldest_ms)
			l->oldest_ms = o->modified_ms;
	}
}

static void on_looked(void *, const struct s3_answer *);
static const struct s3_ops ops = { .page = on_page, .done = on_looked };

static void
next_page(struct bucket_watch *w)
{
	struct why why;

	w->call = s3_list(w->s3, w->conf->bucket[0].prefix, S3_PAGE_MAX, &w->look.walk, &ops, w,
	    &why);
	if (w->call == NULL)
		look_in(w, LOOK_AWAY_MS);
}

/* whole: what it did not find of what was there before it began counts no more. */
static void
look_over(struct bucket_watch *w, bool whole)
{
	struct board_bucket *o = w->board;

	if (tally_looked(w->tally, whole) || !w->full)
		w->room_ms = LOOK_ROOM_MS;
	else if (w->room_ms < LOOK_MS)
		w->room_ms *= 2;
	w->full = false;
	w->seen = w->look;
	atomic_store(&o->waiting, w->seen.n);
	atomic_store(&o->octets, (int64_t)w->seen.octets);
	atomic_store(&o->oldest_ms, w->seen.oldest_ms);
}

static void
looked(struct bucket_watch *w)
{
	look_over(w, w->look.walk.over);
	atomic_store(&w->board->looked_ms, wall_ms());
	well(w, TROUBLE_COUNT, TROUBLE_LOOK);
	look_in(w, w->seen.octets > w->conf->hold.quota / 2 ? LOOK_FULL_MS : LOOK_MS);
}

/* It answers, and does not tell what lies there: what is unknown must not fill a quota for ever. */
static void
blind(struct bucket_watch *w)
{
	atomic_store(&w->board->away, 0);
	look_over(w, true);
	look_in(w, LOOK_MS);
}

static void
failed(struct bucket_watch *w, const struct s3_answer *a)
{
	look_in(w, a->wait_ms > LOOK_AWAY_MS ? a->wait_ms : LOOK_AWAY_MS);
	switch (a->end) {
	case S3_NO_BUCKET:
	case S3_FORBIDDEN:
	case S3_ELSEWHERE:
		atomic_store(&w->board->away, 1);
		bucket_watch_trouble(w, TROUBLE_LOOK, a->why.text);
		break;
	case S3_NOT_REACHED:
		atomic_store(&w->board->away, 1);
		bucket_watch_trouble(w, TROUBLE_REACH, a->why.text);
		break;
	case S3_UNKNOWN:
	case S3_REFUSED:
	case S3_STRANGE:
		blind(w);
		bucket_watch_trouble(w, TROUBLE_COUNT, a->why.text);
		break;
	default:		/* a PUT may go better than a long listing: senders find out */
		bucket_watch_trouble(w, TROUBLE_COUNT, a->why.text);
		break;
	}
}

static void
on_looked(void *arg, const struct s3_answer *a)
{
	struct bucket_watch *w = arg;

	w->call = NULL;
	if (a->end == S3_SKEWED && !w->skewed) {
		w->skewed = true;
		next_page(w);
		return;
	}
	if (a->end == S3_DONE && !w->look.walk.over && w->look.walk.pages < LOOK_PAGES) {
		next_page(w);
		return;
	}
	atomic_fetch_add(&w->board->looks, 1);
	atomic_store(&w->board->looking, 0);
	if (a->end == S3_DONE) {
		looked(w);
	} else if (a->end == S3_FORBIDDEN && strcmp(a->code, "AccessDenied") == 0) {
		/* We are known, and may put, perhaps: an edge needs no more. */
		well(w, TROUBLE_COUNT, TROUBLE_LOOK);
		blind(w);
	} else {
		failed(w, a);
	}
	w->told(w->arg);
}

void
bucket_watch_tick(struct bucket_watch *w)
{
	if (w->call != NULL || w->look_at.ns > instant_now().ns)
		return;
	w->look = (struct look){ .put_before = w->put };
	tally_look(w->tally);
	w->skewed = false;
	atomic_store(&w->board->looking, 1);
	next_page(w);
}

/* --- its life ----------------------------------------------------------------------------- */

struct bucket_watch *
bucket_watch_new(struct s3 *s3, const struct conf_edge *conf, struct board_bucket *board,
    bucket_looked_fn *told, void *arg)
{
	struct bucket_watch *w = calloc(1, sizeof(*w));

	if (w == NULL || (w->tally = tally_new()) == NULL) {
		free(w);
		return NULL;
	}
	w->s3 = s3;
	w->conf = conf;
	w->room_ms = LOOK_ROOM_MS;
	w->board = board;
	w->told = told;
	w->arg = arg;
	memset(board->name, 0, sizeof(board->name));
	span_copy(span_str(conf->bucket[0].name), board->name, sizeof(board->name));
	memset(board->error, 0, sizeof(board->error));
	atomic_store(&board->alarm, 0);
	atomic_store(&board->expires_ms, -1);
	atomic_store(&board->away, 0);
	return w;
}
