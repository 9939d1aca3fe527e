#include "ctl/doctor.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "ctl/outside.h"

#define PUSH_MS		15000	/* as long as a Worker has for it */

struct try {				/* of one Worker's way home */
	const struct conf_home_service *push;
	const struct conf_worker *worker;
	const struct findings *to;
	struct outside	 outside;
};

/*
 * A request that changes nothing, with a Worker's token: home's push service says 405 to it, and
 * by the object's id that the answer is its own (doc/PUSH).
 */
static void
judge(const struct try *t, const char *check, const char *id)
{
	const struct outside *o = &t->outside;
	struct span said = outside_said(o);

	if (o->status == 405 && strcmp(o->value, id) == 0)
		finding_tell(t->to, FINDING_OK, check, "", "%.200s leads to this home's push "
		    "service, which knows this Worker's token", t->push->url);
	else if (o->status == 401)
		finding_tell(t->to, FINDING_FAIL, check, "reload home if that file is a new one; "
		    "nothing in front of home may want a login of its own", "%.200s answered 401: "
		    "%.*s, to the token in worker.token", t->push->url, (int)said.n, said.p);
	else
		finding_tell(t->to, FINDING_FAIL, check, "does home run, and does what is in front "
		    "of it pass everything on to service.listen? The url is without /mail",
		    "%.200s answered %u, and not by home's push service: %.*s", t->push->url,
		    o->status, (int)said.n, said.p);
}

/* False: so it would be for every other Worker. */
static bool
try_worker(struct try *t, const struct role *r)
{
	size_t n = strlen(t->push->url);
	char url[CONF_URL_MAX + 60], check[sizeof(t->worker->name) + 8];
	unsigned char rnd[10];
	struct uuid_text id;
	struct why why;

	snprintf(check, sizeof(check), "push %s", t->worker->name);
	if (outside_token(&t->outside, r, "worker.token", t->worker->token, &why) == -1) {
		finding_tell_words(t->to, FINDING_FAIL, check, why.text, "; ",
		    "posthouse keygen makes it, worker-config says how to give it to the Worker");
		return true;
	}
	random_bytes(rnd, sizeof(rnd));
	id = uuid_text(uuid_v7(wall_ms(), rnd));
	while (n > 0 && t->push->url[n - 1] == '/')	/* as the Worker does */
		n--;
	snprintf(url, sizeof(url), "%.*s/mail/%s", (int)n, t->push->url, id.s);
	if (outside_ask(&t->outside, "GET", url, PUSH_MS)) {
		judge(t, check, id.s);
		return true;
	}
	finding_tell(t->to, FINDING_WARN, "push", "does the HTTPS tunnel or proxy run, with a "
	    "certificate of that name? (A router may keep this machine from its own outside)",
	    "%.200s cannot be asked from here: %.200s", t->push->url, t->outside.why.text);
	return false;
}

void
doctor_push(const struct role *r, const struct findings *to)
{
	struct try t = { .push = conf_home_push(r->home), .to = to };
	struct why why;

	if (t.push == NULL || t.push->url[0] == '\0')
		return;
	if (outside_begin(&t.outside, to, &why) == -1) {
		finding_tell(to, FINDING_WARN, "push", "", "%s", why.text);
		return;
	}
	t.outside.field = "posthouse-id";
	if (outside_find(&t.outside, r, t.push->url, &why) == -1)
		finding_tell(to, FINDING_WARN, "push", "is service.url right, and does this "
		    "machine reach the internet?", "%.200s cannot be asked: %.200s",
		    t.push->url, why.text);
	else
		for (size_t i = 0; i < r->home->nworkers; i++) {
			t.worker = &r->home->workers[i];
			if (!try_worker(&t, r))
				break;
		}
	outside_end(&t.outside);
}
