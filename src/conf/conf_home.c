#include "conf/command_line.h"
#include "conf/conf.h"
#include "conf/table.h"

#include <stdio.h>
#include <string.h>

/* posthouse home: where the mailboxes are. */

static const char *const identity_words[] = { "auto", "xclient", "proxy", "none", NULL };
static const char *const reject_words[] = { "park", "junk", NULL };
static const char *const tls_words[] = { "auto", "off", "require", "verify", NULL };
static const char *const proxy_words[] = { "v2", "v1", "none", NULL };

static const struct conf_section sections[] = {
	{ .name = "edge", .titled = true, .title = CT_HOSTNAME,
	    .title_size = sizeof(((struct conf_home_edge *)0)->name),
	    .items = offsetof(struct conf_home, edges), .item_size = sizeof(struct conf_home_edge),
	    .count = offsetof(struct conf_home, nedges), .room = CONF_EDGES_MAX },
	{ .name = "worker", .titled = true, .title = CT_HOSTNAME,
	    .title_size = sizeof(((struct conf_worker *)0)->name),
	    .items = offsetof(struct conf_home, workers), .item_size = sizeof(struct conf_worker),
	    .count = offsetof(struct conf_home, nworkers), .room = CONF_WORKERS_MAX },
	{ .name = "bucket", .titled = true, .fixed = true, .title = CT_STRING,
	    .title_size = sizeof(((struct conf_bucket *)0)->name),
	    .items = offsetof(struct conf_home, buckets), .item_size = sizeof(struct conf_bucket),
	    .count = offsetof(struct conf_home, nbuckets), .room = CONF_BUCKETS_MAX },
	{ .name = "service", .titled = true, .title = CT_STRING,
	    .title_size = sizeof(((struct conf_home_service *)0)->name),
	    .items = offsetof(struct conf_home, services),
	    .item_size = sizeof(struct conf_home_service),
	    .count = offsetof(struct conf_home, nservices), .room = CONF_SERVICES_MAX },
	{ .name = "domain", .titled = true, .title = CT_HOSTNAME,
	    .title_size = sizeof(((struct conf_home_domain *)0)->name),
	    .items = offsetof(struct conf_home, domains),
	    .item_size = sizeof(struct conf_home_domain),
	    .count = offsetof(struct conf_home, ndomains), .room = CONF_DOMAINS_MAX },
	{ .name = "probe" },
	{ .name = "interlock" },
	{ .name = "tunnel" },
	{ .name = "age" },
	{ .name = "deliver" },
	{ .name = "filter" },
	{ .name = "mailboxes" },
	{ .name = "hold" },
	{ .name = "parked" },
	{ .name = "alarms" },
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

	{ "worker", "domains", CT_DOMAINS, CONF_LIST(conf_worker, domains, ndomains),
	    .shown = "none: they must be given",
	    .doc = "Domains whose mail this Worker may bring." },
	{ "worker", "mac_key", CT_PATH, CONF_FIELD(conf_worker, mac_key),
	    .shown = "worker-NAME.mac in state",
	    .doc = "File of the key that signs its objects; made by posthouse keygen." },
	{ "worker", "token", CT_PATH, CONF_FIELD(conf_worker, token),
	    .shown = "worker-NAME.token in state",
	    .doc = "File of the token with which it pushes; made by posthouse keygen." },
	{ "worker", "edges", CT_DOMAINS, CONF_LIST(conf_worker, edges, nedges), .shown = "none",
	    .doc = "Edges that take mail from this Worker by SMTP, after a login." },
	{ "worker", "password", CT_PATH, CONF_FIELD(conf_worker, password),
	    .shown = "worker-NAME.smtp in state",
	    .doc = "File of its password there; made by posthouse keygen." },
	{ "worker", "smtp", CT_HOSTPORT, CONF_FIELD(conf_worker, smtp),
	    .shown = "the first of edges, port 587",
	    .doc = "Where it reaches them from outside: the name in their certificate, a port." },

	{ "probe", "url", CT_STRING, CONF_FIELD(conf_home, probe.url), .shown = "none",
	    .doc = "Address of the Worker that looks at this home from outside, for doctor." },
	{ "probe", "token", CT_PATH, CONF_FIELD(conf_home, probe.token),
	    .shown = "probe.token in state",
	    .doc = "File of the token that it asks for; made by posthouse keygen." },
	{ "probe", "targets", CT_HOSTPORTS, CONF_LIST(conf_home, probe.targets, probe.ntargets),
	    .shown = "the smtp of each worker that has edges",
	    .doc = "What it tries to connect to: names with their ports." },

	CONF_BUCKET_KEYS,
	{ "bucket", "bucket", CT_STRING, CONF_FIELD(conf_bucket, bucket), .fixed = true,
	    .shown = "none: it must be given", .doc = "The bucket's name there." },
	{ "bucket", "prefix", CT_STRING, CONF_FIELD(conf_bucket, prefix), .fixed = true,
	    .def = "pending/", .doc = "Where in the bucket mail waits; it ends in a slash." },
	{ "bucket", "poll", CT_TIME, CONF_FIELD(conf_bucket, poll_ms), .def = "30s",
	    CONF_RANGE(CONF_SECOND, CONF_DAY),
	    .doc = "Pause between two looks while no mail comes; it is shorter after mail." },
	{ "bucket", "requests", CT_NUMBER, CONF_FIELD(conf_bucket, requests), .def = "500000",
	    CONF_RANGE(1000, 1000000000),
	    .doc = "Requests a month that cost: lists and copies." },
	{ "bucket", "keep", CT_TIME, CONF_FIELD(conf_bucket, keep_ms), .def = "0s",
	    CONF_RANGE(0, 365 * CONF_DAY),
	    .doc = "How long what was taken stays in the bucket, below processed/." },
	{ "bucket", "fetches", CT_NUMBER, CONF_FIELD(conf_bucket, fetches), .def = "16",
	    CONF_RANGE(1, CONF_FETCHES_MAX), .doc = "Objects fetched at once." },
	{ "bucket", "old", CT_HOSTNAME, CONF_FIELD(conf_bucket, old), .shown = "nobody's",
	    .doc = "Worker whose mail an older layout's is: pending/<sha256>.eml." },

	{ "service", "backend", CT_BACKEND, CONF_FIELD(conf_home_service, backend),
	    .shown = "none: it must be given", .also = "to target upstream server address ",
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
	{ "service", "listen", CT_LISTEN, CONF_LIST(conf_home_service, listen, nlisten),
	    .fixed = true, .shown = "127.0.0.1:7480 for service \"push\", none for all others",
	    .doc = "Where Workers push to, by plain HTTP behind an HTTPS tunnel." },
	{ "service", "url", CT_STRING, CONF_FIELD(conf_home_service, url), .shown = "none",
	    .doc = "The https address under which Workers reach it from outside." },
	{ "service", "size", CT_SIZE, CONF_FIELD(conf_home_service, size), .def = "32M",
	    CONF_RANGE(64 * CONF_K, 2 * CONF_G),
	    .doc = "Largest object that is pushed." },
	{ "service", "rate", CT_NUMBER, CONF_FIELD(conf_home_service, rate), .def = "600",
	    CONF_RANGE(1, 1000000),
	    .doc = "Requests of a Worker in a minute." },
	{ "service", "bytes", CT_SIZE, CONF_FIELD(conf_home_service, bytes), .def = "2G",
	    CONF_RANGE(CONF_M, 1024 * CONF_T),
	    .doc = "Octets that a Worker pushes in an hour." },

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
	    .shown = "none",
	    .doc = "Folder of the mailboxes: USER/new and so on are made in it." },
	{ "deliver", "smtp", CT_HOSTPORT, CONF_FIELD(conf_home, deliver.smtp), .fixed = true,
	    .shown = "none",
	    .doc = "Mail server that held mail goes to by SMTP." },
	{ "deliver", "lmtp", CT_STRING, CONF_FIELD(conf_home, deliver.lmtp), .fixed = true,
	    .shown = "none",
	    .doc = "The same by LMTP: host:port, or the path of a socket." },
	{ "deliver", "via", CT_STRING, CONF_FIELD(conf_home, deliver.via), .fixed = true,
	    .shown = "\"service smtp\", if there is one and nothing else is given",
	    .doc = "The same by SMTP, to the backend of a passed service." },
	{ "deliver", "identity", CT_WORD, CONF_FIELD(conf_home, deliver.identity), .fixed = true,
	    .def = "auto", .words = identity_words,
	    .doc = "How that server is told who its client was." },
	{ "deliver", "tls", CT_WORD, CONF_FIELD(conf_home, deliver.tls), .fixed = true,
	    .def = "auto", .words = tls_words,
	    .doc = "Whether STARTTLS is used where offered, never, always, or always verified." },
	{ "deliver", "authorities", CT_PATH, CONF_FIELD(conf_home, deliver.authorities),
	    .fixed = true, .shown = "those of this machine",
	    .doc = "PEM file of the authorities that tls = \"verify\" believes." },
	{ "deliver", "user", CT_STRING, CONF_FIELD(conf_home, deliver.user), .fixed = true,
	    .shown = "none",
	    .doc = "Name for AUTH at that server." },
	{ "deliver", "password", CT_PATH, CONF_FIELD(conf_home, deliver.password), .fixed = true,
	    .shown = "none",
	    .doc = "File of its password, readable by nobody else." },
	{ "deliver", "connections", CT_NUMBER, CONF_FIELD(conf_home, deliver.connections),
	    .fixed = true, .def = "4", CONF_RANGE(1, 64),
	    .doc = "Connections to that server at once." },
	{ "deliver", "deliveries", CT_NUMBER, CONF_FIELD(conf_home, deliveries), .def = "256",
	    CONF_RANGE(1, 10000),
	    .doc = "Objects being delivered at once." },
	{ "deliver", "retry_max", CT_TIME, CONF_FIELD(conf_home, retry_max_ms), .def = "1h",
	    CONF_RANGE(CONF_SECOND, 7 * CONF_DAY),
	    .doc = "Longest pause between two tries of a delivery." },

	{ "filter", "rspamd", CT_STRING, CONF_FIELD(conf_home, filter.rspamd), .fixed = true,
	    .shown = "none",
	    .doc = "rspamd that judges held mail: address:port, or the path of a socket." },
	{ "filter", "password_file", CT_PATH, CONF_FIELD(conf_home, filter.password),
	    .fixed = true, .shown = "none",
	    .doc = "File of its password, readable by nobody else." },
	{ "filter", "timeout", CT_TIME, CONF_FIELD(conf_home, filter.timeout_ms), .def = "10s",
	    CONF_RANGE(100, 5 * CONF_MINUTE),
	    .doc = "Longest wait for its word on a message, which then goes on without." },
	{ "filter", "size", CT_SIZE, CONF_FIELD(conf_home, filter.size), .def = "50M",
	    CONF_RANGE(64LL << 10, 2LL << 30),
	    .doc = "Largest message that it is asked about; a larger one goes on without." },
	{ "filter", "on_reject", CT_WORD, CONF_FIELD(conf_home, filter.on_reject), .def = "park",
	    .words = reject_words,
	    .doc = "What becomes of mail that it rejects when the sender has been told 250." },

	{ "mailboxes", "users", CT_MAILBOXES, CONF_LIST(conf_home, users, nusers), .shown = "none",
	    .doc = "Mailboxes: bob takes bob@ every domain, bob@example.org that address only." },
	{ "mailboxes", "command", CT_STRING, CONF_FIELD(conf_home, users_command), .shown = "none",
	    .doc = "Command that prints further mailboxes, one a line; it has no network." },
	{ "mailboxes", "file", CT_PATH, CONF_FIELD(conf_home, users_file), .shown = "none",
	    .doc = "File of further mailboxes, one a line, or \"address mailbox\"." },
	{ "mailboxes", "refresh", CT_TIME, CONF_FIELD(conf_home, users_refresh_ms), .def = "5m",
	    CONF_RANGE(CONF_SECOND, 7 * CONF_DAY),
	    .doc = "How often the command is run, and the file looked at in any case." },
	{ "mailboxes", "callout", CT_BOOL, CONF_FIELD(conf_home, callout), .def = "false",
	    .doc = "Whom nobody here takes, ask the mail server for, by the delivery itself." },
	{ "mailboxes", "edges_refuse", CT_BOOL, CONF_FIELD(conf_home, edges_refuse),
	    .def = "true",
	    .doc = "Tell edges salted digests of who is here, so that they refuse all others." },
	{ "mailboxes", "stale_after", CT_TIME, CONF_FIELD(conf_home, stale_after_ms),
	    .def = "1d", CONF_RANGE(CONF_MINUTE, 30 * CONF_DAY),
	    .doc = "An edge whose list is older than that defers whom it does not know." },
	{ "mailboxes", "catch_all", CT_MAILBOX, CONF_FIELD(conf_home, catch_all),
	    .shown = "none: 550 5.1.1",
	    .doc = "Mailbox that takes every other local part." },
	{ "mailboxes", "roles", CT_MAILBOX, CONF_FIELD(conf_home, roles),
	    .shown = "catch_all, else the first of users",
	    .doc = "Mailbox of postmaster@, and if set of abuse@ and other roles, if unclaimed." },
	{ "mailboxes", "path", CT_STRING, CONF_FIELD(conf_home, helper_path),
	    .def = "/usr/local/bin:/usr/bin:/bin",
	    .doc = "PATH of the command." },

	{ "domain", "aliases", CT_ALIASES, CONF_LIST(conf_home_domain, aliases, naliases),
	    .shown = "none",
	    .doc = "Local parts that are other mailboxes or addresses: \"sales: alice\"." },
	{ "domain", "tags", CT_TAG, CONF_FIELD(conf_home_domain, tag), .def = "+",
	    .doc = "What ends the name in a local part: alice+shop is alice; \"\" nothing does." },
	{ "domain", "dots", CT_BOOL, CONF_FIELD(conf_home_domain, dots), .def = "true",
	    .doc = "Whether j.smith is somebody else than jsmith." },
	{ "domain", "case", CT_BOOL, CONF_FIELD(conf_home_domain, letter_case), .def = "false",
	    .doc = "Whether Smith is somebody else than smith." },
	{ "domain", "own", CT_BOOL, CONF_FIELD(conf_home_domain, own), .def = "false",
	    .doc = "Whether only mailboxes with this domain in their names are here." },
	{ "domain", "catch_all", CT_MAILBOX, CONF_FIELD(conf_home_domain, catch_all),
	    .shown = "as mailboxes.catch_all",
	    .doc = "Mailbox that takes every other local part of this domain." },
	{ "domain", "refuse", CT_BOOL, CONF_FIELD(conf_home_domain, refuse), .def = "false",
	    .doc = "Refuse unknown local parts here, though mailboxes.catch_all is set." },
	{ "domain", "roles", CT_MAILBOX, CONF_FIELD(conf_home_domain, roles),
	    .shown = "as mailboxes.roles",
	    .doc = "Mailbox that takes this domain's postmaster@, abuse@ and other roles." },

	CONF_HOLD_KEYS(conf_home),

	{ "parked", "keep", CT_TIME, CONF_FIELD(conf_home, parked_keep_ms), .def = "30d",
	    CONF_RANGE(CONF_MINUTE, 3650 * CONF_DAY),
	    .doc = "How long mail that policy refused stays parked; all other parked mail stays." },

	CONF_ALARMS_KEYS(conf_home),
	{ "alarms", "mail", CT_STRING, CONF_FIELD(conf_home, common.alarms.mail), .shown = "none",
	    .doc = "Address that is told by mail, through the relay." },
	{ "alarms", "from", CT_STRING, CONF_FIELD(conf_home, common.alarms.from),
	    .shown = "as alarms.mail", .doc = "Sender of that mail." },
	{ "alarms", "relay", CT_HOSTPORT, CONF_FIELD(conf_home, common.alarms.relay),
	    .shown = "none",
	    .doc = "Server that takes that mail for submission; port 465 begins with TLS." },
	{ "alarms", "user", CT_STRING, CONF_FIELD(conf_home, common.alarms.user), .shown = "none",
	    .doc = "Name for AUTH at the relay." },
	{ "alarms", "password", CT_PATH, CONF_FIELD(conf_home, common.alarms.password),
	    .shown = "none",
	    .doc = "File of its password, readable by nobody else." },
	{ "alarms", "tls", CT_WORD, CONF_FIELD(conf_home, common.alarms.tls), .def = "verify",
	    .words = tls_words,
	    .doc = "Whether TLS is used where offered, never, always, or always verified." },

	CONF_DNS_KEYS(conf_home),
};

