#include "home/unseal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE		AGE_CHUNK		/* sealed octets at a time */
#define PLAIN_MAX	(4 * AGE_CHUNK)		/* what they can open to, with what age held back */

struct unseal {
	const struct spool_content *content;
	struct age_open	*age;
	struct age_payload *known;
	struct batch_reader *batch;
	struct buf	 plain;
	size_t		 used;		/* of plain */
	off_t		 at;		/* of content */
	bool		 ended;		/* all of content was opened, and its end is authentic */
	char		*piece;		/* of a file */
	struct why	 why;
};

struct unseal *
unseal_new(const struct age_identity *ids, size_t n, const struct spool_content *content,
    struct age_payload *known)
{
	struct unseal *u = calloc(1, sizeof(*u));

	if (u == NULL)
		return NULL;
	u->content = content;
	buf_init(&u->plain, PLAIN_MAX);
	u->known = known;
	u->at = known->key.set ? (off_t)known->at : 0;
	u->age = known->key.set ? age_open_again(known) : age_open_new(ids, n);
	u->batch = batch_reader_new();
	if (content->fd != -1)
		u->piece = malloc(PIECE);
	if (u->age == NULL || u->batch == NULL || (content->fd != -1 && u->piece == NULL))
		unseal_free(&u);
	return u;
}

void
unseal_free(struct unseal **up)
{
	struct unseal *u = *up;

	*up = NULL;
	if (u == NULL)
		return;
	buf_wipe(&u->plain);
	age_open_free(&u->age);
	batch_reader_free(&u->batch);
	free(u->piece);
	free(u);
}

static enum unseal_ev
judge(struct unseal *u, enum age_result result)
{
	switch (result) {
	case AGE_OK:
		break;
	case AGE_NO_MATCH:
		why_set(&u->why, "none of this home's age keys opens it: if the key was replaced, "
		    "put the old one back into the key file as well");
		return UNSEAL_NO_KEY;
	case AGE_NO_ROOM:
		why_set(&u->why, "memory is out");
		return UNSEAL_LATER;
	case AGE_MALFORMED:
		return UNSEAL_MALFORMED;
	}
	return UNSEAL_BODY;
}

/* Opens the next piece; UNSEAL_BODY: it went well. */
static enum unseal_ev
open_piece(struct unseal *u)
{
	const struct spool_content *c = u->content;
	const char *p = u->piece;
	enum unseal_ev ev;
	ssize_t n;

	buf_clear(&u->plain);
	u->used = 0;
	if (c->fd == -1) {
		struct span left = span_from(c->data, (size_t)u->at);

		p = left.p;
		n = (ssize_t)(left.n < PIECE ? left.n : PIECE);
	} else {
		do
			n = pread(c->fd, u->piece, PIECE, u->at);
		while (n == -1 && errno == EINTR);
	}
	if (n == -1) {
		why_sys(&u->why, "reading the held object");
		return UNSEAL_LATER;
	}
	u->at += n;
	u->ended = n == 0;
	ev = judge(u, n == 0 ? age_open_end(u->age, &u->plain, &u->why) :
	    age_open_add(u->age, p, (size_t)n, &u->plain, &u->why));
	(void)age_open_payload(u->age, u->known);
	return ev;
}

enum unseal_ev
unseal_next(struct unseal *u, struct span *body)
{
	*body = span_of(NULL, 0);
	for (;;) {
		struct batch_ev ev = { .type = BATCH_EV_NONE };
		enum unseal_ev piece;

		if (u->used < u->plain.n)
			u->used += batch_reader_step(u->batch, u->plain.p + u->used,
			    u->plain.n - u->used, &ev);
		switch (ev.type) {
		case BATCH_EV_ENVELOPE:
			return UNSEAL_ENVELOPE;
		case BATCH_EV_BODY:
			*body = ev.arg;
			return UNSEAL_BODY;
		case BATCH_EV_BAD:
			why_set(&u->why, "%s", batch_reader_why(u->batch));
			return batch_reader_no_room(u->batch) ? UNSEAL_LATER : UNSEAL_MALFORMED;
		case BATCH_EV_NONE:
		case BATCH_EV_END:
			break;
		}
		if (u->used < u->plain.n)
			continue;
		if (u->ended && batch_reader_done(u->batch))
			return UNSEAL_END;
		if (u->ended) {
			why_set(&u->why, "the object is truncated: its transcript has no end");
			return UNSEAL_MALFORMED;
		}
		if ((piece = open_piece(u)) != UNSEAL_BODY)
			return piece;
	}
}

const struct envelope *
unseal_envelope(const struct unseal *u)
{
	return batch_reader_envelope(u->batch);
}

struct envelope *
unseal_envelope_take(struct unseal *u)
{
	return batch_reader_envelope_take(u->batch);
}

const char *
unseal_why(const struct unseal *u)
{
	return u->why.text;
}
