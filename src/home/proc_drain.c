#include "home/drain.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "home/bucket.h"
#include "home/home.h"

/* See home/drain.h for what this process holds and may do. */

#define TICK_MS		1000
#define DRAIN_MS	10000	/* what is fetched then is cut, and comes again */

static struct drain_proc *
drain_of(struct proc *p)
{
	struct drain_proc *d = p->arg;

	if (d == NULL) {
		if ((d = calloc(1, sizeof(*d))) == NULL ||
		    (d->resolver = resolver_new()) == NULL)
			abort();	/* at start: memory is out */
		d->proc = p;
		d->loop = p->loop;
		intake_init(&d->intake, p);
		for (size_t i = 0; i < CONF_BUCKETS_MAX; i++)
			buf_init(&d->authorities[i], CONF_FILE_MAX);
		p->arg = d;
	}
	return d;
}

/* --- what the writer tells ---------------------------------------------------------------- */

static void
signers_changed(struct drain_proc *d)
{
	for (size_t i = 0; i < d->nbuckets && d->intake.known; i++)
		bucket_signers(d->buckets[i]);
}

static void
on_paired(void *arg, struct home_edge *e)
{
	signers_changed(arg);
}

static void
on_up(void *arg)
{
	struct drain_proc *d = arg;

	for (size_t i = 0; i < d->nbuckets; i++)
		bucket_go(d->buckets[i]);
}

/* `posthouse drain`: a look at each bucket from now on, and what number it has. */
static void
on_question(void *arg, uint64_t question, struct span json)
{
	struct drain_proc *d = arg;
	json_t *q = json_loadb(json.p, json.n, 0, NULL), *answer, *list;
	const char *ask = json_string_value(json_object_get(q, "do"));
	char *text;

	if (ask == NULL || strcmp(ask, "drain") != 0) {
		json_decref(q);
		return;
	}
	list = json_array();
	for (size_t i = 0; i < d->nbuckets; i++)
		json_array_append_new(list, json_pack("{s:s, s:I}",
		    "name", d->proc->home->buckets[i].name,
		    "look", (json_int_t)bucket_look(d->buckets[i])));
	answer = json_pack("{s:b, s:o}", "ok", 1, "buckets", list);
	if ((text = json_dumps(answer, JSON_COMPACT)) != NULL)
		spool_answer_question(d->intake.spool, question, span_str(text));
	free(text);
	json_decref(answer);
	json_decref(q);
}

static const struct intake_events events = {
	.paired = on_paired, .up = on_up, .question = on_question,
};

/* --- the courier: to which keys mail is sealed ---------------------------------------------- */

static void
on_courier(void *arg, struct chan_msg *m)
{
	struct drain_proc *d = arg;
	size_t knew = d->delivery.nrecipients;

	if (!delivery_take(&d->delivery, m))
		log_error(NULL, "courier.message type=%u octets=%zu is none of ours: dropped",
		    m->type, m->body.n);
	else if (knew == 0 && d->delivery.nrecipients > 0)
		for (size_t i = 0; i < d->nbuckets; i++)
			bucket_recipients(d->buckets[i]);
}

static void
on_courier_closed(void *arg, const struct why *why)
{
	struct drain_proc *d = arg;

	chan_free(&d->to_courier);	/* what it last said stays good until the next one speaks */
}

/* --- what the parent tells ---------------------------------------------------------------- */

static void
take_keys(struct drain_proc *d, size_t i, struct span text)
{
	struct s3_keys keys;
	struct why why;

	/* The parent has seen that it is whole. */
	if (s3_keys_parse(text, &keys, &why) == -1)
		log_error(NULL, "bucket.credentials bucket=%s: %s", d->proc->home->buckets[i].name,
		    why.text);
	else if (i < d->nbuckets)
		bucket_keys(d->buckets[i], &keys);
	else
		d->keys[i] = keys;
	s3_keys_fini(&keys);
}

