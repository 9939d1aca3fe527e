#include "edge/lanes.h"

#include <string.h>

bool
lanes_add(struct lanes *l, struct h2 *h2)
{
	if (l->n == LANES_MAX)
		return false;
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
			return;
		}
}

struct h2_stream *
lanes_request(struct lanes *l, enum lane lane, const struct h2_head *head, h2_pull_fn *pull,
    void *pull_arg, const struct h2_stream_ops *ops, void *arg)
{
	size_t older = (l->n + 1) / 2;
	size_t first = lane == LANE_PASS || l->n == 1 ? 0 : older;
	size_t own = first == 0 ? older : l->n - older;
	struct h2_stream *s = NULL;

	for (size_t i = 0; i < own && s == NULL; i++)
		s = h2_request(l->h2[first + l->turn++ % own], head, pull, pull_arg, ops, arg);
	for (size_t i = 0; i < l->n - own && s == NULL; i++)
		s = h2_request(l->h2[(first + own + i) % l->n], head, pull, pull_arg, ops, arg);
	return s;
}
