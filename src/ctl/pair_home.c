#include "ctl/pair_home.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "ctl/client.h"
#include "ctl/dial.h"
#include "net/tls.h"
#include "proto/address.h"
#include "proto/key_lists.h"

#define PROOF_LEN	32
#define EXPORTER	"EXPORTER-posthouse-pair-1"

struct pairing {
	uv_loop_t	 loop;
	uv_timer_t	 timer;
	const struct conf_home *home;
	const struct pairing_line *line;
	const struct identities *keys;
	struct dial	*dial;
	struct h2	*h2;
	struct h2_stream *stream;
	struct buf	 out, in;	/* lines of JSON */
	size_t		 sent, heard;
	bool		 said_all;	/* no line will follow those in out */
	bool		 over;
	int		 rc;
	struct peer	*peer;
	struct why	*why;
};

static void
finish(struct pairing *p, int rc)
{
	if (p->over)
		return;
	p->over = true;
	p->rc = rc;
	uv_stop(&p->loop);
}

/* The first words count: what is torn down afterwards has its own to say. */
static void
fail(struct pairing *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
fail(struct pairing *p, const char *fmt, ...)
{
	char text[sizeof(p->why->text)];
	va_list ap;

	if (p->over)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	finish(p, why_set(p->why, "%s", text));
}

static void
say(struct pairing *p, json_t *line, bool last)
{
	char *text = json_dumps(line, JSON_COMPACT);

	json_decref(line);
	if (text == NULL || !buf_add_str(&p->out, text) || !buf_add_str(&p->out, "\n"))
		fail(p, "memory is out");
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
	p->said_all = last;
	if (p->stream != NULL)
		h2_stream_resume(p->stream);
}

static ssize_t
pull(void *arg, void *to, size_t max, bool *eof)
{
	struct pairing *p = arg;
	size_t n = p->out.n - p->sent < max ? p->out.n - p->sent : max;

	if (n > 0)
		memcpy(to, p->out.p + p->sent, n);
	p->sent += n;
	*eof = p->said_all && p->sent == p->out.n;
	return (ssize_t)n;
}

static void
say_hello(struct pairing *p)
{
	char token[2 * PAIRING_TOKEN_LEN + 1];

	hex_encode(p->line->token, sizeof(p->line->token), token);
	/* Mail is to be sealed to the newest key, and to the recovery key where there is one. */
	say(p, json_pack("{s:s, s:s, s:o}", "name", p->line->name, "token", token, "recipients",
	    recipients_json(p->peer->recipients, p->peer->nrecipients)), false);
	explicit_bzero(token, sizeof(token));
}

/* Opens the test object with home's keys: what is sealed to us from now on can be opened. */
static int
prove(struct pairing *p, const char *test)
{
	unsigned char sealed[PAIRING_OCTETS_MAX];
	char hex[2 * PROOF_LEN + 1];
	struct age_open *age = age_open_new(p->keys->id, p->keys->n);
	struct buf plain;
	struct why why = { "" };
	size_t n;
	int rc = -1;

	buf_init(&plain, 2 * AGE_CHUNK);
	if (age == NULL)
		why_set(p->why, "memory is out");
	else if (!base64_decode(span_str(test), true, sealed, sizeof(sealed), &n))
		why_set(p->why, "the edge's test object is damaged");
	else if (age_open_add(age, sealed, n, &plain, &why) != AGE_OK ||
	    age_open_end(age, &plain, &why) != AGE_OK)
		why_set(p->why, "the edge's test object does not open with home's age key %s",
		    why.text);
	else if (plain.n != PROOF_LEN)
		why_set(p->why, "the edge's test object is not one");
	else {
		hex_encode(plain.p, plain.n, hex);
		say(p, json_pack("{s:s}", "proof", hex), true);
		explicit_bzero(hex, sizeof(hex));
		rc = 0;
	}
	age_open_free(&age);
	buf_wipe(&plain);
	return rc;
}

/* The grant: whose mail this edge may bring us. */
static int
take_grant(struct pairing *p, const json_t *line)
{
	const char *edge = json_text(line, "edge");
	const json_t *list = json_object_get(line, "domains"), *d;
	size_t i;

	if (!address_domain(span_str(edge), p->peer->name))
		return why_set(p->why, "the edge calls itself \"%.200s\", which is no host name",
		    edge);
	if (conf_home_worker(p->home, p->peer->name) != NULL)
		return why_set(p->why, "the edge calls itself %s, and so does a worker of home's "
		    "configuration: give the Worker another name, and pair again", p->peer->name);
	json_array_foreach(list, i, d) {
		const char *text = json_string_value(d);

		if (i == PEER_DOMAINS_MAX || text == NULL ||
		    !address_domain(span_str(text), p->peer->domains[i]))
			return why_set(p->why, "the edge grants something that is no domain");
	}
	p->peer->ndomains = i;
	return i > 0 ? 0 : why_set(p->why, "the edge grants no domain");
}

static int
on_line(struct pairing *p, const json_t *line)
{
	const char *error = json_text(line, "error"), *test = json_text(line, "test");

	if (error[0] != '\0')
		return why_set(p->why, "the edge refuses: %.300s (a line works once, for %d "
		    "minutes, and %d wrong tries end it)", error, PAIRING_MINUTES, PAIRING_TRIES);
	if (test[0] != '\0' && !p->said_all)
		return prove(p, test);
	if (json_is_true(json_object_get(line, "paired")) && p->said_all) {
		if (take_grant(p, line) == -1)
			return -1;
		finish(p, 0);
		return 0;
	}
	return why_set(p->why, "the edge said something that does not belong to pairing; are both "
	    "of one version?");
}

static void
on_data(void *arg, struct span s)
{
	struct pairing *p = arg;
	const char *lf;

	h2_consumed(p->stream, s.n);
	p->heard += s.n;
	if (p->over)
		return;
	if (p->heard > PAIRING_OCTETS_MAX || !buf_add_span(&p->in, s)) {
		fail(p, "the edge said more than pairing takes");
		return;
	}
	while (!p->over && p->in.n > 0 && (lf = memchr(p->in.p, '\n', p->in.n)) != NULL) {
		json_t *line = json_loadb(p->in.p, (size_t)(lf - p->in.p), 0, NULL);
		int rc = on_line(p, line);

		json_decref(line);
		if (rc == -1)
			finish(p, -1);
		buf_drop(&p->in, (size_t)(lf - p->in.p) + 1);
	}
}

static void
on_head(void *arg, const struct h2_head *head)
{
	struct pairing *p = arg;

	if (head->status != 200)
		fail(p, "the edge answered %u to pairing; are both of one version?", head->status);
}

static void
on_stream_closed(void *arg, const struct why *why)
{
	struct pairing *p = arg;

	p->stream = NULL;
	fail(p, "the edge ended the pairing without a word%s%.200s; see its log",
	    why != NULL ? ": " : "", why != NULL ? why->text : "");
}

static void
on_closed(void *arg, const struct why *why)
{
	struct pairing *p = arg;

	p->h2 = NULL;
	p->stream = NULL;
	fail(p, "the connection to the edge was lost%s%.200s", why != NULL ? ": " : "",
	    why != NULL ? why->text : "");
}

static const struct h2_ops h2_pairing = { .closed = on_closed };
static const struct h2_stream_ops stream_pairing = {
	.head = on_head, .data = on_data, .closed = on_stream_closed,
};

static void
on_dialled(void *arg, struct h2 *h2, const struct why *why)
{
	struct pairing *p = arg;
	struct h2_head head = { .method = SPAN_LIT("PUT"), .path = SPAN_LIT("/pair"),
		.authority = SPAN_LIT("edge") };
	unsigned char exporter[32];

	if (h2 == NULL) {
		fail(p, "%.350s%s", why->text, !dial_turned_away(p->dial) ? "" :
		    ": no pairing line is open there, perhaps (it lasts 15 minutes and works "
		    "once): make a new one");
		return;
	}
	p->h2 = h2;
	h2_set_owner(h2, &h2_pairing, p);
	if (!tls_exporter(h2_ssl(h2), EXPORTER, exporter)) {
		finish(p, tls_why(p->why, "agreeing a key"));
		return;
	}
	pairing_mac_key(exporter, p->line->token, p->line->name, &p->peer->mac[0]);
	explicit_bzero(exporter, sizeof(exporter));
	p->peer->nmac = 1;
	say_hello(p);
	if ((p->stream = h2_request(h2, &head, pull, p, &stream_pairing, p)) == NULL)
		fail(p, "the edge takes no request");
}

static void
on_time(uv_timer_t *t)
{
	struct pairing *p = t->data;

	fail(p, "%s did not answer within %d s", p->line->address, DIAL_MS / 1000);
}

static int
peer_begin(struct peer *out, const struct conf_home *c, const struct pairing_line *line,
    const struct identities *keys, struct why *why)
{
	*out = (struct peer){ .npins = 1, .nrecipients = 1 };
	memcpy(out->home, line->name, sizeof(out->home));
	memcpy(out->address, line->address, sizeof(out->address));
	out->pins[0] = line->edge;
	memcpy(out->recipients[0].pub, keys->id[0].pub, sizeof(out->recipients[0].pub));
	if (c->recovery[0] != '\0' &&
	    !age_recipient_parse(span_str(c->recovery), &out->recipients[out->nrecipients++]))
		return why_set(why, "the recovery recipient of the configuration is not an age1... "
		    "recipient");
	return 0;
}

int
pair_home(const struct conf_home *c, const struct pairing_line *line, struct span pem,
    const struct identities *keys, struct peer *out, struct why *why)
{
	struct pairing p = { .home = c, .line = line, .keys = keys, .peer = out, .why = why,
		.rc = -1 };
	struct dial_to to = { .home = c, .address = line->address, .pem = pem,
		.alpn = "posthouse-pair/1", .pins = &line->edge, .npins = 1, .client = true };

	if (peer_begin(out, c, line, keys, why) == -1)
		return -1;
	if (uv_loop_init(&p.loop) != 0)
		return why_set(why, "memory is out");
	buf_init(&p.in, PAIRING_OCTETS_MAX);
	buf_init(&p.out, PAIRING_OCTETS_MAX);
	uv_timer_init(&p.loop, &p.timer);
	p.timer.data = &p;
	uv_timer_start(&p.timer, on_time, DIAL_MS, 0);
	p.dial = dial_new(&p.loop, &to, on_dialled, &p, why);
	if (p.dial != NULL && !p.over)
		uv_run(&p.loop, UV_RUN_DEFAULT);
	p.over = true;
	if (p.h2 != NULL)
		h2_abort(p.h2, "done");
	dial_free(&p.dial);
	uv_close((uv_handle_t *)&p.timer, NULL);
	uv_run(&p.loop, UV_RUN_DEFAULT);
	uv_loop_close(&p.loop);
	buf_wipe(&p.in);
	buf_wipe(&p.out);
	if (p.rc == -1)
		peer_fini(out);
	return p.rc;
}
