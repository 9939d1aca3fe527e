#include "home/intake.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "proto/object_mac.h"

struct intake {
	struct intake	*next;		/* of origin->puts */
	struct origin	*origin;	/* NULL: the tunnel is gone */
	struct tunnel_proc *tunnel;
	struct h2_stream *stream;	/* NULL: over */
	char		 edge[256];
	struct uuid	 id;
	unsigned char	 mac[OBJECT_MAC_LEN];
	struct spool_put *put;
	struct object_mac *omac;
	uint64_t	 got;
	uint64_t	 most;		/* an object above it can never be kept here */
	bool		 has_length;
	uint64_t	 length;
	int		 wait_s;	/* -1: no verdict asked */
	int64_t		 row;
	unsigned	 owed;		/* answers of the writer that are still to come */
	bool		 has_timer;
	uv_timer_t	 timer;		/* the end of the wait for a verdict */
	bool		 over_asked;	/* the writer was told that the wait is over */
	bool		 confirming;	/* a DELETE */
};

/* --- life and death ----------------------------------------------------------------------- */

static void
on_timer_closed(uv_handle_t *timer)
{
	free(timer->data);
}

/* A stream, the writer and a timer may hold it: the last one to go frees it. */
static void
maybe_free(struct intake *in)
{
	if (in->stream != NULL || in->owed > 0)
		return;
	if (in->origin != NULL) {
		for (struct intake **at = &in->origin->puts; *at != NULL; at = &(*at)->next)
			if (*at == in) {
				*at = in->next;
				break;
			}
		in->origin->nputs--;
		in->origin = NULL;
	}
	object_mac_free(&in->omac);
	if (in->put != NULL)
		spool_put_drop(&in->put);
	if (in->has_timer)
		uv_close((uv_handle_t *)&in->timer, on_timer_closed);
	else
		free(in);
}

static void
answer(struct intake *in, unsigned status, const char *text)
{
	object_mac_free(&in->omac);
	if (in->put != NULL)
		spool_put_drop(&in->put);
	if (in->has_timer)
		uv_timer_stop(&in->timer);
	if (in->stream == NULL || in->origin == NULL)
		return;
	if (status == 200 || status == 201 || status == 202)
		board_add(in->tunnel->proc->board, BC_RECEIVED, 1);
	/* All texts are ours or an smtp_reply's: printable.  A log line has their first line. */
	log_info(NULL, "%s edge=%s id=%s size=%llu status=%u%s%.*s",
	    in->confirming ? "mail.confirmed" : "mail.in", in->edge, uuid_text(in->id).s,
	    (unsigned long long)in->got, status, text[0] != '\0' ? ": " : "",
	    (int)strcspn(text, "\r\n"), text);
	origin_answer(in->origin, in->stream, status, text);
}

/* --- the verdict -------------------------------------------------------------------------- */

static void
answer_outcome(struct intake *in, enum outcome o, const struct smtp_reply *reply)
{
	struct buf text;

	if (o == OUTCOME_DELIVERED) {
		answer(in, 200, "");
	} else if (o == OUTCOME_REFUSED && reply != NULL && reply->code >= 500) {
		buf_init(&text, H2_REPLY_MAX);
		if (smtp_reply_print(reply, &text) && buf_add(&text, "", 1))
			answer(in, 422, text.p);
		else
			answer(in, 503, "memory is out");
		buf_fini(&text);
	} else {
		answer(in, 202, "");
	}
}

/*
 * The wait is over and the ledger knows it: only now may 202 be said, since a
 * refusal that came later must park and not wait for a DELETE that never comes.
 * PENDING with the writer gone says nothing: 503 makes the edge come again
 * without Prefer, which settles it.
 */
static void
on_over(void *arg, enum outcome o, const struct smtp_reply *reply)
{
	struct intake *in = arg;

	in->owed--;
	if (o == OUTCOME_PENDING && !in->tunnel->spool_up)
		answer(in, 503, "the ledger went away while it was asked");
	else
		answer_outcome(in, o, reply);
	maybe_free(in);
}

