#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* Lower-case hex; out holds 2n+1. */
void	hex_encode(const void *, size_t n, char *out);
/* Exactly n bytes from exactly 2n digits of either case, else false. */
bool	hex_decode(struct span, void *out, size_t n);

/*
 * RFC 4648 base64, standard alphabet, canonical only (unused bits zero, no
 * white space).  Unpadded as the age format has it, or padded.
 */
#define BASE64_LEN(n)	(((n) + 2) / 3 * 4)
/* NUL-terminated; returns the length. */
size_t	base64_encode(const void *, size_t n, bool pad, char *out);
bool	base64_decode(struct span, bool pad, void *out, size_t max, size_t *n);

static inline void
put_u16(unsigned char *p, uint16_t v)
{
	p[0] = (unsigned char)(v >> 8);
	p[1] = (unsigned char)v;
}

static inline void
put_u32(unsigned char *p, uint32_t v)
{
	put_u16(p, (uint16_t)(v >> 16));
	put_u16(p + 2, (uint16_t)v);
}

static inline void
put_u64(unsigned char *p, uint64_t v)
{
	put_u32(p, (uint32_t)(v >> 32));
	put_u32(p + 4, (uint32_t)v);
}

static inline uint16_t
get_u16(const unsigned char *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t
get_u32(const unsigned char *p)
{
	return (uint32_t)get_u16(p) << 16 | get_u16(p + 2);
}

static inline uint64_t
get_u64(const unsigned char *p)
{
	return (uint64_t)get_u32(p) << 32 | get_u32(p + 4);
}

#endif
