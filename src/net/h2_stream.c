#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net/h2_priv.h"

/* nghttp2 alone waits for half, which at 100 ms costs half the speed. */
#define RETURN_AT(window)	((window) / 16)

/* --- one stream's life -------------------------------------------------------- */

static void stream_later(struct later *);

static struct h2_stream *
stream_new(struct h2 *h)
{
	struct h2_stream *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->h2 = h;
	s->window = H2_WINDOW_FIRST;
	s->later.fn = stream_later;
	if ((s->next = h->streams) != NULL)
		s->next->prev = &s->next;
	s->prev = &h->streams;
	h->streams = s;
	h->nstreams++;
	return s;
}

static void
came_forget(struct h2_stream *s)
{
	if (s->came_prev == NULL)
		return;
	if (s->came_next != NULL)
		s->came_next->came_prev = s->came_prev;
	*s->came_prev = s->came_next;
	s->came_prev = NULL;
}

static void
stream_free(struct h2_stream *s)
{
	later_cancel(&s->later);
	came_forget(s);
	if (s->next != NULL)
		s->next->prev = s->prev;
	*s->prev = s->next;
	s->h2->nstreams--;
	free(s->body);
	free(s);
}

/* The owner's last call, whoever comes to it first: the peer, h2_reset or the connection's end. */
static void
stream_tell(struct h2_stream *s, const struct why *why)
{
	const struct h2_stream_ops *ops = s->ops;

	s->reset = true;		/* mute from here on */
	if (s->told)
		return;
	s->told = true;
	s->ops = NULL;
	if (ops != NULL && ops->closed != NULL)
		ops->closed(s->arg, why);
}

void
h2_streams_end(struct h2 *h)
{
	struct h2_stream *s;
	struct why why = h->why;

	if (why.text[0] == '\0')
		why_set(&why, "HTTP/2: the connection was closed");
	while ((s = h->streams) != NULL) {
		stream_tell(s, &why);
		stream_free(s);
	}
}

static void
stream_later(struct later *l)
{
	struct h2_stream *s = (struct h2_stream *)((char *)l - offsetof(struct h2_stream, later));
	struct why why;

	if (s->reset) {
		why_set(&why, "stream: reset by this side");
		stream_tell(s, &why);
	} else if (s->again) {
		s->again = false;
		h2_stream_resume(s);
	}
}

/*
 * Once it has answered a server may call the rest off with NO_ERROR: that is done,
 * too.  What a CONNECT passes is done only when both have said so, or a line that
 * broke would look like an end.
 */
static bool
all_done(const struct h2_stream *s)
{
	if (s->connect)
		return s->end_in && s->end_out;
	return s->h2->client ? s->end_in : s->end_out;
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
	struct h2 *h = arg;
	struct why why;

	if (s == NULL)
		return 0;
	if (!s->reset && code == NGHTTP2_NO_ERROR && all_done(s))
		stream_tell(s, NULL);
	else {
		why_set(&why, s->reset ? "stream: reset by this side" : "stream: reset: %s",
		    nghttp2_http2_strerror(code));
		stream_tell(s, &why);
	}
	stream_free(s);
	h2_kick(h);		/* it may have been the last that a goaway waits for */
	return 0;
}

/* --- heads in ----------------------------------------------------------------- */

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h = arg;

	buf_clear(&h->block);
	h->nfields = 0;
	h->method = h->path = h->authority = (struct h2_field){ 0 };
	h->status = 0;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		struct h2_stream *s = stream_new(h);

		if (s == NULL)
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		s->id = frame->hd.stream_id;
		nghttp2_session_set_stream_user_data(session, s->id, s);
	}
	return 0;
}

/* NUL after each, so that names are C strings. */
static uint32_t
block_add(struct h2 *h, const uint8_t *p, size_t n)
{
	uint32_t at = (uint32_t)h->block.n;

	buf_add(&h->block, p, n);
	buf_add(&h->block, "", 1);
	return at;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
    const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	static const struct {
		const char	*name;
		size_t		 at;
	} pseudo[] = {
		{ ":method", offsetof(struct h2, method) },
		{ ":path", offsetof(struct h2, path) },
		{ ":authority", offsetof(struct h2, authority) },
	};
	struct h2 *h = arg;
	struct span n = span_of(name, name_n);
	struct h2_field f = { 0 };
	size_t i;

	if (span_eq(n, SPAN_LIT(":status"))) {
		unsigned long long status;

		if (!span_u64(span_of(value, value_n), 999, &status))
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
		h->status = (unsigned)status;
		return 0;
	}
	f.name = block_add(h, name, name_n);
	f.value = block_add(h, value, value_n);
	f.value_n = (uint32_t)value_n;
	if (h->block.failed)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	for (i = 0; i < sizeof(pseudo) / sizeof(pseudo[0]); i++)
		if (span_eq(n, span_str(pseudo[i].name)))
			*(struct h2_field *)((char *)h + pseudo[i].at) = f;
	if (name_n > 0 && name[0] == ':')
		return 0;
	if (h->nfields == H2_HEADERS_MAX)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	h->fields[h->nfields++] = f;
	return 0;
}

