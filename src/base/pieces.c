#include "base/pieces.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct piece {
	struct piece	*next;
	size_t		 size;		/* octets it has room for */
	size_t		 off, n;	/* [off, n) is in use */
	char		 p[];
};

static _Thread_local struct piece *kept;
static _Thread_local unsigned nkept;

static struct piece *
piece_new(size_t size)
{
	struct piece *p = kept;

	if (size == PIECE_LARGE && p != NULL) {
		kept = p->next;
		nkept--;
	} else if ((p = malloc(sizeof(*p) + size)) == NULL)
		return NULL;
	p->next = NULL;
	p->size = size;
	p->off = p->n = 0;
	return p;
}

static void
piece_free(struct piece *p)
{
	if (p->size != PIECE_LARGE || nkept == PIECES_KEPT) {
		free(p);
		return;
	}
	p->next = kept;
	kept = p;
	nkept++;
}

static size_t
room(const struct piece *p)
{
	return p->size - p->n;
}

void
pieces_fini(struct pieces *q)
{
	struct piece *p;

	while ((p = q->first) != NULL) {
		q->first = p->next;
		piece_free(p);
	}
	*q = (struct pieces){ 0 };
}

/* Blocks for n octets more than the last one has room for.  NULL: memory is out. */
static struct piece *
blocks(const struct pieces *q, size_t n, size_t *memory)
{
	struct piece *first = NULL, **to = &first, *p;
	size_t size = q->first == NULL && n <= PIECE_SMALL ? PIECE_SMALL : PIECE_LARGE;

	*memory = 0;
	for (size_t got = 0; got < n; got += room(p)) {
		if ((p = *to = piece_new(size)) == NULL) {
			while ((p = first) != NULL) {
				first = p->next;
				piece_free(p);
			}
			return NULL;
		}
		to = &p->next;
		*memory += size;
	}
	return first;
}

static void
fill(struct piece *p, struct span *s)
{
	size_t n = s->n < room(p) ? s->n : room(p);

	memcpy(p->p + p->n, s->p, n);
	p->n += n;
	*s = span_from(*s, n);
}

bool
pieces_add(struct pieces *q, struct span s)
{
	size_t left = q->last != NULL ? room(q->last) : 0, memory = 0;
	struct piece *more = NULL;

	if (s.n > left && (more = blocks(q, s.n - left, &memory)) == NULL)
		return false;
	q->n += s.n;
	q->memory += memory;
	if (left > 0 && s.n > 0)
		fill(q->last, &s);
	if (more == NULL)
		return true;
	if (q->last != NULL)
		q->last->next = more;
	else
		q->first = more;
	for (; more != NULL; more = more->next) {
		q->last = more;
		fill(more, &s);
	}
	return true;
}

struct span
pieces_front(const struct pieces *q)
{
	struct piece *p = q->first;

	return p == NULL ? (struct span){ "", 0 } : span_of(p->p + p->off, p->n - p->off);
}

void
pieces_drop(struct pieces *q, size_t n)
{
	assert(n <= q->n);
	q->n -= n;
	while (n > 0) {
		struct piece *p = q->first;
		size_t here = p->n - p->off;

		if (n < here) {
			p->off += n;
			return;
		}
		n -= here;
		q->memory -= p->size;
		if ((q->first = p->next) == NULL)
			q->last = NULL;
		piece_free(p);
	}
}

size_t
pieces_take(struct pieces *q, char *out, size_t max)
{
	size_t done = 0;

	while (done < max && q->n > 0) {
		struct span s = pieces_front(q);
		size_t n = s.n < max - done ? s.n : max - done;

		memcpy(out + done, s.p, n);
		done += n;
		pieces_drop(q, n);
	}
	return done;
}
