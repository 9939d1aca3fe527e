#include "edge/ban_poll.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "edge/bans.h"

#define WAIT		"wait=55"	/* shorter than what middle boxes forget */
#define RETRY_MS	5000
#define SOON_MS		500	/* another tunnel has the list; a home that spins us */

struct ban_poll {
	struct edge	*edge;
	struct home	*home;
	struct h2	*h2;
	struct h2_stream *stream;
	struct ban_reader reader;
	unsigned	 status;
	struct order	 order;
	char		 etag[80], base[80];
	struct netset	*coming;		/* 200: all of them */
	struct ban_change *changes;		/* 226 */
	size_t		 nchanges;
	struct why	 why;			/* it cannot be taken */
	struct instant	 asked;
	uv_timer_t	 retry;
	bool		 stopped;
};

static void ask(struct ban_poll *);

static void
fail(struct ban_poll *p, const char *what)
{
	if (p->why.text[0] == '\0')
		why_set(&p->why, "%s", what);
}

static void
drop(struct ban_poll *p)
{
	if (p->coming != NULL)
		p->home->bans_coming = false;
	netset_free(&p->coming);
	free(p->changes);
	p->changes = NULL;
	p->nchanges = 0;
}

static void
on_head(void *arg, const struct h2_head *head)
{
	struct ban_poll *p = arg;

	p->status = head->status;
	p->order = order_parse(h2_header_get(head, "posthouse-order"));
	if (!span_copy(h2_header_get(head, "etag"), p->etag, sizeof(p->etag)) ||
	    !span_copy(h2_header_get(head, "delta-base"), p->base, sizeof(p->base)))
		fail(p, "a tag is too long");
	if (p->status == 200 && p->home->bans_coming) {
		p->status = 0;			/* once is enough: soon again */
		h2_reset(p->stream);
	} else if (p->status == 200 && (p->coming = netset_new(POLICY_BANS_MAX)) != NULL) {
		p->home->bans_coming = true;
	} else if (p->status == 226) {
		p->changes = calloc(BAN_CHANGES_MAX, sizeof(*p->changes));
	}
	if ((p->status == 200 && p->coming == NULL) || (p->status == 226 && p->changes == NULL))
		fail(p, "memory is out");
}

static bool
take_one(struct ban_poll *p, const struct ban_change *c)
{
	if (p->coming != NULL)
		return bans_apply(p->coming, c, boot_ms());
	if (p->changes == NULL || p->nchanges == BAN_CHANGES_MAX)
		return false;
	p->changes[p->nchanges++] = *c;
	return true;
}

static void
on_data(void *arg, struct span s)
{
	struct ban_poll *p = arg;
	struct ban_change c;
	enum ban_read r;

	h2_consumed(p->stream, s.n);
	if (p->status != 200 && p->status != 226)
		return;
	while (p->why.text[0] == '\0' && (r = ban_next(&p->reader, &s, boot_ms(),
	    &c, &p->why)) == BAN_ONE)
		if (!take_one(p, &c))
			fail(p, "more than there may be, or memory is out");
}

/* Applied only to what they are changes of: another tunnel may have brought them. */
static void
take_changes(struct ban_poll *p)
{
	struct home *h = p->home;

	if (strcmp(p->base, h->bans_etag) != 0)
		return;
	if (h->bans == NULL && (h->bans = netset_new(POLICY_BANS_MAX)) == NULL) {
		fail(p, "memory is out");
		return;
	}
	for (size_t i = 0; i < p->nchanges; i++)
		if (!bans_apply(h->bans, &p->changes[i], boot_ms())) {
			h->bans_etag[0] = '\0';		/* not what home has: all of it, please */
			fail(p, "more than there may be, or memory is out");
			break;
		}
	if (p->why.text[0] == '\0') {
		memcpy(h->bans_etag, p->etag, sizeof(h->bans_etag));
		h->bans_order = p->order;
	}
	bans_changed(p->edge, h);
}

