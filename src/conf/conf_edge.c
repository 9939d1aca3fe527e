#include "conf/conf.h"
#include "conf/table.h"

#include <stdio.h>
#include <string.h>

#include "proto/envelope.h"

/* posthouse edge: the public side.  Ranges are wide; a reason stands where one is not plain. */

static const char *const bare_lf_words[] = { "refuse", "normalize", NULL };
static const char *const mode_words[] = { "auto", "pass", "hold", NULL };

static const struct conf_section sections[] = {
	{ .name = "tls" },
	{ .name = "tunnel" },
	{ .name = "home", .titled = true, .title = CT_HOME,
	    .title_size = sizeof(((struct conf_edge_home *)0)->name),
	    .items = offsetof(struct conf_edge, homes), .item_size = sizeof(struct conf_edge_home),
	    .count = offsetof(struct conf_edge, nhomes), .room = CONF_HOMES_MAX },
	{ .name = "service", .titled = true, .fixed = true, .title = CT_STRING,
	    .title_size = sizeof(((struct conf_service *)0)->name),
	    .items = offsetof(struct conf_edge, services), .item_size = sizeof(struct conf_service),
	    .count = offsetof(struct conf_edge, nservices), .room = CONF_SERVICES_MAX },
	{ .name = "bucket", .titled = true, .fixed = true, .title = CT_STRING,
	    .title_size = sizeof(((struct conf_bucket *)0)->name),
	    .items = offsetof(struct conf_edge, bucket), .item_size = sizeof(struct conf_bucket),
	    .count = offsetof(struct conf_edge, nbuckets), .room = 1 },
	{ .name = "limits" },
	{ .name = "hold" },
	{ .name = "alarms" },
	{ .name = "dns" },
};

