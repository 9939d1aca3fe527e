#ifndef PROTO_ALARMS_H
#define PROTO_ALARMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/why.h"

/*
 * Which conditions somebody has to be told of, by which road, and of which he was told,
 * as a pure machine: looks in, notices out.  No clock: time comes in, as wall time, which
 * may jump; a moment that lies ahead is taken for now.
 *
 * A condition is one by its key, whatever its text says.  It is told when it has lasted,
 * once by each road, then again each day while it lasts, and as cleared when it has been
 * gone as long.  What comes and goes faster than that is one condition that lasts, and
 * what never lasted is never told.  A condition is cleared by the roads that told of it.
 * A summary is told like one, but that it goes without a word.
 *
 * What was told is kept over a restart (alarms_write, alarms_read): else each would tell
 * everything again.  Written after it was told: we err to a second notice.
 */
#define ALARMS_MAX	256	/* several of each peer; of more nobody is told */
#define ALARM_KEY_MAX	320	/* a kind, and the name of a peer */
#define ALARM_TEXT_MAX	768	/* a whole struct why and what to do about it */
#define ALARMS_FILE_MAX	(1u << 20)
/* A cleared one that a road does not take for so long is forgotten by it. */
#define ALARM_GIVE_UP_MS	(3LL * 24 * 3600 * 1000)

enum alarm_road {
	ALARM_COMMAND = 0,
	ALARM_WEBHOOK,
	ALARM_MAIL,
	ALARM_LOG,		/* always there, at error level */
	ALARM_ROADS
};

enum alarm_event {
	ALARM_NOTHING = 0,
	ALARM_RAISED,
	ALARM_REPEATED,
	ALARM_CLEARED,
	ALARM_SUMMARY,		/* no condition: what was parked as junk, once a day */
	ALARM_TEST,		/* the operator asked for it */
	ALARM_EVENTS
};

struct alarm {
	char		key[ALARM_KEY_MAX];
	char		text[ALARM_TEXT_MAX];
	int64_t		since_ms;
	int64_t		wait_ms;	/* so long it lasts before it is an alarm */
	int64_t		gone_ms;	/* 0: it is there */
	bool		summary;
	bool		raised;		/* it has lasted */
	bool		old;		/* of before a restart, and not seen since */
	bool		looked;		/* seen in the look under way */
	int64_t		told_ms[ALARM_ROADS];	/* 0: that road has not told of it */
};

struct alarms {				/* zero: there are none */
	struct alarm	*list;
	size_t		 n, room;
	bool		 changed;	/* since alarms_write: worth writing */
};

struct alarm_times {
	int64_t		after_ms;	/* so long gone is cleared */
	int64_t		repeat_ms;
	int64_t		old_ms;		/* the same of one from before a restart */
};

void	alarms_fini(struct alarms *);

/*
 * A look: begin, each condition that is there, end.  False: memory is out, or there are
 * too many, and nobody will be told of this one.
 */
void	alarms_look(struct alarms *);
bool	alarms_seen(struct alarms *, const char *key, const char *text, bool summary,
    int64_t wait_ms, int64_t now_ms);
void	alarms_looked(struct alarms *, const struct alarm_times *, int64_t now_ms);

/*
 * What is to be told next by a road, its longest due first; NULL: nothing.  That it does
 * not work itself (alarm_road_key) is for others to tell.
 */
const struct alarm *alarms_due(const struct alarms *, enum alarm_road, const struct alarm_times *,
    int64_t now_ms, enum alarm_event *);
/* It was told; one that is gone meanwhile is no matter. */
void	alarms_told(struct alarms *, enum alarm_road, const char *key, enum alarm_event,
    int64_t now_ms);
/* NULL: there is no such condition, or none yet. */
const struct alarm *alarms_find(const struct alarms *, const char *key);

/* As JSON: what somebody was told of.  False: memory is out. */
bool	alarms_write(struct alarms *, struct buf *);
/* Into an empty one; what does not fit its limits is refused whole.  -1 with why. */
int	alarms_read(struct alarms *, struct span, struct why *);

const char *alarm_road_name(enum alarm_road);		/* "webhook" */
const char *alarm_road_key(enum alarm_road);		/* "alarms/webhook" */
const char *alarm_event_name(enum alarm_event);		/* "raised" */

#endif
