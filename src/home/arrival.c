#include "home/arrival.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "net/awake.h"
#include "proto/object_mac.h"

struct arrival {
	struct arrival_at at;
	arrival_told_fn	*told;
	void		*arg;
	bool		 left;		/* nobody waits */
	bool		 answered;
	char		 signer[256];
	struct uuid	 id;
	unsigned char	 mac[OBJECT_MAC_LEN];
	struct spool_put *put;
	struct object_mac *omac;
	uint64_t	 got;
	bool		 has_length;
	uint64_t	 length;
	int		 wait_s;	/* -1: no verdict asked */
	int64_t		 row;
	unsigned	 owed;		/* answers of the writer that are still to come */
	bool		 has_timer;
	uv_timer_t	 timer;		/* the end of the wait for a verdict */
	struct instant	 due;
	bool		 over_asked;	/* the writer was told that the wait is over */
	bool		 confirming;
};

/* --- life and death ----------------------------------------------------------------------- */

static void
on_timer_closed(uv_handle_t *timer)
{
	free(timer->data);
}

/* Its owner, the writer and a timer may hold it: the last one to go frees it. */
static void
maybe_free(struct arrival *a)
{
	if (!a->left || a->owed > 0)
		return;
	object_mac_free(&a->omac);
	if (a->put != NULL)
		spool_put_drop(&a->put);
	if (a->has_timer)
		uv_close((uv_handle_t *)&a->timer, on_timer_closed);
	else
		free(a);
}

struct arrival *
arrival_new(const struct arrival_at *at, const char *signer, struct uuid id,
    arrival_told_fn *told, void *arg)
{
	struct arrival *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->at = *at;
	a->told = told;
	a->arg = arg;
	a->id = id;
	a->wait_s = -1;
	span_copy(span_str(signer), a->signer, sizeof(a->signer));
	return a;
}

void
arrival_leave(struct arrival **ap)
{
	struct arrival *a = *ap;

	*ap = NULL;
	a->left = true;
	maybe_free(a);
}

static void
answer(struct arrival *a, unsigned status, const char *text)
{
	object_mac_free(&a->omac);
	if (a->put != NULL)
		spool_put_drop(&a->put);
	if (a->has_timer)
		uv_timer_stop(&a->timer);
	if (a->left || a->answered)
		return;
	a->answered = true;
	if (status == 200 || status == 201 || status == 202)
		board_add(a->at.intake->proc->board, BC_RECEIVED, 1);
	/* All texts are ours or an smtp_reply's: printable.  A log line has their first line. */
	log_info(NULL, "%s edge=%s id=%s size=%llu status=%u%s%.*s",
	    a->confirming ? "mail.confirmed" : "mail.in", a->signer, uuid_text(a->id).s,
	    (unsigned long long)a->got, status, text[0] != '\0' ? ": " : "",
	    (int)strcspn(text, "\r\n"), text);
	a->told(a->arg, status, text);
}

void
arrival_refuse(struct arrival *a, unsigned status, const char *text)
{
	answer(a, status, text);
}

/* --- the verdict -------------------------------------------------------------------------- */

static void
answer_outcome(struct arrival *a, enum outcome o, const struct smtp_reply *reply)
{
	struct buf text;

	if (o == OUTCOME_DELIVERED) {
		answer(a, 200, "");
	} else if (o == OUTCOME_REFUSED && reply != NULL && reply->code >= 500) {
		buf_init(&text, ARRIVAL_TEXT_MAX);
		if (smtp_reply_print(reply, &text) && buf_add(&text, "", 1))
			answer(a, 422, text.p);
		else
			answer(a, 503, "memory is out");
		buf_fini(&text);
	} else {
		answer(a, 202, "");
	}
}

/*
 * The wait is over and the ledger knows it: only now may 202 be said, since a
 * refusal that came later must park and not wait for a confirmation that never comes.
 * PENDING with the writer gone says nothing: 503 makes the sender come again
 * without Prefer, which settles it.
 */
static void
on_over(void *arg, enum outcome o, const struct smtp_reply *reply)
{
	struct arrival *a = arg;

	a->owed--;
	if (o == OUTCOME_PENDING && !a->at.intake->up)
		answer(a, 503, "the ledger went away while it was asked");
	else
		answer_outcome(a, o, reply);
	maybe_free(a);
}

static void
end_wait(struct arrival *a)
{
	if (a->over_asked)
		return;
	a->over_asked = true;
	a->owed++;
	ledger_verdict_over(a->at.intake->spool, a->row, on_over, a);
}

static void
on_late(uv_timer_t *timer)
{
	struct arrival *a = timer->data;

	if (awake_over(timer, on_late, a->due))
		end_wait(a);
}

static void
on_outcome(void *arg, enum outcome o, const struct smtp_reply *reply)
{
	struct arrival *a = arg;

	a->owed--;
	if (!a->left && !a->over_asked) {
		if (o == OUTCOME_DELIVERED || o == OUTCOME_REFUSED)
			answer_outcome(a, o, reply);
		else if (o == OUTCOME_PENDING)
			answer(a, 503, "the ledger went away while it was asked");
		else
			end_wait(a);
	}
	maybe_free(a);
}

static void
await_verdict(struct arrival *a)
{
	uv_timer_init(a->at.intake->proc->loop, &a->timer);
	a->timer.data = a;
	a->has_timer = true;
	awake_timer(&a->timer, on_late, (int64_t)a->wait_s * 1000, &a->due);
	a->owed++;
	ledger_watch(a->at.intake->spool, a->row, on_outcome, a);
}

