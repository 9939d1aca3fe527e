#include "edge/session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/log.h"
#include "edge/bans.h"
#include "edge/recipient.h"
#include "edge/session_in.h"
#include "net/awake.h"
#include "net/conn.h"
#include "proto/proxy_header.h"

/* What a client that does not read its replies may leave with us before we read no more of it. */
#define OUT_PAUSE	(64u << 10)
/*
 * 421 at accept, too: 554 would have to wait for the client's QUIT (RFC 5321 3.1), and where
 * a ban is a mistake the mail of a true server comes again when it is over.
 */
#define BANNED_TEXT	"Your network is banned here; try again later"

static size_t on_read(void *, struct span);
static void shut(struct session *, unsigned, const char *);

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
on_closed(void *arg, const struct why *why)
{
	struct session *s = arg;
	struct edge *e = s->edge;

	message_abandon(s);
	smtp_srv_free(&s->srv);
	terms_drop(&s->terms);
	clients_leave(e->clients, &s->client);
	free(s->user);
	free(s->speaks_for);
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		e->sessions = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	e->nsessions--;
	board_add(edge_board(e), BC_CONNECTIONS, -1);
	log_debug(s->sid, "smtp.close peer=%s%s%s", netaddr_ip(&s->client).s,
	    why != NULL ? " why=" : "", why != NULL ? log_safe(span_str(why->text)).s : "");
	free(s->name);
	free(s);
}

static void
deadline(struct session *s, int64_t ms)
{
	s->phase_until.ns = awake_now(s->edge->loop).ns + ms * 1000000;
}

static bool
in_data(const struct session *s)
{
	enum smtp_phase p = smtp_srv_phase(s->srv);

	return p == SMTP_P_DATA || p == SMTP_P_BDAT;
}

/*
 * The listener's service as it is configured now; one that a reload took
 * away serves every home no more.
 */
const struct conf_service *
session_service(const struct session *s)
{
	static const struct conf_service gone = { .nhomes = 1, .homes = { "" } };
	const struct conf_service *service = conf_edge_service(edge_conf(s->edge), s->service);

	return service != NULL ? service : &gone;
}

/*
 * The largest message that any home behind this listener takes; 0: one names no limit.  Which
 * of them takes less is known at RCPT: nobody's limit is to become the others'.
 */
static uint64_t
size_most(const struct session *s)
{
	const struct homes *hs = &s->edge->homes;
	const struct conf_service *service = session_service(s);
	uint64_t most = 0;

	for (size_t i = 0; i < hs->n; i++) {
		const struct home *h = hs->list[i];

		if (h->peer.ndomains == 0 || !recipient_serves(service, h))
			continue;
		if (home_takes(h) == 0)
			return 0;
		most = home_takes(h) > most ? home_takes(h) : most;
	}
	return most;
}

/*
 * SMTP names nobody before RCPT.  SMTPUTF8 is announced where any home behind this listener
 * honours it: the mail of one that does not is refused there (recipient.h), as its sender would
 * have refused it for want of the announcement (RFC 6531 3.2).  DSN only where every home does:
 * to a server without it the sender goes on as RFC 3461 5.2.2 has it, and reports himself that
 * he relayed the message.  Who had asked us for that report could be given none: we send nothing.
 */
static unsigned
extensions(const struct session *s)
{
	const struct homes *hs = &s->edge->homes;
	const struct conf_service *service = session_service(s);
	unsigned ext = SMTP_EXT_DSN;
	size_t seen = 0;

	for (size_t i = 0; i < hs->n; i++) {
		const struct home *h = hs->list[i];

		if (h->peer.ndomains == 0 || !recipient_serves(service, h))
			continue;
		seen++;
		if (home_smtputf8(h))
			ext |= SMTP_EXT_SMTPUTF8;
		if (!home_dsn(h))
			ext &= ~(unsigned)SMTP_EXT_DSN;
	}
	if (seen == 0)
		ext = 0;
	return ext | (s->edge->smtp_tls != NULL ? SMTP_EXT_STARTTLS : 0u) |
	    (service->auth ? SMTP_EXT_AUTH | SMTP_EXT_XCLIENT : 0u);
}

void
session_say(struct session *s, struct smtp_reply r)
{
	smtp_srv_answer(s->srv, &r);
}

static void
leave(struct session *s)
{
	s->closing = true;
	conn_close(s->conn);
}

/*
 * A client that says no more gets what is still to come, or it comes again with what was kept.
 * For home's word nobody waits then: who is gone would be told a refusal that he never hears.
 */
static void
leave_if_answered(struct session *s)
{
	if (s->said_all && !s->closing && s->waiting != WAIT_NAME && s->waiting != WAIT_SPOOL)
		leave(s);
}

