/* What the writer says, decoded, and whom it is for. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/spool_in.h"

struct answer {
	struct wire_in	 in;
	struct chan_msg	*msg;
	struct why	 why;
};

static void
get_why(struct answer *m)
{
	wire_get_text(&m->in, m->why.text, sizeof(m->why.text));
}

/* Tells, and ends the question. */
#define TELL(s, a, member, ...) do {						\
	spool_answered(s, a);							\
	if ((a)->fn.member != NULL)						\
		(a)->fn.member((a)->arg, __VA_ARGS__);				\
	ask_free(s, &(a));							\
} while (0)

void
ask_fail(struct spool *s, struct ask *a, const struct why *why)
{
	struct spool_content none = { .fd = -1 };

	if (a->fn.kept == NULL)			/* any member: nobody listens */
		return;
	switch ((enum wire_type)a->type) {
	case WM_PUT:
		a->fn.kept(a->arg, NOT_KEPT, 0, why);
		break;
	case WM_LIST:
		a->fn.list(a->arg, false, NULL, 0);
		break;
	case WM_GET:
		a->fn.get(a->arg, a->row, &none, why);
		break;
	case WM_MARK:
		a->fn.marked(a->arg, MARKED_NOT, why);
		break;
	case WM_CLAIM:
		a->fn.job(a->arg, NULL);
		break;
	case WM_WATCH:
	case WM_VERDICT_OVER:
		a->fn.outcome(a->arg, OUTCOME_PENDING, &(struct smtp_reply){ 0 });
		break;
	case WM_PAIR_CHECK:
	case WM_PAIR_FINISH:
		a->fn.paired(a->arg, "the edge was interrupted: try again", NULL);
		break;
	default:
		a->fn.done(a->arg, false, why);
		break;
	}
}

/* --- answers ---------------------------------------------------------------------- */

static bool
on_kept(struct spool *s, struct ask *a, struct answer *m)
{
	enum kept kept = (enum kept)wire_get_enum(&m->in, KEPT_FULL);
	int64_t row = wire_get_row(&m->in);

	get_why(m);
	if (!wire_done(&m->in) || a->type != WM_PUT)
		return false;
	TELL(s, a, kept, kept, row, &m->why);
	return true;
}

static bool
on_done(struct spool *s, struct ask *a, struct answer *m)
{
	bool ok = wire_get_enum(&m->in, 1);

	get_why(m);
	if (!wire_done(&m->in))
		return false;
	switch ((enum wire_type)a->type) {
	case WM_ASIDE:
	case WM_DELETE:
	case WM_NOTE:
	case WM_CONFIRM:
	case WM_PEER_UPDATE:
		TELL(s, a, done, ok, &m->why);
		return true;
	default:
		return false;
	}
}

static bool
on_marked(struct spool *s, struct ask *a, struct answer *m)
{
	enum marked marked = (enum marked)wire_get_enum(&m->in, MARKED_STALE);

	get_why(m);
	if (!wire_done(&m->in) || a->type != WM_MARK)
		return false;
	TELL(s, a, marked, marked, &m->why);
	return true;
}

static bool
on_list(struct spool *s, struct ask *a, struct answer *m)
{
	bool ok = wire_get_enum(&m->in, 1);
	uint32_t n = wire_get_u32(&m->in), i;
	struct spool_object *o;

	if (m->in.bad || n > WIRE_LIST_MAX || a->type != WM_LIST)
		return false;
	if ((o = calloc(n + 1, sizeof(*o))) == NULL)
		abort();
	for (i = 0; i < n; i++)
		wire_get_object(&m->in, &o[i]);
	if (!wire_done(&m->in)) {
		free(o);
		return false;
	}
	TELL(s, a, list, ok, o, n);
	free(o);
	return true;
}

/* The rest of the message, or the descriptor. */
static struct spool_content
content(struct answer *m, bool ok)
{
	struct spool_content c = { .ok = ok, .data = wire_rest(&m->in), .fd = -1 };

	if (ok) {
		c.fd = m->msg->fd;
		m->msg->fd = -1;
	}
	return c;
}

static bool
on_content(struct spool *s, struct ask *a, struct answer *m)
{
	bool ok = wire_get_enum(&m->in, 1);
	struct spool_content c;

	get_why(m);
	if (m->in.bad || a->type != WM_GET)
		return false;
	c = content(m, ok);
	TELL(s, a, get, a->row, &c, &m->why);
	return true;
}

