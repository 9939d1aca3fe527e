#include "home/origin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "home/dialer.h"
#include "home/origin_put.h"
#include "home/passage.h"
#include "home/policy_out.h"
#include "net/awake.h"
#include "net/tls.h"
#include "proto/ban_list.h"
#include "proto/prefer.h"
#include "store/ledger_words.h"

struct waiter {				/* a GET /policy or /policy/bans that is answered later */
	struct waiter	*next;
	struct origin	*origin;	/* NULL: answered, or the tunnel is gone */
	struct h2_stream *stream;
	bool		 bans;		/* /policy/bans */
	bool		 changes;	/* A-IM: changes; it takes them in place of the whole */
	char		 etag[BANS_ETAG_MAX];	/* what the edge has; "" nothing */
	uv_timer_t	 timer;
};

/* --- answering ---------------------------------------------------------------------------- */

#define MARK_TEXT 48
#define MARK_HEADERS 2
/* How many headers that makes: none while the mark is not known. */
static size_t
mark_headers(const struct origin *o, char text[MARK_TEXT], struct h2_header h[MARK_HEADERS])
{
	int n = snprintf(text, MARK_TEXT, "%llu.%llu", (unsigned long long)o->tunnel->mark.epoch,
	    (unsigned long long)o->tunnel->mark.counter);

	if (o->tunnel->mark.epoch == 0)
		return 0;
	h[0] = (struct h2_header){ "posthouse-ledger", span_of(text, (size_t)n) };
	h[1] = (struct h2_header){ "posthouse-ledger-runs", span_str(o->tunnel->mark_runs) };
	return o->tunnel->mark_runs[0] != '\0' ? 2 : 1;
}

void
origin_answer_with(struct origin *o, struct h2_stream *stream, unsigned status, const char *type,
    const char *etag, struct span body)
{
	char mark[MARK_TEXT], length[24];
	struct h2_header headers[3 + MARK_HEADERS];
	struct h2_head head = { .status = status, .headers = headers };

	head.nheaders = mark_headers(o, mark, headers);
	if (body.n > 0)
		headers[head.nheaders++] = (struct h2_header){ "content-type", span_str(type) };
	if (etag[0] != '\0')
		headers[head.nheaders++] = (struct h2_header){ "etag", span_str(etag) };
	if (status != 204 && status != 304) {
		int n = snprintf(length, sizeof(length), "%zu", body.n);

		headers[head.nheaders++] =
		    (struct h2_header){ "content-length", span_of(length, (size_t)n) };
	}
	if (!h2_respond(stream, &head, body, NULL, NULL))
		h2_reset(stream);
}

bool
origin_accept(struct origin *o, struct h2_stream *stream, h2_pull_fn *pull, void *arg)
{
	char mark[MARK_TEXT];
	struct h2_header headers[MARK_HEADERS];
	struct h2_head head = { .status = 200, .headers = headers };

	head.nheaders = mark_headers(o, mark, headers);
	return h2_respond(stream, &head, span_of(NULL, 0), pull, arg);
}

void
origin_answer(struct origin *o, struct h2_stream *stream, unsigned status, const char *text)
{
	size_t n = strlen(text);

	origin_answer_with(o, stream, status, "text/plain; charset=us-ascii", "",
	    span_of(text, n < H2_REPLY_MAX ? n : H2_REPLY_MAX));
}

/* A request that was answered at once: only its body, if it has one, is still to be thrown away. */
struct rest {
	struct h2_stream *stream;
};

static void
on_rest_data(void *arg, struct span s)
{
	struct rest *r = arg;

	h2_consumed(r->stream, s.n);
}

static void
on_rest_closed(void *arg, const struct why *why)
{
	free(arg);
}

static const struct h2_stream_ops rest_ops = { .data = on_rest_data, .closed = on_rest_closed };

void
origin_answer_now(struct origin *o, struct h2_stream *stream, unsigned status, const char *text)
{
	struct rest *r = malloc(sizeof(*r));

	if (r == NULL) {
		h2_reset(stream);
		return;
	}
	r->stream = stream;
	h2_stream_own(stream, &rest_ops, r);
	origin_answer(o, stream, status, text);
}

