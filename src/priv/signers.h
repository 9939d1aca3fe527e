#ifndef PRIV_SIGNERS_H
#define PRIV_SIGNERS_H

#include "base/span.h"
#include "base/why.h"
#include "conf/conf.h"
#include "priv/account.h"

/*
 * One name signs for one: no worker of home's configuration may be called as an edge that is
 * paired (STATE/edges/NAME), or each would be asked for the other's keys and domains.
 *
 * 0: none is, or there is no state yet, or whoever asks may not look.  -1 with why: "FILE:LINE:
 * ...", the end of the worker's section in text, which home was made of.
 */
int	signers_apart(const struct account *, const char *file, struct span text,
    const struct conf_home *, struct why *);

#endif
