#include "edge/deposit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/codec.h"
#include "proto/crypto.h"

#define PIECE		(64u << 10)	/* of a file, at a time */
#define META_EDGE	"posthouse-edge"
#define META_MAC	"posthouse-mac"

/* A file's sum is made on a thread of libuv's, so that small objects need not wait for it. */
struct summing {
	uv_work_t	 work;
	struct deposit	*of;		/* NULL: it went */
	int		 fd;		/* of its own */
	uint64_t	 size;
	unsigned char	 sha256[SHA256_LEN];
	bool		 ok;
};

struct deposit {
	const struct deposit_to *to;
	deposit_fn	*done;
	void		*arg;
	char		 key[DEPOSIT_KEY_MAX];
	char		 signer[256], mac[2 * OBJECT_MAC_LEN + 1];
	struct buf	 data;
	int		 fd;		/* -1: in data */
	uint64_t	 size, at;	/* octets in all, and pulled */
	unsigned char	 sha256[SHA256_LEN];
	bool		 summed;
	bool		 same;		/* what is there is this object */
	bool		 skewed;	/* it was asked a second time for the clock */
	struct summing	*summing;
	struct s3_call	*call;
};

static void begin_put(struct deposit *);

static void
tell(struct deposit *d, enum deposited what, const struct s3_answer *a)
{
	d->done(d->arg, what, a->wait_ms, &a->why);
}

static void
broken(struct deposit *d, const char *words)
{
	struct why why;

	why_set(&why, "%s", words);
	d->done(d->arg, DEPOSIT_BROKEN, 0, &why);
}

/* --- what a failure means ----------------------------------------------------------------- */

static enum deposited
meaning(const struct s3_answer *a)
{
	switch (a->end) {
	case S3_DONE:
		return DEPOSIT_KEPT;
	case S3_FORBIDDEN:		/* as Ceph says it */
		return strcmp(a->code, "QuotaExceeded") == 0 ? DEPOSIT_FULL : DEPOSIT_REFUSED;
	case S3_NO_BUCKET:
	case S3_ELSEWHERE:
	case S3_UNKNOWN:
	case S3_REFUSED:
		return DEPOSIT_REFUSED;
	case S3_STOPPED:
		return DEPOSIT_BROKEN;
	default:
		/* S3_GONE too: home took it, perhaps, and knows the id when it comes again. */
		return DEPOSIT_LATER;
	}
}

/* Asks again, once, what was refused for our clock. */
static bool
once_more(struct deposit *d, const struct s3_answer *a)
{
	if (a->end != S3_SKEWED || d->skewed)
		return false;
	d->skewed = true;
	return true;
}

/* --- is it there already? ----------------------------------------------------------------- */

static bool
on_head(void *arg, const struct s3_head *h)
{
	struct deposit *d = arg;
	unsigned same = 0;

	for (size_t i = 0; i < h->nmeta; i++)
		same += (strcmp(h->meta[i].name, META_EDGE) == 0 &&
		    span_eq(h->meta[i].value, span_str(d->signer))) ||
		    (strcmp(h->meta[i].name, META_MAC) == 0 &&
		    span_eq(h->meta[i].value, span_str(d->mac)));
	d->same = same == 2 && h->size == d->size;
	return true;
}

static void begin_head(struct deposit *);

static void
on_looked(void *arg, const struct s3_answer *a)
{
	struct deposit *d = arg;
	struct s3_answer other = *a;

	d->call = NULL;
	if (once_more(d, a)) {
		begin_head(d);
	} else if (a->end == S3_DONE && !d->same) {
		why_set(&other.why, "%s is there already, and is another object", d->key);
		tell(d, DEPOSIT_REFUSED, &other);
	} else {
		tell(d, meaning(a), a);
	}
}

static const struct s3_ops head_ops = { .head = on_head, .done = on_looked };

static void
begin_head(struct deposit *d)
{
	struct why why;

	d->same = false;
	d->call = s3_head(d->to->s3, d->key, &head_ops, d, &why);
	if (d->call == NULL)
		broken(d, why.text);
}

/* --- PUT ---------------------------------------------------------------------------------- */

static ssize_t
pull(void *arg, char *out, size_t room)
{
	struct deposit *d = arg;
	uint64_t left = d->size - d->at;
	size_t n = left < room ? (size_t)left : room;
	ssize_t got = (ssize_t)n;

	if (d->fd == -1)
		memcpy(out, d->data.p + d->at, n);
	else
		got = pread(d->fd, out, n, (off_t)d->at);	/* a file's: never EINTR */
	if (got <= 0 && n > 0)
		return -1;		/* the file was cut, or the disk fails */
	d->at += (uint64_t)got;
	return got;
}

static bool
again(void *arg)
{
	((struct deposit *)arg)->at = 0;
	return true;
}

static void
on_put(void *arg, const struct s3_answer *a)
{
	struct deposit *d = arg;

	d->call = NULL;
	if (once_more(d, a))
		begin_put(d);
	else if (a->end == S3_EXISTS)
		begin_head(d);
	else
		tell(d, meaning(a), a);
}

