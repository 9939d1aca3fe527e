#ifndef HOME_PUSH_GATE_H
#define HOME_PUSH_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "proto/key_lines.h"

/*
 * Which Worker a request is of, by its token, and whether that Worker may go on: a pure part
 * of home/push.h.  Time is the caller's, of a clock that never goes back.
 */
#define PUSH_MINUTE_MS	60000
#define PUSH_HOUR_MS	3600000

/* What of an allowance is used up; it comes back evenly, all of it within its window. */
struct allowance {
	uint64_t	used;
	int64_t		at_ms;		/* until when that is counted */
};
/* Gives back what came back since, and says what is used still. */
uint64_t allowance_used(struct allowance *, uint64_t most, int64_t window_ms, int64_t now_ms);

struct push_worker {
	char		name[256];	/* it signs as; "" free */
	struct secret	token[KEY_LINES_MAX];
	size_t		ntokens;
	struct allowance requests, octets;
};

struct push_gate {
	struct push_worker worker[CONF_WORKERS_MAX];
};

/* The text of a Worker's token file; one that is no such file, and "", let nobody in. */
void	push_gate_token(struct push_gate *, const char *name, struct span text);
/*
 * authorization: the header's value.  NULL: no Worker's token.  As long for a token of which
 * the first half is right as for any other.
 */
struct push_worker *push_gate_find(struct push_gate *, struct span authorization);
/* One request; false: too many in the last minute, or too many octets in the last hour. */
bool	push_gate_pass(struct push_worker *, const struct conf_home_service *, int64_t now_ms);
void	push_gate_octets(struct push_worker *, size_t n);	/* it was let in with as many */
void	push_gate_fini(struct push_gate *);		/* wipes */

#endif
