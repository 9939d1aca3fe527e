#include "net/spin.h"

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

static _Thread_local struct {
	uv_loop_t	*loop;
	uv_prepare_t	 before;	/* of a turn that passed octets, before the loop sleeps */
	uv_idle_t	 look;		/* while it is active the loop does not sleep */
	int64_t		 passed_us;	/* when octets were passed */
	int64_t		 saved_us;
	size_t		 octets;	/* in this turn */
	bool		 file;		/* in the last one they were many */
} spin;

static int64_t
now_us(void)
{
	return instant_now().ns / 1000;
}

/* Ends here, not before the poll: what net/awake.h took for its time must not grow. */
static void
look(uv_idle_t *h)
{
	bool in_vain = now_us() - spin.passed_us > SPIN_US;

	if (!in_vain && !spin.file) {
		sched_yield();
		return;
	}
	if (in_vain)
		spin.saved_us -= SPIN_US;
	uv_idle_stop(h);
}

static void
before(uv_prepare_t *h)
{
	int64_t now = now_us(), quiet = now - spin.passed_us;

	spin.saved_us += quiet <= SPIN_US ? SPIN_EARNED_US : quiet / SPIN_TIME;
	if (spin.saved_us > SPIN_SAVED_US)
		spin.saved_us = SPIN_SAVED_US;
	spin.file = spin.octets > SPIN_OCTETS;
	if (!spin.file && spin.saved_us >= SPIN_US)
		uv_idle_start(&spin.look, look);
	spin.passed_us = now;
	spin.octets = 0;
	uv_prepare_stop(h);
}

void
spin_begin(uv_loop_t *loop)
{
	spin.loop = loop;
	spin.passed_us = now_us();
	spin.saved_us = 0;
	spin.octets = 0;
	spin.file = false;
	uv_prepare_init(loop, &spin.before);
	uv_idle_init(loop, &spin.look);
	uv_unref((uv_handle_t *)&spin.before);
	uv_unref((uv_handle_t *)&spin.look);
}

void
spin_end(uv_loop_t *loop)
{
	spin.loop = NULL;
	uv_close((uv_handle_t *)&spin.before, NULL);
	uv_close((uv_handle_t *)&spin.look, NULL);
}

void
spin_passed(const uv_loop_t *loop, size_t octets)
{
	if (loop != spin.loop)
		return;
	spin.octets += octets;
	uv_prepare_start(&spin.before, before);
}
