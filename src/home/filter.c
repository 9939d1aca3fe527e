#include "home/filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "home/courier.h"
#include "home/courier_batch.h"
#include "home/opener_in.h"
#include "home/unseal.h"
#include "net/http.h"
#include "proto/rspamd.h"

/* rspamd takes no longer heads: further recipients stay unsaid. */
#define RCPTS_OCTETS_MAX	(32u << 10)
#define SPAM		"X-Spam: Yes\r\n"
_Static_assert(FILTER_LINES_MAX >= RSPAMD_HEADS_MAX + sizeof(SPAM), "all of it has room");

struct ask {				/* one message */
	struct ask	*next;
	struct filter	*f;
	struct parcel	*p;
	filter_told_fn	*told;
	void		*arg;
	struct unseal	*reading;
	struct span	 rest;		/* what was read and not yet pulled */
	bool		 unread;	/* our own disk failed, not the filter */
	struct rspamd_reader answer;
};

struct asks {				/* in their order */
	struct ask	*first, **end;
};

struct filter {
	struct courier	*c;
	struct http	*http;
	struct netaddr	 addr;
	const char	*path;		/* of a unix socket, or NULL */
	char		 socket[128];
	char		 password[512];
	struct asks	 waiting, asked;
	size_t		 nasked;
	uv_timer_t	 turn;		/* so that nothing is told inside a call */
	unsigned	 failures;	/* in a row */
	int64_t		 pause_ms;
	struct instant	 left;		/* when the pause began */
	bool		 paused;
	bool		 down;
};

static void	on_turn(uv_timer_t *);

static void
turn(struct filter *f)
{
	uv_timer_start(&f->turn, on_turn, 0, 0);
}

static void
put(struct asks *q, struct ask *a)
{
	a->next = NULL;
	*q->end = a;
	q->end = &a->next;
}

static void
take(struct asks *q, struct ask *a)
{
	struct ask **at = &q->first;

	while (*at != a)
		at = &(*at)->next;
	if ((*at = a->next) == NULL)
		q->end = at;
}

/* --- what is made of its word --------------------------------------------------------------- */

static bool
may_wait(const struct parcel *p)
{
	int64_t age = wall_ms() - p->object.meta.received_ms;

	/* A clock that went back must not make an hour a year. */
	return age > -FILTER_LATER_MAX_MS && age < FILTER_LATER_MAX_MS;
}

/* While the sender waits he can hear it himself (store/spool.h). */
static void
entry_refuse(struct ledger_entry *e, bool verdict, const struct smtp_reply *reply)
{
	e->state = verdict ? LEDGER_REFUSED : LEDGER_PARKED;
	e->park = verdict ? PARK_NONE : PARK_POLICY;
	e->reply = *reply;
}

static enum filter_said
apply(struct filter *f, struct parcel *p, const struct rspamd_answer *r)
{
	bool later = r->action == RSPAMD_LATER && may_wait(p);
	bool junk = r->action == RSPAMD_REJECT && !p->object.meta.verdict &&
	    f->c->conf->filter.on_reject == CONF_REJECT_JUNK;
	bool refuse = r->action == RSPAMD_REJECT && !junk;
	struct smtp_reply reply = later ?
	    smtp_reply(451, 4, 7, 1, "%s", r->words[0] != '\0' ? r->words : "Try again later") :
	    smtp_reply(550, 5, 7, 1, "%s", r->words[0] != '\0' ? r->words : "Rejected as spam");

	f->c->opener.now_ms = wall_ms();
	for (size_t i = 0; i < p->n; i++) {
		struct ledger_entry *e = &p->entries[i];

		if (!entry_open(e) || e->mailbox[0] == '\0')
			continue;
		entry_inbox(e);		/* a try before this may have found otherwise */
		if (later)
			parcel_defer(&f->c->opener, p, i, OPENER_RETRY_MS, &reply);
		else if (refuse)
			entry_refuse(e, p->object.meta.verdict, &reply);
		else if (junk && f->c->maildir != NULL)
			entry_junk(e);
	}
	if (later || refuse)
		return FILTER_SETTLED;
	buf_init(&p->heads, FILTER_LINES_MAX);
	if (junk || r->action == RSPAMD_SUSPECT)
		buf_add_str(&p->heads, SPAM);
	buf_add_span(&p->heads, buf_span(&r->heads));
	return FILTER_GO;
}

/* --- whether it serves ---------------------------------------------------------------------- */

