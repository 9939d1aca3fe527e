#ifndef NET_S3_IN_H
#define NET_S3_IN_H

#include "base/buf.h"
#include "net/s3.h"

/*
 * The answer to a call: between s3.c, which asks, and s3_answer.c, which reads what comes, tells
 * the owner of it as it comes, and says at the end what it was.
 */
enum s3_verb {
	S3_GET = 0,
	S3_HEAD,
	S3_PUT,
	S3_PUT_NEW,			/* with If-None-Match: * */
	S3_DELETE,
	S3_COPY,
	S3_LIST,
	S3_LIFECYCLE,
};

struct s3_heard {			/* of an answer */
	enum s3_verb	 verb;
	unsigned	 status;	/* 3xx to 5xx, or 200 with an error in its body */
	struct s3_error	 error;		/* zeroed: its body was none */
	int64_t		 retry_ms;	/* Retry-After; -1: unsaid */
	int64_t		 date_ms;	/* Date; 0: unsaid */
	char		 region[64];	/* x-amz-bucket-region */
	int64_t		 signed_ms;	/* what the request said of the time */
	int64_t		 now_ms;	/* what our clock says */
	const char	*bucket, *endpoint;	/* for words */
};

struct s3_reading {
	const struct s3_ops *ops;	/* the owner's, with arg */
	void		*arg;
	struct s3_walk	*walk;		/* S3_LIST: the owner's too */
	uint64_t	 size_max;	/* of a body that is the owner's */
	struct s3_heard	 heard;
	struct s3_doc	*doc;		/* of a body that is for us; NULL: nothing of it came */
	bool		 doc_bad, head_told, has_size;
	bool		 strange;	/* for why */
	bool		 stopped;	/* the owner wants no more: s3.c too sets it */
	struct s3_head	 head;		/* but for meta, which is told from `meta` */
	char		 etag[200];
	struct buf	 meta;		/* "name\0value\0..." */
	struct why	 why;
};

/* Of heard, what the request said is the caller's to fill in before the answer can come. */
void	s3_reading_init(struct s3_reading *, enum s3_verb, const struct s3_ops *, void *arg);
void	s3_reading_fini(struct s3_reading *);
void	s3_read_field(struct s3_reading *, unsigned status, struct span name, struct span value);
bool	s3_read_body(struct s3_reading *, unsigned status, struct span);	/* false: stop */
/* The owner's `page` and `lifecycle` are called in it, `done` is left to the caller. */
void	s3_read_end(struct s3_reading *, enum http_end, unsigned status, const struct why *,
	    struct s3_answer *);

#endif