static const struct s3_ops put_ops = { .pull = pull, .again = again, .done = on_put };

static void
begin_put(struct deposit *d)
{
	const struct s3_meta meta[] = {
		{ META_EDGE, span_str(d->signer) }, { META_MAC, span_str(d->mac) },
	};
	const struct s3_put put = { .key = d->key, .size = d->size, .sha256 = d->sha256,
		.only_new = true, .meta = meta, .nmeta = 2 };
	struct why why;

	d->at = 0;
	if ((d->call = s3_put(d->to->s3, &put, &put_ops, d, &why)) == NULL)
		broken(d, why.text);
}

/* --- the sum by which the store sees that all of it came ----------------------------------- */

static bool
sum_file(int fd, uint64_t size, unsigned char out[SHA256_LEN])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	char *piece = malloc(PIECE);
	bool ok = md != NULL && piece != NULL && EVP_DigestInit_ex(md, crypto_sha256(), NULL) == 1;

	for (uint64_t at = 0; ok && at < size;) {
		size_t most = size - at < PIECE ? (size_t)(size - at) : PIECE;
		ssize_t n = pread(fd, piece, most, (off_t)at);

		ok = n > 0 && EVP_DigestUpdate(md, piece, (size_t)n) == 1;
		at += n > 0 ? (uint64_t)n : 0;
	}
	ok = ok && EVP_DigestFinal_ex(md, out, NULL) == 1;
	EVP_MD_CTX_free(md);
	free(piece);
	return ok;
}

static void
sum_run(uv_work_t *work)
{
	struct summing *s = work->data;

	s->ok = sum_file(s->fd, s->size, s->sha256);
}

static void
on_summed(uv_work_t *work, int status)
{
	struct summing *s = work->data;
	struct deposit *d = s->of;

	if (d != NULL) {
		d->summing = NULL;
		d->summed = s->ok;
		memcpy(d->sha256, s->sha256, sizeof(d->sha256));
		if (s->ok)
			begin_put(d);
		else
			broken(d, "a large object's file cannot be read");
	}
	close(s->fd);
	free(s);
}

static void
sum(struct deposit *d)
{
	struct summing *s = calloc(1, sizeof(*s));

	if (s == NULL || (s->fd = dup(d->fd)) == -1) {
		free(s);
		broken(d, "memory or descriptors are out");
		return;
	}
	s->of = d;
	s->size = d->size;
	s->work.data = s;
	d->summing = s;
	if (uv_queue_work(d->to->loop, &s->work, sum_run, on_summed) != 0)
		abort();		/* it only fails where there is no function to run */
}

/* --- its life ----------------------------------------------------------------------------- */

static struct deposit *
new_one(const struct deposit_to *to, const struct spool_meta *meta,
    const unsigned char mac[OBJECT_MAC_LEN], deposit_fn *done, void *arg)
{
	struct deposit *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->to = to;
	d->done = done;
	d->arg = arg;
	d->fd = -1;
	snprintf(d->key, sizeof(d->key), "%s%s.age", to->prefix, uuid_text(meta->id).s);
	snprintf(d->signer, sizeof(d->signer), "%s", meta->signer);
	hex_encode(mac, OBJECT_MAC_LEN, d->mac);
	return d;
}

struct deposit *
deposit_new(const struct deposit_to *to, const struct spool_meta *meta,
    const unsigned char mac[OBJECT_MAC_LEN], struct span data, deposit_fn *done, void *arg)
{
	struct deposit *d = new_one(to, meta, mac, done, arg);

	if (d == NULL)
		return NULL;
	d->size = data.n;
	buf_init(&d->data, data.n);
	if (!buf_add_span(&d->data, data) || EVP_Digest(data.p, data.n, d->sha256, NULL,
	    crypto_sha256(), NULL) != 1)
		deposit_free(&d);
	else
		d->summed = true;
	return d;
}

struct deposit *
deposit_of_file(const struct deposit_to *to, const struct spool_meta *meta,
    const unsigned char mac[OBJECT_MAC_LEN], int fd, uint64_t size, deposit_fn *done, void *arg)
{
	struct deposit *d = new_one(to, meta, mac, done, arg);

	if (d == NULL) {
		close(fd);
		return NULL;
	}
	buf_init(&d->data, 0);
	d->fd = fd;
	d->size = size;
	return d;
}

void
deposit_try(struct deposit *d)
{
	d->skewed = false;
	if (d->summed)
		begin_put(d);
	else
		sum(d);
}

void
deposit_free(struct deposit **dp)
{
	struct deposit *d = *dp;

	if (d == NULL)
		return;
	*dp = NULL;
	if (d->call != NULL)
		s3_call_cancel(&d->call);
	if (d->summing != NULL)
		d->summing->of = NULL;
	if (d->fd != -1)
		close(d->fd);
	buf_fini(&d->data);
	free(d);
}