void
arrival_hurry(struct arrival *a)
{
	if (a->has_timer && !a->left && uv_is_active((uv_handle_t *)&a->timer))
		end_wait(a);
}

/* --- keeping ------------------------------------------------------------------------------ */

static void
on_kept(void *arg, enum kept kept, int64_t row, const struct why *why)
{
	struct arrival *a = arg;
	const char *text =
	    why != NULL && why->text[0] != '\0' ? why->text : "the spool does not answer";

	a->owed--;
	a->row = row;
	switch (kept) {
	case KEPT:
	case KEPT_BEFORE:
		if (a->wait_s < 0)
			answer(a, 201, "");
		else if (row <= 0)
			answer(a, 200, "");	/* remembered as delivered */
		else if (!a->left)
			await_verdict(a);
		break;
	case KEPT_FULL:
		log_warn(NULL, "mail.full edge=%s id=%s: %s", a->signer, uuid_text(a->id).s, text);
		answer(a, 503, text);
		break;
	case NOT_KEPT:
		answer(a, 503, text);
		break;
	}
	maybe_free(a);
}

static void
on_set_aside(void *arg, bool ok, const struct why *why)
{
	struct arrival *a = arg;

	a->owed--;
	if (!ok)
		log_error(NULL, "mail.aside edge=%s id=%s: %s", a->signer, uuid_text(a->id).s,
		    why != NULL ? why->text : "failed");
	answer(a, 403, ok ?
	    "the MAC is wrong: set aside; if keys were changed by hand, pair again, or give the "
	    "Worker its MAC_KEY" :
	    "the MAC is wrong: not kept; if keys were changed by hand, pair again, or give the "
	    "Worker its MAC_KEY");
	maybe_free(a);
}

static void
keep(struct arrival *a)
{
	const struct home_edge *e = edges_find(&a->at.intake->edges, a->signer);

	if (e == NULL || e->peer.nmac == 0) {
		answer(a, 403, "this edge is not paired with this home: it has no MAC key here");
		return;
	}
	a->owed++;
	if (object_mac_check(a->omac, e->peer.mac, e->peer.nmac, a->id, a->mac)) {
		spool_put_commit(&a->put, a->mac, on_kept, a);
		return;
	}
	board_add(a->at.intake->proc->board, BC_FORGED, 1);
	log_error(NULL,
	    "mail.forged edge=%s id=%s: its MAC is wrong, it is set aside and not delivered",
	    a->signer, uuid_text(a->id).s);
	spool_set_aside(&a->put, "MAC is wrong", on_set_aside, a);
}

/* --- the stream --------------------------------------------------------------------------- */

void
arrival_take(struct arrival *a, const struct arrival_head *head)
{
	const struct home_edge *e = edges_find(&a->at.intake->edges, a->signer);
	struct spool_meta meta = { .id = a->id, .origin = head->origin };
	unsigned long long n = 0;

	a->wait_s = head->wait_s;
	a->has_length = head->length.n > 0;
	if (!head->has_body || !hex_decode(head->mac, a->mac, sizeof(a->mac)) ||
	    (a->has_length && !span_u64(head->length, UINT64_MAX, &n))) {
		answer(a, 400,
		    "posthouse-mac of 64 hex digits, a right content-length and a body are needed");
		return;
	}
	a->length = n;
	if (n > a->at.most) {
		answer(a, 413, a->at.too_large);
		return;
	}
	if (!a->at.intake->up || e == NULL) {
		answer(a, 503, "the spool is not there yet");
		return;
	}
	span_copy(span_str(head->worker != NULL ? head->worker : a->signer), meta.signer,
	    sizeof(meta.signer));
	span_copy(span_str(e->peer.home), meta.home, sizeof(meta.home));
	meta.received_ms = wall_ms();
	meta.verdict = a->wait_s >= 0;
	a->put = spool_put_new(a->at.intake->spool, &meta);
	a->omac = object_mac_new();
	if (a->put == NULL || a->omac == NULL)
		answer(a, 503, "memory is out");
}

void
arrival_add(struct arrival *a, struct span s)
{
	struct why why = { "" };

	a->got += s.n;
	if (a->put == NULL)
		return;
	object_mac_add(a->omac, s.p, s.n);
	if (a->got > a->at.most)
		answer(a, 413, a->at.too_large);
	else if (spool_put_add(a->put, s.p, s.n, &why) == -1)
		answer(a, 503, why.text);
}

void
arrival_end(struct arrival *a)
{
	if (a->put == NULL)
		return;
	if (a->got == 0 || (a->has_length && a->got != a->length))
		answer(a, 400, "the object is not as long as content-length says");
	else
		keep(a);
}

/* --- the sender was told ------------------------------------------------------------------ */

static void
on_confirmed(void *arg, bool ok, const struct why *why)
{
	struct arrival *a = arg;

	a->owed--;
	if (ok)
		answer(a, 204, "");
	else
		answer(a, 503,
		    why != NULL && why->text[0] != '\0' ? why->text : "the spool does not answer");
	maybe_free(a);
}

void
arrival_confirm(struct arrival *a)
{
	a->confirming = true;
	if (!a->at.intake->up) {
		answer(a, 503, "the spool is not there yet");
		return;
	}
	a->owed++;
	ledger_confirm_refused(a->at.intake->spool, a->signer, a->id, on_confirmed, a);
}
