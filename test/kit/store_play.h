#ifndef KIT_STORE_PLAY_H
#define KIT_STORE_PLAY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "net/chan.h"
#include "store/db.h"
#include "store/peers.h"
#include "store/spool.h"
#include "store/writer.h"

/*
 * A writer and its clients in one process on one loop, over socketpairs, in a
 * directory of their own.
 */
struct play {
	uv_loop_t	 loop;
	char		 dir[64];
	int		 large;
	struct conf_edge *edge;
	struct conf_home *home;
	struct writer_conf conf;
	struct writer	*writer;
	unsigned	 work;
	struct ledger_mark mark;
	int		 up;		/* attached - detached */
	unsigned	 peers, gone, known;
	bool		 pairing;
};

static inline void
on_work(void *arg)
{
	((struct play *)arg)->work++;
}

static inline void
on_mark(void *arg, struct ledger_mark m)
{
	struct play *p = arg;

	assert_true(m.epoch != p->mark.epoch || m.counter >= p->mark.counter);
	p->mark = m;
}

static inline void
on_attached(void *arg, bool up)
{
	((struct play *)arg)->up += up ? 1 : -1;
}

static inline void
on_play_peer(void *arg, const struct peer *peer)
{
	((struct play *)arg)->peers++;
}

static inline void
on_play_gone(void *arg, const char *name)
{
	((struct play *)arg)->gone++;
}

static inline void
on_known(void *arg)
{
	((struct play *)arg)->known++;
}

static inline void
on_play_pairing(void *arg, bool pending)
{
	((struct play *)arg)->pairing = pending;
}

static const struct spool_events play_events = {
	.work = on_work, .mark = on_mark, .attached = on_attached, .peer = on_play_peer,
	.peer_gone = on_play_gone, .peers_known = on_known, .pairing = on_play_pairing,
};

static inline int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	return remove(path);
}

static inline void
dir_make(char dir[64])
{
	const char *base = getenv("TMPDIR");

	snprintf(dir, 64, "%s/store-XXXXXX", base != NULL && strlen(base) < 40 ? base : "/tmp");
	assert_non_null(mkdtemp(dir));
}

static inline void
remove_tree(const char *dir)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void
play_conf(struct play *p, enum conf_role role)
{
	struct conf_common *common;
	struct conf_hold *hold;

	if (role == CONF_EDGE) {
		p->edge = calloc(1, sizeof(*p->edge));
		common = &p->edge->common;
		hold = &p->edge->hold;
	} else {
		p->home = calloc(1, sizeof(*p->home));
		p->home->parked_keep_ms = 30LL * 24 * 3600 * 1000;
		p->home->retry_max_ms = 3600 * 1000;
		common = &p->home->common;
		hold = &p->home->hold;
	}
	snprintf(common->state, sizeof(common->state), "%s", p->dir);
	common->alarms = (struct conf_alarms){ .every_ms = 3600 * 1000, .after_ms = 60 * 1000,
		.repeat_ms = 24 * 3600 * 1000, .oldest_ms = 4 * 3600 * 1000, .count = 100000,
		.unreachable_ms = 15 * 60 * 1000, .certificate_ms = 14LL * 24 * 3600 * 1000 };
	*hold = (struct conf_hold){ .quota = 1ull << 40, .share = 100, .memory = 16 << 20,
	    .threshold = 256 << 10, .max_hold_ms = 30LL * 24 * 3600 * 1000 };
	p->conf = (struct writer_conf){ .role = role, .common = common, .hold = hold, .edge =
	    p->edge,
	    .home = p->home };
}

static inline void
play_writer(struct play *p)
{
	struct why why = { "" };

	if ((p->writer = writer_new(&p->loop, &p->conf, &why)) == NULL)
		fail_msg("%s", why.text);
}

