#include "herald/letter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/conn.h"
#include "net/tls.h"
#include "proto/smtp_client.h"

#define CONNECT_MS	30000
#define TLS_FIRST_PORT	465

struct letter {
	uv_loop_t	*loop;
	const struct conf_alarms *conf;
	char		 host[256];
	uint16_t	 port;
	struct smtp_cli_conf cli_conf;
	struct smtp_cli	*cli;
	struct conn	*conn;		/* NULL: being dialled, or gone */
	SSL_CTX		*tls;
	struct envelope	*env;
	struct address	 from, to;
	struct smtp_cli_rcpt rcpt;
	struct smtp_cli_mail mail;
	struct span	 rest;		/* of the message */
	bool		 sending, sent, ended;
	uv_timer_t	 timer;
	char		 error[200];	/* what is told; "" it was taken */
	letter_done_fn	*done;
	void		*arg;
};

static void	pump(struct letter *);

/* --- its end -------------------------------------------------------------------------------- */

static void
on_timer_closed(uv_handle_t *h)
{
	struct letter *l = h->data;
	letter_done_fn *done = l->done;
	void *arg = l->arg;
	char error[sizeof(l->error)];

	memcpy(error, l->error, sizeof(error));
	smtp_cli_free(&l->cli);
	envelope_free(&l->env);
	SSL_CTX_free(l->tls);
	free(l);
	done(arg, error);
}

static void
end(struct letter *l, const char *words)
{
	if (!l->sent && l->error[0] == '\0')
		snprintf(l->error, sizeof(l->error), "%s", words[0] != '\0' ? words :
		    "it ended the connection");
	if (!uv_is_closing((uv_handle_t *)&l->timer))
		uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}

static void
on_closed(void *arg, const struct why *why)
{
	struct letter *l = arg;

	l->conn = NULL;
	if (!l->ended) {
		smtp_cli_lost(l->cli, why != NULL ? why->text : "given up");
		pump(l);
	}
	end(l, why != NULL ? why->text : "");
}

static void
on_late(uv_timer_t *timer)
{
	struct letter *l = timer->data;

	if (l->error[0] == '\0' && !l->sent)
		snprintf(l->error, sizeof(l->error), "it took longer than %d s",
		    LETTER_WAIT_MS / 1000);
	if (l->conn != NULL)
		conn_abort(l->conn);
}

/* --- what is said --------------------------------------------------------------------------- */

static void
flush(struct letter *l)
{
	struct span out;

	while (l->conn != NULL && (out = smtp_cli_out(l->cli)).n > 0) {
		conn_write(l->conn, out.p, out.n);
		smtp_cli_out_used(l->cli, out.n);
	}
}

static void
secure(struct letter *l)
{
	struct why why = { "" };

	flush(l);
	if (conn_tls(l->conn, l->tls, false, &why) == -1) {
		snprintf(l->error, sizeof(l->error), "%.190s", why.text);
		conn_abort(l->conn);
	}
}

/* A notice is smaller than what the machine's buffer takes: it goes at once. */
static void
say_content(struct letter *l)
{
	while (l->sending && l->conn != NULL && !l->ended) {
		if (l->rest.n > 0)
			l->rest = span_from(l->rest, smtp_cli_body(l->cli, l->rest.p, l->rest.n));
		else
			l->sending = !smtp_cli_end(l->cli);
		flush(l);
	}
}

static void
judge(struct letter *l)
{
	char reply[160];

	snprintf(reply, sizeof(reply), "%u %.140s", (unsigned)l->rcpt.reply.code,
	    l->rcpt.reply.text);
	l->sent = l->rcpt.result == SMTP_CLI_DELIVERED;
	if (l->rcpt.result == SMTP_CLI_UNCERTAIN)
		snprintf(l->error, sizeof(l->error), "no answer to the whole message: it may "
		    "come twice");
	else if (!l->sent && l->error[0] == '\0')
		snprintf(l->error, sizeof(l->error), "%s", reply);
}

static void
on_event(struct letter *l, enum smtp_cli_ev ev)
{
	switch (ev) {
	case SMTP_CLI_NONE:
		break;
	case SMTP_CLI_STARTTLS:
		secure(l);
		break;
	case SMTP_CLI_READY:
		if (l->mail.rcpts == NULL) {
			l->mail = (struct smtp_cli_mail){ .env = l->env, .rcpts = &l->rcpt,
				.nrcpts = 1, .size = l->rest.n };
			(void)smtp_cli_mail(l->cli, &l->mail);
		} else {
			smtp_cli_quit(l->cli);
		}
		break;
	case SMTP_CLI_CONTENT:
		l->sending = true;
		break;
	case SMTP_CLI_DONE:
		l->sending = false;
		judge(l);
		break;
	case SMTP_CLI_CLOSE:
		l->ended = true;
		if (!l->sent && l->error[0] == '\0')
			snprintf(l->error, sizeof(l->error), "%.190s", smtp_cli_why(l->cli));
		break;
	}
}

