#include "herald/letter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/awake.h"
#include "net/smtp_wire.h"
#include "net/tls.h"

#define CONNECT_MS	15000		/* for each of its addresses */

struct letter {
	uv_loop_t	*loop;
	const struct conf_alarms *conf;
	char		 host[256];
	uint16_t	 port;
	struct smtp_cli_conf cli_conf;
	struct smtp_cli	*cli;
	struct smtp_wire wire;
	SSL_CTX		*tls;
	struct envelope	*env;
	struct address	 from, to;
	struct smtp_cli_rcpt rcpt;
	struct smtp_cli_mail mail;
	struct span	 rest;		/* of the message */
	bool		 sending, sent;
	uv_timer_t	 timer;
	struct instant	 due;
	char		 error[200];	/* what is told; "" it was taken */
	letter_done_fn	*done;
	void		*arg;
};

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

/* What was said first counts: what follows is the end that it led to. */
static void
failed(struct letter *l, const char *words)
{
	if (!l->sent && l->error[0] == '\0')
		snprintf(l->error, sizeof(l->error), "%.190s", words[0] != '\0' ? words :
		    "it ended the connection");
}

static void
on_gone(void *arg, const char *words)
{
	struct letter *l = arg;

	failed(l, words);
	uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}

static void
on_late(uv_timer_t *timer)
{
	struct letter *l = timer->data;
	char words[60];

	if (!awake_over(timer, on_late, l->due))
		return;
	snprintf(words, sizeof(words), "it took longer than %d s", LETTER_WAIT_MS / 1000);
	smtp_wire_give_up(&l->wire, words);
	failed(l, words);
}

/* --- what is said --------------------------------------------------------------------------- */

/* A notice is smaller than what the machine's buffer takes: it goes at once. */
static void
say_content(void *arg)
{
	struct letter *l = arg;

	while (l->sending && !l->wire.ended) {
		if (l->rest.n > 0)
			l->rest = span_from(l->rest, smtp_cli_body(l->cli, l->rest.p, l->rest.n));
		else
			l->sending = !smtp_cli_end(l->cli);
		smtp_wire_flush(&l->wire);
	}
}

static void
judge(struct letter *l)
{
	char reply[160];

	snprintf(reply, sizeof(reply), "%u %.140s", (unsigned)l->rcpt.reply.code,
	    l->rcpt.reply.text);
	l->sent = l->rcpt.result == SMTP_CLI_DELIVERED;
	failed(l, l->rcpt.result != SMTP_CLI_UNCERTAIN ? reply :
	    "no answer to the whole message: it may come twice");
}

static void
on_event(void *arg, enum smtp_cli_ev ev)
{
	struct letter *l = arg;

	switch (ev) {
	case SMTP_CLI_NONE:
	case SMTP_CLI_STARTTLS:
	case SMTP_CLI_CLOSE:
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
	}
}

static const struct smtp_wire_ops ops = {
	.event = on_event, .more = say_content, .gone = on_gone,
};

/* --- its beginning -------------------------------------------------------------------------- */

static void
on_resolved(void *arg, const struct netaddr *addrs, size_t n, const struct why *why)
{
	struct letter *l = arg;
	struct why words = { "given up" };

	if (n > 0 && l->error[0] == '\0') {
		smtp_wire_dial(&l->wire, addrs, n);
		return;
	}
	if (n == 0)
		why_set(&words, "its address is not to be found: %.150s",
		    why != NULL ? why->text : "no answer");
	on_gone(l, words.text);
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
	first = l->port == CONF_TLS_FIRST_PORT;
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
	l->wire = (struct smtp_wire){ .loop = l->loop, .cli = l->cli, .tls = l->tls,
		.tls_first = first, .connect_ms = CONNECT_MS, .ops = &ops, .arg = l };
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
		on_gone(l, why.text);
		return;
	}
	awake_timer(&l->timer, on_late, LETTER_WAIT_MS, &l->due);
	resolve_host(resolver, l->host, l->port, on_resolved, l);
}