int
origin_prefer_wait(const struct h2_head *head)
{
	return prefer_wait(h2_header_get(head, "prefer"), ORIGIN_WAIT_MAX);
}

/* --- policy ------------------------------------------------------------------------------- */

struct document { /* a policy that is going out; it may be larger than a short body */
	struct h2_stream *stream;
	struct buf	 json;
	size_t		 sent;
	struct origin	*lists;		/* where a whole list is counted; NULL it is none */
	struct netset_entry *bans;	/* what does not stand in json yet */
	size_t		 nbans, at;
};

#define LISTED_A_TURN	256

static ssize_t
pull_document(void *arg, void *out, size_t max, bool *eof)
{
	struct document *d = arg;
	size_t n;

	if (d->sent == d->json.n && d->at < d->nbans) {
		buf_clear(&d->json);
		d->sent = 0;
		for (size_t i = 0; i < LISTED_A_TURN && d->at < d->nbans; i++) {
			const struct netset_entry *e = &d->bans[d->at++];

			if (!ban_print(&(struct ban_change){ { e->net, e->bits, e->until_ms },
			    false }, boot_ms(), &d->json))
				return -1;
		}
	}
	n = d->json.n - d->sent < max ? d->json.n - d->sent : max;

	if (n > 0)
		memcpy(out, d->json.p + d->sent, n);
	d->sent += n;
	*eof = d->sent == d->json.n && d->at == d->nbans;
	return (ssize_t)n;
}

static void
on_document_data(void *arg, struct span s)
{
	struct document *d = arg;

	h2_consumed(d->stream, s.n);
}

static void
on_document_closed(void *arg, const struct why *why)
{
	struct document *d = arg;

	if (d->lists != NULL)
		d->lists->nlists--;
	buf_fini(&d->json);
	free(d->bans);
	free(d);
}

static const struct h2_stream_ops document_ops = { .data = on_document_data,
	.closed = on_document_closed };

#define ORDER_TEXT 44

static struct h2_header
order_header(struct tunnel_proc *t, char text[ORDER_TEXT])
{
	while (t->order_run == 0) {
		random_bytes(&t->order_run, sizeof(t->order_run));
		t->order_run &= INT64_MAX;
	}
	snprintf(text, ORDER_TEXT, "%" PRIu64 ".%" PRIu64, t->order_run, ++t->order_count);
	return (struct h2_header){ "posthouse-order", span_str(text) };
}

/* Takes the stream over and answers it with the policy in force. */
static void
send_policy(struct origin *o, struct h2_stream *stream, const struct home_edge *e, const char *etag)
{
	struct document *d = calloc(1, sizeof(*d));
	char mark[MARK_TEXT], order[ORDER_TEXT], now[24];
	struct h2_header headers[4 + MARK_HEADERS] = {
		{ "content-type", SPAN_LIT("application/json") },
		{ "etag", span_str(etag) },
		order_header(o->tunnel, order),
	};
	struct h2_head head = { .status = 200, .headers = headers };

	if (d == NULL) {
		h2_reset(stream);
		return;
	}
	d->stream = stream;
	buf_init(&d->json, POLICY_OCTETS_MAX);
	h2_stream_own(stream, &document_ops, d);
	if (!policy_out(o->tunnel, e, &d->json)) {
		origin_answer(o, stream, 503, "the policy is not known yet");
		return;
	}
	snprintf(now, sizeof(now), "%" PRId64, wall_ms());
	headers[3] = (struct h2_header){ "posthouse-now", span_str(now) };
	head.nheaders = 4 + mark_headers(o, mark, &headers[4]);
	if (!h2_respond(stream, &head, span_of(NULL, 0), pull_document, d))
		h2_reset(stream);
}

/*
 * The same for the list of bans: the changes since what the edge has, or all.  The
 * list is a copy, printed as the edge takes it.
 */
