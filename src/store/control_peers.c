#include "store/control_answer.h"

#include <string.h>

#include "base/clock.h"
#include "base/codec.h"
#include "proto/address.h"
#include "proto/key_lists.h"
#include "store/db.h"
#include "store/peers.h"
#include "store/writer.h"

/* pair, unpair, pairings, peers-reload. */

static const struct conf_edge_home *
configured(const struct conf_edge *c, const char *name)
{
	for (size_t i = 0; i < c->nhomes; i++)
		if (strcmp(c->homes[i].name, name) == 0)
			return &c->homes[i];
	return NULL;
}

bool
answer_unserved(const struct conf_edge *c, const char *home, char *out, size_t max)
{
	const struct conf_service *mail;

	if (conf_edge_serves(c, home, &mail) || mail == NULL)
		return false;
	snprintf(out, max, "no service takes mail for home %s, which is refused: add it to service "
	    "\"%s\" { home = {...} } and reload", home, mail->name);
	return true;
}

bool
answer_crowded(struct writer *w, const struct conf_service *s, const char *another, char *out,
    size_t max)
{
	const struct conf_edge *c = writer_conf(w)->edge;
	const struct peers *paired = writer_peers(w);
	size_t n = peers_count(paired);

	if (s->mode == CONF_HOLD || s->nhomes > 0 || !conf_service_smtp(s) ||
	    conf_service_tls_first(s))
		return false;
	for (size_t i = 0; i < c->nhomes; i++)
		n += c->homes[i].has_pin && peers_find(paired, c->homes[i].name) == NULL;
	if (another != NULL && peers_find(paired, another) == NULL &&
	    (configured(c, another) == NULL || !configured(c, another)->has_pin))
		n++;
	if (n < 2)
		return false;
	snprintf(out, max, "service %s is for %zu homes, and SMTP names nobody before RCPT: it %s; "
	    "write the one home = \"NAME\" into it, or mode = \"hold\"", s->name, n,
	    s->mode == CONF_AUTO ? "passes nobody on, and holds all mail" : "refuses everybody");
	return true;
}

/* -1: the configuration gives it to another home, and wins. */
static int
not_configured(const struct conf_edge *c, const char *name, const char *domain, struct why *why)
{
	for (size_t i = 0; i < c->nhomes; i++)
		for (size_t d = 0; strcmp(c->homes[i].name, name) != 0 &&
		    d < c->homes[i].ndomains; d++)
			if (strcmp(c->homes[i].domains[d], domain) == 0)
				return why_set(why, "%s belongs to home %s in the configuration: "
				    "take it out there and reload first, or leave it out here",
				    domain, c->homes[i].name);
	return 0;
}

/* The domains of the grant, in their one spelling; the configuration's where none were named. */
static int
domains(const struct conf_edge *c, const char *name, const json_t *list,
    char out[PEER_DOMAINS_MAX][256], size_t *n, struct why *why)
{
	const struct conf_edge_home *h = configured(c, name);
	const json_t *d;
	size_t i;

	*n = 0;
	if (json_array_size(list) == 0) {
		if (h == NULL || h->ndomains == 0)
			return why_set(why, "name the domains whose mail goes to %s: posthouse "
			    "pair %s example.org", name, name);
		memcpy(out, h->domains, h->ndomains * sizeof(h->domains[0]));
		*n = h->ndomains;
		return 0;
	}
	json_array_foreach(list, i, d) {
		const char *text = json_string_value(d);

		if (i == PEER_DOMAINS_MAX)
			return why_set(why, "more than %d domains for one home", PEER_DOMAINS_MAX);
		if (text == NULL || !address_domain(span_str(text), out[i]))
			return why_set(why, "%.255s is not a domain name",
			    text != NULL ? text : "?");
		if (not_configured(c, name, out[i], why) == -1)
			return -1;
	}
	*n = i;
	return 0;
}