static inline void
play_begin(struct play *p, enum conf_role role)
{
	char path[100];

	memset(p, 0, sizeof(*p));
	uv_loop_init(&p->loop);
	dir_make(p->dir);
	snprintf(path, sizeof(path), "%s/large", p->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	p->large = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	play_conf(p, role);
	play_writer(p);
}

static inline struct spool *
play_client(struct play *p)
{
	struct spool *s = spool_new(&play_events, p, p->large, p->conf.hold->memory,
	    p->conf.hold->threshold);

	assert_non_null(s);
	return s;
}

static inline void
play_attach(struct play *p, struct spool *s)
{
	struct why why = { "" };
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
	writer_client(p->writer, chan_new(&p->loop, sv[0], &why));
	spool_attach(s, chan_new(&p->loop, sv[1], &why));
}

static inline void
play_turn_end(uv_timer_t *t)
{
	*(bool *)t->data = true;
}

/* Until *n reaches least; a play that hangs fails. */
static inline void
play_until(struct play *p, const unsigned *n, unsigned least)
{
	bool late = false;
	uv_timer_t timer;

	uv_timer_init(&p->loop, &timer);
	timer.data = &late;
	uv_timer_start(&timer, play_turn_end, 20000, 0);
	while (*n < least && !late)
		uv_run(&p->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&p->loop, UV_RUN_NOWAIT);
	if (*n < least)
		fail_msg("nothing came: %u of %u", *n, least);
}

/* A moment for what should not come. */
static inline void
play_for(struct play *p, unsigned ms)
{
	bool late = false;
	uv_timer_t timer;

	uv_timer_init(&p->loop, &timer);
	timer.data = &late;
	/* Again and again: one that is late already goes first, and the wait follows it. */
	uv_timer_start(&timer, play_turn_end, ms, ms);
	while (!late)
		uv_run(&p->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	for (int turns = 0; turns < 20; turns++)	/* it may have been slept through */
		uv_run(&p->loop, UV_RUN_NOWAIT);
}

static inline void
play_end(struct play *p)
{
	writer_free(&p->writer);
	while (uv_run(&p->loop, UV_RUN_NOWAIT) != 0)
		;
	assert_int_equal(uv_loop_close(&p->loop), 0);
	close(p->large);
	remove_tree(p->dir);
	free(p->edge);
	free(p->home);
}

/* --- what a client does ------------------------------------------------------------- */

static inline struct spool_meta
a_meta(const struct play *p, unsigned n)
{
	struct spool_meta m = { .signer = "mx1.example.org", .home = "alice", .received_ms =
	    1795232400000 + n };

	m.origin = p->conf.role == CONF_EDGE ? ORIGIN_RECEPTION : ORIGIN_TUNNEL;
	m.id.b[0] = 1;
	m.id.b[6] = 0x70;
	m.id.b[12] = (unsigned char)(n >> 24);
	m.id.b[13] = (unsigned char)(n >> 16);
	m.id.b[14] = (unsigned char)(n >> 8);
	m.id.b[15] = (unsigned char)n;
	return m;
}

/* Octets that tell which object they are of, and where. */
static inline void
a_body(unsigned n, size_t from, char *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (char)((from + i) * 31 + n * 7 + (from + i) / 4096);
}

struct put_told {
	unsigned	told, kept, before, full, not_kept;
	int64_t		row;
	enum kept	last;
	char		why[200];
};

static inline void
on_kept(void *arg, enum kept kept, int64_t row, const struct why *why)
{
	struct put_told *t = arg;

	t->told++;
	t->kept += kept == KEPT;
	t->before += kept == KEPT_BEFORE;
	t->full += kept == KEPT_FULL;
	t->not_kept += kept == NOT_KEPT;
	t->row = row;
	t->last = kept;
	snprintf(t->why, sizeof(t->why), "%.190s", why->text);
}

static inline int
put_one(struct spool *s, const struct spool_meta *m, unsigned n, size_t size, struct put_told *told)
{
	struct spool_put *put = spool_put_new(s, m);
	static char piece[10000];
	unsigned char mac[OBJECT_MAC_LEN];
	struct why why = { "" };

	assert_non_null(put);
	for (size_t at = 0; at < size; at += sizeof(piece)) {
		size_t k = size - at < sizeof(piece) ? size - at : sizeof(piece);

		a_body(n, at, piece, k);
		if (spool_put_add(put, piece, k, &why) == -1) {
			spool_put_drop(&put);
			return -1;
		}
	}
	memset(mac, (int)n, sizeof(mac));
	spool_put_commit(&put, mac, on_kept, told);
	assert_null(put);
	return 0;
}

struct got {
	unsigned	told;
	bool		ok;
	size_t		size;
	bool		right;
	unsigned	n;		/* which object it should be */
	char		why[200];
};

static inline void
check_content(struct got *g, struct spool_content *c)
{
	/* Not from the heap, which is filled under a test that asks thousands of times. */
	static char is[4 << 20], want[4 << 20];
	size_t n = c->data.n;

	if (c->ok && c->fd != -1) {
		ssize_t k;

		n = 0;
		while ((k = pread(c->fd, is + n, sizeof(is) - n, (off_t)n)) > 0)
			n += (size_t)k;
		close(c->fd);
	} else if (c->ok)
		memcpy(is, c->data.p, n);
	g->ok = c->ok;
	g->size = n;
	a_body(g->n, 0, want, n);
	g->right = c->ok && memcmp(is, want, n) == 0;
}

static inline void
on_got(void *arg, int64_t row, struct spool_content *c, const struct why *why)
{
	struct got *g = arg;

	g->told++;
	snprintf(g->why, sizeof(g->why), "%.190s", why->text);
	check_content(g, c);
}

struct listed {
	unsigned	told;
	bool		ok;
	size_t		n;
	int64_t		rows[64];
	struct spool_object first;
};

static inline void
on_listed(void *arg, bool ok, const struct spool_object *o, size_t n)
{
	struct listed *l = arg;

	l->told++;
	l->ok = ok;
	l->n = n;
	for (size_t i = 0; i < n && i < 64; i++)
		l->rows[i] = o[i].row;
	if (n > 0)
		l->first = o[0];
}

struct done {
	unsigned	told;
	bool		ok;
	char		why[300];
};

static inline void
on_done(void *arg, bool ok, const struct why *why)
{
	struct done *d = arg;

	d->told++;
	d->ok = ok;
	snprintf(d->why, sizeof(d->why), "%.290s", why->text);
}

struct mark_told {
	unsigned	told;
	enum marked	last;
	char		why[300];
};

static inline void
on_marked(void *arg, enum marked marked, const struct why *why)
{
	struct mark_told *t = arg;

	t->told++;
	t->last = marked;
	snprintf(t->why, sizeof(t->why), "%.290s", why->text);
}

#endif
