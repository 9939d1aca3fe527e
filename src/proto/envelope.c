#include "proto/envelope.h"

#include <stdlib.h>
#include <string.h>

struct envelope *
envelope_new(void)
{
	struct envelope *e = calloc(1, sizeof(*e));

	if (e != NULL && (e->from_params = calloc(1, 1)) == NULL) {
		free(e);
		return NULL;
	}
	return e;
}

void
envelope_free(struct envelope **ep)
{
	struct envelope *e = *ep;

	*ep = NULL;
	if (e == NULL)
		return;
	for (size_t i = 0; i < e->nrcpts; i++)
		free(e->rcpts[i].params);
	free(e->rcpts);
	free(e->from_params);
	free(e);
}

bool
envelope_params_ok(struct span p)
{
	for (size_t i = 0; i < p.n; i++) {
		unsigned char c = (unsigned char)p.p[i];

		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return p.n <= ENVELOPE_PARAMS_MAX;
}

static char *
copy_params(struct span p)
{
	while (p.n > 0 && p.p[0] == ' ')
		p = span_from(p, 1);
	while (p.n > 0 && p.p[p.n - 1] == ' ')
		p.n--;
	return envelope_params_ok(p) ? strndup(p.n > 0 ? p.p : "", p.n) : NULL;
}

bool
envelope_set_from(struct envelope *e, const struct address *from, struct span params)
{
	char *copy = copy_params(params);

	if (copy == NULL)
		return false;
	free(e->from_params);
	e->from_params = copy;
	e->from = *from;
	return true;
}

bool
envelope_add_rcpt(struct envelope *e, const struct address *to, struct span params)
{
	char *copy;

	if (e->nrcpts == ENVELOPE_RCPTS_MAX)
		return false;
	if (e->nrcpts == e->cap) {
		size_t cap = e->cap == 0 ? 1 : e->cap * 2;
		struct envelope_rcpt *rcpts = reallocarray(e->rcpts, cap, sizeof(*rcpts));

		if (rcpts == NULL)
			return false;
		e->rcpts = rcpts;
		e->octets += (cap - e->cap) * sizeof(*rcpts);
		e->cap = cap;
	}
	if ((copy = copy_params(params)) == NULL)
		return false;
	e->octets += strlen(copy) + 1;
	e->rcpts[e->nrcpts++] = (struct envelope_rcpt){ .addr = *to, .params = copy };
	return true;
}
