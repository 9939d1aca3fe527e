/*
 * A server that says what it likes: the first octet chooses the client's setup and whether a
 * message is ever said to its end, the rest is what the server says.  Whatever it is, each
 * message that was begun gets its results, mail counts as delivered only when all of it was
 * said, the buffer keeps to its limit, and how the octets are cut changes nothing of what
 * becomes of the mail.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/smtp_client.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define RCPTS	3
#define MAILS	4
static const char body[] = "Subject: x\r\n\r\n.\r\nhello\r\n";

struct run {
	struct smtp_cli	*cli;
	struct envelope	*env;
	struct address	 addr[RCPTS];
	struct smtp_cli_rcpt rcpts[RCPTS];
	struct smtp_cli_mail mail;
	unsigned	 begun, whole, done;
	bool		 xclient, endless, closed, under_way;
	unsigned char	 results[MAILS * RCPTS];
};

static void
begin(struct run *r)
{
	r->mail = (struct smtp_cli_mail){ .env = r->env, .rcpts = r->rcpts, .nrcpts = RCPTS,
		.size = sizeof(body) - 1, .xclient = r->xclient };
	r->env->client.port = (uint16_t)r->begun;
	for (size_t i = 0; i < RCPTS; i++)
		r->rcpts[i] = (struct smtp_cli_rcpt){ .addr = &r->addr[i], .params = "" };
	if (r->begun == MAILS || !smtp_cli_mail(r->cli, &r->mail)) {
		smtp_cli_quit(r->cli);
		return;
	}
	r->begun++;
	r->under_way = true;
}

static void
over(struct run *r)
{
	assert(r->under_way);
	r->under_way = false;
	for (size_t i = 0; i < RCPTS; i++) {
		const struct smtp_cli_rcpt *c = &r->rcpts[i];

		assert(c->decided && c->reply.code != 0);
		assert(c->result != SMTP_CLI_DELIVERED || (r->whole == r->begun &&
		    c->accepted && smtp_reply_positive(&c->reply)));
		assert(c->result != SMTP_CLI_UNCERTAIN || (r->whole == r->begun && c->accepted));
		r->results[r->done * RCPTS + i] = (unsigned char)c->result;
	}
	r->done++;
}

static void
on_event(struct run *r, enum smtp_cli_ev ev)
{
	switch (ev) {
	case SMTP_CLI_NONE:
		break;
	case SMTP_CLI_STARTTLS:
		smtp_cli_secured(r->cli);
		break;
	case SMTP_CLI_READY:
		begin(r);
		break;
	case SMTP_CLI_CONTENT:
		if (r->endless) {
			assert(smtp_cli_body(r->cli, body, 1) == 1);
			break;
		}
		assert(smtp_cli_body(r->cli, body, sizeof(body) - 1) == sizeof(body) - 1);
		assert(smtp_cli_end(r->cli));
		r->whole = r->begun;
		break;
	case SMTP_CLI_DONE:
		over(r);
		break;
	case SMTP_CLI_CLOSE:
		assert(!r->closed);
		r->closed = true;
		break;
	}
}

static void
feed(struct run *r, const char *p, size_t n)
{
	enum smtp_cli_ev ev;
	size_t used = 0;

	do {
		used += smtp_cli_step(r->cli, p + used, n - used, &ev);
		on_event(r, ev);
		assert(smtp_cli_out(r->cli).n <= SMTP_CLI_OUT_MAX);
		smtp_cli_out_used(r->cli, smtp_cli_out(r->cli).n);
	} while (ev != SMTP_CLI_NONE || used < n);
}

static void
play(const struct smtp_cli_conf *conf, unsigned how, struct span in, size_t piece,
    unsigned char out[MAILS * RCPTS])
{
	struct run r = { .cli = smtp_cli_new(conf), .env = envelope_new(),
		.xclient = how & 0x20, .endless = how & 0x80 };

	if (r.cli == NULL || r.env == NULL)
		abort();
	r.env->from.null = true;
	for (size_t i = 0; i < RCPTS; i++) {
		r.addr[i] = (struct address){ .local = "x", .domain = "b.test" };
		r.addr[i].local[0] = (char)('x' + i);
	}
	if ((how & 0x40) != 0) {
		memcpy(r.addr[1].local, "\xc3\xa9", 3);
		r.addr[1].utf8 = true;
	}
	while (in.n > 0) {
		size_t n = in.n < piece ? in.n : piece;

		feed(&r, in.p, n);
		in = span_from(in, n);
	}
	if (!r.closed) {
		smtp_cli_lost(r.cli, "gone");
		feed(&r, "", 0);
	}
	assert(r.closed && !r.under_way && r.done == r.begun);
	memcpy(out, r.results, sizeof(r.results));
	smtp_cli_free(&r.cli);
	envelope_free(&r.env);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	unsigned char once[MAILS * RCPTS], cut[MAILS * RCPTS];
	struct smtp_cli_conf conf = { .helo = "home.test", .password = "secret" };
	static const size_t pieces[] = { 1, 7 };

	if (n == 0)
		return 0;
	conf.lmtp = data[0] & 1;
	conf.local = data[0] & 2;
	conf.user = data[0] & 4 ? "me" : "";
	conf.tls = (data[0] >> 3) % 3;
	play(&conf, data[0], span_of(data + 1, n - 1), n, once);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		play(&conf, data[0], span_of(data + 1, n - 1), pieces[i], cut);
		assert(memcmp(once, cut, sizeof(once)) == 0);
	}
	return 0;
}
