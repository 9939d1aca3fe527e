/* One connection to the mail server, and the message that goes through it. */
#include "home/post_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "proto/proxy_header.h"

#define CONNECT_MS	30000
#define QUEUE_MAX	(256u << 10)	/* octets that the server may leave with us */

struct lane {
	struct post	*post;
	struct conn	*conn;		/* NULL: being dialled */
	struct smtp_cli	*cli;
	struct smtp_cli_conf conf;	/* as the post's, but for the name in EHLO */
	char		 helo[256];
	struct netaddr	 to[RESOLVE_ADDRS_MAX];	/* tried in their order */
	size_t		 nto, at;
	unsigned	 proxy;		/* as the post's when it was opened */
	struct shipment	*now;		/* what goes, or what it was opened for */
	struct unseal	*reading;	/* of it, while its content is wanted */
	char		 head[100];
	struct span	 rest;		/* what was read and not yet said */
	bool		 headed;	/* the filter's lines are said, or in rest */
	bool		 begun;		/* now was given to the machine */
	bool		 waits, served, ended, dead;
	bool		 old;		/* the destination is another one now */
	unsigned	 mails;
	uv_timer_t	 timer;
	struct why	 why;
};

static void	pump(struct lane *);

/* --- its end -------------------------------------------------------------------------------- */

static void
on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

static void
gone(struct lane *l, const char *words)
{
	struct shipment *unsent = l->begun ? NULL : l->now;

	smtp_cli_free(&l->cli);
	unseal_free(&l->reading);
	if (l->dead)
		shipment_free(&unsent);
	else
		post_lane_gone(l->post, l, unsent, l->served || l->old ? NULL : words);
	uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}

static void
on_closed(void *arg, const struct why *why)
{
	struct lane *l = arg;

	l->conn = NULL;
	if (!l->ended) {
		smtp_cli_lost(l->cli, why != NULL ? why->text : "given up");
		pump(l);
	}
	gone(l, l->why.text);
}

static void
give_up(struct lane *l, const char *words)
{
	if (!l->ended) {
		smtp_cli_lost(l->cli, words);
		pump(l);
	}
	conn_abort(l->conn);
}

static void
on_time(uv_timer_t *timer)
{
	struct lane *l = timer->data;

	if (l->waits)
		lane_quit(l);
	else
		give_up(l, "no answer in time");
}

static void
watch(struct lane *l)
{
	int64_t ms = l->waits ? POST_IDLE_MS : smtp_cli_wait_ms(l->cli);

	if (ms > 0)
		uv_timer_start(&l->timer, on_time, (uint64_t)ms, 0);
	else
		uv_timer_stop(&l->timer);
}

/* --- what is said --------------------------------------------------------------------------- */

static void
flush(struct lane *l)
{
	struct span out;

	while (l->conn != NULL && (out = smtp_cli_out(l->cli)).n > 0) {
		conn_write(l->conn, out.p, out.n);
		smtp_cli_out_used(l->cli, out.n);
	}
}

static void
content_begin(struct lane *l)
{
	struct courier *c = l->post->c;

	snprintf(l->head, sizeof(l->head), "X-Posthouse-Id: %s\r\n",
	    uuid_text(l->now->p.object.meta.id).s);
	l->rest = span_str(l->head);
	l->headed = false;
	l->reading = unseal_new(c->ids, c->nids + c->nretired, &l->now->p.content);
}

/* The message, as fast as the server takes it, in few writes: each of them wakes the server. */
static void
say_more(struct lane *l)
{
	enum unseal_ev ev = UNSEAL_BODY;

	while (l->reading != NULL && conn_queued(l->conn) < QUEUE_MAX) {
		if (l->rest.n > 0) {
			size_t used = smtp_cli_body(l->cli, l->rest.p, l->rest.n);

			l->rest = span_from(l->rest, used);
			if (l->rest.n > 0)
				flush(l);
			continue;
		}
		if (!l->headed) {
			l->rest = buf_span(&l->now->p.heads);
			l->headed = true;
			continue;
		}
		if (ev != UNSEAL_END)
			ev = unseal_next(l->reading, &l->rest);
		if (ev > UNSEAL_END) {	/* it was whole when it was looked at: the disk */
			char words[600];

			snprintf(words, sizeof(words), "reading the held object: %s",
			    unseal_why(l->reading));
			unseal_free(&l->reading);
			give_up(l, words);
			return;
		}
		if (ev == UNSEAL_END && !smtp_cli_end(l->cli))
			flush(l);
		else if (ev == UNSEAL_END)
			unseal_free(&l->reading);
	}
}

