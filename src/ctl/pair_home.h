#ifndef CTL_PAIR_HOME_H
#define CTL_PAIR_HOME_H

#include "base/span.h"
#include "base/why.h"
#include "conf/conf.h"
#include "ctl/identity.h"
#include "proto/pairing.h"

/*
 * Home's side of the pairing dialogue (proto/pairing.h): dials the edge of the
 * line, proves the age key, agrees the MAC key.  0: out is the edge as home is to
 * remember it (peer_fini it).  -1: why says what to do.
 */
int	pair_home(const struct conf_home *, const struct pairing_line *, struct span tunnel_pem,
	    const struct identities *, struct peer *out, struct why *);

#endif
