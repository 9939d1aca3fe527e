#include "net/libcurl.h"

#include <stdbool.h>

#include "net/library.h"

#define SONAME	"libcurl.so.4"
#define CALL(name)	{ "curl_" #name, offsetof(struct libcurl, name) }

LIBRARY_NOTE(SONAME, "HTTP: buckets, a filter, alarms by webhook");

static const struct library_call calls[] = {
	CALL(easy_cleanup),
	CALL(easy_getinfo),
	CALL(easy_init),
	CALL(easy_pause),
	CALL(easy_setopt),
	CALL(easy_strerror),
	CALL(free),
	CALL(global_init),
	CALL(multi_add_handle),
	CALL(multi_assign),
	CALL(multi_cleanup),
	CALL(multi_info_read),
	CALL(multi_init),
	CALL(multi_remove_handle),
	CALL(multi_setopt),
	CALL(multi_socket_action),
	CALL(multi_strerror),
	CALL(slist_append),
	CALL(slist_free_all),
	CALL(url),
	CALL(url_cleanup),
	CALL(url_get),
	CALL(url_set),
};

_Static_assert(sizeof(calls) / sizeof(calls[0]) * sizeof(void *) == sizeof(struct libcurl),
    "each function has its line");

const struct libcurl *
libcurl_open(struct why *why)
{
	static struct libcurl curl;
	static bool open;

	if (open)
		return &curl;
	if (library_open(SONAME, calls, sizeof(calls) / sizeof(calls[0]), &curl, why) == -1)
		return NULL;
	if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		why_set(why, "libcurl does not start");
		return NULL;
	}
	open = true;
	return &curl;
}