static void
ready(struct lane *l)
{
	if (l->old && !l->served) {
		smtp_cli_quit(l->cli);
		return;
	}
	if (!l->served && !post_lane_up(l->post, l->cli, &l->why)) {
		smtp_cli_quit(l->cli);
		return;
	}
	l->served = true;
	if (l->now != NULL && !l->begun) {
		l->begun = true;
		(void)smtp_cli_mail(l->cli, &l->now->mail);	/* the first: never refused */
		return;
	}
	if (l->old || l->post->shows == BI_PROXY || ++l->mails > POST_MAILS_MAX) {
		smtp_cli_quit(l->cli);
		return;
	}
	l->waits = true;
	post_lane_waits(l->post, l);
}

static void
starttls(struct lane *l)
{
	struct why why = { "" };

	flush(l);
	if (conn_tls(l->conn, l->post->tls, false, &why) == -1)
		give_up(l, why.text);
}

static void
on_event(struct lane *l, enum smtp_cli_ev ev)
{
	struct shipment *s = l->now;

	switch (ev) {
	case SMTP_CLI_NONE:
		break;
	case SMTP_CLI_STARTTLS:
		starttls(l);
		break;
	case SMTP_CLI_READY:
		ready(l);
		break;
	case SMTP_CLI_CONTENT:
		content_begin(l);
		break;
	case SMTP_CLI_DONE:
		unseal_free(&l->reading);
		l->now = NULL;
		l->begun = false;
		if (l->dead)
			shipment_free(&s);
		else
			post_shipped(l->post, s);
		break;
	case SMTP_CLI_CLOSE:
		l->ended = true;
		l->waits = false;
		if (l->why.text[0] == '\0')
			why_set(&l->why, "%s", smtp_cli_why(l->cli));
		break;
	}
}

/* Everything that follows from what was just told to the machine. */
static void
pump(struct lane *l)
{
	enum smtp_cli_ev ev;

	do {
		(void)smtp_cli_step(l->cli, "", 0, &ev);
		on_event(l, ev);
		if (l->conn == NULL)
			continue;
		if (l->reading != NULL && !l->ended)
			say_more(l);
		flush(l);
	} while (ev != SMTP_CLI_NONE);
	if (l->conn == NULL)
		return;
	watch(l);
	if (l->ended)
		conn_close(l->conn);
}

static size_t
on_read(void *arg, struct span in)
{
	struct lane *l = arg;
	size_t used = 0;

	while (used < in.n && !l->ended) {
		enum smtp_cli_ev ev;

		used += smtp_cli_step(l->cli, in.p + used, in.n - used, &ev);
		on_event(l, ev);
		if (ev == SMTP_CLI_STARTTLS)
			return in.n;
	}
	pump(l);
	return in.n;
}

static void
on_drained(void *arg)
{
	struct lane *l = arg;

	if (l->reading != NULL && !l->ended)
		pump(l);
}

static void
on_secured(void *arg)
{
	struct lane *l = arg;

	smtp_cli_secured(l->cli);
	pump(l);
}

static const struct conn_ops ops = {
	.read = on_read, .drained = on_drained, .secured = on_secured, .closed = on_closed,
};

/* --- its beginning -------------------------------------------------------------------------- */

/*
 * Who connects, for a server that expects to be told.  The client of a message; where
 * he is not known, the dummy address of RFC 7600, which is nobody's; else ourselves.
 */
static bool
say_who(struct lane *l)
{
	const struct post *p = l->post;
	struct netaddr from, to;
	struct buf b;
	bool ok;

	if (l->proxy == 0)
		return true;
	if (!conn_local(l->conn, &from) || !conn_peer(l->conn, &to))
		return false;
	if (p->shows == BI_PROXY && l->now != NULL) {
		from = l->now->p.env->client;
		if (!netaddr_is_global(&from))
			(void)netaddr_parse(SPAN_LIT("192.0.0.8:9"), &from);
	}
	buf_init(&b, PROXY_HEADER_MAX);
	ok = proxy_header_write(l->proxy, &from, &to, &b) && conn_write(l->conn, b.p, b.n);
	buf_fini(&b);
	return ok;
}

