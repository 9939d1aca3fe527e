/* The questions, but for puts: each is encoded and goes its way. */
#include <stdlib.h>

#include "base/log.h"
#include "store/spool_in.h"

static struct ask *
about_row(struct spool *s, enum wire_type type, int64_t row, void *arg)
{
	struct wire_out w = { .n = 0 };
	struct ask *a;

	wire_u64(&w, (uint64_t)row);
	a = ask_new(s, type, &w, arg);
	a->row = row;
	return a;
}

void
spool_list(struct spool *s, const char *home, int64_t after, unsigned max, spool_list_fn *told,
    void *arg)
{
	struct wire_out w = { .n = 0 };
	struct ask *a;

	wire_text(&w, home);
	wire_u64(&w, (uint64_t)after);
	wire_u32(&w, max < WIRE_LIST_MAX ? max : WIRE_LIST_MAX);
	a = ask_new(s, WM_LIST, &w, arg);
	a->fn.list = told;
	ask_go(s, a);
}

void
spool_get(struct spool *s, int64_t row, spool_get_fn *told, void *arg)
{
	struct ask *a = about_row(s, WM_GET, row, arg);

	a->fn.get = told;
	ask_go(s, a);
}

void
spool_delete(struct spool *s, int64_t row, spool_done_fn *told, void *arg)
{
	struct ask *a = about_row(s, WM_DELETE, row, arg);

	a->fn.done = told;
	ask_go(s, a);
}

void
spool_release(struct spool *s, int64_t row)
{
	ask_go(s, about_row(s, WM_RELEASE, row, NULL));
}

void
spool_failed(struct spool *s, int64_t row, const char *reason)
{
	struct wire_out w = { .n = 0 };
	char text[WIRE_REASON_MAX];

	/* Another host's words may be in it. */
	(void)log_escape_words(span_str(reason), text, sizeof(text));
	wire_u64(&w, (uint64_t)row);
	wire_text(&w, text);
	ask_go(s, ask_new(s, WM_FAILED, &w, NULL));
}

void
spool_interlock(struct spool *s, const char *service, struct span report)
{
	struct wire_out w = { .n = 0 };
	struct ask *a;

	wire_text(&w, service);
	a = ask_new(s, WM_INTERLOCK, &w, NULL);
	if (!buf_add_span(&a->body, report))
		abort();
	ask_go(s, a);
}

void
spool_say(struct spool *s, const char *home, enum spool_said what, struct span text)
{
	bool first = true, last = false;

	while (!last) {
		size_t n = text.n < WIRE_SAID_PART ? text.n : WIRE_SAID_PART;
		struct wire_out w = { .n = 0 };
		struct ask *a;

		last = n == text.n;
		wire_text(&w, home);
		wire_u8(&w, what);
		wire_u8(&w, first);
		wire_u8(&w, last);
		a = ask_new(s, WM_SAID, &w, NULL);
		if (!buf_add_span(&a->body, span_of(text.p, n)))
			abort();
		ask_go(s, a);
		text = span_from(text, n);
		first = false;
	}
}

void
spool_answer_question(struct spool *s, uint64_t question, struct span answer)
{
	struct wire_out w = { .n = 0 };
	struct ask *a;

	wire_u64(&w, question);
	a = ask_new(s, WM_ANSWER, &w, NULL);
	if (!buf_add_span(&a->body, answer))
		abort();
	ask_go(s, a);
}

void
spool_mark(struct spool *s, const char *home, struct ledger_mark mark, spool_marked_fn *told,
    void *arg)
{
	struct wire_out w = { .n = 0 };
	struct ask *a;

	wire_text(&w, home);
	wire_mark(&w, &mark);
	a = ask_new(s, WM_MARK, &w, arg);
	a->fn.marked = told;
	ask_go(s, a);
}

/* --- the ledger ---------------------------------------------------------------------- */

void
ledger_claim(struct spool *s, unsigned max, ledger_job_fn *told, void *arg)
{
	struct wire_out w = { .n = 0 };
	struct ask *a;

	wire_u32(&w, max);
	a = ask_new(s, WM_CLAIM, &w, arg);
	a->fn.job = told;
	ask_go(s, a);
}

void
ledger_note(struct spool *s, const struct ledger_entry *e, size_t n, spool_done_fn *told, void *arg)
{
	struct ask *a = ask_new(s, WM_NOTE, NULL, arg);
	size_t part = 0;

	a->fn.done = told;
	for (size_t i = 0; i < n; i++) {
		struct wire_out w = { .n = 0 };

		wire_entry(&w, &e[i]);
		if (a->body.n - part + w.n > WIRE_PART) {
			part = a->body.n;
			if ((a->cut = realloc(a->cut, (a->ncuts + 1) * sizeof(a->cut[0]))) == NULL)
				abort();
			a->cut[a->ncuts++] = part;
		}
		if (!buf_add_span(&a->body, wire_span(&w)))
			abort();
	}
	ask_go(s, a);
}

void
ledger_watch(struct spool *s, int64_t row, ledger_outcome_fn *told, void *arg)
{
	struct ask *a = about_row(s, WM_WATCH, row, arg);

	a->fn.outcome = told;
	ask_go(s, a);
}

void
ledger_verdict_over(struct spool *s, int64_t row, ledger_outcome_fn *told, void *arg)
{
	struct ask *a = about_row(s, WM_VERDICT_OVER, row, arg);

	a->fn.outcome = told;
	ask_go(s, a);
}

void
ledger_confirm_refused(struct spool *s, const char *signer, struct uuid id, spool_done_fn *told,
    void *arg)
{
	struct wire_out w = { .n = 0 };
	struct ask *a;

	wire_text(&w, signer);
	wire_octets(&w, id.b, sizeof(id.b));
	a = ask_new(s, WM_CONFIRM, &w, arg);
	a->fn.done = told;
	ask_go(s, a);
}

/* --- peers ----------------------------------------------------------------------------- */

static void
add_peer(struct ask *a, const struct peer *p)
{
	struct buf json;

	buf_init(&json, WIRE_PEER_MAX);
	if (!peer_print(p, &json) || !buf_add_span(&a->body, buf_span(&json)))
		abort();
	buf_wipe(&json);
}

void
spool_pair_check(struct spool *s, const char *name, const unsigned char token[PAIRING_TOKEN_LEN],
    spool_pair_fn *told, void *arg)
{
	struct wire_out w = { .n = 0 };
	struct ask *a;

	wire_text(&w, name);
	wire_octets(&w, token, PAIRING_TOKEN_LEN);
	a = ask_new(s, WM_PAIR_CHECK, &w, arg);
	a->fn.paired = told;
	ask_go(s, a);
}

void
spool_pair_finish(struct spool *s, const struct peer *p,
    const unsigned char token[PAIRING_TOKEN_LEN],
    spool_pair_fn *told, void *arg)
{
	struct wire_out w = { .n = 0 };
	struct ask *a;

	wire_octets(&w, token, PAIRING_TOKEN_LEN);
	a = ask_new(s, WM_PAIR_FINISH, &w, arg);
	add_peer(a, p);
	a->fn.paired = told;
	ask_go(s, a);
}

void
spool_peer_update(struct spool *s, const struct peer *p, spool_done_fn *told, void *arg)
{
	struct ask *a = ask_new(s, WM_PEER_UPDATE, NULL, arg);

	add_peer(a, p);
	a->fn.done = told;
	ask_go(s, a);
}