static void
send_bans(struct origin *o, struct h2_stream *stream, const char *has, bool changes)
{
	const struct home_bans *b = &o->tunnel->bans;
	struct document *d = calloc(1, sizeof(*d));
	char etag[BANS_ETAG_MAX], mark[MARK_TEXT], order[ORDER_TEXT];
	struct h2_header headers[5 + MARK_HEADERS] = {
		{ "content-type", SPAN_LIT("application/json-seq") },
		{ "etag", { etag, 0 } },
		order_header(o->tunnel, order),
	};
	struct h2_head head = { .status = 200, .headers = headers, .nheaders = 3 };

	if (d == NULL) {
		h2_reset(stream);
		return;
	}
	d->stream = stream;
	buf_init(&d->json, BAN_CHANGES_MAX * BAN_RECORD_MAX);
	h2_stream_own(stream, &document_ops, d);
	home_bans_etag(b, etag);
	headers[1].value.n = strlen(etag);
	if (changes && home_bans_since(b, has, boot_ms(), &d->json)) {
		head.status = 226;
		headers[head.nheaders++] = (struct h2_header){ "im", SPAN_LIT("changes") };
		headers[head.nheaders++] = (struct h2_header){ "delta-base", span_str(has) };
	} else {
		buf_clear(&d->json);
		if (o->nlists == ORIGIN_LISTS_MAX ||
		    (d->bans = home_bans_all(b, &d->nbans)) == NULL) {
			origin_answer(o, stream, 503, "no more lists at once");
			return;
		}
		d->lists = o;
		o->nlists++;
	}
	head.nheaders += mark_headers(o, mark, &headers[head.nheaders]);
	if (!h2_respond(stream, &head, span_of(NULL, 0), pull_document, d))
		h2_reset(stream);
}

static void
on_waiter_freed(uv_handle_t *timer)
{
	free(timer->data);
}

/* Forgets the waiter, whose stream is somebody else's from here on. */
static void
waiter_end(struct waiter *w)
{
	struct origin *o = w->origin;

	if (o != NULL) {
		for (struct waiter **at = &o->waiters; *at != NULL; at = &(*at)->next)
			if (*at == w) {
				*at = w->next;
				break;
			}
		o->nwaiters--;
	}
	w->origin = NULL;
	uv_close((uv_handle_t *)&w->timer, on_waiter_freed);
}

static void
on_waiter_closed(void *arg, const struct why *why)
{
	waiter_end(arg);
}

static void
on_waiter_data(void *arg, struct span s)
{
	struct waiter *w = arg;

	h2_consumed(w->stream, s.n);
}

static const struct h2_stream_ops waiter_ops = { .data = on_waiter_data,
	.closed = on_waiter_closed };

/* Of what it asks for, as that is now.  False: it is not known. */
static bool
waiter_etag(const struct waiter *w, const struct home_edge *e, char now[BANS_ETAG_MAX])
{
	const struct tunnel_proc *t = w->origin->tunnel;

	if (!w->bans)
		return policy_out_etag(t, e, now);
	home_bans_etag(&t->bans, now);
	return now[0] != '\0' && t->mark.epoch != 0;
}

/* Answers with what is true now: the document if it is another than the edge has. */
static void
waiter_answer(struct waiter *w)
{
	struct origin *o = w->origin;
	const struct home_edge *e = tunnel_edge(o->tunnel, o->edge);
	const struct waiter was = *w;
	char now[BANS_ETAG_MAX];

	waiter_end(w);
	if (e == NULL || !waiter_etag(&was, e, now))
		origin_answer_now(o, was.stream, 503, "the policy is not known yet");
	else if (strcmp(now, was.etag) == 0)
		origin_answer_now(o, was.stream, 304, "");
	else if (was.bans)
		send_bans(o, was.stream, was.etag, was.changes);
	else
		send_policy(o, was.stream, e, now);
}

static void
on_waiter_late(uv_timer_t *timer)
{
	waiter_answer(timer->data);
}

/* The next word of a header, its words parted by single spaces; n 0 at the end. */
static struct span
next_word(struct span *s)
{
	const char *end = s->n > 0 ? memchr(s->p, ' ', s->n) : NULL;
	struct span word = span_of(s->p, end != NULL ? (size_t)(end - s->p) : s->n);

	*s = span_from(*s, end != NULL ? word.n + 1 : word.n);
	return word;
}

