#include "ctl/rotate_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ctl/client.h"
#include "ctl/dial.h"
#include "net/tls.h"
#include "store/control.h"

struct head {
	struct age_open	*age;
	struct buf	 plain;
	enum age_result	 result;
};

static int
head_octets(void *arg, struct span s, struct why *why)
{
	struct head *h = arg;
	struct why ignored;

	/* The header decides; what comes behind it is opened in vain, a chunk at most. */
	if (h->result == AGE_OK) {
		buf_clear(&h->plain);
		h->result = age_open_add(h->age, s.p, s.n, &h->plain, &ignored);
	}
	return 0;
}

/* 1: the new key does not open it; 0: it does, or it is no sealed object at all. */
static int
needs_old(struct client *c, int64_t row, const struct age_identity *new_, struct why *why)
{
	struct head h = { .age = age_open_new(new_, 1), .result = AGE_OK };
	char id[24];
	json_t *answer;
	int rc = -1;

	buf_init(&h.plain, 2 * AGE_CHUNK);
	snprintf(id, sizeof(id), "%lld", (long long)row);
	answer = client_ask(c,
	    json_pack("{s:s, s:s, s:i}", "do", "cat", "id", id, "head", AGE_HEADER_MAX), why);
	if (h.age == NULL)
		why_set(why, "memory is out");
	else if (answer != NULL &&
	    client_octets(c, (uint64_t)json_number(answer, "octets"), head_octets, &h, why) == 0)
		rc = h.result == AGE_NO_MATCH;
	json_decref(answer);
	buf_wipe(&h.plain);
	age_open_free(&h.age);
	return rc;
}

/* Every part of it that is not delivered is parked by policy. */
static bool
only_expires(struct client *c, int64_t row)
{
	char id[24];
	json_t *answer, *e;
	size_t i, refused = 0;
	struct why gone;
	bool yes = true;

	snprintf(id, sizeof(id), "%lld", (long long)row);
	answer = client_ask(c, json_pack("{s:s, s:s}", "do", "show", "id", id), &gone);
	json_array_foreach(json_object_get(json_object_get(answer, "object"), "deliveries"), i, e) {
		if (strcmp(json_text(e, "state"), "delivered") == 0)
			continue;
		if (strcmp(json_text(e, "parked"), "policy") == 0)
			refused++;
		else
			yes = false;
	}
	json_decref(answer);
	return yes && refused > 0;
}

struct old {			/* what only the old key opens */
	unsigned long long waiting;
	unsigned long long refused;
};

static int
count_old(struct client *c, const struct age_identity *new_, struct old *n, struct why *why)
{
	int64_t at = 0;
	bool more = true;

	*n = (struct old){ 0 };
	while (more) {
		json_t *page = client_ask(c, json_pack("{s:s, s:I}", "do", "queue", "after",
		    (json_int_t)at), why), *o;
		int64_t next = json_number(page, "more");
		size_t i;

		if (page == NULL)
			return -1;
		json_array_foreach(json_object_get(page, "objects"), i, o) {
			struct why gone;
			int old = needs_old(c, json_number(o, "row"), new_, &gone);

			/* -1: delivered since. A lost connection shows at the next page. */
			if (old == 1 && only_expires(c, json_number(o, "row")))
				n->refused++;
			else if (old == 1)
				n->waiting++;
		}
		json_decref(page);
		more = next > at;
		at = next;
	}
	return 0;
}

/* What an edge said last that it seals to. */
static int
edges_seal_to(struct client *c, const struct age_identity *new_, struct why *why)
{
	json_t *answer = client_ask(c, json_pack("{s:s}", "do", "pairings"), why), *p, *r;
	struct age_recipient want;
	char text[AGE_TEXT_MAX];
	size_t i, k;
	int rc = answer != NULL ? 0 : -1;

	memcpy(want.pub, new_->pub, sizeof(want.pub));
	age_recipient_print(&want, text);
	json_array_foreach(json_object_get(answer, "peers"), i, p) {
		bool found = false;

		json_array_foreach(json_object_get(p, "recipients"), k, r)
			if (json_is_string(r) && strcmp(json_string_value(r), text) == 0)
				found = true;
		if (!found && rc == 0)
			rc = why_set(why, "the edge %s is not known to seal to the new key: is it "
			    "connected, and was home reloaded? --force goes on all the same",
			    log_safe(span_str(json_text(p, "name"))).s);
	}
	json_decref(answer);
	return rc;
}

int
rotate_check_age(const struct role *r, const struct identities *ids, unsigned long long *refused,
    struct why *why)
{
	struct client *c = client_new(r, NULL, why);
	struct old n;
	int rc;

	*refused = 0;
	if (c == NULL)
		return -1;
	if ((rc = count_old(c, &ids->id[0], &n, why)) == 0 && n.waiting > 0)
		rc = why_set(why, "%llu objects here open with the old key only, beside %llu that "
		    "policy refused: let them be delivered, or look at them, first (posthouse "
		    "queue); --force keeps the old key for them", n.waiting, n.refused);
	*refused = n.refused;
	if (rc == 0)
		rc = edges_seal_to(c, &ids->id[0], why);
	client_free(&c);
	return rc;
}

