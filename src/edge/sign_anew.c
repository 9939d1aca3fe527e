#include <stdlib.h>
#include <unistd.h>

#include "edge/handover_in.h"

/*
 * A row from before the present pairing has a MAC that home may not know any more.
 * The object is read once more and signed with the key that home has now; the row
 * stays as it is.  Nothing is vouched for that was not before: whoever could change
 * the octets on this disk has the key, too, and what is damaged does not open.
 *
 * A large file is read a piece in each turn of the loop: others are served between.
 */
#define PIECE	(256u << 10)

struct signing {
	uv_idle_t	 idle;
	struct transfer	*t;
	struct object_mac *mac;
	off_t		 at;
	void		(*done)(struct transfer *, bool ok);
	char		 piece[PIECE];
};

bool
sign_needed(const struct transfer *t)
{
	return t->obj.row < t->ho->home->peer.signed_from;
}

static void
free_signing(uv_handle_t *h)
{
	free(h->data);
}

static bool
end(struct transfer *t, struct object_mac *mac)
{
	return object_mac_end(mac, &t->ho->home->peer.mac[0], t->obj.meta.id, t->obj.mac);
}

static void
on_turn(uv_idle_t *idle)
{
	struct signing *s = idle->data;
	ssize_t n = pread(s->t->fd, s->piece, PIECE, s->at);
	bool ok;

	if (n > 0) {
		object_mac_add(s->mac, s->piece, (size_t)n);
		s->at += n;
		return;
	}
	uv_idle_stop(idle);
	ok = n == 0 && (uint64_t)s->at == s->t->obj.size && end(s->t, s->mac);
	object_mac_free(&s->mac);
	s->done(s->t, ok);
	uv_close((uv_handle_t *)idle, free_signing);
}

void
sign_anew(struct transfer *t, void (*done)(struct transfer *, bool ok))
{
	struct object_mac *mac = object_mac_new();
	struct signing *s;
	bool ok;

	if (mac != NULL && t->fd == -1) {
		object_mac_add(mac, t->data.p, t->data.n);
		ok = end(t, mac);
		object_mac_free(&mac);
		done(t, ok);
		return;
	}
	if (mac == NULL || (s = malloc(sizeof(*s))) == NULL) {
		object_mac_free(&mac);
		done(t, false);
		return;
	}
	s->t = t;
	s->mac = mac;
	s->at = 0;
	s->done = done;
	uv_idle_init(t->ho->edge->loop, &s->idle);
	s->idle.data = s;
	uv_idle_start(&s->idle, on_turn);
}