static void
end_wait(struct intake *in)
{
	if (in->over_asked)
		return;
	in->over_asked = true;
	in->owed++;
	ledger_verdict_over(in->tunnel->spool, in->row, on_over, in);
}

static void
on_late(uv_timer_t *timer)
{
	end_wait(timer->data);
}

static void
on_outcome(void *arg, enum outcome o, const struct smtp_reply *reply)
{
	struct intake *in = arg;

	in->owed--;
	if (in->stream != NULL && !in->over_asked) {
		if (o == OUTCOME_DELIVERED || o == OUTCOME_REFUSED)
			answer_outcome(in, o, reply);
		else if (o == OUTCOME_PENDING)
			answer(in, 503, "the ledger went away while it was asked");
		else
			end_wait(in);
	}
	maybe_free(in);
}

static void
await_verdict(struct intake *in)
{
	uv_timer_init(in->tunnel->loop, &in->timer);
	in->timer.data = in;
	in->has_timer = true;
	uv_timer_start(&in->timer, on_late, (uint64_t)in->wait_s * 1000, 0);
	in->owed++;
	ledger_watch(in->tunnel->spool, in->row, on_outcome, in);
}

/* --- keeping ------------------------------------------------------------------------------ */

static void
on_kept(void *arg, enum kept kept, int64_t row, const struct why *why)
{
	struct intake *in = arg;
	const char *text =
	    why != NULL && why->text[0] != '\0' ? why->text : "the spool does not answer";

	in->owed--;
	in->row = row;
	switch (kept) {
	case KEPT:
	case KEPT_BEFORE:
		if (in->wait_s < 0)
			answer(in, 201, "");
		else if (row <= 0)
			answer(in, 200, "");	/* remembered as delivered */
		else if (in->stream != NULL)
			await_verdict(in);
		break;
	case KEPT_FULL:
		log_warn(NULL, "mail.full edge=%s id=%s: %s", in->edge, uuid_text(in->id).s, text);
		answer(in, 503, text);
		break;
	case NOT_KEPT:
		answer(in, 503, text);
		break;
	}
	maybe_free(in);
}

static void
on_set_aside(void *arg, bool ok, const struct why *why)
{
	struct intake *in = arg;

	in->owed--;
	if (!ok)
		log_error(NULL, "mail.aside edge=%s id=%s: %s", in->edge, uuid_text(in->id).s,
		    why != NULL ? why->text : "failed");
	answer(in, 403, ok ?
	    "the MAC is wrong: set aside; pair again if keys were changed by hand" :
	    "the MAC is wrong: not kept; pair again if keys were changed by hand");
	maybe_free(in);
}

static void
keep(struct intake *in)
{
	const struct home_edge *e = tunnel_edge(in->tunnel, in->edge);

	if (e == NULL || e->peer.nmac == 0) {
		answer(in, 403, "this edge is not paired with this home: it has no MAC key here");
		return;
	}
	in->owed++;
	if (object_mac_check(in->omac, e->peer.mac, e->peer.nmac, in->id, in->mac)) {
		spool_put_commit(&in->put, in->mac, on_kept, in);
		return;
	}
	board_add(in->tunnel->proc->board, BC_FORGED, 1);
	log_error(NULL,
	    "mail.forged edge=%s id=%s: its MAC is wrong, it is set aside and not delivered",
	    in->edge, uuid_text(in->id).s);
	spool_set_aside(&in->put, "MAC is wrong", on_set_aside, in);
}

/* --- the stream --------------------------------------------------------------------------- */

static void
on_data(void *arg, struct span s)
{
	struct intake *in = arg;
	struct why why = { "" };

	h2_consumed(in->stream, s.n);	/* it is taken, or not wanted any more */
	in->got += s.n;
	if (in->put == NULL)
		return;
	object_mac_add(in->omac, s.p, s.n);
	if (in->got > in->most)
		answer(in, 413, "larger than this home's quota (hold { quota = ... })");
	else if (spool_put_add(in->put, s.p, s.n, &why) == -1)
		answer(in, 503, why.text);
}

