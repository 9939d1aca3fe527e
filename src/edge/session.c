#include "edge/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "edge/handover.h"
#include "edge/object_out.h"
#include "edge/recipient.h"
#include "net/conn.h"
#include "net/tls.h"
#include "proto/envelope.h"
#include "proto/trace.h"

/* What a client that does not read its replies may leave with us before we read no more of it. */
#define OUT_PAUSE	(64u << 10)

enum waiting {			/* why nothing is read now */
	WAIT_NOTHING = 0,
	WAIT_NAME,		/* the client's name, for Received: and the envelope */
	WAIT_SPOOL,		/* the commit */
	WAIT_VERDICT,		/* home's word */
	WAIT_DRAIN,		/* the client reads its replies first */
};

/* A commit under way; outlives the session if the client goes. */
struct pending {
	struct session	*session;	/* NULL: nobody to tell */
	struct edge	*edge;
	struct home	*home;
	struct spool_object obj;
	struct instant	 began;
	size_t		 nrcpts;
};

/* All that belongs to one message; txn_end is its only end. */
struct txn {
	struct envelope	*env;
	struct home	*home;		/* of the first accepted recipient */
	struct object_out *out;
	struct smtp_reply failed;	/* code 0: all is well; else what to say at the end of data */
	struct instant	 began;
	bool		 tried;		/* data were begun */
};

struct session {
	struct session	*next, *prev;
	struct edge	*edge;
	struct conn	*conn;
	struct smtp_srv	*srv;
	struct terms	*terms;
	char		 service[CONF_NAME_MAX];
	char		 sid[12];
	char		*name;		/* the client's, once looked up; "" none */
	struct netaddr	 client;
	struct txn	*txn;
	struct pending	*pending;
	struct ask	*ask;
	struct resolve_ask *lookup;
	struct instant	 phase_until, end;
	enum waiting	 waiting;
	unsigned	 bare_lf;	/* counted so far */
	bool		 secured, closing, starttls;
};

static size_t on_read(void *, struct span);
static void on_begin(struct session *);

/* --- terms ------------------------------------------------------------------------------- */

struct terms *
terms_new(const struct conf_edge *conf)
{
	struct terms *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	memcpy(t->hostname, conf->common.hostname, sizeof(t->hostname));
	t->smtp = (struct smtp_srv_conf){ t->hostname, conf->limits, conf->bare_lf };
	t->timeouts = conf->timeouts;
	t->refs = 1;
	return t;
}

void
terms_drop(struct terms **tp)
{
	if (*tp != NULL && --(*tp)->refs == 0)
		free(*tp);
	*tp = NULL;
}

/* --- the end of things -------------------------------------------------------------------- */

static void
txn_end(struct session *s)
{
	struct txn *t = s->txn;

	if (t == NULL)
		return;
	object_out_free(&t->out);
	envelope_free(&t->env);
	free(t);
	s->txn = NULL;
}

static void
on_closed(void *arg, const struct why *why)
{
	struct session *s = arg;
	struct edge *e = s->edge;

	if (s->ask != NULL) {
		handover_unask(&s->ask);	/* on_verdict will not come */
		free(s->pending);
	} else if (s->pending != NULL) {
		s->pending->session = NULL;
	}
	resolve_cancel(&s->lookup);
	txn_end(s);
	smtp_srv_free(&s->srv);
	terms_drop(&s->terms);
	clients_leave(e->clients, &s->client);
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		e->sessions = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	e->nsessions--;
	board_add(edge_board(e), BC_CONNECTIONS, -1);
	log_debug(s->sid, "smtp.close peer=%s%s%s", netaddr_ip(&s->client).s, why != NULL ? " why=" : "",
	    why != NULL ? log_safe(span_str(why->text)).s : "");
	free(s->name);
	free(s);
}

static void
deadline(struct session *s, int64_t ms)
{
	s->phase_until.ns = instant_now().ns + ms * 1000000;
}

static bool
in_data(const struct session *s)
{
	enum smtp_phase p = smtp_srv_phase(s->srv);

	return p == SMTP_P_DATA || p == SMTP_P_BDAT;
}

/* --- decisions ---------------------------------------------------------------------------- */

