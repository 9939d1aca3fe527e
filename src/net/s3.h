#ifndef NET_S3_H
#define NET_S3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/why.h"
#include "net/http.h"
#include "net/resolve.h"
#include "proto/s3_keys.h"
#include "proto/s3_listing.h"

/*
 * A client of one bucket in an S3 store (Amazon S3 API reference, 2006-03-01; AWS signature
 * version 4 by libcurl), on the loop, over net/http.h.  Made for objects of ours: names that
 * we chose, a body of known size, a few fields of metadata.
 *
 * It asks once and says what came of it, in words a person can act on: whether and when to
 * ask again is the caller's to decide, by enum s3_end.  It remembers two things: the
 * endpoint's addresses, for a minute or until one does not answer, and how far this
 * machine's clock is from the store's when that refused us for it (S3_SKEWED); requests
 * after that are dated by the store's clock.
 *
 * Connections are kept and shared by calls.  A kept one may have just been closed by the
 * server: what has no body is then asked again by libcurl, and so is a PUT that can be read
 * from its beginning again.  Calls at once are bounded by the caller.  A call's cost in
 * memory is libcurl's buffers, and for a listing the page.
 *
 * Callbacks come from the loop, none from inside a call made here.  In `done` everything is
 * allowed but s3_free; in the others s3_call_pause and _resume.
 */
#define S3_META_MAX	8		/* fields of metadata that we take or give */
#define S3_META_OCTETS	2048		/* all of them: S3's limit; R2 takes 8192 */
#define S3_CALL_MS	60000		/* a call, but for the time that its body may take */
#define S3_STALL_MS	30000		/* without an octet of the body moving */

struct s3;
struct s3_call;

enum s3_end {
	S3_NOT_REACHED = 0,	/* no address, no connection, no TLS we believe: try later */
	S3_DONE,		/* a body was whole and as long as it was said to be */
	S3_BROKEN,		/* connection or answer broke off, or took too long: for a PUT, a
				 * copy or a DELETE it is unknown whether it happened */
	S3_SLOW_DOWN,		/* 429, 503: not before answer.wait_ms */
	S3_FAILED,		/* another 5xx: try later; whether it happened is unknown */
	S3_GONE,		/* 404: no such object (or rule, for the lifecycle) */
	S3_EXISTS,		/* 412 or 409 to a PUT's condition: it is there already */
	S3_CHANGED,		/* the same to a DELETE's: another one is there by now */
	S3_NO_BUCKET,		/* 404: operator */
	S3_FORBIDDEN,		/* 401, 403: credentials or what they may do; operator */
	S3_SKEWED,		/* 403: this clock is wrong; asking again at once is right, once */
	S3_ELSEWHERE,		/* 301, 307, wrong region: operator */
	S3_UNKNOWN,		/* 501, or 405: this store cannot do that */
	S3_REFUSED,		/* another 4xx, a redirect; answer.code */
	S3_STRANGE,		/* whole, but no S3 server's answer, or larger than we take */
	S3_STOPPED,		/* body or pull said so */
};

struct s3_answer {
	enum s3_end	 end;
	unsigned	 status;	/* 0: none came */
	char		 code[S3_CODE_MAX];	/* the store's, "NoSuchKey"; "" none */
	int64_t		 wait_ms;	/* S3_SLOW_DOWN: Retry-After, at least 1 s, at most 1 h */
	int64_t		 skew_ms;	/* S3_SKEWED: our clock less the store's */
	struct why	 why;		/* but for S3_DONE: what and what to do; no secret in it */
};

struct s3_meta {			/* x-amz-meta-NAME: value */
	/*
	 * A token in lower case, without the prefix.  In a PUT none is another with a hyphen
	 * behind: libcurl 7.88 sorts `a-b:` before `a:` and the store does not.
	 */
	const char	*name;
	struct span	 value;		/* printable ASCII; what else there is becomes `?` */
};

struct s3_head {			/* of an object; all borrowed during the callback */
	uint64_t	 size;
	int64_t		 modified_ms;	/* 0: unsaid */
	struct span	 etag;		/* with its quotes; empty: unsaid */
	/* The first S3_META_MAX, of what fits into 8 KiB; names in lower case. */
	struct s3_meta	 meta[S3_META_MAX];
	size_t		 nmeta;
};