static void
on_end(void *arg)
{
	struct intake *in = arg;

	if (in->put == NULL)
		return;
	if (in->got == 0 || (in->has_length && in->got != in->length))
		answer(in, 400, "the object is not as long as content-length says");
	else
		keep(in);
}

static void
on_closed(void *arg, const struct why *why)
{
	struct intake *in = arg;

	in->stream = NULL;
	maybe_free(in);
}

static const struct h2_stream_ops intake_ops = {
	.data = on_data, .end = on_end, .closed = on_closed
};

static struct intake *
intake_new(struct origin *o, struct h2_stream *stream, struct uuid id)
{
	struct intake *in = calloc(1, sizeof(*in));

	if (in == NULL)
		return NULL;
	in->origin = o;
	in->tunnel = o->tunnel;
	in->stream = stream;
	in->id = id;
	span_copy(span_str(o->edge), in->edge, sizeof(in->edge));
	in->next = o->puts;
	o->puts = in;
	o->nputs++;
	h2_stream_own(stream, &intake_ops, in);
	return in;
}

void
intake_put(struct origin *o, struct h2_stream *stream, struct uuid id, const struct h2_head *head,
    bool has_body)
{
	const struct home_edge *e = tunnel_edge(o->tunnel, o->edge);
	struct span length = h2_header_get(head, "content-length");
	struct spool_meta meta = { .id = id, .origin = ORIGIN_TUNNEL };
	bool busy = o->nputs >= ORIGIN_PUTS_MAX;
	unsigned long long n = 0;
	struct intake *in = intake_new(o, stream, id);

	if (in == NULL) {
		origin_answer(o, stream, 503, "memory is out");
		return;
	}
	in->wait_s = origin_prefer_wait(head);
	in->has_length = length.n > 0;
	in->most = tunnel_conf(o->tunnel)->hold.quota;
	if (!has_body ||
	    !hex_decode(h2_header_get(head, "posthouse-mac"), in->mac, sizeof(in->mac)) ||
	    (in->has_length && !span_u64(length, UINT64_MAX, &n))) {
		answer(in, 400,
		    "posthouse-mac of 64 hex digits, a right content-length and a body are needed");
		return;
	}
	in->length = n;
	if (n > in->most) {
		answer(in, 413, "larger than this home's quota (hold { quota = ... })");
		return;
	}
	if (busy || !o->tunnel->spool_up || o->tunnel->draining || e == NULL) {
		answer(in, 503,
		    busy ? "too many at once on one tunnel" : "the spool is not there yet");
		return;
	}
	span_copy(span_str(o->edge), meta.signer, sizeof(meta.signer));
	span_copy(span_str(e->peer.home), meta.home, sizeof(meta.home));
	meta.received_ms = wall_ms();
	meta.verdict = in->wait_s >= 0;
	in->put = spool_put_new(o->tunnel->spool, &meta);
	in->omac = object_mac_new();
	if (in->put == NULL || in->omac == NULL)
		answer(in, 503, "memory is out");
}

void
intake_hurry(struct origin *o)
{
	for (struct intake *in = o->puts; in != NULL; in = in->next)
		if (in->has_timer && in->stream != NULL && uv_is_active((uv_handle_t *)&in->timer))
			end_wait(in);
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

/* --- DELETE ------------------------------------------------------------------------------- */

static void
on_confirmed(void *arg, bool ok, const struct why *why)
{
	struct intake *in = arg;

	in->owed--;
	if (ok)
		answer(in, 204, "");
	else
		answer(in, 503,
		    why != NULL && why->text[0] != '\0' ? why->text : "the spool does not answer");
	maybe_free(in);
}

void
intake_confirm(struct origin *o, struct h2_stream *stream, struct uuid id)
{
	struct intake *in = intake_new(o, stream, id);

	if (in == NULL || !o->tunnel->spool_up) {
		origin_answer(o, stream, 503, "the spool is not there yet");
		return;
	}
	in->confirming = true;
	in->owed++;
	ledger_confirm_refused(o->tunnel->spool, o->edge, id, on_confirmed, in);
}
