#include "net/splice.h"

#include <stdlib.h>

#include "base/pieces.h"
#include "net/awake.h"
#include "net/spin.h"

static const struct conn_ops taken_ops;

struct splice {
	struct splice	*next, **prev;
	struct splices	*all;
	const struct splice_ops *ops;
	void		*arg;
	struct conn	*conn;		/* NULL once closed */
	struct h2_stream *stream;	/* NULL until joined, and once closed */
	struct pieces	 out;		/* in front of the conn's own, waits for the stream */
	struct span	 in[CONN_SPANS];	/* of this read, where it was deciphered */
	unsigned	 nin;
	size_t		 owed;		/* octets of the stream that are not given back */
	size_t		 held;		/* our part of all->held */
	uint64_t	 out_octets, in_octets;
	int64_t		 began_ms, moved_ms;
	int64_t		 taken_ms;	/* when the conn last took some, or had nothing to take */
	struct why	 why;		/* the first thing that went wrong; text empty: none */
	bool		 reading;
	bool		 asks;			/* TCP looks after an idle peer */
	bool		 out_ended, in_ended;	/* each side has said its end */
	bool		 over;		/* both are being closed */
};

/* --- all of them ----------------------------------------------------------------------------- */

void
splices_init(struct splices *all, uv_loop_t *loop)
{
	*all = (struct splices){ .loop = loop };
}

static int64_t
now_ms(const struct splices *all)
{
	return awake_ms(all->loop);
}

static void
moved(struct splice *sp, size_t octets)
{
	sp->moved_ms = now_ms(sp->all);
	spin_passed(sp->all->loop, octets);
}

static void
forget(struct splice *sp)
{
	sp->all->held -= sp->held;
	sp->all->n--;
	if (sp->next != NULL)
		sp->next->prev = sp->prev;
	*sp->prev = sp->next;
	pieces_fini(&sp->out);
	free(sp);
}

/* When both sides are gone. */
static void
maybe_closed(struct splice *sp)
{
	if (sp->conn != NULL || sp->stream != NULL)
		return;
	sp->over = true;
	sp->ops->closed(sp->arg, sp->why.text[0] != '\0' ? &sp->why : NULL);
	forget(sp);
}

static void
blame(struct splice *sp, const char *who, const char *why)
{
	if (sp->why.text[0] == '\0')
		why_set(&sp->why, "%s%s", who, why);
}

void
splice_abort(struct splice *sp, const char *why)
{
	if (sp->over)
		return;
	sp->over = true;
	blame(sp, "", why);
	if (sp->stream != NULL)
		h2_reset(sp->stream);
	if (sp->conn != NULL)
		conn_abort(sp->conn);
}

/* Too much is held by all together: the one with most of it goes, and the others may go on. */
static void
shed(struct splices *all)
{
	struct splice *most = NULL;

	for (struct splice *sp = all->list; sp != NULL; sp = sp->next)
		if (!sp->over && (most == NULL || sp->held > most->held))
			most = sp;
	if (most == NULL)
		return;
	splice_abort(most, "memory for slow peers is out, and this one held most of it");
	all->held -= most->held;
	most->held = 0;
}

/* What the conn has taken is given back to the stream; what we hold is counted anew. */
static void
settle(struct splice *sp)
{
	size_t waits = sp->conn != NULL ? conn_queued(sp->conn) : 0, now;

	if (sp->over || sp->nin > 0)
		return;
	if (waits < sp->owed || waits == 0)
		sp->taken_ms = now_ms(sp->all);
	if (waits < sp->owed && sp->stream != NULL)
		h2_consumed(sp->stream, sp->owed - waits);
	if (waits < sp->owed)
		sp->owed = waits;
	now = waits + sp->out.memory;
	sp->all->held += now - sp->held;
	sp->held = now;
	if (sp->all->held > sp->all->held_max)
		shed(sp->all);
}

/* Not at the beginning: most are gone before anybody would have been asked. */
static void
keep_alive(struct splice *sp)
{
	if (sp->asks || sp->conn == NULL)
		return;
	sp->asks = true;
	conn_keepalive(sp->conn, SPLICE_KEEPALIVE_S);
}