struct s3_place {			/* borrowed during s3_new, but for authorities */
	const char	*endpoint;	/* "https://ACCOUNT.r2.cloudflarestorage.com", no path */
	const char	*bucket;
	const char	*region;	/* "auto" for R2 */
	bool		 virtual_host;	/* the bucket's name before the host's, not in the path */
	struct span	 authorities;	/* PEM, until s3_free; empty: this machine's */
};

struct s3_ops {
	/* GET, HEAD: once, before any body.  false: stop.  Optional. */
	bool	(*head)(void *arg, const struct s3_head *);
	/* GET: octets as they come; more come only when this returned.  false: stop. */
	bool	(*body)(void *arg, struct span);
	/* PUT: up to room octets of the body, in order; -1: there is no rest, stop. */
	ssize_t	(*pull)(void *arg, char *out, size_t room);
	/* PUT: the next pull begins at the body's beginning.  false or NULL: it cannot. */
	bool	(*again)(void *arg);
	/* Listing: a whole page, once and before done.  Borrowed. */
	void	(*page)(void *arg, const struct s3_page *);
	/* Lifecycle: the same; S3_GONE when there is none. */
	void	(*lifecycle)(void *arg, const struct s3_lifecycle *);
	/* Exactly once unless cancelled; then the call is gone. */
	void	(*done)(void *arg, const struct s3_answer *);
};

struct s3_put {				/* borrowed during s3_put */
	const char	*key;
	uint64_t	 size;		/* of the body that ops->pull gives */
	const unsigned char *sha256;	/* 32 octets that the store checks it by; NULL: unchecked */
	bool		 only_new;	/* If-None-Match: *; S3_EXISTS when it is there */
	const struct s3_meta *meta;
	size_t		 nmeta;
};

/* Before the sandbox, as http_new is.  NULL with why: the endpoint is no URL of a store. */
struct s3 *s3_new(struct http *, struct resolver *, const struct s3_place *,
    const struct s3_keys *, struct why *);
void	s3_keys_change(struct s3 *, const struct s3_keys *);	/* for the calls from now on */
/* Calls under way end without a word.  Before http_free. */
void	s3_free(struct s3 **);

/*
 * Each begins a call; ops lives as long as it.  NULL with why: memory is out or the key is
 * none; done never comes then.
 *
 * s3_list asks for one page of the names below prefix, the next of the walk, and moves the
 * walk on, which is the caller's and lives as long as the call: `while (!walk.over)`.  A
 * walk that goes in circles ends as S3_STRANGE, without its page.  most: objects of a page,
 * S3_PAGE_MAX at most.
 *
 * A DELETE of what is not there is S3_DONE, as S3 has it.  size_max: a larger object is
 * S3_STRANGE; head has told its size.
 */
struct s3_call *s3_get(struct s3 *, const char *key, uint64_t size_max, const struct s3_ops *,
    void *arg, struct why *);
struct s3_call *s3_head(struct s3 *, const char *key, const struct s3_ops *, void *arg,
    struct why *);
struct s3_call *s3_put(struct s3 *, const struct s3_put *, const struct s3_ops *, void *arg,
    struct why *);
struct s3_call *s3_delete(struct s3 *, const char *key, const struct s3_ops *, void *arg,
    struct why *);
/*
 * The same with If-Match: what is there goes only while its ETag, which a head had, is that.
 * S3_CHANGED: it is not.  A store that knows no conditions here deletes as ever, or is S3_UNKNOWN.
 */
struct s3_call *s3_delete_same(struct s3 *, const char *key, const char *etag,
    const struct s3_ops *, void *arg, struct why *);
/* Within the bucket, with its metadata. */
struct s3_call *s3_copy(struct s3 *, const char *from, const char *to, const struct s3_ops *,
    void *arg, struct why *);
struct s3_call *s3_list(struct s3 *, const char *prefix, unsigned most, struct s3_walk *,
    const struct s3_ops *, void *arg, struct why *);
struct s3_call *s3_lifecycle(struct s3 *, const struct s3_ops *, void *arg, struct why *);

/*
 * Holds the body back: what libcurl has read by then (16 KiB) waits in it, the rest at the
 * store.  Time in a pause counts for the whole call, not as a stall.
 */
void	s3_call_pause(struct s3_call *);
void	s3_call_resume(struct s3_call *);
void	s3_call_cancel(struct s3_call **);	/* done never comes */

#endif
