#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/netaddr.h"
#include "base/span.h"
#include "base/why.h"
#include "proto/age.h"
#include "proto/pairing.h"
#include "proto/smtp_server.h"

/*
 * A role's configuration: libconfuse syntax, one file (posthouse.conf(5)).
 *
 * One table for each role (conf_edge.c, conf_home.c) holds each key with type,
 * default, least, most, whether SIGHUP may change it, and its one-line doc.  It
 * drives parsing, `posthouse config` and the check that the man page has every
 * key.  An unknown key, a bad unit, a value out of range: `file:line: what is
 * wrong and what to write instead`, and nothing is started.  0 is zero, never
 * "no limit".  Sizes take K M G, times ms s m h d.
 *
 * Parsing reads no file but the text it is given; secrets are named by path and
 * read by the parent alone.
 */
#define CONF_NAME_MAX		64
#define CONF_PATH_MAX		256
#define CONF_LISTEN_MAX		16	/* addresses of one service */
#define CONF_HOMES_MAX		64
/* Of one home at one edge; of more it would end the oldest, with all that is passed there. */
#define CONF_TUNNELS_MAX	8
#define CONF_SERVICES_MAX	32
#define CONF_EDGES_MAX		16
#define CONF_USERS_MAX		1000
/* It travels to each process in one message of a channel. */
#define CONF_FILE_MAX		(512u << 10)

enum conf_role {
	CONF_NO_ROLE = 0,
	CONF_EDGE,
	CONF_HOME,
};

/* Of a public service. */
enum conf_mode {
	CONF_BY_NAME = 0,	/* while it is read: auto for "smtp", pass for any other name */
	CONF_AUTO,		/* passed while home is up and its backend well, else held */
	CONF_PASS,		/* a TCP stream, whatever is spoken on it */
	CONF_HOLD,		/* the edge speaks SMTP itself */
};

struct conf_net {			/* "192.0.2.0/24"; a single address has all bits */
	struct netaddr	net;		/* port 0, no bit set behind the prefix */
	unsigned	bits;		/* of its own family */
};

enum conf_tls_use {
	CONF_TLS_AUTO = 0,		/* STARTTLS where offered, whatever the certificate */
	CONF_TLS_OFF,
	CONF_TLS_REQUIRE,
	CONF_TLS_VERIFY,		/* and the certificate is the host's by a known authority */
};

#define CONF_URL_MAX		1000
#define CONF_TLS_FIRST_PORT	465	/* of a relay: RFC 8314 3.3 */

/* alarms {...}: from when on something is one, and how somebody is told.  store/conditions.h */
struct conf_alarms {
	char		command[1024];			/* run by the runner; "": none */
	char		webhook[CONF_URL_MAX];		/* "": none, or in a file */
	char		webhook_file[CONF_PATH_MAX];	/* whose one line is a URL that is secret */
	char		token[CONF_PATH_MAX];		/* the file of a Bearer token; "": none */
	/* home only: by a relay that takes submissions */
	char		mail[320], from[320];		/* addresses; from "": as mail */
	char		relay[300];			/* host:port */
	char		user[128];			/* "": no AUTH */
	char		password[CONF_PATH_MAX];	/* the file */
	enum conf_tls_use tls;
	int64_t		every_ms;			/* looks: 10s */
	int64_t		after_ms, repeat_ms;		/* proto/alarms.h: 1m, 1d */
	int64_t		oldest_ms;			/* age of what waits: 4h */
	unsigned	count;				/* objects that wait: 1000 */
	int64_t		unreachable_ms;			/* a peer or a backend: 15m */
	uint64_t	disk;				/* free above hold.reserve: 1G */
	int64_t		certificate_ms;			/* before its end: 14d */
};

/* Where an http or https URL leads. */
struct conf_url {
	bool		tls;
	char		host[256];	/* a name, or an address without brackets */
	uint16_t	port;
};
/* False with why: no such URL, or one with a name or password in it. */
bool	conf_url_parse(struct span, struct conf_url *, struct why *);
bool	conf_alarms_webhook(const struct conf_alarms *);	/* whether there is one */
/* host:port that is this machine itself. */
bool	conf_local_host(const char *hostport);

