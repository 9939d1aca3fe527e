#include "net/http.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "net/later.h"
#include "net/libcurl.h"

#define FIELD_MAX	4096	/* octets of one; more is cut */

static const struct libcurl *curl;	/* since the first http_new */

struct http {
	CURLM		*multi;
	uv_loop_t	*loop;
	uv_timer_t	 timer;
	struct http_call *calls;
	struct laters	*laters;
};

struct http_call {
	struct http_call *next, **at;
	struct http	*http;
	CURL		*easy;
	struct curl_slist *fields, *connect_to, *resolved;
	const struct http_ops *ops;
	void		*arg;
	uint64_t	 size;		/* of the request's body */
	size_t		 left;		/* octets that the answer's body may still have */
	bool		 going;
	bool		 paused;
	bool		 headed;	/* the final answer's head came to its end */
	struct later	 resume;	/* to be done before the loop sleeps */
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
	later_cancel(&c->resume);
	if (c->going)
		curl->multi_remove_handle(c->http->multi, c->easy);
	if ((*c->at = c->next) != NULL)
		c->next->at = c->at;
	curl->easy_cleanup(c->easy);
	curl->slist_free_all(c->fields);
	curl->slist_free_all(c->connect_to);
	curl->slist_free_all(c->resolved);
	free(c);
}

/*
 * libcurl 7.88 takes a head that breaks off between two lines for a whole one, and "200" for the
 * outcome of a request that was closed before the rest of its body could go.
 */
static bool
whole(struct http_call *c)
{
	curl_off_t sent = 0;

	curl->easy_getinfo(c->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	if (!c->headed)
		why_set(&c->why, "the answer broke off in its head");
	else if (http_call_status(c) < 300 && (uint64_t)sent < c->size)
		why_set(&c->why, "the answer came before the request was whole");
	else
		return true;
	return false;
}

static enum http_end
end_of(struct http_call *c, CURLcode code)
{
	curl_off_t connected = 0, sent = 0;

	if (code == CURLE_OK)
		return whole(c) ? HTTP_ANSWERED : HTTP_BROKEN;
	/* A kept connection took no time to make, but then something of ours went out on it. */
	curl->easy_getinfo(c->easy, CURLINFO_CONNECT_TIME_T, &connected);
	curl->easy_getinfo(c->easy, CURLINFO_PRETRANSFER_TIME_T, &sent);
	if (code == CURLE_COULDNT_CONNECT || code == CURLE_SSL_CONNECT_ERROR ||
	    code == CURLE_PEER_FAILED_VERIFICATION || (connected == 0 && sent == 0))
		return HTTP_NOT_REACHED;
	return code == CURLE_OPERATION_TIMEDOUT ? HTTP_LATE : HTTP_BROKEN;
}

/* The call is gone when its owner hears of it. */
static void
end_call(struct http_call *c, CURLcode code)
{
	const struct http_ops *ops = c->ops;
	enum http_end end = end_of(c, code);
	struct why why = c->why;
	void *arg = c->arg;
	unsigned status = 0;

	if (end == HTTP_ANSWERED)
		status = http_call_status(c);
	if (why.text[0] == '\0')
		why_set(&why, "%s", c->words[0] != '\0' ? c->words : curl->easy_strerror(code));
	call_free(c);
	ops->done(arg, end, status, &why);
}

/* Tells of what has ended; who is told may begin others and cancel any. */
static void
tell(struct http *h)
{
	CURLMsg *m;
	int left;

	while ((m = curl->multi_info_read(h->multi, &left)) != NULL) {
		struct http_call *c;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl->easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
		end_call(c, m->data.result);
	}
}

static void
act(struct http *h, curl_socket_t fd, int what)
{
	int running;

	(void)curl->multi_socket_action(h->multi, fd, what, &running);
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
		curl->multi_assign(h->multi, fd, NULL);
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
		curl->multi_assign(h->multi, fd, w);
	}
	uv_poll_start(&w->poll, (what != CURL_POLL_OUT ? UV_READABLE : 0) |
	    (what != CURL_POLL_IN ? UV_WRITABLE : 0), on_poll);
	return 0;
}

