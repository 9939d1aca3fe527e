#include "edge/road.h"

#include <string.h>

#include "edge/bans.h"
#include "edge/recipient.h"

bool
road_from_balancer(const struct conf_service *s, const struct netaddr *peer)
{
	for (size_t i = 0; i < s->nproxy_from; i++)
		if (netaddr_in(peer, &s->proxy_from[i].net, s->proxy_from[i].bits))
			return true;
	return false;
}

struct road_choice
road_not_passed(const struct conf_service *s, enum board_refusal why)
{
	return (struct road_choice){
		.road = s->mode == CONF_PASS ? ROAD_REFUSE : ROAD_HOLD, .why = why,
	};
}

/* A home of the service that could dial in: it has a key. */
static bool
may_dial(const struct conf_service *s, const struct home *h)
{
	return h != NULL && h->peer.npins > 0 && recipient_serves(s, h);
}

/* Whose the name is, by its own domain or one that it lies in; the longest counts. */
static struct home *
home_of_name(const struct edge *e, const struct conf_service *s, const char *name)
{
	for (const char *rest = name; rest != NULL && *rest != '\0';) {
		struct home *h = homes_by_domain(&e->homes, rest);

		if (may_dial(s, h))
			return h;
		if ((rest = strchr(rest, '.')) != NULL)
			rest++;
	}
	if (s->default_home[0] == '\0')
		return NULL;
	return homes_by_name(&e->homes, s->default_home);
}

static bool
is_up(const struct home *h, const struct conf_service *s)
{
	const struct policy *p = h->policy;

	for (size_t i = 0; p != NULL && i < p->nservices; i++)
		if (strcmp(p->services[i].name, s->name) == 0)
			return p->services[i].up;
	return false;
}

size_t
road_share(const struct edge *e)
{
	const struct conf_edge *conf = edge_conf(e);
	size_t n = 0;			/* homes that could dial in */

	if (conf->streams_home > 0)
		return conf->streams_home;
	for (size_t i = 0; i < e->homes.n; i++)
		n += e->homes.list[i]->peer.npins > 0;
	if (n <= 1)
		return conf->streams;
	return n < conf->streams ? conf->streams / n : 1;
}

struct road_choice
road_choose(const struct edge *e, const struct conf_service *s, const struct netaddr *client,
    const char *name)
{
	struct home *h = NULL;
	size_t n = 0;

	if (s->mode == CONF_HOLD)
		return (struct road_choice){ .road = ROAD_HOLD };
	if (!s->allow_private && !netaddr_is_global(client))
		return road_not_passed(s, BR_ADDRESS);
	for (size_t i = 0; i < e->homes.n; i++)
		if (may_dial(s, e->homes.list[i])) {
			h = e->homes.list[i];
			n++;
		}
	if (n == 0)
		return road_not_passed(s, BR_NO_HOME);
	if (n > 1) {
		/* Homes that were paired, so that no configuration could say it first. */
		if (conf_service_smtp(s) && !conf_service_tls_first(s))
			return road_not_passed(s, BR_NAME);
		if (name == NULL)
			return (struct road_choice){ .road = ROAD_NAME };
		if (!may_dial(s, h = home_of_name(e, s, name)))
			return road_not_passed(s, BR_NAME);
	}
	if (bans_home(h, client))
		return road_not_passed(s, BR_BANNED);
	if (!lanes_sure(&h->lanes))
		return road_not_passed(s, BR_HOME_DOWN);
	if (!is_up(h, s))
		return road_not_passed(s, BR_SERVICE_DOWN);
	if (h->streams >= road_share(e)) {
		struct road_choice full = road_not_passed(s, BR_HOME_LIMIT);

		full.home = h;
		return full;
	}
	return (struct road_choice){ .road = ROAD_PASS, .home = h };
}