/* The listener's service as it is configured now; one that a reload took away serves every home no more. */
static const struct conf_service *
service_of(const struct session *s)
{
	static const struct conf_service gone = { .nhomes = 1, .homes = { "" } };
	const struct conf_edge *conf = edge_conf(s->edge);

	for (size_t i = 0; i < conf->nservices; i++)
		if (strcmp(conf->services[i].name, s->service) == 0)
			return &conf->services[i];
	return &gone;
}

/* Only what every home behind this listener honours is announced: SMTP names nobody before RCPT. */
static unsigned
extensions(const struct session *s)
{
	const struct homes *hs = &s->edge->homes;
	const struct conf_service *service = service_of(s);
	unsigned ext = SMTP_EXT_SMTPUTF8 | SMTP_EXT_DSN;
	size_t seen = 0;

	for (size_t i = 0; i < hs->n; i++) {
		const struct home *h = hs->list[i];

		if (h->peer.ndomains == 0 || !recipient_serves(service, h))
			continue;
		seen++;
		if (h->policy == NULL || !h->policy->smtputf8)
			ext &= ~(unsigned)SMTP_EXT_SMTPUTF8;
		if (h->policy == NULL || !h->policy->dsn)
			ext &= ~(unsigned)SMTP_EXT_DSN;
	}
	if (seen == 0)
		ext = 0;
	return ext | (s->edge->smtp_tls != NULL ? SMTP_EXT_STARTTLS : 0u);
}

static void
say(struct session *s, struct smtp_reply r)
{
	smtp_srv_answer(s->srv, &r);
}

/* What was waited for is there: say what there is to say, then read on. */
static void
go_on(struct session *s)
{
	s->waiting = WAIT_NOTHING;
	deadline(s, in_data(s) ? s->terms->timeouts.data_ms : s->terms->timeouts.command_ms);
	on_read(s, span_of("", 0));
	if (!s->closing)
		conn_resume(s->conn);
}

static void
on_name(void *arg, const char *name)
{
	struct session *s = arg;

	s->lookup = NULL;
	s->name = strdup(name);
	if (s->waiting == WAIT_NAME) {
		on_begin(s);
		go_on(s);
	}
}

static struct smtp_reply
bad_params_reply(void)
{
	return smtp_reply(501, 5, 5, 4, "Parameters of %d octets at most, please", ENVELOPE_PARAMS_MAX);
}

static void
on_mail(struct session *s, const struct smtp_ev *ev)
{
	struct txn *t;

	txn_end(s);
	if (!envelope_params_ok(ev->arg)) {
		say(s, bad_params_reply());
		return;
	}
	t = calloc(1, sizeof(*t));
	if (t != NULL && (t->env = envelope_new()) != NULL && envelope_set_from(t->env, ev->addr, ev->arg)) {
		s->txn = t;
		t->began = instant_now();
		if (s->name == NULL && s->lookup == NULL && edge_conf(s->edge)->client_names)
			s->lookup = resolve_name(s->edge->resolver, &s->client, on_name, s);
		say(s, smtp_reply(250, 2, 1, 0, "Sender ok"));
		return;
	}
	if (t != NULL)
		envelope_free(&t->env);
	free(t);
	say(s, smtp_reply(452, 4, 3, 1, "Out of memory; try again later"));
}

static void
on_rcpt(struct session *s, const struct smtp_ev *ev)
{
	const struct conf_edge *conf = edge_conf(s->edge);
	struct recipient_rules rules = { &s->edge->homes, service_of(s), conf->postmaster, s->txn->home };
	struct smtp_reply reply;
	struct home *h;

	h = recipient_home(&rules, ev->addr, &reply);
	if (h != NULL && !envelope_params_ok(ev->arg)) {
		h = NULL;
		reply = bad_params_reply();
	}
	if (h != NULL && !envelope_add_rcpt(s->txn->env, ev->addr, ev->arg)) {
		h = NULL;
		reply = smtp_reply(452, 4, 3, 1, "Out of memory; try again later");
	}
	if (h != NULL)
		s->txn->home = h;
	else
		board_add(edge_board(s->edge), BC_RCPT_REFUSED, 1);
	if (h == NULL && reply.code == 550 && reply.enhanced[1] == 7)
		log_info(s->sid, "smtp.relay.denied peer=%s domain=%s", netaddr_ip(&s->client).s,
		    log_safe(span_str(ev->addr->domain)).s);
	say(s, reply);
}

