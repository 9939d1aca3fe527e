#include "edge/object_out.h"

#include <stdlib.h>

#include "base/buf.h"
#include "edge/edge.h"
#include "edge/ephemerals.h"
#include "proto/age.h"
#include "proto/batch_smtp.h"
#include "proto/object_mac.h"

#define STEP_MAX	(4 * AGE_CHUNK)
/*
 * Sealed octets that one step may produce: a header, the chunk being
 * filled and the longest input.
 */
#define SEALED_MAX	(AGE_HEADER_MAX + 8 * (AGE_CHUNK + AGE_TAG))
/* The head of a transaction with every recipient that there may be, and our Received:. */
#define HEAD_MAX	(BATCH_LINE_MAX * (ENVELOPE_RCPTS_MAX + 8))

struct object_out {
	struct age_seal		*seal;
	struct object_mac	*mac;
	struct spool_put	*put;
	const struct home	*home;
	struct secret		 key;		/* its, when the message began */
	bool			 begun;		/* an octet of the message is in it */
	struct spool_object	 obj;		/* what is known of it so far */
};

static int
sealed_octets(struct object_out *o, struct span s, struct why *why)
{
	object_mac_add(o->mac, s.p, s.n);
	o->obj.size += s.n;
	return spool_put_add(o->put, s.p, s.n, why);
}

/*
 * Seals octets of the transcript and passes what comes of it to the spool, in steps
 * so bounded that SEALED_MAX holds: a head with a thousand recipients is long.
 */
static int
transcript(struct object_out *o, struct span s, struct why *why)
{
	/* The step's buffer lives only for the step: an idle session holds none. */
	struct buf sealed;
	int rc = 0;

	buf_init(&sealed, SEALED_MAX);
	while (rc == 0 && s.n > 0) {
		size_t n = s.n < STEP_MAX ? s.n : STEP_MAX;

		buf_clear(&sealed);
		if (!age_seal_add(o->seal, s.p, n, &sealed))
			rc = why_set(why, "seal: memory is out");
		else if (sealed.n > 0)
			rc = sealed_octets(o, buf_span(&sealed), why);
		s = span_from(s, n);
	}
	buf_fini(&sealed);
	return rc;
}

static int
chunk(struct object_out *o, struct span s, struct why *why)
{
	char text[64];
	struct buf head;
	int rc;

	if (s.n == 0)
		return 0;
	buf_init(&head, sizeof(text));
	if (!batch_chunk(s.n, &head)) {
		buf_fini(&head);
		return why_set(why, "object: memory is out");
	}
	rc = transcript(o, buf_span(&head), why);
	buf_fini(&head);
	return rc == -1 ? -1 : transcript(o, s, why);
}

static int
open_transcript(struct object_out *o, const struct envelope *env, const struct trace *t,
    struct why *why)
{
	struct buf head, received;
	int rc = -1;

	buf_init(&head, HEAD_MAX);
	buf_init(&received, HEAD_MAX);
	if (!trace_received(t, &received) || !batch_head(env, &head))
		why_set(why, "object: memory is out");
	else if (transcript(o, buf_span(&head), why) == 0)
		rc = chunk(o, buf_span(&received), why);
	buf_wipe(&head);
	buf_wipe(&received);
	return rc;
}

static struct age_seal *
seal_new(struct ephemerals *es, const struct peer *to)
{
	struct age_ephemeral e[AGE_RECIPIENTS_MAX];
	unsigned char rnd[AGE_SEAL_RND(0)];
	struct age_seal *seal = NULL;
	size_t n = 0;

	while (n < to->nrecipients && ephemerals_take(es, &to->recipients[n], &e[n]))
		n++;
	if (n == to->nrecipients) {
		random_bytes(rnd, sizeof(rnd));
		seal = age_seal_with(e, n, rnd);
		explicit_bzero(rnd, sizeof(rnd));
	}
	explicit_bzero(e, sizeof(e));
	return seal;
}

struct object_out *
object_out_new(struct edge *e, const struct home *h, const struct spool_meta *meta,
    const struct envelope *env, const struct trace *t, struct why *why)
{
	struct object_out *o;

	/* It may have been unpaired since its recipient was taken: nobody could ever open this. */
	if (!home_can_hold(h)) {
		why_set(why, "object: home %s has no keys any more", h->name);
		return NULL;
	}
	if ((o = calloc(1, sizeof(*o))) == NULL) {
		why_set(why, "object: memory is out");
		return NULL;
	}
	o->obj.meta = *meta;
	o->home = h;
	o->key = h->peer.mac[0];
	o->seal = seal_new(e->ephemerals, &h->peer);
	o->mac = object_mac_new();
	o->put = spool_put_new(e->mail, meta);
	if (o->seal == NULL || o->mac == NULL || o->put == NULL) {
		why_set(why, "object: memory is out");
		object_out_free(&o);
	} else if (open_transcript(o, env, t, why) == -1) {
		object_out_free(&o);
	}
	return o;
}

/*
 * A first line that begins with a blank would go on with our Received, in its sender's words
 * (RFC 5322 2.2.3): nobody should read them as ours.  An empty line between, as Postfix has
 * it, makes a body of the message, which has no header of its own then either.
 */
int
object_out_add(struct object_out *o, struct span s, struct why *why)
{
	bool folds = !o->begun && s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t');

	o->begun |= s.n > 0;
	if (folds && chunk(o, SPAN_LIT("\r\n"), why) == -1)
		return -1;
	return chunk(o, s, why);
}

int
object_out_commit(struct object_out **op, struct spool_object *obj, spool_kept_fn *told, void *arg,
    struct why *why)
{
	struct object_out *o = *op;
	struct buf text;
	int rc = -1;

	buf_init(&text, SEALED_MAX);
	if (!batch_end(&text)) {
		why_set(why, "object: memory is out");
	} else if (transcript(o, buf_span(&text), why) == 0) {
		buf_clear(&text);
		if (age_seal_end(o->seal, &text))
			rc = sealed_octets(o, buf_span(&text), why);
		else
			why_set(why, "seal: memory is out");
	}
	buf_fini(&text);
	/* A home that was paired anew meanwhile knows the old key no more. */
	if (rc == 0 && !object_mac_end(o->mac,
	    o->home->peer.nmac > 0 ? &o->home->peer.mac[0] : &o->key, o->obj.meta.id, o->obj.mac))
		rc = why_set(why, "object: memory is out");
	if (rc == 0) {
		*obj = o->obj;
		spool_put_commit(&o->put, o->obj.mac, told, arg);
	}
	object_out_free(op);
	return rc;
}

void
object_out_free(struct object_out **op)
{
	struct object_out *o = *op;

	if (o == NULL)
		return;
	age_seal_free(&o->seal);
	object_mac_free(&o->mac);
	if (o->put != NULL)
		spool_put_drop(&o->put);
	secret_fini(&o->key);
	free(o);
	*op = NULL;
}