static void	dial(struct lane *);

static void
on_dialled(void *arg, int fd, const struct why *why)
{
	struct lane *l = arg;
	struct why w = { "" };

	if (fd == -1 && !l->dead && l->at + 1 < l->nto) {
		l->at++;
		dial(l);
		return;
	}
	if (fd != -1 && !l->dead)
		l->conn = conn_new(l->post->c->loop, fd, &ops, l, &w);
	if (fd != -1 && l->conn == NULL)
		why = &w;
	if (l->conn == NULL) {
		if (fd != -1 && l->dead)
			close(fd);
		gone(l, why != NULL ? why->text : "given up");
		return;
	}
	if (!say_who(l))
		conn_abort(l->conn);
	watch(l);
}

/* The address whose turn it is: on one machine of several a server may be down. */
static void
dial(struct lane *l)
{
	struct post *p = l->post;
	struct why why = { "" };
	int rc;

	rc = p->path != NULL ?
	    conn_dial_unix(p->c->loop, p->path, CONNECT_MS, on_dialled, l, &why) :
	    conn_dial(p->c->loop, &l->to[l->at], CONNECT_MS, on_dialled, l, &why);
	if (rc == -1)
		on_dialled(l, -1, &why);
}

static void
on_resolved(void *arg, const struct netaddr *addrs, size_t n, const struct why *why)
{
	struct lane *l = arg;
	struct why words;

	l->nto = n < RESOLVE_ADDRS_MAX ? n : RESOLVE_ADDRS_MAX;
	if (l->nto > 0 && !l->dead) {
		memcpy(l->to, addrs, l->nto * sizeof(*addrs));
		dial(l);
		return;
	}
	why_set(&words, "the address of %s is not to be found: %s", l->post->host,
	    why != NULL ? why->text : "no answer");
	on_dialled(l, -1, &words);
}

static void
on_start(uv_timer_t *timer)
{
	struct lane *l = timer->data;
	struct post *p = l->post;

	if (p->host[0] != '\0')
		resolve_host(p->resolver, p->host, p->addr.port, on_resolved, l);
	else
		dial(l);
}

struct lane *
lane_open(struct post *p, struct shipment *s, struct why *why)
{
	struct lane *l = calloc(1, sizeof(*l));

	if (l == NULL) {
		why_set(why, "memory is out");
		return NULL;
	}
	l->post = p;
	l->conf = p->cli;
	l->to[0] = p->addr;
	l->proxy = p->proxy;
	l->now = s;
	if (s != NULL) {		/* its client speaks */
		smtp_cli_helo_of(s->p.env, p->cli.helo, l->helo);
		l->conf.helo = l->helo;
	}
	if ((l->cli = smtp_cli_new(&l->conf)) == NULL) {
		free(l);
		why_set(why, "memory is out");
		return NULL;
	}
	uv_timer_init(p->c->loop, &l->timer);
	l->timer.data = l;
	uv_timer_start(&l->timer, on_start, 0, 0);	/* so that nothing ends inside this call */
	return l;
}

bool
lane_waits(const struct lane *l)
{
	return l->waits;
}

bool
lane_leaves(const struct lane *l)
{
	return l->old;
}

struct shipment *
lane_now(const struct lane *l)
{
	return l->now;
}

void
lane_send(struct lane *l, struct shipment *s)
{
	l->waits = false;
	l->now = s;
	l->begun = true;
	if (!smtp_cli_mail(l->cli, &s->mail)) {
		l->now = NULL;
		l->begun = false;
		smtp_cli_quit(l->cli);
		pump(l);
		post_untried(l->post, s);
		return;
	}
	pump(l);
}

void
lane_quit(struct lane *l)
{
	l->waits = false;
	smtp_cli_quit(l->cli);
	pump(l);
}

void
lane_leave(struct lane *l)
{
	l->old = true;
	if (l->waits)
		lane_quit(l);
}

void
lane_abort(struct lane *l)
{
	l->dead = true;
	if (l->conn != NULL)
		conn_abort(l->conn);
}
