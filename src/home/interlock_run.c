#include "home/interlock_in.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "home/passage.h"
#include "net/awake.h"

/* One test of one mail server: visit after visit, then the verdict and what comes of it. */

void
run_free(struct run **rp)
{
	struct run *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	if (r->visit != NULL)
		visit_drop(r->visit);
	relay_probe_free(&r->probe);
	free(r);
}

/* How long after a run the next one begins. */
static uint64_t
pause_after(struct item *it, const struct run *r, const struct relay_result *res)
{
	uint64_t twice = 2 * it->again_ms;

	/* Health says when what was not reached is back: from then on nobody is to wait for us. */
	if (r->stale || r->unreachable || r->again)
		return 0;
	if (res->cause != RELAY_NO_ANSWER) {
		it->again_ms = 0;
		return res->verdict == RELAY_GREEN ? INTERLOCK_HOUR_MS : INTERLOCK_AGAIN_MS;
	}
	it->again_ms = twice == 0 ? INTERLOCK_SOON_MS :
	    twice < INTERLOCK_AGAIN_MS ? twice : INTERLOCK_AGAIN_MS;
	return it->again_ms;
}

static void
run_end(struct run *r)
{
	struct item *it = r->item;
	struct relay_result res;
	bool was, judged;

	it->ntried = r->untrusted.n;
	for (size_t i = 0; i < r->untrusted.n; i++)
		it->tried[i] = r->untrusted.list[i].ip;
	/* An address that turned up meanwhile was not tried: nobody has an answer yet. */
	if (interlock_covered(it->interlock->tunnel, it))
		it->run_done = r->number;
	else
		item_forget(it);
	was = it->cleared;
	judged = !r->stale && !r->unreachable;
	relay_probe_judge(r->probe, &res);
	it->cleared = res.verdict == RELAY_GREEN && !r->stale;
	it->verdict = res.verdict;
	it->tested = it->tested || !r->unreachable;
	it->due_ms = uv_now(it->interlock->tunnel->loop) + pause_after(it, r, &res);
	if (!r->stale)
		snprintf(it->words, sizeof(it->words), "the interlock's verdict is \"%s\": see "
		    "posthouse interlock", relay_verdict_name(res.verdict));
	interlock_report(r, &res);
	uv_timer_stop(&it->timer);
	it->run = NULL;
	run_free(&r);
	/* What was forgotten is closed, but who came before that is there still. */
	if (!it->cleared && (was || judged))
		passages_end(it->interlock->tunnel, it->service, it->words);
	if (it->cleared != was || !it->cleared)
		health_interlock(it->interlock->tunnel->health);
}

/* The next connection, or the end. */
static void
run_go_on(struct run *r)
{
	uint64_t now = uv_now(r->item->interlock->tunnel->loop);

	if (r->unreachable || now - r->began_ms > INTERLOCK_RUN_MS ||
	    !relay_probe_next(r->probe, &r->now) || !visit_begin(r))
		run_end(r);
}

static void
on_paused(uv_timer_t *timer)
{
	struct item *it = timer->data;

	if (awake_over(timer, on_paused, it->due))
		run_go_on(it->run);
}

/* The next begins from the loop, and not from within the call that ended this one. */
void
run_visited(struct run *r)
{
	awake_timer(&r->item->timer, on_paused, 0, &r->item->due);
}

static bool
behind_tls(const struct item *it)
{
	const char *name = it->name;

	return it->service->conf.backend.port == 465 || strcmp(name, "submissions") == 0 ||
	    strcmp(name, "smtps") == 0 || it->greeted_in_tls;
}

/* For people with a password, unless it is a port where strangers come too. */
static bool
submission(const struct item *it)
{
	uint16_t port = it->service->conf.backend.port;

	return strcmp(it->name, "smtp") != 0 && port != 25 &&
	    (strcmp(it->name, "submission") == 0 || strcmp(it->name, "submissions") == 0 ||
	    strcmp(it->name, "smtps") == 0 || conf_smtp_port(port));
}

void
run_begin(struct item *it)
{
	struct tunnel_proc *t = it->interlock->tunnel;
	enum conf_proxy proxy = it->service->conf.proxy;
	struct run *r = calloc(1, sizeof(*r));

	it->due_ms = it->away_due_ms = uv_now(t->loop) + INTERLOCK_AGAIN_MS;
	if (r == NULL)
		return;			/* as it is, and again in a minute */
	r->item = it;
	r->began_ms = uv_now(t->loop);
	r->number = it->run_wanted;
	r->setup.version = proxy == CONF_PROXY_NONE ? 0 : proxy == CONF_PROXY_V1 ? 1 : 2;
	r->setup.backend = it->service->conf.backend;
	r->setup.submission = submission(it);
	r->setup.tls = behind_tls(it);
	r->setup.bare_lf = !it->tested || it->run_wanted > it->run_done;
	interlock_names(t, r);
	interlock_untrusted(t, &r->untrusted);
	r->setup.untrusted = r->untrusted.list;
	r->setup.nuntrusted = r->untrusted.n;
	if (RAND_bytes(r->setup.nonce, sizeof(r->setup.nonce)) != 1 ||
	    (r->probe = relay_probe_new(&r->setup)) == NULL) {
		free(r);
		return;
	}
	it->run = r;
	run_go_on(r);
}
