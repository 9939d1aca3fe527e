#ifndef HOME_PUSH_H
#define HOME_PUSH_H

#include <stdbool.h>

#include "base/span.h"
#include "home/intake.h"

/*
 * Service "push": the origin that Workers reach through an HTTPS tunnel or proxy, HTTP/1.1 on
 * libmicrohttpd.  PUT and DELETE /mail/<id> with a Worker's token, as in a tunnel
 * (home/arrival.h has the answers), and nothing else:
 *
 *	401	no Worker's token; the connection is closed
 *	404	another path		405	another method
 *	429	above the Worker's rate or bytes; it goes another way
 *
 * What is pushed is signed by the Worker whose token it came with, and no other.
 *
 * Everyone who can connect may be hostile: before a token was seen a connection has
 * PUSH_HEAD_S for a whole head; then a request's octets have PUSH_BODY_S, and between two
 * requests it may idle for PUSH_IDLE_S.  Where all places are taken the longest idle goes.
 */
#define PUSH_VISITORS_MAX	64	/* connections; a tunnel's few carry all of a Worker */
#define PUSH_HEAD_S		10
#define PUSH_BODY_S		60	/* a Worker gives up after 15 */
#define PUSH_IDLE_S		75	/* nginx keeps one for 60 s, cloudflared for 90 */
#define PUSH_WAIT_MAX		30	/* seconds of Prefer: wait that are honoured */
#define PUSH_MEMORY		65536	/* octets of one connection: its head, pieces of its body */

struct push;

/* NULL with why.  The intake was started, and outlives it. */
struct push *push_new(const struct intake *, struct why *);
/* A token file's text, of that worker; at any time. */
void	push_token(struct push *, const char *worker, struct span text);
/* Takes it: a listening socket that does not block. */
void	push_listen(struct push *, int fd);
/* Takes no more; done is called once what was under way has its answer. */
void	push_drain(struct push *, void (*done)(void *), void *arg);
void	push_free(struct push **);

#endif
