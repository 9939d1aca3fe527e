#ifndef STORE_CONTROL_ANSWER_H
#define STORE_CONTROL_ANSWER_H

#include <jansson.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/scoreboard.h"
#include "base/span.h"
#include "base/why.h"
#include "conf/conf.h"

/*
 * What the control socket (control.h) answers, without the socket: a question's
 * line in, a line and maybe octets out.  Runs between two commits of the writer.
 */
struct writer;

struct control_answer {
	json_t		*line;		/* NULL: memory is out */
	struct buf	 octets;	/* sealed octets, or */
	int		 fd;		/* a file of them, -1 if not; the caller's to close */
	uint64_t	 noctets;
	/* not 0: there is no line yet, it comes to control_told by this number */
	uint64_t	 question;
};

void	control_answer(struct writer *, struct span question, struct control_answer *);

/* --- shared by the files that answer --------------------------------------- */

/* {"ok":true}, or {"ok":false,"error":...}. */
json_t	*answer_ok(void);
json_t	*answer_failed(const struct why *);
/* The same, of what cannot be meant: "misuse" (control.h). */
json_t	*answer_misused(const struct why *);
/* A JSON string of text that may be anybody's: what is not well-formed UTF-8 is escaped. */
json_t	*answer_text(const char *, size_t max);
json_t	*answer_moment(int64_t ms);		/* ISO 8601, or null for 0 */

json_t	*answer_status(struct writer *, const json_t *question);
json_t	*answer_queue(struct writer *, const json_t *question);
json_t	*answer_show(struct writer *, const json_t *question);
json_t	*answer_act(struct writer *, const json_t *question);
json_t	*answer_log(struct writer *, const json_t *question);
void	answer_route(struct writer *, const json_t *question, struct control_answer *);
void	answer_cat(struct writer *, const json_t *question, struct control_answer *);
json_t	*answer_pair(struct writer *, const json_t *question);
json_t	*answer_unpair(struct writer *, const json_t *question);
json_t	*answer_pairings(struct writer *, const json_t *question);
json_t	*answer_interlock(struct writer *, const json_t *question);
json_t	*answer_alarm(struct writer *, const json_t *question);
json_t	*answer_peers_reload(struct writer *, const json_t *question);
json_t	*answer_ban(struct writer *, const json_t *question);
json_t	*answer_unban(struct writer *, const json_t *question);
json_t	*answer_bans(struct writer *, const json_t *question);
void	answer_drain(struct writer *, const json_t *question, struct control_answer *);

/* Whether no service of the edge is there for that home, and then what to do, in words. */
bool	answer_unserved(const struct conf_edge *, const char *home, char *out, size_t max);

/*
 * Whether that service has several homes, `another` (NULL: none) with them, and for that can pass
 * nobody on: homes that were paired, as a configuration that names them is refused.  Then what to
 * do, in words.
 */
bool	answer_crowded(struct writer *, const struct conf_service *, const char *another,
	    char *out, size_t max);

/*
 * The alarm while mail is refused for want of room, or NULL.  room: db_disk_free();
 * octets: held in all, of the quota in all.
 */
const char *answer_room(enum conf_role, uint64_t room, uint64_t octets, uint64_t quota);

enum used {			/* of a quota */
	USED_LITTLE = 0,
	USED_NEARLY,		/* 80 % */
	USED_UP,		/* what comes next does not fit: 99 % */
};
enum used answer_used(uint64_t octets, uint64_t quota, int *percent);

/*
 * The scoreboard's part of `status` into o: "processes", "peers", "counters", "started".  NULL
 * board: none of it.
 */
void	answer_board(json_t *o, struct scoreboard *);

/* A text on the scoreboard, which may change while it is read, and need not end. */
json_t	*answer_board_text(const char *, size_t max);
/* Each bucket: as home's drain sees it, or the edge that fills it. */
json_t	*answer_buckets(struct scoreboard *, int64_t alarm_ms);

/* home: where held mail goes, how its sender is told there, and what to know about that. */
json_t	*answer_delivery(const struct conf_home *, struct scoreboard *);

#endif
