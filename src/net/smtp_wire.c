#include "net/smtp_wire.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

/* --- what is said --------------------------------------------------------------------------- */

void
smtp_wire_flush(struct smtp_wire *w)
{
	struct span out;

	while (w->conn != NULL && (out = smtp_cli_out(w->cli)).n > 0) {
		conn_write(w->conn, out.p, out.n);
		smtp_cli_out_used(w->cli, out.n);
	}
}

static void
secure(struct smtp_wire *w)
{
	struct why why = { "" };

	smtp_wire_flush(w);
	if (conn_tls(w->conn, w->tls, false, &why) == -1)
		smtp_wire_give_up(w, why.text);
}

static void
event(struct smtp_wire *w, enum smtp_cli_ev ev)
{
	w->ended |= ev == SMTP_CLI_CLOSE;
	if (ev == SMTP_CLI_STARTTLS)
		secure(w);
	if (ev != SMTP_CLI_NONE)
		w->ops->event(w->arg, ev);
}

void
smtp_wire_pump(struct smtp_wire *w)
{
	enum smtp_cli_ev ev;

	do {
		(void)smtp_cli_step(w->cli, "", 0, &ev);
		event(w, ev);
		if (w->conn != NULL && !w->ended)
			w->ops->more(w->arg);
		smtp_wire_flush(w);
	} while (ev != SMTP_CLI_NONE);
	if (w->conn == NULL)
		return;
	if (w->ops->settled != NULL)
		w->ops->settled(w->arg);
	if (w->ended)
		conn_close(w->conn);
}

/* --- its end -------------------------------------------------------------------------------- */

static void
lost(struct smtp_wire *w, const char *words)
{
	if (w->ended)
		return;
	smtp_cli_lost(w->cli, words);
	smtp_wire_pump(w);
}

void
smtp_wire_give_up(struct smtp_wire *w, const char *words)
{
	lost(w, words);
	smtp_wire_abort(w);
}

void
smtp_wire_abort(struct smtp_wire *w)
{
	w->aborted = true;
	if (w->conn != NULL)
		conn_abort(w->conn);
}

/* --- what comes ----------------------------------------------------------------------------- */

static size_t
on_read(void *arg, struct span in)
{
	struct smtp_wire *w = arg;
	size_t used = 0;

	while (used < in.n && !w->ended) {
		enum smtp_cli_ev ev;

		used += smtp_cli_step(w->cli, in.p + used, in.n - used, &ev);
		event(w, ev);
		if (ev == SMTP_CLI_STARTTLS)	/* what is behind it was said in the clear */
			return in.n;
	}
	smtp_wire_pump(w);
	return in.n;
}

static void
on_drained(void *arg)
{
	struct smtp_wire *w = arg;

	if (!w->ended)
		smtp_wire_pump(w);
}

static void
on_secured(void *arg)
{
	struct smtp_wire *w = arg;

	if (!w->tls_first)	/* else the machine waits for the greeting, and knows of no TLS */
		smtp_cli_secured(w->cli);
	smtp_wire_pump(w);
}

static void
on_closed(void *arg, const struct why *why)
{
	struct smtp_wire *w = arg;

	w->conn = NULL;
	lost(w, why != NULL ? why->text : "given up");
	w->ops->gone(w->arg, smtp_cli_why(w->cli));
}

static const struct conn_ops ops = {
	.read = on_read, .drained = on_drained, .secured = on_secured, .closed = on_closed,
};

/* --- its beginning -------------------------------------------------------------------------- */

static void	dial(struct smtp_wire *);

static void
on_dialled(void *arg, int fd, const struct why *why)
{
	struct smtp_wire *w = arg;
	struct why words = { "given up" };

	if (fd == -1 && !w->aborted && w->at + 1 < w->n) {
		w->at++;
		dial(w);
		return;
	}
	if (fd != -1 && w->aborted)
		close(fd);
	else if (fd != -1)
		w->conn = conn_new(w->loop, fd, &ops, w, &words);
	if (w->conn == NULL)
		w->ops->gone(w->arg, fd == -1 ? why->text : words.text);
	else if (w->ops->connected != NULL && !w->ops->connected(w->arg))
		conn_abort(w->conn);
	else if (w->tls_first)
		secure(w);
}

static void
dial(struct smtp_wire *w)
{
	struct why why = { "" };
	int rc;

	rc = w->path != NULL ?
	    conn_dial_unix(w->loop, w->path, w->connect_ms, on_dialled, w, &why) :
	    conn_dial(w->loop, &w->to[w->at], w->connect_ms, on_dialled, w, &why);
	if (rc == -1)
		on_dialled(w, -1, &why);
}

void
smtp_wire_dial(struct smtp_wire *w, const struct netaddr *addrs, size_t n)
{
	assert(n > 0);
	w->n = n < RESOLVE_ADDRS_MAX ? n : RESOLVE_ADDRS_MAX;
	memcpy(w->to, addrs, w->n * sizeof(*addrs));
	dial(w);
}

void
smtp_wire_dial_unix(struct smtp_wire *w, const char *path)
{
	w->path = path;
	dial(w);
}
