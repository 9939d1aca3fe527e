#include "kit/loop.h"

uv_loop_t loop;
volatile unsigned kit_busy;
static uv_timer_t patience;
static bool over;

static void
on_patience(uv_timer_t *t)
{
	over = true;
}

void
loop_begin(void)
{
	assert_int_equal(uv_loop_init(&loop), 0);
	uv_timer_init(&loop, &patience);
}

void
loop_end(void)
{
	uv_close((uv_handle_t *)&patience, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

void
loop_patience(unsigned ms)
{
	over = false;
	if (ms > 0)
		uv_timer_start(&patience, on_patience, ms, 0);
	else
		uv_timer_stop(&patience);
}

bool
loop_turn(void)
{
	uv_run(&loop, UV_RUN_ONCE);
	return !over;
}

void
loop_run_ms(unsigned ms)
{
	loop_patience(ms);
	while (loop_turn())
		;
}

void
loop_turns(unsigned n)
{
	while (n-- > 0)
		uv_run(&loop, UV_RUN_NOWAIT);
}