static void
read_recipients(struct span seen, struct peer *p)
{
	p->nrecipients = 0;
	memset(p->recipients, 0, sizeof(p->recipients));
	while (seen.n > 0 && p->nrecipients < AGE_RECIPIENTS_MAX)
		if (age_recipient_parse(next_word(&seen), &p->recipients[p->nrecipients]))
			p->nrecipients++;
}

/*
 * The edge's own pins, one or, while it changes its key, two.  It is believed only
 * with the key that this tunnel showed among them: a list without it would shut
 * out the edge that is speaking.
 */
static void
read_pins(struct origin *o, struct span said, struct peer *p)
{
	struct pin shown, pins[2] = { 0 };
	bool own = false;
	size_t n = 0;

	while (said.n > 0) {
		if (n == 2 || !pin_parse(next_word(&said), &pins[n]))
			return;
		n++;
	}
	for (size_t i = 0; i < n && tls_peer_pin(h2_ssl(o->h2), &shown); i++)
		own = own || pin_eq(&pins[i], &shown);
	if (!own)
		return;
	memcpy(p->pins, pins, sizeof(pins));
	p->npins = n;
}

/*
 * What the edge seals to now and the keys it shows, as it says itself: kept with
 * its pairing.  `rotate --finish` here drops an old age key only when every edge
 * knows the new one; the edge drops its old tunnel key only when we know the new
 * one, which it hears when the writer has it.
 */
static void
note_keys(struct origin *o, struct span seen, struct span edge_pins)
{
	const struct home_edge *e = tunnel_edge(o->tunnel, o->edge);
	struct peer now;

	if (e == NULL || e->paired.name[0] == '\0')
		return;
	now = e->paired;
	if (seen.n > 0)
		read_recipients(seen, &now);
	if (edge_pins.n > 0)
		read_pins(o, edge_pins, &now);
	if (memcmp(&now, &e->paired, sizeof(now)) != 0) {
		log_info(NULL, "edge.keys edge=%s pins=%zu recipients=%zu", o->edge, now.npins,
		    now.nrecipients);
		spool_peer_update(o->tunnel->intake.spool, &now, NULL, NULL);
	}
	peer_fini(&now);
}

/* For the interlock: a mail server must not trust this one either. */
static void
note_address(struct origin *o, struct span ip)
{
	struct home_edge *e = edges_find(&o->tunnel->intake.edges, o->edge);
	struct netaddr a;

	if (e == NULL || !netaddr_parse_ip(ip, &a))
		return;
	e->sees = a;
	e->sees_us = true;
}

/*
 * The edge has seen a later state of this very ledger: what we have is an old copy that was
 * put back.  It keeps what it holds; somebody must look, and then say so.
 */
static void
note_refused(struct origin *o, struct span said)
{
	struct home_edge *e = edges_find(&o->tunnel->intake.edges, o->edge);
	struct ledger_mark refused = { .epoch = 0 };

	if (e == NULL)
		return;
	ledger_mark_parse(said, &refused);
	if (refused.epoch != 0 && e->refused.epoch != refused.epoch)
		log_error(NULL, "ledger.refused edge=%s epoch=%llu counter=%llu: %s", o->edge,
		    (unsigned long long)refused.epoch, (unsigned long long)refused.counter,
		    DIALER_REFUSED);
	e->refused = refused;
}

