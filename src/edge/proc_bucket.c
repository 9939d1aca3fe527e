#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "edge/bucket_watch.h"
#include "edge/deposit.h"
#include "priv/proc.h"
#include "proto/crypto.h"
#include "store/wire.h"

/*
 * The bucket process of an edge with spool = "s3://...": reception gives it sealed objects, as
 * it gives them to the writer elsewhere (store/wire.h), and it answers each when the store has
 * it, can never have it, or has not taken it within bucket.patience.
 *
 * It holds the store's credentials and the directory of large objects, whose files it opens and
 * takes away at once: what is not in the store is nowhere, and was promised to nobody.  It talks
 * to reception, the store and the resolver.  An attacker inside it sees sealed octets and can
 * lose mail that passes while he is there, or empty the bucket; he has no key that signs.
 *
 * Memory is bounded by what reception may have under way (hold.memory), connections by
 * bucket.puts.
 */
#define TICK_MS		1000
#define PAUSE_LEAST_MS	500		/* between tries of one object, doubling */
#define PAUSE_MOST_MS	8000
#define LOOK_SOON_MS	5000		/* after one that the store did not take */

struct bucket_proc;

struct item {				/* from reception's question to our answer */
	struct item	*next;
	struct bucket_proc *of;
	struct deposit	*deposit;
	uint64_t	 tag;
	uint64_t	 size;
	struct spool_meta meta;
	struct instant	 came, again;	/* again: not tried before */
	int64_t		 pause_ms;
	bool		 busy;
};

struct bucket_proc {
	struct proc	*proc;
	struct chan	*reception;	/* came before start, or NULL */
	struct resolver	*resolver;
	struct http	*http;
	struct s3	*s3;		/* NULL before start */
	struct s3_keys	 keys;		/* until start */
	struct buf	 authorities;	/* PEM; empty: this machine's */
	struct deposit_to to;
	struct bucket_watch *watch;
	int		 large_fd;
	struct item	*items, **last;	/* the oldest first */
	unsigned	 nbusy;
	uint64_t	 room_told;
	bool		 running, draining;
	bool		 beginning;	/* begin_more is at work */
	uv_timer_t	 tick;
};

static const struct conf_bucket *
conf_of(const struct bucket_proc *b)
{
	return &b->proc->edge->bucket[0];
}

/* --- what is told ------------------------------------------------------------------------- */

static void
tell(struct bucket_proc *b, enum wire_type type, uint64_t tag, const struct wire_out *w)
{
	struct span body = wire_span(w);

	/* A reception that reads so little of so few words is none: it gets no more answers. */
	if (b->reception != NULL && !chan_send(b->reception, (uint16_t)type, tag, &body, 1, -1))
		chan_free(&b->reception);
}

static void
tell_room(void *arg)
{
	struct bucket_proc *b = arg;
	uint64_t room = bucket_watch_room(b->watch);
	struct wire_out w = { .n = 0 };

	if (room == b->room_told)
		return;
	b->room_told = room;
	wire_u64(&w, room);
	tell(b, WE_ROOM, 0, &w);
}

/* --- objects ------------------------------------------------------------------------------ */

static void begin_more(struct bucket_proc *);

static void
answer(struct bucket_proc *b, uint64_t tag, enum kept kept, const char *words)
{
	struct wire_out w = { .n = 0 };
	char text[WIRE_REASON_MAX];

	(void)log_escape_words(span_str(words), text, sizeof(text));	/* the store's, perhaps */
	wire_u8(&w, kept);
	wire_u64(&w, 0);
	wire_text(&w, text);
	tell(b, WA_KEPT, tag, &w);
}

static void
item_free(struct item *it)
{
	struct bucket_proc *b = it->of;
	struct item **at = &b->items;

	while (*at != it)
		at = &(*at)->next;
	if ((*at = it->next) == NULL)
		b->last = at;
	b->nbusy -= it->busy;
	deposit_free(&it->deposit);
	free(it);
}

static void
item_end(struct item *it, enum kept kept, const char *words)
{
	if (kept != KEPT)
		log_warn(uuid_text(it->meta.id).s, "bucket.not_kept size=%llu ms=%lld: %s",
		    (unsigned long long)it->size,
		    (long long)instant_ms_since(it->came, instant_now()), words);
	answer(it->of, it->tag, kept, words);
	item_free(it);
}