static void
on_secret(struct proc *p, const char *name, struct span value)
{
	struct drain_proc *d = drain_of(p);
	const char *whose = strchr(name, '/') != NULL ? strchr(name, '/') + 1 : "";

	if (intake_secret(&d->intake, name, value))
		signers_changed(d);
	for (size_t i = 0; i < p->home->nbuckets; i++) {
		if (strcmp(whose, p->home->buckets[i].name) != 0)
			continue;
		if (strncmp(name, CONF_BUCKET_SECRET, strlen(CONF_BUCKET_SECRET)) == 0)
			take_keys(d, i, value);
		/* Another one is for the next start: the client of the store holds on to it. */
		else if (strncmp(name, CONF_BUCKET_CA, strlen(CONF_BUCKET_CA)) == 0 &&
		    d->authorities[i].n == 0)
			buf_add_span(&d->authorities[i], value);
	}
}

static void
on_dir(struct proc *p, const char *name, int fd)
{
	intake_dir(&drain_of(p)->intake, name, fd);
}

static void
on_peer_chan(struct proc *p, enum proc_kind kind, struct chan *chan)
{
	struct drain_proc *d = drain_of(p);

	switch (kind) {
	case PROC_RESOLVER:
		resolver_attach(d->resolver, chan, p->common->dns_timeout_ms);
		break;
	case PROC_COURIER:
		if (d->to_courier != NULL)
			chan_free(&d->to_courier);
		d->to_courier = chan;
		if (d->intake.running)
			chan_start(chan, on_courier, on_courier_closed, d);
		break;
	case PROC_WRITER:
		intake_writer(&d->intake, chan);
		break;
	default:
		chan_free(&chan);
		break;
	}
}

static bool
any_busy(const struct drain_proc *d)
{
	for (size_t i = 0; i < d->nbuckets; i++)
		if (bucket_busy(d->buckets[i]))
			return true;
	return false;
}

static void
on_tick(uv_timer_t *timer)
{
	struct drain_proc *d = timer->data;

	if (!d->draining || (any_busy(d) &&
	    instant_ms_since(d->drain_began, instant_now()) < DRAIN_MS))
		return;
	uv_timer_stop(&d->tick);
	uv_stop(d->loop);
}

static int
start(struct proc *p, struct why *why)
{
	struct drain_proc *d = drain_of(p);

	if (intake_start(&d->intake, &events, d, why) == -1)
		return -1;
	if ((d->http = http_new(d->loop, why)) == NULL)
		return -1;
	for (size_t i = 0; i < p->home->nbuckets; i++) {
		d->buckets[i] = bucket_new(d, i, &d->keys[i], why);
		s3_keys_fini(&d->keys[i]);
		if (d->buckets[i] == NULL)
			return -1;
		d->nbuckets++;
	}
	uv_timer_init(d->loop, &d->tick);
	d->tick.data = d;
	return 0;
}

static void
run(struct proc *p)
{
	struct drain_proc *d = drain_of(p);

	if (d->to_courier != NULL)
		chan_start(d->to_courier, on_courier, on_courier_closed, d);
	intake_run(&d->intake);
}

static void
reload(struct proc *p)
{
	struct drain_proc *d = drain_of(p);

	intake_reload(&d->intake);
	for (size_t i = 0; i < d->nbuckets; i++)
		bucket_configure(d->buckets[i]);
}

static void
drain(struct proc *p)
{
	struct drain_proc *d = drain_of(p);

	if (d->intake.spool == NULL) {
		uv_stop(p->loop);
		return;
	}
	d->draining = true;
	d->drain_began = instant_now();
	for (size_t i = 0; i < d->nbuckets; i++)
		bucket_stop(d->buckets[i]);
	uv_timer_start(&d->tick, on_tick, 0, TICK_MS / 10);
}

const struct proc_ops proc_drain = {
	.name = "drain",
	.start = start,
	.run = run,
	.secret = on_secret,
	.dir = on_dir,
	.peer = on_peer_chan,
	.reload = reload,
	.drain = drain,
};
