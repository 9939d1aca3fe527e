#include "kit/mail_server.h"

#include <stdio.h>
#include <string.h>

struct mail_server server;

static struct line *
line_of(const struct play_guest *g)
{
	return &server.line[g - server.b.guest];
}

static void
keep(struct line *l, size_t box)
{
	assert_true(l->object >= 0);
	server.kept[l->object][box]++;
}

/* What it says to the end of data: by LMTP a reply for each recipient. */
static void
end_of_data(struct line *l, bool act, bool later, char *reply, size_t max)
{
	size_t n = 0, replies = server.lmtp ? l->nrcpts : 1;

	for (size_t i = 0; act && i < l->nrcpts; i++)
		keep(l, l->rcpt[i]);
	server.mails += act;
	for (size_t i = 0; i < replies; i++)
		n += (size_t)snprintf(reply + n, max - n, "%s",
		    later ? "451 4.3.0 later\r\n" : "250 2.0.0 kept\r\n");
	l->data = false;
	l->nrcpts = 0;
}

static void
rcpt(struct line *l)
{
	size_t n = strcspn(l->p + 9, "@+>");

	for (size_t b = 0; b < conf.nusers; b++)
		if (strlen(conf.users[b]) == n && strncmp(conf.users[b], l->p + 9, n) == 0)
			l->rcpt[l->nrcpts++] = b;
}

static bool
says(const struct line *l, const char *verb)
{
	return strncmp(l->p, verb, strlen(verb)) == 0;
}

static void
command(struct line *l, bool act, bool later, char *reply, size_t max)
{
	const char *words = "250 2.1.0 ok\r\n";

	if (l->data) {
		end_of_data(l, act && !later, later, reply, max);
		return;
	}
	if (says(l, "EHLO") || says(l, "LHLO"))
		words = "250-mx\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES\r\n";
	else if (says(l, "QUIT"))
		words = "221 2.0.0 bye\r\n";
	else if (says(l, "DATA"))
		words = "354 go\r\n";
	if (says(l, "MAIL") || says(l, "RSET"))
		l->nrcpts = 0;
	if (says(l, "RCPT") && act && !later)
		rcpt(l);
	l->data = says(l, "DATA") && act && !later;
	l->object = -1;
	snprintf(reply, max, "%s", later ? "451 4.3.0 later\r\n" : words);
}

static void
on_drip(uv_timer_t *timer)
{
	struct play_guest *g = timer->data;

	if (g->conn == NULL || !conn_write(g->conn, "2", 1))
		uv_timer_stop(timer);
}

/* False: no more is heard of it. */
static bool
hear_line(struct play_guest *g, struct line *l)
{
	enum fault f = FAULT_NONE;
	char reply[400] = "";
	bool quit;

	if (says(l, "PROXY "))
		return true;
	if (l->data && strncmp(l->p, "X-Posthouse-Id: ", 16) == 0)
		for (size_t i = 0; i < nledger; i++)
			if (strncmp(l->p + 16, uuid_text(ledger[i].object.meta.id).s, 36) == 0)
				l->object = (int)i;
	if (l->data && strcmp(l->p, ".") != 0)
		return true;
	if (++server.step == server.at)
		f = server.fault;
	if (f == FAULT_DRIP) {
		server.drip.data = g;
		uv_timer_start(&server.drip, on_drip, 0, 100);
		return true;
	}
	if (f == FAULT_SILENT) {
		l->silent = true;
		return false;
	}
	quit = !l->data && says(l, "QUIT");
	command(l, f != FAULT_CUT && f != FAULT_NONSENSE, f == FAULT_LATER, reply, sizeof(reply));
	if (f == FAULT_NONSENSE)
		snprintf(reply, sizeof(reply), "what did you say?\r\n");
	if (f == FAULT_HALF)
		conn_write(g->conn, reply, 5);
	else if (f != FAULT_CUT && f != FAULT_CUT_AFTER)
		conn_write(g->conn, reply, strlen(reply));
	if (!quit && f != FAULT_CUT && f != FAULT_CUT_AFTER && f != FAULT_HALF)
		return true;
	conn_close(g->conn);
	return false;
}

static void
hears(struct play_guest *g, struct span in)
{
	struct line *l = line_of(g);

	if (l->silent)
		return;
	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] != '\n') {
			assert_true(l->n < sizeof(l->p) - 1);
			l->p[l->n++] = in.p[i];
			continue;
		}
		assert_true(l->n > 0 && l->p[l->n - 1] == '\r');
		l->p[l->n - 1] = '\0';
		l->n = 0;
		if (!hear_line(g, l))
			return;
	}
}

void
mail_server_begin(bool lmtp)
{
	server = (struct mail_server){ .lmtp = lmtp };
	server.b.greeting = "220 mx ESMTP\r\n";
	server.b.hears = hears;
	play_backend_begin(&server.b);
	uv_timer_init(&loop, &server.drip);
	uv_unref((uv_handle_t *)&server.drip);
	uv_unref((uv_handle_t *)&server.b.poll);	/* a life of the courier's ends before it */
	conf.deliver.to = lmtp ? CONF_TO_LMTP : CONF_TO_SMTP;
	snprintf(lmtp ? conf.deliver.lmtp : conf.deliver.smtp, sizeof(conf.deliver.smtp), "%s",
	    netaddr_hostport(&server.b.at).s);
	conf.deliver.connections = 2;
	conf.deliver.tls = CONF_TLS_OFF;
	span_copy(SPAN_LIT("home.test"), conf.common.hostname, sizeof(conf.common.hostname));
}

void
mail_server_again(void)
{
	RUN_UNTIL(server.b.open == 0);
	server.b.nguests = 0;
	server.step = server.at = server.mails = 0;
	memset(server.kept, 0, sizeof(server.kept));
	memset(server.line, 0, sizeof(server.line));
}

void
mail_server_end(void)
{
	play_backend_end(&server.b);
	uv_close((uv_handle_t *)&server.drip, NULL);
	loop_turns(1);			/* it is closed */
	memset(&conf.deliver, 0, sizeof(conf.deliver));
}
