/*
 * A filter's answer: whatever it is and however it is cut, it means one thing, and what it adds
 * is whole lines of a head and nothing else.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "proto/rspamd.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static bool
read_cut(struct span json, size_t piece, struct rspamd_answer *a)
{
	struct rspamd_reader r;
	struct why why = { "" };
	bool ok, end;

	rspamd_read_begin(&r);
	do {
		struct span s = span_of(json.p, json.n < piece ? json.n : piece);

		ok = rspamd_read(&r, s);
		assert(r.kept.n <= 4 * RSPAMD_MEMBER_MAX);
		json = span_from(json, s.n);
	} while (ok && json.n > 0);
	end = rspamd_read_end(&r, a, &why);
	assert(ok || !end);
	assert(end == (why.text[0] == '\0'));
	assert(end || (a->heads.n == 0 && a->action == RSPAMD_PASS));
	assert(r.kept.p == NULL);
	return end;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rspamd_answer a, cut;
	bool ok = read_cut(span_of(data, n), n, &a), blank = true;
	size_t line = 0;

	assert(read_cut(span_of(data, n), 1 + n % 7, &cut) == ok);
	assert(cut.action == a.action && strcmp(cut.words, a.words) == 0);
	assert(span_eq(buf_span(&cut.heads), buf_span(&a.heads)));
	buf_fini(&cut.heads);
	assert(a.heads.n <= RSPAMD_HEADS_MAX && !a.heads.failed);
	for (size_t i = 0; i < a.heads.n; i++, line++) {
		char c = a.heads.p[i];

		if (c == '\r') {
			assert(i + 1 < a.heads.n && a.heads.p[i + 1] == '\n');
			assert(line > 0 && line <= 998 && !blank);
			i++;
			line = (size_t)-1;
			blank = true;
			continue;
		}
		assert(c == '\t' || (c >= ' ' && c < 0x7f));
		assert(i > 0 || (c != ' ' && c != '\t'));
		blank = blank && (c == ' ' || c == '\t');
	}
	assert(line == 0);
	buf_fini(&a.heads);
	return 0;
}
