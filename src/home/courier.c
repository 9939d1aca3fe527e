#include "home/courier.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "home/courier_batch.h"
#include "home/filter.h"
#include "home/post.h"
#include "home/route_answer.h"

#define HELD_AGAIN_MS	15000

static void	on_retry(uv_timer_t *);

/* Ledger and tmp/ know all that this process knows: to be started anew is the whole recovery. */
void
courier_out_of_memory(void)
{
	log_error(NULL, "courier.memory: memory is out; starting anew");
	abort();
}

/* --- what batches need -------------------------------------------------------------------- */

void
courier_trouble(struct courier *c, const char *words)
{
	span_copy(span_str(words), c->trouble, sizeof(c->trouble));
	c->troubled = instant_now();
	courier_alarm(c);
}

void
courier_retry_in(struct courier *c, uint64_t ms)
{
	if (!uv_is_active((uv_handle_t *)&c->retry) || uv_timer_get_due_in(&c->retry) > ms)
		uv_timer_start(&c->retry, on_retry, ms, 0);
}

/* Kept in hand, claimed, and tried again. */
void
courier_hold(struct courier *c, struct parcel *p)
{
	if (c->nheld == c->held_cap) {
		size_t cap = c->held_cap == 0 ? 64 : c->held_cap * 2;
		void *more = realloc(c->held, cap * sizeof(*c->held));

		if (more == NULL)
			courier_out_of_memory();
		c->held = more;
		c->held_cap = cap;
	}
	c->held[c->nheld++] = *p;
	*p = (struct parcel){ .entries = NULL };
	courier_retry_in(c, HELD_AGAIN_MS);
}

/* --- claiming ----------------------------------------------------------------------------- */

static void
on_job(void *arg, struct ledger_job *job)
{
	struct batch *b = arg;
	struct courier *c = b->c;
	struct router router;

	if (job != NULL && (b->forgotten || b->n == b->cap)) {
		if (job->content.fd != -1)
			close(job->content.fd);
		job->content.fd = -1;
		return;
	}
	if (job != NULL) {
		roster_router(c->roster, c->conf, &c->edges, &router);
		c->opener.router = &router;
		if (!opener_open(&c->opener, job, &b->parcels[b->n++]))
			courier_out_of_memory();
		c->opener.router = NULL;
		return;
	}
	c->claiming = false;
	c->work = c->work || b->n == b->cap;
	if (c->opener.list_missed)
		roster_missed(c->roster);
	if (b->forgotten || b->n == 0)
		courier_batch_end(b);
	else
		courier_batch_judge(b);
	courier_work(c);
}

/* For a mail server: each goes its own way from here. */
static void
on_post_job(void *arg, struct ledger_job *job)
{
	struct courier *c = arg;
	struct router router;
	struct parcel p;

	if (job == NULL) {
		c->claiming = false;
		if (c->opener.list_missed)
			roster_missed(c->roster);
		post_go(c->post);
		courier_work(c);
		return;
	}
	if (!c->up) {
		if (job->content.fd != -1)
			close(job->content.fd);
		job->content.fd = -1;
		return;
	}
	roster_router(c->roster, c->conf, &c->edges, &router);
	c->opener.router = &router;
	if (!opener_open(&c->opener, job, &p))
		courier_out_of_memory();
	c->opener.router = NULL;
	c->work = true;			/* there may be more than was claimed */
	post_take(c->post, &p);
}

static void
claim(struct courier *c)
{
	size_t max = c->conf->deliveries / COURIER_BATCHES;
	unsigned room = c->post != NULL ? post_room(c->post) : 0;
	struct batch *b = NULL;

	if (c->post != NULL ? room == 0 : (b = courier_batch_begin(c, max > 0 ? max : 1)) == NULL)
		return;
	c->work = false;
	c->claiming = true;
	c->opener.ids = c->ids;
	c->opener.nids = c->nids + c->nretired;
	c->opener.edges = &c->edges;
	c->opener.maildir = c->maildir;
	c->opener.looks = c->filter != NULL;
	c->opener.now_ms = wall_ms();
	c->opener.retry_max_ms = c->conf->retry_max_ms;
	c->opener.list_missed = false;
	c->opener.trouble = (struct why){ "" };
	if (c->post != NULL)
		ledger_claim(c->spool, room, on_post_job, c);
	else
		ledger_claim(c->spool, (unsigned)b->cap, on_job, b);
}

