#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
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
/* A look lists what waits, for `status`, the quota and the alarms, and finds the store again. */
#define LOOK_MS		300000
#define LOOK_FULL_MS	30000		/* while half of the quota or more is used */
#define LOOK_AWAY_MS	5000
#define LOOK_PAGES	10		/* ten thousand names: what is beyond is not counted */

struct bucket_proc;

struct item {				/* from reception's question to our answer */
	struct item	*next;
	struct bucket_proc *of;
	struct deposit	*deposit;
	uint64_t	 tag;
	uint64_t	 size;
	struct uuid	 id;
	struct instant	 came, again;	/* again: not tried before */
	int64_t		 pause_ms;
	bool		 busy;
};

enum trouble {
	TROUBLE_NONE = 0,
	TROUBLE_REACH,		/* it does not answer, or fails */
	TROUBLE_LOOK,		/* it does not know us */
	TROUBLE_PUT,		/* it takes nothing of us: only a PUT shows that it does again */
};

struct look {
	struct s3_walk	 walk;
	int64_t		 n, oldest_ms;
	uint64_t	 octets;
	uint64_t	 put_before;	/* what we had put when it began */
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
	struct board_bucket *board;
	int		 large_fd;
	struct item	*items, **last;	/* the oldest first */
	unsigned	 nbusy;
	enum trouble	 trouble;
	struct s3_call	*call;		/* of a look */
	struct look	 look, seen;	/* under way; the last whole one */
	struct instant	 look_at;
	bool		 skewed;	/* it was asked a second time for the clock */
	uint64_t	 put;		/* octets, since start */
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

static void
look_in(struct bucket_proc *b, int64_t ms)
{
	b->look_at.ns = instant_now().ns + ms * 1000000;
	atomic_store(&b->board->next_ms, wall_ms() + ms);
}

/* --- what is shown ------------------------------------------------------------------------ */

static void
show_trouble(struct bucket_proc *b, enum trouble what, const char *words)
{
	struct board_bucket *o = b->board;

	if (what < b->trouble)		/* what is worse is shown until it is over */
		return;
	if (what != b->trouble || strncmp(o->error, words, sizeof(o->error) - 1) != 0)
		log_warn(NULL, "bucket.trouble bucket=%s: %s", conf_of(b)->name, words);
	b->trouble = what;
	atomic_store(&o->alarm, what > TROUBLE_REACH);
	memset(o->error, 0, sizeof(o->error));
	span_copy(span_of(words, strnlen(words, sizeof(o->error) - 1)), o->error,
	    sizeof(o->error));
}

/* All trouble up to this one is over. */
static void
well(struct bucket_proc *b, enum trouble most)
{
	atomic_store(&b->board->away, 0);
	if (b->trouble == TROUBLE_NONE || b->trouble > most)
		return;
	b->trouble = TROUBLE_NONE;
	log_info(NULL, "bucket.well bucket=%s", conf_of(b)->name);
	atomic_store(&b->board->alarm, 0);
	memset(b->board->error, 0, sizeof(b->board->error));
}

static void
tell(struct bucket_proc *b, enum wire_type type, uint64_t tag, const struct wire_out *w)
{
	struct span body = wire_span(w);

	/* A reception that reads so little of so few words is none: it gets no more answers. */
	if (b->reception != NULL && !chan_send(b->reception, (uint16_t)type, tag, &body, 1, -1))
		chan_free(&b->reception);
}

/* Octets until hold.quota lies there, of everybody's, as far as the last look and we know. */
static void
tell_room(struct bucket_proc *b)
{
	uint64_t quota = b->proc->edge->hold.quota;
	uint64_t there = b->seen.octets + (b->put - b->seen.put_before);
	uint64_t room = there < quota ? quota - there : 0;
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
		log_warn(uuid_text(it->id).s, "bucket.not_kept size=%llu ms=%lld: %s",
		    (unsigned long long)it->size,
		    (long long)instant_ms_since(it->came, instant_now()), words);
	answer(it->of, it->tag, kept, words);
	item_free(it);
}

static void
item_later(struct item *it, int64_t wait_ms, const struct why *why)
{
	struct bucket_proc *b = it->of;
	struct instant soon = { instant_now().ns + LOOK_AWAY_MS * INT64_C(1000000) };

	it->busy = false;
	b->nbusy--;
	it->pause_ms = it->pause_ms == 0 ? PAUSE_LEAST_MS : it->pause_ms < PAUSE_MOST_MS ?
	    2 * it->pause_ms : PAUSE_MOST_MS;
	it->again.ns = instant_now().ns +
	    (wait_ms > it->pause_ms ? wait_ms : it->pause_ms) * 1000000;
	show_trouble(b, TROUBLE_REACH, why->text);
	if (soon.ns < b->look_at.ns)
		look_in(b, LOOK_AWAY_MS);
}

static void
on_deposited(void *arg, enum deposited what, int64_t wait_ms, const struct why *why)
{
	struct item *it = arg;
	struct bucket_proc *b = it->of;

	switch (what) {
	case DEPOSIT_KEPT:
		b->put += it->size;
		atomic_fetch_add(&b->board->taken, 1);
		well(b, TROUBLE_PUT);
		item_end(it, KEPT, "");
		break;
	case DEPOSIT_FULL:
	case DEPOSIT_REFUSED:
		show_trouble(b, TROUBLE_PUT, why->text);
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
		if (b->trouble == TROUBLE_NONE)
			show_trouble(b, TROUBLE_REACH, "it takes longer than bucket.patience");
		atomic_store(&b->board->away, 1);
		look_in(b, 0);
		item_end(it, NOT_KEPT, "the store has not taken it within bucket.patience");
	}
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

/* False: it is no question that reception may ask. */
static bool
take(struct bucket_proc *b, struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);
	struct spool_meta meta;
	unsigned char mac[OBJECT_MAC_LEN];
	char file[WIRE_FILE_LEN + 1];
	struct span data = { NULL, 0 };
	uint64_t size = 0;
	struct item *it;
	int fd = -1;

	wire_get_meta(&in, &meta);
	wire_get_octets(&in, mac, sizeof(mac));
	wire_get_text(&in, file, sizeof(file));
	if (file[0] != '\0')
		size = (uint64_t)wire_get_row(&in);
	else
		size = (data = wire_rest(&in)).n;
	if (m->type != WM_PUT || m->tag == 0 || m->fd != -1 || !wire_done(&in) ||
	    meta.signer[0] == '\0' || meta.origin != ORIGIN_RECEPTION ||
	    (file[0] != '\0' && !file_name_ok(file)))
		return false;
	if (file[0] != '\0' && (fd = open_file(b, file, size)) == -1) {
		answer(b, m->tag, NOT_KEPT, "a large object's file is gone");
		return true;
	}
	if ((it = calloc(1, sizeof(*it))) == NULL) {
		if (fd != -1)
			close(fd);
		answer(b, m->tag, NOT_KEPT, "memory is out");
		return true;
	}
	*it = (struct item){ .of = b, .tag = m->tag, .size = size, .id = meta.id,
		.came = instant_now() };
	it->deposit = fd != -1 ? deposit_of_file(&b->to, &meta, mac, fd, size, on_deposited, it) :
	    deposit_new(&b->to, &meta, mac, data, on_deposited, it);
	if (it->deposit == NULL) {
		free(it);
		answer(b, m->tag, NOT_KEPT, "memory is out");
		return true;
	}
	*b->last = it;
	b->last = &it->next;
	begin_more(b);
	return true;
}

/* --- looks -------------------------------------------------------------------------------- */

static void
on_page(void *arg, const struct s3_page *page)
{
	struct bucket_proc *b = arg;
	struct look *l = &b->look;

	for (size_t i = 0; i < page->n; i++) {
		const struct s3_object *o = &page->objects[i];

		l->n++;
		l->octets += o->size;
		if (l->oldest_ms == 0 || o->modified_ms < l->oldest_ms)
			l->oldest_ms = o->modified_ms;
	}
}

static void on_looked(void *, const struct s3_answer *);
static const struct s3_ops look_ops = { .page = on_page, .done = on_looked };

static void
next_page(struct bucket_proc *b)
{
	struct why why;

	b->call = s3_list(b->s3, conf_of(b)->prefix, S3_PAGE_MAX, &b->look.walk, &look_ops, b,
	    &why);
	if (b->call == NULL)
		look_in(b, LOOK_AWAY_MS);
}

static void
looked(struct bucket_proc *b)
{
	struct board_bucket *o = b->board;

	b->seen = b->look;
	atomic_store(&o->looking, 0);
	atomic_store(&o->waiting, b->seen.n);
	atomic_store(&o->octets, (int64_t)b->seen.octets);
	atomic_store(&o->oldest_ms, b->seen.oldest_ms);
	atomic_store(&o->looked_ms, wall_ms());
	well(b, TROUBLE_LOOK);
	look_in(b, b->seen.octets > b->proc->edge->hold.quota / 2 ? LOOK_FULL_MS : LOOK_MS);
}

static void
on_looked(void *arg, const struct s3_answer *a)
{
	struct bucket_proc *b = arg;

	b->call = NULL;
	if (a->end == S3_SKEWED && !b->skewed) {
		b->skewed = true;
		next_page(b);
		return;
	}
	if (a->end == S3_DONE && !b->look.walk.over && b->look.walk.pages < LOOK_PAGES) {
		next_page(b);
		return;
	}
	atomic_fetch_add(&b->board->looks, 1);
	if (a->end == S3_DONE) {
		looked(b);
	} else if (a->end == S3_FORBIDDEN && strcmp(a->code, "AccessDenied") == 0) {
		/* They are known, and may put, perhaps: an edge needs no more. */
		atomic_store(&b->board->looking, 0);
		well(b, TROUBLE_LOOK);
		look_in(b, LOOK_MS);
	} else {
		bool person = a->end == S3_NO_BUCKET || a->end == S3_FORBIDDEN ||
		    a->end == S3_ELSEWHERE || a->end == S3_UNKNOWN;

		atomic_store(&b->board->looking, 0);
		atomic_store(&b->board->away, 1);
		show_trouble(b, person ? TROUBLE_LOOK : TROUBLE_REACH, a->why.text);
		look_in(b, a->wait_ms > LOOK_AWAY_MS ? a->wait_ms : LOOK_AWAY_MS);
	}
	tell_room(b);
}

static void
look_if_due(struct bucket_proc *b)
{
	if (b->call != NULL || b->draining || b->look_at.ns > instant_now().ns)
		return;
	b->look = (struct look){ .put_before = b->put };
	b->skewed = false;
	atomic_store(&b->board->looking, 1);
	next_page(b);
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

static void
greet(struct bucket_proc *b)
{
	struct wire_out w = { .n = 0 };

	chan_start(b->reception, on_message, on_gone, b);
	wire_u64(&w, b->proc->edge->hold.reserve);
	tell(b, WE_HELLO, 0, &w);
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
		look_in(b, 0);
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
		resolver_attach(b->resolver, chan);
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
	look_if_due(b);
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
	b->board = &p->board->bucket[0];
	memset(b->board->name, 0, sizeof(b->board->name));
	span_copy(span_str(c->name), b->board->name, sizeof(b->board->name));
	memset(b->board->error, 0, sizeof(b->board->error));
	atomic_store(&b->board->alarm, 0);
	atomic_store(&b->board->expires_ms, -1);
	atomic_store(&b->board->away, 0);
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
	.drain = drain,
};
