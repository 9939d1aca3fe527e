#include "net/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define FIELD_MAX	4096	/* octets of one; more is cut */

struct http {
	CURLM		*multi;
	uv_loop_t	*loop;
	uv_timer_t	 timer;
	struct http_call *calls;
};

struct http_call {
	struct http_call *next, **at;
	struct http	*http;
	CURL		*easy;
	struct curl_slist *fields, *connect_to;
	const struct http_ops *ops;
	void		*arg;
	size_t		 left;		/* octets that the answer's body may still have */
	bool		 going;
	struct why	 why;		/* ours; "" libcurl's words count */
	char		 words[CURL_ERROR_SIZE];
};

struct watch {				/* one of libcurl's sockets */
	uv_poll_t	 poll;
	struct http	*http;
	curl_socket_t	 fd;
};

/* --- libcurl on the loop -------------------------------------------------------------------- */

static void
call_free(struct http_call *c)
{
	if (c->going)
		curl_multi_remove_handle(c->http->multi, c->easy);
	if ((*c->at = c->next) != NULL)
		c->next->at = c->at;
	curl_easy_cleanup(c->easy);
	curl_slist_free_all(c->fields);
	curl_slist_free_all(c->connect_to);
	free(c);
}

static enum http_end
end_of(struct http_call *c, CURLcode code)
{
	curl_off_t connected = 0;

	if (code == CURLE_OK)
		return HTTP_ANSWERED;
	curl_easy_getinfo(c->easy, CURLINFO_CONNECT_TIME_T, &connected);
	if (code == CURLE_COULDNT_CONNECT || connected == 0)
		return HTTP_NOT_REACHED;
	return code == CURLE_OPERATION_TIMEDOUT ? HTTP_LATE : HTTP_BROKEN;
}

/* Tells of what has ended; who is told may begin others and cancel any. */
static void
tell(struct http *h)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		struct http_call *c;
		const struct http_ops *ops;
		enum http_end end;
		struct why why;
		long status = 0;
		void *arg;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
		end = end_of(c, m->data.result);
		if (end == HTTP_ANSWERED)
			curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
		why = c->why;
		if (why.text[0] == '\0')
			why_set(&why, "%s", c->words[0] != '\0' ? c->words :
			    curl_easy_strerror(m->data.result));
		ops = c->ops;
		arg = c->arg;
		call_free(c);
		ops->done(arg, end, (unsigned)status, &why);
	}
}

static void
act(struct http *h, curl_socket_t fd, int what)
{
	int running;

	(void)curl_multi_socket_action(h->multi, fd, what, &running);
	tell(h);
}

static void
on_time(uv_timer_t *timer)
{
	act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int
want_time(CURLM *multi, long ms, void *arg)
{
	struct http *h = arg;

	if (ms < 0)
		uv_timer_stop(&h->timer);
	else
		uv_timer_start(&h->timer, on_time, (uint64_t)ms, 0);
	return 0;
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
	struct watch *w = poll->data;

	act(w->http, w->fd, status < 0 ? CURL_CSELECT_ERR :
	    ((events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0) |
	    ((events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0));
}

static void
on_watch_closed(uv_handle_t *h)
{
	free(h->data);
}

/* -1 ends the call whose socket it is. */
static int
want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
	struct http *h = arg;
	struct watch *w = of_socket;

	if (what == CURL_POLL_REMOVE) {
		curl_multi_assign(h->multi, fd, NULL);
		if (w != NULL) {
			uv_poll_stop(&w->poll);		/* libcurl closes fd next */
			uv_close((uv_handle_t *)&w->poll, on_watch_closed);
		}
		return 0;
	}
	if (w == NULL) {
		if ((w = calloc(1, sizeof(*w))) == NULL)
			return -1;
		if (uv_poll_init_socket(h->loop, &w->poll, fd) != 0) {
			free(w);
			return -1;
		}
		w->poll.data = w;
		w->http = h;
		w->fd = fd;
		curl_multi_assign(h->multi, fd, w);
	}
	uv_poll_start(&w->poll, (what != CURL_POLL_OUT ? UV_READABLE : 0) |
	    (what != CURL_POLL_IN ? UV_WRITABLE : 0), on_poll);
	return 0;
}

struct http *
http_new(uv_loop_t *loop, struct why *why)
{
	struct http *h = calloc(1, sizeof(*h));

	if (h == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
	    (h->multi = curl_multi_init()) == NULL) {
		free(h);
		why_set(why, "libcurl does not start: memory is out");
		return NULL;
	}
	h->loop = loop;
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, want_time);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	uv_timer_init(loop, &h->timer);
	h->timer.data = h;
	return h;
}

static void
on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

void
http_free(struct http **hp)
{
	struct http *h = *hp;

	*hp = NULL;
	if (h == NULL)
		return;
	while (h->calls != NULL)
		call_free(h->calls);
	curl_multi_cleanup(h->multi);
	uv_close((uv_handle_t *)&h->timer, on_timer_closed);
}

/* --- a call --------------------------------------------------------------------------------- */

static size_t
on_pull(char *out, size_t size, size_t n, void *arg)
{
	struct http_call *c = arg;
	ssize_t got = c->ops->pull(c->arg, out, size * n);

	if (got >= 0)
		return (size_t)got;
	why_set(&c->why, "the request's body has no rest");
	return CURL_READFUNC_ABORT;
}

static struct span
trimmed(struct span s)
{
	while (s.n > 0 && strchr(" \t\r\n", s.p[s.n - 1]) != NULL)
		s.n--;
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = span_from(s, 1);
	return s;
}

/* A whole line of a head, also of interim answers (RFC 9110 15.2) and of trailers. */
static size_t
on_head(char *line, size_t size, size_t n, void *arg)
{
	struct http_call *c = arg;
	const char *colon = memchr(line, ':', n);
	long status = 0;

	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	if (c->ops->head != NULL && status >= 200 && colon != NULL)
		c->ops->head(c->arg, span_of(line, (size_t)(colon - line)),
		    trimmed(span_of(colon + 1, (size_t)(line + n - colon - 1))));
	return n;
}

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct http_call *c = arg;

	if (n > c->left) {
		why_set(&c->why, "the answer is larger than we take");
		return CURL_WRITEFUNC_ERROR;
	}
	c->left -= n;
	if (c->ops->body != NULL && !c->ops->body(c->arg, span_of(p, n))) {
		why_set(&c->why, "the answer is not what was asked for");
		return CURL_WRITEFUNC_ERROR;
	}
	return n;
}

