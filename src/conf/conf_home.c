#include "conf/conf.h"
#include "conf/table.h"

#include <stdio.h>
#include <string.h>

/* posthouse home: where the mailboxes are. */

static const char *const proxy_words[] = { "v2", "v1", "none", NULL };

static const struct conf_section sections[] = {
	{ .name = "edge", .titled = true, .title = CT_HOSTNAME,
	    .title_size = sizeof(((struct conf_home_edge *)0)->name),
	    .items = offsetof(struct conf_home, edges), .item_size = sizeof(struct conf_home_edge),
	    .count = offsetof(struct conf_home, nedges), .room = CONF_EDGES_MAX },
	{ .name = "service", .titled = true, .title = CT_STRING,
	    .title_size = sizeof(((struct conf_home_service *)0)->name),
	    .items = offsetof(struct conf_home, services),
	    .item_size = sizeof(struct conf_home_service),
	    .count = offsetof(struct conf_home, nservices), .room = CONF_SERVICES_MAX },
	{ .name = "interlock" },
	{ .name = "tunnel" },
	{ .name = "age" },
	{ .name = "deliver" },
	{ .name = "mailboxes" },
	{ .name = "hold" },
	{ .name = "parked" },
	{ .name = "dns" },
};

static const struct conf_key keys[] = {
	{ "", "hostname", CT_HOSTNAME, CONF_FIELD(conf_home, common.hostname), .def = "localhost",
	    .fixed = true,
	    .doc = "Name of this machine in logs and in the lines that delivery adds." },
	CONF_COMMON_KEYS(conf_home, "home"),

	{ "edge", "address", CT_HOSTPORT, CONF_FIELD(conf_home_edge, address), .shown = "as paired",
	    .doc = "Where to dial it." },
	{ "edge", "key", CT_PIN, CONF_FIELD(conf_home_edge, pin),
	    .count = offsetof(struct conf_home_edge, has_pin), .shown = "as paired",
	    .doc = "Pin of the edge's tunnel key." },

	{ "service", "backend", CT_BACKEND, CONF_FIELD(conf_home_service, backend),
	    .shown = "none: it must be given",
	    .doc = "The server of this name at home, to which edges pass connections." },
	{ "service", "proxy", CT_WORD, CONF_FIELD(conf_home_service, proxy), .def = "v2",
	    .words = proxy_words,
	    .doc = "Version of the PROXY header that tells the backend who its client is." },
	{ "service", "allow_private", CT_BOOL, CONF_FIELD(conf_home_service, allow_private),
	    .def = "false",
	    .doc = "Pass clients of private networks and of this machine's own." },
	{ "service", "streams", CT_NUMBER, CONF_FIELD(conf_home_service, streams), .def = "5000",
	    CONF_RANGE(1, 1000000),
	    .doc = "Passed connections to this backend at once." },

	{ "interlock", "control", CT_STRING, CONF_FIELD(conf_home, interlock_control),
	    .shown = "postmaster or a user of the first domain",
	    .doc = "Address that the mail server behind a service takes mail for from anyone." },
	{ "interlock", "addresses", CT_ADDRESSES,
	    CONF_LIST(conf_home, interlock_addresses, ninterlock_addresses), .shown = "none",
	    .doc = "Further addresses that no mail server may trust." },

	{ "tunnel", "key", CT_PATH, CONF_FIELD(conf_home, common.tunnel_key),
	    .shown = "tunnel.pem in state",
	    .doc = "Key and certificate of the tunnel, PEM; made by posthouse keygen." },
	{ "tunnel", "connections", CT_NUMBER, CONF_FIELD(conf_home, connections), .def = "2",
	    CONF_RANGE(1, CONF_TUNNELS_MAX),
	    .doc = "Connections to each edge." },
	{ "tunnel", "streams", CT_NUMBER, CONF_FIELD(conf_home, edge_streams), .def = "10000",
	    CONF_RANGE(1, 1000000),
	    .doc = "Passed connections of one edge at once." },

	{ "age", "key", CT_PATH, CONF_FIELD(conf_home, age_key), .shown = "age.key in state",
	    .doc = "File of the age identities that open held mail; made by posthouse keygen." },
	{ "age", "recovery", CT_RECIPIENT, CONF_FIELD(conf_home, recovery), .shown = "none",
	    .doc = "Public age key of an offline identity that edges seal to as well." },

	/* The courier's sandbox knows one place, and a staged file is looked for in it. */
	{ "deliver", "maildir", CT_PATH, CONF_FIELD(conf_home, maildir), .fixed = true,
	    .shown = "none: it must be given",
	    .doc = "Folder of the mailboxes: USER/new and so on are made in it." },
	{ "deliver", "deliveries", CT_NUMBER, CONF_FIELD(conf_home, deliveries), .def = "256",
	    CONF_RANGE(1, 10000),
	    .doc = "Objects being delivered at once." },
	{ "deliver", "retry_max", CT_TIME, CONF_FIELD(conf_home, retry_max_ms), .def = "1h",
	    CONF_RANGE(CONF_SECOND, 7 * CONF_DAY),
	    .doc = "Longest pause between two tries of a delivery." },

	{ "mailboxes", "users", CT_MAILBOXES, CONF_LIST(conf_home, users, nusers), .shown = "none",
	    .doc = "Mailboxes, each taking the local part of its own name." },
	{ "mailboxes", "command", CT_STRING, CONF_FIELD(conf_home, users_command), .shown = "none",
	    .doc = "Command that prints further mailboxes, one a line; it has no network." },
	{ "mailboxes", "refresh", CT_TIME, CONF_FIELD(conf_home, users_refresh_ms), .def = "5m",
	    CONF_RANGE(CONF_SECOND, 7 * CONF_DAY),
	    .doc = "How often the command is run." },
	{ "mailboxes", "catch_all", CT_MAILBOX, CONF_FIELD(conf_home, catch_all),
	    .shown = "none: 550 5.1.1",
	    .doc = "Mailbox that takes every other local part." },
	{ "mailboxes", "roles", CT_MAILBOX, CONF_FIELD(conf_home, roles),
	    .shown = "catch_all, else the first of users",
	    .doc = "Mailbox that takes postmaster@ when nobody is called so." },
	{ "mailboxes", "path", CT_STRING, CONF_FIELD(conf_home, helper_path),
	    .def = "/usr/local/bin:/usr/bin:/bin",
	    .doc = "PATH of the command." },

	CONF_HOLD_KEYS(conf_home),

	{ "parked", "keep", CT_TIME, CONF_FIELD(conf_home, parked_keep_ms), .def = "30d",
	    CONF_RANGE(CONF_MINUTE, 3650 * CONF_DAY),
	    .doc = "How long mail that policy refused stays parked; all other parked mail stays." },

	CONF_DNS_KEYS(conf_home),
};

