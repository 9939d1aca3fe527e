#include "proto/proxy_header.h"

#include <assert.h>
#include <stdint.h>

#include "base/codec.h"

#define TYPE_CRC32C	0x03
#define CRC32C_LEN	4
#define TLV_HEAD	3
#define V1_WORD		5	/* of v1_start, without the space */

static const char v1_start[] = "PROXY ";
static const unsigned char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

static enum proxy_result
bad(struct why *why, const char *what)
{
	why_set(why, "PROXY header: %s", what);
	return PROXY_BAD;
}

/* -- Version 1: a line. -- */

/* Takes what stands before the next space off the line, and the space; or all of it. */
static struct span
take_field(struct span *line)
{
	const char *sp = line->n > 0 ? memchr(line->p, ' ', line->n) : NULL;
	struct span field = span_of(line->p, sp != NULL ? (size_t)(sp - line->p) : line->n);

	*line = span_from(*line, field.n + 1);
	return field;
}

static bool
read_ip(struct span s, enum proxy_family family, struct netaddr *a)
{
	bool colon = s.n > 0 && memchr(s.p, ':', s.n) != NULL;

	return colon == (family == PROXY_TCP6) && netaddr_parse_ip(s, a);
}

static bool
read_port(struct span s, struct netaddr *a)
{
	unsigned long long port;

	if (!span_u64(s, UINT16_MAX, &port) || (s.n > 1 && s.p[0] == '0'))
		return false;
	a->port = (uint16_t)port;
	return true;
}

/* The line behind "PROXY ", without its end. */
static enum proxy_result
read_v1(struct span line, struct proxy_header *h, struct why *why)
{
	struct span field = take_field(&line);

	if (span_eq(field, SPAN_LIT("UNKNOWN")))
		return PROXY_DONE;		/* 2.1: whatever else is on the line is ignored */
	if (span_eq(field, SPAN_LIT("TCP4")))
		h->family = PROXY_TCP4;
	else if (span_eq(field, SPAN_LIT("TCP6")))
		h->family = PROXY_TCP6;
	else
		return bad(why, "neither TCP4, TCP6 nor UNKNOWN");
	if (!read_ip(take_field(&line), h->family, &h->from))
		return bad(why, "the source is no address of the family named");
	if (!read_ip(take_field(&line), h->family, &h->to))
		return bad(why, "the destination is no address of the family named");
	if (!read_port(take_field(&line), &h->from) || !read_port(line, &h->to))
		return bad(why, "a port is malformed");
	return PROXY_DONE;
}

static enum proxy_result
v1(struct span in, struct proxy_header *h, size_t *used, struct why *why)
{
	size_t most = in.n < PROXY_V1_MAX ? in.n : PROXY_V1_MAX;
	size_t start = sizeof(v1_start) - 1, n = 0;

	while (n < most && in.p[n] != '\r' && in.p[n] != '\n')
		n++;
	if (n < most && in.p[n] == '\n')
		return bad(why, "a LF without CR");
	if (n + 1 < most && in.p[n + 1] != '\n')
		return bad(why, "a CR without LF");
	if (n + 1 >= most)
		return in.n < PROXY_V1_MAX ? PROXY_MORE : bad(why, "the line is too long");
	h->version = 1;
	h->command = PROXY_PROXY;
	*used = n + 2;
	return read_v1(span_of(in.p + start, n - start), h, why);
}

/* -- Version 2: 16 octets and a block. -- */

/* CRC32C (RFC 4960 appendix B), reflected; one header a connection needs no table. */
static uint32_t
crc32c(uint32_t crc, const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
	}
	return crc;
}

/* Of the header with zeros where the checksum at `at` stands. */
static bool
crc_right(const unsigned char *p, size_t n, size_t at)
{
	static const unsigned char zeros[CRC32C_LEN];
	uint32_t crc = crc32c(UINT32_MAX, p, at);

	crc = crc32c(crc, zeros, sizeof(zeros));
	crc = crc32c(crc, p + at + CRC32C_LEN, n - at - CRC32C_LEN);
	return get_u32(p + at) == (crc ^ UINT32_MAX);
}

/* The TLVs in p[at..n), which end the header p[0..n). */
static enum proxy_result
walk_tlvs(const unsigned char *p, size_t at, size_t n, struct why *why)
{
	size_t crc_at = 0;

	while (at < n) {
		size_t len;

		if (n - at < TLV_HEAD || (len = get_u16(p + at + 1)) > n - at - TLV_HEAD)
			return bad(why, "a TLV is cut short");
		if (p[at] == TYPE_CRC32C) {
			if (len != CRC32C_LEN || crc_at != 0)
				return bad(why, "two checksums, or one that is not four octets");
			crc_at = at + TLV_HEAD;
		}
		at += TLV_HEAD + len;
	}
	if (crc_at != 0 && !crc_right(p, n, crc_at))
		return bad(why, "the checksum is wrong");
	return PROXY_DONE;
}

/* The octet of family and transport, and how long the addresses of it are together. */
static const struct kind {
	unsigned char	 octet;
	enum proxy_family family;
	size_t		 ip;		/* octets of one IP address, where it has such */
	size_t		 len;
} kinds[] = {
	{ 0x11, PROXY_TCP4, 4, 12 },
	{ 0x21, PROXY_TCP6, 16, 36 },
	{ 0x31, PROXY_UNIX, 0, 216 },
	/* Datagrams: nothing that came to us by a stream.  2.2: "falls back to the UNSPEC mode". */
	{ 0x12, PROXY_UNKNOWN, 0, 12 },
	{ 0x22, PROXY_UNKNOWN, 0, 36 },
	{ 0x32, PROXY_UNKNOWN, 0, 216 },
};

