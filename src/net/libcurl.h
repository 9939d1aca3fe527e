#ifndef NET_LIBCURL_H
#define NET_LIBCURL_H

#include <curl/curl.h>

#include "base/why.h"

/* What we use of libcurl, which net/http.c alone calls: see net/library.h. */
struct libcurl {
	__typeof__(curl_easy_cleanup)		*easy_cleanup;
	__typeof__(curl_easy_getinfo)		*easy_getinfo;
	__typeof__(curl_easy_init)		*easy_init;
	__typeof__(curl_easy_pause)		*easy_pause;
	__typeof__(curl_easy_setopt)		*easy_setopt;
	__typeof__(curl_easy_strerror)		*easy_strerror;
	__typeof__(curl_free)			*free;
	__typeof__(curl_global_init)		*global_init;
	__typeof__(curl_multi_add_handle)	*multi_add_handle;
	__typeof__(curl_multi_assign)		*multi_assign;
	__typeof__(curl_multi_cleanup)		*multi_cleanup;
	__typeof__(curl_multi_info_read)	*multi_info_read;
	__typeof__(curl_multi_init)		*multi_init;
	__typeof__(curl_multi_remove_handle)	*multi_remove_handle;
	__typeof__(curl_multi_setopt)		*multi_setopt;
	__typeof__(curl_multi_socket_action)	*multi_socket_action;
	__typeof__(curl_multi_strerror)		*multi_strerror;
	__typeof__(curl_slist_append)		*slist_append;
	__typeof__(curl_slist_free_all)		*slist_free_all;
	__typeof__(curl_url)			*url;
	__typeof__(curl_url_cleanup)		*url_cleanup;
	__typeof__(curl_url_get)		*url_get;
	__typeof__(curl_url_set)		*url_set;
};

/* Opened and initialised at the first call, the same one ever after.  NULL with why. */
const struct libcurl *libcurl_open(struct why *);

#endif