/* What was waited for is there: say what there is to say, then read on. */
void
session_go_on(struct session *s)
{
	s->waiting = WAIT_NOTHING;
	deadline(s, in_data(s) ? s->terms->timeouts.data_ms : s->terms->timeouts.command_ms);
	on_read(s, span_of("", 0));
	if (s->banned && !s->closing && s->waiting == WAIT_NOTHING)
		shut(s, 0x71, BANNED_TEXT);
	leave_if_answered(s);
	if (!s->closing)
		conn_resume(s->conn);
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
	case SMTP_EV_AUTH:
		worker_login(s, ev);
		break;
	case SMTP_EV_XCLIENT:
		worker_speaks_for(s, ev);
		break;
	case SMTP_EV_MAIL:
		message_mail(s, ev);
		break;
	case SMTP_EV_RCPT:
		message_rcpt(s, ev);
		break;
	case SMTP_EV_BEGIN:
		message_begin(s);
		break;
	case SMTP_EV_BODY:
		message_body(s, ev->arg);
		break;
	case SMTP_EV_EOM:
		message_eom(s);
		break;
	case SMTP_EV_ABORT:
		message_end(s);
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
	if (s->waiting == WAIT_DRAIN)
		s->waiting = WAIT_NOTHING;	/* it has drained, or we would not be here */
	deadline(s, s->terms->timeouts.handshake_ms);
	if (s->edge->smtp_tls == NULL || conn_tls(s->conn, s->edge->smtp_tls, true, &why) == -1) {
		log_warn(s->sid, "smtp.tls peer=%s: %s", netaddr_ip(&s->client).s, why.text);
		conn_abort(s->conn);
	}
}

/*
 * A load balancer that nobody told us of.  As commands its header would be answered by 500
 * each, which its client takes for the answers to EHLO and HELO, and a refusal for good;
 * 421 makes it come again when proxy_from is mended.
 */
static bool
unknown_balancer(struct session *s, struct span in)
{
	if (s->closing || s->secured || smtp_srv_phase(s->srv) != SMTP_P_GREETED ||
	    !proxy_header_begins(in))
		return false;
	log_info(s->sid, "smtp.refuse service=%s peer=%s: it sends a PROXY header and is not in"
	    " service.proxy_from", s->service, netaddr_ip(&s->client).s);
	shut(s, 0x35, "No PROXY header is taken from your address");
	return true;
}

/* Steps the machine over what there is, until it wants more or something must be waited for. */
static size_t
on_read(void *arg, struct span in)
{
	struct session *s = arg;
	struct smtp_ev ev;
	size_t used = 0;
	bool moved = false;

	if (unknown_balancer(s, in))
		return in.n;
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
on_eof(void *arg)
{
	struct session *s = arg;

	s->said_all = true;
	leave_if_answered(s);
}

static void
on_drained(void *arg)
{
	struct session *s = arg;

	if (s->starttls) {
		start_tls(s);
	} else if (s->waiting == WAIT_DRAIN) {
		session_go_on(s);
	}
}

static void
on_secured(void *arg)
{
	struct session *s = arg;

	s->secured = true;
	board_add(edge_board(s->edge), BC_TLS_TOTAL, 1);
	deadline(s, s->terms->timeouts.command_ms);
	if (s->tls_at_once)
		on_read(s, span_of("", 0));	/* the greeting */
	else
		smtp_srv_secured(s->srv);
}

static const struct conn_ops ops = {
	.read = on_read, .drained = on_drained, .secured = on_secured, .eof = on_eof,
	.closed = on_closed,
};

/* --- coming and going --------------------------------------------------------------------- */

/* Why a client is not served, what he is told, and where it counts. */
struct away {
	const char	*words, *reply;
	enum board_counter counter;
};
#define TOO_MANY "421 4.7.0 Too many connections; try again later\r\n"
static const struct away
    away_banned = { "banned", "421 4.7.1 " BANNED_TEXT "\r\n", BC_CONNECTIONS_BANNED },
    away_full = { "limits.connections reached", TOO_MANY, BC_CONNECTIONS_REFUSED },
    away_client = { "limits.client_connections reached", TOO_MANY, BC_CONNECTIONS_REFUSED },
    away_memory = { "out of memory", TOO_MANY, BC_CONNECTIONS_REFUSED };

static void
count_away(struct edge *e, const struct netaddr *client, const struct away *why)
{
	board_add(edge_board(e), why->counter, 1);
	log_info(NULL, "smtp.refuse peer=%s: %s", netaddr_ip(client).s, why->words);
}

/* Said without a session, into the empty buffer of a new socket. */
static void
turn_away(struct edge *e, int fd, const struct netaddr *client, const struct away *why)
{
	count_away(e, client, why);
	if (write(fd, why->reply, strlen(why->reply)) == -1)
		log_debug(NULL, "smtp.refuse peer=%s did not wait for the reason",
		    netaddr_ip(client).s);
	close(fd);
}

void
session_sid(char sid[12])
{
	unsigned char rnd[4];

	random_bytes(rnd, sizeof(rnd));
	hex_encode(rnd, sizeof(rnd), sid);
}

/* A session that may begin, and is counted; or NULL and why it may not. */
static struct session *
admit(struct edge *e, const struct netaddr *client, const struct conf_service *service,
    const struct away **why)
{
	const struct conf_edge *conf = edge_conf(e);
	struct session *s = NULL;

	board_add(edge_board(e), BC_CONNECTIONS_TOTAL, 1);
	*why = &away_banned;
	if (bans_service(e, service, client))
		return NULL;
	*why = &away_full;
	if (e->nsessions >= conf->connections)
		return NULL;
	*why = &away_client;
	if (!clients_enter(e->clients, client, conf->connections_client))
		return NULL;
	*why = &away_memory;
	if ((s = calloc(1, sizeof(*s))) != NULL) {
		s->edge = e;
		s->client = *client;
		memcpy(s->service, service->name, sizeof(s->service));
		session_sid(s->sid);
		if ((s->srv = smtp_srv_new(&e->terms->smtp, extensions(s))) != NULL) {
			if (size_most(s) > 0)
				smtp_srv_size_most(s->srv, size_most(s));
			if ((s->tls_at_once = service->auth && conf_service_tls_at_once(service)))
				smtp_srv_in_tls(s->srv);
			return s;
		}
	}
	free(s);
	clients_leave(e->clients, client);
	return NULL;
}

static void
begin(struct session *s)
{
	struct edge *e = s->edge;

	s->terms = e->terms;
	s->terms->refs++;
	s->end.ns = awake_now(e->loop).ns + s->terms->timeouts.session_ms * 1000000;
	s->next = e->sessions;
	if (s->next != NULL)
		s->next->prev = s;
	e->sessions = s;
	e->nsessions++;
	board_add(edge_board(e), BC_CONNECTIONS, 1);
	log_debug(s->sid, "smtp.open peer=%s", netaddr_hostport(&s->client).s);
	if (s->tls_at_once)
		start_tls(s);
	else
		on_read(s, span_of("", 0));	/* the greeting */
}

void
session_accept(struct edge *e, int fd, const struct conf_service *service)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct netaddr client;
	struct session *s;
	struct why why = { "" };
	const struct away *away;

	if (getpeername(fd, (struct sockaddr *)&ss, &len) == -1 ||
	    !netaddr_from_sockaddr((struct sockaddr *)&ss, &client)) {
		close(fd);
		return;
	}
	if ((s = admit(e, &client, service, &away)) == NULL) {
		turn_away(e, fd, &client, away);
		return;
	}
	if ((s->conn = conn_new(e->loop, fd, &ops, s, &why)) == NULL) {	/* fd is gone with it */
		log_warn(s->sid, "smtp.refuse peer=%s: %s", netaddr_ip(&client).s, why.text);
		smtp_srv_free(&s->srv);
		free(s);
		clients_leave(e->clients, &client);
		return;
	}
	begin(s);
}

