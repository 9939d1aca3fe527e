#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/secret.h"
#include "herald/hook.h"
#include "herald/letter.h"
#include "herald/turn.h"
#include "priv/proc.h"
#include "proto/alarms.h"
#include "proto/notice.h"
#include "store/tell.h"

/*
 * The herald: tells somebody of alarms by webhook, and at home by mail, when the writer
 * says so.
 *
 * It holds the webhook's URL and token and the relay's password, has the network, and reads
 * what those two servers answer; it talks to the writer and the resolver.  No file but the
 * authorities, nothing to run.  An attacker inside it can keep alarms from being told, say
 * that all is well, and send mail by that relay account; he sees no mail.
 */
struct errand {				/* one a road */
	struct herald	*herald;
	enum alarm_road	 road;
	struct turn	 turn;
	struct conf_alarms conf;	/* as it was when it began */
	struct buf	 text;		/* of what is sent */
};

struct herald {
	struct proc	*proc;
	struct chan	*writer;
	bool		 ready;
	struct http	*http;
	struct resolver	*resolver;
	struct errand	 errands[ALARM_ROADS];
	char		 url[CONF_URL_MAX];		/* of the file; "" none */
	char		 token[512], password[512];
};

static void	begin(struct errand *, struct span json);

static void
told(struct errand *e, const char *error)
{
	struct buf next;

	buf_wipe(&e->text);
	explicit_bzero(&e->conf, sizeof(e->conf));
	if (turn_over(&e->turn, error, &next)) {
		begin(e, span_from(buf_span(&next), 1));
		buf_fini(&next);
	}
}

static void
on_done(void *arg, const char *error)
{
	char words[TELL_WHY_MAX];

	log_escape_words(span_str(error), words, sizeof(words));
	told(arg, words);
}

static void
by_webhook(struct errand *e, struct span json)
{
	struct herald *h = e->herald;

	if (h->url[0] != '\0')
		(void)span_copy(span_str(h->url), e->conf.webhook, sizeof(e->conf.webhook));
	if (!buf_add_span(&e->text, json))
		on_done(e, "memory is out");
	else if (!conf_alarms_webhook(&e->conf))
		on_done(e, "no webhook is configured any more");
	else
		hook_send(h->http, h->resolver, e->conf.webhook, h->token, buf_span(&e->text),
		    on_done, e);
}

static void
by_mail(struct errand *e, const struct notice *n)
{
	const struct conf_alarms *a = &e->conf;
	struct herald *h = e->herald;
	unsigned char rnd[10];

	random_bytes(rnd, sizeof(rnd));
	if (h->proc->role != CONF_HOME || a->mail[0] == '\0')
		on_done(e, "no relay is configured any more");
	else if (!notice_mail(n, a->from[0] != '\0' ? a->from : a->mail, a->mail,
	    uuid_v7(n->at_ms, rnd), &e->text))
		on_done(e, "memory is out");
	else
		letter_send(h->proc->loop, h->resolver, a, h->proc->common->hostname, h->password,
		    buf_span(&e->text), on_done, e);
}

static void
begin(struct errand *e, struct span json)
{
	struct notice n;
	struct why why;

	e->conf = e->herald->proc->common->alarms;
	buf_init(&e->text, NOTICE_MAX);
	if (notice_read(json, &n, &why) == -1)
		on_done(e, why.text);
	else if (e->road == ALARM_WEBHOOK)
		by_webhook(e, json);
	else
		by_mail(e, &n);
}

static void
on_message(void *arg, struct chan_msg *m)
{
	struct herald *h = arg;
	unsigned road = m->body.n > 0 ? (unsigned char)m->body.p[0] : ALARM_ROADS;

	if (m->type != TELL_NOTICE || road >= ALARM_ROADS)
		log_error(NULL, "herald.message type=%u is none of ours: dropped", m->type);
	else if (turn_take(&h->errands[road].turn, h->writer, m))
		begin(&h->errands[road], span_from(m->body, 1));
}

static void
writer_gone(struct herald *h)
{
	chan_free(&h->writer);
	for (int r = 0; r < ALARM_ROADS; r++)
		turn_gone(&h->errands[r].turn);
}

static void
on_closed(void *arg, const struct why *why)
{
	writer_gone(arg);
}

static struct herald *
herald_of(struct proc *p)
{
	struct herald *h = p->arg;

	if (h == NULL) {
		if ((h = calloc(1, sizeof(*h))) == NULL || (h->resolver = resolver_new()) == NULL)
			abort();	/* at start: memory is out */
		h->proc = p;
		for (int r = 0; r < ALARM_ROADS; r++) {
			h->errands[r].herald = h;
			h->errands[r].road = (enum alarm_road)r;
		}
		p->arg = h;
	}
	return h;
}

static void
on_secret(struct proc *p, const char *name, struct span value)
{
	struct herald *h = herald_of(p);
	const struct {
		const char	*name;
		char		*to;
		size_t		 max;
	} places[] = {
		{ "alarms.url", h->url, sizeof(h->url) },
		{ "alarms.token", h->token, sizeof(h->token) },
		{ "alarms.password", h->password, sizeof(h->password) },
	};

	if (value.n > 0 && value.p[value.n - 1] == '\n')
		value.n--;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (strcmp(name, places[i].name) == 0) {
			explicit_bzero(places[i].to, places[i].max);
			(void)span_copy(value, places[i].to, places[i].max);
		}
}

static void
on_peer(struct proc *p, enum proc_kind kind, struct chan *chan)
{
	struct herald *h = herald_of(p);

	if (kind == PROC_RESOLVER) {
		resolver_attach(h->resolver, chan, p->common->dns_timeout_ms);
		return;
	}
	if (kind != PROC_WRITER) {
		chan_free(&chan);
		return;
	}
	writer_gone(h);
	h->writer = chan;
	if (h->ready)
		chan_start(chan, on_message, on_closed, h);
}

static int
start(struct proc *p, struct why *why)
{
	struct herald *h = herald_of(p);

	return (h->http = http_new(p->loop, why)) != NULL ? 0 : -1;
}

static void
run(struct proc *p)
{
	struct herald *h = herald_of(p);

	h->ready = true;
	if (h->writer != NULL)
		chan_start(h->writer, on_message, on_closed, h);
}

static void
drain(struct proc *p)
{
	uv_stop(p->loop);
}

const struct proc_ops proc_herald = {
	.name = "herald", .start = start, .run = run, .secret = on_secret, .peer = on_peer,
	.drain = drain,
};
