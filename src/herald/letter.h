#ifndef HERALD_LETTER_H
#define HERALD_LETTER_H

#include <uv.h>

#include "base/span.h"
#include "conf/conf.h"
#include "net/resolve.h"

/*
 * One notice on its way to a mailbox, through the relay that home may submit to (RFC 6409):
 * a connection of its own, STARTTLS or TLS from the first octet (port 465, RFC 8314).  At
 * most LETTER_WAIT_MS for all of it.  Nothing but what home wrote itself is ever in it.
 */
#define LETTER_WAIT_MS	90000

/* error: "", or why not.  Once, from the loop or from inside letter_send. */
typedef void letter_done_fn(void *arg, const char *error);
/* All are borrowed until done; message is whole and has no octet beyond ASCII. */
void	letter_send(uv_loop_t *, struct resolver *, const struct conf_alarms *, const char *helo,
	    const char *password, struct span message, letter_done_fn *, void *arg);

#endif
