#ifndef KIT_EDGE_RIG_H
#define KIT_EDGE_RIG_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "edge/edge.h"
#include "edge/ephemerals.h"
#include "edge/handover.h"
#include "edge/homes.h"
#include "edge/passage.h"
#include "edge/session.h"
#include "edge/tunnel.h"
#include "kit/loop.h"
#include "kit/tcp_pair.h"
#include "net/chan.h"
#include "proto/crypto.h"
#include "store/writer.h"

/*
 * The reception of an edge on the kit's loop, with a true spool and its
 * writer at the other end of a socketpair, in a directory that goes with it.
 * Home "alice" has alice.test, the age identity and the MAC key below.
 */
extern struct rig {
	char		 dir[64];
	struct conf_edge *conf;
	struct scoreboard board;
	struct proc	 proc;
	struct edge	 e;
	struct home	*alice;
	struct age_identity age;
	struct secret	 mac;
	struct writer	*writer;
	unsigned	 works;
} R;

void	rig_up(const char *more);	/* more: further lines of configuration */
void	rig_down(void);
void	rig_writer_up(void);
void	rig_writer_down(void);		/* as by kill -9: what was asked of it has failed */

#endif
