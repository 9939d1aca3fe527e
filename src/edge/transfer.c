#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/log.h"
#include "edge/handover_in.h"
#include "net/awake.h"

#define PAUSE_LEAST_MS	1000	/* after a 503: home's disk is full, say */
#define PAUSE_MOST_MS	60000
#define AGAIN_LEAST_MS	1000	/* a row that failed by itself: doubled with each try */
#define AGAIN_MOST_MS	300000	/* and for one that home will not take */
/* Home hears of a pairing after us: so long it may be that it does not know our new key yet. */
#define ANEW_MS		60000
/* A stream that moved nothing for so long is called off: home hangs. */
#define STILL_MS	300000

/* --- a transfer's life --------------------------------------------------------------------- */

struct transfer *
transfer_new(struct handover *ho, const struct spool_object *obj, bool verdict)
{
	struct transfer *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->ho = ho;
	t->obj = *obj;
	t->fd = -1;
	t->began = instant_now();
	t->verdict = verdict;
	t->large = obj->size > edge_conf(ho->edge)->hold.threshold;
	buf_init(&t->data, obj->size > SIZE_MAX / 2 ? SIZE_MAX / 2 : (size_t)obj->size);
	buf_init(&t->answer, H2_REPLY_MAX);
	t->next = ho->transfers;
	ho->transfers = t;
	ho->nbulk += !verdict;
	ho->nlarge += !verdict && t->large;
	return t;
}

static void
transfer_free(struct transfer *t)
{
	struct handover *ho = t->ho;

	for (struct transfer **at = &ho->transfers; *at != NULL; at = &(*at)->next)
		if (*at == t) {
			*at = t->next;
			break;
		}
	if (!t->verdict) {
		ho->nbulk--;
		ho->nlarge -= t->large;
	}
	if (!t->verdict && t->large) {
		ho->rescan |= ho->large_waits;
		ho->large_waits = false;
	}
	if (t->fd >= 0)
		close(t->fd);
	buf_fini(&t->data);
	buf_fini(&t->answer);
	free(t);
	handover_step(ho);
}

/* The row stays in the spool and comes again after so long. */
static void
give_back(struct transfer *t, int64_t ms)
{
	if (t->verdict)
		spool_release(t->ho->edge->spool, t->obj.row);
	ask_over(t, VERDICT_LATE, NULL);
	handover_aside(t->ho, t->obj.row, ms);
	transfer_free(t);
}

/* It failed by itself: it steps aside for longer each time, so that the others go on. */
static void
give_back_failed(struct transfer *t, const char *reason)
{
	unsigned tries = t->obj.tries < 16 ? t->obj.tries : 16;
	int64_t ms = (int64_t)AGAIN_LEAST_MS << tries;

	spool_failed(t->ho->edge->spool, t->obj.row, reason);
	give_back(t, ms < AGAIN_MOST_MS ? ms : AGAIN_MOST_MS);
}

/* Nothing of this home goes for twice as long as the last time. */
static void
pause_longer(struct transfer *t, const char *reason)
{
	struct handover *ho = t->ho;

	/* Those that were under way together say it together: that is once. */
	if (handover_paused(ho))
		return;
	ho->pause_ms = ho->pause_ms == 0 ? PAUSE_LEAST_MS : ho->pause_ms * 2;
	if (ho->pause_ms > PAUSE_MOST_MS)
		ho->pause_ms = PAUSE_MOST_MS;
	log_warn(NULL, "handover.later home=%s id=%s wait_ms=%lld: %s", ho->home->name,
	    uuid_text(t->obj.meta.id).s, (long long)ho->pause_ms, reason);
	handover_pause(ho, ho->pause_ms);
}

/* --- home has it --------------------------------------------------------------------------- */

/*
 * Home has it and so have we, as our own disk fails: it goes again, and home knows
 * its key.  So would every other row, whole, and none would go from here.
 */
static void
on_unkept(struct transfer *t, const struct why *why)
{
	pause_longer(t, why->text);
	spool_failed(t->ho->edge->spool, t->obj.row, "home has it; the edge could not note that");
	give_back(t, AGAIN_LEAST_MS);
}

static void
on_deleted(void *arg, bool ok, const struct why *why)
{
	struct transfer *t = arg;

	if (!ok) {
		on_unkept(t, why);
		return;
	}
	t->ho->pause_ms = 0;
	board_add(edge_board(t->ho->edge), BC_HANDED_OVER, 1);
	log_info(NULL, "handover.done home=%s id=%s size=%llu ms=%lld", t->ho->home->name,
	    uuid_text(t->obj.meta.id).s, (unsigned long long)t->obj.size,
	    (long long)instant_ms_since(t->began, instant_now()));
	transfer_free(t);
}

static void
on_stale(struct transfer *t, const struct why *why)
{
	handover_stale(t->ho, t->mark, why);
	give_back(t, 0);
}

