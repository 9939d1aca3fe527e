/* Names in a bucket: one of ours is nothing else than its form says, and fits where it goes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "home/listing.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define must(x)	((x) ? (void)0 : abort())

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span name = span_of((const char *)data, n);
	struct uuid id;

	switch (listed_read(name, &id)) {
	case LISTED_OBJECT:
		must(n == 40 && strncasecmp(uuid_text(id).s, name.p, 36) == 0);
		must(memcmp(name.p + 36, ".age", 4) == 0);
		break;
	case LISTED_OLD:
		must(n == 68 && memcmp(name.p + 64, ".eml", 4) == 0);
		for (size_t i = 0; i < 64; i++)
			must((name.p[i] >= '0' && name.p[i] <= '9') ||
			    (name.p[i] >= 'a' && name.p[i] <= 'f'));
		break;
	case LISTED_FOREIGN:
		break;
	}
	must(n < LISTING_NAME || listed_read(name, &id) == LISTED_FOREIGN);
	return 0;
}
