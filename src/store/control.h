#ifndef STORE_CONTROL_H
#define STORE_CONTROL_H

#include <uv.h>

#include "base/span.h"

/*
 * The operator's commands, served by the writer on a unix socket (mode 0660).
 * Who may speak: root, the process's own user, and members of its group
 * (SO_PEERCRED); anyone else is closed without an answer.  Beyond CONTROL_CLIENTS_MAX the
 * answer is there before the question, and says so.
 *
 * One line of JSON asks, one line answers, any number of times:
 *
 *	{"do":"status"}
 *	{"do":"queue","after":ROW,"max":N,FILTER}	all but "do" optional; FILTER:
 *		"home":NAME,"from":EDGE,"state":STATE,"class":CLASS,"recipient":ADDRESS,
 *		"older_ms":N,"size":N,"parked":true	a recipient may be an address,
 *		"@domain", a mailbox; parked: a part of it is
 *	{"do":"show","id":ID}			ID: a UUID, or a row's number
 *	{"do":"log","id":ID}			its story; a UUID where it is gone
 *	{"do":"act","act":ACT,"id":ID,"to":MAILBOX}	ACT: retry, retry-parked, park, unpark
 *						(to), drop; at an edge retry and drop
 *	{"do":"act","act":ACT,"all":true,"after":ROW,"to":MAILBOX,FILTER}	a page of them
 *	{"do":"cat","id":ID,"head":N}		head: so many octets at most; optional
 *	{"do":"pair","name":NAME,"domains":[...]}	edge: a pairing line's token
 *	{"do":"unpair","name":NAME}
 *	{"do":"pairings"}
 *	{"do":"route","address":ADDRESS,"edge":NAME}	home; edge: whose grants count; optional
 *	{"do":"route","mailbox":NAME}		home: whether there is one called so
 *	{"do":"route","catch_alls":true}	home: the mailboxes that catch-alls end in
 *	{"do":"interlock","run":true}		home: reports by service; run: try anew, optional
 *	{"do":"drain"}				home: a look at each bucket; its number, which
 *						"looks" of "status" reaches when it is over
 *	{"do":"alarm","test":true}		what is wrong, and what was told; test: begins to
 *						tell a test by every road, optional
 *	{"do":"peers-reload"}			home: STATE/edges/ was changed
 *	{"do":"ban","net":NET,"by":WHO,"for_ms":N}	home: by "" and for ever where not said
 *	{"do":"unban","net":NET,"by":WHO}	NET: all where not said; WHO: whoever made it
 *	{"do":"bans","after":NUM}
 *
 *	{"ok":true,...}  or  {"ok":false,"error":"words for a person","misuse":true}
 *
 * "misuse" is there where the question itself cannot be meant, whatever the state of things.
 * An answer with "octets":N is followed by N raw octets.  Moments are ISO 8601
 * UTC.  In a "queue", "act" or "bans" answer "more" is what to go on after, where there is more.
 *
 * A question over CONTROL_QUESTION_MAX, or a client that neither asks nor reads
 * for CONTROL_IDLE_MS, ends its connection.  A client asks one thing at a time:
 * the next question is read when the answer before has left.
 */
#define CONTROL_QUESTION_MAX	4096
#define CONTROL_ANSWER_MAX	(4u << 20)	/* an object with its 1,000 recipients */
#define CONTROL_CLIENTS_MAX	16
#define CONTROL_IDLE_MS		60000
#define CONTROL_QUEUE_PAGE	200
#define CONTROL_PASSED_MS	10000	/* a question that another process answers */
#define CONTROL_ACTS_PAGE	200		/* in one transaction */
#define CONTROL_BANS_PAGE	2000

struct control;
struct writer;

/* The answer to a question that was passed on; of one that nobody waits for, nothing. */
void	control_told(struct control *, uint64_t question, struct span json);

/* Takes listen_fd, bound and listening.  NULL: memory or descriptors are out. */
struct control *control_new(uv_loop_t *, struct writer *, int listen_fd);
/* Closes all clients; safe from within a callback.  The loop must turn once more. */
void	control_free(struct control **);

#endif
