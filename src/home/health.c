#include "home/health.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "home/backend.h"
#include "home/interlock.h"
#include "net/awake.h"
#include "net/listener.h"

struct health {
	struct tunnel_proc *tunnel;
	void		(*changed)(void *);
	void		*arg;
	struct service	*list[CONF_SERVICES_MAX];
	size_t		 n;
};

struct check {				/* one look at a backend; its service may go before it */
	struct service	*service;	/* NULL: its word is not asked for any more */
	struct backend_call *call;
	struct conn	*conn;
	uv_timer_t	 patience;	/* for the greeting */
	struct instant	 due;
	char		 said[16];
	size_t		 nsaid;
};

/* --- what is known ------------------------------------------------------------------------ */

/* A mail server is closed until it has been tried with what it must refuse (DESIGN 6). */
const char *
service_closed(const struct service *s)
{
	if (s->health == NULL)
		return "it left the configuration";
	if (!s->listened)
		return "not yet tested";
	return interlock_closed(s->health->tunnel->interlock, s);
}

bool
service_up(const struct service *s)
{
	return s->state == SERVICE_ANSWERS && service_closed(s) == NULL;
}

static struct board_service *
shown(struct service *s)
{
	return &s->health->tunnel->proc->board->service[s->row];
}

static void
show(struct service *s)
{
	struct board_service *b = shown(s);
	const char *closed = service_closed(s);

	span_copy(span_str(s->conf.name), b->name, sizeof(b->name));
	span_copy(span_str(netaddr_hostport(&s->conf.backend).s), b->backend, sizeof(b->backend));
	span_copy(span_str(s->state == SERVICE_DOWN ? s->why : closed != NULL ? closed : ""),
	    b->why, sizeof(b->why));
	b->up = service_up(s);
	b->streams = s->streams;
}

/* Says what has become of a service that was up or not before. */
static void
tell(struct service *s, bool was_up)
{
	struct health *h = s->health;
	bool up = service_up(s);

	show(s);
	if (up == was_up)
		return;
	if (up)
		log_info(NULL, "service.up service=%s backend=%s", s->conf.name,
		    netaddr_hostport(&s->conf.backend).s);
	else
		log_warn(NULL, "service.down service=%s backend=%s: %s", s->conf.name,
		    netaddr_hostport(&s->conf.backend).s,
		    s->state == SERVICE_DOWN ? s->why : service_closed(s));
	h->changed(h->arg);
}

static void
note_down(struct service *s, const char *why)
{
	bool was_up = service_up(s);

	if (s->state != SERVICE_DOWN && !was_up)
		log_warn(NULL, "service.down service=%s backend=%s: %s", s->conf.name,
		    netaddr_hostport(&s->conf.backend).s, why);
	s->state = SERVICE_DOWN;
	interlock_away(s->health->tunnel->interlock, s);
	span_copy(span_str(why), s->why, sizeof(s->why));
	tell(s, was_up);
}

/*
 * The rule of the configuration, for a mail server that it could not know for one: the
 * interlock tries some private addresses, and a server may trust the others.
 */
static void
strangers_only(struct service *s)
{
	if (!s->conf.allow_private)
		return;
	s->conf.allow_private = false;
	log_warn(NULL, "service.strangers_only service=%s: allow_private does not count for a "
	    "mail server, which may relay for private networks; take it away", s->conf.name);
}

/* The kernel would name a listener of ours at every address for a backend elsewhere, too. */
static bool
on_this_machine(const struct conn *conn)
{
	struct netaddr from, to;

	return conn_local(conn, &from) && conn_peer(conn, &to) &&
	    (netaddr_is_loopback(&to) || netaddr_same_ip(&from, &to));
}

/* False: another server than before listens there now, which has proved nothing. */
static bool
same_listener(struct service *s)
{
	uint64_t now = listener_at(&s->conf.backend), before = s->listener;
	bool was_up = service_up(s);

	if (now == 0 || now == before)
		return true;
	s->listener = now;
	if (before == 0)
		return true;
	log_info(NULL, "service.anew service=%s backend=%s: its server was started again",
	    s->conf.name, netaddr_hostport(&s->conf.backend).s);
	interlock_away(s->health->tunnel->interlock, s);
	tell(s, was_up);
	return false;
}

static void
note_smtp(struct service *s, const char *how)
{
	bool was_up = service_up(s);

	if (s->smtp)
		return;
	s->smtp = true;
	strangers_only(s);
	log_info(NULL, "service.smtp service=%s: %s, so it is a mail server", s->conf.name, how);
	if (s->health != NULL)
		tell(s, was_up);
}

/* --- one check ---------------------------------------------------------------------------- */

static void	check_begin(struct service *);

static void
on_time(uv_timer_t *timer)
{
	check_begin(timer->data);
}

static void
next_check(struct service *s, uint64_t ms)
{
	uv_timer_start(&s->timer, on_time, ms, 0);
}

static void
on_check_freed(uv_handle_t *patience)
{
	free(patience->data);
}

