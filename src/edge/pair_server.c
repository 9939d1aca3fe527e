#include "edge/pair_server.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/log.h"
#include "net/tls.h"
#include "proto/age.h"

#define PROOF_LEN	32
#define PAIRS_MAX	32	/* connections: anyone can open one while a line is open */

struct pair {
	struct edge	*edge;
	struct h2	*h2;
	struct h2_stream *stream;
	struct pin	 pin;
	struct buf	 in, out;	/* lines of JSON, each way */
	size_t		 sent;
	size_t		 octets;	/* received in all */
	unsigned char	 token[PAIRING_TOKEN_LEN];
	unsigned char	 proof[PROOF_LEN];
	struct peer	 peer;
	uv_timer_t	 timer;
	unsigned	 asked;		/* answers that the writer still owes us */
	bool		 tested;	/* the test object is out; the proof is awaited */
	bool		 last;		/* our last line is in out */
	bool		 gone;
};

static void
free_pair(uv_handle_t *timer)
{
	struct pair *p = timer->data;

	p->edge->pairs--;
	buf_wipe(&p->in);
	buf_wipe(&p->out);
	peer_fini(&p->peer);
	explicit_bzero(p, sizeof(*p));
	free(p);
}

/* The connection is gone; the struct waits for the writer's answers. */
static void
maybe_free(struct pair *p)
{
	if (p->gone && p->asked == 0 && !uv_is_closing((uv_handle_t *)&p->timer))
		uv_close((uv_handle_t *)&p->timer, free_pair);
}

static ssize_t
pull(void *arg, void *to, size_t max, bool *eof)
{
	struct pair *p = arg;
	size_t n = p->out.n - p->sent;

	if (n > max)
		n = max;
	if (n > 0)
		memcpy(to, p->out.p + p->sent, n);
	p->sent += n;
	*eof = p->last && p->sent == p->out.n;
	return (ssize_t)n;
}

static void
say(struct pair *p, json_t *line, bool last)
{
	char *text = json_dumps(line, JSON_COMPACT);

	json_decref(line);
	if (text == NULL || p->gone || !buf_add_str(&p->out, text) || !buf_add_str(&p->out, "\n"))
		last = true;
	free(text);
	p->last = last;
	if (p->stream != NULL)
		h2_stream_resume(p->stream);
}

static void
refuse(struct pair *p, const char *why)
{
	struct netaddr peer = { 0 };

	if (!p->gone)
		h2_peer(p->h2, &peer);
	log_warn(NULL, "pair.refused peer=%s home=%s: %s", netaddr_ip(&peer).s,
	    log_safe(span_str(p->peer.name)).s, why);
	say(p, json_pack("{s:s}", "error", why), true);
}

/* --- the dialogue -------------------------------------------------------------------------- */

static void	read_lines(struct pair *);

static void
send_test(struct pair *p)
{
	unsigned char rnd[AGE_SEAL_RND(AGE_RECIPIENTS_MAX)];
	struct buf sealed;
	struct age_seal *seal;
	char *text = NULL;

	random_bytes(p->proof, sizeof(p->proof));
	random_bytes(rnd, sizeof(rnd));
	buf_init(&sealed, AGE_HEADER_MAX);
	seal = age_seal_new(p->peer.recipients, p->peer.nrecipients, rnd);
	explicit_bzero(rnd, sizeof(rnd));
	if (seal == NULL || !age_seal_add(seal, p->proof, sizeof(p->proof), &sealed) ||
	    !age_seal_end(seal, &sealed) || (text = malloc(BASE64_LEN(sealed.n) + 1)) == NULL) {
		refuse(p, "the test object could not be sealed to these recipients");
	} else {
		base64_encode(sealed.p, sealed.n, true, text);
		p->tested = true;
		say(p, json_pack("{s:s}", "test", text), false);
	}
	free(text);
	age_seal_free(&seal);
	buf_fini(&sealed);
}

static void
on_checked(void *arg, const char *error, const struct peer *granted)
{
	struct pair *p = arg;

	p->asked--;
	if (p->gone) {
		maybe_free(p);
		return;
	}
	if (p->last)
		return;			/* refused meanwhile: it said too much */
	if (error[0] != '\0') {
		refuse(p, error);
		return;
	}
	memcpy(p->peer.domains, granted->domains, sizeof(p->peer.domains));
	p->peer.ndomains = granted->ndomains;
	send_test(p);
	read_lines(p);
}

static void
on_finished(void *arg, const char *error, const struct peer *granted)
{
	struct pair *p = arg;
	json_t *domains;

	p->asked--;
	if (p->gone) {
		maybe_free(p);
		return;
	}
	if (p->last) {		/* it was told of its fault meanwhile */
		log_warn(NULL, "pair.lost home=%s was %s, and does not know it: unpair it",
		    p->peer.name, error[0] == '\0' ? "paired" : "refused");
		return;
	}
	if (error[0] != '\0') {
		refuse(p, error);
		return;
	}
	domains = json_array();
	for (size_t i = 0; i < p->peer.ndomains; i++)
		json_array_append_new(domains, json_string(p->peer.domains[i]));
	log_info(NULL, "pair.done home=%s domains=%zu", p->peer.name, p->peer.ndomains);
	say(p, json_pack("{s:b,s:s,s:o}", "paired", 1, "edge", edge_conf(p->edge)->common.hostname,
	    "domains", domains), true);
}

