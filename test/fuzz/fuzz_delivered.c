/*
 * The lines on top of a delivered message, as they lie in a mailbox whose owner may write what
 * he likes there.  What is read says the same when it is written and read again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/delivered.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define must(x)	((x) ? (void)0 : abort())

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct delivered d, again;
	struct address from;
	char text[DELIVERED_MAX];
	struct buf out;
	size_t m = 0;

	if (!delivered_read(span_of(data, n), &d))
		return 0;
	must(address_parse(SPAN_LIT("sender@example.net"), &from));
	buf_init(&out, DELIVERED_MAX);
	must(delivered_head(&from, &d, &out));
	for (size_t i = 0; i < out.n; i++)
		if (out.p[i] != '\r' || i + 1 == out.n || out.p[i + 1] != '\n')
			text[m++] = out.p[i];
	must(delivered_read(span_of(text, m), &again));
	must(strcmp(d.recipient, again.recipient) == 0 || strchr(d.recipient, '\r') != NULL);
	must(uuid_eq(d.id, again.id));
	buf_fini(&out);
	return 0;
}
