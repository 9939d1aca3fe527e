#ifndef NET_SPIN_H
#define NET_SPIN_H

#include <stddef.h>
#include <uv.h>

/*
 * Where the peers answer within microseconds, to fall asleep and be woken takes longer than
 * to wait: a virtual machine's processor that went idle needs 30 to 70 us to come back, and a
 * passed SMTP session waits a dozen times at either end of the tunnel.  So a loop that has
 * passed octets on looks for more before it sleeps, and meanwhile yields the processor to
 * whoever wants it.
 */
/* So long: an answer from beyond both ends takes 120 us where all look for it, 300 if none does. */
#define SPIN_US		300
/* And so long for a session's first: home must wake, and connect to a server that wakes. */
#define SPIN_OPEN_US	1000
/* More than so many octets, less one for each microsecond, are a file's: nobody waits for each. */
#define SPIN_OCTETS	(16u << 10)
/*
 * Looking is paid for with the time that it takes.  An answer that came in time earns more than
 * most of them take; else only time earns, a fiftieth of it.  What is saved is enough for a few
 * looks in vain: peers that are further away cost next to nothing.
 */
#define SPIN_EARNED_US	200
#define SPIN_TIME	50
#define SPIN_SAVED_US	(8 * SPIN_US)

/* The one loop of this thread that does so, until spin_end; not kept alive by it. */
void	spin_begin(uv_loop_t *);
void	spin_end(uv_loop_t *);
/* So many octets were passed on in this turn of the loop.  Of another loop: nothing. */
void	spin_passed(const uv_loop_t *, size_t octets);
/* They begin a session: what answers them is not open yet. */
void	spin_opens(const uv_loop_t *);

#endif
