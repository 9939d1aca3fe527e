/* A file of credentials: what is taken out of it can stand in a header, and no word tells it. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "proto/s3_keys.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
plain(const char *s)
{
	for (; *s != '\0'; s++)
		assert(*s > ' ' && *s <= '~');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct s3_keys k;
	struct why why = { "" };
	int rc = s3_keys_parse(span_of(data, n), &k, &why);

	assert((rc == 0) == (why.text[0] == '\0'));
	assert((rc == 0) == (k.id[0] != '\0') && (rc == 0) == (k.secret[0] != '\0'));
	plain(k.id);
	plain(k.secret);
	plain(k.token);
	s3_keys_fini(&k);
	return 0;
}