static const struct conf_key keys[] = {
	{ "", "hostname", CT_HOSTNAME, CONF_FIELD(conf_edge, common.hostname), .fixed = true,
	    .shown = "none: it must be given",
	    .doc = "Name of this edge in its greeting, in Received and in pairing lines." },
	CONF_COMMON_KEYS(conf_edge, "edge"),
	{ "", "postmaster", CT_HOME, CONF_FIELD(conf_edge, postmaster), .shown = "the first home",
	    .doc = "Home that takes mail for <postmaster> without a domain." },
	{ "", "bare_lf", CT_WORD, CONF_FIELD(conf_edge, bare_lf), .def = "refuse",
	    .words = bare_lf_words,
	    .doc = "A bare CR or LF in a message: refuse it, or make it CRLF and count it." },
	{ "", "verdict", CT_TIME, CONF_FIELD(conf_edge, verdict_ms), .def = "0s",
	    CONF_RANGE(0, 5 * CONF_MINUTE),	/* a sender waits ten minutes at the final dot */
	    .doc = "Longest wait for home's word before the sender is answered; 0s never asks." },

	{ "", "spool", CT_STRING, CONF_FIELD(conf_edge, spool), .fixed = true,
	    .shown = "none: in state",
	    .doc = "Where mail is kept: \"s3://BUCKET/PREFIX\", a store that home empties." },

	{ "tls", "cert", CT_PATH, CONF_FIELD(conf_edge, tls.cert), .shown = "none: no STARTTLS",
	    .doc = "Certificate chain for STARTTLS, PEM; read again when the file changes." },
	{ "tls", "key", CT_PATH, CONF_FIELD(conf_edge, tls.key), .shown = "none: no STARTTLS",
	    .doc = "Its private key, PEM; not readable by others." },

	{ "tunnel", "listen", CT_LISTEN,
	    CONF_LIST(conf_edge, tunnel_listen, ntunnel_listen), .def = "[::]:7443", .fixed = true,
	    .doc = "Where homes dial in." },
	{ "tunnel", "address", CT_HOSTPORT, CONF_FIELD(conf_edge, tunnel_address),
	    .shown = "hostname and the first port of tunnel.listen",
	    .doc = "Where homes find it: what a pairing line names." },
	{ "tunnel", "key", CT_PATH, CONF_FIELD(conf_edge, common.tunnel_key),
	    .shown = "tunnel.pem in state",
	    .doc = "Key and certificate of the tunnel, PEM; made by posthouse keygen." },

	{ "home", "key", CT_PIN, CONF_FIELD(conf_edge_home, pin),
	    .count = offsetof(struct conf_edge_home, has_pin), .shown = "as paired",
	    .doc = "Pin of the home's tunnel key." },
	{ "home", "recipient", CT_RECIPIENTS,
	    CONF_LIST(conf_edge_home, recipients, nrecipients), .shown = "as paired",
	    .doc = "Public age keys that mail for this home is sealed to." },
	{ "home", "domains", CT_DOMAINS, CONF_LIST(conf_edge_home, domains, ndomains),
	    .shown = "as paired",
	    .doc = "Domains whose mail is this home's." },
	{ "home", "quota", CT_SIZE, CONF_FIELD(conf_edge_home, quota), .shown = "hold.quota",
	    CONF_RANGE(64 * CONF_K, 1024 * CONF_T),
	    .doc = "Octets held for this home.  Where there are several, each needs one, "
	    "as none can then fill what is another's." },

	{ "service", "listen", CT_LISTEN, CONF_LIST(conf_service, listen, nlisten), .fixed = true,
	    .shown = "none: it must be given",
	    .doc = "Where clients connect." },
	{ "service", "home", CT_HOMES, CONF_LIST(conf_service, homes, nhomes),
	    .shown = "every home",
	    .doc = "Home or homes that connections here are for." },
	{ "service", "mode", CT_WORD, CONF_FIELD(conf_service, mode),
	    CONF_RANGE(CONF_AUTO, CONF_HOLD), .words = mode_words,
	    .shown = "auto for the service \"smtp\", hold with auth, else pass",
	    .doc = "pass: the connection goes home as it is; hold: this edge speaks SMTP itself, "
		"seals, and keeps until home has it; auto: pass while home can, else hold." },
	{ "service", "auth", CT_BOOL, CONF_FIELD(conf_service, auth), .def = "false",
	    .doc = "Take mail only from Workers that home names, after AUTH inside TLS." },
	{ "service", "default_home", CT_HOME, CONF_FIELD(conf_service, default_home),
	    .shown = "none: such a connection is closed",
	    .doc = "With several homes: whose the connections are that name nobody, or a name "
		"that no home claims." },
	{ "service", "allow_private", CT_BOOL, CONF_FIELD(conf_service, allow_private),
	    .def = "false",
	    .doc = "Pass clients whose address is no stranger's on the internet; never for SMTP." },
	{ "service", "proxy_from", CT_NETWORKS, CONF_LIST(conf_service, proxy_from, nproxy_from),
	    .shown = "none",
	    .doc = "Load balancers: their connections begin with a PROXY header, "
		"and nobody else's may." },

	CONF_BUCKET_KEYS,
	{ "bucket", "puts", CT_NUMBER, CONF_FIELD(conf_bucket, puts), .def = "32",
	    CONF_RANGE(1, CONF_PUTS_MAX), .doc = "Objects on their way into it at once." },
	{ "bucket", "patience", CT_TIME, CONF_FIELD(conf_bucket, patience_ms), .def = "1m",
	    /* RFC 5321 4.5.3.2.6: a sender waits ten minutes at the final dot */
	    CONF_RANGE(CONF_SECOND, 5 * CONF_MINUTE),
	    .doc = "How long a sender waits for the store, then it is told 451." },

	{ "limits", "line", CT_NUMBER, CONF_FIELD(conf_edge, limits.line), .def = "2048",
	    /* RFC 5321 4.5.3.1.4, and what DSN and SMTPUTF8 add */
	    CONF_RANGE(512, 16384),
	    .doc = "Octets of a command line." },
	{ "limits", "recipients", CT_NUMBER, CONF_FIELD(conf_edge, limits.recipients), .def = "500",
	    /* RFC 5321 4.5.3.1.8: 100 must be taken; an object holds no more than the most */
	    CONF_RANGE(100, ENVELOPE_RCPTS_MAX),
	    .doc = "Recipients of one message; the rest is told 452 and comes in the next." },
	{ "limits", "size", CT_SIZE, CONF_FIELD(conf_edge, limits.size), .def = "50M",
	    CONF_RANGE(64 * CONF_K, 2 * CONF_G),	/* RFC 5321 4.5.3.1.7: 64K must be taken */
	    .doc = "Octets of a message." },
	{ "limits", "errors", CT_NUMBER, CONF_FIELD(conf_edge, limits.errors), .def = "20",
	    CONF_RANGE(1, 10000),
	    .doc = "Wrong commands in a session before it is closed." },
	{ "limits", "commands", CT_NUMBER, CONF_FIELD(conf_edge, limits.commands), .def = "100000",
	    CONF_RANGE(100, 1000000000),
	    .doc = "Commands in a session before it is closed." },
	{ "limits", "hops", CT_NUMBER, CONF_FIELD(conf_edge, limits.hops), .def = "100",
	    CONF_RANGE(10, 1000),		/* RFC 5321 6.3: 100 or more */
	    .doc = "Received lines after which a message is taken to go in circles." },
	{ "limits", "connections", CT_NUMBER, CONF_FIELD(conf_edge, connections), .def = "20000",
	    CONF_RANGE(1, 1000000),
	    .doc = "SMTP connections in all." },
	{ "limits", "client_connections", CT_NUMBER, CONF_FIELD(conf_edge, connections_client),
	    .def = "100", CONF_RANGE(1, 1000000),
	    .doc = "SMTP connections of one client address (/32, /64 in IPv6)." },
	{ "limits", "command_timeout", CT_TIME, CONF_FIELD(conf_edge, timeouts.command_ms),
	    .def = "5m", CONF_RANGE(CONF_SECOND, CONF_DAY),	/* RFC 5321 4.5.3.2.7 */
	    .doc = "Longest silence while a command is awaited." },
	{ "limits", "data_timeout", CT_TIME, CONF_FIELD(conf_edge, timeouts.data_ms),
	    .def = "3m", CONF_RANGE(CONF_SECOND, CONF_DAY),	/* RFC 5321 4.5.3.2.5 */
	    .doc = "Longest silence inside a message." },
	{ "limits", "session_timeout", CT_TIME, CONF_FIELD(conf_edge, timeouts.session_ms),
	    .def = "1h", CONF_RANGE(CONF_SECOND, 7 * CONF_DAY),
	    .doc = "Longest session." },
	{ "limits", "handshake_timeout", CT_TIME, CONF_FIELD(conf_edge, timeouts.handshake_ms),
	    .def = "30s", CONF_RANGE(CONF_SECOND, CONF_HOUR),
	    .doc = "Longest TLS handshake." },
	{ "limits", "verdicts", CT_NUMBER, CONF_FIELD(conf_edge, verdicts), .def = "100",
	    CONF_RANGE(0, 100000),
	    .doc = "Messages waiting for home's word at once; beyond it plain hold." },
	{ "limits", "handover", CT_NUMBER, CONF_FIELD(conf_edge, handover), .def = "32",
	    CONF_RANGE(1, 1000),
	    .doc = "Objects on their way to one home at once; large ones take at most half." },
	{ "limits", "streams", CT_NUMBER, CONF_FIELD(conf_edge, streams), .def = "10000",
	    CONF_RANGE(1, 1000000),
	    .doc = "Connections passed home at once, in all." },
	{ "limits", "streams_home", CT_NUMBER, CONF_FIELD(conf_edge, streams_home),
	    .shown = "limits.streams by the number of homes", CONF_RANGE(1, 1000000),
	    .doc = "Connections passed to one home at once." },
	{ "limits", "streams_client", CT_NUMBER, CONF_FIELD(conf_edge, streams_client),
	    .def = "200", CONF_RANGE(1, 1000000),
	    .doc = "Connections passed home of one client address (/32, /64 in IPv6)." },
	{ "limits", "connect_timeout", CT_TIME, CONF_FIELD(conf_edge, connect_ms), .def = "5s",
	    /* RFC 5321 4.5.3.2.1: so long a client waits for its 220 */
	    CONF_RANGE(100, 5 * CONF_MINUTE),
	    .doc = "Longest wait for home to reach its backend; then auto holds and pass closes." },
	{ "limits", "passed_idle_timeout", CT_TIME, CONF_FIELD(conf_edge, passed_idle_ms),
	    .def = "2h",			/* RFC 2177: IDLE is renewed every 29 minutes */
	    CONF_RANGE(CONF_SECOND, 365 * CONF_DAY),
	    .doc = "Longest time in which nothing moves on a passed connection." },
	{ "limits", "passed_total_timeout", CT_TIME, CONF_FIELD(conf_edge, passed_total_ms),
	    .def = "7d", CONF_RANGE(CONF_SECOND, 3650 * CONF_DAY),
	    .doc = "Longest passed connection." },
	{ "limits", "passed_memory", CT_SIZE, CONF_FIELD(conf_edge, passed_memory),
	    .def = "128M", CONF_RANGE(CONF_M, CONF_T),
	    .doc = "Octets that slow peers of passed connections leave here in all; beyond it the "
		"one with most of them is closed." },

	CONF_HOLD_KEYS(conf_edge),
	{ "hold", "share", CT_NUMBER, CONF_FIELD(conf_edge, hold.share), .def = "10",
	    CONF_RANGE(1, 100),
	    .doc = "Percent of a home's quota, or of what the disk has room for where that is "
		"less, that one client network (/24, /48) may fill." },

	CONF_ALARMS_KEYS(conf_edge),
	CONF_DNS_KEYS(conf_edge),
	{ "dns", "client_names", CT_BOOL, CONF_FIELD(conf_edge, client_names), .def = "true",
	    .fixed = true,
	    .doc = "Look up the names of clients, for Received." },
};

