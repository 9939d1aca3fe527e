#include "edge/crowd.h"

bool
crowd_has_gone(struct crowd *c, size_t there, struct instant now)
{
	if (there > c->peak)
		c->peak = there;
	if (c->peak < CROWD_LEAST || there >= c->peak / 4)
		return false;
	if (c->gave.ns != 0 && instant_ms_since(c->gave, now) < CROWD_REST_MS)
		return false;
	*c = (struct crowd){ .peak = there, .gave = now };
	return true;
}