struct http *
http_new(uv_loop_t *loop, struct why *why)
{
	struct http *h;

	if ((curl = libcurl_open(why)) == NULL)
		return NULL;
	h = calloc(1, sizeof(*h));
	if (h == NULL || (h->laters = laters_hold(loop)) == NULL ||
	    (h->multi = curl->multi_init()) == NULL) {
		if (h != NULL && h->laters != NULL)
			laters_drop(h->laters);
		free(h);
		why_set(why, "libcurl does not start: memory is out");
		return NULL;
	}
	h->loop = loop;
	curl->multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl->multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl->multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, want_time);
	curl->multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	curl->multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_KEPT_MAX);
	uv_timer_init(loop, &h->timer);
	h->timer.data = h;
	return h;
}

uv_loop_t *
http_loop(const struct http *h)
{
	return h->loop;
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
	curl->multi_cleanup(h->multi);
	laters_drop(h->laters);
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

static int
on_again(void *arg, curl_off_t offset, int from)
{
	struct http_call *c = arg;

	return offset == 0 && from == SEEK_SET && c->ops->again(c->arg) ? CURL_SEEKFUNC_OK :
	    CURL_SEEKFUNC_FAIL;
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

	c->headed |= http_call_status(c) >= 200 && (line[0] == '\r' || line[0] == '\n');
	if (c->ops->head != NULL && http_call_status(c) >= 200 && colon != NULL)
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

	curl->easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl->easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl->easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl->easy_setopt(e, CURLOPT_PROXY, "");		/* whatever http_proxy says */
	curl->easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl->easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl->easy_setopt(e, CURLOPT_FORBID_REUSE, r->keep ? 0L : 1L);
	curl->easy_setopt(e, CURLOPT_FRESH_CONNECT, r->keep ? 0L : 1L);
	curl->easy_setopt(e, CURLOPT_CONNECT_TO, c->connect_to);
	curl->easy_setopt(e, CURLOPT_RESOLVE, c->resolved);
	curl->easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, r->path);
	curl->easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)r->wait_ms);
	curl->easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)r->wait_ms);
	if (r->stall_ms > 0) {
		curl->easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl->easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)((r->stall_ms + 999) / 1000));
	}
}

/* libcurl copies what it is given here, but for the authorities. */
static void
set_trust(struct http_call *c, const struct http_request *r)
{
	struct curl_blob pem = { (void *)(uintptr_t)r->authorities.p, r->authorities.n,
		CURL_BLOB_NOCOPY };
	char how[100];

	if (r->authorities.n > 0)
		curl->easy_setopt(c->easy, CURLOPT_CAINFO_BLOB, &pem);
	if (r->sign == NULL)
		return;
	/*
	 * libcurl 7.88 signs a field that it was told to leave out, so that the store sees
	 * another request than was signed.  So it says Expect, and does not wait.
	 */
	curl->easy_setopt(c->easy, CURLOPT_EXPECT_100_TIMEOUT_MS, 1L);
	snprintf(how, sizeof(how), "aws:amz:%s:s3", r->sign->region);
	curl->easy_setopt(c->easy, CURLOPT_AWS_SIGV4, how);
	curl->easy_setopt(c->easy, CURLOPT_USERNAME, r->sign->id);
	curl->easy_setopt(c->easy, CURLOPT_PASSWORD, r->sign->secret);
}

static void
set_words(struct http_call *c, const struct http_request *r)
{
	CURL *e = c->easy;

	curl->easy_setopt(e, CURLOPT_URL, r->url);
	if (strcmp(r->method, "HEAD") == 0)		/* else it waits for the body */
		curl->easy_setopt(e, CURLOPT_NOBODY, 1L);
	else
		curl->easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
	if (c->ops->pull != NULL) {
		curl->easy_setopt(e, CURLOPT_UPLOAD, 1L);
		curl->easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->size);
		curl->easy_setopt(e, CURLOPT_READFUNCTION, on_pull);
		curl->easy_setopt(e, CURLOPT_READDATA, c);
		if (c->ops->again != NULL) {
			curl->easy_setopt(e, CURLOPT_SEEKFUNCTION, on_again);
			curl->easy_setopt(e, CURLOPT_SEEKDATA, c);
		}
	}
	curl->easy_setopt(e, CURLOPT_HEADERFUNCTION, on_head);
	curl->easy_setopt(e, CURLOPT_HEADERDATA, c);
	curl->easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl->easy_setopt(e, CURLOPT_WRITEDATA, c);
	curl->easy_setopt(e, CURLOPT_ERRORBUFFER, c->words);
	curl->easy_setopt(e, CURLOPT_PRIVATE, (char *)c);
}

