#include "net/awake.h"

#include <stdint.h>

#define MS 1000000LL

static _Thread_local struct {
	uv_loop_t	*loop;
	uv_prepare_t	 before;	/* before the loop waits, */
	uv_check_t	 after;		/* and when it has read what came */
	int64_t		 limit_ns;	/* what is later was no time of ours */
	int64_t		 slept_ns;
	bool		 late;
} awake;

/* True: we slept. */
static bool
look(int64_t wait_ms)
{
	int64_t now = instant_now().ns;
	bool slept = now > awake.limit_ns;

	if (slept)
		awake.slept_ns += now - awake.limit_ns;
	awake.limit_ns = wait_ms < 0 ? INT64_MAX : now + (wait_ms + AWAKE_TURN_MS) * MS;
	return slept;
}

/* Whatever held us up until here, the loop looks at its sockets now. */
static void
before(uv_prepare_t *h)
{
	(void)look(uv_backend_timeout(h->loop));
}

/*
 * A wait that was interrupted ends without a look at them, the next one does not: a loop that is
 * late turn after turn has too much to do, and judges all the same.
 */
static void
after(uv_check_t *h)
{
	awake.late = look(0) && !awake.late;
}

void
awake_begin(uv_loop_t *loop)
{
	awake.loop = loop;
	awake.limit_ns = INT64_MAX;
	awake.slept_ns = 0;
	awake.late = false;
	uv_prepare_init(loop, &awake.before);
	uv_check_init(loop, &awake.after);
	uv_prepare_start(&awake.before, before);
	uv_check_start(&awake.after, after);
	uv_unref((uv_handle_t *)&awake.before);
	uv_unref((uv_handle_t *)&awake.after);
}

void
awake_end(uv_loop_t *loop)
{
	awake.loop = NULL;
	uv_close((uv_handle_t *)&awake.before, NULL);
	uv_close((uv_handle_t *)&awake.after, NULL);
}

struct instant
awake_now(const uv_loop_t *loop)
{
	struct instant now = instant_now();

	if (loop != awake.loop)
		return now;
	if (now.ns > awake.limit_ns)
		now.ns = awake.limit_ns;
	now.ns -= awake.slept_ns;
	return now;
}

int64_t
awake_ms(const uv_loop_t *loop)
{
	return awake_now(loop).ns / MS;
}

bool
awake_late(const uv_loop_t *loop)
{
	return loop == awake.loop && (awake.late || instant_now().ns > awake.limit_ns);
}

void
awake_timer(uv_timer_t *t, uv_timer_cb cb, int64_t ms, struct instant *due)
{
	due->ns = awake_now(t->loop).ns + ms * MS;
	uv_timer_start(t, cb, (uint64_t)ms, 0);
}

bool
awake_over(uv_timer_t *t, uv_timer_cb cb, struct instant due)
{
	int64_t left = due.ns - awake_now(t->loop).ns;

	if (left <= 0 && !awake_late(t->loop))
		return true;
	uv_timer_start(t, cb, left > 0 ? (uint64_t)(left / MS + 1) : 1, 0);
	return false;
}
