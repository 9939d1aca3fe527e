#ifndef HOME_NETWATCH_H
#define HOME_NETWATCH_H

#include <uv.h>

#include "base/why.h"

/*
 * Tells when the network of this machine changed: a link came up, an address or
 * a route appeared (rtnetlink(7)).  Many changes within a moment are told once.
 * Opened before the sandbox; a machine that refuses it is served all the same,
 * only later, by the dialer's own pauses.
 */
struct netwatch;

/* For the life of the process.  NULL with why. */
struct netwatch *netwatch_new(uv_loop_t *, void (*changed)(void *), void *arg, struct why *);

#endif
