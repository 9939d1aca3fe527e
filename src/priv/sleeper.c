#include "priv/sleeper.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

struct sleeper_end {
	struct sleeper_end *next, **at;
	struct sleeper	*of;
	enum proc_kind	 neighbour;
	int		 fd;
	uv_poll_t	 poll;
};

static void
on_closed(uv_handle_t *h)
{
	free(h->data);
}

static int
take(struct sleeper_end *e)
{
	if ((*e->at = e->next) != NULL)
		e->next->at = e->at;
	uv_close((uv_handle_t *)&e->poll, on_closed);
	return e->fd;
}

/* Its other end is closed, whatever was said before. */
static bool
ended(const struct sleeper_end *e)
{
	struct pollfd p = { .fd = e->fd };

	return poll(&p, 1, 0) != 0;
}

int
sleeper_take(struct sleeper *s, enum proc_kind neighbour)
{
	struct sleeper_end *e = s->ends;

	while (e != NULL && e->neighbour != neighbour)
		e = e->next;
	if (e == NULL)
		return -1;
	if (!ended(e))
		return take(e);
	close(take(e));
	return -1;
}

static void
on_word(uv_poll_t *poll, int status, int events)
{
	struct sleeper_end *e = poll->data;
	struct sleeper *s = e->of;

	if (ended(e)) {			/* who starts again is given another channel */
		close(take(e));
		return;
	}
	for (e = s->ends; e != NULL; e = e->next)
		uv_poll_stop(&e->poll);
	s->woken(s->arg);
}

bool
sleeper_keep(struct sleeper *s, enum proc_kind neighbour, int fd)
{
	struct sleeper_end *e = calloc(1, sizeof(*e));

	if (e == NULL || uv_poll_init(s->loop, &e->poll, fd) != 0) {
		free(e);
		close(fd);
		return false;
	}
	e->of = s;
	e->neighbour = neighbour;
	e->fd = fd;
	e->poll.data = e;
	if ((e->next = s->ends) != NULL)
		e->next->at = &e->next;
	e->at = &s->ends;
	s->ends = e;
	uv_poll_start(&e->poll, UV_READABLE, on_word);
	return true;
}
