/* One connection to the mail server, and the message that goes through it. */
#include "home/post_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/awake.h"
#include "net/smtp_wire.h"
#include "proto/proxy_header.h"

#define CONNECT_MS	30000
#define QUEUE_MAX	(256u << 10)	/* octets that the server may leave with us */

struct lane {
	struct post	*post;
	struct smtp_wire wire;
	struct smtp_cli	*cli;
	struct smtp_cli_conf conf;	/* as the post's, but for the name in EHLO */
	char		 helo[256];
	unsigned	 proxy;		/* as the post's when it was opened */
	struct shipment	*now;		/* what goes, or what it was opened for */
	struct unseal	*reading;	/* of it, while its content is wanted */
	char		 head[100];
	struct span	 rest;		/* what was read and not yet said */
	bool		 headed;	/* the filter's lines are said, or in rest */
	bool		 begun;		/* now was given to the machine */
	bool		 waits, served, dead;
	bool		 old;		/* not for mail any more; its end says nothing */
	unsigned	 mails;
	uv_timer_t	 timer;
	struct instant	 due;
	uint64_t	 turns;		/* the machine's when the timer was set */
	struct why	 why;		/* of ours; "" the server's counts */
};

/* --- its end -------------------------------------------------------------------------------- */

static void
on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

static void
on_gone(void *arg, const char *words)
{
	struct lane *l = arg;
	struct shipment *unsent = l->begun ? NULL : l->now;

	if (l->why.text[0] != '\0')
		words = l->why.text;
	unseal_free(&l->reading);
	if (l->dead)
		shipment_free(&unsent);
	else
		post_lane_gone(l->post, l, unsent, l->served || l->old ? NULL : words);
	smtp_cli_free(&l->cli);
	uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}

/* One that waits. */
static void
quit(struct lane *l)
{
	l->waits = false;
	smtp_cli_quit(l->cli);
	smtp_wire_pump(&l->wire);
}

static void
on_time(uv_timer_t *timer)
{
	struct lane *l = timer->data;

	if (!awake_over(timer, on_time, l->due))
		return;
	if (l->waits)
		quit(l);
	else
		smtp_wire_give_up(&l->wire, "no answer in time");
}

/* Octets that make no whole reply, however many, buy the server no time. */
static void
watch(void *arg)
{
	struct lane *l = arg;
	int64_t ms = l->waits ? POST_IDLE_MS : smtp_cli_wait_ms(l->cli);
	uint64_t turns = smtp_cli_turns(l->cli);

	if (ms == 0)
		uv_timer_stop(&l->timer);
	else if (turns != l->turns || !uv_is_active((uv_handle_t *)&l->timer))
		awake_timer(&l->timer, on_time, ms, &l->due);
	l->turns = turns;
}

/* --- what is said --------------------------------------------------------------------------- */

static void
content_begin(struct lane *l)
{
	struct courier *c = l->post->c;

	snprintf(l->head, sizeof(l->head), "X-Posthouse-Id: %s\r\n",
	    uuid_text(l->now->p.object.meta.id).s);
	l->rest = span_str(l->head);
	l->headed = false;
	l->reading = unseal_new(c->ids, c->nids + c->nretired, &l->now->p.content,
	    &l->now->p.payload);
}

/* The message, as fast as the server takes it, in few writes: each of them wakes the server. */
static void
say_more(void *arg)
{
	struct lane *l = arg;
	enum unseal_ev ev = UNSEAL_BODY;

	while (l->reading != NULL && conn_queued(l->wire.conn) < QUEUE_MAX) {
		if (l->rest.n > 0) {
			size_t used = smtp_cli_body(l->cli, l->rest.p, l->rest.n);

			l->rest = span_from(l->rest, used);
			if (l->rest.n > 0)
				smtp_wire_flush(&l->wire);
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
			smtp_wire_give_up(&l->wire, words);
			return;
		}
		if (ev == UNSEAL_END && !smtp_cli_end(l->cli))
			smtp_wire_flush(&l->wire);
		else if (ev == UNSEAL_END)
			unseal_free(&l->reading);
	}
}

/* It was opened for nothing: mail goes elsewhere now, or another claim brings what it is for. */
static bool
in_vain(const struct lane *l)
{
	return (l->old && !l->served) || (l->now != NULL && !l->begun && l->now->forgotten);
}

static void
ready(struct lane *l)
{
	if (in_vain(l)) {
		l->old = true;
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
on_event(void *arg, enum smtp_cli_ev ev)
{
	struct lane *l = arg;
	struct shipment *s = l->now;

	switch (ev) {
	case SMTP_CLI_NONE:
	case SMTP_CLI_STARTTLS:
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
		l->waits = false;
		break;
	}
}

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
	if (!conn_local(l->wire.conn, &from) || !conn_peer(l->wire.conn, &to))
		return false;
	if (p->shows == BI_PROXY && l->now != NULL) {
		from = l->now->p.env->client;
		if (!netaddr_is_global(&from))
			(void)netaddr_parse(SPAN_LIT("192.0.0.8:9"), &from);
	}
	buf_init(&b, PROXY_HEADER_MAX);
	ok = proxy_header_write(l->proxy, &from, &to, &b) && conn_write(l->wire.conn, b.p, b.n);
	buf_fini(&b);
	return ok;
}

static bool
on_connected(void *arg)
{
	watch(arg);
	return say_who(arg);
}

static const struct smtp_wire_ops ops = {
	.connected = on_connected, .event = on_event, .more = say_more, .settled = watch,
	.gone = on_gone,
};

static void
on_resolved(void *arg, const struct netaddr *addrs, size_t n, const struct why *why)
{
	struct lane *l = arg;
	struct why words = { "given up" };

	if (n > 0 && !l->dead) {
		smtp_wire_dial(&l->wire, addrs, n);
		return;
	}
	if (n == 0)
		why_set(&words, "the address of %s is not to be found: %s", l->post->host,
		    why != NULL ? why->text : "no answer");
	on_gone(l, words.text);
}

static void
on_start(uv_timer_t *timer)
{
	struct lane *l = timer->data;
	struct post *p = l->post;

	if (l->dead)
		on_gone(l, "given up");
	else if (p->host[0] != '\0')
		resolve_host(p->resolver, p->host, p->addr.port, on_resolved, l);
	else if (p->path != NULL)
		smtp_wire_dial_unix(&l->wire, p->path);
	else
		smtp_wire_dial(&l->wire, &p->addr, 1);
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
	l->wire = (struct smtp_wire){ .loop = p->c->loop, .cli = l->cli, .tls = p->tls,
		.connect_ms = CONNECT_MS, .ops = &ops, .arg = l };
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
		smtp_wire_pump(&l->wire);
		post_untried(l->post, s);
		return;
	}
	smtp_wire_pump(&l->wire);
}

void
lane_leave(struct lane *l)
{
	l->old = true;
	if (l->waits)
		quit(l);
}

void
lane_abort(struct lane *l)
{
	l->dead = true;
	smtp_wire_abort(&l->wire);
}
