/* The list of a backup's files: what is read names nothing elsewhere, and is written the same. */
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/sums.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define must(x)	((x) ? (void)0 : abort())

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span text = span_of(data, n), before = text;
	char line[SUMS_LINE_MAX + 1];
	struct sum s;

	while (sums_next(&text, &s)) {
		size_t used = before.n - text.n;

		must(used > 0 && sums_line(&s, line) == used);
		for (size_t i = 0; i < used; i++)	/* digits may have come in capitals */
			must(line[i] == before.p[i] || (i < 2 * SHA256_LEN &&
			    line[i] == tolower((unsigned char)before.p[i])));
		must(s.name[0] != '/' && s.name[0] != '.' && strstr(s.name, "/.") == NULL);
		before = text;
	}
	return 0;
}
