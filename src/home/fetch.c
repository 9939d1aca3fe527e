#include "home/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "home/old_mail.h"

struct fetch {
	struct fetch_from from;
	struct listed	 what;
	struct uuid	 id;
	fetch_fn	*done;
	void		*arg;
	struct s3_call	*call;
	struct spool_put *put;
	struct object_mac *omac;
	unsigned char	 mac[OBJECT_MAC_LEN];
	struct old_mail	*old;		/* in put's and omac's place */
	/* its metadata */
	char		 said_from[ADDRESS_PRINT_MAX], said_to[ADDRESS_PRINT_MAX];
	char		 etag[200];	/* of what came; "": unsaid, or a weak one */
	enum listed_form form;
	bool		 refused;	/* its deletion, for another is said to be there */
	bool		 same;		/* what is there now is what was fetched, as far as asked */
	bool		 skewed;	/* it was asked a second time for the clock */
	struct fetch_end end;
};

static void
fetch_free(struct fetch *f)
{
	object_mac_free(&f->omac);
	old_mail_free(&f->old);
	if (f->put != NULL)
		spool_put_drop(&f->put);
	free(f);
}

static void
finish(struct fetch *f, enum fetched what)
{
	f->end.what = what;
	f->done(f->arg, &f->what, &f->end);
	fetch_free(f);
}

static void
key_of(const struct fetch *f, const char *below, char key[FETCH_KEY_MAX])
{
	snprintf(key, FETCH_KEY_MAX, "%s%s", below, f->what.name);
}

/* --- it is here: away with it there ------------------------------------------------------- */

static void on_copied(void *, const struct s3_answer *);
static void on_deleted(void *, const struct s3_answer *);
static bool begin_check(struct fetch *);
static const struct s3_ops copy_ops = { .done = on_copied }, delete_ops = { .done = on_deleted };

static bool
conditional(const struct fetch *f)
{
	return f->etag[0] != '\0' && !f->from.no_conditions;
}

static bool
begin_delete(struct fetch *f)
{
	char key[FETCH_KEY_MAX];

	key_of(f, f->from.prefix, key);
	if (conditional(f))
		f->call = s3_delete_same(f->from.s3, key, f->etag, &delete_ops, f, &f->end.words);
	else
		f->call = s3_delete(f->from.s3, key, &delete_ops, f, &f->end.words);
	return f->call != NULL;
}

static bool
begin_copy(struct fetch *f)
{
	char key[FETCH_KEY_MAX], to[FETCH_KEY_MAX];

	if (f->from.processed == NULL)
		return begin_delete(f);
	key_of(f, f->from.prefix, key);
	key_of(f, f->from.processed, to);
	f->call = s3_copy(f->from.s3, key, to, &copy_ops, f, &f->end.words);
	return f->call != NULL;
}

/* Asks again, once, what was refused for our clock.  True: it did. */
static bool
once_more(struct fetch *f, const struct s3_answer *a, bool (*begin)(struct fetch *))
{
	if (a->end != S3_SKEWED || f->skewed)
		return false;
	f->skewed = true;
	return begin(f);
}

static void
on_copied(void *arg, const struct s3_answer *a)
{
	struct fetch *f = arg;

	f->call = NULL;
	if (once_more(f, a, begin_copy))
		return;
	f->end.answer = *a;
	if (a->end == S3_GONE)		/* another drain was quicker */
		finish(f, FETCH_TAKEN);
	else if (a->end != S3_DONE || !begin_delete(f))
		finish(f, FETCH_LEFT);
}

static void
on_deleted(void *arg, const struct s3_answer *a)
{
	struct fetch *f = arg;

	f->call = NULL;
	if (once_more(f, a, begin_delete))
		return;
	f->end.answer = *a;
	if (a->end == S3_CHANGED && conditional(f)) {
		f->refused = true;
		if (begin_check(f))
			return;
	}
	if ((a->end == S3_UNKNOWN || a->end == S3_REFUSED) && conditional(f)) {
		f->from.no_conditions = true;
		if (begin_delete(f))
			return;
	}
	f->end.no_conditions = a->end == S3_DONE && f->from.no_conditions;
	finish(f, a->end == S3_DONE || a->end == S3_GONE ? FETCH_TAKEN : FETCH_LEFT);
}

/* --- is it still the same? ------------------------------------------------------------------ */