/* A passed mail service is the default, so that held mail meets the same filters. */
static int
via_ok(struct conf_home *c, struct conf_fault *f)
{
	struct conf_deliver_to *d = &c->deliver;
	const char *name = d->via[0] == '\0' ? "smtp" :
	    strncmp(d->via, "service ", 8) == 0 ? d->via + 8 : "";

	for (d->service = 0; d->service < c->nservices; d->service++)
		if (strcmp(c->services[d->service].name, name) == 0)
			return 0;
	if (d->via[0] == '\0')
		return conf_fault_set(f, "deliver", "maildir", 0,
		    "missing; write where held mail goes: maildir = \"/var/mail/posthouse\", "
		    "smtp or lmtp = \"127.0.0.1:24\", or have a service \"smtp\"");
	return conf_fault_set(f, "deliver", "via", 0,
	    "it names no service of this file; write one like \"service smtp\"");
}

static int
deliver_ok(struct conf_home *c, struct conf_fault *f)
{
	struct conf_deliver_to *d = &c->deliver;
	int given = (c->maildir[0] != '\0') + (d->smtp[0] != '\0') + (d->lmtp[0] != '\0') +
	    (d->via[0] != '\0');
	const char *colon = strrchr(d->lmtp, ':');
	unsigned long long port;

	if (given > 1)
		return conf_fault_set(f, "deliver", d->via[0] != '\0' ? "via" :
		    d->lmtp[0] != '\0' ? "lmtp" : "smtp", 0,
		    "more than one destination; keep one of maildir, smtp, lmtp and via");
	d->to = c->maildir[0] != '\0' ? CONF_TO_MAILDIR : d->smtp[0] != '\0' ? CONF_TO_SMTP :
	    d->lmtp[0] != '\0' ? CONF_TO_LMTP : CONF_TO_SERVICE;
	if (d->to == CONF_TO_SERVICE && via_ok(c, f) == -1)
		return -1;
	if (d->to == CONF_TO_LMTP && d->lmtp[0] != '/' && (colon == NULL || colon == d->lmtp ||
	    !span_u64(span_str(colon + 1), 65535, &port) || port == 0))
		return conf_fault_set(f, "deliver", "lmtp", 0,
		    "write \"127.0.0.1:24\", or a socket like \"/run/dovecot/lmtp\"");
	/* The unix socket's path is in an address of 108 octets. */
	if (d->lmtp[0] == '/' && strlen(d->lmtp) > 107)
		return conf_fault_set(f, "deliver", "lmtp", 0,
		    "a socket's path of over 107 octets");
	if ((d->user[0] == '\0') != (d->password[0] == '\0'))
		return conf_fault_set(f, "deliver", d->user[0] == '\0' ? "user" : "password", 0,
		    "missing; user and password go together");
	if (d->authorities[0] != '\0' && d->tls != CONF_TLS_VERIFY)
		return conf_fault_set(f, "deliver", "authorities", 0,
		    "only tls = \"verify\" looks at a certificate; write it too");
	if (d->user[0] != '\0' && d->tls != CONF_TLS_VERIFY && !conf_deliver_local(c))
		return conf_fault_set(f, "deliver", "tls", 0, "a password goes to another machine "
		    "only with tls = \"verify\"");
	return 0;
}