static void
set_ways(struct http_call *c, const struct http_request *r)
{
	CURL *e = c->easy;

	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_PROXY, "");		/* whatever http_proxy says */
	curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(e, CURLOPT_CONNECT_TO, c->connect_to);
	curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, r->path);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)r->wait_ms);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)r->wait_ms);
}

static void
set_words(struct http_call *c, const struct http_request *r)
{
	CURL *e = c->easy;

	curl_easy_setopt(e, CURLOPT_URL, r->url);
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
	if (c->ops->pull != NULL) {
		curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->size);
		curl_easy_setopt(e, CURLOPT_READFUNCTION, on_pull);
		curl_easy_setopt(e, CURLOPT_READDATA, c);
	}
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_head);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->words);
	curl_easy_setopt(e, CURLOPT_PRIVATE, (char *)c);
}

static bool
add_field(struct http_call *c, const char *line)
{
	struct curl_slist *more = curl_slist_append(c->fields, line);

	if (more != NULL)
		c->fields = more;
	return more != NULL;
}

struct http_call *
http_call_new(struct http *h, const struct http_request *r, const struct http_ops *ops, void *arg,
    struct why *why)
{
	struct http_call *c = calloc(1, sizeof(*c));
	char to[100];

	why_set(why, "memory is out");
	if (c == NULL)
		return NULL;
	c->http = h;
	c->ops = ops;
	c->arg = arg;
	c->left = r->answer_max;
	if ((c->next = h->calls) != NULL)
		c->next->at = &c->next;
	c->at = &h->calls;
	h->calls = c;
	snprintf(to, sizeof(to), "::%s", netaddr_hostport(&r->to).s);
	c->easy = curl_easy_init();
	if (r->path == NULL)
		c->connect_to = curl_slist_append(NULL, to);
	/* No waiting for "100 Continue": not every server knows it. */
	if (c->easy == NULL || (r->path == NULL && c->connect_to == NULL) ||
	    !add_field(c, "Expect:")) {
		call_free(c);
		return NULL;
	}
	set_ways(c, r);
	set_words(c, r);
	return c;
}

bool
http_call_field(struct http_call *c, const char *name, struct span value)
{
	struct buf line;
	bool ok;

	buf_init(&line, FIELD_MAX + 100);
	buf_addf(&line, "%s: ", name);
	for (size_t i = 0; i < value.n && i < FIELD_MAX; i++) {
		unsigned char ch = (unsigned char)value.p[i];

		buf_add(&line, ch < ' ' || ch == 0x7f ? "?" : value.p + i, 1);
	}
	buf_add(&line, "", 1);
	ok = !line.failed && add_field(c, line.p);
	buf_wipe(&line);
	return ok;
}

bool
http_call_go(struct http_call *c, struct why *why)
{
	CURLMcode code;

	curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->fields);
	if ((code = curl_multi_add_handle(c->http->multi, c->easy)) != CURLM_OK) {
		why_set(why, "%s", curl_multi_strerror(code));
		return false;
	}
	c->going = true;
	return true;
}

void
http_call_cancel(struct http_call **cp)
{
	struct http_call *c = *cp;

	*cp = NULL;
	if (c != NULL)
		call_free(c);
}
