#ifndef HOME_BACKEND_H
#define HOME_BACKEND_H

#include "conf/conf.h"
#include "home/tunnel.h"
#include "net/conn.h"
#include "proto/proxy_header.h"

/*
 * The one way from this home to a backend: for passed connections, for health
 * checks and for the interlock alike.  Nothing else dials one.  What is opened
 * begins with a PROXY header that home wrote itself, unless the service says
 * proxy = "none" (which no mail service can): a backend that trusts its own
 * machine must never take a stranger for it.
 *
 * Three callers, three entries.  Only the first speaks for a client, and judges
 * him; the second says what is true of its own connection; the third is the
 * interlock's, which must be able to claim what nobody may.
 *
 * The service is copied.  ops and done have one arg.  done comes exactly once, from
 * the loop: with the connection, whose octets are all the caller's from then on and
 * whose closed will come; or with NULL and why the backend was not reached.
 */
#define BACKEND_CONNECT_MS	5000

struct backend_call;
typedef void backend_opened_fn(void *arg, struct conn *, const struct why *);

/*
 * Why the client of a header cannot be shown to this service's backend: words for
 * a log, NULL if he can.  Refused are LOCAL and whoever has no address, this
 * machine's own addresses and an edge's; then, unless the service has
 * allow_private, what lies in a network of this machine or in a private one; and
 * always all else that is no global unicast address (netaddr_is_global).
 */
const char *backend_refuses(const struct tunnel_proc *, const struct conf_home_service *,
		    const struct proxy_header *);

/*
 * All three: NULL with why when nothing was begun; then done never comes.
 *
 * For a client: what an edge said, judged here (again), so that no caller can forget it.
 */
struct backend_call *backend_open_client(struct tunnel_proc *, const struct conf_home_service *,
		    const struct proxy_header *, const struct conn_ops *, backend_opened_fn *done,
		    void *arg, struct why *);
/* For home itself: the header has the two ends of this very connection. */
struct backend_call *backend_open_self(struct tunnel_proc *, const struct conf_home_service *,
		    const struct conn_ops *, backend_opened_fn *done, void *arg, struct why *);
/* For the interlock alone: as whoever it claims to be; nothing is judged. */
struct backend_call *backend_open_probe(struct tunnel_proc *, const struct conf_home_service *,
		    const struct netaddr *from, const struct netaddr *to, const struct conn_ops *,
		    backend_opened_fn *done, void *arg, struct why *);
/* Its owner goes before done came, which now never will. */
void	backend_cancel(struct backend_call **);

#endif