/* As many entries as n says, behind those that came in earlier parts. */
static bool
get_entries(struct spool *s, struct wire_in *in, size_t n)
{
	struct ledger_entry *p;

	if (n > WIRE_ENTRIES_MAX - s->nparts)
		return false;
	if ((p = realloc(s->parts, (s->nparts + n + 1) * sizeof(*p))) == NULL)
		abort();
	s->parts = p;
	for (; n > 0; n--)
		wire_get_entry(in, &s->parts[s->nparts++]);
	return !in->bad;
}

static bool
on_job_part(struct spool *s, struct ask *a, struct answer *m)
{
	size_t n = wire_get_u16(&m->in);

	return a->type == WM_CLAIM && get_entries(s, &m->in, n) && wire_done(&m->in);
}

static bool
on_job(struct spool *s, struct ask *a, struct answer *m)
{
	struct ledger_job job = { 0 };
	struct ledger_entry *entries;
	bool ok;

	wire_get_object(&m->in, &job.object);
	ok = wire_get_enum(&m->in, 1);
	if (a->type != WM_CLAIM || !get_entries(s, &m->in, wire_get_u16(&m->in)))
		return false;
	entries = s->parts;
	job.entries = entries;
	job.nentries = s->nparts;
	job.content = content(m, ok);
	s->parts = NULL;
	s->nparts = 0;
	a->fn.job(a->arg, &job);
	free(entries);
	return true;
}

static bool
on_jobs_end(struct spool *s, struct ask *a, struct answer *m)
{
	if (!wire_done(&m->in) || a->type != WM_CLAIM || s->nparts > 0)
		return false;
	TELL(s, a, job, NULL);
	return true;
}

static bool
on_outcome(struct spool *s, struct ask *a, struct answer *m)
{
	enum outcome o = (enum outcome)wire_get_enum(&m->in, OUTCOME_REFUSED);
	struct smtp_reply reply;

	wire_get_reply(&m->in, &reply);
	if (!wire_done(&m->in) || (a->type != WM_WATCH && a->type != WM_VERDICT_OVER))
		return false;
	TELL(s, a, outcome, o, &reply);
	return true;
}

static bool
get_peer(struct answer *m, struct peer *p)
{
	return !m->in.bad && peer_parse(wire_rest(&m->in), p, &m->why);
}

static bool
on_paired(struct spool *s, struct ask *a, struct answer *m)
{
	struct peer *p = NULL;
	char error[512];

	wire_get_text(&m->in, error, sizeof(error));
	if (m->in.bad || (a->type != WM_PAIR_CHECK && a->type != WM_PAIR_FINISH))
		return false;
	if (error[0] == '\0') {
		if ((p = malloc(sizeof(*p))) == NULL)
			abort();
		if (!get_peer(m, p)) {
			free(p);
			return false;
		}
	}
	TELL(s, a, paired, error, p);
	if (p != NULL)
		peer_fini(p);
	free(p);
	return true;
}

static const struct {
	enum wire_type	 type;
	bool		 (*take)(struct spool *, struct ask *, struct answer *);
} answers[] = {
	{ WA_KEPT, on_kept },
	{ WA_DONE, on_done },
	{ WA_MARKED, on_marked },
	{ WA_LIST, on_list },
	{ WA_CONTENT, on_content },
	{ WA_JOB_PART, on_job_part },
	{ WA_JOB, on_job },
	{ WA_JOBS_END, on_jobs_end },
	{ WA_OUTCOME, on_outcome },
	{ WA_PAIRED, on_paired },
};

/* --- events ----------------------------------------------------------------------- */

#define CALL(s, event, ...) do {						\
	if ((s)->events->event != NULL)						\
		(s)->events->event((s)->arg, ##__VA_ARGS__);			\
} while (0)

static bool
on_hello(struct spool *s, struct answer *m)
{
	if (!wire_done(&m->in) || s->up)
		return false;
	s->up = true;
	spool_peers_anew(s);
	CALL(s, attached, true);
	return true;
}

static bool
on_limits(struct spool *s, struct answer *m)
{
	s->reserve = wire_get_u64(&m->in);
	s->share = wire_get_u8(&m->in);
	return wire_done(&m->in);
}

static bool
on_room(struct spool *s, struct answer *m)
{
	s->room = wire_get_u64(&m->in);
	return wire_done(&m->in);
}

static bool
on_work(struct spool *s, struct answer *m)
{
	if (!wire_done(&m->in))
		return false;
	CALL(s, work);
	return true;
}