static void
say(struct filter *f, const char *words)
{
	struct scoreboard *board = f->c->board;

	if (words[0] != '\0' && !f->down)
		log_warn(NULL, "filter.down %s: %s; mail is delivered unjudged",
		    f->c->conf->filter.rspamd, words);
	else if (words[0] == '\0' && f->down)
		log_info(NULL, "filter.up %s", f->c->conf->filter.rspamd);
	f->down = words[0] != '\0';
	if (board != NULL)
		span_copy(span_str(words), board->filter, sizeof(board->filter));
}

static void
failed(struct filter *f, bool reached, const char *words)
{
	say(f, words);
	if ((reached && ++f->failures < FILTER_FAILURES_MAX) || f->paused)
		return;
	f->pause_ms = f->pause_ms == 0 ? FILTER_PAUSE_MS : 2 * f->pause_ms;
	if (f->pause_ms > FILTER_PAUSE_MAX_MS)
		f->pause_ms = FILTER_PAUSE_MAX_MS;
	f->left = instant_now();
	f->paused = true;
}

static void
served(struct filter *f)
{
	f->failures = 0;
	f->pause_ms = 0;
	f->paused = false;
	say(f, "");
}

/* --- one message ---------------------------------------------------------------------------- */

static void
count(struct filter *f, enum board_counter what)
{
	if (f->c->board != NULL)
		board_add(f->c->board, what, 1);
}

/* It is the caller's again. */
static void
tell(struct ask *a, enum filter_said said)
{
	unseal_free(&a->reading);
	rspamd_read_fini(&a->answer);
	a->told(a->arg, a->p, said);
	free(a);
}

static void
unjudged(struct ask *a, const char *words)
{
	log_info(NULL, "mail.unjudged id=%s: %s", uuid_text(a->p->object.meta.id).s, words);
	count(a->f, BC_UNJUDGED);
	tell(a, FILTER_GO);
}

static ssize_t
on_pull(void *arg, char *out, size_t room)
{
	struct ask *a = arg;
	size_t n;

	while (a->rest.n == 0) {
		switch (unseal_next(a->reading, &a->rest)) {
		case UNSEAL_ENVELOPE:
		case UNSEAL_BODY:
			continue;
		case UNSEAL_END:
			return 0;
		default:		/* it was whole when it was looked at: the disk */
			a->unread = true;
			return -1;
		}
	}
	n = a->rest.n < room ? a->rest.n : room;
	memcpy(out, a->rest.p, n);
	a->rest = span_from(a->rest, n);
	return (ssize_t)n;
}

static bool
on_body(void *arg, struct span s)
{
	struct ask *a = arg;

	return rspamd_read(&a->answer, s);
}

static void
on_done(void *arg, enum http_end end, unsigned status, const struct why *words)
{
	struct ask *a = arg;
	struct filter *f = a->f;
	struct rspamd_answer r = { .words = "" };
	struct why why = *words;

	take(&f->asked, a);
	f->nasked--;
	turn(f);
	if (end == HTTP_ANSWERED && status != 200)
		why_set(&why, "it answers %u%s", status,
		    status == 401 || status == 403 ? ": filter.password_file" : "");
	if (end == HTTP_ANSWERED && status == 200 &&
	    rspamd_read_end(&a->answer, &r, &why)) {
		served(f);
		count(f, BC_JUDGED);
		tell(a, apply(f, a->p, &r));
	} else {
		if (!a->unread)
			failed(f, end != HTTP_NOT_REACHED, why.text);
		unjudged(a, why.text);
	}
	buf_fini(&r.heads);
}

static const struct http_ops ops = { .pull = on_pull, .body = on_body, .done = on_done };

static bool
add_address(struct http_call *h, const char *name, const struct address *addr, size_t *octets)
{
	char text[ADDRESS_PRINT_MAX], path[ADDRESS_PRINT_MAX + 2];

	address_print(addr, text, sizeof(text));
	*octets += (size_t)snprintf(path, sizeof(path), "<%s>", text);
	return http_call_field(h, name, span_str(path));
}

