#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdint.h>

#include "base/netaddr.h"

/*
 * Which socket listens at an address of this machine, by the number that the kernel gave it
 * (sock_diag(7)): a server that was started again has another.  0: none does in this network
 * namespace, or the kernel does not say.
 */
uint64_t listener_at(const struct netaddr *);

#endif
