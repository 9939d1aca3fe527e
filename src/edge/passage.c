#include "edge/passage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "edge/bans.h"
#include "edge/passage_in.h"
#include "edge/session.h"
#include "net/awake.h"
#include "proto/proxy_header.h"

static const struct conn_ops conn_ops;

static void	count(struct edge *, const char *service, enum board_refusal, bool held);

/* --- the end of things ----------------------------------------------------------------------- */

static void
leave_home(struct edge *e, struct home *h)
{
	h->streams--;
	/* Not at the first that goes: at the limit they come and go, and each would be said. */
	if (!h->full || h->streams > road_share(e) / 2)
		return;
	h->full = false;
	log_info(NULL, "home.room home=%s streams=%zu", h->name, h->streams);
}

static void
passage_forget(struct passage *p)
{
	struct edge *e = p->edge;

	if (p->home != NULL)
		leave_home(e, p->home);
	if (p->counted)
		clients_leave(e->passed_clients, &p->client);
	if (p->next != NULL)
		p->next->prev = p->prev;
	*p->prev = p->next;
	e->npassages--;
	buf_fini(&p->early);
	client_hello_fini(&p->hello);
	free(p);
}

static void
on_closed(void *arg, const struct why *why)
{
	struct passage *p = arg;

	/* Who says nothing only looked whether we are there; half a header is somebody's fault. */
	if ((p->phase == P_HEADER || p->phase == P_NAME) && p->early.n > 0) {
		enum board_refusal half = p->phase == P_HEADER ? BR_HEADER : BR_NAME;

		count(p->edge, p->service, half, false);
		log_info(p->sid, "pass.refuse service=%s peer=%s why=%s: the connection ended in"
		    " the middle of it", p->service, netaddr_hostport(&p->client).s,
		    board_refusal_names[half]);
	}
	log_debug(p->sid, "pass.gone service=%s peer=%s%s%s", p->service, netaddr_ip(&p->client).s,
	    why != NULL ? ": " : "", why != NULL ? log_safe(span_str(why->text)).s : "");
	passage_forget(p);
}

static void
deadline(struct passage *p, int64_t ms)
{
	p->until.ns = awake_now(p->edge->loop).ns + ms * 1000000;
}

/* --- not passed ------------------------------------------------------------------------------ */

static void
count(struct edge *e, const char *service, enum board_refusal why, bool held)
{
	struct board_passed *b = board_passed(edge_board(e), service);

	if (b == NULL)
		return;
	b->why[why]++;
	if (held)
		b->held++;
	else
		b->refused++;
}

static const char too_bad[] = "421 4.3.2 This server is not available now; try again later\r\n";

/* Whom we know to speak TLS is told in TLS, whom we know to speak SMTP in SMTP. */
static void
last_words(struct passage *p, const struct conf_service *s, enum board_refusal why)
{
	unsigned char record[TLS_ALERT_RECORD_LEN];
	enum tls_alert alert = TLS_ALERT_NONE;
	size_t n;

	if (p->hello.result == CLIENT_HELLO_BAD)
		alert = p->hello.alert;
	else if (p->hello.result != CLIENT_HELLO_MORE)
		alert = why == BR_NAME ? TLS_ALERT_UNRECOGNIZED_NAME : TLS_ALERT_INTERNAL_ERROR;
	else if (why != BR_HEADER && conf_service_smtp(s) && !conf_service_tls_first(s))
		conn_write(p->conn, too_bad, sizeof(too_bad) - 1);
	if ((n = tls_alert_record(alert, record)) > 0)
		conn_write(p->conn, record, n);
}

void
passage_refuse(struct passage *p, const struct conf_service *s, enum board_refusal why,
    const char *words)
{
	count(p->edge, p->service, why, false);
	log_info(p->sid, "pass.refuse service=%s peer=%s why=%s%s%s", p->service,
	    netaddr_hostport(&p->client).s, board_refusal_names[why],
	    words[0] != '\0' ? ": " : "", words);
	last_words(p, s, why);
	p->phase = P_LEAVING;
	deadline(p, CONN_LINGER_MS);
	conn_close(p->conn);
}

/* The connection goes to our own SMTP, which says what is to be said from here on. */
static void
hold(struct passage *p, const struct conf_service *s)
{
	session_take(p->edge, p->conn, &p->client, &p->dest, s);
	passage_forget(p);
}

void
passage_not_passed(struct passage *p, const struct conf_service *s, enum board_refusal why,
    const char *words)
{
	if (road_not_passed(s, why).road == ROAD_REFUSE) {
		passage_refuse(p, s, why, words);
		return;
	}
	if (s->mode == CONF_AUTO) {
		count(p->edge, p->service, why, true);
		log_info(p->sid, "pass.hold service=%s peer=%s why=%s%s%s", p->service,
		    netaddr_hostport(&p->client).s, board_refusal_names[why],
		    words[0] != '\0' ? ": " : "", words);
	}
	hold(p, s);
}

