#ifndef KIT_LOOP_H
#define KIT_LOOP_H

/*
 * The loop on which a test and all it plays with run, one at a time.  What has not
 * come after 20 s never will: a test that hangs fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <uv.h>

extern uv_loop_t loop;
/* Above 0: what is allocated is the test's own.  An allocator of the test's reads it: volatile. */
extern volatile unsigned kit_busy;

void	loop_begin(void);
void	loop_end(void);			/* fails where a handle was left behind */
void	loop_run_ms(unsigned ms);	/* so long, whatever happens */
void	loop_turns(unsigned n);		/* so many times what is due now, waiting for nothing */

/* Behind RUN_UNTIL: a turn that waits for the next event, and whether patience is left. */
void	loop_patience(unsigned ms);	/* 0: none is needed any more */
bool	loop_turn(void);

#define RUN_UNTIL(cond) do {						\
	loop_patience(20000);						\
	while (!(cond) && loop_turn())					\
		;							\
	loop_patience(0);						\
	assert_true(cond);						\
} while (0)

#endif
