#include "edge/bans.h"

#include "base/clock.h"
#include "edge/passage.h"
#include "edge/recipient.h"
#include "edge/session.h"

bool
bans_home(const struct home *h, const struct netaddr *client)
{
	return home_bans(h, client, boot_ms());
}

bool
bans_service(const struct edge *e, const struct conf_service *s, const struct netaddr *client)
{
	size_t homes = 0;

	for (size_t i = 0; i < e->homes.n; i++) {
		const struct home *h = e->homes.list[i];

		if (h->peer.ndomains == 0 || !recipient_serves(s, h))
			continue;
		if (!bans_home(h, client))
			return false;
		homes++;
	}
	return homes > 0;
}

void
bans_changed(struct edge *e, const struct home *h)
{
	sessions_banned(e, h);
	passages_banned(e, h);
}