/* --- passed ---------------------------------------------------------------------------------- */

static void
on_passed(struct passage *p)
{
	struct board_passed *b = board_passed(edge_board(p->edge), p->service);

	p->phase = P_OPEN;
	if (b != NULL) {
		b->open++;
		b->total++;
	}
	log_debug(p->sid, "pass.open service=%s home=%s peer=%s", p->service, p->home->name,
	    netaddr_hostport(&p->client).s);
}

static void
on_opened(void *arg)
{
	struct passage *p = arg;

	if (!p->automatic) {
		on_passed(p);
		return;
	}
	p->phase = P_BANNER;
	deadline(p, PASSAGE_BANNER_MS);
}

static void
on_first(void *arg)
{
	struct passage *p = arg;

	if (!p->automatic)
		return;
	on_passed(p);
	splice_read(p->sp);
}

/* False: the client ended meanwhile, and there is nobody to serve. */
static bool
take_back(struct passage *p)
{
	struct conn *conn = splice_part(&p->sp);

	if (conn == NULL)
		return false;
	p->conn = conn;
	conn_own(conn, &conn_ops, p);
	return true;
}

static enum board_refusal
reason(unsigned status)
{
	switch (status) {
	case 0:
		return BR_HOME_DOWN;
	case 200:
		return BR_SILENT;
	case 403:
		return BR_ADDRESS;
	case 404:
	case 502:
	case 503:
		return BR_SERVICE_DOWN;
	default:
		return BR_HOME_REFUSED;
	}
}

static bool
on_nothing(void *arg, unsigned status, const struct why *why)
{
	struct passage *p = arg;
	const struct conf_service *s = conf_edge_service(edge_conf(p->edge), p->service);

	if (p->phase == P_OPEN || s == NULL || !take_back(p))
		return false;
	passage_not_passed(p, s, reason(status), why->text);
	return true;
}

static void
on_spliced_closed(void *arg, const struct why *why)
{
	struct passage *p = arg;
	struct board_passed *b = board_passed(edge_board(p->edge), p->service);

	if (p->phase == P_OPEN && b != NULL)
		b->open--;
	log_info(p->sid, "pass.end service=%s home=%s peer=%s out=%llu in=%llu ms=%lld%s%s",
	    p->service, p->home->name, netaddr_hostport(&p->client).s,
	    (unsigned long long)splice_out(p->sp) + p->front, (unsigned long long)splice_in(p->sp),
	    (long long)instant_ms_since(p->began, instant_now()), why != NULL ? ": " : "",
	    why != NULL ? why->text : "");
	passage_forget(p);
}

static const struct splice_ops splice_ops = {
	.opened = on_opened, .first = on_first, .nothing = on_nothing,
	.closed = on_spliced_closed,
};

/* What goes in front of the client's own words, in the flight of the CONNECT. */
static bool
push_front(struct passage *p)
{
	struct buf header;
	bool good;

	buf_init(&header, PROXY_HEADER_MAX);
	good = proxy_header_write(2, &p->client, &p->dest, &header) &&
	    splice_push(p->sp, buf_span(&header)) && splice_push(p->sp, buf_span(&p->early));
	p->front = p->early.n;
	buf_fini(&header);
	buf_fini(&p->early);
	return good;
}

static void
pass(struct passage *p, const struct conf_service *s, struct home *h)
{
	struct edge *e = p->edge;
	char authority[CONF_NAME_MAX + 8];
	struct h2_head head = { .method = SPAN_LIT("CONNECT") };
	struct h2_stream *stream;

	if ((p->sp = splice_new(&e->splices, p->conn, &splice_ops, p)) == NULL) {
		passage_not_passed(p, s, BR_LIMIT, "out of memory");
		return;
	}
	p->conn = NULL;
	p->home = h;
	h->streams++;
	p->automatic = s->mode == CONF_AUTO;
	p->phase = P_ANSWER;
	deadline(p, edge_conf(e)->connect_ms);
	snprintf(authority, sizeof(authority), "%s:%u", p->service, (unsigned)p->dest.port);
	head.authority = span_str(authority);
	stream = !push_front(p) ? NULL : lanes_request(&h->lanes, LANE_PASS, &head, splice_pull,
	    p->sp, &splice_stream_ops, p->sp);
	if (stream == NULL) {
		if (take_back(p))
			passage_not_passed(p, s, BR_HOME_DOWN, "no tunnel takes one more");
		else
			splice_abort(p->sp, "no tunnel takes one more");
		return;
	}
	splice_join(p->sp, stream);
	if (!p->automatic)
		splice_read(p->sp);
}

