#ifndef HOME_DRAIN_H
#define HOME_DRAIN_H

#include <uv.h>

#include "base/buf.h"
#include "base/clock.h"
#include "home/delivery.h"
#include "home/intake.h"
#include "net/http.h"
#include "net/resolve.h"
#include "proto/s3_keys.h"

/*
 * The drain process of a home: it looks into buckets, where edges without a tunnel left sealed
 * mail, and takes it in.
 *
 * It holds each bucket's credentials, each signer's MAC keys and the directory of large objects
 * (to make files in).  It talks to the stores, the writer (puts) and the resolver.  It sees
 * sealed octets, but of an older pipeline's mail (home/old_mail.h).  An attacker inside it can
 * forge the arrival of sealed mail by any signer, and empty the buckets; he cannot open mail, and
 * nothing that he forges can reach a relay (ORIGIN_BUCKET).
 */
struct bucket;

struct drain_proc {
	struct proc	*proc;
	uv_loop_t	*loop;
	struct intake	 intake;
	struct resolver	*resolver;
	struct http	*http;
	struct bucket	*buckets[CONF_BUCKETS_MAX];	/* by their place in the configuration */
	size_t		 nbuckets;
	struct s3_keys	 keys[CONF_BUCKETS_MAX];	/* until start */
	struct chan	*to_courier;	/* came before start */
	struct delivery	 delivery;	/* for what came unsealed (home/old_mail.h): its keys */
	struct buf	 authorities[CONF_BUCKETS_MAX];	/* PEM; empty: this machine's */
	bool		 draining;
	uv_timer_t	 tick;
	struct instant	 drain_began;
};

#endif