/* Mail goes to it in the clear. */
static int
filter_ok(struct conf_home *c, struct conf_fault *f)
{
	const char *where = c->filter.rspamd;
	struct netaddr a;

	if (where[0] == '\0')
		return c->filter.password[0] == '\0' ? 0 : conf_fault_set(f, "filter", "rspamd", 0,
		    "missing; a password needs a filter to be told to");
	/* The unix socket's path is in an address of 108 octets. */
	if (where[0] == '/')
		return strlen(where) <= 107 ? 0 : conf_fault_set(f, "filter", "rspamd", 0,
		    "a socket's path of over 107 octets");
	if (!netaddr_parse(span_str(where), &a) || a.port == 0)
		return conf_fault_set(f, "filter", "rspamd", 0, "write an address with its port, "
		    "like \"127.0.0.1:11333\", or a socket like \"/run/rspamd/normal.sock\"");
	if (netaddr_is_global(&a))
		return conf_fault_set(f, "filter", "rspamd", 0, "mail would go over the internet "
		    "in the clear; write an address of this machine or of its own network");
	return 0;
}

uint16_t
conf_filter_port(const struct conf_home *c)
{
	struct netaddr a;

	return c->filter.rspamd[0] != '/' && netaddr_parse(span_str(c->filter.rspamd), &a) ?
	    a.port : 0;
}