/* --- which way ------------------------------------------------------------------------------- */

/* A client that cannot be one: the balancer that named it is whom to look at. */
static void
say_who_named(const struct passage *p, enum board_refusal why, struct why *words)
{
	struct netaddr balancer;

	*words = (struct why){ "" };
	if (why == BR_ADDRESS && conn_peer(p->conn, &balancer) &&
	    !netaddr_same_ip(&balancer, &p->client))
		why_set(words, "so the load balancer %s says", netaddr_ip(&balancer).s);
}

/*
 * What an auto service does with new connections, said when it changes and not for each
 * of them.  Reasons that are the client's own are no news of the service.
 */
static void
note_way(struct edge *e, const struct conf_service *s, const struct road_choice *c)
{
	struct board_passed *b = board_passed(edge_board(e), s->name);
	int holding = c->road == ROAD_HOLD ? 1 + (int)c->why : 0;

	/* Among several homes each has a way of its own. */
	if (s->mode != CONF_AUTO || c->road == ROAD_NAME || b == NULL || b->holding == holding ||
	    (holding != 0 && c->why != BR_NO_HOME && c->why != BR_HOME_DOWN &&
	    c->why != BR_SERVICE_DOWN && c->why != BR_NAME))
		return;
	if (holding != 0)
		log_info(NULL, "service.hold service=%s why=%s", s->name,
		    board_refusal_names[c->why]);
	else
		log_info(NULL, "service.pass service=%s home=%s", s->name, c->home->name);
	b->holding = holding;
}

static void
note_full(struct edge *e, const struct road_choice *c)
{
	if (c->road == ROAD_PASS || c->home == NULL || c->home->full)
		return;
	c->home->full = true;
	log_warn(NULL, "home.full home=%s streams=%zu most=%zu: its new connections are held or "
	    "closed; the others keep their share (limits.streams_home)", c->home->name,
	    c->home->streams, road_share(e));
}

void
passage_go(struct passage *p, const char *name)
{
	struct edge *e = p->edge;
	const struct conf_edge *conf = edge_conf(e);
	const struct conf_service *s = conf_edge_service(conf, p->service);
	struct road_choice c;
	struct why words;

	if (s == NULL) {		/* a reload took it away */
		p->phase = P_LEAVING;
		conn_close(p->conn);
		return;
	}
	c = road_choose(e, s, &p->client, name);
	if (name == NULL)
		note_way(e, s, &c);
	note_full(e, &c);
	if (!p->counted && (c.road == ROAD_PASS || c.road == ROAD_NAME)) {
		p->counted = clients_enter(e->passed_clients, &p->client, conf->streams_client);
		if (!p->counted)
			c = road_not_passed(s, BR_CLIENT_LIMIT);
	}
	switch (c.road) {
	case ROAD_HOLD:
	case ROAD_REFUSE:
		say_who_named(p, c.why, &words);
		passage_not_passed(p, s, c.why, words.text);
		break;
	case ROAD_PASS:
		pass(p, s, c.home);
		break;
	case ROAD_NAME:
		p->phase = P_NAME;
		deadline(p, conf->timeouts.handshake_ms);
		conn_resume(p->conn);
		break;
	}
}

/* --- coming ---------------------------------------------------------------------------------- */

static const struct conn_ops conn_ops = { .read = passage_read, .closed = on_closed };

static bool
both_ends(int fd, struct netaddr *peer, struct netaddr *local)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	if (getpeername(fd, (struct sockaddr *)&ss, &n) == -1 ||
	    !netaddr_from_sockaddr((struct sockaddr *)&ss, peer))
		return false;
	n = sizeof(ss);
	return getsockname(fd, (struct sockaddr *)&ss, &n) == 0 &&
	    netaddr_from_sockaddr((struct sockaddr *)&ss, local);
}

/* Known before it was looked at: our own SMTP has it at once. */
static bool
held_at_once(struct edge *e, int fd, const struct conf_service *s, const struct netaddr *peer)
{
	struct road_choice c = road_choose(e, s, peer, NULL);

	note_way(e, s, &c);
	if (c.road != ROAD_HOLD)
		return false;
	note_full(e, &c);
	if (s->mode == CONF_AUTO) {
		count(e, s->name, c.why, true);
		log_debug(NULL, "pass.hold service=%s peer=%s why=%s", s->name,
		    netaddr_hostport(peer).s, board_refusal_names[c.why]);
	}
	session_accept(e, fd, s);
	return true;
}