struct conf_common {			/* in both files, at top level */
	/* Edge: its name in banners, Received and pairing; home: in logs. */
	char		hostname[256];
	/* /var/lib/posthouse/edge, /var/lib/posthouse/home */
	char		state[CONF_PATH_MAX];
	/* Unix socket, /run/posthouse/edge.sock, home.sock */
	char		control[CONF_PATH_MAX];
	char		user[CONF_NAME_MAX];	/* "posthouse"; used only when started as root */
	char		group[CONF_NAME_MAX];
	int		log_level;		/* enum log_level; log = "info" */
	/* dns { servers = {...} }; none: /etc/resolv.conf */
	char		nameservers[4][64];
	size_t		nnameservers;
	int64_t		dns_timeout_ms;		/* dns { timeout = 5s } */
	/* PEM: tunnel { key = ...}; default STATE/tunnel.pem */
	char		tunnel_key[CONF_PATH_MAX];
	struct conf_alarms alarms;
};

struct conf_tls {			/* STARTTLS; both empty: not offered */
	char		cert[CONF_PATH_MAX];
	char		key[CONF_PATH_MAX];
};

/* home "alice" {...}: all optional but domains when it is not paired; wins over the pairing. */
struct conf_edge_home {
	char		name[PAIRING_NAME_MAX + 1];
	bool		has_pin;
	struct pin	pin;
	struct age_recipient recipients[AGE_RECIPIENTS_MAX];
	size_t		nrecipients;
	char		domains[PEER_DOMAINS_MAX][256];
	size_t		ndomains;
	uint64_t	quota;		/* bytes held for it; default hold.quota */
};

#define CONF_NETS_MAX		64

/* edge: service "smtp" { listen = {...} home = {...} mode = "auto" } */
struct conf_service {
	char		name[CONF_NAME_MAX];
	struct netaddr	listen[CONF_LISTEN_MAX];
	size_t		nlisten;
	char		homes[CONF_HOMES_MAX][PAIRING_NAME_MAX + 1];	/* none: every home */
	size_t		nhomes;
	enum conf_mode	mode;		/* never CONF_BY_NAME once it was read */
	/* With several homes: whose are the names that nobody claims.  "": nobody's. */
	char		default_home[PAIRING_NAME_MAX + 1];
	bool		allow_private;	/* clients that are no strangers of the internet */
	bool		auth;		/* held mail of those only that home lets log in */
	/* Load balancers: theirs begin with a PROXY header, and nobody else's may. */
	struct conf_net	proxy_from[CONF_NETS_MAX];
	size_t		nproxy_from;
};

struct conf_timeouts {			/* RFC 5321 4.5.3.2, as a server sees them */
	int64_t		command_ms;	/* waiting for a command: 5m */
	int64_t		data_ms;	/* between two blocks of data: 3m */
	int64_t		session_ms;	/* a whole session: 1h */
	int64_t		handshake_ms;	/* TLS: 30s */
};

struct conf_hold {
	uint64_t	quota;		/* bytes held in all: 20G */
	uint64_t	reserve;	/* free disk below which only deletes write: 512M */
	/* Percent of a home's quota that one client network (/24, /48) may fill: 10. */
	unsigned	share;
	/* Octets of objects waiting in memory, over all sessions; as much again of recipients. */
	uint64_t	memory;
	uint64_t	threshold;	/* an object above it is a file of its own: 256K */
	/* Alarm, and the ledger's memory: 30d; nothing is ever thrown away. */
	int64_t		max_hold_ms;
};

/* How the bucket is named in a request: before the host's name, or in the path. */
enum conf_bucket_style {
	CONF_BUCKET_PATH = 0,
	CONF_BUCKET_HOST,
};

/* bucket "r2" {...}: an S3 store that whoever has no tunnel puts held mail into (doc/BUCKET). */
#define CONF_BUCKETS_MAX	8
#define CONF_PUTS_MAX		256	/* each has a connection of its own */
#define CONF_FETCHES_MAX	64
/* Its files, among the secrets: "bucket/NAME" (proto/s3_keys.h), "bucket.ca/NAME" (PEM). */
#define CONF_BUCKET_SECRET	"bucket/"
#define CONF_BUCKET_CA		"bucket.ca/"
/* What home took and keeps lies below it, so that no bucket's prefix does. */
#define CONF_BUCKET_PROCESSED	"processed/"
struct conf_bucket {
	char		name[CONF_NAME_MAX];
	char		endpoint[300];		/* https://host[:port], no path */
	char		bucket[64];
	char		region[64];		/* auto */
	enum conf_bucket_style style;
	bool		plain;			/* http over the internet, whoever reads along */
	char		authorities[CONF_PATH_MAX];	/* PEM; "": this machine's */
	char		credentials[CONF_PATH_MAX];	/* the file */
	char		prefix[256];		/* pending/; ends in a slash */
	int64_t		poll_ms;		/* between looks while no mail comes: 30s */
	uint64_t	requests;		/* that cost, a month: 500000 */
	int64_t		keep_ms;		/* what was taken, in processed/; 0: deleted */
	unsigned	fetches;		/* at once: 16 */
	unsigned	puts;			/* an edge's, at once: 32 */
	int64_t		patience_ms;		/* an edge's: how long a sender waits for it, 1m */
	/* Whose is what the older layout has, pending/<sha256>.eml: a worker {}.  "": nobody's. */
	char		old[256];
};

