#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdint.h>

#include "base/netaddr.h"

/*
 * Which socket listens at an address of this machine, by the number that the kernel gave it
 * (sock_diag(7)): a server that was started again has another.  0: none does in this network
 * namespace, or the kernel does not say.  One that listens at every address is found at those of
 * other machines, too: it is for the caller to know whose the address is.  Of several that share
 * a port (SO_REUSEPORT) it is one, and always the same while none comes or goes.  Without its
 * module (tcp_diag) the kernel looks for that each time, which may take milliseconds.
 */
uint64_t listener_at(const struct netaddr *);

#endif