/* Beyond limits.streams: nothing is taken into hand for it. */
static void
too_many(struct edge *e, int fd, const struct conf_service *s, const struct netaddr *peer)
{
	bool held = s->mode != CONF_PASS && !road_from_balancer(s, peer);

	count(e, s->name, BR_LIMIT, held);
	log_info(NULL, "pass.%s service=%s peer=%s why=%s", held ? "hold" : "refuse", s->name,
	    netaddr_hostport(peer).s, board_refusal_names[BR_LIMIT]);
	if (held) {
		session_accept(e, fd, s);
		return;
	}
	if (conf_service_smtp(s) && !conf_service_tls_first(s) &&
	    write(fd, too_bad, sizeof(too_bad) - 1) == -1)
		log_debug(NULL, "pass.refuse peer=%s did not wait for the reason",
		    netaddr_ip(peer).s);
	close(fd);
}

void
passage_accept(struct edge *e, int fd, const struct conf_service *s)
{
	struct netaddr peer, local;
	struct passage *p = NULL;
	struct why why = { "" };

	if (!both_ends(fd, &peer, &local)) {
		close(fd);
		return;
	}
	if (!road_from_balancer(s, &peer) && held_at_once(e, fd, s, &peer))
		return;
	if (e->npassages >= edge_conf(e)->streams || (p = calloc(1, sizeof(*p))) == NULL) {
		too_many(e, fd, s, &peer);
		return;
	}
	p->edge = e;
	p->client = peer;
	p->dest = local;
	p->began = instant_now();
	memcpy(p->service, s->name, sizeof(p->service));
	session_sid(p->sid);
	buf_init(&p->early, PASSAGE_EARLY);
	client_hello_init(&p->hello);
	if ((p->conn = conn_new(e->loop, fd, &conn_ops, p, &why)) == NULL) {
		log_warn(p->sid, "pass.refuse service=%s peer=%s: %s", s->name,
		    netaddr_ip(&peer).s, why.text);
		free(p);
		return;
	}
	if ((p->next = e->passages) != NULL)
		p->next->prev = &p->next;
	p->prev = &e->passages;
	e->passages = p;
	e->npassages++;
	if (road_from_balancer(s, &peer))
		deadline(p, edge_conf(e)->timeouts.handshake_ms);	/* P_HEADER */
	else
		passage_go(p, NULL);
}

/* --- time ------------------------------------------------------------------------------------ */

static void
late(struct passage *p)
{
	const struct conf_service *s = conf_edge_service(edge_conf(p->edge), p->service);

	if (p->phase == P_LEAVING || s == NULL) {
		if (p->conn != NULL)
			conn_abort(p->conn);
		else
			splice_abort(p->sp, "its service was taken away");
		return;
	}
	if (p->phase == P_ANSWER)
		lanes_doubt(&p->home->lanes, edge_conf(p->edge)->connect_ms);
	if (p->phase == P_HEADER)
		passage_refuse(p, s, BR_HEADER, "it did not come in time");
	else if (p->phase == P_NAME)
		passage_refuse(p, s, BR_NAME, "the ClientHello did not come in time");
	else if (take_back(p))
		passage_not_passed(p, s, BR_LATE, p->phase == P_ANSWER ?
		    "home did not answer in time" : "the backend did not speak in time");
	else
		splice_abort(p->sp, "nobody spoke in time");
}

void
passages_sweep(struct edge *e)
{
	struct instant now = awake_now(e->loop);

	for (struct passage *p = e->passages, *next; p != NULL; p = next) {
		next = p->next;
		if (p->phase != P_OPEN && p->until.ns <= now.ns)
			late(p);
	}
	splices_sweep(&e->splices);
}

void
passages_drain(struct edge *e)
{
	for (struct passage *p = e->passages, *next; p != NULL; p = next) {
		next = p->next;
		if (p->phase == P_HEADER || p->phase == P_NAME) {
			p->phase = P_LEAVING;
			conn_close(p->conn);
		}
	}
}

void
passages_cut(struct edge *e)
{
	for (struct passage *p = e->passages, *next; p != NULL; p = next) {
		next = p->next;
		if (p->sp != NULL)
			splice_abort(p->sp, "this edge goes down");
		else
			conn_abort(p->conn);
	}
}

void
passages_banned(struct edge *e, const struct home *h)
{
	for (struct passage *p = e->passages, *next; p != NULL; p = next) {
		next = p->next;
		if (p->sp == NULL || p->home != h || !bans_home(h, &p->client))
			continue;
		board_add(edge_board(e), BC_CONNECTIONS_BANNED, 1);
		splice_abort(p->sp, "banned");
	}
}

void
passages_limits(struct edge *e)
{
	const struct conf_edge *conf = edge_conf(e);

	e->splices.idle_ms = conf->passed_idle_ms;
	e->splices.total_ms = conf->passed_total_ms;
	e->splices.held_max = conf->passed_memory;
}