/* The last of it: no callback of backend or connection can come any more. */
static void
check_free(struct check *c)
{
	if (c->service != NULL)
		c->service->check = NULL;
	uv_close((uv_handle_t *)&c->patience, on_check_freed);
}

/* The service has its answer (NULL: a good one), or goes; the connection closes by itself. */
static void
check_end(struct check *c, const char *why)
{
	struct service *s = c->service;

	c->service = NULL;
	uv_timer_stop(&c->patience);
	if (c->conn != NULL)
		conn_close(c->conn);
	if (s == NULL)
		return;
	s->check = NULL;
	if (why != NULL) {
		note_down(s, why);
	} else {
		bool was_up = service_up(s);

		s->listened = true;
		s->state = SERVICE_ANSWERS;
		tell(s, was_up);
	}
	next_check(s, s->state == SERVICE_ANSWERS ? HEALTH_CHECK_MS : HEALTH_DOWN_MS);
}

static bool
said(const struct check *c, const char *word)
{
	return c->nsaid >= strlen(word) && memcmp(c->said, word, strlen(word)) == 0;
}

/*
 * A server that lets the client speak first has taken our PROXY header for him, if it
 * answers: 0x15 0x03 is an alert of TLS, HTTP/ a reply to a bad request.
 */
static bool
misunderstood(const struct check *c)
{
	return c->service->conf.proxy != CONF_PROXY_NONE && (said(c, "\025\003") ||
	    said(c, "HTTP/"));
}

static size_t
on_read(void *arg, struct span in)
{
	struct check *c = arg;
	size_t n = sizeof(c->said) - c->nsaid < in.n ? sizeof(c->said) - c->nsaid : in.n;

	if (c->service == NULL)
		return in.n;
	memcpy(c->said + c->nsaid, in.p, n);
	c->nsaid += n;
	if (c->nsaid < 5)
		return in.n;
	if (said(c, "220")) {
		service_greeted(c->service);
		conn_write(c->conn, "QUIT\r\n", 6);	/* as its log would have it */
	}
	check_end(c, misunderstood(c) ? "the backend takes the PROXY header for its client's "
	    "words: let it expect the header from this machine" : NULL);
	return in.n;
}

static void
on_closed(void *arg, const struct why *why)
{
	struct check *c = arg;

	c->conn = NULL;
	check_end(c, c->service == NULL || c->service->conf.proxy == CONF_PROXY_NONE
	    ? "the backend closes at once"
	    : "the backend closes at once: does it expect that version of the PROXY header, "
	      "from this machine?");
	check_free(c);
}

static const struct conn_ops ops = { .read = on_read, .closed = on_closed };

static void
on_patience(uv_timer_t *patience)
{
	struct check *c = patience->data;

	if (!awake_over(patience, on_patience, c->due))
		return;
	check_end(c, NULL);	/* the client is to speak first */
}

static void
on_opened(void *arg, struct conn *conn, const struct why *why)
{
	struct check *c = arg;

	c->call = NULL;
	c->conn = conn;
	if (conn == NULL) {
		check_end(c, why->text);
		check_free(c);
		return;
	}
	if (on_this_machine(conn))
		(void)same_listener(c->service);
	awake_timer(&c->patience, on_patience, HEALTH_GREETING_MS, &c->due);
}

static void
check_begin(struct service *s)
{
	struct tunnel_proc *t = s->health->tunnel;
	struct check *c;
	struct why why;

	uv_timer_stop(&s->timer);
	if (s->check != NULL)
		return;			/* its end starts the next */
	s->checked_ms = uv_now(t->loop);
	if ((c = calloc(1, sizeof(*c))) == NULL) {
		note_down(s, "memory is out");
		next_check(s, HEALTH_DOWN_MS);
		return;
	}
	c->service = s;
	s->check = c;
	uv_timer_init(t->loop, &c->patience);
	c->patience.data = c;
	c->call = backend_open_self(t, &s->conf, &ops, on_opened, c, &why);
	if (c->call == NULL) {
		check_end(c, why.text);
		check_free(c);
	}
}

/* The answer is not wanted any more. */
static void
check_drop(struct service *s)
{
	struct check *c = s->check;

	if (c == NULL)
		return;
	s->check = NULL;
	c->service = NULL;
	uv_timer_stop(&c->patience);
	if (c->conn != NULL) {
		conn_close(c->conn);	/* its closed frees the check */
		return;
	}
	backend_cancel(&c->call);
	check_free(c);
}

/* --- services ----------------------------------------------------------------------------- */

static void
on_service_freed(uv_handle_t *timer)
{
	free(timer->data);
}

/* Out of the list; what is open to it goes on, and holds it until then. */
static void
service_drop(struct service *s)
{
	memset(&s->health->tunnel->proc->board->service[s->row], 0, sizeof(struct board_service));
	check_drop(s);
	uv_timer_stop(&s->timer);
	s->health = NULL;
	if (s->streams == 0)
		uv_close((uv_handle_t *)&s->timer, on_service_freed);
}

