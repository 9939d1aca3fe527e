#ifndef EDGE_EDGE_H
#define EDGE_EDGE_H

#include <openssl/ssl.h>
#include <uv.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "edge/clients.h"
#include "edge/crowd.h"
#include "edge/homes.h"
#include "net/resolve.h"
#include "net/splice.h"
#include "priv/proc.h"
#include "proto/smtp_server.h"
#include "store/spool.h"

/*
 * The reception process of an edge.  It holds public connections, tunnels, the
 * STARTTLS and tunnel keys, homes' public recipients and MAC keys; it talks to
 * the writer, the resolver and, where mail goes into a store, the bucket process.
 * An attacker inside it sees mail that passes while he is there and can forge more
 * of it; he cannot open what is held, reach the disk but for new files in large/,
 * or send mail anywhere: there is no code for that.
 */

/* What sessions are held to, shared by those that began under it; a reload makes another. */
struct terms {
	struct smtp_srv_conf	smtp;
	char			hostname[256];
	struct conf_timeouts	timeouts;
	unsigned		refs;
};

struct session;
struct passage;
struct listener;
struct tunnel;
struct ephemerals;

struct edge {
	struct proc	*proc;
	uv_loop_t	*loop;
	struct spool	*spool;			/* the writer's */
	struct spool	*mail;			/* where new mail goes: spool, or the bucket's */
	struct resolver	*resolver;
	struct clients	*clients;
	struct ephemerals *ephemerals;
	struct homes	 homes;
	struct terms	*terms;
	SSL_CTX		*smtp_tls;		/* NULL: STARTTLS is not offered */
	SSL_CTX		*tunnel_tls;
	struct buf	 cert_pem, key_pem, tunnel_pem;
	struct buf	 next_pem;		/* of the tunnel key that follows; empty: none */
	struct pin	 pins[2];		/* of both, the one in use first */
	size_t		 npins;
	struct listener	*listeners;
	struct session	*sessions;		/* all that are open */
	size_t		 nsessions;
	struct crowd	 crowd;
	struct passage	*passages;		/* on their way home, or being looked at */
	size_t		 npassages;
	struct splices	 splices;
	struct clients	*passed_clients;
	struct tunnel	*tunnels;
	unsigned	 verdicts;		/* being waited for */
	size_t		 recipients;		/* octets of memory, of all transactions */
	int		 large_fd;
	uv_timer_t	 sweep;			/* deadlines of all sessions, once a second */
	uv_timer_t	 renew;			/* of the ephemerals */
	bool		 draining;
	bool		 running;		/* in the sandbox */
	bool		 known;			/* whose mail is taken here */
	bool		 writer;		/* there, and answering */
	bool		 pairing;		/* a pairing line is open */
	unsigned	 pairs;			/* connections that pair now */
};

static inline const struct conf_edge *
edge_conf(const struct edge *e)
{
	return e->proc->edge;
}

static inline struct scoreboard *
edge_board(const struct edge *e)
{
	return e->proc->board;
}

#endif