struct conf_edge {
	struct conf_common common;
	struct conf_tls	tls;
	struct netaddr	tunnel_listen[CONF_LISTEN_MAX];
	size_t		ntunnel_listen;
	/*
	 * tunnel { address = "mx1.example.org:7443" }: what the pairing line
	 * names; default hostname:port.
	 */
	char		tunnel_address[300];
	struct conf_edge_home homes[CONF_HOMES_MAX];
	size_t		nhomes;
	struct conf_service services[CONF_SERVICES_MAX];
	size_t		nservices;
	/* The home that takes bare <postmaster>; default: the first. */
	char		postmaster[PAIRING_NAME_MAX + 1];
	struct smtp_limits limits;
	enum smtp_bare_lf bare_lf;
	unsigned	connections;		/* in all: 20000 */
	unsigned	connections_client;	/* per /32 or /64: 100 */
	struct conf_timeouts timeouts;
	struct conf_hold hold;
	/* "s3://BUCKET/PREFIX": where mail is kept, by bucket's other keys; "": here (doc/STORE) */
	char		spool[400];
	struct conf_bucket bucket[1];
	size_t		nbuckets;		/* 0: spool is "" */
	int64_t		verdict_ms;		/* 0: never ask */
	unsigned	verdicts;		/* at once: 100; beyond it plain hold */
	/* PUTs at once to one home: 32; large objects take at most half. */
	unsigned	handover;
	unsigned	streams;		/* passed at once, in all: 10000 */
	unsigned	streams_home;		/* to one home; 0: an equal share of them */
	unsigned	streams_client;		/* per /32 or /64: 200 */
	int64_t		connect_ms;		/* home's answer to a CONNECT: 5s */
	int64_t		passed_idle_ms;		/* nothing moves either way: 2h */
	int64_t		passed_total_ms;	/* 7d */
	uint64_t	passed_memory;	/* octets that slow peers leave with us, in all: 128M */
	bool		client_names;		/* look client names up: true */
};

struct conf_home_edge {			/* edge "mx1" {...}: optional, wins over the pairing */
	char		name[256];
	char		address[300];
	bool		has_pin;
	struct pin	pin;
};

/* How a backend is told who its client is (the HAProxy PROXY protocol). */
enum conf_proxy {
	CONF_PROXY_V2 = 0,
	CONF_PROXY_V1,
	CONF_PROXY_NONE,		/* it sees this machine's address; never for SMTP */
};

/* home: service "imaps" { backend = "127.0.0.1:993" proxy = "v2" } */
struct conf_home_service {
	char		name[CONF_NAME_MAX];
	struct netaddr	backend;
	enum conf_proxy	proxy;
	bool		allow_private;		/* clients of private networks, and of our own */
	unsigned	streams;		/* at once: 5000 */
	/*
	 * Of service "push" alone, which has no backend: where Workers' PUTs are listened for,
	 * by plain HTTP.  Other services have none.
	 */
	struct netaddr	listen[CONF_LISTEN_MAX];
	size_t		nlisten;
	char		url[CONF_URL_MAX];	/* its outside, https; "": not told */
	uint64_t	size;			/* octets of a pushed object: 32M */
	unsigned	rate;			/* requests of a Worker in a minute: 600 */
	uint64_t	bytes;			/* octets of a Worker in an hour: 2G */
};

/*
 * worker "worker.example.org" {...}: it signs objects under that name, as a paired edge does, and
 * has no tunnel.  Its domains are its grant.
 */
#define CONF_WORKERS_MAX	8
struct conf_worker {
	char		name[256];
	char		mac_key[CONF_PATH_MAX];	/* default STATE/worker-NAME.mac */
	/* default STATE/worker-NAME.token; read only where there is a service "push" */
	char		token[CONF_PATH_MAX];
	char		domains[PEER_DOMAINS_MAX][256];
	size_t		ndomains;
	/* Edges that it may hand mail to by SMTP, and that vouch for it then. */
	char		edges[CONF_EDGES_MAX][256];
	size_t		nedges;
	char		password[CONF_PATH_MAX];	/* there; default STATE/worker-NAME.smtp */
	char		smtp[300];	/* their outside; default the first of edges, port 587 */
};

/* A Worker answers ten in a minute, of all that ask it. */
#define CONF_PROBE_TARGETS	8