static void
pump(struct letter *l)
{
	enum smtp_cli_ev ev;

	do {
		(void)smtp_cli_step(l->cli, "", 0, &ev);
		on_event(l, ev);
		flush(l);
		say_content(l);
	} while (ev != SMTP_CLI_NONE);
	if (l->conn != NULL && l->ended)
		conn_close(l->conn);
}

static size_t
on_read(void *arg, struct span in)
{
	struct letter *l = arg;
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
on_secured(void *arg)
{
	struct letter *l = arg;

	/* With TLS first the machine has not begun: it waits for the greeting. */
	if (l->port != TLS_FIRST_PORT)
		smtp_cli_secured(l->cli);
	pump(l);
}

static const struct conn_ops ops = { .read = on_read, .secured = on_secured, .closed = on_closed };

/* --- its beginning -------------------------------------------------------------------------- */

static void
on_dialled(void *arg, int fd, const struct why *why)
{
	struct letter *l = arg;
	struct why words = { "" };

	if (fd == -1) {
		end(l, why->text);
		return;
	}
	if ((l->conn = conn_new(l->loop, fd, &ops, l, &words)) == NULL)
		end(l, words.text);
	else if (l->port == TLS_FIRST_PORT)
		secure(l);
}

static void
on_resolved(void *arg, const struct netaddr *addrs, size_t n, const struct why *why)
{
	struct letter *l = arg;
	struct why words = { "" };

	if (n == 0) {
		why_set(&words, "its address is not to be found: %.150s",
		    why != NULL ? why->text : "no answer");
		end(l, words.text);
	} else if (conn_dial(l->loop, &addrs[0], CONNECT_MS, on_dialled, l, &words) == -1) {
		end(l, words.text);
	}
}

static bool
address(const char *text, struct address *out)
{
	char path[340];

	snprintf(path, sizeof(path), "<%s>", text);
	return address_parse_path(span_str(path), ADDRESS_FORWARD, false, out) > 0;
}

/* Who is asked for what, and the machine that does it.  -1 with why. */
static int
prepare(struct letter *l, const char *helo, const char *password, struct why *why)
{
	static const enum smtp_cli_tls tls[] = {
		[CONF_TLS_AUTO] = SMTP_CLI_TLS_OFFERED, [CONF_TLS_OFF] = SMTP_CLI_TLS_NEVER,
		[CONF_TLS_REQUIRE] = SMTP_CLI_TLS_ALWAYS, [CONF_TLS_VERIFY] = SMTP_CLI_TLS_ALWAYS,
	};
	const struct conf_alarms *a = l->conf;
	const char *from = a->from[0] != '\0' ? a->from : a->mail;
	bool first;
	struct netaddr literal;
	const char *colon = strrchr(a->relay, ':');
	unsigned long long port = 0;

	if (netaddr_parse(span_str(a->relay), &literal)) {
		l->port = literal.port;
		snprintf(l->host, sizeof(l->host), "%s", netaddr_ip(&literal).s);
	} else if (colon != NULL && span_u64(span_str(colon + 1), 65535, &port)) {
		l->port = (uint16_t)port;
		(void)span_copy(span_of(a->relay, (size_t)(colon - a->relay)), l->host,
		    sizeof(l->host));
	}
	if (l->port == 0)
		return why_set(why, "no relay is configured any more");
	first = l->port == TLS_FIRST_PORT;
	l->cli_conf = (struct smtp_cli_conf){ .local = first || conf_local_host(a->relay),
		.tls = first ? SMTP_CLI_TLS_NEVER : tls[a->tls], .helo = helo, .user = a->user,
		.password = password };
	l->tls = a->tls == CONF_TLS_VERIFY ? tls_verify_new(l->host, "", why) : tls_any_new(why);
	if (l->tls == NULL)
		return -1;
	if (!address(from, &l->from) || !address(a->mail, &l->to))
		return why_set(why, "alarms.mail or alarms.from is no address");
	l->rcpt = (struct smtp_cli_rcpt){ .addr = &l->to, .params = "" };
	if ((l->env = envelope_new()) == NULL ||
	    !envelope_set_from(l->env, &l->from, span_of("", 0)) ||
	    (l->cli = smtp_cli_new(&l->cli_conf)) == NULL)
		return why_set(why, "memory is out");
	return 0;
}

void
letter_send(uv_loop_t *loop, struct resolver *resolver, const struct conf_alarms *conf,
    const char *helo, const char *password, struct span message, letter_done_fn *done, void *arg)
{
	struct letter *l = calloc(1, sizeof(*l));
	struct why why = { "" };

	if (l == NULL) {
		done(arg, "memory is out");
		return;
	}
	*l = (struct letter){ .loop = loop, .conf = conf, .rest = message, .done = done,
		.arg = arg };
	uv_timer_init(loop, &l->timer);
	l->timer.data = l;
	if (prepare(l, helo, password, &why) == -1) {
		end(l, why.text);
		return;
	}
	uv_timer_start(&l->timer, on_late, LETTER_WAIT_MS, 0);
	resolve_host(resolver, l->host, l->port, on_resolved, l);
}
