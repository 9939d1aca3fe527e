#include "home/origin_put.h"

#include <stdlib.h>

#include "base/log.h"
#include "home/arrival.h"
#include "net/awake.h"

struct put {
	struct put	*next;		/* of origin->puts */
	struct origin	*origin;	/* NULL: the tunnel is gone */
	struct h2_stream *stream;
	struct arrival	*arrival;	/* NULL: memory was out */
	struct uuid	 id;
	struct instant	 moved;		/* octets came, or it was answered */
	bool		 whole, told;	/* between the two the edge waits for us */
};

static void
moves(struct put *put)
{
	put->moved = awake_now(put->origin->tunnel->loop);
}

static void
on_told(void *arg, unsigned status, const char *text)
{
	struct put *put = arg;

	if (put->origin == NULL)
		return;
	moves(put);
	put->told = true;
	origin_answer(put->origin, put->stream, status, text);
}

static void
on_data(void *arg, struct span s)
{
	struct put *put = arg;

	h2_consumed(put->stream, s.n);	/* it is taken, or not wanted any more */
	moves(put);
	if (put->arrival != NULL)
		arrival_add(put->arrival, s);
}

static void
on_end(void *arg)
{
	struct put *put = arg;

	put->whole = true;
	if (put->arrival != NULL)
		arrival_end(put->arrival);
}

static void
on_closed(void *arg, const struct why *why)
{
	struct put *put = arg;

	if (put->origin != NULL) {
		for (struct put **at = &put->origin->puts; *at != NULL; at = &(*at)->next)
			if (*at == put) {
				*at = put->next;
				break;
			}
		put->origin->nputs--;
	}
	if (put->arrival != NULL)
		arrival_leave(&put->arrival);
	free(put);
}

static const struct h2_stream_ops put_ops = {
	.data = on_data, .end = on_end, .closed = on_closed
};

/* NULL, and 503 was answered: memory is out. */
static struct put *
put_new(struct origin *o, struct h2_stream *stream, struct uuid id)
{
	struct tunnel_proc *t = o->tunnel;
	const struct arrival_at at = {
		.intake = &t->intake, .most = tunnel_conf(t)->hold.quota,
		.too_large = "larger than this home's quota (hold { quota = ... })",
	};
	struct put *put = calloc(1, sizeof(*put));

	if (put == NULL) {
		origin_answer_now(o, stream, 503, "memory is out");
		return NULL;
	}
	put->origin = o;
	put->stream = stream;
	put->id = id;
	moves(put);
	put->next = o->puts;
	o->puts = put;
	o->nputs++;
	h2_stream_own(stream, &put_ops, put);
	if ((put->arrival = arrival_new(&at, o->edge, id, on_told, put)) != NULL)
		return put;
	origin_answer(o, stream, 503, "memory is out");
	return NULL;
}

/*
 * Who made it: the edge (NULL), or a Worker that handed it over there.  By its own name and id it
 * is one message here, whatever roads it comes by.  False: an edge that may not speak for him.
 */
static bool
maker(const struct origin *o, struct span said, const char **worker)
{
	const struct home_edge *e = tunnel_edge(o->tunnel, o->edge), *w;
	char name[256];

	*worker = NULL;
	if (said.n == 0)
		return true;
	if (e == NULL || !span_copy(said, name, sizeof(name)) ||
	    (w = tunnel_edge(o->tunnel, name)) == NULL ||
	    !edge_vouches(tunnel_conf(o->tunnel), e, w))
		return false;
	*worker = w->name;
	return true;
}

void
origin_put(struct origin *o, struct h2_stream *stream, struct uuid id, const struct h2_head *head,
    bool has_body)
{
	const struct span signer = h2_header_get(head, "posthouse-signer");
	struct arrival_head said = {
		.mac = h2_header_get(head, "posthouse-mac"),
		.length = h2_header_get(head, "content-length"),
		.has_body = has_body, .origin = ORIGIN_TUNNEL, .wait_s = origin_prefer_wait(head),
	};
	bool busy = o->nputs >= ORIGIN_PUTS_MAX;
	struct put *put = put_new(o, stream, id);

	if (put == NULL)
		return;
	if (busy || o->tunnel->draining) {
		arrival_refuse(put->arrival, 503,
		    busy ? "too many at once on one tunnel" : "the spool is not there yet");
	} else if (!maker(o, signer, &said.worker)) {
		log_error(NULL, "mail.vouched edge=%s id=%s worker=%s: not taken; its edges do not "
		    "name this one, or it has a domain that the edge was not granted", o->edge,
		    uuid_text(id).s, log_safe(signer).s);
		arrival_refuse(put->arrival, 403,
		    "this edge may not speak for that Worker: see worker.edges in home.conf");
	} else {
		if (said.worker != NULL)
			said.origin = ORIGIN_PUSH;
		arrival_take(put->arrival, &said);
	}
}

void
origin_put_confirm(struct origin *o, struct h2_stream *stream, struct uuid id)
{
	struct put *put = put_new(o, stream, id);

	if (put != NULL)
		arrival_confirm(put->arrival);
}

void
origin_put_sweep(struct origin *o, struct instant now)
{
	for (struct put *put = o->puts; put != NULL; put = put->next) {
		if ((put->whole && !put->told) ||
		    instant_ms_since(put->moved, now) < ORIGIN_STILL_MS)
			continue;
		log_warn(NULL, "mail.still edge=%s id=%s: nothing of it went for %u minutes; "
		    "it is called off, and comes again", o->edge, uuid_text(put->id).s,
		    ORIGIN_STILL_MS / 60000);
		put->moved = now;
		h2_reset(put->stream);
	}
}

void
origin_put_hurry(struct origin *o)
{
	for (struct put *put = o->puts; put != NULL; put = put->next)
		if (put->arrival != NULL)
			arrival_hurry(put->arrival);
}

void
origin_put_orphan(struct origin *o)
{
	struct put *put;

	while ((put = o->puts) != NULL) {
		o->puts = put->next;
		put->origin = NULL;
		put->next = NULL;
	}
	o->nputs = 0;
}