/* What it asks of a message beside its octets; what is not known is not said. */
static bool
add_fields(struct ask *a, struct http_call *h)
{
	const struct envelope *env = a->p->env;
	struct filter *f = a->f;
	size_t octets = 0;
	bool ok;

	ok = http_call_field(h, "Queue-Id", span_str(uuid_text(a->p->object.meta.id).s)) &&
	    add_address(h, "From", &env->from, &octets);
	if (netaddr_is_global(&env->client))
		ok = ok && http_call_field(h, "IP", span_str(netaddr_ip(&env->client).s));
	if (env->helo[0] != '\0')
		ok = ok && http_call_field(h, "Helo", span_str(env->helo));
	if (env->client_name[0] != '\0')
		ok = ok && http_call_field(h, "Hostname", span_str(env->client_name));
	if (f->password[0] != '\0')
		ok = ok && http_call_field(h, "Password", span_str(f->password));
	for (size_t i = 0; ok && i < env->nrcpts && octets < RCPTS_OCTETS_MAX; i++)
		ok = add_address(h, "Rcpt", &env->rcpts[i].addr, &octets);
	return ok;
}

static bool
begin(struct ask *a, struct why *why)
{
	struct filter *f = a->f;
	struct courier *c = f->c;
	struct http_request r = { .method = "POST", .url = "http://rspamd/checkv2", .to = f->addr,
		.path = f->path, .size = a->p->octets, .wait_ms = c->conf->filter.timeout_ms,
		.answer_max = RSPAMD_ANSWER_MAX };
	struct http_call *h;

	why_set(why, "memory is out");
	a->reading = unseal_new(c->ids, c->nids + c->nretired, &a->p->content, &a->p->payload);
	if (a->reading == NULL || (h = http_call_new(f->http, &r, &ops, a, why)) == NULL)
		return false;
	if (!add_fields(a, h) || !http_call_go(h, why)) {
		http_call_cancel(&h);
		return false;
	}
	return true;
}

/* --- what is asked when --------------------------------------------------------------------- */

static void
on_turn(uv_timer_t *timer)
{
	struct filter *f = timer->data;
	struct why why;

	if (f->paused && instant_ms_since(f->left, instant_now()) >= f->pause_ms)
		f->paused = false;
	while (f->waiting.first != NULL && (f->paused || f->nasked < FILTER_ASKED_MAX)) {
		struct ask *a = f->waiting.first;

		take(&f->waiting, a);
		if (f->paused) {
			unjudged(a, "the filter did not serve a moment ago");
		} else if (a->p->octets > f->c->conf->filter.size) {
			unjudged(a, "larger than filter.size");
		} else if (begin(a, &why)) {
			put(&f->asked, a);
			f->nasked++;
		} else {
			unjudged(a, why.text);
		}
	}
}

void
filter_ask(struct filter *f, struct parcel *p, filter_told_fn *told, void *arg)
{
	struct ask *a = calloc(1, sizeof(*a));

	if (a == NULL)
		courier_out_of_memory();
	a->f = f;
	a->p = p;
	a->told = told;
	a->arg = arg;
	rspamd_read_begin(&a->answer);
	put(&f->waiting, a);
	turn(f);
}

/* --- a filter ------------------------------------------------------------------------------- */

struct filter *
filter_new(struct courier *c, struct why *why)
{
	const char *where = c->conf->filter.rspamd;
	struct filter *f = calloc(1, sizeof(*f));

	if (f == NULL || (f->http = http_new(c->loop, why)) == NULL) {
		if (f == NULL)
			why_set(why, "memory is out");
		free(f);
		return NULL;
	}
	f->c = c;
	if (c->board != NULL)		/* of the life before */
		c->board->filter[0] = '\0';
	f->waiting.end = &f->waiting.first;
	f->asked.end = &f->asked.first;
	if (!netaddr_parse(span_str(where), &f->addr)) {
		span_copy(span_str(where), f->socket, sizeof(f->socket));
		f->path = f->socket;
	}
	uv_timer_init(c->loop, &f->turn);
	f->turn.data = f;
	return f;
}

static void
on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

void
filter_free(struct filter **fp)
{
	struct filter *f = *fp;
	struct ask *a;

	*fp = NULL;
	if (f == NULL)
		return;
	http_free(&f->http);
	while ((a = f->asked.first) != NULL || (a = f->waiting.first) != NULL) {
		take(f->asked.first != NULL ? &f->asked : &f->waiting, a);
		tell(a, FILTER_GONE);
	}
	explicit_bzero(f->password, sizeof(f->password));
	uv_close((uv_handle_t *)&f->turn, on_timer_closed);
}

void
filter_password(struct filter *f, struct span value)
{
	if (value.n > 0 && value.p[value.n - 1] == '\n')
		value.n--;
	explicit_bzero(f->password, sizeof(f->password));
	span_copy(value, f->password, sizeof(f->password));
}