bool
conf_deliver_local(const struct conf_home *c)
{
	const struct conf_deliver_to *d = &c->deliver;
	const char *where = d->to == CONF_TO_LMTP ? d->lmtp : d->smtp;

	if (d->to == CONF_TO_SERVICE)
		return conf_local_host(netaddr_hostport(&c->services[d->service].backend).s);
	return where[0] == '/' || conf_local_host(where);
}

uint16_t
conf_deliver_port(const struct conf_home *c)
{
	const struct conf_deliver_to *d = &c->deliver;
	const char *where = d->to == CONF_TO_LMTP ? d->lmtp : d->smtp;
	const char *colon = strrchr(where, ':');
	unsigned long long port;

	if (d->to == CONF_TO_SERVICE)
		return c->services[d->service].backend.port;
	if (where[0] == '/' || colon == NULL || !span_u64(span_str(colon + 1), 65535, &port))
		return 0;
	return (uint16_t)port;
}

static int
mailboxes_ok(struct conf_home *c, struct conf_fault *f)
{
	const char *fault = c->users_command[0] != '\0' ?
	    command_line_fault(span_str(c->users_command)) : NULL;

	if (fault != NULL)
		return conf_fault_set(f, "mailboxes", "command", 0, "%s", fault);
	if (c->nusers == 0 && c->users_command[0] == '\0' && c->users_file[0] == '\0' &&
	    c->catch_all[0] == '\0' && !c->callout)
		return conf_fault_set(f, "mailboxes", "users", 0,
		    "no mailbox at all, every message would "
		    "be refused; write mailboxes { users = {\"alice\"} }, or catch_all, or "
		    "command or file");
	c->all_roles = c->roles[0] != '\0';
	if (c->all_roles)
		return 0;
	/* postmaster@ is always accepted (RFC 5321 4.5.1), so it must end somewhere. */
	if (c->catch_all[0] == '\0' && c->nusers == 0 && !c->callout)
		return conf_fault_set(f, "mailboxes", "roles", 0,
		    "missing; the mailboxes come from a "
		    "command or file, so write who reads mail to postmaster@, like "
		    "roles = \"admin\"");
	memcpy(c->roles, c->catch_all[0] != '\0' ? c->catch_all : c->users[0], sizeof(c->roles));
	return 0;
}