static struct span
field_value(const struct h2 *h, struct h2_field f)
{
	return f.value_n == 0 ? SPAN_LIT("") : span_of(h->block.p + f.value, f.value_n);
}

/* The block as the owner sees it; headers holds H2_HEADERS_MAX. */
static struct h2_head
head_of(const struct h2 *h, struct h2_header *headers)
{
	size_t i;

	for (i = 0; i < h->nfields; i++)
		headers[i] = (struct h2_header){
			h->block.p + h->fields[i].name, field_value(h, h->fields[i]),
		};
	return (struct h2_head){
		.method = field_value(h, h->method), .path = field_value(h, h->path),
		.authority = field_value(h, h->authority), .status = h->status,
		.headers = headers, .nheaders = h->nfields,
	};
}

/* Its owner is told when all that this read brought was given out. */
static void
came(struct h2_stream *s)
{
	struct h2 *h = s->h2;

	if (s->came_prev != NULL || s->ops == NULL || s->ops->came == NULL)
		return;
	if ((s->came_next = h->came) != NULL)
		h->came->came_prev = &s->came_next;
	s->came_prev = &h->came;
	h->came = s;
}

void
h2_streams_came(struct h2 *h)
{
	struct h2_stream *s;

	while ((s = h->came) != NULL) {
		came_forget(s);
		if (s->ops != NULL && s->ops->came != NULL)
			s->ops->came(s->arg);
	}
}

static void
came_to_end(struct h2_stream *s)
{
	s->end_in = true;
	if (s->reset || s->h2->over || s->ops == NULL || s->ops->end == NULL)
		return;
	s->ops->end(s->arg);
	came(s);
}

static void
headers_in(struct h2_stream *s, const nghttp2_frame *frame)
{
	struct h2 *h = s->h2;
	struct h2_header headers[H2_HEADERS_MAX];
	bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
	struct h2_head head;

	if (!s->head_in && (!h->client || h->status >= 200)) {	/* else a 1xx, or trailers */
		s->head_in = true;
		head = head_of(h, headers);
		if (h->client)
			s->connect = s->connect && head.status < 300;
		else
			s->connect = span_eq(head.method, SPAN_LIT("CONNECT"));
		if (!h->client)
			h->ops->request(h->arg, s, &head, !end);
		else if (!s->reset && s->ops != NULL && s->ops->head != NULL)
			s->ops->head(s->arg, &head);
	}
	if (end)
		came_to_end(s);
}

static void
pong(struct h2 *h)
{
	if (h->ping_ns == 0)
		return;
	h->rtt_us = (int64_t)((uv_hrtime() - h->ping_ns) / 1000);
	h->ping_ns = 0;
}

static void
goaway_in(struct h2 *h, const nghttp2_frame *frame)
{
	h->leaving = true;
	if (frame->goaway.error_code != NGHTTP2_NO_ERROR)
		why_set(&h->why, "HTTP/2: the peer gave up: %s",
		    nghttp2_http2_strerror(frame->goaway.error_code));
}

static int
on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h = arg;
	struct h2_stream *s = frame->hd.stream_id == 0 ? NULL :
	    nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	if (h->over)
		return 0;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		if (s != NULL)
			headers_in(s, frame);
		break;
	case NGHTTP2_DATA:
		if (s != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
			came_to_end(s);
		break;
	case NGHTTP2_SETTINGS:
		if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0 && !h->ready) {
			h->ready = true;
			if (h->ops->ready != NULL)
				h->ops->ready(h->arg);
		}
		break;
	case NGHTTP2_PING:
		if (frame->hd.flags & NGHTTP2_FLAG_ACK)
			pong(h);
		break;
	case NGHTTP2_GOAWAY:
		goaway_in(h, frame);
		break;
	}
	return 0;
}

/* --- octets in, credit back --------------------------------------------------- */

static void
give_back(struct h2 *h, int32_t id, uint32_t *credit, size_t n, uint32_t window)
{
	*credit += (uint32_t)n;
	if (*credit < RETURN_AT(window))
		return;
	/* A stream that ended meanwhile needs none: nghttp2 says so, and nothing is lost. */
	(void)nghttp2_submit_window_update(h->session, NGHTTP2_FLAG_NONE, id, (int32_t)*credit);
	*credit = 0;
	h2_kick(h);
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct h2 *h = arg;
	struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);

	give_back(h, 0, &h->credit, n, H2_CONN_WINDOW);
	if (s == NULL || h->over)
		return 0;
	if (s->reset || s->ops == NULL || s->ops->data == NULL) {
		give_back(h, id, &s->credit, n, s->window);
		return 0;
	}
	if (s->held == 0)
		s->held_ms = uv_now(h->loop);
	s->held += n;
	s->ops->data(s->arg, span_of(p, n));
	came(s);
	return 0;
}

