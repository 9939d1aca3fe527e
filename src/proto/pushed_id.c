#include "proto/pushed_id.h"

#include <string.h>

#define FIELD	SPAN_LIT("X-Posthouse-Id: ")

static enum pushed_id_is
judge(struct pushed_id *p)
{
	struct span line = span_of(p->line, sizeof(p->line));
	struct span id = span_from(line, FIELD.n);

	if (!span_starts_nocase(line, FIELD) || memcmp(line.p + line.n - 2, "\r\n", 2) != 0 ||
	    !uuid_parse(span_of(id.p, id.n - 2), &p->id))
		return PUSHED_ID_NONE;
	return PUSHED_ID_THERE;
}

size_t
pushed_id_step(struct pushed_id *p, struct span s)
{
	size_t n = sizeof(p->line) - p->n;

	if (p->is != PUSHED_ID_MORE)
		return 0;
	if (n > s.n)
		n = s.n;
	if (n > 0)
		memcpy(p->line + p->n, s.p, n);
	p->n += n;
	if (p->n == sizeof(p->line))
		p->is = judge(p);
	return n;
}