static void
get_policy(struct origin *o, struct h2_stream *stream, const struct h2_head *head, bool bans)
{
	int wait_s = origin_prefer_wait(head);
	struct waiter *w = calloc(1, sizeof(*w));

	if (w == NULL) {
		origin_answer_now(o, stream, 503, "memory is out");
		return;
	}
	if (o->nwaiters == ORIGIN_WAITERS_MAX) {
		struct waiter *oldest = o->waiters;

		while (oldest->next != NULL)
			oldest = oldest->next;
		waiter_answer(oldest);
	}
	if (!bans) {
		note_keys(o, h2_header_get(head, "posthouse-keys-seen"),
		    h2_header_get(head, "posthouse-edge-pins"));
		note_address(o, h2_header_get(head, "posthouse-home-address"));
		note_refused(o, h2_header_get(head, "posthouse-ledger-refused"));
	}
	w->bans = bans;
	w->changes = span_eq(h2_header_get(head, "a-im"), SPAN_LIT("changes"));
	w->origin = o;
	w->stream = stream;
	if (!span_copy(h2_header_get(head, "if-none-match"), w->etag, sizeof(w->etag)))
		w->etag[0] = '\0';
	uv_timer_init(o->tunnel->loop, &w->timer);
	w->timer.data = w;
	w->next = o->waiters;
	o->waiters = w;
	o->nwaiters++;
	h2_stream_own(stream, &waiter_ops, w);
	if (o->tunnel->mark.epoch == 0)
		uv_timer_start(&w->timer, on_waiter_late, ORIGIN_WRITER_WAIT * 1000, 0);
	else if (wait_s <= 0 || w->etag[0] == '\0' || o->tunnel->draining)
		waiter_answer(w);
	else
		uv_timer_start(&w->timer, on_waiter_late, (uint64_t)wait_s * 1000, 0);
	origin_policy(o);
}

void
origin_policy(struct origin *o)
{
	const struct home_edge *e = tunnel_edge(o->tunnel, o->edge);
	struct waiter *w, *next;
	char now[BANS_ETAG_MAX];

	for (w = o->waiters; w != NULL && e != NULL; w = next) {
		next = w->next;
		if (waiter_etag(w, e, now) && strcmp(w->etag, now) != 0)
			waiter_answer(w);
	}
}

/* --- requests ----------------------------------------------------------------------------- */

static void
ask_mail(struct origin *o, struct h2_stream *stream, struct span id_text,
    const struct h2_head *head, bool has_body)
{
	struct uuid id;

	if (!uuid_parse(id_text, &id))
		origin_answer_now(o, stream, 404, "an object is named by a UUID: /mail/<id>");
	else if (span_eq(head->method, SPAN_LIT("PUT")))
		origin_put(o, stream, id, head, has_body);
	else if (span_eq(head->method, SPAN_LIT("DELETE")))
		origin_put_confirm(o, stream, id);
	else
		origin_answer_now(o, stream, 405, "PUT or DELETE");
}

void
origin_request(void *arg, struct h2_stream *stream, const struct h2_head *head, bool has_body)
{
	struct origin *o = arg;
	struct span path = head->path, mail = SPAN_LIT("/mail/");
	bool bans = span_eq(path, SPAN_LIT("/policy/bans"));

	if (path.n > mail.n && memcmp(path.p, mail.p, mail.n) == 0)
		ask_mail(o, stream, span_from(path, mail.n), head, has_body);
	else if ((span_eq(path, SPAN_LIT("/policy")) || bans) &&
	    span_eq(head->method, SPAN_LIT("GET")))
		get_policy(o, stream, head, bans);
	else if (span_eq(path, SPAN_LIT("/policy")) || bans)
		origin_answer_now(o, stream, 405, "GET");
	else if (span_eq(head->method, SPAN_LIT("CONNECT")))
		passage_open(o, stream, head);
	else
		origin_answer_now(o, stream, 404, "/mail/<id>, /policy or /policy/bans");
}

struct origin *
origin_new(struct tunnel_proc *t, const char *edge, struct h2 *h2)
{
	struct origin *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	o->tunnel = t;
	o->h2 = h2;
	span_copy(span_str(edge), o->edge, sizeof(o->edge));
	return o;
}

void
origin_tick(struct origin *o)
{
	origin_put_sweep(o, awake_now(o->tunnel->loop));
	passage_unknown(o, awake_ms(o->tunnel->loop));
}

void
origin_finish(struct origin *o)
{
	while (o->waiters != NULL)
		waiter_answer(o->waiters);
	origin_put_hurry(o);
}

void
origin_free(struct origin **op)
{
	struct origin *o = *op;

	*op = NULL;
	passage_unknown(o, INT64_MAX);
	origin_put_orphan(o);
	while (o->waiters != NULL)
		waiter_end(o->waiters);
	free(o);
}