/*
 * What is given back for n octets that were taken: twice as much while the owner
 * keeps up, so that the window doubles with each round trip; half when it does not.
 */
static size_t
worth(struct h2_stream *s, size_t n)
{
	size_t change;

	if (uv_now(s->h2->loop) - s->held_ms <= H2_PROMPT_MS) {
		change = n < H2_WINDOW - s->window ? n : H2_WINDOW - s->window;
		s->window += (uint32_t)change;
		return n + change;
	}
	change = n / 2 < s->window - H2_WINDOW_FIRST ? n / 2 : s->window - H2_WINDOW_FIRST;
	s->window -= (uint32_t)change;
	return n - change;
}

void
h2_consumed(struct h2_stream *s, size_t n)
{
	assert(n <= s->held);
	s->held -= n;
	if (!s->reset && !s->end_in && !s->h2->over)
		give_back(s->h2, s->id, &s->credit, worth(s, n), s->window);
}

/* --- octets out ----------------------------------------------------------------- */

static ssize_t
pull_body(void *arg, void *out, size_t max, bool *eof)
{
	struct h2_stream *s = arg;
	size_t n = s->body_n - s->body_off;

	if (n > max)
		n = max;
	memcpy(out, s->body + s->body_off, n);
	s->body_off += (uint32_t)n;
	*eof = s->body_off == s->body_n;
	return (ssize_t)n;
}

/* What there is room for; nghttp2 goes by the windows and by what the peer announced, too. */
static ssize_t
on_frame_length(nghttp2_session *session, uint8_t type, int32_t id, int32_t session_window,
    int32_t stream_window, uint32_t peer_max, void *arg)
{
	struct h2 *h = arg;
	size_t room = SCRATCH_SIZE - h->out_n - FRAME_HEAD;

	return (ssize_t)(room < FRAME_DATA ? room : FRAME_DATA);
}

static ssize_t
on_pull(nghttp2_session *session, int32_t id, uint8_t *out, size_t max, uint32_t *flags,
    nghttp2_data_source *source, void *arg)
{
	struct h2_stream *s = source->ptr;
	struct h2 *h = arg;
	bool eof = false;
	ssize_t n;

	if (s->reset || s->h2->over)
		return NGHTTP2_ERR_DEFERRED;
	s->pulling = true;
	s->again = false;
	n = s->pull(s->pull_arg, h->out + h->out_n + FRAME_HEAD, max, &eof);
	s->pulling = false;
	if (s->reset)
		return NGHTTP2_ERR_DEFERRED;
	if (n < 0)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	assert((size_t)n <= max);
	if (eof)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	else if (n == 0) {
		if (s->again)		/* resumed while we asked, which nghttp2 would not notice */
			later_add(s->h2->laters, &s->later);
		return NGHTTP2_ERR_DEFERRED;
	}
	if (n > 0)
		*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	return n;
}

/* The frame whose octets on_pull has just laid down behind the room for its head. */
static int
on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t n,
    nghttp2_data_source *source, void *arg)
{
	struct h2 *h = arg;

	assert(frame->data.padlen == 0);
	memcpy(h->out + h->out_n, head, FRAME_HEAD);
	h2_gathered(h, FRAME_HEAD + n);
	return h->out_full ? NGHTTP2_ERR_PAUSE : 0;
}

void
h2_stream_resume(struct h2_stream *s)
{
	if (s->pulling) {
		s->again = true;
		return;
	}
	if (s->reset || s->h2->over || s->pull == NULL)
		return;
	/* Not deferred: then it is asked anyway. */
	if (nghttp2_session_resume_data(s->h2->session, s->id) == 0)
		h2_kick(s->h2);
}

/* nghttp2 ends the session by itself, and says why in what it tells the peer alone. */
static void
goaway_out(struct h2 *h, const nghttp2_goaway *goaway)
{
	if (goaway->error_code != NGHTTP2_NO_ERROR && h->why.text[0] == '\0')
		why_set(&h->why, "HTTP/2: the peer broke the protocol: %s%s%.*s",
		    nghttp2_http2_strerror(goaway->error_code),
		    goaway->opaque_data_len > 0 ? ": " : "", (int)goaway->opaque_data_len,
		    (const char *)goaway->opaque_data);
}

static int
on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h = arg;
	struct h2_stream *s;

	if (frame->hd.type == NGHTTP2_GOAWAY)
		goaway_out(h, &frame->goaway);
	if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0 ||
	    (s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id)) == NULL)
		return 0;
	s->end_out = true;
	if (!h->client && !s->end_in && !s->connect)
		(void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, s->id,
		    NGHTTP2_NO_ERROR);
	return 0;
}

