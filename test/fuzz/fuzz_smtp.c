/*
 * The SMTP machine.  First octet: extensions, bare_lf, TLS and XCLIENT; second and third: how
 * the input is cut.  Whatever the cut, the same replies, the same messages and the
 * same endings; what is accepted holds no bare CR or LF and no NUL, keeps to the
 * limits, and a whole message said again by DATA comes out the same.
 */
#include <stdint.h>
#include <stdlib.h>

#include "proto/smtp_server.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define must(x)		((x) ? (void)0 : abort())
#define LOG_MAX		(4u << 20)
#define SIZE_LIMIT	300

static const struct smtp_srv_conf confs[2] = {
	{ "mx.test", { 128, 4, SIZE_LIMIT, 10, 60, 2 }, SMTP_BARE_REFUSE },
	{ "mx.test", { 128, 4, SIZE_LIMIT, 10, 60, 2 }, SMTP_BARE_NORMALIZE },
};

struct run {
	struct buf	 told;		/* replies and events, in order */
	struct buf	 body;
	struct buf	 kept;		/* the last message accepted */
	bool		 open, began, asked, starttls, closed, tls, login, xclient, authed;
};

static struct smtp_reply
decide(struct run *r, const struct smtp_ev *ev)
{
	unsigned char c = 0;

	if (ev->type == SMTP_EV_AUTH) {
		must(ev->user.n > 0 && ev->user.n <= SMTP_USER_MAX);
		must(ev->arg.n > 0 && ev->arg.n <= SMTP_PASSWORD_MAX);
		must(memchr(ev->user.p, 0, ev->user.n) == NULL);
		must(memchr(ev->arg.p, 0, ev->arg.n) == NULL);
		return ev->arg.p[0] == 'x' ? smtp_reply(235, 2, 7, 0, "Welcome") :
		    smtp_reply(535, 5, 7, 8, "No");
	}
	if (ev->type == SMTP_EV_XCLIENT) {
		for (size_t i = 0; i < ev->arg.n; i++)
			must((unsigned char)ev->arg.p[i] >= ' ' || ev->arg.p[i] == '\t');
		return ev->arg.n % 2 == 0 ? smtp_reply(220, 0, 0, 0, "Anew") :
		    smtp_reply(501, 5, 5, 4, "No");
	}
	if (ev->addr != NULL) {
		c = (unsigned char)ev->addr->local[0];
		must(ev->path.n >= 2 && ev->path.p[0] == '<' && ev->path.p[ev->path.n - 1] == '>');
		for (size_t i = 0; i < ev->arg.n; i++)
			must((unsigned char)ev->arg.p[i] >= ' ' && ev->arg.p[i] != 0x7f);
	} else if (r->body.n > 0) {
		c = (unsigned char)r->body.p[0];
	} else if (ev->type == SMTP_EV_BEGIN) {
		c = (unsigned char)(r->told.n & 0x7f);		/* the same in every cut */
	}
	if (c == '4')
		return smtp_reply(451, 4, 0, 0, "Later");
	if (c == '5')
		return smtp_reply(550, 5, 0, 0, "No");
	return ev->type == SMTP_EV_BEGIN ? smtp_reply(354, 0, 0, 0, "Go") :
	    smtp_reply(250, 2, 0, 0, "Fine");
}

static void
check_message(const struct buf *m)
{
	must(m->n <= SIZE_LIMIT);
	for (size_t i = 0; i < m->n; i++) {
		must(m->p[i] != '\0');
		if (m->p[i] == '\r')
			must(i + 1 < m->n && m->p[i + 1] == '\n');
		if (m->p[i] == '\n')
			must(i > 0 && m->p[i - 1] == '\r');
	}
}

static void
on_answer(struct run *r, struct smtp_srv *s, const struct smtp_ev *ev)
{
	struct smtp_reply reply = decide(r, ev);
	bool yes = reply.code < 400;

	must(!r->closed);
	if (ev->type == SMTP_EV_AUTH) {
		must(r->login && (r->tls || r->starttls) && !r->open && !r->authed);
		r->authed = yes;
	} else if (ev->type == SMTP_EV_XCLIENT) {
		must(r->xclient && r->authed && !r->open);
	} else if (ev->type == SMTP_EV_MAIL) {
		must(!r->open && (!r->login || r->authed));
		r->open = yes;
	} else if (ev->type == SMTP_EV_RCPT) {
		must(r->open && !r->began);
	} else if (ev->type == SMTP_EV_BEGIN) {
		must(r->open && !r->began && r->body.n == 0);
		r->began = yes;
	} else {
		must(ev->type == SMTP_EV_EOM && r->open && r->began);
		check_message(&r->body);
		if (yes) {
			buf_clear(&r->kept);
			buf_add_span(&r->kept, buf_span(&r->body));
			buf_add_str(&r->told, "\nmessage ");
			buf_add_span(&r->told, buf_span(&r->body));
		}
		buf_clear(&r->body);
		r->open = r->began = false;
	}
	buf_addf(&r->told, "\nask %d %.*s %.*s %.*s\n", ev->type, (int)ev->user.n, ev->user.p,
	    (int)ev->path.n, ev->path.p, (int)ev->arg.n, ev->arg.p);
	smtp_srv_answer(s, &reply);
	if (ev->type == SMTP_EV_XCLIENT && yes)
		must(smtp_srv_phase(s) == SMTP_P_GREETED && smtp_srv_helo(s).n == 0);
}