static bool
on_peer(struct spool *s, struct answer *m)
{
	struct peer *p = malloc(sizeof(*p));
	bool ok;

	if (p == NULL)
		abort();
	if ((ok = get_peer(m, p))) {
		spool_peer_named(s, p->name);
		CALL(s, peer, p);
		peer_fini(p);
	}
	free(p);
	return ok;
}

static bool
on_peer_gone(struct spool *s, struct answer *m)
{
	char name[SPOOL_PEER_NAME];

	wire_get_text(&m->in, name, sizeof(name));
	if (!wire_done(&m->in))
		return false;
	spool_peer_forget(s, name);
	CALL(s, peer_gone, name);
	return true;
}

static bool
on_peers_known(struct spool *s, struct answer *m)
{
	char name[SPOOL_PEER_NAME];

	if (!wire_done(&m->in))
		return false;
	while (spool_peer_unnamed(s, name)) {
		log_info(NULL, "peer.gone name=%s", log_safe(span_str(name)).s);
		CALL(s, peer_gone, name);
	}
	CALL(s, peers_known);
	return true;
}

static bool
on_ledger(struct spool *s, struct answer *m)
{
	struct ledger_mark mark;

	wire_get_mark(&m->in, &mark);
	if (!wire_done(&m->in))
		return false;
	CALL(s, mark, mark);
	return true;
}

static bool
on_pairing(struct spool *s, struct answer *m)
{
	bool pending = wire_get_enum(&m->in, 1);

	if (!wire_done(&m->in))
		return false;
	CALL(s, pairing, pending);
	return true;
}

static bool
on_interlock(struct spool *s, struct answer *m)
{
	uint64_t run = wire_get_u64(&m->in);

	if (!wire_done(&m->in))
		return false;
	CALL(s, interlock, run);
	return true;
}

static bool
on_again(struct spool *s, struct answer *m)
{
	if (!wire_done(&m->in))
		return false;
	CALL(s, again);
	return true;
}

static bool
on_question(struct spool *s, struct answer *m)
{
	uint64_t question = wire_get_u64(&m->in);

	if (m->in.bad)
		return false;
	CALL(s, question, question, wire_rest(&m->in));
	return true;
}

static bool
on_bans(struct spool *s, struct answer *m)
{
	struct spool_bans told = { .anew = wire_get_enum(&m->in, 1) };
	struct spool_ban *list;
	bool ok;

	told.whole = wire_get_enum(&m->in, 1);
	told.n = m->in.n / WIRE_BAN_LEN;
	if (m->in.bad || told.n > WIRE_BANS_MAX)
		return false;
	if ((list = calloc(told.n + 1, sizeof(*list))) == NULL)
		abort();
	for (size_t i = 0; i < told.n; i++)
		wire_get_ban(&m->in, &list[i]);
	told.list = list;
	if ((ok = wire_done(&m->in)))
		CALL(s, bans, &told);
	free(list);
	return ok;
}

static bool
on_said(struct spool *s, struct answer *m)
{
	char name[PAIRING_NAME_MAX + 1];
	enum spool_said what;
	int fd = m->msg->fd;

	wire_get_text(&m->in, name, sizeof(name));
	what = (enum spool_said)wire_get_enum(&m->in, SPOOL_SAID_KINDS - 1);
	if (!wire_done(&m->in) || fd == -1 || s->events->said == NULL)
		return false;
	m->msg->fd = -1;
	s->events->said(s->arg, name, what, fd);
	return true;
}

static const struct {
	enum wire_type	 type;
	bool		 (*take)(struct spool *, struct answer *);
} events[] = {
	{ WE_HELLO, on_hello },
	{ WE_LIMITS, on_limits },
	{ WE_ROOM, on_room },
	{ WE_WORK, on_work },
	{ WE_PEER, on_peer },
	{ WE_PEER_GONE, on_peer_gone },
	{ WE_PEERS_KNOWN, on_peers_known },
	{ WE_LEDGER, on_ledger },
	{ WE_PAIRING, on_pairing },
	{ WE_INTERLOCK, on_interlock },
	{ WE_AGAIN, on_again },
	{ WE_QUESTION, on_question },
	{ WE_BANS, on_bans },
	{ WE_SAID, on_said },
};

bool
spool_answer(struct spool *s, struct chan_msg *msg)
{
	struct answer m = { .in = wire_in(msg->body), .msg = msg };
	struct ask *a;
	size_t i;

	for (i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i].type == msg->type)
			return msg->tag == 0 && events[i].take(s, &m);
	for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		if (answers[i].type == msg->type)
			return (a = spool_asked(s, msg->tag)) != NULL && answers[i].take(s, a, &m);
	return false;
}
