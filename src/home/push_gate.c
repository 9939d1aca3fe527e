#include "home/push_gate.h"

#include <string.h>

#include "base/codec.h"

uint64_t
allowance_used(struct allowance *a, uint64_t most, int64_t window_ms, int64_t now_ms)
{
	uint64_t window = (uint64_t)window_ms, passed, back;

	if (now_ms - a->at_ms >= window_ms || a->used == 0) {
		a->used = now_ms - a->at_ms >= window_ms ? 0 : a->used;
		a->at_ms = now_ms;
		return a->used;
	}
	passed = (uint64_t)(now_ms - a->at_ms);
	back = most / window * passed + most % window * passed / window;
	if (back == 0)
		return a->used;		/* of so short a time it comes back later */
	a->used -= back < a->used ? back : a->used;
	a->at_ms = now_ms;
	return a->used;
}

static struct push_worker *
worker_named(struct push_gate *g, const char *name)
{
	struct push_worker *free = NULL;

	for (size_t i = 0; i < CONF_WORKERS_MAX; i++) {
		struct push_worker *w = &g->worker[i];

		if (strcmp(w->name, name) == 0)
			return w;
		if (free == NULL && w->ntokens == 0)
			free = w;	/* never had one, or lost it with its section */
	}
	if (free != NULL) {
		*free = (struct push_worker){ 0 };
		span_copy(span_str(name), free->name, sizeof(free->name));
	}
	return free;
}

void
push_gate_token(struct push_gate *g, const char *name, struct span text)
{
	struct push_worker *w = worker_named(g, name);

	if (w != NULL)
		w->ntokens = key_lines_read(text, w->token);
}

struct push_worker *
push_gate_find(struct push_gate *g, struct span authorization)
{
	struct span bearer = SPAN_LIT("Bearer ");
	unsigned char said[SECRET_LEN];
	struct push_worker *found = NULL;

	if (!span_starts_nocase(authorization, bearer) ||
	    !hex_decode(span_from(authorization, bearer.n), said, sizeof(said)))
		return NULL;
	for (size_t i = 0; i < CONF_WORKERS_MAX; i++)
		for (size_t k = 0; k < g->worker[i].ntokens; k++)
			if (secret_eq(said, g->worker[i].token[k].b, SECRET_LEN))
				found = &g->worker[i];
	explicit_bzero(said, sizeof(said));
	return found;
}

bool
push_gate_pass(struct push_worker *w, const struct conf_home_service *s, int64_t now_ms)
{
	if (allowance_used(&w->requests, s->rate, PUSH_MINUTE_MS, now_ms) >= s->rate ||
	    allowance_used(&w->octets, s->bytes, PUSH_HOUR_MS, now_ms) >= s->bytes)
		return false;
	w->requests.used++;
	return true;
}

void
push_gate_octets(struct push_worker *w, size_t n)
{
	w->octets.used += n;
}

void
push_gate_fini(struct push_gate *g)
{
	explicit_bzero(g, sizeof(*g));
}
