/*
 * A client's first octets, behind one that says how to cut them: every cut tells the
 * same, and so do the same octets in records of another size.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/codec.h"
#include "proto/client_hello.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
hear(struct span in, size_t piece, struct client_hello *h)
{
	client_hello_init(h);
	while (in.n > 0) {
		size_t n = in.n < piece ? in.n : piece;
		enum client_hello_result before = h->result, now = client_hello_step(h, in.p, n);

		assert(now == h->result && (before == CLIENT_HELLO_MORE || now == before));
		assert(h->message.n <= CLIENT_HELLO_MAX && h->message.cap <= CLIENT_HELLO_MAX);
		in = span_from(in, n);
	}
	assert(h->result == CLIENT_HELLO_MORE || h->message.p == NULL);
	assert((h->result == CLIENT_HELLO_BAD) == (h->why != NULL));
	assert((h->result == CLIENT_HELLO_NAME) == (h->name[0] != '\0'));
	client_hello_fini(h);
}

static void
check_name(const char *name)
{
	char again[ADDRESS_DOMAIN_MAX + 1];

	assert(name[strlen(name) - 1] != '.');
	assert(address_domain(span_str(name), again) && strcmp(again, name) == 0);
}

/* Whole records as one message, in records of two octets: what is in them counts, not they. */
static void
check_repacked(struct span in, const struct client_hello *whole)
{
	struct buf out;
	struct client_hello h;

	buf_init(&out, CLIENT_HELLO_WIRE_MAX - 1);
	while (in.n > 5 && in.p[0] == 0x16 && in.p[1] == 3) {
		struct span record = span_from(in, 5);
		size_t len = get_u16((const unsigned char *)in.p + 3);

		if (len == 0 || len > record.n || len > 16384)
			break;
		in = span_from(record, len);
		for (record.n = len; record.n > 0;) {
			size_t n = record.n < 2 ? record.n : 2;

			buf_add(&out, "\x16\x03\x03\x00", 4);
			buf_add(&out, n == 1 ? "\x01" : "\x02", 1);
			buf_add(&out, record.p, n);
			record = span_from(record, n);
		}
	}
	if (!out.failed && in.n == 0) {
		hear(buf_span(&out), out.n + 1, &h);
		assert(h.result == whole->result && h.alert == whole->alert);
		assert(strcmp(h.name, whole->name) == 0);
	}
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct span in = span_of(p, n);
	struct client_hello whole, cut;

	if (n == 0)
		return 0;
	in = span_from(in, 1);
	hear(in, in.n + 1, &whole);
	hear(in, p[0] + 1u, &cut);
	assert(whole.result == cut.result && whole.alert == cut.alert && whole.why == cut.why);
	assert(strcmp(whole.name, cut.name) == 0);
	if (whole.result == CLIENT_HELLO_NAME)
		check_name(whole.name);
	if (whole.result == CLIENT_HELLO_NAME || whole.result == CLIENT_HELLO_NONE)
		check_repacked(in, &whole);
	return 0;
}
