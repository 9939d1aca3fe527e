#include "home/libmicrohttpd.h"

#include <stdbool.h>

#include "net/library.h"

#define SONAME	"libmicrohttpd.so.12"
#define CALL(name)	{ "MHD_" #name, offsetof(struct libmicrohttpd, name) }

LIBRARY_NOTE(SONAME, "service push: mail that Workers bring");

static const struct library_call calls[] = {
	CALL(add_connection),
	CALL(add_response_header),
	CALL(create_response_from_buffer),
	CALL(destroy_response),
	CALL(get_connection_info),
	CALL(get_daemon_info),
	CALL(get_timeout),
	CALL(lookup_connection_value),
	CALL(queue_response),
	CALL(resume_connection),
	CALL(run),
	CALL(start_daemon),
	CALL(stop_daemon),
	CALL(suspend_connection),
};

_Static_assert(sizeof(calls) / sizeof(calls[0]) * sizeof(void *) == sizeof(struct libmicrohttpd),
    "each function has its line");

const struct libmicrohttpd *
libmicrohttpd_open(struct why *why)
{
	static struct libmicrohttpd mhd;
	static bool open;

	if (!open && library_open(SONAME, calls, sizeof(calls) / sizeof(calls[0]), &mhd,
	    why) == -1)
		return NULL;
	open = true;
	return &mhd;
}
