#include "edge/crowd.h"

bool
crowd_has_gone(struct crowd *c, size_t connections, uint64_t octets, struct instant now)
{
	size_t there = connections + (size_t)(octets / CROWD_EACH);

	if (there > c->peak)
		c->peak = there;
	if (c->peak < CROWD_LEAST || there >= c->peak / 4)
		return false;
	if (c->gave.ns != 0 && instant_ms_since(c->gave, now) < CROWD_REST_MS)
		return false;
	*c = (struct crowd){ .peak = there, .gave = now };
	return true;
}
