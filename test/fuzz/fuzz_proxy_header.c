/*
 * The header in front of a passed stream: a beginning of it never says otherwise than
 * the whole, and an address that was read is written and read as itself.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/proxy_header.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check_written(const struct proxy_header *h, unsigned version)
{
	struct proxy_header again;
	struct why why;
	struct buf out;
	size_t used;

	buf_init(&out, PROXY_HEADER_MAX);
	assert(proxy_header_write(version, &h->from, &h->to, &out));
	assert(proxy_header_read(buf_span(&out), &again, &used, &why) == PROXY_DONE &&
	    used == out.n);
	assert(again.version == version && again.command == PROXY_PROXY);
	assert(again.family == (h->from.v6 ? PROXY_TCP6 : PROXY_TCP4));
	assert(netaddr_same_ip(&again.from, &h->from) && again.from.port == h->from.port);
	assert(again.to.v6 == again.from.v6 && again.to.port == h->to.port);
	assert(h->to.v6 != h->from.v6 || netaddr_same_ip(&again.to, &h->to));
	buf_fini(&out);
}

static void
check_done(const struct proxy_header *h, size_t used, size_t n)
{
	static const struct netaddr zero;

	assert(used > 0 && used <= n && (h->version == 1 || h->version == 2));
	if (h->family == PROXY_TCP4 || h->family == PROXY_TCP6) {
		assert(h->command == PROXY_PROXY);
		assert(h->family == PROXY_TCP6 || (!h->from.v6 && !h->to.v6));
		check_written(h, 1);
		check_written(h, 2);
	} else {
		assert(netaddr_same_ip(&h->from, &zero) && h->from.port == 0);
	}
}

/* What we take for a header a lenient server does, too, and a beginning never says otherwise. */
static void
check_taken(const uint8_t *p, size_t n, enum proxy_result read)
{
	enum proxy_result now, before = PROXY_MORE;

	for (size_t cut = 0; cut <= n && cut <= PROXY_HEADER_MAX; cut++) {
		now = proxy_header_taken(span_of(p, cut));
		assert(before == PROXY_MORE || now == before);
		before = now;
	}
	assert(read != PROXY_DONE || proxy_header_taken(span_of(p, n)) == PROXY_DONE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct proxy_header h, part;
	struct why why = { "" };
	size_t used, part_used;
	enum proxy_result r = proxy_header_read(span_of(p, n), &h, &used, &why), now,
	    before = PROXY_MORE;

	assert((r == PROXY_BAD) == (why.text[0] != '\0'));
	assert(r != PROXY_MORE || n < PROXY_HEADER_MAX);
	if (r == PROXY_DONE)
		check_done(&h, used, n);
	for (size_t cut = 0; cut <= n && cut <= PROXY_HEADER_MAX; cut++) {
		now = proxy_header_read(span_of(p, cut), &part, &part_used, &why);
		assert(before == PROXY_MORE || now == before);
		assert(now == PROXY_MORE || (now == r && part_used == used));
		before = now;
	}
	assert(before == r);
	check_taken(p, n, r);
	return 0;
}
