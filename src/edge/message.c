#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "edge/logins.h"
#include "edge/recipient.h"
#include "edge/session_in.h"
#include "net/conn.h"
#include "net/tls.h"
#include "proto/trace.h"

/* What the seal, the envelope and our Received add to a message, at least. */
#define OBJECT_LEAST	1024
/*
 * Recipients of a transaction that the others' memory is not asked after: 6 KB a connection, and
 * with the longest parameters 22.
 */
#define RECIPIENTS_FREE	16

static struct smtp_reply
not_kept_reply(const struct why *why)
{
	return smtp_reply(452, 4, 3, 1, "Not accepted, nothing was kept: %s", why->text);
}

static struct smtp_reply
no_id_reply(void)
{
	return smtp_reply(451, 4, 6, 0, "Not accepted: X-Posthouse-Id must stand on top");
}

void
message_end(struct session *s)
{
	struct txn *t = s->txn;

	if (t == NULL)
		return;
	object_out_free(&t->out);
	s->edge->recipients -= t->octets;
	envelope_free(&t->env);
	free(t);
	s->txn = NULL;
}

/* --- who it is from and for --------------------------------------------------------------- */

static struct smtp_reply
bad_params_reply(void)
{
	return smtp_reply(501, 5, 5, 4, "Parameters of %d octets at most, please",
	    ENVELOPE_PARAMS_MAX);
}

static void
on_name(void *arg, const char *name)
{
	struct session *s = arg;

	s->lookup = NULL;
	s->name = strdup(name);
	if (s->waiting == WAIT_NAME) {
		message_begin(s);
		session_go_on(s);
	}
}

/*
 * As far as is known now, so that a sender need not send in vain (RFC 1870 6.1: 452).
 * It may be wrong either way: the end of data has the last word.
 */
static bool
has_room(const struct session *s)
{
	return spool_room(s->edge->mail) >= OBJECT_LEAST + smtp_srv_declared_size(s->srv);
}

/* The bucket is out of reach: senders that wait for it in vain would only fill this edge. */
static bool
store_away(const struct session *s)
{
	return edge_conf(s->edge)->nbuckets > 0 &&
	    atomic_load(&edge_board(s->edge)->bucket[0].away) != 0;
}

static struct smtp_reply
away_reply(void)
{
	return smtp_reply(451, 4, 3, 0, "Not accepted, nothing was kept: storage is failing");
}

void
message_mail(struct session *s, const struct smtp_ev *ev)
{
	struct txn *t;

	message_end(s);
	if (s->user != NULL && !logins_named(s->user_home, s->user)) {
		session_say(s, smtp_reply(451, 4, 7, 1, "You may not log in here any more"));
		return;
	}
	if (store_away(s)) {
		log_info(s->sid, "smtp.later peer=%s at=mail: the store is away",
		    netaddr_ip(&s->client).s);
		board_add(edge_board(s->edge), BC_DEFERRED, 1);
		session_say(s, away_reply());
		return;
	}
	if (!has_room(s)) {
		log_info(s->sid, "smtp.later peer=%s at=mail size=%llu: out of room",
		    netaddr_ip(&s->client).s, (unsigned long long)smtp_srv_declared_size(s->srv));
		board_add(edge_board(s->edge), BC_DEFERRED, 1);
		session_say(s, not_kept_reply(&(struct why){ "out of room" }));
		return;
	}
	if (!envelope_params_ok(ev->arg)) {
		session_say(s, bad_params_reply());
		return;
	}
	t = calloc(1, sizeof(*t));
	if (t != NULL && (t->env = envelope_new()) != NULL &&
	    envelope_set_from(t->env, ev->addr, ev->arg)) {
		s->txn = t;
		t->began = instant_now();
		if ((s->user == NULL || s->speaks_for != NULL) && s->name == NULL &&
		    s->lookup == NULL && edge_conf(s->edge)->client_names)
			s->lookup = resolve_name(s->edge->resolver, session_client(s), on_name, s);
		session_say(s, smtp_reply(250, 2, 1, 0, "Sender ok"));
		return;
	}
	if (t != NULL)
		envelope_free(&t->env);
	free(t);
	session_say(s, smtp_reply(452, 4, 3, 1, "Out of memory; try again later"));
}

