#ifndef NET_S3_IN_H
#define NET_S3_IN_H

#include "net/s3.h"

/* What a call was, and what an answer is of it: between s3.c and s3_answer.c only. */
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

void	s3_judge(const struct s3_heard *, struct s3_answer *);

#endif