json_t *
answer_pair(struct writer *w, const json_t *q)
{
	static char names[PEER_DOMAINS_MAX][256];
	const char *list[PEER_DOMAINS_MAX], *name = json_string_value(json_object_get(q, "name"));
	const struct writer_conf *c = writer_conf(w);
	unsigned char token[PAIRING_TOKEN_LEN];
	char hex[2 * PAIRING_TOKEN_LEN + 1], warning[400];
	int64_t now = wall_ms();
	struct why why;
	json_t *o;
	size_t n = 0;
	int rc;

	if (c->role != CONF_EDGE)
		rc = why_set(&why, "an edge makes pairing lines; home reads them: posthouse pair "
		    "<LINE");
	else if (name == NULL || !pairing_name_ok(span_str(name)))
		rc = why_set(&why, "a home's name is made of a-z, 0-9 and -, 63 characters at "
		    "most");
	else
		rc = domains(c->edge, name, json_object_get(q, "domains"), names, &n, &why);
	if (rc == 0) {
		for (size_t i = 0; i < n; i++)
			list[i] = names[i];
		rc = peers_pairing_new(writer_peers(w), name, list, n, now, token, &why);
	}
	if (rc == -1)
		return answer_failed(&why);
	hex_encode(token, sizeof(token), hex);
	o = json_pack("{s:b, s:s, s:s, s:s, s:o, s:I, s:b}", "ok", 1, "name", name, "token", hex,
	    "address", c->edge->tunnel_address,
	    "expires", answer_moment(now + PAIRING_MINUTES * 60000),
	    "minutes", (json_int_t)PAIRING_MINUTES,
	    "again", peers_find(writer_peers(w), name) != NULL);
	if (answer_unserved(c->edge, name, warning, sizeof(warning)))
		json_object_set_new(o, "warning", json_string(warning));
	for (size_t i = 0; i < c->edge->nservices; i++)
		if (answer_crowded(w, &c->edge->services[i], name, warning, sizeof(warning)))
			json_object_set_new(o, "warning", json_string(warning));
	explicit_bzero(hex, sizeof(hex));
	explicit_bzero(token, sizeof(token));
	return o;
}

json_t *
answer_unpair(struct writer *w, const json_t *q)
{
	const char *said = json_string_value(json_object_get(q, "name")), *name = said;
	const struct writer_conf *c = writer_conf(w);
	struct pairing_pending pending[PEERS_PENDING_MAX];
	char edge[ADDRESS_DOMAIN_MAX + 1];
	bool known = false;
	struct why why;
	json_t *o;
	int rc = 0;

	if (name == NULL)
		rc = why_set(&why, "the question names nobody");
	else if (strlen(name) > ADDRESS_DOMAIN_MAX)
		rc = why_set(&why, "that name is too long to be anybody's");
	else {
		if (c->role == CONF_HOME && address_domain(span_str(name), edge))
			name = edge;
		known = peers_find(writer_peers(w), name) != NULL ||
		    peers_is_unread(writer_peers(w), name);
		if (c->role == CONF_EDGE) {
			size_t n = peers_pairings(writer_peers(w), wall_ms(), pending,
			    PEERS_PENDING_MAX);

			for (size_t i = 0; i < n; i++)
				known = known || strcmp(pending[i].name, name) == 0;
			if (known)
				rc = peers_pairing_end(writer_peers(w), name, &why);
		}
		if (!known)	/* the name as it came: who shows the answer escapes it */
			rc = why_set(&why, "nobody called %s is paired here; see posthouse "
			    "pairings", said);
	}
	if (rc == 0)
		rc = peers_remove(writer_peers(w), name, &why);
	if (rc == 0 && c->role == CONF_EDGE &&
	    (rc = db_mark_forget(writer_db(w), name, &why)) == -1)
		db_rollback(writer_db(w));
	if (rc == 0)
		rc = writer_commit(w, &why);
	if (rc == -1)
		return answer_failed(&why);
	o = answer_ok();
	json_object_set_new(o, "configured",
	    json_boolean(c->role == CONF_EDGE && configured(c->edge, name) != NULL));
	return o;
}

static json_t *
peer_json(const struct peer *p)
{
	json_t *granted = json_array();

	for (size_t i = 0; i < p->ndomains; i++)
		json_array_append_new(granted, answer_text(p->domains[i], sizeof(p->domains[i])));
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
	    "name", answer_text(p->name, sizeof(p->name)),
	    "home", answer_text(p->home, sizeof(p->home)),
	    "address", answer_text(p->address, sizeof(p->address)),
	    "pins", pins_json(p->pins, p->npins), "our_pins", pins_json(p->ours, p->nours),
	    "recipients", recipients_json(p->recipients, p->nrecipients), "domains", granted);
}

json_t *
answer_pairings(struct writer *w, const json_t *q)
{
	struct peers *peers = writer_peers(w);
	json_t *o = answer_ok(), *list = json_array(), *open = json_array();
	struct pairing_pending pending[PEERS_PENDING_MAX];
	size_t n = 0;

	for (size_t i = 0; i < peers_count(peers); i++)
		json_array_append_new(list, peer_json(peers_at(peers, i)));
	if (writer_conf(w)->role == CONF_EDGE)
		n = peers_pairings(peers, wall_ms(), pending, PEERS_PENDING_MAX);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(open, json_pack("{s:o, s:o, s:I}",
		    "name", answer_text(pending[i].name, sizeof(pending[i].name)),
		    "expires", answer_moment(pending[i].expires_ms),
		    "tries", (json_int_t)pending[i].tries));
	json_object_set_new(o, "peers", list);
	json_object_set_new(o, "lines", open);
	return o;
}

json_t *
answer_peers_reload(struct writer *w, const json_t *q)
{
	struct why why;

	return peers_reload(writer_peers(w), &why) == 0 ? answer_ok() : answer_failed(&why);
}
