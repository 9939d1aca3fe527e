#include "edge/lanes.h"

#include <string.h>

struct order
order_parse(struct span s)
{
	const char *dot = s.n > 0 ? memchr(s.p, '.', s.n) : NULL;
	unsigned long long run, count;

	if (dot == NULL || !span_u64(span_of(s.p, (size_t)(dot - s.p)), INT64_MAX, &run) ||
	    !span_u64(span_from(s, (size_t)(dot - s.p) + 1), INT64_MAX, &count))
		return (struct order){ .run = 0 };
	return (struct order){ run, count };
}

bool
lanes_add(struct lanes *l, struct h2 *h2)
{
	if (l->n == LANES_MAX)
		return false;
	l->run[l->n] = 0;
	l->h2[l->n++] = h2;
	return true;
}

void
lanes_drop(struct lanes *l, struct h2 *h2)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->h2[i] == h2) {
			l->n--;
			/* In order: what a tunnel was for stays so, as far as it can. */
			memmove(&l->h2[i], &l->h2[i + 1], (l->n - i) * sizeof(l->h2[0]));
			memmove(&l->run[i], &l->run[i + 1], (l->n - i) * sizeof(l->run[0]));
			return;
		}
}

void
lanes_doubt(struct lanes *l, int64_t waited_ms)
{
	for (size_t i = 0; i < l->n; i++)
		h2_doubt(l->h2[i], waited_ms);
}

bool
lanes_sure(const struct lanes *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (!h2_doubted(l->h2[i]))
			return true;
	return false;
}

bool
lanes_later(struct lanes *l, const struct h2 *h2, struct order said, struct order than)
{
	size_t i = 0;

	while (i < l->n && l->h2[i] != h2)
		i++;
	if (i < l->n)
		l->run[i] = said.run;
	if (said.run == than.run)
		return said.run == 0 || said.count >= than.count;
	for (i++; i < l->n; i++)
		if (than.run != 0 && l->run[i] == than.run)
			return false;
	return true;
}

struct h2_stream *
lanes_request(struct lanes *l, enum lane lane, const struct h2_head *head, h2_pull_fn *pull,
    void *pull_arg, const struct h2_stream_ops *ops, void *arg)
{
	size_t older = (l->n + 1) / 2;
	size_t first = lane == LANE_PASS || l->n == 1 ? 0 : older;
	size_t own = first == 0 ? older : l->n - older;
	struct h2 *order[LANES_MAX];
	struct h2_stream *s = NULL;

	for (size_t i = 0; i < l->n; i++)
		order[i] = i < own ? l->h2[first + (l->turn + i) % own] :
		    l->h2[(first + i) % l->n];
	l->turn++;
	for (size_t i = 0; i < 2 * l->n && s == NULL; i++)
		if (h2_doubted(order[i % l->n]) == (i >= l->n))
			s = h2_request(order[i % l->n], head, pull, pull_arg, ops, arg);
	return s;
}