/*
 * One more, within what all sessions may have in memory.  A few of each transaction are not asked
 * after: a crowd that names thousands keeps nobody's letter to a friend away.
 */
static bool
add_recipient(struct session *s, const struct smtp_ev *ev)
{
	struct txn *t = s->txn;

	if ((t->env->nrcpts >= RECIPIENTS_FREE &&
	    s->edge->recipients >= edge_conf(s->edge)->hold.memory) ||
	    !envelope_add_rcpt(t->env, ev->addr, ev->arg))
		return false;
	s->edge->recipients += t->env->octets - t->octets;
	t->octets = t->env->octets;
	return true;
}

void
message_rcpt(struct session *s, const struct smtp_ev *ev)
{
	const struct conf_edge *conf = edge_conf(s->edge);
	struct recipient_rules rules = { .homes = &s->edge->homes, .service = session_service(s),
		.postmaster = conf->postmaster, .client = session_client(s), .now_ms = wall_ms(),
		.txn = s->txn->home != NULL ? s->txn->home : s->user_home,
		.size = ev->params->size,
		.unread = atomic_load(&edge_board(s->edge)->peers_unread) > 0,
		.from_utf8 = s->txn->env->from.utf8, .report = ev->params->success };
	struct smtp_reply reply;
	struct home *h;

	h = recipient_home(&rules, ev->addr, &reply);
	if (h != NULL && !envelope_params_ok(ev->arg)) {
		h = NULL;
		reply = bad_params_reply();
	}
	if (h != NULL && !add_recipient(s, ev)) {
		h = NULL;
		reply = smtp_reply(452, 4, 3, 1, "Out of memory; try again later");
	}
	if (h != NULL) {
		s->txn->home = h;
		smtp_srv_message_most(s->srv, home_takes(h));
		if (ev->params->utf8 && !home_smtputf8(h))
			smtp_srv_message_ascii(s->srv);
	} else {
		board_add(edge_board(s->edge), BC_RCPT_REFUSED, 1);
	}
	if (h == NULL && reply.code == 550 && reply.enhanced[1] == 7)
		log_info(s->sid, "smtp.recipient.denied peer=%s domain=%s: %s",
		    netaddr_ip(&s->client).s, log_safe(span_str(ev->addr->domain)).s, reply.text);
	session_say(s, reply);
}

/* --- the object --------------------------------------------------------------------------- */

/*
 * RFC 3848 and RFC 6531 4.3 name the protocol: that of the client who is shown beside it.  One
 * whom a Worker speaks for has not logged in, and TLS was not his.
 */
static const char *
protocol(const struct session *s)
{
	bool utf8 = s->txn->env->from.utf8;

	for (size_t i = 0; i < s->txn->env->nrcpts; i++)
		utf8 |= s->txn->env->rcpts[i].addr.utf8;
	if (s->speaks_for != NULL && s->speaks_for->esmtp)
		return utf8 ? "UTF8SMTP" : "ESMTP";
	if (s->speaks_for != NULL || !smtp_srv_esmtp(s->srv))
		return "SMTP";
	if (s->user != NULL)
		return utf8 ? "UTF8SMTPSA" : "ESMTPSA";
	if (utf8)
		return s->secured ? "UTF8SMTPS" : "UTF8SMTP";
	return s->secured ? "ESMTPS" : "ESMTP";
}

/*
 * A Worker's object goes by the Worker's own name and id, as if it had been made there: so it is
 * one message in home's ledger, whatever roads it comes by.  Who sits at the other end of this
 * connection is not who sent the message: it is whom the Worker speaks for, or nobody is named.
 */
static void
fill_pushed(struct session *s)
{
	struct envelope *env = s->txn->env;

	span_copy(span_str(s->user), env->edge, sizeof(env->edge));
	env->esmtp = true;
	env->id = s->txn->pushed.id;
	if (s->speaks_for == NULL)
		return;
	memcpy(env->helo, s->speaks_for->helo, sizeof(env->helo));
	span_copy(span_str(s->name != NULL ? s->name : ""), env->client_name,
	    sizeof(env->client_name));
	env->client = s->speaks_for->addr;
	env->esmtp = s->speaks_for->esmtp;
}