static void
item_later(struct item *it, int64_t wait_ms, const struct why *why)
{
	struct bucket_proc *b = it->of;

	it->busy = false;
	b->nbusy--;
	it->pause_ms = it->pause_ms == 0 ? PAUSE_LEAST_MS : it->pause_ms < PAUSE_MOST_MS ?
	    2 * it->pause_ms : PAUSE_MOST_MS;
	it->again.ns = instant_now().ns +
	    (wait_ms > it->pause_ms ? wait_ms : it->pause_ms) * 1000000;
	bucket_watch_trouble(b->watch, TROUBLE_REACH, why->text);
	bucket_watch_soon(b->watch, LOOK_SOON_MS);
}

static void
on_deposited(void *arg, enum deposited what, int64_t wait_ms, const struct why *why)
{
	struct item *it = arg;
	struct bucket_proc *b = it->of;

	switch (what) {
	case DEPOSIT_KEPT:
		bucket_watch_put(b->watch, &it->meta, it->size);
		item_end(it, KEPT, "");
		break;
	case DEPOSIT_FULL:
	case DEPOSIT_REFUSED:
		bucket_watch_trouble(b->watch, TROUBLE_PUT, why->text);
		item_end(it, what == DEPOSIT_FULL ? KEPT_FULL : NOT_KEPT, why->text);
		break;
	case DEPOSIT_BROKEN:
		item_end(it, NOT_KEPT, why->text);
		break;
	case DEPOSIT_LATER:
		item_later(it, wait_ms, why);
		break;
	}
	begin_more(b);
}

/* As many as there are places, the oldest first. */
static void
begin_more(struct bucket_proc *b)
{
	struct item *it = b->beginning ? NULL : b->items;

	while (it != NULL && b->nbusy < conf_of(b)->puts) {
		if (it->busy || it->again.ns > instant_now().ns) {
			it = it->next;
			continue;
		}
		it->busy = true;
		b->nbusy++;
		b->beginning = true;	/* its end may come at once: it must not come back here */
		deposit_try(it->deposit);
		b->beginning = false;
		it = b->items;
	}
}

/* Their senders have waited long enough; those who come now need not. */
static void
end_overdue(struct bucket_proc *b)
{
	int64_t most = conf_of(b)->patience_ms;
	struct item *next;

	for (struct item *it = b->items; it != NULL; it = next) {
		next = it->next;
		if (instant_ms_since(it->came, instant_now()) < most)
			continue;
		bucket_watch_away(b->watch, "it takes longer than bucket.patience");
		item_end(it, NOT_KEPT, "the store has not taken it within bucket.patience");
	}
}

/* Of that home, from net or from all: what lies there by us, and what is on its way. */
static uint64_t
octets_of(const struct bucket_proc *b, const char *home, const struct netaddr *net)
{
	uint64_t n = bucket_watch_of(b->watch, home, net);

	for (const struct item *it = b->items; it != NULL; it = it->next)
		if (strcmp(it->meta.home, home) == 0 &&
		    (net == NULL || netaddr_same_ip(&it->meta.client_net, net)))
			n += it->size;
	return n;
}

/* home.quota and hold.share, as the writer has them of what lies here (store/db_spool.c). */
static bool
fits(const struct bucket_proc *b, const struct spool_meta *m, uint64_t size, struct why *why)
{
	static const struct netaddr none;
	const struct conf_edge *c = b->proc->edge;
	uint64_t quota = conf_edge_quota(c, m->home), held = octets_of(b, m->home, NULL);
	uint64_t most = quota / 100 * c->hold.share;

	if (held + size > quota) {
		why_set(why, "quota: home %s has %" PRIu64 " of %" PRIu64 " octets in the bucket",
		    m->home, held, quota);
		return false;
	}
	if (c->hold.share == 0 || c->hold.share >= 100 ||
	    netaddr_same_ip(&m->client_net, &none))
		return true;
	/* One message it may have, as the writer would let it have one of its own disk. */
	if ((held = octets_of(b, m->home, &m->client_net)) > 0 && held + size > most) {
		why_set(why, "share: network %s has %" PRIu64 " of the %" PRIu64 " octets that one "
		    "network may fill for home %s", netaddr_cidr(&m->client_net, SPOOL_NET_V4,
		    SPOOL_NET_V6).s, held, most, m->home);
		return false;
	}
	return true;
}

static bool
file_name_ok(const char *s)
{
	return strlen(s) == WIRE_FILE_LEN && s[strspn(s, "0123456789abcdef")] == '\0';
}

