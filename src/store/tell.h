#ifndef STORE_TELL_H
#define STORE_TELL_H

/*
 * What the writer and the processes that tell somebody of alarms (the herald and the
 * runner) say to each other over a channel.  One notice a road at a time; what it becomes
 * is told once, within TELL_MAX_MS.  A notice that is told to somebody and whose TELL_DONE
 * is lost, is told again.
 */
enum tell_msg {
	TELL_NOTICE = 1,	/* to them: u8 enum alarm_road, a notice as JSON (proto/notice.h) */
	TELL_DONE = 64,		/* to the writer, with its tag: "" it was told, or why not */
};

#define TELL_MAX_MS	120000
#define TELL_WHY_MAX	300

#endif