static nghttp2_nv
nv_of(const char *name, struct span value)
{
	return (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name, .namelen = strlen(name),
		.value = (uint8_t *)(uintptr_t)value.p, .valuelen = value.n,
	};
}

static size_t
nv_headers(nghttp2_nv *nv, size_t n, const struct h2_head *head)
{
	size_t i;

	assert(head->nheaders <= H2_HEADERS_MAX);
	for (i = 0; i < head->nheaders; i++)
		nv[n++] = nv_of(head->headers[i].name, head->headers[i].value);
	return n;
}

struct h2_stream *
h2_request(struct h2 *h, const struct h2_head *head, h2_pull_fn *pull, void *pull_arg,
    const struct h2_stream_ops *ops, void *arg)
{
	nghttp2_data_provider body = { .read_callback = on_pull };
	nghttp2_nv nv[4 + H2_HEADERS_MAX];
	struct h2_stream *s;
	size_t n = 0;

	/* Beyond the peer's limit nghttp2 would keep them waiting, where they cannot be seen. */
	if (!h->client || h->over || h->leaving || h->session == NULL ||
	    nghttp2_session_check_request_allowed(h->session) == 0 ||
	    h->nstreams >= nghttp2_session_get_remote_settings(h->session,
	    NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS))
		return NULL;
	if ((s = stream_new(h)) == NULL)
		return NULL;
	s->connect = span_eq(head->method, SPAN_LIT("CONNECT"));
	s->ops = ops;
	s->arg = arg;
	s->pull = pull;
	s->pull_arg = pull_arg;
	nv[n++] = nv_of(":method", head->method);
	if (!s->connect) {
		nv[n++] = nv_of(":scheme", SPAN_LIT("https"));
		nv[n++] = nv_of(":path", head->path);
	}
	nv[n++] = nv_of(":authority", head->authority);
	n = nv_headers(nv, n, head);
	body.source.ptr = s;
	s->id = nghttp2_submit_request(h->session, NULL, nv, n, pull != NULL ? &body : NULL, s);
	if (s->id < 0) {
		stream_free(s);
		return NULL;
	}
	h2_kick(h);
	return s;
}

bool
h2_respond(struct h2_stream *s, const struct h2_head *head, struct span text, h2_pull_fn *pull,
    void *pull_arg)
{
	nghttp2_data_provider body = { .source.ptr = s, .read_callback = on_pull };
	nghttp2_nv nv[1 + H2_HEADERS_MAX];
	char status[4] = {
		(char)('0' + head->status / 100 % 10), (char)('0' + head->status / 10 % 10),
		(char)('0' + head->status % 10), '\0',
	};

	assert(!s->h2->client && text.n <= H2_REPLY_MAX);
	assert(head->status >= 200 && head->status < 1000);
	if (s->answered || s->reset || s->h2->over)
		return false;
	if (pull == NULL && text.n > 0) {
		free(s->body);		/* of an answer that could not be sent */
		if ((s->body = malloc(text.n)) == NULL)
			return false;
		memcpy(s->body, text.p, text.n);
		s->body_n = (uint32_t)text.n;
		pull = pull_body;
		pull_arg = s;
	}
	s->connect = s->connect && head->status < 300;
	nv[0] = nv_of(":status", span_str(status));
	s->pull = pull;
	s->pull_arg = pull_arg;
	if (nghttp2_submit_response(s->h2->session, s->id, nv, nv_headers(nv, 1, head),
	    pull != NULL ? &body : NULL) != 0)
		return false;
	s->answered = true;
	h2_kick(s->h2);
	return true;
}

void
h2_stream_own(struct h2_stream *s, const struct h2_stream_ops *ops, void *arg)
{
	s->ops = ops;
	s->arg = arg;
}

void
h2_reset(struct h2_stream *s)
{
	if (s->reset || s->h2->over)
		return;		/* closed is on its way */
	s->reset = true;
	if (nghttp2_submit_rst_stream(s->h2->session, NGHTTP2_FLAG_NONE, s->id,
	    s->connect ? NGHTTP2_CONNECT_ERROR : NGHTTP2_CANCEL) != 0)
		h2_end(s->h2, "out of memory");
	later_add(s->h2->laters, &s->later);
	h2_kick(s->h2);
}

struct span
h2_header_get(const struct h2_head *head, const char *name)
{
	size_t i;

	for (i = 0; i < head->nheaders; i++)
		if (strcmp(head->headers[i].name, name) == 0)
			return head->headers[i].value;
	return (struct span){ "", 0 };
}

void
h2_callbacks(nghttp2_session_callbacks *cb)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
	nghttp2_session_callbacks_set_data_source_read_length_callback(cb, on_frame_length);
}
