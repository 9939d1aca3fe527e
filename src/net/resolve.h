#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "base/netaddr.h"
#include "base/why.h"

/*
 * Names, by libunbound in a process of its own (priv/procs): this side asks over
 * a channel.  /etc/hosts is honoured, DNS servers come from the configuration or
 * /etc/resolv.conf.  Every question is answered exactly once, with failure when
 * the time is up, the resolver died or none is attached.
 */
#define RESOLVE_ADDRS_MAX 8

struct resolver;
struct chan;

struct resolver *resolver_new(void);
void	resolver_attach(struct resolver *, struct chan *);	/* takes it; NULL detaches */
void	resolver_free(struct resolver **);

typedef void resolve_addrs_fn(void *arg, const struct netaddr *, size_t n, const struct why *);
/* Addresses of a host, port set in each; a literal is answered without asking. Both families, as the resolver orders them. */
void	resolve_host(struct resolver *, const char *host, uint16_t port, resolve_addrs_fn *, void *arg);

/* The forward-confirmed name of an address: PTR, then A/AAAA that contains it. "" if there is none. */
typedef void resolve_name_fn(void *arg, const char *name);
struct resolve_ask;
struct resolve_ask *resolve_name(struct resolver *, const struct netaddr *, resolve_name_fn *, void *arg);
void	resolve_cancel(struct resolve_ask **);			/* its owner goes: never called */

/* The other side: answers over chan until it closes. */
struct resolve_server;
struct resolve_server *resolve_server_new(uv_loop_t *, const char *const *servers, size_t n, int64_t timeout_ms, struct why *);
void	resolve_server_client(struct resolve_server *, struct chan *);
void	resolve_server_free(struct resolve_server **);

#endif