/* The alias that a target is, in the domain it says or in its own; NULL: none. */
static const struct conf_alias *
alias_of(const struct conf_home *c, struct span to, size_t *domain)
{
	const char *at = to.n > 0 ? memchr(to.p, '@', to.n) : NULL;
	size_t n = at != NULL ? (size_t)(at - to.p) : to.n;

	for (size_t i = 0; at != NULL && i <= c->ndomains; i++) {
		if (i == c->ndomains)
			return NULL;
		if (span_eq_nocase(span_from(to, n + 1), span_str(c->domains[i].name))) {
			*domain = i;
			break;
		}
	}
	for (size_t i = 0; i < c->domains[*domain].naliases; i++) {
		const struct conf_alias *b = &c->domains[*domain].aliases[i];

		if (span_eq_nocase(span_of(to.p, n), span_str(b->from)))
			return b;
	}
	return NULL;
}

/* Whether an alias has no end, or one too far, on any of its ways. */
static bool
endless(const struct conf_home *c, const struct conf_alias *a, size_t domain, int depth,
    unsigned *left)
{
	if (depth > CONF_ALIAS_DEPTH)
		return true;
	for (const char *p = a->to; *p != '\0'; p += *p == ' ') {
		struct span to = span_of(p, strcspn(p, " "));
		size_t at = domain;
		const struct conf_alias *next = alias_of(c, to, &at);

		p += to.n;
		if ((*left)-- == 0 || (next != NULL && endless(c, next, at, depth + 1, left)))
			return true;
	}
	return false;
}