struct conf_probe {			/* probe {...}: a Worker's look at home, from outside */
	char		url[CONF_URL_MAX];	/* of a Worker, without a path; "": none */
	char		token[CONF_PATH_MAX];	/* the file; default STATE/probe.token */
	/* names with their ports; default the workers' smtp */
	char		targets[CONF_PROBE_TARGETS][300];
	size_t		ntargets;
};

#define CONF_DOMAINS_MAX	64
#define CONF_ALIAS_DEPTH	16	/* an alias of an alias and so on; more is a loop */
#define CONF_ALIAS_TARGETS	128	/* of one, with all that they lead to */
#define CONF_ALIASES_MAX	100	/* of a domain; more belong into mailboxes.file */

struct conf_alias {			/* "sales: alice, bob" */
	char		from[65];	/* a local part of its domain */
	/* mailboxes, or addresses of ours, a space between two */
	char		to[321];
};

/* home: domain "example.org" {...}: how its addresses are read, where they differ. */
struct conf_home_domain {
	char		name[256];
	struct conf_alias aliases[CONF_ALIASES_MAX];
	size_t		naliases;
	char		tag[2];		/* "+"; "" none: what ends the local part */
	bool		dots;		/* j.smith is another than jsmith: true */
	bool		letter_case;	/* Smith is another than smith: false */
	bool		own;		/* plain names of mailboxes {} are not in this domain */
	bool		refuse;		/* no catch-all here, whatever mailboxes {} says */
	char		catch_all[CONF_NAME_MAX];	/* "": as mailboxes.catch_all */
	char		roles[CONF_NAME_MAX];		/* "": as mailboxes.roles */
};

/* Where held mail goes. */
enum conf_deliver {
	CONF_TO_MAILDIR = 0,
	CONF_TO_SMTP,
	CONF_TO_LMTP,
	CONF_TO_SERVICE,		/* the backend of a passed service, by SMTP */
};

/* How that server is told who its client was. */
enum conf_identity {
	CONF_IDENTITY_AUTO = 0,		/* XCLIENT where offered, else PROXY to a passed service */
	CONF_IDENTITY_XCLIENT,
	CONF_IDENTITY_PROXY,
	CONF_IDENTITY_NONE,
};

struct conf_deliver_to {
	enum conf_deliver to;		/* by which of these was given */
	char		smtp[300], lmtp[300];	/* host:port; lmtp: or a socket's path */
	char		via[CONF_NAME_MAX + 8];	/* "service NAME" */
	size_t		 service;	/* CONF_TO_SERVICE: its place among the services */
	enum conf_identity identity;
	enum conf_tls_use tls;
	char		user[128];		/* "": no AUTH */
	char		password[CONF_PATH_MAX];	/* the file */
	char		authorities[CONF_PATH_MAX];	/* PEM; "": this machine's */
	unsigned	connections;
};

/* What becomes of mail that the filter rejects when its sender has been told 250. */
enum conf_on_reject {
	CONF_REJECT_PARK = 0,
	CONF_REJECT_JUNK,		/* delivered, marked, into a Maildir's folder Junk */
};

struct conf_filter {			/* filter { rspamd = "127.0.0.1:11333" } */
	char		rspamd[128];	/* address:port, or a socket's path; "": none is asked */
	char		password[CONF_PATH_MAX];	/* the file; "" none is sent */
	int64_t		timeout_ms;	/* for a message: 10s */
	uint64_t	size;		/* octets of a message that it is asked about: 50M */
	enum conf_on_reject on_reject;
};

