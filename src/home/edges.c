#include "home/edges.h"

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/log.h"

static void
join_worker(struct home_edge *e, const struct conf_worker *w)
{
	memcpy(e->peer.mac, e->worker_mac, sizeof(e->peer.mac));
	e->peer.nmac = e->nworker_mac;
	memcpy(e->peer.domains, w->domains, sizeof(e->peer.domains));
	e->peer.ndomains = w->ndomains;
}

static void
join(struct home_edge *e, const struct conf_home *conf)
{
	const struct conf_worker *w = conf_home_worker(conf, e->name);

	e->worker = w != NULL;
	e->peer = e->paired;
	if (edge_is_worker(e))
		join_worker(e, w);
	for (size_t i = 0; i < conf->nedges; i++) {
		const struct conf_home_edge *c = &conf->edges[i];

		if (strcmp(c->name, e->name) != 0)
			continue;
		if (c->address[0] != '\0')
			span_copy(span_str(c->address), e->peer.address, sizeof(e->peer.address));
		if (c->has_pin) {
			e->peer.pins[0] = c->pin;
			e->peer.npins = 1;
		}
	}
	span_copy(span_str(e->name), e->peer.name, sizeof(e->peer.name));
}

struct home_edge *
edges_find(const struct edges *es, const char *name)
{
	for (size_t i = 0; i < es->n; i++)
		if (strcasecmp(es->list[i]->name, name) == 0)
			return es->list[i];
	return NULL;
}

static struct home_edge *
edge_make(struct edges *es, const char *name)
{
	struct home_edge *e = edges_find(es, name);

	if (e != NULL)
		return e;
	if (es->n == EDGES_MAX || (e = calloc(1, sizeof(*e))) == NULL) {
		log_error(NULL, "edge.many edge=%s is left out: %d edges are the most a home has",
		    name, EDGES_MAX);
		return NULL;
	}
	span_copy(span_str(name), e->name, sizeof(e->name));
	e->row = (unsigned)es->n;
	es->list[es->n++] = e;
	return e;
}

void
edges_configure(struct edges *es, const struct conf_home *conf)
{
	for (size_t i = 0; i < conf->nedges; i++)
		edge_make(es, conf->edges[i].name);
	for (size_t i = 0; i < conf->nworkers; i++)
		edge_make(es, conf->workers[i].name);
	for (size_t i = 0; i < es->n; i++)
		join(es->list[i], conf);
}

struct home_edge *
edges_paired(struct edges *es, const struct conf_home *conf, const char *name, const struct peer *p)
{
	struct home_edge *e = edge_make(es, name);

	if (e == NULL)
		return NULL;
	peer_fini(&e->paired);
	if (p != NULL)
		e->paired = *p;
	join(e, conf);
	return e;
}

void
edges_worker_keys(struct edges *es, const struct conf_home *conf, const char *name,
    struct span text)
{
	struct home_edge *e = edge_make(es, name);

	if (e == NULL)
		return;
	e->nworker_mac = key_lines_read(text, e->worker_mac);
	join(e, conf);
}

void
edges_worker_password(struct edges *es, const char *name, struct span text)
{
	struct home_edge *e = edge_make(es, name);
	struct secret keys[KEY_LINES_MAX];
	size_t n = key_lines_read(text, keys);
	char said[2 * SECRET_LEN + 1];

	if (e == NULL)
		n = 0;
	else
		e->login = (struct login){ .ndigests = 0 };
	for (size_t i = 0; i < n; i++) {
		hex_encode(keys[i].b, SECRET_LEN, said);
		if (login_digest(span_str(name), span_str(said), e->login.digests[i]))
			e->login.ndigests = i + 1;
	}
	if (n > 0)
		span_copy(span_str(e->name), e->login.name, sizeof(e->login.name));
	explicit_bzero(keys, sizeof(keys));
	explicit_bzero(said, sizeof(said));
}

static bool
is_among(const char (*names)[256], size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcasecmp(names[i], name) == 0)
			return true;
	return false;
}

bool
edge_vouches(const struct conf_home *conf, const struct home_edge *e,
    const struct home_edge *worker)
{
	const struct conf_worker *w = conf_home_worker(conf, worker->name);

	if (w == NULL || !edge_is_worker(worker) || edge_is_worker(e) ||
	    !is_among(w->edges, w->nedges, e->name))
		return false;
	for (size_t i = 0; i < w->ndomains; i++)
		if (!is_among(e->peer.domains, e->peer.ndomains, w->domains[i]))
			return false;
	return true;
}

void
edges_fini(struct edges *es)
{
	for (size_t i = 0; i < es->n; i++) {
		peer_fini(&es->list[i]->peer);
		peer_fini(&es->list[i]->paired);
		explicit_bzero(es->list[i]->worker_mac, sizeof(es->list[i]->worker_mac));
		free(es->list[i]);
	}
	*es = (struct edges){ .n = 0 };
}