static struct span
meta_get(const struct s3_head *h, const char *name)
{
	for (size_t i = 0; i < h->nmeta; i++)
		if (strcmp(h->meta[i].name, name) == 0)
			return h->meta[i].value;
	return span_of(NULL, 0);
}

static bool
on_head_again(void *arg, const struct s3_head *h)
{
	struct fetch *f = arg;

	f->same = !f->refused || span_eq(h->etag, span_str(f->etag));
	if (f->form == LISTED_OLD)
		f->same &= span_eq(meta_get(h, "from"), span_str(f->said_from)) &&
		    span_eq(meta_get(h, "to"), span_str(f->said_to));
	return true;
}

static void on_checked(void *, const struct s3_answer *);
static const struct s3_ops check_ops = { .head = on_head_again, .done = on_checked };

static bool
begin_check(struct fetch *f)
{
	char key[FETCH_KEY_MAX];

	key_of(f, f->from.prefix, key);
	f->call = s3_head(f->from.s3, key, &check_ops, f, &f->end.words);
	return f->call != NULL;
}

static void
on_checked(void *arg, const struct s3_answer *a)
{
	struct fetch *f = arg;

	f->call = NULL;
	if (once_more(f, a, begin_check))
		return;
	f->end.answer = *a;
	if (a->end == S3_GONE || (a->end == S3_DONE && !f->same)) {
		finish(f, FETCH_GONE);	/* another message is there: the next look takes it */
		return;
	}
	/* A store that refuses an ETag which it says itself: it would never let go of anything. */
	if (f->refused)
		f->from.no_conditions = true;
	if (a->end != S3_DONE || !(f->refused ? begin_delete(f) : begin_copy(f)))
		finish(f, FETCH_LEFT);
}

/* --- keeping ------------------------------------------------------------------------------ */

static void
on_kept(void *arg, enum kept kept, int64_t row, const struct why *why)
{
	struct fetch *f = arg;

	f->end.before = kept == KEPT_BEFORE;
	if (kept == KEPT || kept == KEPT_BEFORE) {
		if (!(f->form == LISTED_OLD ? begin_check(f) : begin_copy(f)))
			finish(f, FETCH_LEFT);
		return;
	}
	why_set(&f->end.words, "%s", why != NULL && why->text[0] != '\0' ? why->text :
	    "the spool does not answer");
	finish(f, FETCH_UNKEPT);
}

static void
judge_old(struct fetch *f)
{
	if (!old_mail_named(f->old)) {
		why_set(&f->end.words, "its octets are not those that its name says");
		finish(f, FETCH_ASIDE);
		return;
	}
	if (old_mail_commit(&f->old, on_kept, f, &f->end.words) == -1)
		finish(f, FETCH_UNKEPT);
}

/* All of it has come. */
static void
judge(struct fetch *f)
{
	const struct home_edge *e = edges_find(&f->from.drain->intake.edges, f->end.signer);

	if (e == NULL || e->peer.nmac == 0) {
		why_set(&f->end.words, "%s is not paired with this home any more",
		    log_safe(span_str(f->end.signer)).s);
		finish(f, FETCH_ASIDE);
	} else if (!object_mac_check(f->omac, e->peer.mac, e->peer.nmac, f->id, f->mac)) {
		why_set(&f->end.words, "its MAC is wrong: it was not made by %s, or not under this "
		    "name", log_safe(span_str(f->end.signer)).s);
		finish(f, FETCH_ASIDE);
	} else {
		spool_put_commit(&f->put, f->mac, on_kept, f);
	}
}

/* --- the object comes --------------------------------------------------------------------- */

static bool
aside(struct fetch *f, const char *words)
{
	why_set(&f->end.words, "%s", words);
	f->end.what = FETCH_ASIDE;
	return false;
}

static bool
unkept(struct fetch *f, const char *words)
{
	why_set(&f->end.words, "%s", words);
	f->end.what = FETCH_UNKEPT;
	return false;
}