static void
on_hello(struct pair *p, const json_t *line)
{
	const char *name = json_string_value(json_object_get(line, "name"));
	const char *token = json_string_value(json_object_get(line, "token"));
	const json_t *recipients = json_object_get(line, "recipients");
	size_t n = json_array_size(recipients);
	const struct home *other;

	if (name == NULL || token == NULL || !pairing_name_ok(span_str(name)) ||
	    !hex_decode(span_str(token), p->token, sizeof(p->token)) || n == 0 ||
	    n > AGE_RECIPIENTS_MAX) {
		refuse(p, "the first line is not {\"name\",\"token\",\"recipients\"}");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(recipients, i));

		if (text == NULL || !age_recipient_parse(span_str(text), &p->peer.recipients[i])) {
			refuse(p, "a recipient is not an age1... recipient");
			return;
		}
	}
	/* A tunnel is its home's by its key: two homes cannot have the same. */
	if ((other = homes_by_pin(&p->edge->homes, &p->pin)) != NULL &&
	    strcmp(other->name, name) != 0) {
		refuse(p, "this machine's tunnel key is paired as another home already: "
		    "unpair that, or make a new key");
		return;
	}
	p->peer.nrecipients = n;
	span_copy(span_str(name), p->peer.name, sizeof(p->peer.name));
	p->asked++;
	spool_pair_check(p->edge->spool, name, p->token, on_checked, p);
}

static void
on_proof(struct pair *p, const json_t *line)
{
	const char *text = json_string_value(json_object_get(line, "proof"));
	unsigned char proof[PROOF_LEN], exporter[32];
	bool agreed;

	if (text == NULL || !hex_decode(span_str(text), proof, sizeof(proof)) ||
	    !secret_eq(proof, p->proof, sizeof(proof))) {
		refuse(p,
		    "the test object was not opened: home's age key is not the one that it named");
		return;
	}
	agreed = tls_exporter(h2_ssl(p->h2), "EXPORTER-posthouse-pair-1", exporter) &&
	    pairing_mac_key(exporter, p->token, p->peer.name, &p->peer.mac[0]);
	explicit_bzero(exporter, sizeof(exporter));
	if (!agreed) {
		refuse(p, "no key could be agreed");
		return;
	}
	p->peer.nmac = 1;
	p->peer.pins[0] = p->pin;
	p->peer.npins = 1;
	p->asked++;
	spool_pair_finish(p->edge->spool, &p->peer, p->token, on_finished, p);
}

static void
on_line(struct pair *p, struct span text)
{
	json_t *line = json_loadb(text.p, text.n, 0, NULL);

	if (!json_is_object(line))
		refuse(p, "not a line of JSON");
	else if (!p->tested)
		on_hello(p, line);
	else
		on_proof(p, line);
	json_decref(line);
}

/* One line at a time: the next is read when the writer has answered for this one. */
static void
read_lines(struct pair *p)
{
	const char *lf;

	while (!p->last && p->asked == 0 && p->in.n > 0 &&
	    (lf = memchr(p->in.p, '\n', p->in.n)) != NULL) {
		size_t n = (size_t)(lf - p->in.p);

		on_line(p, span_of(p->in.p, n));
		buf_drop(&p->in, n + 1);
	}
}

static void
on_data(void *arg, struct span s)
{
	struct pair *p = arg;

	h2_consumed(p->stream, s.n);
	p->octets += s.n;
	if (p->last)
		return;
	if (p->octets > PAIRING_OCTETS_MAX || !buf_add_span(&p->in, s)) {
		refuse(p, "more than 4 KB");
		return;
	}
	read_lines(p);
}

static void
on_stream_closed(void *arg, const struct why *why)
{
	struct pair *p = arg;

	p->stream = NULL;
	h2_goaway(p->h2);
}

static const struct h2_stream_ops stream_ops = { .data = on_data, .closed = on_stream_closed };

static void
on_request(void *arg, struct h2_stream *stream, const struct h2_head *head, bool has_body)
{
	struct pair *p = arg;
	struct h2_head ok = { .status = 200 }, no = { .status = 404 };

	if (p->stream != NULL || p->octets > 0 || p->last || !has_body ||
	    !span_eq(head->method, SPAN_LIT("PUT")) || !span_eq(head->path, SPAN_LIT("/pair"))) {
		h2_respond(stream, &no, span_str("one PUT /pair, nothing else\n"), NULL, NULL);
		return;
	}
	p->stream = stream;
	h2_stream_own(stream, &stream_ops, p);
	h2_respond(stream, &ok, span_of(NULL, 0), pull, p);
}

static void
on_closed(void *arg, const struct why *why)
{
	struct pair *p = arg;

	p->gone = true;
	p->stream = NULL;
	maybe_free(p);
}

static const struct h2_ops ops = { .request = on_request, .closed = on_closed };

static void
on_time(uv_timer_t *timer)
{
	struct pair *p = timer->data;

	if (!p->gone)
		h2_abort(p->h2, "pairing took too long");
}

bool
pair_server(struct edge *e, struct h2 *h2, const struct pin *pin)
{
	struct pair *p;

	if (e->pairs >= PAIRS_MAX || (p = calloc(1, sizeof(*p))) == NULL)
		return false;
	e->pairs++;
	p->edge = e;
	p->h2 = h2;
	p->pin = *pin;
	buf_init(&p->in, PAIRING_OCTETS_MAX);
	buf_init(&p->out, 4 * PAIRING_OCTETS_MAX);
	uv_timer_init(e->loop, &p->timer);
	p->timer.data = p;
	uv_timer_start(&p->timer, on_time, PAIR_SECONDS * 1000, 0);
	h2_set_owner(h2, &ops, p);
	return true;
}