static void
on_event(struct run *r, struct smtp_srv *s, const struct smtp_ev *ev)
{
	struct span out;

	switch (ev->type) {
	case SMTP_EV_NONE:
	case SMTP_EV_CLOSE:
		break;
	case SMTP_EV_REPLY:
		out = smtp_srv_out(s);
		must(out.n > 0 && out.p[out.n - 1] == '\n');
		buf_add_span(&r->told, out);
		smtp_srv_out_used(s, out.n);
		break;
	case SMTP_EV_HELO:
		must(!r->open && ev->arg.n > 0);
		buf_addf(&r->told, "\nhelo %.*s\n", (int)ev->arg.n, ev->arg.p);
		break;
	case SMTP_EV_BODY:
		must(r->began && ev->arg.n > 0);
		buf_add_span(&r->body, ev->arg);
		break;
	case SMTP_EV_ABORT:
		must(r->open);
		r->open = r->began = false;
		buf_clear(&r->body);
		buf_add_str(&r->told, "\nabort\n");
		break;
	case SMTP_EV_STARTTLS:
		must(!r->open && !r->starttls);
		r->starttls = true;
		smtp_srv_secured(s);
		must(smtp_srv_phase(s) == SMTP_P_GREETED && smtp_srv_helo(s).n == 0);
		break;
	case SMTP_EV_AUTH:
	case SMTP_EV_XCLIENT:
	case SMTP_EV_MAIL:
	case SMTP_EV_RCPT:
	case SMTP_EV_BEGIN:
	case SMTP_EV_EOM:
		on_answer(r, s, ev);
		break;
	}
	r->closed = ev->type == SMTP_EV_CLOSE;
}

/* In pieces of first, then of piece octets. */
static void
run(struct run *r, unsigned how, const char *in, size_t n, size_t first, size_t piece)
{
	unsigned ext = (how & 7) | ((how & 16) != 0 ? SMTP_EXT_AUTH : 0u) |
	    ((how & 64) != 0 ? SMTP_EXT_XCLIENT : 0u);
	struct smtp_srv *s = smtp_srv_new(&confs[(how & 8) != 0], ext);
	size_t at = 0;

	*r = (struct run){ .login = (how & 16) != 0, .tls = (how & 32) != 0,
		.xclient = (how & 64) != 0 };
	buf_init(&r->told, LOG_MAX);
	buf_init(&r->body, LOG_MAX);
	buf_init(&r->kept, LOG_MAX);
	must(s != NULL);
	if (r->tls)
		smtp_srv_in_tls(s);
	for (size_t k = first; at < n; k = piece) {
		size_t used = 0, idle = 0;
		struct smtp_ev ev;

		k = k < n - at ? k : n - at;
		do {
			size_t step = smtp_srv_step(s, in + at + used, k - used, &ev);

			used += step;
			must(used <= k);
			/* Nothing used and nothing told would be for ever. */
			idle = step == 0 && ev.type != SMTP_EV_BODY ? idle + 1 : 0;
			must(idle < 16);
			on_event(r, s, &ev);
		} while (ev.type != SMTP_EV_NONE && ev.type != SMTP_EV_CLOSE);
		must(used == k);
		at += k;
		must(smtp_srv_idle(s) == (smtp_srv_phase(s) <= SMTP_P_READY));
	}
	must(!r->told.failed && !r->body.failed);
	buf_addf(&r->told, "\nend %d %u %u\n", r->closed, smtp_srv_phase(s), smtp_srv_bare_lf(s));
	smtp_srv_free(&s);
	must(s == NULL);
}

static void
run_fini(struct run *r)
{
	buf_fini(&r->told);
	buf_fini(&r->body);
	buf_fini(&r->kept);
}

/* The message, dot-stuffed, through another session. */
static void
check_round_trip(const struct buf *m)
{
	struct buf in;
	struct run r;
	bool line = true;

	buf_init(&in, LOG_MAX);
	buf_add_str(&in, "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n");
	for (size_t i = 0; i < m->n; i++) {
		if (line && m->p[i] == '.')
			buf_add(&in, ".", 1);
		buf_add(&in, m->p + i, 1);
		line = m->p[i] == '\n';
	}
	buf_add_str(&in, ".\r\n");
	run(&r, 0, in.p, in.n, in.n, 1);
	/* decide() may refuse it by its first octet or by the place where it comes. */
	must(r.kept.n == 0 || span_eq(buf_span(&r.kept), buf_span(m)));
	run_fini(&r);
	buf_fini(&in);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct run whole, cut;
	unsigned how;
	size_t first, piece;

	if (n < 4)
		return 0;
	how = data[0] & 127;
	first = data[1] + 1u;
	piece = data[2] % 16 + 1u;
	data += 3;
	n -= 3;
	run(&whole, how, (const char *)data, n, n, n);
	run(&cut, how, (const char *)data, n, first, piece);
	/* What stands behind STARTTLS is lost or not by what came together with it. */
	if ((how & SMTP_EXT_STARTTLS) == 0)
		must(span_eq(buf_span(&whole.told), buf_span(&cut.told)));
	if (whole.kept.n > 0 && whole.kept.n + 2 <= SIZE_LIMIT &&
	    memcmp(whole.kept.p + whole.kept.n - (whole.kept.n > 1 ? 2 : 1), "\r\n", 2) == 0)
		check_round_trip(&whole.kept);
	run_fini(&whole);
	run_fini(&cut);
	return 0;
}