/* A connection that is only told why. */
static size_t
away_read(void *arg, struct span s)
{
	return s.n;
}

static void
away_closed(void *arg, const struct why *why)
{
}

static const struct conn_ops away_ops = { .read = away_read, .closed = away_closed };

void
session_take(struct edge *e, struct conn *conn, const struct netaddr *client,
    const struct netaddr *dest, const struct conf_service *service)
{
	const struct away *away;
	struct session *s = admit(e, client, service, &away);

	if (s == NULL) {
		count_away(e, client, away);
		conn_own(conn, &away_ops, NULL);
		conn_write(conn, away->reply, strlen(away->reply));
		conn_close(conn);
		return;
	}
	s->conn = conn;
	s->dest = *dest;
	conn_own(conn, &ops, s);
	begin(s);
	conn_resume(conn);
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
	struct smtp_reply r = smtp_reply(421, 4, detail >> 4, detail & 15, "%s %s",
	    s->terms->hostname, text);

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
		if (!s->closing && !shaking(s) && s->waiting == WAIT_NOTHING &&
		    smtp_srv_idle(s->srv))
			shut(s, 0x32, "Service is restarting, try again");
	}
}

static bool
is_banned(const struct session *s, const struct home *h)
{
	bool its = s->user_home == h || (s->txn != NULL && s->txn->home == h);

	if (its && bans_home(h, &s->client))
		return true;
	return bans_service(s->edge, session_service(s), &s->client);
}

void
sessions_banned(struct edge *e, const struct home *h)
{
	for (struct session *s = e->sessions, *next; s != NULL; s = next) {
		next = s->next;
		if (s->closing || s->banned || !is_banned(s, h))
			continue;
		s->banned = true;
		board_add(edge_board(e), BC_CONNECTIONS_BANNED, 1);
		log_info(s->sid, "smtp.banned peer=%s home=%s", netaddr_ip(&s->client).s, h->name);
		if (s->waiting == WAIT_SPOOL || s->waiting == WAIT_VERDICT)
			continue;		/* session_go_on ends it */
		if (s->waiting == WAIT_DRAIN || shaking(s))
			conn_abort(s->conn);
		else
			shut(s, 0x71, BANNED_TEXT);
	}
}
