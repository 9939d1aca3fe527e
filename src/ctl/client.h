#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/span.h"
#include "base/why.h"
#include "ctl/role.h"

/*
 * The operator's end of a control socket (store/control.h): a question, an
 * answer, one after another, waiting for each.
 */
struct client;

/*
 * NULL with why, which says how to start a role that is not running; *running
 * tells that case apart, and may be NULL.
 */
struct client *client_new(const struct role *, bool *running, struct why *);
void	client_free(struct client **);

/*
 * Asks; takes the question.  Returns the answer (ok is true in it; json_decref
 * it), or NULL with why: the words of an {"ok":false} or what failed.
 */
json_t	*client_ask(struct client *, json_t *question, struct why *);
/*
 * After an answer with "octets": hands them to sink in pieces until all came or
 * it returns -1 (why is its own then).
 */
typedef int client_sink_fn(void *arg, struct span, struct why *);
int	client_octets(struct client *, uint64_t n, client_sink_fn *, void *arg, struct why *);

/* What a command needs that asks one thing of a role; zero it first. */
struct asking {
	struct role	 role;
	struct client	*client;
	json_t		*answer;
};
/*
 * Connects: to the socket that --control names, else to that of the configuration.  Where
 * a role's own file in /etc/posthouse is not right, as after a change that the running
 * role refused, the default socket is tried, with a warning.  role stays zero unless the
 * configuration was read.  asking_fini either way.
 */
int	asking_connect(struct asking *, const struct opts *, struct why *);
/* The same, and asks (takes the question). */
int	asking_begin(struct asking *, const struct opts *, json_t *question, struct why *);
/* As opts_failed; where it was the question, as opts_misused. */
int	asking_failed(const struct asking *, const struct opts_use *, const struct why *);
void	asking_fini(struct asking *);

/*
 * The whole of a command that asks one thing (takes the question) and shows what is answered,
 * as JSON or for a person.  Its exit status; what failed was said.
 */
typedef int asking_print_fn(json_t *answer, bool json, struct why *);
int	asking_show(const struct opts_use *, const struct opts *, json_t *question,
    asking_print_fn *);

/* Members that may be missing or of another type. */
const char *json_text(const json_t *, const char *key);		/* "" */
int64_t	json_number(const json_t *, const char *key);		/* 0 */

#endif
