#include "kit/passed_play.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "home/passage.h"

struct play_backend B;
struct service *service;

int
passed_setup(void **state)
{
	struct conf_home_service *s = &conf.services[0];

	origin_setup(state);
	passages_init(&T);
	T.own.known = true;
	memset(&B, 0, sizeof(B));
	B.greeting = "* OK, for a check that waits for nothing\r\n";
	play_backend_begin(&B);
	memset(conf.services, 0, sizeof(conf.services));
	span_copy(SPAN_LIT("imaps"), s->name, sizeof(s->name));
	s->backend = B.at;
	s->streams = 40;
	conf.nservices = 1;
	conf.edge_streams = 50;
	health_configure(T.health, &conf);
	service = health_find(T.health, SPAN_LIT("imaps"));
	RUN_UNTIL(service_up(service) && B.open == 0);
	B.greeting = NULL;
	return 0;
}

int
passed_teardown(void **state)
{
	passages_end(&T, NULL, "the test is over");
	play_backend_end(&B);
	play_backend_hang_up(&B);
	RUN_UNTIL(T.passages == NULL);
	assert_null(T.unanswered);
	uv_close((uv_handle_t *)&T.answers, NULL);
	origin_teardown(state);
	own_addrs_fini(&T.own);
	return 0;
}

/* --- the edge --------------------------------------------------------------------------- */

static void
on_head(void *arg, const struct h2_head *head)
{
	struct pass *p = arg;

	p->status = head->status;
	span_copy(h2_header_get(head, "posthouse-ledger"), p->ledger, sizeof(p->ledger));
}

static void
on_data(void *arg, struct span s)
{
	struct pass *p = arg;

	assert_true(buf_add_span(&p->in, s));
	h2_consumed(p->s, s.n);
}

static void
on_end(void *arg)
{
	struct pass *p = arg;

	p->ended = true;
}

static void
on_closed(void *arg, const struct why *why)
{
	struct pass *p = arg;

	p->closed = true;
	p->well = why == NULL;
	p->s = NULL;
}

static const struct h2_stream_ops pass_ops = {
	.head = on_head, .data = on_data, .end = on_end, .closed = on_closed,
};

static ssize_t
pull(void *arg, void *out, size_t max, bool *eof)
{
	struct pass *p = arg;
	size_t n = p->out.n - p->sent < max ? p->out.n - p->sent : max;

	if (n > 0)
		memcpy(out, p->out.p + p->sent, n);
	p->sent += n;
	*eof = p->end && p->sent == p->out.n;
	return (ssize_t)n;
}

void
client(const char *from, struct netaddr *a, struct netaddr *to)
{
	assert_true(netaddr_parse_ip(span_str(from), a));
	a->port = 4711;
	assert_true(netaddr_parse_ip(a->v6 ? SPAN_LIT("2a02:8071::25") : SPAN_LIT("198.51.101.25"),
	    to));
	to->port = 993;
}

struct pass *
pass(const char *authority, const char *from, const char *first, size_t n)
{
	struct pass *p = calloc(1, sizeof(*p));
	struct h2_head head = { .method = SPAN_LIT("CONNECT"), .authority = span_str(authority) };
	struct netaddr a, to;

	buf_init(&p->out, BIG + PROXY_HEADER_MAX);
	buf_init(&p->in, 2 * BIG);
	if (from[0] != '\0') {
		client(from, &a, &to);
		assert_true(proxy_header_write(2, &a, &to, &p->out));
	}
	assert_true(buf_add(&p->out, first, n));
	p->s = h2_request(edge_h2, &head, pull, p, &pass_ops, p);
	assert_non_null(p->s);
	return p;
}

void
say(struct pass *p, const char *text, bool end)
{
	buf_add_str(&p->out, text);
	p->end = end;
	h2_stream_resume(p->s);
}

void
pass_free(struct pass *p)
{
	if (!p->closed && p->s != NULL)
		h2_reset(p->s);
	RUN_UNTIL(p->closed);
	buf_fini(&p->out);
	buf_fini(&p->in);
	free(p);
}

struct play_guest *
guest(size_t n)
{
	RUN_UNTIL(B.nguests > n);
	return &B.guest[n];
}

size_t
header_of(const struct play_guest *g, struct proxy_header *h)
{
	struct why why = { "" };
	size_t used = 0;

	assert_int_equal(proxy_header_read(span_of(g->heard, g->nheard), h, &used, &why),
	    PROXY_DONE);
	return used;
}

bool
heard(const struct play_guest *g, const char *text)
{
	size_t n = strlen(text);

	return g->nheard >= n && memcmp(g->heard + g->nheard - n, text, n) == 0;
}