struct conf_home {
	struct conf_common common;
	char		age_key[CONF_PATH_MAX];	/* identity file; default STATE/age.key */
	/* An offline recipient that edges seal to as well; "" none. */
	char		recovery[AGE_TEXT_MAX];
	struct conf_home_edge edges[CONF_EDGES_MAX];
	size_t		nedges;
	struct conf_worker workers[CONF_WORKERS_MAX];
	size_t		nworkers;
	struct conf_probe probe;
	struct conf_bucket buckets[CONF_BUCKETS_MAX];
	size_t		nbuckets;
	struct conf_home_service services[CONF_SERVICES_MAX];	/* passed by edges; may be none */
	size_t		nservices;
	unsigned	edge_streams;	/* passed of one edge at once: 10000 */
	/* interlock { control = ... }: whom our mail server takes mail for; "": some are tried */
	char		interlock_control[400];
	/* further addresses that it must not trust */
	char		interlock_addresses[CONF_LISTEN_MAX][64];
	size_t		ninterlock_addresses;
	/* deliver { maildir = "/var/mail/posthouse" }: the folder of USER/{tmp,new,cur} */
	char		maildir[CONF_PATH_MAX];	/* "": held mail goes to a server instead */
	struct conf_deliver_to deliver;
	struct conf_filter filter;
	/* mailboxes { users = {"alice", "bob"} } */
	char		users[CONF_USERS_MAX][CONF_NAME_MAX];
	size_t		nusers;
	/* mailboxes { command = "..." }: a mailbox a line, run by the helper. */
	char		users_command[1024];
	/* The same from a file, read by the helper. */
	char		users_file[CONF_PATH_MAX];
	struct conf_home_domain domains[CONF_DOMAINS_MAX];
	size_t		ndomains;
	/* Edges refuse by a list as old as this no more: mailboxes { stale_after = 1d } */
	int64_t		stale_after_ms;
	bool		callout;		/* whom nobody takes the mail server is asked for */
	bool		edges_refuse;		/* edges are told digests of who is here: true */
	int64_t		users_refresh_ms;	/* mailboxes { refresh = 5m } */
	/* "": unknown local parts are refused, 550 5.1.1. */
	char		catch_all[CONF_NAME_MAX];
	/*
	 * Mailbox of postmaster@ when nobody is called so; default: catch_all,
	 * else the first user.  all_roles: it was said, so that it takes the others too.
	 */
	char		roles[CONF_NAME_MAX];
	bool		all_roles;
	struct conf_hold hold;
	int64_t		parked_keep_ms;		/* 30d */
	unsigned	deliveries;		/* objects in the courier's hands at once: 256 */
	int64_t		retry_max_ms;		/* longest pause between tries: 1h */
	unsigned	connections;		/* tunnels to each edge: 2 */
	char		helper_path[CONF_PATH_MAX];	/* PATH of the helper's commands */
};

/* NULL: none has that name, in either case of its letters. */
const struct conf_worker *conf_home_worker(const struct conf_home *, const char *name);
/* service "push"; NULL: Workers push nothing here. */
const struct conf_home_service *conf_home_push(const struct conf_home *);
/* NULL: none has that name. */
const struct conf_service *conf_edge_service(const struct conf_edge *, const char *name);
/* Octets that may be held for that home, in the configuration or paired only. */
uint64_t conf_edge_quota(const struct conf_edge *, const char *home);
/*
 * Whether a service is there for that home: one names it, or one that takes mail is for
 * every home.  The first that takes mail is where to add it; NULL: none does.
 */
bool	conf_edge_serves(const struct conf_edge *, const char *home, const struct conf_service **);
/*
 * Whether a service may turn out to speak SMTP, by what is known before anything
 * was said: a name or a port that mail goes by.  In doubt it is: what errs here
 * only has to pass the interlock.
 */
bool	conf_service_smtp(const struct conf_service *);
/* Whether its clients begin with TLS, so that they can name a home (RFC 8314). */
bool	conf_service_tls_first(const struct conf_service *);
/* Of a service with auth: whether TLS begins at once, and not with STARTTLS. */
bool	conf_service_tls_at_once(const struct conf_service *);
bool	conf_smtp_name(const char *service);
bool	conf_smtp_port(uint16_t);

/* Whether what goes to the mail server does not leave this machine. */
bool	conf_deliver_local(const struct conf_home *);

/* The TCP port of that server; 0: it is reached in another way. */
uint16_t conf_deliver_port(const struct conf_home *);
uint16_t conf_filter_port(const struct conf_home *);	/* the same of the filter */

/* Which role the text is for, told by its keys. */
enum conf_role conf_role(const char *file, struct span text, struct why *);
/* file names it in messages only.  NULL with why. Free with free(): they own nothing else. */
struct conf_edge *conf_edge_parse(const char *file, struct span text, struct why *);
struct conf_home *conf_home_parse(const char *file, struct span text, struct why *);
/* `posthouse config`: every key with type, default, range and doc; json as an array of objects. */
bool	conf_describe(enum conf_role, bool json, struct buf *out);
/* The line on which the section of that worker ends; 0: it is not in the text. */
int	conf_home_worker_line(struct span text, size_t worker);
/*
 * How many keys differ that only a restart changes; 0: a reload may go on.  why: each
 * with its place, "FILE:LINE: hold.memory"; text is what new_ was made of.  A key
 * that it no longer has stands at its section, or without a line.
 */
int	conf_edge_reloadable(const struct conf_edge *old, const struct conf_edge *new_,
    const char *file, struct span text, struct why *);
int	conf_home_reloadable(const struct conf_home *old, const struct conf_home *new_,
    const char *file, struct span text, struct why *);

#endif