static void
fill_envelope(struct session *s, struct uuid id)
{
	struct envelope *env = s->txn->env;

	span_copy(smtp_srv_helo(s->srv), env->helo, sizeof(env->helo));
	span_copy(span_str(s->name != NULL ? s->name : ""), env->client_name,
	    sizeof(env->client_name));
	span_copy(span_str(s->terms->hostname), env->edge, sizeof(env->edge));
	env->client = s->client;
	if (s->dest.port == 0)
		conn_local(s->conn, &s->dest);
	env->dest = s->dest;
	env->esmtp = smtp_srv_esmtp(s->srv);
	env->id = id;
}

static int
begin_object(struct session *s, struct why *why)
{
	struct txn *t = s->txn;
	unsigned char rnd[10];
	char tls[128] = "", rcpt[400] = "", helo[sizeof(t->env->helo)];
	struct spool_meta meta = { .origin = ORIGIN_RECEPTION, .received_ms = wall_ms(),
		.client_net = netaddr_network(session_client(s), SPOOL_NET_V4,
		    SPOOL_NET_V6) };
	struct trace trace;

	span_copy(span_str(t->home->name), meta.home, sizeof(meta.home));
	if (s->user != NULL) {
		/*
		 * No verdict: a Worker that did not wait for it leaves the message in its bucket,
		 * under an id that home must not hold for refused then.
		 */
		meta.origin = ORIGIN_PUSH;
		meta.id = t->pushed.id;
		span_copy(span_str(s->user), meta.signer, sizeof(meta.signer));
		fill_pushed(s);
	} else {
		random_bytes(rnd, sizeof(rnd));
		meta.id = uuid_v7(meta.received_ms, rnd);
		span_copy(span_str(s->terms->hostname), meta.signer, sizeof(meta.signer));
		meta.verdict = edge_conf(s->edge)->verdict_ms > 0 && t->home->handover != NULL &&
		    handover_tunnels(t->home->handover) > 0;
		fill_envelope(s, meta.id);
	}
	if (s->secured && s->speaks_for == NULL)
		tls_describe(conn_ssl(s->conn), tls, sizeof(tls));
	if (t->env->nrcpts == 1)
		address_print(&t->env->rcpts[0].addr, rcpt, sizeof(rcpt));
	span_copy(s->speaks_for != NULL ? span_str(s->speaks_for->helo) : smtp_srv_helo(s->srv),
	    helo, sizeof(helo));
	trace = (struct trace){ .helo = helo, .client = *session_client(s),
		.by = s->terms->hostname,
		.client_name = t->env->client_name[0] != '\0' ? t->env->client_name : NULL,
		.with = protocol(s), .tls = tls[0] != '\0' ? tls : NULL,
		.rcpt = rcpt[0] != '\0' ? rcpt : NULL, .id = meta.id,
		.received_ms = meta.received_ms };
	t->out = object_out_new(s->edge, t->home, &meta, t->env, &trace, why);
	return t->out == NULL ? -1 : 0;
}

void
message_begin(struct session *s)
{
	struct why why = { "" };

	if (s->lookup != NULL) {
		s->waiting = WAIT_NAME;	/* on_name comes back here; the resolver bounds the wait */
		return;
	}
	/* A Worker's begins when its id is known: the first line tells. */
	if (s->user == NULL && begin_object(s, &why) == -1) {
		log_warn(s->sid, "smtp.later peer=%s: %s", netaddr_ip(&s->client).s, why.text);
		board_add(edge_board(s->edge), BC_DEFERRED, 1);
		session_say(s, not_kept_reply(&(struct why){ "out of room" }));
		return;
	}
	session_say(s, smtp_reply(354, 0, 0, 0, "End data with <CR><LF>.<CR><LF>"));
}

/*
 * The rest is read and forgotten: in DATA there is no other place to
 * say so than its end.
 */
static void
body_failed(struct session *s, const struct why *why, struct smtp_reply r)
{
	log_warn(s->sid, "smtp.later peer=%s: %s", netaddr_ip(&s->client).s, why->text);
	object_out_free(&s->txn->out);
	s->txn->failed = r;
}

/*
 * Takes the id off the top; with it the object begins.  451 where there is none: a Worker has
 * other ways, and its configuration's fault is not to become a bounce.
 */