void
splices_sweep(struct splices *all)
{
	int64_t now = now_ms(all);	/* one that settles meanwhile has a later time */

	for (struct splice *sp = all->list; sp != NULL; sp = sp->next) {
		int64_t quiet;

		settle(sp);
		keep_alive(sp);
		quiet = now - sp->moved_ms;
		if (now - sp->began_ms > all->total_ms)
			splice_abort(sp, "open for the longest time that is allowed");
		else if (quiet > all->idle_ms)
			splice_abort(sp, "nothing moved for too long");
		else if (now - sp->taken_ms > SPLICE_STALL_MS)
			splice_abort(sp, "the peer does not read what it is sent");
		else if ((sp->in_ended || sp->out_ended || sp->conn == NULL) &&
		    quiet > SPLICE_HALF_MS)
			splice_abort(sp, "one side had ended, and the other said nothing more");
	}
}

/* --- from the conn to the stream ------------------------------------------------------------- */

bool
splice_push(struct splice *sp, struct span s)
{
	return s.n <= SPLICE_FRONT - sp->out.n && pieces_add(&sp->out, s);
}

/* Before splice_read the conn keeps what comes. */
static size_t
on_read(void *arg, struct span s)
{
	return 0;
}

static void
on_ready(void *arg)
{
	struct splice *sp = arg;

	if (sp->ops->speaks != NULL)
		sp->ops->speaks(sp->arg);
	if (sp->stream != NULL)
		h2_stream_resume(sp->stream);
}

static void
on_eof(void *arg)
{
	struct splice *sp = arg;

	sp->out_ended = true;
	if (sp->stream != NULL)
		h2_stream_resume(sp->stream);
}

ssize_t
splice_pull(void *arg, void *out, size_t max, bool *eof)
{
	struct splice *sp = arg;
	size_t front = pieces_take(&sp->out, out, max), n = front, came;
	bool ended = false;

	if (n < max && sp->reading && sp->conn != NULL) {
		came = conn_take(sp->conn, (char *)out + n, max - n, &ended);
		sp->out_octets += came;
		sp->out_ended = sp->out_ended || ended;
		n += came;
	}
	if (front > 0)		/* beside the CONNECT */
		spin_opens(sp->all->loop);
	if (n > 0) {
		moved(sp, n);
		settle(sp);
	}
	*eof = sp->out_ended && sp->out.n == 0;
	/* What a conn said before it broke has gone out: now the stream ends as it did. */
	return n == 0 && !*eof && sp->conn == NULL ? -1 : (ssize_t)n;
}

void
splice_read(struct splice *sp)
{
	if (sp->reading || sp->over || sp->conn == NULL)
		return;
	sp->reading = true;
	conn_own(sp->conn, &taken_ops, sp);
	conn_resume(sp->conn);
}

/* --- from the stream to the conn ------------------------------------------------------------- */

static void
write_in(struct splice *sp)
{
	unsigned n = sp->nin;

	sp->nin = 0;
	if (n == 0 || sp->over)
		return;
	if (sp->conn != NULL)
		conn_writev(sp->conn, sp->in, n);	/* its closed says why it failed */
	settle(sp);
}

static void
on_drained(void *arg)
{
	settle(arg);
}

static void
on_data(void *arg, struct span s)
{
	struct splice *sp = arg;

	if (sp->over)
		return;
	if (sp->in_octets == 0 && s.n > 0 && sp->ops->first != NULL)
		sp->ops->first(sp->arg);
	if (sp->over)
		return;
	sp->in_octets += s.n;
	moved(sp, s.n);
	/* Before these are owed: none of them would be in the conn's queue yet, and seem taken. */
	if (sp->nin == CONN_SPANS)
		write_in(sp);
	if (sp->owed == 0)
		sp->taken_ms = sp->moved_ms;
	sp->owed += s.n;
	sp->in[sp->nin++] = s;
}

/* Half a close of its own for a conn that is closed wholly a moment later would be in vain. */
static void
on_came(void *arg)
{
	struct splice *sp = arg;

	write_in(sp);
	if (sp->in_ended && sp->conn != NULL && !sp->over)
		conn_shutdown(sp->conn);
}