/* Once it is known where mail goes. */
static int
callout_ok(const struct conf_home *c, struct conf_fault *f)
{
	if (c->callout && c->deliver.to == CONF_TO_MAILDIR)
		return conf_fault_set(f, "mailboxes", "callout", 0,
		    "there is no mail server to ask: mail goes into a Maildir");
	if (c->callout && c->catch_all[0] != '\0')
		return conf_fault_set(f, "mailboxes", "callout", 0,
		    "catch_all takes whom the server would be asked for; write one of them");
	return 0;
}

static int
domains_ok(const struct conf_home *c, struct conf_fault *f)
{
	for (size_t i = 0; i < c->ndomains; i++) {
		const struct conf_home_domain *d = &c->domains[i];

		if (d->refuse && d->catch_all[0] != '\0')
			return conf_fault_set(f, "domain", "refuse", i, "catch_all takes whom "
			    "refuse would refuse; write one of them");
		for (size_t k = 0; k < d->naliases; k++) {
			const struct conf_alias *a = &d->aliases[k];
			unsigned left = CONF_ALIAS_TARGETS;

			if (endless(c, a, i, 1, &left))
				return conf_fault_set(f, "domain", "aliases", i, "%s leads back to "
				    "itself, or through more than %d aliases; let it end in a "
				    "mailbox", a->from, CONF_ALIAS_DEPTH);
		}
	}
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
		if (s->backend.port == 0 && s->nlisten == 0)
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
	if (deliver_ok(c, f) == -1 || callout_ok(c, f) == -1 || filter_ok(c, f) == -1 ||
	    domains_ok(c, f) == -1 || conf_workers_settle(c, f) == -1 || services_ok(c, f) == -1 ||
	    interlock_ok(c, f) == -1 || conf_buckets_settle(c, f) == -1)
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