static void
on_marked(void *arg, enum marked marked, const struct why *why)
{
	struct transfer *t = arg;
	struct handover *ho = t->ho;

	if (marked == MARKED) {
		ho->stale = (struct ledger_mark){ .epoch = 0 };
		spool_delete(ho->edge->spool, t->obj.row, on_deleted, t);
		return;
	}
	ho->top = (struct ledger_mark){ .epoch = 0 };
	if (marked == MARKED_STALE)
		on_stale(t, why);
	else
		on_unkept(t, why);
}

/*
 * Answers overtake each other, on several tunnels above all, and a mark that was
 * overtaken is no older ledger.  One is only where the answer shows less than we
 * had seen before we asked.
 */
static void
mark_and_delete(struct transfer *t)
{
	struct handover *ho = t->ho;

	if (handover_overtaken(ho, &t->mark, &t->floor))
		t->mark = ho->top;
	else if (t->mark.epoch != t->floor.epoch || t->mark.counter >= t->floor.counter)
		ho->top = t->mark;
	spool_mark(ho->edge->spool, ho->home->name, t->mark, on_marked, t);
}

/* --- what home answered -------------------------------------------------------------------- */

/* In a 422's body; false: it is no such reply. */
static bool
refusal(const struct transfer *t, bool whole, struct smtp_reply *out)
{
	char said[128];

	if (whole && smtp_reply_parse(buf_span(&t->answer), out) && smtp_reply_permanent(out))
		return true;
	log_warn(NULL, "verdict.unclear home=%s id=%s: home answered 422 %s: %s",
	    t->ho->home->name, uuid_text(t->obj.meta.id).s,
	    whole ? "without a permanent SMTP reply" : "and no more",
	    log_escape_words(buf_span(&t->answer), said, sizeof(said)));
	return false;
}

static void
on_refused(struct transfer *t, bool whole)
{
	struct smtp_reply reply;

	if (t->ask == NULL || t->ask->fn == NULL || !refusal(t, whole, &reply)) {
		/*
		 * Nobody was told 5xx: home learns by the next PUT, which does not ask.  A 422 to a
		 * PUT that did not ask is a home that does not know the rules.
		 */
		if (t->verdict)
			give_back(t, 0);
		else
			give_back_failed(t, "home answered 422 to what was accepted");
		return;
	}
	ask_over(t, VERDICT_REFUSED, &reply);
	transfer_free(t);
}

/* Home has no room now: nothing else would find any, so all wait. */
static void
on_unavailable(struct transfer *t, const char *reason)
{
	pause_longer(t, reason);
	spool_failed(t->ho->edge->spool, t->obj.row, reason);
	give_back(t, 0);
}

/* For a person to mend, at home. */
static void
keep_here(struct transfer *t, const char *reason)
{
	struct handover *ho = t->ho;

	log_error(NULL, "handover.refused home=%s id=%s kept=here: %s", ho->home->name,
	    uuid_text(t->obj.meta.id).s, reason);
	spool_failed(ho->edge->spool, t->obj.row, reason);
	give_back(t, AGAIN_MOST_MS);
}

static bool
paired_lately(const struct home *h)
{
	return h->anew.ns != 0 && instant_ms_since(h->anew, instant_now()) < ANEW_MS;
}

static void
on_declined(struct transfer *t)
{
	bool early = t->status == 403 && paired_lately(t->ho->home);
	char said[128], reason[sizeof(said) + 64];

	board_add(edge_board(t->ho->edge), BC_HANDOVER_FAILED, 1);
	/* What begins with "home answered" is an alarm (db_declined), whose advice is to pair. */
	snprintf(reason, sizeof(reason), "%shome answered %u: %s",
	    early ? "paired anew a moment ago: " : "", t->status,
	    log_escape_words(buf_span(&t->answer), said, sizeof(said)));
	if (t->status == 503)
		on_unavailable(t, reason);
	else if (early)
		give_back_failed(t, reason);
	else
		keep_here(t, reason);
}

/* It may be an old copy that says so, and has forgotten by tomorrow: we keep ours. */
static void
on_nameless(struct transfer *t)
{
	char reason[64];

	board_add(edge_board(t->ho->edge), BC_HANDOVER_FAILED, 1);
	snprintf(reason, sizeof(reason), "home answered %u without naming its ledger", t->status);
	keep_here(t, reason);
}

static void
on_cut(struct transfer *t, const struct why *why)
{
	const char *reason = t->damaged ? "its file ended too early" :
	    why != NULL ? why->text : "no answer";
	char said[128];

	if (t->damaged)
		log_error(NULL, "handover.read home=%s id=%s: %s", t->ho->home->name,
		    uuid_text(t->obj.meta.id).s, reason);
	else
		log_info(NULL, "handover.cut home=%s id=%s: %s", t->ho->home->name,
		    uuid_text(t->obj.meta.id).s,
		    log_escape_words(span_str(reason), said, sizeof(said)));
	give_back_failed(t, reason);
}

static void
on_head(void *arg, const struct h2_head *head)
{
	struct transfer *t = arg;

	t->status = head->status;
	handover_mark(head, &t->mark);
}

static void
on_data(void *arg, struct span s)
{
	struct transfer *t = arg;
	size_t room = t->answer.max - t->answer.n;

	h2_consumed(t->stream, s.n);
	buf_add(&t->answer, s.p, s.n < room ? s.n : room);
}