/* Its name goes at once: whatever ends us, nothing stays behind.  -1: it is not what was said. */
static int
open_file(struct bucket_proc *b, const char *name, uint64_t size)
{
	int fd = openat(b->large_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	(void)unlinkat(b->large_fd, name, 0);
	if (fd != -1 && (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_size < 0 ||
	    (uint64_t)st.st_size != size)) {
		close(fd);
		return -1;
	}
	return fd;
}

struct question {			/* reception's WM_PUT */
	struct spool_meta meta;
	unsigned char	 mac[OBJECT_MAC_LEN];
	char		 file[WIRE_FILE_LEN + 1];	/* "": its octets are data */
	struct span	 data;
	uint64_t	 size;
};

/* False: it is none that reception may ask. */
static bool
question_read(const struct chan_msg *m, struct question *q)
{
	struct wire_in in = wire_in(m->body);

	*q = (struct question){ .size = 0 };
	wire_get_meta(&in, &q->meta);
	wire_get_octets(&in, q->mac, sizeof(q->mac));
	wire_get_text(&in, q->file, sizeof(q->file));
	if (q->file[0] != '\0')
		q->size = (uint64_t)wire_get_row(&in);
	else
		q->size = (q->data = wire_rest(&in)).n;
	return m->type == WM_PUT && m->tag != 0 && m->fd == -1 && wire_done(&in) &&
	    q->meta.signer[0] != '\0' && q->meta.origin == ORIGIN_RECEPTION &&
	    (q->file[0] == '\0' || file_name_ok(q->file));
}

/* Takes fd, on failure too; -1: a small one.  False: memory is out. */
static bool
item_add(struct bucket_proc *b, uint64_t tag, const struct question *q, int fd)
{
	struct item *it = calloc(1, sizeof(*it));

	if (it == NULL) {
		if (fd != -1)
			close(fd);
		return false;
	}
	*it = (struct item){ .of = b, .tag = tag, .size = q->size, .meta = q->meta,
		.came = instant_now() };
	it->deposit = fd != -1 ?
	    deposit_of_file(&b->to, &q->meta, q->mac, fd, q->size, on_deposited, it) :
	    deposit_new(&b->to, &q->meta, q->mac, q->data, on_deposited, it);
	if (it->deposit == NULL) {
		free(it);
		return false;
	}
	*b->last = it;
	b->last = &it->next;
	return true;
}

/* False: reception is not itself. */
static bool
take(struct bucket_proc *b, const struct chan_msg *m)
{
	struct question q;
	struct why why;
	int fd = -1;

	if (!question_read(m, &q))
		return false;
	if (q.file[0] != '\0' && (fd = open_file(b, q.file, q.size)) == -1) {
		answer(b, m->tag, NOT_KEPT, "a large object's file is gone");
	} else if (!fits(b, &q.meta, q.size, &why)) {
		if (fd != -1)
			close(fd);
		answer(b, m->tag, KEPT_FULL, why.text);
		bucket_watch_full(b->watch);
	} else if (!item_add(b, m->tag, &q, fd)) {
		answer(b, m->tag, NOT_KEPT, "memory is out");
	} else {
		begin_more(b);
	}
	return true;
}

/* --- what others tell --------------------------------------------------------------------- */

/* Nobody is there to be told: its senders were told nothing either, and come again. */
static void
forget_all(struct bucket_proc *b)
{
	while (b->items != NULL)
		item_free(b->items);
}

static void
on_gone(void *arg, const struct why *why)
{
	struct bucket_proc *b = arg;

	chan_free(&b->reception);
	forget_all(b);
}

static void
on_message(void *arg, struct chan_msg *m)
{
	struct bucket_proc *b = arg;

	if (take(b, m))
		return;
	log_error(NULL, "reception.message type=%u octets=%zu is none of ours: dropped", m->type,
	    m->body.n);
	chan_free(&b->reception);
	forget_all(b);
}

/* Those that reception keeps itself. */
static void
tell_limits(struct bucket_proc *b)
{
	const struct conf_hold *hold = &b->proc->edge->hold;
	struct wire_out w = { .n = 0 };

	wire_u64(&w, hold->reserve);
	wire_u8(&w, hold->share);
	tell(b, WE_LIMITS, 0, &w);
}

static void
greet(struct bucket_proc *b)
{
	static const struct wire_out nothing;

	chan_start(b->reception, on_message, on_gone, b);
	tell_limits(b);
	tell(b, WE_HELLO, 0, &nothing);
	b->room_told = UINT64_MAX;
	tell_room(b);
}

static struct bucket_proc *
bucket_of(struct proc *p)
{
	struct bucket_proc *b = p->arg;

	if (b != NULL)
		return b;
	if ((b = calloc(1, sizeof(*b))) == NULL || (b->resolver = resolver_new()) == NULL)
		abort();		/* at start: memory is out */
	b->proc = p;
	b->large_fd = -1;
	b->last = &b->items;
	buf_init(&b->authorities, CONF_FILE_MAX);
	p->arg = b;
	return b;
}

static void
on_secret(struct proc *p, const char *name, struct span value)
{
	struct bucket_proc *b = bucket_of(p);
	struct s3_keys keys;
	struct why why;

	/* Other authorities are for the next start: the client of the store holds on to them. */
	if (strncmp(name, CONF_BUCKET_CA, strlen(CONF_BUCKET_CA)) == 0 && b->authorities.n == 0)
		buf_add_span(&b->authorities, value);
	if (strncmp(name, CONF_BUCKET_SECRET, strlen(CONF_BUCKET_SECRET)) != 0)
		return;
	/* The parent has seen that it is whole. */
	if (s3_keys_parse(value, &keys, &why) == -1) {
		log_error(NULL, "bucket.credentials: %s", why.text);
	} else if (b->s3 != NULL) {
		s3_keys_change(b->s3, &keys);
		bucket_watch_soon(b->watch, 0);
	} else {
		b->keys = keys;
	}
	s3_keys_fini(&keys);
}

static void
on_dir(struct proc *p, const char *name, int fd)
{
	struct bucket_proc *b = bucket_of(p);

	if (strcmp(name, "large") != 0 || b->large_fd != -1)
		close(fd);
	else
		b->large_fd = fd;
}

static void
on_peer_chan(struct proc *p, enum proc_kind kind, struct chan *chan)
{
	struct bucket_proc *b = bucket_of(p);

	if (kind == PROC_RESOLVER) {
		resolver_attach(b->resolver, chan, p->common->dns_timeout_ms);
	} else if (kind == PROC_RECEPTION) {
		if (b->reception != NULL)
			chan_free(&b->reception);
		forget_all(b);
		b->reception = chan;
		if (b->running)
			greet(b);
	} else {
		chan_free(&chan);
	}
}

static void
on_tick(uv_timer_t *timer)
{
	struct bucket_proc *b = timer->data;

	/* Reception ends first: until then it may have more for us. */
	if (b->draining && b->reception == NULL) {
		uv_timer_stop(&b->tick);
		uv_stop(b->proc->loop);
		return;
	}
	end_overdue(b);
	begin_more(b);
	if (!b->draining)
		bucket_watch_tick(b->watch);
	tell_room(b);
}

/* --- its life ----------------------------------------------------------------------------- */

static int
start(struct proc *p, struct why *why)
{
	struct bucket_proc *b = bucket_of(p);
	const struct conf_bucket *c = conf_of(b);
	const struct s3_place where = { .endpoint = c->endpoint, .bucket = c->bucket,
		.region = c->region, .virtual_host = c->style == CONF_BUCKET_HOST,
		.authorities = buf_span(&b->authorities) };

	if (b->large_fd == -1)
		return why_set(why, "the directory for large objects was not handed over");
	if (!crypto_init())
		return why_set(why, "bucket: OpenSSL offers no SHA-256");
	if ((b->http = http_new(p->loop, why)) == NULL ||
	    (b->s3 = s3_new(b->http, b->resolver, &where, &b->keys, why)) == NULL)
		return -1;
	s3_keys_fini(&b->keys);
	b->to = (struct deposit_to){ p->loop, b->s3, c->prefix };
	b->watch = bucket_watch_new(b->s3, p->edge, &p->board->bucket[0], tell_room, b);
	if (b->watch == NULL)
		return why_set(why, "bucket: memory is out");
	uv_timer_init(p->loop, &b->tick);
	b->tick.data = b;
	return 0;
}

static void
run(struct proc *p)
{
	struct bucket_proc *b = bucket_of(p);

	b->running = true;
	if (b->reception != NULL)
		greet(b);
	uv_timer_start(&b->tick, on_tick, 0, TICK_MS);
}

static void
reload(struct proc *p)
{
	struct bucket_proc *b = bucket_of(p);

	tell_limits(b);
	tell_room(b);
	begin_more(b);
}

static void
drain(struct proc *p)
{
	struct bucket_proc *b = bucket_of(p);

	if (b->s3 == NULL) {
		uv_stop(p->loop);
		return;
	}
	b->draining = true;
	uv_timer_start(&b->tick, on_tick, 0, TICK_MS / 10);
}

const struct proc_ops proc_bucket = {
	.name = "bucket",
	.start = start,
	.run = run,
	.secret = on_secret,
	.dir = on_dir,
	.peer = on_peer_chan,
	.reload = reload,
	.drain = drain,
};
