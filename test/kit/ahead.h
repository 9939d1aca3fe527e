#ifndef KIT_AHEAD_H
#define KIT_AHEAD_H

#include <stdint.h>

/*
 * How far a test has put its clocks ahead: all of them, those of libuv's timers too, so that
 * minutes pass in no time.  Only forward.  A library's threads ask for the time, too.
 */
extern _Atomic int64_t ahead_ms;

#endif