static bool
on_old_head(struct fetch *f, const struct s3_head *h)
{
	const struct drain_proc *d = f->from.drain;
	const struct home_edge *w = f->from.old == NULL ? NULL :
	    edges_find(&d->intake.edges, f->from.old);
	struct span from = meta_get(h, "from"), to = meta_get(h, "to");
	bool later;

	if (w == NULL || w->peer.nmac == 0)
		return aside(f, "an older pipeline's message, and bucket.old names no worker that "
		    "brings them");
	if (!span_copy(from, f->said_from, sizeof(f->said_from)) ||
	    !span_copy(to, f->said_to, sizeof(f->said_to)))
		return aside(f, "its metadata from and to are no addresses");
	span_copy(span_str(w->name), f->end.signer, sizeof(f->end.signer));
	if (d->delivery.nrecipients == 0)
		return unkept(f, "the keys that it is to be sealed to are not known yet");
	f->old = old_mail_new(d->intake.spool, w, d->delivery.recipients,
	    d->delivery.nrecipients, f->what.name, from, to, &later, &f->end.words);
	f->end.what = later ? FETCH_UNKEPT : FETCH_ASIDE;
	return f->old != NULL;
}

static bool
on_head(void *arg, const struct s3_head *h)
{
	struct fetch *f = arg;
	struct spool_meta meta = { .id = f->id, .origin = ORIGIN_BUCKET,
		.received_ms = wall_ms() };
	struct span signer = meta_get(h, "posthouse-edge");
	const struct home_edge *e;

	if (h->etag.n > 0 && h->etag.p[0] == '"')
		span_copy(h->etag, f->etag, sizeof(f->etag));
	if (f->form == LISTED_OLD)
		return on_old_head(f, h);
	if (signer.n == 0 || !hex_decode(meta_get(h, "posthouse-mac"), f->mac, sizeof(f->mac)))
		return aside(f, "it has no posthouse-mac of 64 hexadecimal digits, or no "
		    "posthouse-edge");
	if (!span_copy(signer, f->end.signer, sizeof(f->end.signer)) ||
	    (e = edges_find(&f->from.drain->intake.edges, f->end.signer)) == NULL ||
	    e->peer.nmac == 0) {
		why_set(&f->end.words, "it says that it is by %s, which is not paired with this "
		    "home", log_safe(signer).s);
		f->end.what = FETCH_ASIDE;
		return false;
	}
	span_copy(span_str(e->name), meta.signer, sizeof(meta.signer));
	span_copy(span_str(e->peer.home), meta.home, sizeof(meta.home));
	f->put = spool_put_new(f->from.drain->intake.spool, &meta);
	f->omac = object_mac_new();
	return f->put != NULL && f->omac != NULL ? true : unkept(f, "memory is out");
}

static bool
on_body(void *arg, struct span s)
{
	struct fetch *f = arg;
	struct why why = { "" };

	if (f->old != NULL)
		return old_mail_add(f->old, s, &why) == 0 ? true : unkept(f, why.text);
	object_mac_add(f->omac, s.p, s.n);
	return spool_put_add(f->put, s.p, s.n, &why) == 0 ? true : unkept(f, why.text);
}

static void on_got(void *, const struct s3_answer *);
static const struct s3_ops get_ops = { .head = on_head, .body = on_body, .done = on_got };

static bool
begin_get(struct fetch *f)
{
	char key[FETCH_KEY_MAX];

	key_of(f, f->from.prefix, key);
	f->call = s3_get(f->from.s3, key, f->from.drain->proc->home->hold.quota, &get_ops, f,
	    &f->end.words);
	return f->call != NULL;
}

static void
on_got(void *arg, const struct s3_answer *a)
{
	struct fetch *f = arg;

	f->call = NULL;
	if (once_more(f, a, begin_get))
		return;
	f->end.answer = *a;
	if (a->end == S3_DONE && f->old != NULL)
		judge_old(f);
	else if (a->end == S3_DONE && f->put != NULL)
		judge(f);
	else if (a->end == S3_STOPPED)
		finish(f, f->end.what);
	else
		finish(f, a->end == S3_GONE ? FETCH_GONE : FETCH_FAILED);
}

/* --- its life ----------------------------------------------------------------------------- */

struct fetch *
fetch_new(const struct fetch_from *from, const struct listed *what, bool taken, fetch_fn *done,
    void *arg, struct why *why)
{
	struct fetch *f = calloc(1, sizeof(*f));

	if (f == NULL) {
		why_set(why, "memory is out");
		return NULL;
	}
	f->from = *from;
	f->what = *what;
	f->done = done;
	f->arg = arg;
	f->form = listed_read(span_str(what->name), &f->id);
	if (f->form == LISTED_FOREIGN ||
	    !(taken && f->form == LISTED_OBJECT ? begin_copy(f) : begin_get(f))) {
		*why = f->end.words;
		fetch_free(f);
		return NULL;
	}
	return f;
}
