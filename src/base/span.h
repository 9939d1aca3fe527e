#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

/*
 * Bytes that somebody else owns: anything from outside.  Not NUL-terminated,
 * and may hold NULs.  How long it lives is said where it is handed over.
 */
struct span {
	const char	*p;
	size_t		 n;
};

/* A span over a string literal or a C string of our own. */
#define SPAN_LIT(s)	((struct span){ (s), sizeof(s) - 1 })

static inline struct span
span_of(const void *p, size_t n)
{
	return (struct span){ p, n };
}

static inline struct span
span_str(const char *s)
{
	return (struct span){ s, strlen(s) };
}

static inline bool
span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII case is ignored; for keywords and domains only. */
static inline bool
span_eq_nocase(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

static inline bool
span_starts_nocase(struct span a, struct span prefix)
{
	return a.n >= prefix.n && strncasecmp(a.p, prefix.p, prefix.n) == 0;
}

static inline struct span
span_from(struct span a, size_t at)
{
	if (a.n == 0)			/* it may have no pointer, and NULL + 0 is not C */
		return a;
	return at >= a.n ? (struct span){ a.p + a.n, 0 } : (struct span){ a.p + at, a.n - at };
}

/*
 * Copies into a C string of size max, cut if it must be; a NUL inside ends it.
 * Returns false if anything was cut.
 */
bool	span_copy(struct span, char *out, size_t max);

/* Decimal digits only, no sign, no space; false on anything else or above max. */
bool	span_u64(struct span, unsigned long long max, unsigned long long *out);

#endif
