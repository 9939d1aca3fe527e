#include "store/writer_in.h"

#include "base/clock.h"

/* What is done by the clock. */

#define IDLE_MS		300		/* nothing written for so long: housekeeping */
#define STEP_MS		5		/* between two of its steps */
#define HOUR_MS		(3600 * 1000)
#define LOOK_MS		10000		/* at the clock */
#define PAIRING_MS	10000		/* whether a line has expired is looked at so often */
#define SOON_MS		500		/* after a failure, for what must not be left */
#define DUE_MAX_MS	60000		/* the wall clock may jump: look at it so often */
#define ROOM_MS		1000		/* while there is little: somebody else may make some */

static void	on_due(uv_timer_t *), on_room(uv_timer_t *), on_pairing(uv_timer_t *);

static void
on_idle(uv_timer_t *t)
{
	struct writer *w = t->data;

	if (db_changed(w->db) || db_idle(w->db, true))
		uv_timer_start(&w->idle, on_idle, STEP_MS, 0);
}

void
writer_idle_soon(struct writer *w)
{
	uv_timer_start(&w->idle, on_idle, IDLE_MS, 0);
}

void
writer_due(struct writer *w)
{
	int64_t now = wall_ms(), due, wait;

	w->noted = false;
	w->due_ms = 0;
	if (w->conf.role != CONF_HOME || db_next_due(w->db, now, &due, NULL) == -1)
		return;
	if (due == 0) {
		uv_timer_stop(&w->due);
		return;
	}
	w->due_ms = due;
	wait = due - now < DUE_MAX_MS ? due - now : DUE_MAX_MS;
	uv_timer_start(&w->due, on_due, (uint64_t)(wait > 0 ? wait : 0) + 1, 0);
}

static void
on_due(uv_timer_t *t)
{
	struct writer *w = t->data;

	/* The loop's clock lags behind the wall's by as long as a turn takes. */
	if (w->due_ms <= wall_ms())
		writer_tell(w, WE_WORK, NULL, span_of(NULL, 0));
	writer_due(w);
}

void
writer_work_soon(struct writer *w)
{
	w->due_ms = 0;
	uv_timer_start(&w->due, on_due, STEP_MS, 0);
}

static void
on_hour(uv_timer_t *t)
{
	struct writer *w = t->data;
	struct why why = { 0 };
	int64_t surely;
	int rc;

	writer_clock_look(w);
	surely = writer_surely_ms(w);
	if ((rc = db_expire(w->db, surely < w->latest_ms ? surely : w->latest_ms, &why)) == -1)
		writer_failed(w, &why);
	else
		(void)writer_commit(w, &why);
	if (rc == 0 && w->clock.jumped_ms == 0)
		db_sweep(w->db, false);
	if (rc != 1)
		w->latest_ms = INT64_MAX;
	if (rc == 0)
		writer_parked_look(w);
	uv_timer_start(&w->hour, on_hour, rc == 1 ? 10 * STEP_MS : HOUR_MS, 0);
}

static void
on_look(uv_timer_t *t)
{
	writer_clock_look(t->data);
}

void
writer_pairing(struct writer *w, bool open)
{
	if (open)
		uv_timer_start(&w->pairing, on_pairing, PAIRING_MS, PAIRING_MS);
	else
		uv_timer_stop(&w->pairing);
}

static void
on_pairing(uv_timer_t *t)
{
	struct writer *w = t->data;

	(void)peers_pairing_open(w->peers, wall_ms());	/* tells what it finds over */
}

static void
on_again(uv_timer_t *t)
{
	struct writer *w = t->data;
	struct rowmap all = w->retry;
	struct rowmap_item it;

	w->retry = (struct rowmap){ 0 };
	for (struct client *c = w->clients; c != NULL; c = c->next)
		while (rowmap_take_owned(&all, c, &it))
			if (!writer_outcome(c, it.tag, it.row))
				break;
	rowmap_fini(&all);
}

void
writer_retry_soon(struct writer *w)
{
	uv_timer_start(&w->again, on_again, SOON_MS, 0);
}

void
writer_room(struct writer *w)
{
	struct wire_out out = { .n = 0 };
	uint64_t room;

	if (w->conf.role != CONF_EDGE)
		return;
	if ((room = db_room_left(w->db)) >= 2 * w->conf.edge->limits.size)
		room = UINT64_MAX;
	if (room == UINT64_MAX)
		uv_timer_stop(&w->room);
	else if (!uv_is_active((uv_handle_t *)&w->room))
		uv_timer_start(&w->room, on_room, ROOM_MS, ROOM_MS);
	if (room == w->room_told)
		return;
	w->room_told = room;
	wire_u64(&out, room);
	writer_tell(w, WE_ROOM, &out, span_of(NULL, 0));
}

static void
on_room(uv_timer_t *t)
{
	writer_room(t->data);
}

void
writer_later_begin(struct writer *w)
{
	uv_timer_t *const timers[] = { &w->idle, &w->due, &w->hour, &w->again, &w->pairing,
		&w->room, &w->look };

	for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
		uv_timer_init(w->loop, timers[i]);
		timers[i]->data = w;
	}
	w->room_told = UINT64_MAX;
	writer_room(w);
	writer_idle_soon(w);
	uv_timer_start(&w->hour, on_hour, IDLE_MS, 0);
	uv_timer_start(&w->look, on_look, 0, LOOK_MS);
	writer_due(w);
	writer_pairing(w, w->conf.role == CONF_EDGE &&
	    peers_pairing_open(w->peers, wall_ms()));
}