/* RFC 3848 and RFC 6531 4.3 name the protocol. */
static const char *
protocol(const struct session *s)
{
	bool utf8 = s->txn->env->from.utf8;

	for (size_t i = 0; i < s->txn->env->nrcpts; i++)
		utf8 |= s->txn->env->rcpts[i].addr.utf8;
	if (!smtp_srv_esmtp(s->srv))
		return "SMTP";
	if (utf8)
		return s->secured ? "UTF8SMTPS" : "UTF8SMTP";
	return s->secured ? "ESMTPS" : "ESMTP";
}

static void
fill_envelope(struct session *s, struct uuid id)
{
	struct envelope *env = s->txn->env;

	span_copy(smtp_srv_helo(s->srv), env->helo, sizeof(env->helo));
	span_copy(span_str(s->name != NULL ? s->name : ""), env->client_name, sizeof(env->client_name));
	span_copy(span_str(s->terms->hostname), env->edge, sizeof(env->edge));
	env->client = s->client;
	conn_local(s->conn, &env->dest);
	env->esmtp = smtp_srv_esmtp(s->srv);
	env->id = id;
}

static int
begin_object(struct session *s, struct why *why)
{
	struct txn *t = s->txn;
	unsigned char rnd[10];
	char tls[128] = "", rcpt[400] = "";
	struct spool_meta meta = { .origin = ORIGIN_RECEPTION, .received_ms = wall_ms(),
		.client_net = netaddr_network(&s->client, 24, 48) };
	struct trace trace;

	random_bytes(rnd, sizeof(rnd));
	meta.id = uuid_v7(meta.received_ms, rnd);
	span_copy(span_str(s->terms->hostname), meta.signer, sizeof(meta.signer));
	span_copy(span_str(t->home->name), meta.home, sizeof(meta.home));
	meta.verdict = edge_conf(s->edge)->verdict_ms > 0 && t->home->handover != NULL &&
	    handover_tunnels(t->home->handover) > 0;
	fill_envelope(s, meta.id);
	if (s->secured)
		tls_describe(conn_ssl(s->conn), tls, sizeof(tls));
	if (t->env->nrcpts == 1)
		address_print(&t->env->rcpts[0].addr, rcpt, sizeof(rcpt));
	trace = (struct trace){ .helo = t->env->helo, .client = s->client, .by = s->terms->hostname,
		.client_name = t->env->client_name[0] != '\0' ? t->env->client_name : NULL,
		.with = protocol(s), .tls = tls[0] != '\0' ? tls : NULL,
		.rcpt = rcpt[0] != '\0' ? rcpt : NULL, .id = meta.id, .received_ms = meta.received_ms };
	t->out = object_out_new(s->edge->spool, t->home, &meta, t->env, &trace, why);
	return t->out == NULL ? -1 : 0;
}

static struct smtp_reply
not_kept_reply(const struct why *why)
{
	return smtp_reply(452, 4, 3, 1, "Not accepted, nothing was kept: %s", why->text);
}

static void
on_begin(struct session *s)
{
	struct why why = { "" };

	if (s->lookup != NULL) {
		s->waiting = WAIT_NAME;		/* on_name comes back here; the resolver bounds the wait */
		return;
	}
	if (begin_object(s, &why) == -1) {
		log_warn(s->sid, "smtp.later peer=%s: %s", netaddr_ip(&s->client).s, why.text);
		board_add(edge_board(s->edge), BC_DEFERRED, 1);
		say(s, not_kept_reply(&(struct why){ "out of room" }));
		return;
	}
	say(s, smtp_reply(354, 0, 0, 0, "End data with <CR><LF>.<CR><LF>"));
}

static void
on_body(struct session *s, struct span octets)
{
	struct txn *t = s->txn;
	struct why why = { "" };

	if (t->failed.code != 0 || object_out_add(t->out, octets, &why) == 0)
		return;
	/* The rest is read and forgotten: in DATA there is no other place to say so than its end. */
	log_warn(s->sid, "smtp.later peer=%s: %s", netaddr_ip(&s->client).s, why.text);
	object_out_free(&t->out);
	t->failed = not_kept_reply(&(struct why){ "out of room" });
}

/* --- the end of data ---------------------------------------------------------------------- */

