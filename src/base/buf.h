#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/*
 * A growing byte buffer with a compulsory maximum.  Adding more than fits, or
 * failing to allocate, sets `failed` and adds nothing; it stays set until
 * buf_clear, so that a row of additions is checked once.
 */
struct buf {
	char	*p;
	size_t	 n;		/* bytes in use */
	size_t	 cap;		/* bytes allocated */
	size_t	 max;
	bool	 failed;
};

void	buf_init(struct buf *, size_t max);
void	buf_fini(struct buf *);			/* frees; usable again after buf_init */
void	buf_wipe(struct buf *);	/* as buf_fini, zeroing first: for secrets and plaintext */
void	buf_clear(struct buf *);		/* empty, keeps the allocation */
bool	buf_add(struct buf *, const void *, size_t);
bool	buf_add_span(struct buf *, struct span);
bool	buf_add_str(struct buf *, const char *);
/* C strings one after another, up to the NULL that the macro adds. */
bool	buf_add_list(struct buf *, const char *const *);
#define buf_add_all(b, ...)	buf_add_list(b, (const char *const[]){ __VA_ARGS__, NULL })
bool	buf_addf(struct buf *, const char *, ...) __attribute__((format(printf, 2, 3)));
/*
 * Room for n more bytes at the end, to be written and then claimed by
 * buf_used; NULL if there is none.
 */
char	*buf_room(struct buf *, size_t n);
void	buf_used(struct buf *, size_t n);
void	buf_drop(struct buf *, size_t n);	/* forget the first n bytes */
struct span buf_span(const struct buf *);

#endif