static struct service *
service_new(struct health *h, const struct conf_home_service *conf)
{
	struct service *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->health = h;
	s->conf = *conf;
	uv_timer_init(h->tunnel->loop, &s->timer);
	s->timer.data = s;
	return s;
}

/* Nothing is known of its backend but what its name and port say. */
static void
service_forget(struct service *s)
{
	check_drop(s);
	s->state = SERVICE_UNTESTED;
	s->listened = false;
	s->listener = 0;
	s->smtp = conf_smtp_name(s->conf.name) || conf_smtp_port(s->conf.backend.port);
	s->why[0] = '\0';
	next_check(s, 0);
}

bool
service_enter(struct service *s, struct why *why)
{
	const char *closed = service_closed(s);

	if (closed != NULL) {
		why_set(why, "%s", closed);
		return false;
	}
	if (s->streams >= s->conf.streams) {
		why_set(why, "its limit of %u streams is reached", s->streams);
		return false;
	}
	shown(s)->streams = ++s->streams;
	return true;
}

void
service_leave(struct service *s)
{
	s->streams--;
	if (s->health != NULL)
		shown(s)->streams = s->streams;
	else if (s->streams == 0)
		uv_close((uv_handle_t *)&s->timer, on_service_freed);
}

bool
service_reached(struct service *s)
{
	bool was_up = service_up(s), same;

	if (s->health == NULL)
		return true;
	same = s->listener == 0 || same_listener(s);
	if (s->state != SERVICE_ANSWERS) {
		s->state = SERVICE_ANSWERS;
		tell(s, was_up);
	}
	if (s->check == NULL)
		next_check(s, HEALTH_CHECK_MS);
	return same || service_closed(s) == NULL;
}

void
service_unreachable(struct service *s, const char *why)
{
	uint64_t since;

	if (s->health == NULL)
		return;
	note_down(s, why);
	since = uv_now(s->health->tunnel->loop) - s->checked_ms;
	next_check(s, since < HEALTH_AGAIN_MS ? HEALTH_AGAIN_MS - since : 0);
}

void
service_greeted(struct service *s)
{
	note_smtp(s, "its backend greets like one");
}

void
service_port(struct service *s, uint16_t port)
{
	if (conf_smtp_port(port))
		note_smtp(s, "an edge offers it at a port of mail");
}

/* --- all of them -------------------------------------------------------------------------- */

struct health *
health_new(struct tunnel_proc *t, void (*changed)(void *), void *arg)
{
	struct health *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	h->tunnel = t;
	h->changed = changed;
	h->arg = arg;
	return h;
}

/* The service of that name out of the old list. */
static struct service *
take(struct service **old, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (old[i] != NULL && strcmp(old[i]->conf.name, name) == 0) {
			struct service *s = old[i];

			old[i] = NULL;
			return s;
		}
	return NULL;
}

void
health_configure(struct health *h, const struct conf_home *conf)
{
	struct service *old[CONF_SERVICES_MAX];
	size_t nold = h->n;

	memcpy(old, h->list, sizeof(old));
	h->n = 0;
	for (size_t i = 0; i < conf->nservices; i++) {
		const struct conf_home_service *c = &conf->services[i];
		struct service *s;
		bool same;

		if (c->nlisten > 0)
			continue;	/* service "push" passes nothing */
		s = take(old, nold, c->name);
		same = s != NULL && s->conf.proxy == c->proxy &&
		    s->conf.backend.port == c->backend.port &&
		    netaddr_same_ip(&s->conf.backend, &c->backend);
		if (s == NULL && (s = service_new(h, c)) == NULL) {
			log_error(NULL, "service.lost service=%s: memory is out", c->name);
			continue;
		}
		s->conf = *c;
		if (!same)
			service_forget(s);
		if (s->smtp)
			strangers_only(s);
		h->list[h->n++] = s;
	}
	for (size_t i = 0; i < nold; i++)
		if (old[i] != NULL)
			service_drop(old[i]);
	memset(h->tunnel->proc->board->service, 0, sizeof(h->tunnel->proc->board->service));
	for (size_t i = 0; i < h->n; i++) {
		h->list[i]->row = (unsigned)i;
		show(h->list[i]);
	}
	h->changed(h->arg);
}

void
health_interlock(struct health *h)
{
	for (size_t i = 0; i < h->n; i++)
		show(h->list[i]);
	h->changed(h->arg);
}

size_t
health_count(const struct health *h)
{
	return h->n;
}

struct service *
health_at(const struct health *h, size_t i)
{
	return h->list[i];
}

struct service *
health_find(const struct health *h, struct span name)
{
	for (size_t i = 0; i < h->n; i++)
		if (span_eq(name, span_str(h->list[i]->conf.name)))
			return h->list[i];
	return NULL;
}

void
health_free(struct health **hp)
{
	struct health *h = *hp;

	*hp = NULL;
	if (h == NULL)
		return;
	for (size_t i = 0; i < h->n; i++)
		service_drop(h->list[i]);
	free(h);
}
