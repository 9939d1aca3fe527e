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
 * the time is up, which this side measures too: a resolver may hang.  What needs no
 * asking (a literal, a failure to ask) is answered before the call returns.
 *
 * The resolver process may end at any time, and is started again.  What it did not
 * answer, and what is asked meanwhile, goes to the next one within the same time;
 * what was sent to two that ended fails.
 */
#define RESOLVE_ADDRS_MAX	8
/* Of this process, under way; beyond it a question fails at once. */
#define RESOLVE_ASKS_MAX	4096
#define RESOLVE_BUCKETS		512
#define RESOLVE_UNDERWAY	1024	/* the same at the server, over all that ask it */

struct resolver;
struct chan;

struct resolver *resolver_new(void);
/*
 * Takes the channel, in place of the one before, on the same loop; until the first,
 * questions fail at once.  timeout_ms: what resolve_server_new was given at the other end.
 */
void	resolver_attach(struct resolver *, struct chan *, int64_t timeout_ms);
/* What waits fails.  The loop must run once more. */
void	resolver_free(struct resolver **);

typedef void resolve_addrs_fn(void *arg, const struct netaddr *, size_t n, const struct why *);
/*
 * Addresses of a host, port set in each, IPv6 first as RFC 6724 would; a
 * literal is answered without asking.
 */
void	resolve_host(struct resolver *, const char *host, uint16_t port, resolve_addrs_fn *,
    void *arg);

/*
 * The forward-confirmed name of an address: PTR, then A/AAAA that contains it;
 * a valid host name of at most 253 octets, without a last dot.  "" if there is
 * none.  NULL: done was called already.
 */
typedef void resolve_name_fn(void *arg, const char *name);
struct resolve_ask;
struct resolve_ask *resolve_name(struct resolver *, const struct netaddr *, resolve_name_fn *,
    void *arg);
/* Its owner goes: done is never called.  Only while it has not been. */
void	resolve_cancel(struct resolve_ask **);

/*
 * The other side (resolve_server.c): answers over chan until it closes.  Made
 * before the sandbox, as it reads /etc/hosts and /etc/resolv.conf; the first
 * question starts libunbound's one thread.
 */
struct resolve_server;
/* servers: addresses, with a port if it is not 53; none: /etc/resolv.conf. */
struct resolve_server *resolve_server_new(uv_loop_t *, const char *const *servers, size_t n,
    int64_t timeout_ms, struct why *);
/*
 * When a question finds that one of these files is another one than was read, as on a machine
 * that moved to another network: changed is called once, from within, and no question is taken
 * from then on.  The process has to end then; the next one is asked again what has no answer.
 */
void	resolve_server_watch(struct resolve_server *, void (*changed)(void *), void *arg);
void	resolve_server_client(struct resolve_server *, struct chan *);	/* takes it */
/* For how long nobody has asked anything; 0 while a question is under way. */
int64_t	resolve_server_idle_ms(const struct resolve_server *);
void	resolve_server_free(struct resolve_server **);

#endif