/* Mail for a domain is sealed to one home's keys: two claims would be a coin toss. */
static int
domains_ok(const struct conf_edge *c, struct conf_fault *f)
{
	for (size_t i = 0; i < c->nhomes; i++)
		for (size_t n = 0; n < c->homes[i].ndomains; n++)
			for (size_t j = 0; j < i; j++)
				for (size_t m = 0; m < c->homes[j].ndomains; m++)
					if (strcmp(c->homes[i].domains[n],
					    c->homes[j].domains[m]) == 0)
						return conf_fault_set(f, "home", "domains", i,
						    "%s belongs to home \"%s\" already; a domain "
						    "has one "
						    "home", c->homes[i].domains[n],
						    c->homes[j].name);
	return 0;
}

static int
settle(void *conf, struct conf_fault *f)
{
	struct conf_edge *c = conf;

	if (c->common.hostname[0] == '\0')
		return conf_fault_set(f, "", "hostname", 0,
		    "missing; write the public name of this "
		    "machine, like hostname = \"mx1.example.org\"");
	if ((c->tls.cert[0] == '\0') != (c->tls.key[0] == '\0'))
		return conf_fault_set(f, "tls", c->tls.cert[0] != '\0' ? "cert" : "key", 0,
		    "a certificate and its key go together; %s is missing",
		    c->tls.cert[0] != '\0' ? "tls.key" : "tls.cert");
	if (domains_ok(c, f) == -1 || conf_services_settle(c, f) == -1 ||
	    conf_spool_settle(c, f) == -1 ||
	    conf_common_settle(&c->common, &c->hold, f) == -1)
		return -1;
	if (c->limits.size > c->hold.quota)
		return conf_fault_set(f, "limits", "size", 0,
		    "larger than hold.quota: such a message "
		    "would be refused for ever");
	if (c->passed_total_ms < c->passed_idle_ms)
		return conf_fault_set(f, "limits", "passed_total_timeout", 0,
		    "shorter than limits.passed_idle_timeout, which would never be reached; "
		    "write a longer one, or a shorter passed_idle_timeout");
	if (c->tunnel_address[0] == '\0')
		snprintf(c->tunnel_address, sizeof(c->tunnel_address), "%s:%u", c->common.hostname,
		    (unsigned)c->tunnel_listen[0].port);
	for (size_t i = 0; i < c->nhomes; i++)
		if (c->homes[i].quota == 0)
			c->homes[i].quota = c->hold.quota;
	if (c->postmaster[0] == '\0' && c->nhomes > 0)
		memcpy(c->postmaster, c->homes[0].name, sizeof(c->postmaster));
	return 0;
}

const struct conf_table conf_edge_table = {
	keys, sizeof(keys) / sizeof(keys[0]), sections, sizeof(sections) / sizeof(sections[0]),
	sizeof(struct conf_edge), settle,
};

struct conf_edge *
conf_edge_parse(const char *file, struct span text, struct why *why)
{
	return conf_table_parse(&conf_edge_table, file, text, why);
}