static void
on_closed(void *arg, const struct why *why)
{
	struct transfer *t = arg;

	t->stream = NULL;
	if (t->status == 0) {
		on_cut(t, why);
	} else if (t->status == 200 || t->status == 201 || t->status == 202) {
		if (t->mark.epoch == 0) {
			on_nameless(t);
			return;
		}
		ask_over(t, VERDICT_TAKEN, NULL);
		mark_and_delete(t);
	} else if (t->status == 422) {
		on_refused(t, why == NULL);
	} else {
		on_declined(t);
	}
}

static const struct h2_stream_ops put_ops = { .head = on_head, .data = on_data,
    .closed = on_closed };

/* --- the PUT ------------------------------------------------------------------------------- */

static ssize_t
pull(void *arg, void *out, size_t max, bool *eof)
{
	struct transfer *t = arg;
	uint64_t left = t->obj.size - t->sent;
	ssize_t n = (ssize_t)(left < max ? left : max);

	if (t->fd >= 0) {
		/*
		 * The file is our own disk's: a short wait here is the price of
		 * needing no thread.
		 */
		if ((n = read(t->fd, out, (size_t)n)) <= 0 && left > 0) {
			t->damaged = true;
			return -1;
		}
	} else {
		memcpy(out, t->data.p + t->sent, (size_t)n);
	}
	t->sent += (uint64_t)n;
	t->moved = awake_now(t->ho->edge->loop);
	*eof = t->sent == t->obj.size;
	if (*eof)
		buf_fini(&t->data);		/* home may take its time to answer */
	return n;
}

static bool
put_object(struct transfer *t)
{
	struct handover *ho = t->ho;
	char path[64], mac[2 * OBJECT_MAC_LEN + 1], length[24], wait[32];
	struct h2_header headers[4] = {
		{ "posthouse-mac", { mac, 2 * OBJECT_MAC_LEN } },
		{ "content-length", { length, 0 } },
	};
	struct h2_head head = { .method = SPAN_LIT("PUT"), .headers = headers, .nheaders = 2 };

	hex_encode(t->obj.mac, OBJECT_MAC_LEN, mac);
	headers[1].value.n = (size_t)snprintf(length, sizeof(length), "%llu",
	    (unsigned long long)t->obj.size);
	if (t->ask != NULL && t->ask->fn != NULL) {
		snprintf(wait, sizeof(wait), "wait=%lld",
		    (long long)((edge_conf(ho->edge)->verdict_ms + 999) / 1000));
		headers[head.nheaders++] = (struct h2_header){ "prefer", span_str(wait) };
	}
	/* We vouch for it; it is a Worker's. */
	if (t->obj.meta.origin == ORIGIN_PUSH)
		headers[head.nheaders++] = (struct h2_header){ "posthouse-signer",
			span_str(t->obj.meta.signer) };
	snprintf(path, sizeof(path), "/mail/%s", uuid_text(t->obj.meta.id).s);
	head.path = span_str(path);
	t->moved = awake_now(t->ho->edge->loop);
	t->floor = ho->top;
	t->stream = handover_request(ho, &head, pull, t, &put_ops, t);
	return t->stream != NULL;
}

/* ready: its octets are in memory, or its file is open. */
static void
put_or_wait(struct transfer *t, bool ready)
{
	if (ready && put_object(t))
		return;
	if (t->ho->home->lanes.n > 0)
		handover_pause(t->ho, PAUSE_LEAST_MS);
	give_back(t, 0);
}

static void
on_signed(struct transfer *t, bool ok)
{
	if (ok)
		put_or_wait(t, true);
	else
		give_back_failed(t, "it could not be signed for the present pairing: its file "
		    "cannot be read, or memory is out");
}

static void
on_content(void *arg, int64_t row, struct spool_content *c, const struct why *why)
{
	struct transfer *t = arg;
	struct handover *ho = t->ho;

	if (!c->ok || (c->fd == -1 && c->data.n != t->obj.size)) {
		/*
		 * Gone or set aside: it will not be listed again.  Or the writer died, or the disk
		 * does not give it: it will.
		 */
		log_warn(NULL, "handover.read home=%s id=%s row=%lld: %s", ho->home->name,
		    uuid_text(t->obj.meta.id).s, (long long)row,
		    c->ok ? "not as long as it was" : why->text);
		if (c->ok)
			give_back(t, AGAIN_MOST_MS);
		else
			give_back_failed(t, why->text);
		return;
	}
	t->fd = c->fd;
	if (t->fd == -1 && !buf_add_span(&t->data, c->data))
		put_or_wait(t, false);
	else if (sign_needed(t))
		sign_anew(t, on_signed);
	else
		put_or_wait(t, true);
}

void
transfer_begin(struct transfer *t)
{
	spool_get(t->ho->edge->spool, t->obj.row, on_content, t);
}

void
transfers_sweep(struct handover *ho, struct instant now)
{
	for (struct transfer *t = ho->transfers; t != NULL; t = t->next)
		if (t->stream != NULL && instant_ms_since(t->moved, now) > STILL_MS)
			h2_reset(t->stream);
}
