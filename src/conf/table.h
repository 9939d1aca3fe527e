#ifndef CONF_TABLE_H
#define CONF_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/why.h"
#include "conf/conf.h"

/*
 * The table behind a role's configuration: one line a key.  Parsing, range
 * checks, `posthouse config`, the check before a reload and the check of the
 * man page all read it, so that a key exists in all of them or in none.
 */
enum conf_type {
	CT_STRING = 0,		/* any text without control characters */
	CT_HOSTNAME,		/* a domain name, kept in its one spelling */
	CT_DOMAINS,		/* list of the same */
	CT_PATH,		/* absolute */
	CT_HOSTPORT,		/* name or literal, with a port; kept as written */
	CT_HOSTPORTS,		/* list of the same */
	CT_LISTEN,		/* list of address literals with a port: struct netaddr */
	CT_NETWORKS,		/* list of networks: struct conf_net */
	CT_BACKEND,		/* one such, of a server to connect to */
	CT_ADDRESSES,		/* list of address literals, kept as written */
	/* the same, optionally @port, as libunbound has it */
	CT_SERVERS,
	CT_ACCOUNT,		/* a user or group of this machine, or "" */
	CT_HOME,		/* a home's name, as pairing has it */
	CT_HOMES,		/* list of the same */
	CT_MAILBOX,		/* a name that is one safe path component, or "" */
	CT_MAILBOXES,		/* list of the same, "" not allowed */
	CT_ALIASES,		/* list of "sales: alice": struct conf_alias */
	CT_TAG,			/* one character that no name begins with, or "" */
	/* "sha256:<hex>"; count is the offset of a bool that says it is there */
	CT_PIN,
	CT_RECIPIENTS,		/* list of "age1...": struct age_recipient */
	CT_RECIPIENT,		/* one, kept as text, or "" */
	CT_BOOL,
	CT_WORD,		/* one of words[], stored in an int: `least` and its index */
	CT_NUMBER,
	CT_SIZE,		/* octets; K M G T */
	CT_TIME,		/* int64_t ms; ms s m h d */
	CT_TYPES
};

struct conf_key {
	const char	*section;	/* "" at top level */
	const char	*name;
	enum conf_type	 type;
	/* in the role's struct, or in the item of a titled section */
	size_t		 at;
	size_t		 size;		/* of the field; of one element in a list */
	size_t		 count;		/* lists: offset of their size_t count */
	size_t		 room;		/* lists: how many fit */
	/* as it would be written, lists by spaces; NULL: none, or as shown says */
	const char	*def;
	const char	*shown;		/* a default that is made of other keys, in words */
	uint64_t	 least, most;	/* numbers, sizes, times (ms) */
	const char	*const *words;	/* CT_WORD, NULL-terminated; the first is `least` */
	const char	*otherwise;	/* CT_WORD: said after "write one of" */
	/* Only a restart changes it; how a reload brings it: test/e2e/test_reload_keys.py. */
	bool		 fixed;
	/* What others call it, each with a space behind: no keys, but what is meant is said. */
	const char	*also;
	const char	*doc;		/* one line */
};

struct conf_section {
	const char	*name;
	bool		 titled;	/* home "alice" {...}: may come several times */
	bool		 fixed;		/* titled: only a restart adds or removes one */
	enum conf_type	 title;		/* how its title is read, into the start of an item */
	size_t		 title_size;
	size_t		 items, item_size, count, room;	/* titled: the array in the role's struct */
};

/* A broken rule across keys: where it can be mended, and what is wrong. */
struct conf_fault {
	const char	*section, *key;	/* key "": the section's own line */
	size_t		 item;		/* of a titled section, else 0 */
	char		 text[400];
};

struct conf_table {
	const struct conf_key *keys;
	size_t		 nkeys;
	const struct conf_section *sections;
	size_t		 nsections;
	size_t		 size;		/* of the role's struct */
	/* After the text was read: defaults made of other keys, and rules across keys. */
	int		(*settle)(void *conf, struct conf_fault *);
};

extern const struct conf_table conf_edge_table, conf_home_table;

#define CONF_FIELD(s, f)	.at = offsetof(struct s, f), .size = sizeof(((struct s *)0)->f)
#define CONF_LIST(s, f, n)	.at = offsetof(struct s, f), \
	.size = sizeof(((struct s *)0)->f[0]), \
	.count = offsetof(struct s, n), \
	.room = sizeof(((struct s *)0)->f) / sizeof(((struct s *)0)->f[0])
#define CONF_RANGE(a, b)	.least = (a), .most = (b)

#define CONF_K	UINT64_C(1024)
#define CONF_M	(1024 * CONF_K)
#define CONF_G	(1024 * CONF_M)
#define CONF_T	(1024 * CONF_G)
#define CONF_SECOND	UINT64_C(1000)
#define CONF_MINUTE	(60 * CONF_SECOND)
#define CONF_HOUR	(60 * CONF_MINUTE)
#define CONF_DAY	(24 * CONF_HOUR)