/* --- the tunnel's key -------------------------------------------------------------------- */

struct probe {
	uv_loop_t	 loop;
	uv_timer_t	 timer;
	struct h2	*h2;
	bool		 over;
	int		 rc;
	struct why	*why;
};

static void
probe_end(struct probe *p, int rc)
{
	if (p->over)
		return;
	p->over = true;
	p->rc = rc;
	uv_stop(&p->loop);
}

static void
on_h2_closed(void *arg, const struct why *why)
{
	struct probe *p = arg;

	p->h2 = NULL;
}

static void
on_request(void *arg, struct h2_stream *stream, const struct h2_head *head, bool has_body)
{
	h2_reset(stream);	/* it may hand mail over at once: it keeps it, and comes again */
}

static const struct h2_ops probe_ops = { .request = on_request, .closed = on_h2_closed };

static void
on_dialled(void *arg, struct h2 *h2, const struct why *why)
{
	struct probe *p = arg;

	if (h2 == NULL) {
		*p->why = *why;
		probe_end(p, -1);
		return;
	}
	p->h2 = h2;
	h2_set_owner(h2, &probe_ops, p);
	probe_end(p, 0);
}

static void
on_time(uv_timer_t *t)
{
	struct probe *p = t->data;

	if (!p->over)
		why_set(p->why, "no answer within %d s", DIAL_MS / 1000);
	probe_end(p, -1);
}

/* The edge speaks HTTP/2 only to a key that it knows. */
static int
probe(const struct conf_home *c, const char *address, const struct pin *pins, size_t npins,
    struct span pem, struct why *why)
{
	struct probe p = { .rc = -1, .why = why };
	struct dial_to to = { .home = c, .address = address, .pem = pem, .alpn = "posthouse/1",
		.pins = pins, .npins = npins };
	struct dial *dial;

	if (uv_loop_init(&p.loop) != 0)
		return why_set(why, "memory is out");
	uv_timer_init(&p.loop, &p.timer);
	p.timer.data = &p;
	uv_timer_start(&p.timer, on_time, DIAL_MS, 0);
	dial = dial_new(&p.loop, &to, on_dialled, &p, why);
	if (dial != NULL && !p.over)
		uv_run(&p.loop, UV_RUN_DEFAULT);
	p.over = true;
	if (p.h2 != NULL)
		h2_abort(p.h2, "only a question");
	dial_free(&dial);
	uv_close((uv_handle_t *)&p.timer, NULL);
	uv_run(&p.loop, UV_RUN_DEFAULT);
	uv_loop_close(&p.loop);
	return p.rc;
}

static bool
lists(const json_t *pins, const char *text)
{
	const json_t *e;
	size_t i;

	json_array_foreach(pins, i, e)
		if (json_is_string(e) && strcmp(json_string_value(e), text) == 0)
			return true;
	return false;
}

int
rotate_check_homes(const struct role *r, struct span pem, struct why *why)
{
	char text[PIN_TEXT_MAX], names[200] = "";
	struct pin next;
	struct client *c;
	json_t *answer, *p;
	size_t i, n = 0;

	if (tls_pem_pin(pem, &next, why) == -1 || (c = client_new(r, NULL, why)) == NULL)
		return -1;
	pin_print(&next, text);
	answer = client_ask(c, json_pack("{s:s}", "do", "pairings"), why);
	client_free(&c);
	if (answer == NULL)
		return -1;
	json_array_foreach(json_object_get(answer, "peers"), i, p)
		if (!lists(json_object_get(p, "our_pins"), text) && n < sizeof(names) - 1)
			n += (size_t)snprintf(names + n, sizeof(names) - n, "%s%s",
			    n > 0 ? ", " : "", log_safe(span_str(json_text(p, "name"))).s);
	json_decref(answer);
	if (n > 0)
		return why_set(why, "not yet known to accept the next key: %s. Has that home been "
		    "connected since, and does its configuration name no other key? With --force "
		    "it must be paired anew", names);
	return 0;
}

int
rotate_check_tunnel(const struct role *r, struct span pem, struct why *why)
{
	struct client *c = client_new(r, NULL, why);
	json_t *answer, *p;
	size_t i;
	int rc;

	if (c == NULL)
		return -1;
	answer = client_ask(c, json_pack("{s:s}", "do", "pairings"), why);
	rc = answer != NULL ? 0 : -1;
	json_array_foreach(json_object_get(answer, "peers"), i, p) {
		const json_t *list = json_object_get(p, "pins"), *text;
		struct pin pins[2];
		struct why reason;
		size_t n = 0, k;

		json_array_foreach(list, k, text)
			if (n < 2 && json_is_string(text) &&
			    pin_parse(span_str(json_string_value(text)), &pins[n]))
				n++;
		if (rc == 0 && probe(r->home, json_text(p, "address"), pins, n, pem, &reason) == -1)
			rc = why_set(why, "the edge %s does not accept the new tunnel key yet: "
			    "%.300s. Was home reloaded since, and is it connected? --force takes "
			    "the new key all the same", log_safe(span_str(json_text(p, "name"))).s,
			    reason.text);
	}
	json_decref(answer);
	client_free(&c);
	return rc;
}