static struct span
take_pushed(struct session *s, struct span octets)
{
	struct txn *t = s->txn;
	struct why why = { "" };

	octets = span_from(octets, pushed_id_step(&t->pushed, octets));
	if (t->pushed.is == PUSHED_ID_NONE)
		body_failed(s, &(struct why){ "no id on top" }, no_id_reply());
	else if (t->pushed.is == PUSHED_ID_THERE && begin_object(s, &why) == -1)
		body_failed(s, &why, not_kept_reply(&(struct why){ "out of room" }));
	return octets;
}

void
message_body(struct session *s, struct span octets)
{
	struct txn *t = s->txn;
	struct why why = { "" };

	if (s->user != NULL && t->pushed.is == PUSHED_ID_MORE)
		octets = take_pushed(s, octets);
	if (t->out != NULL && octets.n > 0 && object_out_add(t->out, octets, &why) == -1)
		body_failed(s, &why, not_kept_reply(&(struct why){ "out of room" }));
}

/* --- the end of data ---------------------------------------------------------------------- */

static void
answer_end(struct session *s, struct smtp_reply r)
{
	board_add(edge_board(s->edge), r.code / 100 == 2 ? BC_ACCEPTED :
	    r.code / 100 == 4 ? BC_DEFERRED : BC_REFUSED, 1);
	session_say(s, r);
	session_go_on(s);
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

	log_info(s != NULL ? s->sid : NULL,
	    "smtp.accept peer=%s id=%s home=%s size=%llu rcpts=%zu ms=%lld",
	    s != NULL ? netaddr_ip(&s->client).s : "gone", uuid_text(p->obj.meta.id).s,
	    p->home->name, (unsigned long long)p->obj.size, p->nrcpts,
	    (long long)instant_ms_since(p->began, instant_now()));
	if (p->obj.meta.verdict && s != NULL && !s->said_all &&
	    (s->ask = handover_ask(p->home->handover, &p->obj, on_verdict, p)) != NULL) {
		s->waiting = WAIT_VERDICT;
		return;
	}
	pending_off(p);
	if (s != NULL)
		answer_end(s, accepted_reply(p, "held"));
	if (p->obj.meta.verdict)
		handover_release(p->home->handover, p->obj.row);
	else if (p->home->handover != NULL && p->obj.row > 0)	/* in a bucket it is home's */
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
	log_warn(s != NULL ? s->sid : NULL, "smtp.not_kept id=%s home=%s: %s",
	    uuid_text(p->obj.meta.id).s, p->home->name, why->text);
	pending_off(p);
	if (s != NULL && kept == KEPT_FULL)
		answer_end(s, not_kept_reply(&(struct why){ "out of room" }));
	else if (s != NULL)
		answer_end(s, away_reply());
	free(p);
}

void
message_eom(struct session *s)
{
	struct txn *t = s->txn;
	struct pending *p;
	struct why why = { "" };
	struct smtp_reply failed = t->failed;

	if (failed.code == 0 && t->out == NULL)
		failed = no_id_reply();		/* shorter than that line */
	if (failed.code == 0 && (p = calloc(1, sizeof(*p))) != NULL) {
		*p = (struct pending){ .session = s, .home = t->home, .began = t->began,
			.nrcpts = t->env->nrcpts };
		if (object_out_commit(&t->out, &p->obj, on_kept, p, &why) == 0) {
			s->pending = p;
			s->waiting = WAIT_SPOOL;
			message_end(s);
			return;
		}
		free(p);
		log_warn(s->sid, "smtp.later peer=%s: %s", netaddr_ip(&s->client).s, why.text);
	}
	message_end(s);
	board_add(edge_board(s->edge), BC_DEFERRED, 1);
	session_say(s, failed.code != 0 ? failed : not_kept_reply(&(struct why){ "out of room" }));
}

void
message_abandon(struct session *s)
{
	if (s->ask != NULL) {
		handover_unask(&s->ask);	/* on_verdict will not come */
		free(s->pending);
	} else if (s->pending != NULL) {
		s->pending->session = NULL;
	}
	s->pending = NULL;
	resolve_cancel(&s->lookup);
	message_end(s);
}