static bool
add_field(struct http_call *c, const char *line)
{
	struct curl_slist *more = curl->slist_append(c->fields, line);

	if (more != NULL)
		c->fields = more;
	return more != NULL;
}

static void	on_resume(struct later *);

/* One address is connected to; several are what the URL's name is to libcurl, which tries them. */
static bool
set_where(struct http_call *c, const struct http_request *r)
{
	struct buf at;
	CURLU *u = curl->url();
	char *host = NULL, *port = NULL;
	bool ok;

	buf_init(&at, 2000);
	if (r->nothers == 0) {
		buf_addf(&at, "::%s", netaddr_hostport(&r->to).s);
		c->connect_to = curl->slist_append(NULL, at.p);
		ok = c->connect_to != NULL;
	} else {
		ok = u != NULL && curl->url_set(u, CURLUPART_URL, r->url, 0) == CURLUE_OK &&
		    curl->url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		    curl->url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK;
		if (ok)
			buf_addf(&at, "%s:%s:%s", host, port, netaddr_ip(&r->to).s);
		for (size_t i = 0; ok && i < r->nothers; i++)
			buf_addf(&at, ",%s", netaddr_ip(&r->others[i]).s);
		c->resolved = ok && !at.failed ? curl->slist_append(NULL, at.p) : NULL;
		ok = c->resolved != NULL;
	}
	curl->free(host);
	curl->free(port);
	curl->url_cleanup(u);
	buf_fini(&at);
	return ok;
}

struct http_call *
http_call_new(struct http *h, const struct http_request *r, const struct http_ops *ops, void *arg,
    struct why *why)
{
	struct http_call *c = calloc(1, sizeof(*c));

	why_set(why, "memory is out");
	if (c == NULL)
		return NULL;
	c->http = h;
	c->ops = ops;
	c->arg = arg;
	c->size = ops->pull != NULL ? r->size : 0;
	c->left = r->answer_max;
	c->resume.fn = on_resume;
	if ((c->next = h->calls) != NULL)
		c->next->at = &c->next;
	c->at = &h->calls;
	h->calls = c;
	c->easy = curl->easy_init();
	/* No waiting for "100 Continue": not every server knows it.  See set_trust. */
	if (c->easy == NULL || (r->path == NULL && !set_where(c, r)) ||
	    (r->sign == NULL && !add_field(c, "Expect:"))) {
		call_free(c);
		return NULL;
	}
	set_ways(c, r);
	set_trust(c, r);
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

	curl->easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->fields);
	if ((code = curl->multi_add_handle(c->http->multi, c->easy)) != CURLM_OK) {
		why_set(why, "%s", curl->multi_strerror(code));
		return false;
	}
	c->going = true;
	return true;
}

unsigned
http_call_status(const struct http_call *c)
{
	long status = 0;

	curl->easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	return (unsigned)status;
}

void
http_call_pause(struct http_call *c)
{
	later_cancel(&c->resume);
	if (c->paused)
		return;
	c->paused = true;
	curl->easy_pause(c->easy, CURLPAUSE_RECV);
}

/* Not from http_call_resume: libcurl hands out what it kept before curl_easy_pause returns. */
static void
on_resume(struct later *l)
{
	struct http_call *c = (struct http_call *)((char *)l - offsetof(struct http_call, resume));
	CURLcode code;

	c->paused = false;
	code = curl->easy_pause(c->easy, CURLPAUSE_CONT);
	if (code != CURLE_OK)		/* it tells us only */
		end_call(c, code);
}

void
http_call_resume(struct http_call *c)
{
	if (c->paused)
		later_add(c->http->laters, &c->resume);
}

void
http_call_cancel(struct http_call **cp)
{
	struct http_call *c = *cp;

	*cp = NULL;
	if (c != NULL)
		call_free(c);
}
