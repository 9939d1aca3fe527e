#include "kit/relay_play.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char *const own[] = { "example.org", "example.net" };

struct relay_setup
play_setup(const struct server *s)
{
	static struct relay_address ours[2] = { { .whose = "home's own" },
		{ .whose = "edge mx1" } };
	struct relay_setup set = { .version = s->no_header ? 0 : s->version ? s->version : 2,
		.own = own, .nown = 2, .ncontrols = 2,
		.controls = { "postmaster@example.org", "alice@example.org" },
		.untrusted = ours, .nuntrusted = 2, .helo = "mx1.edge.test",
		.submission = s->submission, .tls = s->tls, .nonce = { 1, 2, 3 } };

	assert_true(netaddr_parse_ip(SPAN_LIT("172.17.0.1"), &ours[0].ip));
	assert_true(netaddr_parse_ip(SPAN_LIT("2a00::7"), &ours[1].ip));
	assert_true(netaddr_parse_ip(SPAN_LIT("127.0.0.1"), &set.backend));
	return set;
}

/* Servers that know version 2 alone do not see a header of version 1. */
static enum who
who(const struct server *s, const struct relay_visit *v)
{
	if (v->header != RELAY_PROPER || (s->cause == RELAY_OTHER_HEADER && v->version == 1))
		return BARE;
	return v->stranger ? STRANGER : OURS;
}

static bool
fits(enum who whom, enum who is, const struct talk *t)
{
	switch (whom) {
	case ANY:
		return true;
	case LATER:
		return t->rcpts >= 2;
	case IN_TLS:
		return t->tls;
	case OURS_IN_TLS:
		return is == OURS && t->tls;
	case OURS_CLEAR:
		return is == OURS && !t->tls;
	case FIRST:
		return t->visits == 1;
	case AS_US:
		return t->as_us;
	default:
		return whom == is;
	}
}

bool
play_answer(const struct server *s, const struct relay_visit *v, const struct talk *t,
    const char *says, struct buf *out)
{
	enum who is = who(s, v);

	buf_clear(out);
	for (const struct line *l = s->lines; l->says != NULL; l++) {
		if (!fits(l->who, is, t) ||
		    (l->says[0] == '\0') != (says[0] == '\0') ||
		    strncmp(says, l->says, strlen(l->says)) != 0)
			continue;
		for (const char *p = l->answer; p != NULL && *p != '\0'; p++)
			if (p[0] == '$' && p[1] == 'A') {
				buf_add_str(out, netaddr_ip(&v->client).s);
				p++;
			} else
				buf_add(out, p, 1);
		return l->answer != NULL;
	}
	return false;
}

static void
look(struct talk *t, const char *says)
{
	if (strncmp(says, "RCPT", 4) == 0 && ++t->rcpts > t->most)
		t->most = t->rcpts;
	if (strncmp(says, "EHLO", 4) == 0)
		t->as_us = strstr(says, "edge.test") == NULL;
	if (strncmp(says, "DATA", 4) == 0)
		t->data = true;
}

void
play_visit(const struct server *s, struct relay_probe *p, const struct relay_visit *v,
    size_t piece, struct talk *t)
{
	struct why gone = { "the peer closed the connection" };
	struct buf out;
	char says[8192] = "";
	bool ends = false;

	buf_init(&out, 65536);
	t->rcpts = 0;
	t->tls = false;
	relay_probe_begun(p);
	while (!ends && relay_probe_want(p) == RELAY_WANT_REPLY) {
		size_t at = 0;

		ends = !play_answer(s, v, t, says, &out);
		while (at < out.n && relay_probe_want(p) == RELAY_WANT_REPLY) {
			size_t n = out.n - at < piece ? out.n - at : piece;
			struct span said;

			at += relay_probe_heard(p, span_of(out.p + at, n));
			said = relay_probe_says(p);
			if (said.n == 0)
				continue;
			span_copy(said, says, sizeof(says));
			look(t, says);
			if (t->tls && strncmp(says, "EHLO", 4) == 0)
				memcpy(says, "EHLO tls", 8);
		}
		if (relay_probe_want(p) == RELAY_WANT_TLS) {
			t->tls = true;
			relay_probe_secured(p);
			span_copy(relay_probe_says(p), says, sizeof(says));
			memcpy(says, "EHLO tls", 8);
		}
	}
	relay_probe_over(p, ends ? &gone : NULL);
	buf_fini(&out);
}

struct relay_probe *
play(const struct server *s, const struct relay_setup *set, size_t piece, struct talk *t)
{
	struct relay_probe *p = relay_probe_new(set);
	struct relay_visit v;

	assert_non_null(p);
	while (relay_probe_next(p, &v)) {
		assert_true(++t->visits <= RELAY_VISITS_MAX);
		play_visit(s, p, &v, piece, t);
	}
	return p;
}

static void
play_cut(const struct server *s, size_t piece)
{
	struct relay_setup set = play_setup(s);
	struct talk t = { 0 };
	struct relay_probe *p = play(s, &set, piece, &t);
	struct relay_result r;

	relay_probe_judge(p, &r);
	if (r.verdict != s->verdict || r.cause != s->cause || r.server != s->server ||
	    r.locked != s->locked || r.catch_all != s->catch_all)
		fail_msg("%s (pieces of %zu): %s, cause %d, server %d, locked %d, catch-all %d; "
		    "%s -> %s", s->rule, piece, relay_verdict_name(r.verdict), r.cause, r.server,
		    r.locked, r.catch_all, r.evidence ? r.evidence->asked : "",
		    r.evidence ? r.evidence->answered : "");
	if (s->evidence != NULL && (r.evidence == NULL ||
	    strstr(r.evidence->asked, s->evidence) == NULL))
		fail_msg("%s: evidence %s -> %s", s->rule, r.evidence ? r.evidence->asked : "none",
		    r.evidence ? r.evidence->answered : "");
	if (t.most > RELAY_RCPTS_MAX || t.data)
		fail_msg("%s: %u RCPT in a connection%s", s->rule, t.most,
		    t.data ? ", and DATA" : "");
	relay_probe_free(&p);
}

void
play_all(const struct server *servers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t piece = 1; piece < 200; piece += piece < 20 ? 1 : 60)
			play_cut(&servers[i], piece);
}