static void
answer_end(struct session *s, struct smtp_reply r)
{
	board_add(edge_board(s->edge), r.code / 100 == 2 ? BC_ACCEPTED : r.code / 100 == 4 ? BC_DEFERRED : BC_REFUSED, 1);
	say(s, r);
	go_on(s);
}

static struct smtp_reply
accepted_reply(const struct pending *p, const char *how)
{
	return smtp_reply(250, 2, 0, 0, "Accepted, %s, id %s", how, uuid_text(p->obj.meta.id).s);
}

/* What is said next may begin another message: this one must be off before. */
static void
pending_off(struct pending *p)
{
	if (p->session != NULL) {
		p->session->pending = NULL;
		p->session->ask = NULL;
	}
}

static void
on_verdict(void *arg, enum verdict v, const struct smtp_reply *reply)
{
	struct pending *p = arg;
	struct session *s = p->session;

	pending_off(p);
	if (v == VERDICT_REFUSED) {
		log_info(s->sid, "smtp.verdict peer=%s id=%s code=%u", netaddr_ip(&s->client).s,
		    uuid_text(p->obj.meta.id).s, reply->code);
		answer_end(s, *reply);
		handover_refused(p->home->handover, p->obj.row, p->obj.meta.id);
	} else {
		answer_end(s, accepted_reply(p, v == VERDICT_TAKEN ? "handed over" : "held"));
	}
	free(p);
}

static void
on_durable(struct pending *p)
{
	struct session *s = p->session;

	log_info(s != NULL ? s->sid : NULL, "smtp.accept peer=%s id=%s home=%s size=%llu rcpts=%zu ms=%lld",
	    s != NULL ? netaddr_ip(&s->client).s : "gone", uuid_text(p->obj.meta.id).s, p->home->name,
	    (unsigned long long)p->obj.size, p->nrcpts,
	    (long long)instant_ms_since(p->began, instant_now()));
	if (p->obj.meta.verdict && s != NULL &&
	    (s->ask = handover_ask(p->home->handover, &p->obj, on_verdict, p)) != NULL) {
		s->waiting = WAIT_VERDICT;
		return;
	}
	pending_off(p);
	if (s != NULL)
		answer_end(s, accepted_reply(p, "held"));
	if (p->obj.meta.verdict)
		handover_release(p->home->handover, p->obj.row);
	else if (p->home->handover != NULL)
		handover_work(p->home->handover);
	free(p);
}

static void
on_kept(void *arg, enum kept kept, int64_t row, const struct why *why)
{
	struct pending *p = arg;
	struct session *s = p->session;

	p->obj.row = row;
	if (kept == KEPT || kept == KEPT_BEFORE) {
		on_durable(p);
		return;
	}
	log_warn(s != NULL ? s->sid : NULL, "smtp.not_kept id=%s home=%s: %s", uuid_text(p->obj.meta.id).s,
	    p->home->name, why->text);
	pending_off(p);
	if (s != NULL && kept == KEPT_FULL)
		answer_end(s, not_kept_reply(&(struct why){ "out of room" }));
	else if (s != NULL)
		answer_end(s, smtp_reply(451, 4, 3, 0, "Not accepted, nothing was kept: storage is failing"));
	free(p);
}

static void
on_eom(struct session *s)
{
	struct txn *t = s->txn;
	struct pending *p;
	struct why why = { "" };
	struct smtp_reply failed = t->failed;

	if (failed.code == 0 && (p = calloc(1, sizeof(*p))) != NULL) {
		*p = (struct pending){ .session = s, .edge = s->edge, .home = t->home, .began = t->began,
			.nrcpts = t->env->nrcpts };
		if (object_out_commit(&t->out, &p->obj, on_kept, p, &why) == 0) {
			s->pending = p;
			s->waiting = WAIT_SPOOL;
			txn_end(s);
			return;
		}
		free(p);
		log_warn(s->sid, "smtp.later peer=%s: %s", netaddr_ip(&s->client).s, why.text);
	}
	txn_end(s);
	board_add(edge_board(s->edge), BC_DEFERRED, 1);
	say(s, failed.code != 0 ? failed : not_kept_reply(&(struct why){ "out of room" }));
}

/* --- moving bytes ------------------------------------------------------------------------- */

