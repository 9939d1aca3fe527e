#include "home/bans.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/secret.h"

struct listing {
	struct netset_entry *list;
	size_t		 n;
};

static void
list_one(void *arg, const struct netset_entry *e)
{
	struct listing *l = arg;

	l->list[l->n++] = *e;
}

static struct netset_entry *
list_all(const struct netset *s, size_t *n)
{
	struct listing l = { calloc(netset_count(s) + 1, sizeof(*l.list)), 0 };

	if (l.list != NULL)
		netset_each(s, list_one, &l);
	*n = l.n;
	return l.list;
}

struct netset_entry *
home_bans_all(const struct home_bans *b, size_t *n)
{
	return list_all(b->now, n);
}

/* An end that was read from disk again is one of the wall clock, to the millisecond or so. */
#define SAME_END_MS	1000

static bool
same_end(int64_t a, int64_t b)
{
	return a == b || (a != 0 && b != 0 && a - b < SAME_END_MS && b - a < SAME_END_MS);
}

/* Another writer tells again what is known: no edge need hear of that. */
static bool
same(const struct netset *a, const struct netset *b)
{
	size_t n, m;
	struct netset_entry *x, *y = NULL;
	bool is = false;

	if (a == NULL || netset_count(a) != netset_count(b))
		return false;
	if ((x = list_all(a, &n)) != NULL && (y = list_all(b, &m)) != NULL) {
		is = true;
		for (size_t i = 0; i < n && is; i++)
			is = netaddr_same_ip(&x[i].net, &y[i].net) && x[i].bits == y[i].bits &&
			    same_end(x[i].until_ms, y[i].until_ms);
	}
	free(x);
	free(y);
	return is;
}

/* What is over makes room. */
static bool
add(struct netset *set, const struct netset_entry *e, int64_t now_ms)
{
	return netset_add(set, &e->net, e->bits, e->until_ms) ||
	    (netset_expire(set, now_ms) > 0 &&
	    netset_add(set, &e->net, e->bits, e->until_ms));
}

static bool
fill(struct netset *set, const struct spool_bans *told, int64_t now_ms)
{
	for (size_t i = 0; i < told->n; i++) {
		const struct netset_entry *e = &told->list[i].on;

		if (told->list[i].lifted)
			(void)netset_remove(set, &e->net, e->bits);
		else if (!add(set, e, now_ms))
			return false;
	}
	return true;
}

static void
note(struct home_bans *b, const struct spool_bans *told)
{
	for (size_t i = 0; i < told->n; i++) {
		const struct netset_entry *e = &told->list[i].on;

		b->last[b->seq++ % BAN_CHANGES_MAX] = (struct ban_change){
			{ e->net, e->bits, e->until_ms }, told->list[i].lifted };
	}
}

/* The last piece of a list that was told anew.  False: it is what we have. */
static bool
renew(struct home_bans *b)
{
	bool news = !same(b->now, b->coming);

	netset_free(&b->now);
	b->now = b->coming;
	b->coming = NULL;
	if (news) {
		random_bytes(&b->series, sizeof(b->series));
		b->seq = 0;
	}
	return news;
}

bool
home_bans_take(struct home_bans *b, const struct spool_bans *told, int64_t now_ms)
{
	bool ok = b->last != NULL ||
	    (b->last = calloc(BAN_CHANGES_MAX, sizeof(*b->last))) != NULL;

	if (told->anew) {
		netset_free(&b->coming);
		ok = ok && (b->coming = netset_new(POLICY_BANS_MAX)) != NULL;
	}
	/* A change before the list: the writer has not greeted us, and will say it all. */
	if (ok && b->coming == NULL && b->now == NULL)
		return false;
	if (ok && fill(b->coming != NULL ? b->coming : b->now, told, now_ms)) {
		if (!told->whole)
			return false;
		if (b->coming != NULL)
			return renew(b);
		note(b, told);
		return told->n > 0;
	}
	log_error(NULL, "bans.memory kept=what the edges were told before");
	return false;
}

void
home_bans_etag(const struct home_bans *b, char etag[BANS_ETAG_MAX])
{
	etag[0] = '\0';
	if (b->now != NULL)
		snprintf(etag, BANS_ETAG_MAX, "\"%016" PRIx64 "-%" PRIu64 "\"", b->series, b->seq);
}

bool
home_bans_since(const struct home_bans *b, const char *etag, int64_t now_ms, struct buf *out)
{
	char series[32];
	struct span s = span_str(etag);
	unsigned long long seq;
	size_t n = (size_t)snprintf(series, sizeof(series), "\"%016" PRIx64 "-", b->series);

	if (s.n <= n + 1 || memcmp(s.p, series, n) != 0 || s.p[s.n - 1] != '"' ||
	    !span_u64(span_of(s.p + n, s.n - n - 1), b->seq, &seq) ||
	    b->seq - seq > BAN_CHANGES_MAX)
		return false;
	for (; seq < b->seq; seq++)
		if (!ban_print(&b->last[seq % BAN_CHANGES_MAX], now_ms, out))
			return false;
	return true;
}

void
home_bans_fini(struct home_bans *b)
{
	netset_free(&b->now);
	netset_free(&b->coming);
	free(b->last);
	*b = (struct home_bans){ .now = NULL };
}