static int
mailboxes_ok(struct conf_home *c, struct conf_fault *f)
{
	if (c->maildir[0] == '\0')
		return conf_fault_set(f, "deliver", "maildir", 0,
		    "missing; write where the mailboxes "
		    "are, like deliver { maildir = \"/var/mail/posthouse\" }");
	if (c->nusers == 0 && c->users_command[0] == '\0' && c->catch_all[0] == '\0')
		return conf_fault_set(f, "mailboxes", "users", 0,
		    "no mailbox at all, every message would "
		    "be refused; write mailboxes { users = {\"alice\"} }, or catch_all, or "
		    "command");
	if (c->roles[0] != '\0')
		return 0;
	/* postmaster@ is always accepted (RFC 5321 4.5.1), so it must end somewhere. */
	if (c->catch_all[0] == '\0' && c->nusers == 0)
		return conf_fault_set(f, "mailboxes", "roles", 0,
		    "missing; the mailboxes come from a "
		    "command, so write who reads mail to postmaster@, like roles = \"admin\"");
	memcpy(c->roles, c->catch_all[0] != '\0' ? c->catch_all : c->users[0], sizeof(c->roles));
	return 0;
}

static int
services_ok(const struct conf_home *c, struct conf_fault *f)
{
	for (size_t i = 0; i < c->nservices; i++) {
		const struct conf_home_service *s = &c->services[i];
		bool smtp = conf_smtp_name(s->name) || conf_smtp_port(s->backend.port);

		if (!conf_service_name_ok(s->name))
			return conf_fault_set(f, "service", "", i, "a service cannot be called "
			    "\"%s\"; use a to z, 0 to 9, _ and -, as at the edge", s->name);
		if (s->backend.port == 0)
			return conf_fault_set(f, "service", "", i, "service \"%s\" has no "
			    "backend; write where its server is, like backend = \"127.0.0.1:993\"",
			    s->name);
		/* Postfix and its like trust their own machine, and relay for whom they trust. */
		if (smtp && s->proxy == CONF_PROXY_NONE)
			return conf_fault_set(f, "service", "proxy", i, "\"none\" would show a "
			    "mail server every stranger as this machine, for which it may relay; "
			    "write \"v2\" or \"v1\", and let the server expect it");
		if (smtp && s->allow_private)
			return conf_fault_set(f, "service", "allow_private", i, "a mail server may "
			    "trust private networks and relay for them; it cannot be true for "
			    "SMTP");
	}
	return 0;
}

static int
interlock_ok(const struct conf_home *c, struct conf_fault *f)
{
	const char *at = strchr(c->interlock_control, '@');

	if (c->interlock_control[0] != '\0' &&
	    (at == NULL || at == c->interlock_control || at[1] == '\0' ||
	    strpbrk(c->interlock_control, "<> ") != NULL))
		return conf_fault_set(f, "interlock", "control", 0,
		    "it is no address; write one that takes mail from anyone, like "
		    "\"postmaster@example.org\"");
	return 0;
}

static int
settle(void *conf, struct conf_fault *f)
{
	struct conf_home *c = conf;

	if (mailboxes_ok(c, f) == -1 || conf_common_settle(&c->common, &c->hold, f) == -1)
		return -1;
	if (services_ok(c, f) == -1 || interlock_ok(c, f) == -1)
		return -1;
	c->hold.share = 100;	/* home cannot tell networks apart: what comes is sealed */
	for (size_t i = 0; i < c->nedges; i++)
		if ((c->edges[i].address[0] == '\0') != !c->edges[i].has_pin)
			return conf_fault_set(f, "edge", c->edges[i].has_pin ? "key" : "address", i,
			    "address and key go together; give both, or neither and pair");
	if (c->age_key[0] == '\0')
		return conf_default_path(c->age_key, sizeof(c->age_key), c->common.state, "age.key",
		    f);
	return 0;
}

const struct conf_table conf_home_table = {
	keys, sizeof(keys) / sizeof(keys[0]), sections, sizeof(sections) / sizeof(sections[0]),
	sizeof(struct conf_home), settle,
};

struct conf_home *
conf_home_parse(const char *file, struct span text, struct why *why)
{
	return conf_table_parse(&conf_home_table, file, text, why);
}
