#include "edge/home_board.h"

#include <string.h>

#include "edge/handover.h"

static void
show_list(const struct policy *policy, struct board_peer *p)
{
	int64_t oldest = 0, n = 0;

	for (size_t i = 0; policy != NULL && i < policy->ndomains; i++) {
		const struct policy_domain *d = &policy->domains[i];

		if (d->unknown == POLICY_ACCEPT)
			continue;
		n += (int64_t)d->ndigests;
		if (oldest == 0 || d->learned_ms < oldest)
			oldest = d->learned_ms;
	}
	p->recipients = n;
	p->list_ms = oldest;
	p->list_until_ms = oldest != 0 ? oldest + policy->stale_after_ms : 0;
}

struct board_peer *
home_board(struct edge *e, const struct home *h)
{
	struct scoreboard *b = edge_board(e);

	for (size_t i = 0; i < BOARD_PEERS; i++) {
		struct board_peer *p = &b->peer[i];

		if (p->name[0] != '\0' && strcmp(p->name, h->name) != 0)
			continue;
		span_copy(span_str(h->name), p->name, sizeof(p->name));
		p->connections = handover_tunnels(h->handover);
		show_list(h->policy, p);
		return p;
	}
	return NULL;
}
