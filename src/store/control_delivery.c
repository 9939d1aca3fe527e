#include "store/control_answer.h"

#include <string.h>

/* status, home: where held mail goes, and whether it is judged there as passed mail is. */

/* The passed service that strangers' mail comes in by; NULL: none is known as that. */
static const struct conf_home_service *
mail_service(const struct conf_home *c)
{
	if (c->deliver.to == CONF_TO_SERVICE)
		return &c->services[c->deliver.service];
	for (size_t i = 0; i < c->nservices; i++)
		if (strcmp(c->services[i].name, "smtp") == 0 || c->services[i].backend.port == 25)
			return &c->services[i];
	return NULL;
}

/* Whether both roads end at one server. */
static bool
same_server(const struct conf_home *c, const struct conf_home_service *s)
{
	struct netaddr a;

	return c->deliver.to == CONF_TO_SERVICE || (c->deliver.to == CONF_TO_SMTP &&
	    netaddr_parse(span_str(c->deliver.smtp), &a) && a.port == s->backend.port &&
	    netaddr_same_ip(&a, &s->backend));
}

static void
notes(const struct conf_home *c, enum board_identity identity, json_t *out)
{
	const struct conf_home_service *s = mail_service(c);

	if (s != NULL && !same_server(c, s))
		json_array_append_new(out, json_sprintf("held mail skips your filters: what is "
		    "passed goes to %s (service %s), and held mail does not; deliver { via = "
		    "\"service %s\" } sends it there", netaddr_hostport(&s->backend).s, s->name,
		    s->name));
	if (identity == BI_NONE && c->deliver.to != CONF_TO_MAILDIR &&
	    c->deliver.to != CONF_TO_LMTP)
		json_array_append_new(out, json_string("held mail skips those filters that judge "
		    "the sender's address: the server is not told it, and sees this machine. Let "
		    "it offer XCLIENT here (Postfix: smtpd_authorized_xclient_hosts), or give it "
		    "a listener for PROXY and write deliver { identity = \"proxy\" }"));
}

json_t *
answer_delivery(const struct conf_home *c, struct scoreboard *b)
{
	static const char *const by[] = {
		[CONF_TO_MAILDIR] = "maildir",
		[CONF_TO_SMTP] = "smtp",
		[CONF_TO_LMTP] = "lmtp",
		[CONF_TO_SERVICE] = "smtp",
	};
	const struct conf_deliver_to *d = &c->deliver;
	int known = b != NULL ? atomic_load(&b->identity) : BI_UNKNOWN;
	enum board_identity identity = known > BI_UNKNOWN && known < BI_COUNT ?
	    (enum board_identity)known : BI_UNKNOWN;
	const char *to = d->to == CONF_TO_MAILDIR ? c->maildir :
	    d->to == CONF_TO_LMTP ? d->lmtp : d->smtp;
	json_t *o = json_object(), *list = json_array();

	json_object_set_new(o, "by", json_string(by[d->to]));
	if (d->to == CONF_TO_SERVICE) {
		const struct conf_home_service *s = &c->services[d->service];

		json_object_set_new(o, "to", json_string(netaddr_hostport(&s->backend).s));
		json_object_set_new(o, "service", json_string(s->name));
	} else
		json_object_set_new(o, "to", answer_text(to, CONF_PATH_MAX));
	json_object_set_new(o, "identity", identity == BI_UNKNOWN ? json_null() :
	    json_string(board_identity_names[identity]));
	notes(c, identity, list);
	json_object_set_new(o, "notes", list);
	return o;
}