/* How a store is reached: home, which empties its buckets, and an edge, which fills one. */
#define CONF_BUCKET_KEYS \
	{ "bucket", "endpoint", CT_STRING, CONF_FIELD(conf_bucket, endpoint), .fixed = true, \
	    .shown = "none: it must be given", \
	    .doc = "The store's URL, without the bucket: \"https://s3.example.net\"." }, \
	{ "bucket", "region", CT_STRING, CONF_FIELD(conf_bucket, region), .fixed = true, \
	    .def = "auto", .doc = "The region that requests are signed for." }, \
	{ "bucket", "style", CT_WORD, CONF_FIELD(conf_bucket, style), .fixed = true, \
	    .def = "path", .words = conf_bucket_styles, \
	    .doc = "Whether the bucket's name is in the path or before the host's." }, \
	{ "bucket", "plain", CT_BOOL, CONF_FIELD(conf_bucket, plain), .fixed = true, \
	    .def = "false", \
	    .doc = "Allow an http endpoint outside this machine and its own network." }, \
	{ "bucket", "authorities", CT_PATH, CONF_FIELD(conf_bucket, authorities), .fixed = true, \
	    .shown = "those of this machine", \
	    .doc = "PEM file of the authorities that an https endpoint is believed by." }, \
	{ "bucket", "credentials", CT_PATH, CONF_FIELD(conf_bucket, credentials), .fixed = true, \
	    .shown = "none: they must be given", \
	    .doc = "File of access key id and secret, readable by nobody else." }

/* What both roles have.  s: the role's struct, whose `common` and `hold` they are in. */
#define CONF_COMMON_KEYS(s, role) \
	{ "", "state", CT_PATH, CONF_FIELD(s, common.state), \
	    .def = "/var/lib/posthouse/" role, .fixed = true, \
	    .doc = "Directory of the spool, keys and pairings." }, \
	{ "", "control", CT_PATH, CONF_FIELD(s, common.control), \
	    .def = "/run/posthouse/" role ".sock", .fixed = true, \
	    .doc = "Unix socket that the operator's commands talk to." }, \
	{ "", "user", CT_ACCOUNT, CONF_FIELD(s, common.user), .def = "posthouse", .fixed = true, \
	    .doc = "Account to run as when started by root; \"\" stays as it is." }, \
	{ "", "group", CT_ACCOUNT, CONF_FIELD(s, common.group), .fixed = true, \
	    .shown = "the user's own", \
	    .doc = "Group to run as when started by root." }, \
	{ "", "log", CT_WORD, CONF_FIELD(s, common.log_level), .def = "info", \
	    .words = conf_log_words, \
	    .doc = "The least level that is logged." }

#define CONF_DNS_KEYS(s) \
	{ "dns", "servers", CT_SERVERS, CONF_LIST(s, common.nameservers, common.nnameservers), \
	    .fixed = true, .shown = "those of /etc/resolv.conf", \
	    .doc = "Resolvers to ask, as address or address@port." }, \
	{ "dns", "timeout", CT_TIME, CONF_FIELD(s, common.dns_timeout_ms), .def = "5s", \
	    CONF_RANGE(100, CONF_MINUTE), .fixed = true, \
	    .doc = "Longest wait for a name." }

#define CONF_HOLD_KEYS(s) \
	{ "hold", "quota", CT_SIZE, CONF_FIELD(s, hold.quota), .def = "20G", \
	    CONF_RANGE(64 * CONF_K, 1024 * CONF_T), \
	    .doc = "Octets kept in all; beyond it senders are told 452 and come again." }, \
	{ "hold", "reserve", CT_SIZE, CONF_FIELD(s, hold.reserve), .def = "512M", \
	    CONF_RANGE(0, 1024 * CONF_T), \
	    .doc = "Free disk below which only deletes write." }, \
	{ "hold", "memory", CT_SIZE, CONF_FIELD(s, hold.memory), .def = "16M", \
	    CONF_RANGE(256 * CONF_K, 16 * CONF_G), .fixed = true, \
	    .doc = "Octets of objects waiting in memory over all sessions; " \
		"beyond it they go to files." }, \
	{ "hold", "threshold", CT_SIZE, CONF_FIELD(s, hold.threshold), .def = "256K", \
	    CONF_RANGE(4 * CONF_K, 768 * CONF_K), .fixed = true, \
	    .doc = "An object larger than this is a file of its own beside the database." }, \
	{ "hold", "max_hold", CT_TIME, CONF_FIELD(s, hold.max_hold_ms), .def = "30d", \
	    CONF_RANGE(CONF_MINUTE, 3650 * CONF_DAY), \
	    .doc = "Age of a held message that alarms, and how long a delivered id is " \
		"remembered; nothing is thrown away." }

