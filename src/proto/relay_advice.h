#ifndef PROTO_RELAY_ADVICE_H
#define PROTO_RELAY_ADVICE_H

#include <stddef.h>

#include "base/buf.h"
#include "proto/relay_probe.h"

/*
 * Which line of which file to change, in the words of the server's own manual; for
 * an unknown server in those of every one that we know.  And what each verdict is,
 * in a sentence.
 */
const char *relay_server_name(enum relay_server);	/* "Postfix"; "" for an unknown one */
/* "a stranger's mail to a stranger was accepted"; "" for RELAY_NO_CAUSE. */
const char *relay_cause_words(enum relay_cause);

/*
 * The i-th line of advice into out: "Postfix: main.cf: ...".  False: there is no more.
 * address: the one that was trusted, or NULL; version: of PROXY, as configured.
 */
bool	relay_advice(const struct relay_result *, size_t i, const struct relay_visit *,
	    struct buf *out);

#endif