void
courier_work(struct courier *c)
{
	if (c->up && c->peers_known && c->work && !c->claiming && !c->draining &&
	    roster_known(c->roster) && c->nids > 0 && c->nheld < COURIER_HELD_MAX)
		claim(c);
}

/* What is held goes through publishing again, as a batch of its own. */
static void
take_held(struct courier *c)
{
	struct batch *b = c->nheld > 0 && !c->draining ? courier_batch_begin(c, c->nheld) : NULL;

	if (b == NULL)
		return;
	memcpy(b->parcels, c->held, c->nheld * sizeof(*c->held));
	b->n = c->nheld;
	c->nheld = 0;
	courier_batch_publish(b);
}

static void
on_retry(uv_timer_t *timer)
{
	struct courier *c = timer->data;

	for (size_t i = 0; i < COURIER_BATCHES; i++)
		if (c->batches[i] != NULL && c->batches[i]->again)
			courier_batch_note(c->batches[i], c->batches[i]->phase);
	take_held(c);
	if (c->nheld > 0)
		courier_retry_in(c, HELD_AGAIN_MS);
}

/* --- what the writer tells ---------------------------------------------------------------- */

static void
drop_held(struct courier *c)
{
	while (c->nheld > 0)
		parcel_fini(&c->held[--c->nheld]);
}

static void
on_work(void *arg)
{
	struct courier *c = arg;

	c->work = true;
	courier_work(c);
}

static void
on_question(void *arg, uint64_t question, struct span json)
{
	route_answer(arg, question, json);
}

static void
on_attached(void *arg, bool up)
{
	struct courier *c = arg;

	c->up = up;
	c->work = up;
	for (size_t i = 0; !up && i < COURIER_BATCHES; i++) {
		struct batch *b = c->batches[i];

		if (b == NULL)
			continue;
		b->forgotten = true;
		if (b->again)
			courier_batch_end(b);
	}
	if (up)
		courier_work(c);
	else
		drop_held(c);
	if (c->post != NULL)
		(up ? post_go : post_forget)(c->post);
}

static void
peers_changed(struct courier *c)
{
	if (c->peers_known && c->peers != NULL)
		c->peers(c->peers_arg);
}

static void
on_peer(void *arg, const struct peer *p)
{
	struct courier *c = arg;

	edges_paired(&c->edges, c->conf, p->name, p);
	peers_changed(c);
}

static void
on_peer_gone(void *arg, const char *name)
{
	struct courier *c = arg;

	if (edges_find(&c->edges, name) != NULL)
		edges_paired(&c->edges, c->conf, name, NULL);
	peers_changed(c);
}

static void
on_peers_known(void *arg)
{
	struct courier *c = arg;

	c->peers_known = true;
	peers_changed(c);
	courier_work(c);
}

const struct spool_events courier_events = {
	.work = on_work, .peer = on_peer, .peer_gone = on_peer_gone, .peers_known = on_peers_known,
	.attached = on_attached, .question = on_question,
};

/* --- a courier ---------------------------------------------------------------------------- */

void
courier_alarm(struct courier *c)
{
	const char *words = c->nids == 0 ? "no usable age key: held mail cannot be opened" :
	    c->trouble[0] != '\0' ? c->trouble : roster_alarm(c->roster);

	span_copy(span_str(words), c->alarm, BOARD_TEXT);
}

void
courier_init(struct courier *c, uv_loop_t *loop, const struct conf_home *conf,
    struct scoreboard *board, char *alarm)
{
	*c = (struct courier){ .loop = loop, .conf = conf, .board = board, .alarm = alarm };
	uv_timer_init(loop, &c->retry);
	c->retry.data = c;
}

bool
courier_busy(const struct courier *c)
{
	for (size_t i = 0; i < COURIER_BATCHES; i++)
		if (c->batches[i] != NULL)
			return true;
	return c->post != NULL && post_busy(c->post);
}

void
courier_fini(struct courier *c)
{
	filter_free(&c->filter);
	for (size_t i = 0; i < COURIER_BATCHES; i++)
		if (c->batches[i] != NULL)
			courier_batch_end(c->batches[i]);
	drop_held(c);
	post_free(&c->post);
	free(c->held);
	c->held = NULL;
	for (size_t i = 0; i < c->nids + c->nretired; i++)
		age_identity_fini(&c->ids[i]);
	c->nids = c->nretired = 0;
	edges_fini(&c->edges);
	uv_close((uv_handle_t *)&c->retry, NULL);
}