/* False: to be asked for again, but not at once. */
static bool
take(struct ban_poll *p)
{
	if (p->status == 304 || p->status == 0)
		return p->status == 304;
	if (p->status != 200 && p->status != 226)
		fail(p, "home cannot say");
	else if (!ban_whole(&p->reader))
		fail(p, "the list is cut off");
	else if (p->etag[0] == '\0')
		fail(p, "the list has no tag");
	if (p->why.text[0] == '\0' &&
	    !lanes_later(&p->home->lanes, p->h2, p->order, p->home->bans_order))
		return true;		/* another tunnel brought a later list */
	if (p->why.text[0] == '\0' && p->status == 226)
		take_changes(p);
	if (p->why.text[0] != '\0') {
		log_warn(NULL, "bans.refused home=%s status=%u kept=the last good ones: %s",
		    p->home->name, p->status, p->why.text);
		return false;
	}
	if (p->status == 200) {
		home_set_bans(p->home, p->coming, span_str(p->etag));
		p->home->bans_order = p->order;
		p->coming = NULL;
		p->home->bans_coming = false;
		bans_changed(p->edge, p->home);
	}
	p->home->unsaid[SPOOL_SAID_BANS] = true;
	return true;
}

static void
on_retry(uv_timer_t *timer)
{
	ask(timer->data);
}

static void
on_closed(void *arg, const struct why *why)
{
	struct ban_poll *p = arg;
	bool soon = p->status == 0, ok = why == NULL && !p->stopped && take(p);

	p->stream = NULL;
	drop(p);
	if (p->stopped)
		return;
	if (ok && instant_ms_since(p->asked, instant_now()) >= SOON_MS)
		ask(p);
	else
		uv_timer_start(&p->retry, on_retry, ok || soon ? SOON_MS : RETRY_MS, 0);
}

static const struct h2_stream_ops ops = { .head = on_head, .data = on_data, .closed = on_closed };

static void
ask(struct ban_poll *p)
{
	const struct home *h = p->home;
	struct h2_header headers[] = {
		{ "if-none-match", span_str(h->bans_etag) },
		{ "a-im", SPAN_LIT("changes") },
		{ "prefer", SPAN_LIT(WAIT) },
	};
	struct h2_head head = { .method = SPAN_LIT("GET"), .path = SPAN_LIT("/policy/bans"),
		.authority = span_str(h->name), .headers = headers,
		.nheaders = h->bans_etag[0] != '\0' ? 3 : 0 };

	if (p->stopped || p->stream != NULL)
		return;
	p->reader = (struct ban_reader){ .n = 0 };
	p->why.text[0] = p->etag[0] = p->base[0] = '\0';
	p->status = 0;
	p->asked = instant_now();
	if (h->bans_etag[0] == '\0' && h->bans_coming) {
		uv_timer_start(&p->retry, on_retry, SOON_MS, 0);
		return;
	}
	if ((p->stream = h2_request(p->h2, &head, NULL, NULL, &ops, p)) == NULL)
		uv_timer_start(&p->retry, on_retry, RETRY_MS, 0);
}

struct ban_poll *
ban_poll_new(struct edge *e, struct home *h, struct h2 *h2)
{
	struct ban_poll *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->edge = e;
	p->home = h;
	p->h2 = h2;
	uv_timer_init(e->loop, &p->retry);
	p->retry.data = p;
	ask(p);
	return p;
}

void
ban_poll_stop(struct ban_poll *p)
{
	if (p == NULL)
		return;
	p->stopped = true;
	if (p->stream != NULL)
		h2_reset(p->stream);
}

static void
on_freed(uv_handle_t *timer)
{
	free(timer->data);
}

void
ban_poll_free(struct ban_poll **pp)
{
	struct ban_poll *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	p->stopped = true;
	drop(p);
	uv_close((uv_handle_t *)&p->retry, on_freed);
}