/* What both roles have; home has a relay for mail as well. */
#define CONF_ALARMS_KEYS(s) \
	{ "alarms", "command", CT_STRING, CONF_FIELD(s, common.alarms.command), .shown = "none", \
	    .doc = "Command that is run to tell somebody; its environment says of what." }, \
	{ "alarms", "webhook", CT_STRING, CONF_FIELD(s, common.alarms.webhook), .shown = "none", \
	    .doc = "URL that what is told is sent to, as JSON." }, \
	{ "alarms", "webhook_file", CT_PATH, CONF_FIELD(s, common.alarms.webhook_file), \
	    .shown = "none", \
	    .doc = "File that holds that URL, where it is a secret; readable by nobody else." }, \
	{ "alarms", "token", CT_PATH, CONF_FIELD(s, common.alarms.token), .shown = "none", \
	    .doc = "File of the Bearer token for the webhook, readable by nobody else." }, \
	{ "alarms", "every", CT_TIME, CONF_FIELD(s, common.alarms.every_ms), .def = "10s", \
	    CONF_RANGE(CONF_SECOND, CONF_HOUR), \
	    .doc = "How often is looked whether something is wrong." }, \
	{ "alarms", "after", CT_TIME, CONF_FIELD(s, common.alarms.after_ms), .def = "1m", \
	    CONF_RANGE(0, CONF_DAY), \
	    .doc = "How long something is wrong before somebody is told, and well again." }, \
	{ "alarms", "repeat", CT_TIME, CONF_FIELD(s, common.alarms.repeat_ms), .def = "1d", \
	    CONF_RANGE(CONF_SECOND, 365 * CONF_DAY), \
	    .doc = "How often it is told again while it lasts." }, \
	{ "alarms", "oldest", CT_TIME, CONF_FIELD(s, common.alarms.oldest_ms), .def = "4h", \
	    CONF_RANGE(CONF_SECOND, 3650 * CONF_DAY), \
	    .doc = "Age of the oldest message that waits from which on that is an alarm." }, \
	{ "alarms", "count", CT_NUMBER, CONF_FIELD(s, common.alarms.count), .def = "1000", \
	    CONF_RANGE(1, 1000000000), \
	    .doc = "Number of messages that wait from which on that is an alarm." }, \
	{ "alarms", "unreachable", CT_TIME, CONF_FIELD(s, common.alarms.unreachable_ms), \
	    .def = "15m", CONF_RANGE(CONF_SECOND, 365 * CONF_DAY), \
	    .doc = "How long a peer, or a server that is passed to, may be out of reach." }, \
	{ "alarms", "disk", CT_SIZE, CONF_FIELD(s, common.alarms.disk), .def = "1G", \
	    CONF_RANGE(0, 1024 * CONF_T), \
	    .doc = "Free disk above hold.reserve below which that is an alarm." }, \
	{ "alarms", "certificate", CT_TIME, CONF_FIELD(s, common.alarms.certificate_ms), \
	    .def = "14d", CONF_RANGE(CONF_HOUR, 365 * CONF_DAY), \
	    .doc = "How long before the end of a certificate in use that is an alarm." }

extern const char *const conf_log_words[];

/*
 * values.c: one value into its place.  dst is the field, or the next element of
 * a list; zeroed here.
 */
int	conf_value_store(const struct conf_key *, void *dst, struct span, struct why *);
const char *conf_type_name(enum conf_type);
bool	conf_type_list(enum conf_type);
bool	conf_type_range(enum conf_type);	/* least and most count */
/* A range's end as a file would have it: "64K", "30d", "12". */
void	conf_value_print(enum conf_type, uint64_t, char *out, size_t max);
/* A few characters of s for a message: quoted, cut, nothing unprintable. */
struct conf_quote {
	char	s[72];
};
struct conf_quote conf_quote(struct span);

/* For settle: -1, with the fault filled in. */
int	conf_fault_set(struct conf_fault *, const char *section, const char *key, size_t item,
	    const char *, ...) __attribute__((format(printf, 5, 6)));

/* services.c: the rules of an edge's services, and their mode where none is said. */
int	conf_services_settle(struct conf_edge *, struct conf_fault *);

/* workers.c: the rules of a home's Workers; makes service "push" what it is. */
int	conf_workers_settle(struct conf_home *, struct conf_fault *);

/* buckets.c: the rules of a home's buckets, and of an edge's spool, which it takes apart. */
extern const char *const conf_bucket_styles[];
int	conf_buckets_settle(const struct conf_home *, struct conf_fault *);
int	conf_spool_settle(struct conf_edge *, struct conf_fault *);

/* conf.c: the rules that both roles share. */
bool	conf_service_name_ok(const char *);	/* goes into :authority, policy and logs as it is */
int	conf_common_settle(struct conf_common *, const struct conf_hold *, struct conf_fault *);
int	conf_alarms_settle(struct conf_alarms *, struct conf_fault *);	/* alarms.c */
int	conf_default_path(char *out, size_t max, const char *state, const char *name,
    struct conf_fault *);

/* parse.c: the length of a comment or quoted string that starts at i; 0 if none does. */
size_t	conf_skip(struct span, size_t i);
/* NULL with why; free() it. */
void	*conf_table_parse(const struct conf_table *, const char *file, struct span, struct why *);
/* Where the text, which was parsed before, has the fault's key: as in its error; 0 nowhere. */
int	conf_table_line(const struct conf_table *, struct span, const struct conf_fault *);
const struct conf_section *conf_table_section(const struct conf_table *, const char *name);

#endif
