#ifndef CTL_DOCTOR_H
#define CTL_DOCTOR_H

#include "ctl/client.h"
#include "ctl/finding.h"
#include "ctl/role.h"

/* The parts of `doctor`; each tells what it finds, and changes nothing. */

/*
 * What lies here, whether the role runs or not: state, room, key files, pairings, certificate,
 * what the configuration names.  As a start would see it: with root's rights where it needs them,
 * as the role's account below the state.
 */
void	doctor_files(const struct role *, const struct findings *);
/*
 * What a running role says of itself: peers, services, interlock, alarms.  One question or two,
 * for each of which client_ask has its limit.
 */
void	doctor_running(struct client *, enum conf_role, const struct findings *);

/*
 * What a Worker sees of a home from outside, where the configuration names its probe: each
 * target's name and port (worker/README.md).  Some seconds for each.
 */
void	doctor_probe(const struct role *, const struct findings *);
/*
 * Whether the url of service "push" leads to it, with each Worker's token.  Some seconds for each.
 */
void	doctor_push(const struct role *, const struct findings *);

#endif
