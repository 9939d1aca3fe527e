#ifndef CTL_CHOOSE_H
#define CTL_CHOOSE_H

#include <jansson.h>

#include "base/clock.h"
#include "ctl/opts.h"

/*
 * Which objects a command is about: the filters of its line into a question
 * (store/control.h), and what a person sees while many are looked through.
 */
#define CHOOSE_USAGE \
	"      --state STATE   only these: held, verdict (edge); queued, sending, staged,\n" \
	"                      deferred, parked, uncertain, refused (home)\n" \
	"      --of HOME       at an edge: only what is held for this home\n" \
	"      --from EDGE     at home: only what came by this edge\n" \
	"      --class CLASS   at home: only what is parked as policy, refused, foreign,\n" \
	"                      malformed, unsealable or operator\n" \
	"      --recipient WHO at home: an address, @DOMAIN, or a local part or mailbox\n" \
	"      --older TIME    received so long ago, at least: 90s, 10m, 12h, 7d\n" \
	"      --size SIZE     sealed octets, at least: 300K, 5M\n"

void	choose_question(const struct opts *, json_t *question);
bool	choose_any(const struct opts *);		/* whether the line has any */

/* -1: each argument can be an object's id.  Else the exit code: which is none was said. */
int	choose_ids(const struct opts_use *, const struct opts *);

/* A line on standard error that counts, where that is a terminal and it takes over 2 s. */
struct progress {
	struct instant	began, said;
	bool		shown;
};
void	progress_begin(struct progress *);
void	progress_tell(struct progress *, const char *what, unsigned long long n);
void	progress_end(struct progress *);		/* the line is free again */

#endif
