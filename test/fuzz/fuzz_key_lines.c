/* Key files: what is read can be written again and is the same; a bad one leaves no key behind. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "proto/key_lines.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define must(x)	((x) ? (void)0 : abort())

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct secret keys[KEY_LINES_MAX], again[KEY_LINES_MAX];
	char text[KEY_LINES_MAX * (2 * SECRET_LEN + 1) + 1];
	size_t got = key_lines_read(span_of(data, n), keys), len = 0;

	for (size_t i = 0; i < KEY_LINES_MAX; i++)
		must(keys[i].set == (i < got));
	for (size_t i = 0; i < got; i++) {
		hex_encode(keys[i].b, SECRET_LEN, text + len);
		len += (size_t)2 * SECRET_LEN;
		text[len++] = '\n';
	}
	must(key_lines_read(span_of(text, len), again) == got);
	must(memcmp(keys, again, sizeof(keys)) == 0);
	return 0;
}