static void
flush(struct session *s)
{
	struct span out = smtp_srv_out(s->srv);

	if (out.n == 0)
		return;
	if (!conn_write(s->conn, out.p, out.n))
		s->closing = true;
	smtp_srv_out_used(s->srv, out.n);
	if (conn_queued(s->conn) > OUT_PAUSE)
		s->waiting = WAIT_DRAIN;
}

static void
act(struct session *s, const struct smtp_ev *ev)
{
	switch (ev->type) {
	case SMTP_EV_NONE:
	case SMTP_EV_HELO:
		break;
	case SMTP_EV_REPLY:
		flush(s);
		break;
	case SMTP_EV_MAIL:
		on_mail(s, ev);
		break;
	case SMTP_EV_RCPT:
		on_rcpt(s, ev);
		break;
	case SMTP_EV_BEGIN:
		on_begin(s);
		break;
	case SMTP_EV_BODY:
		on_body(s, ev->arg);
		break;
	case SMTP_EV_EOM:
		on_eom(s);
		break;
	case SMTP_EV_ABORT:
		txn_end(s);
		break;
	case SMTP_EV_STARTTLS:
		flush(s);
		s->starttls = true;
		break;
	case SMTP_EV_CLOSE:
		flush(s);
		s->closing = true;
		break;
	}
}

static void
start_tls(struct session *s)
{
	struct why why = { "" };

	s->starttls = false;
	deadline(s, s->terms->timeouts.handshake_ms);
	if (s->edge->smtp_tls == NULL || conn_tls(s->conn, s->edge->smtp_tls, true, &why) == -1) {
		log_warn(s->sid, "smtp.tls peer=%s: %s", netaddr_ip(&s->client).s, why.text);
		conn_abort(s->conn);
	}
}

/* Steps the machine over what there is, until it wants more or something must be waited for. */
static size_t
on_read(void *arg, struct span in)
{
	struct session *s = arg;
	struct smtp_ev ev;
	size_t used = 0;
	bool moved = false;

	while (!s->closing && !s->starttls && s->waiting == WAIT_NOTHING) {
		used += smtp_srv_step(s->srv, in.p + used, in.n - used, &ev);
		act(s, &ev);
		if (ev.type == SMTP_EV_NONE)
			break;
		moved = true;
	}
	if (s->bare_lf != smtp_srv_bare_lf(s->srv)) {
		board_add(edge_board(s->edge), BC_BARE_LF, smtp_srv_bare_lf(s->srv) - s->bare_lf);
		s->bare_lf = smtp_srv_bare_lf(s->srv);
	}
	/* A command has its time for the whole line: an octet now and then does not renew it. */
	if (in_data(s))
		deadline(s, s->terms->timeouts.data_ms);
	else if (moved)
		deadline(s, s->terms->timeouts.command_ms);
	if (s->closing)
		conn_close(s->conn);
	else if (s->starttls && conn_queued(s->conn) == 0)
		start_tls(s);
	return s->closing || s->starttls ? in.n : used;
}

static void
on_drained(void *arg)
{
	struct session *s = arg;

	if (s->starttls) {
		start_tls(s);
	} else if (s->waiting == WAIT_DRAIN) {
		go_on(s);
	}
}

static void
on_secured(void *arg)
{
	struct session *s = arg;

	s->secured = true;
	smtp_srv_secured(s->srv);
	board_add(edge_board(s->edge), BC_TLS_TOTAL, 1);
	deadline(s, s->terms->timeouts.command_ms);
}

static const struct conn_ops ops = {
	.read = on_read, .drained = on_drained, .secured = on_secured, .closed = on_closed,
};

/* --- coming and going --------------------------------------------------------------------- */

static void
turn_away(struct edge *e, int fd, const struct netaddr *client, const char *why)
{
	static const char reply[] = "421 4.7.0 Too many connections; try again later\r\n";

	board_add(edge_board(e), BC_CONNECTIONS_REFUSED, 1);
	log_info(NULL, "smtp.refuse peer=%s: %s", netaddr_ip(client).s, why);
	if (write(fd, reply, sizeof(reply) - 1) == -1)
		log_debug(NULL, "smtp.refuse peer=%s did not wait for the reason", netaddr_ip(client).s);
	close(fd);
}

static void
name_session(struct session *s)
{
	unsigned char rnd[4];

	random_bytes(rnd, sizeof(rnd));
	snprintf(s->sid, sizeof(s->sid), "%02x%02x%02x%02x", rnd[0], rnd[1], rnd[2], rnd[3]);
}

