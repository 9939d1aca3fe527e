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
	int64_t		 most_us;	/* so long it looks for more than came in the last turn */
	size_t		 octets;	/* in this turn */
	size_t		 lately;	/* less one for each microsecond */
	bool		 opens;		/* what answers this turn's is opened first */
	bool		 worth;		/* looking for more than came in the last turn */
} spin;

static int64_t
now_us(void)
{
	return instant_now().ns / 1000;
}

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void
pay(int64_t looked_us)
{
	spin.saved_us -= (int64_t)least((size_t)looked_us, (size_t)spin.most_us);
}

/* Ends here, not before the poll: what net/awake.h took for its time must not grow. */
static void
look(uv_idle_t *h)
{
	int64_t quiet = now_us() - spin.passed_us;

	if (spin.worth && uv_is_active((uv_handle_t *)&spin.before))
		return;			/* octets came: they are worth another look, or not */
	if (spin.worth && quiet <= spin.most_us) {
		sched_yield();
		return;
	}
	pay(quiet);
	uv_idle_stop(h);
}

static void
before(uv_prepare_t *h)
{
	int64_t now = now_us(), quiet = now - spin.passed_us;

	if (uv_is_active((uv_handle_t *)&spin.look))
		pay(quiet);
	spin.saved_us += quiet <= spin.most_us ? SPIN_EARNED_US : quiet / SPIN_TIME;
	if (spin.saved_us > SPIN_SAVED_US)
		spin.saved_us = SPIN_SAVED_US;
	spin.lately -= least((size_t)quiet, spin.lately);
	spin.lately = least(spin.lately + spin.octets, 2 * SPIN_OCTETS);
	spin.most_us = spin.opens && spin.saved_us >= SPIN_OPEN_US ? SPIN_OPEN_US : SPIN_US;
	spin.worth = spin.lately <= SPIN_OCTETS && spin.saved_us >= spin.most_us;
	if (spin.worth)
		uv_idle_start(&spin.look, look);
	spin.passed_us = now;
	spin.octets = 0;
	spin.opens = false;
	uv_prepare_stop(h);
}

void
spin_begin(uv_loop_t *loop)
{
	spin.loop = loop;
	spin.passed_us = now_us();
	spin.saved_us = 0;
	spin.most_us = SPIN_US;
	spin.octets = spin.lately = 0;
	spin.opens = spin.worth = false;
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

void
spin_opens(const uv_loop_t *loop)
{
	if (loop == spin.loop)
		spin.opens = true;
}
