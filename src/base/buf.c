#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void
buf_fini(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ .max = b->max };
}

void
buf_wipe(struct buf *b)
{
	if (b->p != NULL)
		explicit_bzero(b->p, b->cap);
	buf_fini(b);
}

void
buf_clear(struct buf *b)
{
	b->n = 0;
	b->failed = false;
}

char *
buf_room(struct buf *b, size_t n)
{
	if (b->failed || n > b->max - b->n) {
		b->failed = true;
		return NULL;
	}
	/* Room for nothing is room as well: never NULL for it. */
	if (b->p == NULL || n > b->cap - b->n) {
		size_t cap = b->cap < 64 ? 64 : b->cap;
		char *p;

		while (cap - b->n < n)
			cap = cap > b->max / 2 ? b->max : cap * 2;
		/*
		 * Not realloc: a moved block would leave its bytes behind, and some of
		 * these are secrets.
		 */
		if ((p = malloc(cap)) == NULL) {
			b->failed = true;
			return NULL;
		}
		if (b->n > 0)
			memcpy(p, b->p, b->n);
		if (b->p != NULL)
			explicit_bzero(b->p, b->cap);	/* what found no room too */
		free(b->p);
		b->p = p;
		b->cap = cap;
	}
	return b->p + b->n;
}

void
buf_used(struct buf *b, size_t n)
{
	assert(n <= b->cap - b->n);
	b->n += n;
}

bool
buf_add(struct buf *b, const void *p, size_t n)
{
	char *to;

	if (n == 0)
		return !b->failed;
	if ((to = buf_room(b, n)) == NULL)
		return false;
	memcpy(to, p, n);
	b->n += n;
	return true;
}

bool
buf_add_span(struct buf *b, struct span s)
{
	return buf_add(b, s.p, s.n);
}

bool
buf_add_str(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

bool
buf_add_list(struct buf *b, const char *const *s)
{
	for (; *s != NULL; s++)
		buf_add_str(b, *s);
	return !b->failed;
}

bool
buf_addf(struct buf *b, const char *fmt, ...)
{
	/* The least allocation may be more than the maximum. */
	size_t room = b->failed ? 0 : (b->cap < b->max ? b->cap : b->max) - b->n;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(room > 0 ? b->p + b->n : NULL, room, fmt, ap);
	va_end(ap);
	if (n < 0 || b->n == b->max) {
		b->failed = true;
		return false;
	}
	/* One more than wanted, for the NUL that vsnprintf insists on. */
	if ((size_t)n >= room) {
		char *to = buf_room(b, (size_t)n + 1);

		if (to == NULL)
			return false;
		va_start(ap, fmt);
		vsnprintf(to, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	b->n += (size_t)n;
	return true;
}

void
buf_drop(struct buf *b, size_t n)
{
	assert(n <= b->n);
	b->n -= n;
	if (b->n > 0)
		memmove(b->p, b->p + n, b->n);
}

struct span
buf_span(const struct buf *b)
{
	return (struct span){ b->p, b->n };
}
