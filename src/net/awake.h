#ifndef NET_AWAKE_H
#define NET_AWAKE_H

#include <stdbool.h>
#include <uv.h>

#include "base/clock.h"

/*
 * Time as this process lived it.  Whoever was stopped, swapped out or held up finds his time
 * over and the peers' words unread, and a loop calls its timers before it reads: our own
 * sleep would be taken for the peers' silence.  So who judges a peer by how long it was
 * silent takes the time from here.
 *
 * A turn of the loop counts AWAKE_TURN_MS more than it meant to wait, at most: enough for
 * whatever we do in one; where more is to be done time goes slower, and does not stop.  And nobody
 * is judged before what came meanwhile was read.
 */
#define AWAKE_TURN_MS	250

/* From now on, until awake_end: the one loop of this thread that is watched, not kept alive. */
void	awake_begin(uv_loop_t *);
void	awake_end(uv_loop_t *);

/* Of a loop that is not watched: instant_now.  Never compare the two. */
struct instant awake_now(const uv_loop_t *);
int64_t	awake_ms(const uv_loop_t *);	/* the same in milliseconds */
/* We slept, and have not read yet what came meanwhile. */
bool	awake_late(const uv_loop_t *);
/*
 * A timer of such time, once.  Its callback begins with awake_over: false where the time is
 * not over for us, and it is called again.
 */
void	awake_timer(uv_timer_t *, uv_timer_cb, int64_t ms, struct instant *due);
bool	awake_over(uv_timer_t *, uv_timer_cb, struct instant due);

#endif
