#include "home/intake.h"

#include <stdlib.h>

#include "base/log.h"
#include "home/arrival.h"

struct intake {
	struct intake	*next;		/* of origin->puts */
	struct origin	*origin;	/* NULL: the tunnel is gone */
	struct h2_stream *stream;
	struct arrival	*arrival;	/* NULL: memory was out */
};

static void
on_told(void *arg, unsigned status, const char *text)
{
	struct intake *in = arg;

	if (in->origin != NULL)
		origin_answer(in->origin, in->stream, status, text);
}

static void
on_data(void *arg, struct span s)
{
	struct intake *in = arg;

	h2_consumed(in->stream, s.n);	/* it is taken, or not wanted any more */
	if (in->arrival != NULL)
		arrival_add(in->arrival, s);
}

static void
on_end(void *arg)
{
	struct intake *in = arg;

	if (in->arrival != NULL)
		arrival_end(in->arrival);
}

static void
on_closed(void *arg, const struct why *why)
{
	struct intake *in = arg;

	if (in->origin != NULL) {
		for (struct intake **at = &in->origin->puts; *at != NULL; at = &(*at)->next)
			if (*at == in) {
				*at = in->next;
				break;
			}
		in->origin->nputs--;
	}
	if (in->arrival != NULL)
		arrival_leave(&in->arrival);
	free(in);
}

static const struct h2_stream_ops intake_ops = {
	.data = on_data, .end = on_end, .closed = on_closed
};

/* NULL, and 503 was answered: memory is out. */
static struct intake *
intake_new(struct origin *o, struct h2_stream *stream, struct uuid id)
{
	struct tunnel_proc *t = o->tunnel;
	const struct arrival_at at = {
		.loop = t->loop, .spool = t->spool, .spool_up = &t->spool_up, .edges = &t->edges,
		.board = t->proc->board, .most = tunnel_conf(t)->hold.quota,
		.too_large = "larger than this home's quota (hold { quota = ... })",
	};
	struct intake *in = calloc(1, sizeof(*in));

	if (in == NULL) {
		origin_answer_now(o, stream, 503, "memory is out");
		return NULL;
	}
	in->origin = o;
	in->stream = stream;
	in->next = o->puts;
	o->puts = in;
	o->nputs++;
	h2_stream_own(stream, &intake_ops, in);
	if ((in->arrival = arrival_new(&at, o->edge, id, on_told, in)) != NULL)
		return in;
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
intake_put(struct origin *o, struct h2_stream *stream, struct uuid id, const struct h2_head *head,
    bool has_body)
{
	const struct span signer = h2_header_get(head, "posthouse-signer");
	struct arrival_head said = {
		.mac = h2_header_get(head, "posthouse-mac"),
		.length = h2_header_get(head, "content-length"),
		.has_body = has_body, .origin = ORIGIN_TUNNEL, .wait_s = origin_prefer_wait(head),
	};
	bool busy = o->nputs >= ORIGIN_PUTS_MAX;
	struct intake *in = intake_new(o, stream, id);

	if (in == NULL)
		return;
	if (busy || o->tunnel->draining) {
		arrival_refuse(in->arrival, 503,
		    busy ? "too many at once on one tunnel" : "the spool is not there yet");
	} else if (!maker(o, signer, &said.worker)) {
		log_error(NULL, "mail.vouched edge=%s id=%s worker=%s: not taken; its edges do not "
		    "name this one, or it has a domain that the edge was not granted", o->edge,
		    uuid_text(id).s, log_safe(signer).s);
		arrival_refuse(in->arrival, 403,
		    "this edge may not speak for that Worker: see worker.edges in home.conf");
	} else {
		if (said.worker != NULL)
			said.origin = ORIGIN_PUSH;
		arrival_take(in->arrival, &said);
	}
}

void
intake_confirm(struct origin *o, struct h2_stream *stream, struct uuid id)
{
	struct intake *in = intake_new(o, stream, id);

	if (in != NULL)
		arrival_confirm(in->arrival);
}

void
intake_hurry(struct origin *o)
{
	for (struct intake *in = o->puts; in != NULL; in = in->next)
		if (in->arrival != NULL)
			arrival_hurry(in->arrival);
}

void
intake_orphan(struct origin *o)
{
	struct intake *in;

	while ((in = o->puts) != NULL) {
		o->puts = in->next;
		in->origin = NULL;
		in->next = NULL;
	}
	o->nputs = 0;
}