void
session_accept(struct edge *e, int fd, const struct conf_service *service)
{
	const struct conf_edge *conf = edge_conf(e);
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct netaddr client;
	struct session *s;
	struct why why = { "" };

	if (getpeername(fd, (struct sockaddr *)&ss, &len) == -1 ||
	    !netaddr_from_sockaddr((struct sockaddr *)&ss, &client)) {
		close(fd);
		return;
	}
	board_add(edge_board(e), BC_CONNECTIONS_TOTAL, 1);
	if (e->nsessions >= conf->connections) {
		turn_away(e, fd, &client, "limits.connections reached");
		return;
	}
	if (!clients_enter(e->clients, &client, conf->connections_client)) {
		turn_away(e, fd, &client, "limits.client_connections reached");
		return;
	}
	if ((s = calloc(1, sizeof(*s))) == NULL) {
		clients_leave(e->clients, &client);
		turn_away(e, fd, &client, "out of memory");
		return;
	}
	s->edge = e;
	s->client = client;
	memcpy(s->service, service->name, sizeof(s->service));
	name_session(s);
	if ((s->srv = smtp_srv_new(&e->terms->smtp, extensions(s))) == NULL) {
		free(s);
		clients_leave(e->clients, &client);
		turn_away(e, fd, &client, "out of memory");
		return;
	}
	if ((s->conn = conn_new(e->loop, fd, &ops, s, &why)) == NULL) {	/* fd is gone with it */
		log_warn(s->sid, "smtp.refuse peer=%s: %s", netaddr_ip(&client).s, why.text);
		smtp_srv_free(&s->srv);
		free(s);
		clients_leave(e->clients, &client);
		return;
	}
	s->terms = e->terms;
	s->terms->refs++;
	s->end.ns = instant_now().ns + s->terms->timeouts.session_ms * 1000000;
	s->next = e->sessions;
	if (s->next != NULL)
		s->next->prev = s;
	e->sessions = s;
	e->nsessions++;
	board_add(edge_board(e), BC_CONNECTIONS, 1);
	log_debug(s->sid, "smtp.open peer=%s", netaddr_hostport(&client).s);
	on_read(s, span_of("", 0));		/* the greeting */
}

/* Between our 220 to STARTTLS and the end of the handshake nothing can be said. */
static bool
shaking(const struct session *s)
{
	return s->starttls || (conn_ssl(s->conn) != NULL && !s->secured);
}

static void
shut(struct session *s, unsigned detail, const char *text)
{
	struct smtp_reply r = smtp_reply(421, 4, detail >> 4, detail & 15, "%s %s", s->terms->hostname, text);

	smtp_srv_shut(s->srv, &r);
	flush(s);
	s->closing = true;
	conn_close(s->conn);
}

void
sessions_sweep(struct edge *e, struct instant now)
{
	for (struct session *s = e->sessions, *next; s != NULL; s = next) {
		next = s->next;
		if (s->waiting == WAIT_SPOOL || s->waiting == WAIT_VERDICT)
			continue;		/* it is our turn, not the client's */
		if (s->phase_until.ns > now.ns && (s->closing || s->end.ns > now.ns))
			continue;
		if (s->closing) {
			conn_abort(s->conn);	/* it has had its words, and does not take them */
			continue;
		}
		board_add(edge_board(e), BC_TIMEOUTS, 1);
		if (s->waiting == WAIT_DRAIN || shaking(s)) {
			conn_abort(s->conn);	/* it reads nothing, or nothing that we could say */
			continue;
		}
		log_info(s->sid, "smtp.timeout peer=%s%s", netaddr_ip(&s->client).s,
		    s->end.ns <= now.ns ? " whole_session=1" : "");
		shut(s, 0x42, "Timeout, closing connection");
		deadline(s, s->terms->timeouts.handshake_ms);
	}
}

void
sessions_drain(struct edge *e)
{
	for (struct session *s = e->sessions, *next; s != NULL; s = next) {
		next = s->next;
		if (!s->closing && !shaking(s) && s->waiting == WAIT_NOTHING && smtp_srv_idle(s->srv))
			shut(s, 0x32, "Service is restarting, try again");
	}
}
