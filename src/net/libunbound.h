#ifndef NET_LIBUNBOUND_H
#define NET_LIBUNBOUND_H

#include <unbound.h>

#include "base/why.h"

/* What we use of libunbound, which net/resolve_server.c alone calls: see net/library.h. */
struct libunbound {
	__typeof__(ub_cancel)		*cancel;
	__typeof__(ub_ctx_async)	*ctx_async;
	__typeof__(ub_ctx_create)	*ctx_create;
	__typeof__(ub_ctx_delete)	*ctx_delete;
	__typeof__(ub_ctx_hosts)	*ctx_hosts;
	__typeof__(ub_ctx_resolvconf)	*ctx_resolvconf;
	__typeof__(ub_ctx_set_fwd)	*ctx_set_fwd;
	__typeof__(ub_ctx_set_option)	*ctx_set_option;
	__typeof__(ub_fd)		*fd;
	__typeof__(ub_process)		*process;
	__typeof__(ub_resolve_async)	*resolve_async;
	__typeof__(ub_resolve_free)	*resolve_free;
	__typeof__(ub_strerror)		*strerror;
};

/* Opened at the first call, the same one ever after.  NULL with why. */
const struct libunbound *libunbound_open(struct why *);

#endif
