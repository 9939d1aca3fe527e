/*
 * What a writer says, taken by its client: every answer to every question, and every
 * event.  What is told is in range; no question is answered twice.
 * The input is messages: type, question, u16 length, body.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "store/spool_in.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define QUESTIONS 9
static const enum wire_type asked[QUESTIONS] = { WM_PUT, WM_LIST, WM_GET, WM_DELETE, WM_MARK,
	WM_CLAIM, WM_WATCH, WM_VERDICT_OVER, WM_PAIR_CHECK };
static unsigned answered[QUESTIONS], told;
static struct span now;			/* the message that is being taken */

static void
answer(void *which)
{
	assert(++answered[(uintptr_t)which] == 1);
}

static void
meta_ok(const struct spool_object *o)
{
	assert(o->row >= 0 && o->meta.received_ms >= 0 && o->meta.origin <= ORIGIN_SUBMISSION);
	assert(strlen(o->meta.signer) < sizeof(o->meta.signer));
	assert(strlen(o->meta.home) < sizeof(o->meta.home));
}

static void
on_kept(void *arg, enum kept k, int64_t row, const struct why *why)
{
	assert(k <= KEPT_FULL && row >= 0);
	answer(arg);
}

static void
on_list(void *arg, bool ok, const struct spool_object *list, size_t n)
{
	assert(n <= WIRE_LIST_MAX);
	for (size_t i = 0; i < n; i++)
		meta_ok(&list[i]);
	answer(arg);
}

/* Borrowed from the message, unless it was a descriptor. */
static void
content_ok(const struct spool_content *c)
{
	assert(c->fd == -1);
	if (c->data.n > 0)
		assert(c->data.p >= now.p && c->data.p + c->data.n <= now.p + now.n);
}

static void
on_get(void *arg, int64_t row, struct spool_content *c, const struct why *why)
{
	content_ok(c);
	answer(arg);
}

static void
on_done(void *arg, bool ok, const struct why *why)
{
	answer(arg);
}

static void
on_marked(void *arg, enum marked m, const struct why *why)
{
	assert(m <= MARKED_STALE);
	answer(arg);
}

static void
on_job(void *arg, struct ledger_job *job)
{
	if (job == NULL) {
		answer(arg);
		return;
	}
	meta_ok(&job->object);
	content_ok(&job->content);
	assert(job->nentries <= WIRE_ENTRIES_MAX);
	for (size_t i = 0; i < job->nentries; i++) {
		const struct ledger_entry *e = &job->entries[i];

		assert(e->state <= LEDGER_REFUSED && e->park <= PARK_OPERATOR && e->next_ms >= 0);
		assert(e->part < WIRE_ENTRIES_MAX);
	}
}

static void
on_outcome(void *arg, enum outcome o, const struct smtp_reply *r)
{
	assert(o <= OUTCOME_REFUSED);
	assert(r->code == 0 || (r->code >= 200 && r->code <= 599));
	answer(arg);
}

static void
on_paired(void *arg, const char *error, const struct peer *p)
{
	assert((error[0] == '\0') == (p != NULL));
	answer(arg);
}

static void
on_bans(void *arg, const struct spool_bans *b)
{
	struct wire_out w = { .n = 0 };

	told++;
	assert(b->n <= WIRE_BANS_MAX && now.n == 2 + b->n * WIRE_BAN_LEN);
	wire_u8(&w, b->anew);
	wire_u8(&w, b->whole);
	assert(memcmp(wire_span(&w).p, now.p, 2) == 0);
	for (size_t i = 0; i < b->n; i++) {
		const struct netset_entry *e = &b->list[i].on;

		assert(e->bits <= (e->net.v6 ? 128 : 32) && e->until_ms >= 0);
		w.n = 0;
		wire_ban(&w, &b->list[i]);
		assert(memcmp(wire_span(&w).p, now.p + 2 + i * WIRE_BAN_LEN, WIRE_BAN_LEN) == 0);
	}
}

static void
on_text(void *arg, const char *name)
{
	told++;
	assert(strlen(name) < 256);
}

static void on_nothing(void *arg) { told++; }
static void on_peer(void *arg, const struct peer *p) { told++; }
static void on_flag(void *arg, bool on) { told++; }
static void on_run(void *arg, uint64_t run) { told++; }
static void on_mark(void *arg, struct ledger_mark m) { told++; }

static const struct spool_events events = { .work = on_nothing, .peer = on_peer,
	.peer_gone = on_text, .peers_known = on_nothing, .mark = on_mark, .attached = on_flag,
	.interlock = on_run, .pairing = on_flag, .bans = on_bans };

/* In the order of asked[], so that their tags are known. */
static void
ask_all(struct spool *s)
{
	static const unsigned char zero[OBJECT_MAC_LEN];
	struct spool_meta meta = { .signer = "e" };
	struct spool_put *put = spool_put_new(s, &meta);
	uintptr_t q = 0;

	assert(put != NULL);
	spool_put_commit(&put, zero, on_kept, (void *)q++);
	spool_list(s, "", 0, 1, on_list, (void *)q++);
	spool_get(s, 7, on_get, (void *)q++);
	spool_delete(s, 7, on_done, (void *)q++);
	spool_mark(s, "h", (struct ledger_mark){ .epoch = 1, .counter = 1 }, on_marked,
	    (void *)q++);
	ledger_claim(s, 1, on_job, (void *)q++);
	ledger_watch(s, 7, on_outcome, (void *)q++);
	ledger_verdict_over(s, 7, on_outcome, (void *)q++);
	spool_pair_check(s, "h", zero, on_paired, (void *)q++);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct spool *s = spool_new(&events, NULL, -1, 1 << 20, 1 << 20);
	unsigned sure;

	assert(s != NULL);
	memset(answered, 0, sizeof(answered));
	ask_all(s);
	while (n >= 4) {
		size_t len = get_u16(p + 2) < n - 4 ? get_u16(p + 2) : n - 4, q = p[1];
		struct chan_msg m = { .type = p[0], .body = span_of(p + 4, len), .fd = -1 };
		bool ok;

		if (q > 0)
			m.tag = (uint64_t)asked[(q - 1) % QUESTIONS] << 56 |
			    ((q - 1) % QUESTIONS + 1);
		now = m.body;
		sure = told;
		ok = spool_answer(s, &m);
		/* Nothing is told of a message that is refused. */
		assert(ok || told == sure);
		if (!ok)
			break;
		p += 4 + len;
		n -= 4 + len;
	}
	now = span_of(NULL, 0);
	spool_free(&s);
	return 0;
}