static const struct kind *
find_kind(unsigned char octet)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].octet == octet)
			return &kinds[i];
	return NULL;
}

/* A whole header of n octets, told to speak for a client. */
static enum proxy_result
read_block(const unsigned char *p, size_t n, struct proxy_header *h, struct why *why)
{
	const struct kind *k = find_kind(p[13]);
	const unsigned char *a = p + PROXY_V2_HEAD;

	if (k == NULL)
		return PROXY_DONE;
	if (n - PROXY_V2_HEAD < k->len)
		return bad(why, "shorter than its addresses");
	h->family = k->family;
	if (k->ip > 0) {
		const unsigned char *ports = a + 2 * k->ip;

		h->from = netaddr_from_octets(a, k->ip, get_u16(ports));
		h->to = netaddr_from_octets(a + k->ip, k->ip, get_u16(ports + 2));
	}
	return walk_tlvs(p, PROXY_V2_HEAD + k->len, n, why);
}

static enum proxy_result
v2(struct span in, struct proxy_header *h, size_t *used, struct why *why)
{
	const unsigned char *p = (const unsigned char *)in.p;
	size_t n;

	if (in.n > 12 && p[12] != 0x20 && p[12] != 0x21)
		return bad(why, "another version than 2, or another command than LOCAL and PROXY");
	/* LOCAL: "the family ... is ignored". */
	if (in.n > 13 && p[12] == 0x21 && (p[13] >> 4 > 3 || (p[13] & 15) > 2))
		return bad(why, "a family or transport that there is not");
	if (in.n < PROXY_V2_HEAD)
		return PROXY_MORE;
	n = get_u16(p + 14);
	if (n > PROXY_V2_BLOCK_MAX)
		return bad(why, "too long for all that is registered");
	n += PROXY_V2_HEAD;
	if (in.n < n)
		return PROXY_MORE;
	h->version = 2;
	*used = n;
	if (p[12] == 0x20)
		return PROXY_DONE;
	h->command = PROXY_PROXY;
	return read_block(p, n, h, why);
}

/* Whether in begins as start does, as far as both go. */
static bool
begins(struct span in, const void *start, size_t n)
{
	n = in.n < n ? in.n : n;
	return n == 0 || memcmp(in.p, start, n) == 0;
}

bool
proxy_header_begins(struct span in)
{
	const size_t telling = sizeof(v1_start) - 1;

	return in.n >= telling &&
	    (begins(in, v1_start, telling) || begins(in, v2_signature, telling));
}

enum proxy_result
proxy_header_taken(struct span in)
{
	struct span word = in;

	while (word.n > 0 && (word.p[0] == ' ' || (word.p[0] >= '\t' && word.p[0] <= '\r')))
		word = span_from(word, 1);
	if (proxy_header_begins(in) || in.n - word.n > PROXY_BLANKS_MAX)
		return PROXY_DONE;
	if (begins(word, v1_start, V1_WORD))
		return word.n < V1_WORD ? PROXY_MORE : PROXY_DONE;
	return begins(in, v2_signature, sizeof(v2_signature)) ? PROXY_MORE : PROXY_BAD;
}

enum proxy_result
proxy_header_read(struct span in, struct proxy_header *out, size_t *used, struct why *why)
{
	struct proxy_header h = { 0 };
	enum proxy_result result;
	size_t n = 0;

	*out = h;
	*used = 0;
	if (begins(in, v2_signature, sizeof(v2_signature)))
		result = v2(in, &h, &n, why);
	else if (begins(in, v1_start, sizeof(v1_start) - 1))
		result = v1(in, &h, &n, why);
	else
		result = bad(why, "something else was sent in its place");
	if (result == PROXY_DONE) {
		*out = h;
		*used = n;
	}
	return result;
}

/* -- Writing. -- */

static bool
write_v1(const struct netaddr *from, const struct netaddr *to, struct buf *out)
{
	return buf_addf(out, "PROXY TCP%c %s %s %u %u\r\n", from->v6 ? '6' : '4',
	    netaddr_ip(from).s, netaddr_ip(to).s, (unsigned)from->port, (unsigned)to->port);
}

static bool
write_v2(const struct netaddr *from, const struct netaddr *to, struct buf *out)
{
	const struct kind *k = find_kind(from->v6 ? 0x21 : 0x11);
	unsigned char head[4] = { 0x21, k->octet }, ports[4];
	size_t skip = sizeof(from->ip) - k->ip;

	put_u16(head + 2, (uint16_t)k->len);
	put_u16(ports, from->port);
	put_u16(ports + 2, to->port);
	buf_add(out, v2_signature, sizeof(v2_signature));
	buf_add(out, head, sizeof(head));
	buf_add(out, from->ip + skip, k->ip);
	buf_add(out, to->ip + skip, k->ip);
	return buf_add(out, ports, sizeof(ports));
}

bool
proxy_header_write(unsigned version, const struct netaddr *from, const struct netaddr *to,
    struct buf *out)
{
	struct netaddr not_known = netaddr_network(from, 0, 0);

	assert(version == 1 || version == 2);
	not_known.port = to->port;
	if (to->v6 != from->v6)
		to = &not_known;
	return version == 1 ? write_v1(from, to, out) : write_v2(from, to, out);
}