void
splice_pour(struct splice *sp, struct span s, bool ended)
{
	if (s.n > 0)
		on_data(sp, s);
	if (ended)
		sp->in_ended = true;
	on_came(sp);
}

/* True: the owner took the conn, and the splice is no more. */
static bool
nothing_came(struct splice *sp, unsigned status, const struct why *why)
{
	return sp->in_octets == 0 && !sp->over && sp->conn != NULL && sp->ops->nothing != NULL &&
	    sp->ops->nothing(sp->arg, status, why);
}

static void
on_head(void *arg, const struct h2_head *head)
{
	struct splice *sp = arg;
	struct why why;

	if (head->status < 300) {
		if (sp->ops->opened != NULL && !sp->over)
			sp->ops->opened(sp->arg);
		return;
	}
	why_set(&why, "refused with %u", head->status);
	if (!nothing_came(sp, head->status, &why))
		splice_abort(sp, why.text);
}

static void
on_end(void *arg)
{
	struct splice *sp = arg;
	struct why why;

	why_set(&why, "closed without a word");
	if (nothing_came(sp, 200, &why))
		return;
	sp->in_ended = true;
}

static void
on_stream_closed(void *arg, const struct why *why)
{
	struct splice *sp = arg;

	if (why != NULL && nothing_came(sp, 0, why))
		return;
	sp->stream = NULL;
	write_in(sp);
	if (why != NULL)
		blame(sp, "tunnel: ", why->text);
	if (sp->conn != NULL && !sp->over) {
		if (why == NULL)
			conn_close(sp->conn);
		else
			conn_abort(sp->conn);
	}
	maybe_closed(sp);
}

const struct h2_stream_ops splice_stream_ops = {
	.head = on_head, .data = on_data, .end = on_end, .came = on_came,
	.closed = on_stream_closed,
};

/* --- coming and going ------------------------------------------------------------------------ */

static void
on_conn_closed(void *arg, const struct why *why)
{
	struct splice *sp = arg;

	sp->conn = NULL;
	if (why != NULL)
		blame(sp, "", why->text);
	if (sp->stream != NULL && sp->out.n > 0 && !sp->over)
		h2_stream_resume(sp->stream);	/* splice_pull will end it */
	else if (sp->stream != NULL)
		h2_reset(sp->stream);
	maybe_closed(sp);
}

static const struct conn_ops conn_ops = {
	.read = on_read, .drained = on_drained, .eof = on_eof, .closed = on_conn_closed,
};
static const struct conn_ops taken_ops = {
	.ready = on_ready, .drained = on_drained, .closed = on_conn_closed,
};

struct splice *
splice_new(struct splices *all, struct conn *conn, const struct splice_ops *ops, void *arg)
{
	struct splice *sp = calloc(1, sizeof(*sp));

	if (sp == NULL)
		return NULL;
	sp->all = all;
	sp->conn = conn;
	sp->ops = ops;
	sp->arg = arg;
	sp->began_ms = sp->moved_ms = sp->taken_ms = now_ms(all);
	if ((sp->next = all->list) != NULL)
		sp->next->prev = &sp->next;
	sp->prev = &all->list;
	all->list = sp;
	all->n++;
	spin_passed(all->loop, 0);	/* the first words are waited for, too */
	conn_own(conn, &conn_ops, sp);
	conn_hear_out(conn, true);
	return sp;
}

void
splice_join(struct splice *sp, struct h2_stream *stream)
{
	sp->stream = stream;
	if (sp->over)
		h2_reset(stream);
}

struct conn *
splice_part(struct splice **spp)
{
	struct splice *sp = *spp;
	struct conn *conn = sp->conn;

	if (conn == NULL || sp->over || sp->in_octets > 0 || sp->out_ended)
		return NULL;
	*spp = NULL;
	if (sp->stream != NULL) {
		h2_stream_own(sp->stream, NULL, NULL);
		h2_reset(sp->stream);
	}
	forget(sp);
	conn_hear_out(conn, false);
	return conn;
}

uint64_t
splice_out(const struct splice *sp)
{
	return sp->out_octets;
}

uint64_t
splice_in(const struct splice *sp)
{
	return sp->in_octets;
}
