/* Pairing and peers, as other processes ask about them. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/scoreboard.h"
#include "base/secret.h"
#include "store/writer_in.h"

void
writer_tell_peer(struct client *c, const struct peer *p)
{
	struct buf json;

	buf_init(&json, WIRE_PEER_MAX);
	if (peer_print(p, &json))
		(void)writer_send(c, WE_PEER, 0, NULL, buf_span(&json), -1);
	else
		log_error(NULL, "peer.untold name=%s why=\"memory is out\"", p->name);
	buf_wipe(&json);
}

static void
on_peer(void *arg, const struct peer *p)
{
	struct writer *w = arg;

	log_info(NULL, "peer.known name=%s domains=%zu", p->name, p->ndomains);
	for (struct client *c = w->clients; c != NULL; c = c->next)
		writer_tell_peer(c, p);
}

static void
on_gone(void *arg, const char *name)
{
	struct wire_out w = { .n = 0 };

	log_info(NULL, "peer.gone name=%s", name);
	writer_marks_forget(arg);
	writer_said_forget(arg, name);
	wire_text(&w, name);
	writer_tell(arg, WE_PEER_GONE, &w, span_of(NULL, 0));
}

static void
on_pending(void *arg, bool any)
{
	struct wire_out w = { .n = 0 };

	writer_pairing(arg, any);
	wire_u8(&w, any);
	writer_tell(arg, WE_PAIRING, &w, span_of(NULL, 0));
	/* The operator is answered at once; his home may dial before this turn's commit is over. */
	for (struct client *c = ((struct writer *)arg)->clients; c != NULL; c = c->next)
		chan_flush(c->chan);
}

/* Reception must not refuse for good whom one of these files may name. */
static void
on_unread(void *arg, size_t n)
{
	struct writer *w = arg;

	if (w->conf.board != NULL)
		atomic_store(&w->conf.board->peers_unread, (unsigned)n);
}

const struct peers_events writer_peers_events = {
	.peer = on_peer, .gone = on_gone, .pending = on_pending, .unread = on_unread,
};

static void
answer(struct client *c, uint64_t tag, const char *error, const struct peer *grant)
{
	struct wire_out w = { .n = 0 };
	struct buf json;

	buf_init(&json, WIRE_PEER_MAX);
	if (error[0] == '\0' && !peer_print(grant, &json))
		abort();
	wire_text(&w, error);
	(void)writer_send(c, WA_PAIRED, tag, &w, buf_span(&json), -1);
	buf_wipe(&json);
}

bool
serve_pair_check(struct client *c, struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);
	unsigned char token[PAIRING_TOKEN_LEN];
	char name[PAIRING_NAME_MAX + 1];
	struct why why = { 0 };
	struct peer *grant;

	wire_get_text(&in, name, sizeof(name));
	wire_get_octets(&in, token, sizeof(token));
	if (!wire_done(&in))
		return false;
	if ((grant = malloc(sizeof(*grant))) == NULL)
		abort();
	if (peers_pairing_check(c->w->peers, name, token, wall_ms(), grant, &why) == -1)
		log_warn(NULL, "pair.refused name=%s why=\"%s\"", log_safe(span_str(name)).s,
		    why.text);
	answer(c, m->tag, why.text, grant);
	free(grant);
	return true;
}

/*
 * Rows below it may have been signed under an earlier pairing: those that are here, and
 * a message a connection that is on its way to us at this moment.  0: there was none.
 */
static int64_t
signed_from(struct writer *w, const char *name)
{
	int held = db_holds_for(w->db, name, NULL);

	if (held == 0 && peers_find(w->peers, name) == NULL)
		return 0;
	return db_next_row(w->db) + (w->conf.edge != NULL ? w->conf.edge->connections : 0);
}

/*
 * What was known of an earlier ledger under this name goes first: a home that is
 * paired anew may have lost it, and must not be taken for an old restore.
 */
bool
serve_pair_finish(struct client *c, struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);
	unsigned char token[PAIRING_TOKEN_LEN];
	struct writer *w = c->w;
	struct why why = { 0 };
	struct peer *p, *grant;

	wire_get_octets(&in, token, sizeof(token));
	if (in.bad)
		return false;
	if ((p = malloc(sizeof(*p))) == NULL)
		abort();
	if (!peer_parse(wire_rest(&in), p, &why)) {
		free(p);
		return false;
	}
	if ((grant = malloc(sizeof(*grant))) == NULL)
		abort();
	if (peers_pairing_check(w->peers, p->name, token, wall_ms(), grant, &why) == 0) {
		writer_marks_forget(w);
		writer_said_forget(w, p->name);
		p->signed_from = signed_from(w, p->name);
		if (db_mark_forget(w->db, p->name, &why) == -1)
			writer_failed(w, &why);
		else if (writer_commit(w, &why) == 0)
			(void)peers_pairing_finish(w->peers, p, token, wall_ms(), &why);
	}
	answer(c, m->tag, why.text, grant);
	free(grant);
	peer_fini(p);
	free(p);
	return true;
}

/* Each pairing agrees on a key of its own. */
static bool
same_pairing(const struct peer *a, const struct peer *b)
{
	bool same = a->nmac == b->nmac;

	for (size_t i = 0; same && i < a->nmac; i++)
		same = secret_eq(a->mac[i].b, b->mac[i].b, SECRET_LEN);
	return same;
}

/*
 * Known ones only: pairing makes new ones.  What was learned under the pairing before the present
 * one must not bring that back: its asker may not have heard yet, nor we, where the operator's
 * command wrote the file at home.
 */
bool
serve_peer_update(struct client *c, struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);
	const struct peer *known;
	struct why why = { 0 };
	struct peer *p;

	if ((p = malloc(sizeof(*p))) == NULL)
		abort();
	if (!peer_parse(wire_rest(&in), p, &why)) {
		free(p);
		return false;
	}
	if (c->w->conf.role == CONF_HOME)
		(void)peers_reload(c->w->peers, &why);
	if ((known = peers_find(c->w->peers, p->name)) == NULL)
		why_set(&why, "peer: %s is not paired", log_safe(span_str(p->name)).s);
	else if (!same_pairing(known, p))
		why_set(&why, "peer: %s was paired anew meanwhile", known->name);
	else if (why.text[0] == '\0') {
		/* What was granted changes by pairing alone, whatever a process says. */
		p->signed_from = known->signed_from;
		p->ndomains = known->ndomains;
		for (size_t i = 0; i < p->ndomains; i++)
			(void)span_copy(span_str(known->domains[i]), p->domains[i],
			    sizeof(p->domains[i]));
		(void)peers_put(c->w->peers, p, &why);
	}
	writer_done(c, m->tag, why.text[0] == '\0', why.text);
	peer_fini(p);
	free(p);
	return true;
}
