#include "net/spin.h"

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

static _Thread_local struct {
	uv_loop_t	*loop;
	uv_prepare_t	 before;	/* of a turn that passed octets, before the loop sleeps */
	uv_idle_t	 look;		/* while it is active the loop does not sleep */
	int64_t		 passed_ns;	/* when octets were passed */
	size_t		 octets;	/* in this turn */
	bool		 file;		/* in the last one they were many */
} spin;

static bool
lately(int64_t now_ns)
{
	return now_ns - spin.passed_ns <= SPIN_US * 1000LL;
}

/* Ends here, not before the poll: what net/awake.h took for its time must not grow. */
static void
look(uv_idle_t *h)
{
	if (!spin.file && lately(instant_now().ns))
		sched_yield();
	else
		uv_idle_stop(h);
}

static void
before(uv_prepare_t *h)
{
	int64_t now = instant_now().ns;

	spin.file = spin.octets > SPIN_OCTETS;
	if (!spin.file && lately(now))
		uv_idle_start(&spin.look, look);
	spin.passed_ns = now;
	spin.octets = 0;
	uv_prepare_stop(h);
}

void
spin_begin(uv_loop_t *loop)
{
	spin.loop = loop;
	spin.passed_ns = INT64_MIN / 2;
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
