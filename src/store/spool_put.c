/* Objects on their way in: in memory while that lasts, else in a file of their own. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/codec.h"
#include "base/secret.h"
#include "store/spool_in.h"

#define LOOK_EVERY	(1u << 20)	/* octets after which the disk's room is looked at again */

struct spool_put {
	struct spool	*spool;
	struct spool_put *next, **prev;		/* while it has a file */
	struct spool_meta meta;
	struct buf	 data;
	int		 fd;			/* -1: in data */
	char		 file[WIRE_FILE_LEN + 1];
	uint64_t	 size, looked_at;
};

struct spool_put *
spool_put_new(struct spool *s, const struct spool_meta *meta)
{
	struct spool_put *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->spool = s;
	p->meta = *meta;
	p->fd = -1;
	buf_init(&p->data, WIRE_INLINE_MAX);
	return p;
}

static int
write_file(struct spool_put *p, const void *b, size_t n, struct why *why)
{
	const struct sys *sys = p->spool->sys;
	const char *at = b;

	while (n > 0) {
		ssize_t k = sys->write(p->fd, at, n);

		if (k == -1 && errno == EINTR)
			continue;
		if (k <= 0)
			return why_sys(why, "spool: a large object cannot be written");
		at += k;
		n -= (size_t)k;
	}
	return 0;
}

/*
 * What is not whole yet counts for no quota.  So that one client network does not fill the
 * disk with messages that it never ends, all of its files but the only one are a share of
 * what such files can have.
 */
static int
look_share(const struct spool_put *p, uint64_t room, struct why *why)
{
	static const struct netaddr none;
	const struct netaddr *net = &p->meta.client_net;
	uint64_t all = room, its = 0, share = p->spool->share;
	unsigned n = 0;

	if (share == 0 || share >= 100 || netaddr_same_ip(net, &none))
		return 0;
	for (const struct spool_put *q = p->spool->files; q != NULL; q = q->next) {
		all += q->size;
		if (netaddr_same_ip(&q->meta.client_net, net)) {
			its += q->size;
			n++;
		}
	}
	if (n > 1 && its > all / 100 * share)
		return why_set(why, "share: network %s has %" PRIu64 " octets on their way, of the "
		    "%" PRIu64 " that one network may", netaddr_cidr(net, SPOOL_NET_V4,
		    SPOOL_NET_V6).s, its, all / 100 * share);
	return 0;
}

/* The writer refuses what is too much; a sender of much is stopped on the way already. */
static int
look(struct spool_put *p, struct why *why)
{
	uint64_t reserve = p->spool->reserve, room;
	struct statvfs v;

	if (p->size < p->looked_at)
		return 0;
	p->looked_at = p->size + LOOK_EVERY;
	if (fstatvfs(p->spool->dirfd, &v) == -1)
		return 0;
	room = (uint64_t)v.f_bavail * v.f_frsize;
	if (room < reserve)
		return why_set(why, "disk: less than the reserve is free");
	return look_share(p, room - reserve, why);
}

static void
list(struct spool_put *p)
{
	struct spool *s = p->spool;

	p->next = s->files;
	if (p->next != NULL)
		p->next->prev = &p->next;
	p->prev = &s->files;
	s->files = p;
}

static void
unlist(struct spool_put *p)
{
	if (p->next != NULL)
		p->next->prev = p->prev;
	*p->prev = p->next;
}

static int
to_file(struct spool_put *p, struct why *why)
{
	struct spool *s = p->spool;
	unsigned char rnd[WIRE_FILE_LEN / 2];
	int rc;

	if (s->dirfd == -1)
		return why_set(why, "spool: this process keeps no large objects");
	random_bytes(rnd, sizeof(rnd));
	hex_encode(rnd, sizeof(rnd), p->file);
	p->fd = s->sys->openat(s->dirfd, p->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (p->fd == -1) {
		p->file[0] = '\0';
		return why_sys(why, "spool: a large object's file cannot be made");
	}
	list(p);
	rc = write_file(p, p->data.p, p->data.n, why);
	s->memory -= p->data.n;
	buf_fini(&p->data);
	buf_init(&p->data, 0);
	return rc;
}

int
spool_put_add(struct spool_put *p, const void *b, size_t n, struct why *why)
{
	struct spool *s = p->spool;

	if (n == 0)
		return 0;
	if (p->fd == -1 && (p->data.n + n > s->threshold || s->memory + n > s->budget) &&
	    to_file(p, why) == -1)
		return -1;
	p->size += n;
	if (p->fd != -1)
		return look(p, why) == -1 ? -1 : write_file(p, b, n, why);
	if (!buf_add(&p->data, b, n))
		return why_set(why, "spool: memory is out");
	s->memory += n;
	return 0;
}

/* The put's octets or its file become the question's.  Frees the put. */
static struct ask *
hand_on(struct spool_put **pp, struct wire_out *w, enum wire_type type, const unsigned char *mac,
    void *arg)
{
	struct spool_put *p = *pp;
	struct spool *s = p->spool;
	struct ask *a;

	*pp = NULL;
	wire_meta(w, &p->meta);
	wire_octets(w, mac, OBJECT_MAC_LEN);
	wire_text(w, p->file);
	if (p->fd != -1)
		wire_u64(w, p->size);
	a = ask_new(s, type, w, arg);
	if (p->fd != -1) {
		unlist(p);
		/* the writer syncs it, and looks whether all of it is there */
		s->sys->close(p->fd);
	}
	a->content = p->data;
	a->octets = p->data.n;
	free(p);
	return a;
}

void
spool_put_commit(struct spool_put **pp, const unsigned char mac[OBJECT_MAC_LEN],
    spool_kept_fn *told, void *arg)
{
	struct spool *s = (*pp)->spool;
	struct wire_out w = { .n = 0 };
	struct ask *a = hand_on(pp, &w, WM_PUT, mac, arg);

	a->fn.kept = told;
	ask_go(s, a);
}

void
spool_set_aside(struct spool_put **pp, const char *reason, spool_done_fn *told, void *arg)
{
	static const unsigned char no_mac[OBJECT_MAC_LEN];
	struct spool *s = (*pp)->spool;
	struct wire_out w = { .n = 0 };
	char text[WIRE_REASON_MAX];
	struct ask *a;

	(void)span_copy(span_str(reason), text, sizeof(text));
	wire_text(&w, text);
	a = hand_on(pp, &w, WM_ASIDE, no_mac, arg);
	a->fn.done = told;
	ask_go(s, a);
}

void
spool_put_drop(struct spool_put **pp)
{
	struct spool_put *p = *pp;

	if (p == NULL)
		return;
	*pp = NULL;
	if (p->fd != -1) {
		unlist(p);
		p->spool->sys->close(p->fd);
		(void)p->spool->sys->unlinkat(p->spool->dirfd, p->file, 0);
	}
	p->spool->memory -= p->data.n;
	buf_fini(&p->data);
	free(p);
}
