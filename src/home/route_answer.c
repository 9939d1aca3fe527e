#include "home/route_answer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static void
answer_with(struct courier *c, uint64_t question, json_t *answer)
{
	char *text = json_dumps(answer, JSON_COMPACT | JSON_ENSURE_ASCII);

	if (text != NULL)
		spool_answer_question(c->spool, question, span_str(text));
	free(text);
	json_decref(answer);
}

/* What cannot be meant (store/control.h). */
static json_t *
misused(const char *words)
{
	return json_pack("{s:b, s:s, s:b}", "ok", 0, "error", words, "misuse", 1);
}

static json_t *
failed(const char *words)
{
	return json_pack("{s:b, s:s}", "ok", 0, "error", words);
}

static void
add_step(void *arg, const char *line)
{
	json_t *s = json_string(line);
	char safe[1024];

	/* A list of mailboxes need not be UTF-8; who shows it makes it harmless. */
	if (s == NULL)
		s = json_string(log_escape_words(span_str(line), safe, sizeof(safe)));
	json_array_append_new(arg, s);
}

/* The edge that was asked about, or whichever has the domain; NULL: no such, or none has. */
static const struct home_edge *
whose_grant(const struct courier *c, const char *edge, const struct address *a)
{
	if (edge != NULL)
		return edges_find(&c->edges, edge);
	for (size_t i = 0; i < c->edges.n; i++) {
		const struct peer *p = &c->edges.list[i]->peer;

		for (size_t k = 0; k < p->ndomains; k++)
			if (a->postmaster || strcasecmp(p->domains[k], a->domain) == 0)
				return c->edges.list[i];
	}
	return NULL;
}

static void
add_reply(json_t *o, const struct smtp_reply *r)
{
	char text[SMTP_REPLY_TEXT_MAX + 32];

	snprintf(text, sizeof(text), "%u %u.%u.%u %s", r->code, r->enhanced[0], r->enhanced[1],
	    r->enhanced[2], r->text);
	json_object_set_new(o, "reply", json_string(text));
}

static json_t *
of_address(struct courier *c, const char *text, const char *edge)
{
	static const char *const decisions[] = {
		[ROUTE_NONE] = "none",
		[ROUTE_MAILBOX] = "mailbox",
		[ROUTE_REFUSED] = "refused",
		[ROUTE_LATER] = "deferred",
		[ROUTE_FOREIGN] = "foreign",
	};
	json_t *steps = json_array(), *o;
	const struct home_edge *e;
	char path[ADDRESS_PRINT_MAX + 4];
	struct address to;
	struct router router;
	struct route r;
	int n = snprintf(path, sizeof(path), "<%s>", text);

	if (n < 0 || (size_t)n >= sizeof(path) ||
	    address_parse_path(span_of(path, (size_t)n), ADDRESS_FORWARD, true, &to) != (size_t)n) {
		json_decref(steps);
		return misused("that is no address: it looks like alice@example.org");
	}
	e = whose_grant(c, edge, &to);
	if (edge != NULL && e == NULL) {
		json_decref(steps);
		return failed("this home has no edge of that name: posthouse pairings lists them");
	}
	roster_router(c->roster, c->conf, &c->edges, &router);
	router.say = add_step;
	router.arg = steps;
	route_address(&router, e != NULL ? e->peer.domains : NULL,
	    e != NULL ? e->peer.ndomains : 0, &to, &r);
	address_print(&to, path, sizeof(path));
	o = json_pack("{s:b, s:s, s:s, s:s, s:o}", "ok", 1, "address", path, "decision",
	    decisions[r.to], "edge", e != NULL ? log_safe(span_str(e->name)).s : "",
	    "steps", steps);
	if (r.to == ROUTE_MAILBOX) {
		json_t *all = json_pack("[s]", r.mailbox);

		for (size_t i = 0; i < r.nalso; i++)
			json_array_append_new(all, json_string(r.also[i]));
		json_object_set_new(o, "mailbox", json_string(r.mailbox));
		json_object_set_new(o, "mailboxes", all);
		json_object_set_new(o, "claimed", json_boolean(r.claimed));
	} else {
		add_reply(o, &r.reply);
	}
	return o;
}

/* Where mail goes by the configuration is a mailbox, listed or not. */
static bool
configured(const struct conf_home *conf, const char *name)
{
	if (strcmp(name, conf->catch_all) == 0 || strcmp(name, conf->roles) == 0)
		return true;
	for (size_t i = 0; i < conf->ndomains; i++)
		if (strcmp(name, conf->domains[i].catch_all) == 0 ||
		    strcmp(name, conf->domains[i].roles) == 0)
			return true;
	return false;
}

static json_t *
of_mailbox(struct courier *c, const char *name)
{
	struct router router;
	const char *there;

	roster_router(c->roster, c->conf, &c->edges, &router);
	there = mailboxes_find(router.boxes, span_str(name), (struct mailboxes_rule){ 0 });
	if (there == NULL && name[0] != '\0' && (configured(c->conf, name) ||
	    (c->conf->callout && address_mailbox_ok(span_str(name)))))
		there = name;
	return there != NULL ? json_pack("{s:b, s:s}", "ok", 1, "mailbox", there) :
	    failed("there is no such mailbox");
}

/* The mailboxes that catch-alls of granted domains end in; each is named once. */
static json_t *
of_catch_alls(struct courier *c)
{
	json_t *names = json_array(), *boxes = json_object();
	struct router router;
	const char *name;
	json_t *value;

	roster_router(c->roster, c->conf, &c->edges, &router);
	for (size_t i = 0; i < c->edges.n; i++) {
		const struct peer *p = &c->edges.list[i]->peer;
		struct route r;

		for (size_t k = 0; k < p->ndomains; k++) {
			router_to_catch_all(&router, p->domains[k], &r);
			if (r.to == ROUTE_MAILBOX)
				json_object_set_new(boxes, r.mailbox, json_true());
			for (size_t x = 0; x < r.nalso; x++)
				json_object_set_new(boxes, r.also[x], json_true());
		}
	}
	json_object_foreach(boxes, name, value)
		json_array_append_new(names, json_string(name));
	json_decref(boxes);
	return json_pack("{s:b, s:o}", "ok", 1, "mailboxes", names);
}

void
route_answer(struct courier *c, uint64_t question, struct span json)
{
	json_t *q = json_loadb(json.p, json.n, 0, NULL);
	const char *what = json_string_value(json_object_get(q, "do"));
	const char *address = json_string_value(json_object_get(q, "address"));
	const char *mailbox = json_string_value(json_object_get(q, "mailbox"));

	if (what != NULL && strcmp(what, "route") == 0)
		answer_with(c, question, !roster_known(c->roster) ?
		    failed("the list of mailboxes has not been read yet: try again in a moment") :
		    address != NULL ? of_address(c, address,
		    json_string_value(json_object_get(q, "edge"))) :
		    mailbox != NULL ? of_mailbox(c, mailbox) :
		    json_is_true(json_object_get(q, "catch_alls")) ? of_catch_alls(c) :
		    misused("the question names no address"));
	json_decref(q);
}
