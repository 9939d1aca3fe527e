#ifndef PROTO_S3_LISTING_H
#define PROTO_S3_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/uuid.h"
#include "base/why.h"

/*
 * What an S3 store says in XML (Amazon S3 API reference, 2006-03-01): a page of
 * ListObjectsV2, a bucket's lifecycle rules, an error.  expat reads it as it comes; a
 * document type is refused, so that no entity is declared or fetched, as is what is nested
 * deeper, longer in one piece or larger than the limits here.  Elements that we do not know
 * are skipped.
 *
 * The document is hostile until it was read to its end: nothing of it is shown before
 * s3_doc_end.
 */
#define S3_KEY_MAX	1024		/* octets of an object's name: S3's limit */
#define S3_TOKEN_MAX	2048		/* of a continuation token: R2's have a few hundred */
#define S3_PAGE_MAX	1000		/* objects of a page: S3's own limit */
#define S3_PAGE_OCTETS	(4u << 20)	/* of a page's XML: 1000 of the longest names, in %XX */
#define S3_ERROR_OCTETS	(64u << 10)	/* of any other document */
#define S3_RULES_MAX	1000		/* of a lifecycle: S3's own limit */
#define S3_CODE_MAX	64
#define S3_BUCKET_MAX	63		/* octets of a bucket's name: S3's limit */

struct s3_object {			/* one line of a listing */
	const char	*key;		/* C string; a name with a NUL is left out of a page */
	uint64_t	 size;
	int64_t		 modified_ms;	/* wall time; when it was written, by the store's clock */
};

struct s3_page {
	struct s3_object *objects;	/* in the order of their names */
	size_t		 n;
	size_t		 unnamed;	/* left out: names that we could not ask for */
	const char	*next;		/* token of the next page; NULL: this is the last */
};

struct s3_rule {			/* of a lifecycle: what deletes objects */
	char		 prefix[S3_KEY_MAX + 1];
	int64_t		 age_ms;	/* they go when they are so old; 0: at_ms counts */
	int64_t		 at_ms;		/* then all go, and within a day whatever comes after */
};

struct s3_lifecycle {
	/* Enabled ones that delete what is current and bears no tag, as ours bears none. */
	struct s3_rule	*rules;
	size_t		 n;
};

struct s3_error {
	char	code[S3_CODE_MAX];	/* "NoSuchKey"; "": none */
	char	message[200];		/* the store's own words */
	char	region[64];		/* where it wants to be asked: "" unsaid */
	char	endpoint[256];
};

enum s3_doc_kind {
	S3_DOC_ERROR = 0,
	S3_DOC_COPY,			/* of an object: a success with no code, or an error */
	S3_DOC_PAGE,
	S3_DOC_LIFECYCLE,
};

struct s3_doc;

struct s3_doc *s3_doc_new(enum s3_doc_kind);		/* NULL: memory is out */
void	s3_doc_free(struct s3_doc **);
/* -1 with why: it is none, or too much; it stays so. */
int	s3_doc_feed(struct s3_doc *, struct span, struct why *);
/*
 * The document is over.  -1 with why: it was not whole, or not what it should be.  What is
 * given lives until s3_doc_free.
 */
int	s3_doc_page(struct s3_doc *, struct s3_page *, struct why *);
int	s3_doc_lifecycle(struct s3_doc *, struct s3_lifecycle *, struct why *);
int	s3_doc_error(struct s3_doc *, struct s3_error *, struct why *);

/*
 * A walk through pages.  A listing is in the order of names (UTF-8 octets), so one that
 * goes back, repeats a token or has an empty page behind a page is no listing and would
 * never end.  Zeroed at the beginning.
 */
struct s3_walk {
	char		last[S3_KEY_MAX + 1];
	char		token[S3_TOKEN_MAX + 1];	/* ask with it; "" the first page */
	unsigned	pages;
	bool		over;				/* there is no further page */
};
/* -1 with why: it goes round in circles. */
int	s3_walk_on(struct s3_walk *, const struct s3_page *, struct why *);

/* The age in ms at which a rule deletes what has this prefix, or a part of it; 0: none does. */
int64_t	s3_lifecycle_age(const struct s3_lifecycle *, const char *prefix, int64_t now_ms);

/* A bucket's name: nothing that means something in a URL. */
bool	s3_bucket_name(struct span);
/* A name below `bucket/` that a URL can say: it has no "." or ".." between slashes. */
bool	s3_key_name(const char *);
/* <id>.age: what a held object is called, behind the prefix (doc/BUCKET). */
bool	s3_held_name(struct span, struct uuid *);

/* "2026-11-21T03:40:00.000Z" (ISO 8601, UTC, parts of a second optional). */
bool	s3_time(struct span, int64_t *ms);

#endif
