#include "home/retired.h"

#include <unistd.h>

#define SOON_MS	1000

static void	next_row(struct retired *);

static enum age_result
judge(const struct age_identity *ids, size_t n, struct span head)
{
	struct age_open *age = age_open_new(ids, n);
	enum age_result result = AGE_NO_ROOM;
	struct why ignored;
	struct buf plain;

	buf_init(&plain, 2 * AGE_CHUNK);
	if (age != NULL)
		result = age_open_add(age, head.p, head.n, &plain, &ignored);
	buf_wipe(&plain);
	age_open_free(&age);
	return result;
}

/* What cannot be told needs them: we err to a key that is kept too long. */
static bool
needs(const struct courier *c, struct span head)
{
	enum age_result now = judge(c->ids, c->nids, head), old;

	if (now == AGE_OK || now == AGE_MALFORMED)
		return false;
	old = judge(c->ids + c->nids, c->nretired, head);
	return now == AGE_NO_ROOM || old == AGE_OK || old == AGE_NO_ROOM;
}

static void
on_time(uv_timer_t *timer)
{
	retired_look(timer->data);
}

/* The identities are others since it began: what it has passed may need them now. */
static bool
outdated(const struct retired *r)
{
	return r->judged != r->keys;
}

static void
over(struct retired *r)
{
	r->looking = false;
	if (!uv_is_active((uv_handle_t *)&r->timer))
		uv_timer_start(&r->timer, on_time, outdated(r) ? SOON_MS : RETIRED_LOOK_MS, 0);
}

static void
on_list(void *arg, bool ok, const struct spool_object *objects, size_t n)
{
	struct retired *r = arg;

	if (ok && n == 0 && r->c->nretired > 0 && !outdated(r))
		r->unneeded(r->arg);
	if (!ok || n == 0 || outdated(r)) {
		over(r);
		return;
	}
	for (r->n = 0; r->n < n && r->n < RETIRED_PAGE; r->n++)
		r->page[r->n] = objects[r->n].row;
	r->at = 0;
	next_row(r);
}

static void
next_page(struct retired *r)
{
	spool_list(r->c->spool, "", r->after, RETIRED_PAGE, on_list, r);
}

static void
on_content(void *arg, int64_t row, struct spool_content *content, const struct why *why)
{
	struct retired *r = arg;
	char head[AGE_HEADER_MAX];
	struct span s = content->data;
	bool held = !content->ok;
	ssize_t n;

	if (content->fd != -1) {
		n = pread(content->fd, head, sizeof(head), 0);
		held = held || n == -1;
		s = span_of(head, n > 0 ? (size_t)n : 0);
		close(content->fd);
		content->fd = -1;
	}
	if (s.n > AGE_HEADER_MAX)
		s.n = AGE_HEADER_MAX;
	/* Gone, damaged, or the writer died: the next look shows which. */
	if (held || outdated(r) || needs(r->c, s)) {
		over(r);
		return;
	}
	r->after = row;
	r->at++;
	next_row(r);
}

static void
next_row(struct retired *r)
{
	if (r->at < r->n)
		spool_get(r->c->spool, r->page[r->at], on_content, r);
	else
		next_page(r);
}

void
retired_look(struct retired *r)
{
	if (r->looking || r->c->nretired == 0 || r->c->draining)
		return;
	uv_timer_stop(&r->timer);
	r->looking = true;
	r->judged = r->keys;
	next_page(r);
}

void
retired_changed(struct retired *r)
{
	r->keys++;
	r->after = 0;
	uv_timer_start(&r->timer, on_time, SOON_MS, 0);
}

void
retired_init(struct retired *r, struct courier *c, void (*unneeded)(void *arg), void *arg)
{
	*r = (struct retired){ .c = c, .unneeded = unneeded, .arg = arg };
	uv_timer_init(c->loop, &r->timer);
	r->timer.data = r;
}
