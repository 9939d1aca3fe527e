#include "net/libunbound.h"

#include <stdbool.h>

#include "net/library.h"

#define SONAME	"libunbound.so.8"
#define CALL(name)	{ "ub_" #name, offsetof(struct libunbound, name) }

LIBRARY_NOTE(SONAME, "names of clients, edges, mail servers, buckets");

static const struct library_call calls[] = {
	CALL(cancel),
	CALL(ctx_async),
	CALL(ctx_create),
	CALL(ctx_delete),
	CALL(ctx_hosts),
	CALL(ctx_resolvconf),
	CALL(ctx_set_fwd),
	CALL(ctx_set_option),
	CALL(fd),
	CALL(process),
	CALL(resolve_async),
	CALL(resolve_free),
	CALL(strerror),
};

_Static_assert(sizeof(calls) / sizeof(calls[0]) * sizeof(void *) == sizeof(struct libunbound),
    "each function has its line");

const struct libunbound *
libunbound_open(struct why *why)
{
	static struct libunbound unbound;
	static bool open;

	if (!open && library_open(SONAME, calls, sizeof(calls) / sizeof(calls[0]), &unbound,
	    why) == -1)
		return NULL;
	open = true;
	return &unbound;
}
