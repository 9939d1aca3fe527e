#include "home/interlock.h"

#include <stdlib.h>
#include <string.h>

#include "home/interlock_in.h"
#include "net/tls.h"

static const char untested[] = "not yet tested by the interlock";

void
item_forget(struct item *it)
{
	if (it->sniff != NULL)
		visit_drop(it->sniff);
	it->cleared = it->sniffed = false;
	it->due_ms = 0;
	span_copy(span_str(untested), it->words, sizeof(it->words));
	if (it->run != NULL)
		it->run->stale = true;
}

static struct item *
item_find(const struct interlock *il, const char *name)
{
	for (size_t i = 0; il != NULL && i < il->n; i++)
		if (strcmp(il->items[i]->name, name) == 0)
			return il->items[i];
	return NULL;
}

static void
on_item_freed(uv_handle_t *timer)
{
	free(timer->data);
}

static void
item_free(struct item *it)
{
	run_free(&it->run);
	if (it->sniff != NULL)
		visit_drop(it->sniff);
	free(it->report);
	uv_timer_stop(&it->timer);
	uv_close((uv_handle_t *)&it->timer, on_item_freed);
}

static struct item *
item_new(struct interlock *il, const char *name)
{
	struct item *it = calloc(1, sizeof(*it));

	if (it == NULL)
		return NULL;
	it->interlock = il;
	span_copy(span_str(name), it->name, sizeof(it->name));
	span_copy(span_str(untested), it->words, sizeof(it->words));
	uv_timer_init(il->tunnel->loop, &it->timer);
	it->timer.data = it;
	return it;
}

static bool
same(const struct conf_home_service *a, const struct conf_home_service *b)
{
	return a->proxy == b->proxy && a->backend.port == b->backend.port &&
	    netaddr_same_ip(&a->backend, &b->backend);
}

void
interlock_configure(struct interlock *il)
{
	struct item *old[CONF_SERVICES_MAX];
	size_t nold = il->n;

	memcpy(old, il->items, sizeof(old));
	il->n = 0;
	for (size_t i = 0; i < health_count(il->tunnel->health); i++) {
		struct service *s = health_at(il->tunnel->health, i);
		struct item *it = NULL;

		for (size_t k = 0; k < nold && it == NULL; k++)
			if (old[k] != NULL && strcmp(old[k]->name, s->conf.name) == 0) {
				it = old[k];
				old[k] = NULL;
			}
		if (it == NULL && (it = item_new(il, s->conf.name)) == NULL)
			continue;		/* never cleared, then */
		it->service = s;
		if (same(&it->conf, &s->conf)) {
			it->due_ms = it->sniff_due_ms = 0;	/* anew, open meanwhile */
			if (it->run != NULL)
				it->run->again = true;
		} else {
			it->greeted_in_tls = false;
			item_forget(it);
		}
		it->conf = s->conf;
		il->items[il->n++] = it;
	}
	for (size_t i = 0; i < nold; i++)
		if (old[i] != NULL) {
			il->told(il->arg, old[i]->name, span_of(NULL, 0));
			item_free(old[i]);
		}
}

void
interlock_tick(struct interlock *il)
{
	uint64_t now = uv_now(il->tunnel->loop);

	for (size_t i = 0; i < il->n; i++) {
		struct item *it = il->items[i];
		struct service *s = it->service;

		if (s->smtp && it->cleared && il->tunnel->intake.known && il->tunnel->own.known &&
		    !interlock_covered(il->tunnel, it)) {
			item_forget(it);
			health_interlock(il->tunnel->health);
		}
		if (it->run != NULL || it->sniff != NULL)
			continue;
		if (!s->smtp && (s->state == SERVICE_DOWN ||
		    (it->sniffed && now < it->sniff_due_ms))) {
			if (it->report == NULL || it->run_wanted > it->run_done)
				interlock_report_other(it);
			continue;
		}
		if (!s->smtp) {
			if (s->state == SERVICE_ANSWERS && s->listened)
				sniff_begin(it);
			continue;
		}
		if (!il->tunnel->intake.known || !il->tunnel->own.known)
			continue;
		/* What seems down may only expect another header: the operator is told so. */
		if (it->run_wanted > it->run_done || (s->state == SERVICE_ANSWERS &&
		    now >= it->due_ms) || (s->state == SERVICE_DOWN && now >= it->away_due_ms))
			run_begin(it);
	}
}

const char *
interlock_closed(const struct interlock *il, const struct service *s)
{
	const struct item *it = item_find(il, s->conf.name);

	if (il == NULL)
		return s->smtp ? untested : NULL;
	if (it == NULL || it->service != s)
		return untested;
	if (!s->smtp)
		return it->sniffed ? NULL : "not yet tested";
	return it->cleared ? NULL : it->words;
}

void
interlock_away(struct interlock *il, const struct service *s)
{
	struct item *it = item_find(il, s->conf.name);

	if (it != NULL)
		item_forget(it);
}

void
interlock_run(struct interlock *il, uint64_t run)
{
	for (size_t i = 0; i < il->n; i++) {
		il->items[i]->run_wanted = run;
		il->items[i]->sniff_due_ms = 0;
	}
}

void
interlock_tell(struct interlock *il)
{
	for (size_t i = 0; i < il->n; i++)
		if (il->items[i]->report != NULL)
			il->told(il->arg, il->items[i]->name, span_str(il->items[i]->report));
}

struct interlock *
interlock_new(struct tunnel_proc *t, interlock_told_fn *told, void *arg)
{
	struct interlock *il = calloc(1, sizeof(*il));
	struct why why;

	if (il == NULL || (il->tls = tls_any_new(&why)) == NULL) {
		free(il);
		return NULL;
	}
	/* Whatever a stranger can talk to; nothing of ours goes over it. */
	SSL_CTX_set_security_level(il->tls, 0);
	SSL_CTX_set_min_proto_version(il->tls, 0);
	il->tunnel = t;
	il->told = told;
	il->arg = arg;
	return il;
}

void
interlock_free(struct interlock **ip)
{
	struct interlock *il = *ip;

	*ip = NULL;
	if (il == NULL)
		return;
	for (size_t i = 0; i < il->n; i++)
		item_free(il->items[i]);
	SSL_CTX_free(il->tls);
	free(il);
}
