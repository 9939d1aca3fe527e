#ifndef HOME_LIBMICROHTTPD_H
#define HOME_LIBMICROHTTPD_H

#include <microhttpd.h>

#include "base/why.h"

/* What we use of libmicrohttpd, which home/push.c alone calls: see net/library.h. */
struct libmicrohttpd {
	__typeof__(MHD_add_connection)		*add_connection;
	__typeof__(MHD_add_response_header)	*add_response_header;
	__typeof__(MHD_create_response_from_buffer) *create_response_from_buffer;
	__typeof__(MHD_destroy_response)	*destroy_response;
	__typeof__(MHD_get_connection_info)	*get_connection_info;
	__typeof__(MHD_get_daemon_info)		*get_daemon_info;
	__typeof__(MHD_get_timeout)		*get_timeout;
	__typeof__(MHD_lookup_connection_value)	*lookup_connection_value;
	__typeof__(MHD_queue_response)		*queue_response;
	__typeof__(MHD_resume_connection)	*resume_connection;
	__typeof__(MHD_run)			*run;
	__typeof__(MHD_start_daemon)		*start_daemon;
	__typeof__(MHD_stop_daemon)		*stop_daemon;
	__typeof__(MHD_suspend_connection)	*suspend_connection;
};

/* Opened at the first call, the same one ever after.  NULL with why. */
const struct libmicrohttpd *libmicrohttpd_open(struct why *);

#endif
