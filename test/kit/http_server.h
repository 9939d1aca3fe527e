#ifndef KIT_HTTP_SERVER_H
#define KIT_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/netaddr.h"

/*
 * A server of HTTP/1.1 on kit/loop.h that answers every request with words as the test wrote them,
 * head and all; connection by connection.
 */
struct http_server {
	const char	*says;		/* NULL: nothing, ever */
	/* What is said to this one, in place of says; good until the next. */
	const char	*(*play)(struct span heard);
	bool		 endless;	/* and then it goes on with x */
	bool		 refuses;	/* closes before it reads */
	bool		 hasty;		/* a head is as good as a request, whatever should follow */
	/* That a connection gets; then it is closed, at the next request; 0: one, and closed. */
	unsigned	 answers;
	size_t		 reads_max;	/* octets of a request that it reads; 0: all */
	unsigned	 served;	/* requests that were whole */
	unsigned	 open;		/* connections now */
	struct buf	 heard;		/* the last request that was whole */
};

extern struct http_server server;

/* On a port of loopback, or on the socket of that path. */
struct netaddr http_server_begin(const char *path);
void	http_server_end(void);

#endif
