#include "priv/kinds.h"

#include <string.h>

#define BIT(k)	(1u << (k))

static const struct kind {
	const char	*name;
	bool		 many_files;
} kinds[PROC_KINDS] = {
	[PROC_WRITER] = { "writer", true },
	[PROC_RECEPTION] = { "reception", true },
	[PROC_TUNNEL] = { "tunnel", true },
	[PROC_COURIER] = { "courier", true },
	/*
	 * Its commands inherit the limit, and some programs close every descriptor they
	 * might have.
	 */
	[PROC_HELPER] = { "helper", false },
	/* libunbound's select(2) ends at 1024. */
	[PROC_RESOLVER] = { "resolver", false },
	[PROC_HERALD] = { "herald", false },
	[PROC_RUNNER] = { "runner", false },	/* as the helper */
	[PROC_PUSH] = { "push", false },	/* PUSH_VISITORS_MAX (home/push.h) are fewer */
	[PROC_DRAIN] = { "drain", false },
	/* A large object that waits has its file open. */
	[PROC_BUCKET] = { "bucket", true },
};

static const enum proc_kind edge_kinds[] = {
	PROC_WRITER, PROC_RESOLVER, PROC_BUCKET, PROC_RECEPTION, PROC_HERALD, PROC_RUNNER,
	PROC_NONE
};
static const enum proc_kind home_kinds[] = {
	PROC_WRITER, PROC_RESOLVER, PROC_HELPER, PROC_COURIER, PROC_TUNNEL, PROC_HERALD,
	PROC_RUNNER, PROC_PUSH, PROC_DRAIN, PROC_NONE
};

static const struct kind_link edge_links[] = {
	{ PROC_RECEPTION, PROC_WRITER },
	{ PROC_RECEPTION, PROC_RESOLVER },
	{ PROC_RECEPTION, PROC_BUCKET },
	{ PROC_BUCKET, PROC_RESOLVER },
	{ PROC_HERALD, PROC_WRITER },
	{ PROC_HERALD, PROC_RESOLVER },
	{ PROC_RUNNER, PROC_WRITER },
	{ PROC_NONE, PROC_NONE },
};
static const struct kind_link home_links[] = {
	{ PROC_TUNNEL, PROC_WRITER },
	{ PROC_TUNNEL, PROC_RESOLVER },
	{ PROC_TUNNEL, PROC_COURIER },
	{ PROC_DRAIN, PROC_WRITER },
	{ PROC_DRAIN, PROC_RESOLVER },
	{ PROC_DRAIN, PROC_COURIER },
	{ PROC_COURIER, PROC_WRITER },
	{ PROC_COURIER, PROC_HELPER },
	{ PROC_COURIER, PROC_RESOLVER },
	{ PROC_HERALD, PROC_WRITER },
	{ PROC_HERALD, PROC_RESOLVER },
	{ PROC_RUNNER, PROC_WRITER },
	{ PROC_PUSH, PROC_WRITER },
	{ PROC_NONE, PROC_NONE },
};

static const struct gift {
	const char	*name;
	unsigned	 to;		/* bits of proc_kind */
} secrets[] = {
	{ "tls.cert", BIT(PROC_RECEPTION) },
	{ "tls.key", BIT(PROC_RECEPTION) },
	{ "tunnel", BIT(PROC_RECEPTION) | BIT(PROC_TUNNEL) },
	{ "tunnel-next", BIT(PROC_RECEPTION) | BIT(PROC_TUNNEL) },
	{ "age", BIT(PROC_COURIER) },
	{ "age-retired", BIT(PROC_COURIER) },
	{ "deliver", BIT(PROC_COURIER) },
	{ "filter", BIT(PROC_COURIER) },
	{ "worker.mac", BIT(PROC_PUSH) | BIT(PROC_DRAIN) },
	{ "worker.token", BIT(PROC_PUSH) },
	{ "worker.smtp", BIT(PROC_TUNNEL) },
	{ "alarms.url", BIT(PROC_HERALD) },
	{ "alarms.token", BIT(PROC_HERALD) },
	{ "alarms.password", BIT(PROC_HERALD) },
	{ "bucket", BIT(PROC_DRAIN) | BIT(PROC_BUCKET) },
	{ "bucket.ca", BIT(PROC_DRAIN) | BIT(PROC_BUCKET) },
}, dirs[] = {
	{ "large", BIT(PROC_WRITER) | BIT(PROC_RECEPTION) | BIT(PROC_TUNNEL) | BIT(PROC_PUSH) |
	    BIT(PROC_DRAIN) | BIT(PROC_BUCKET) },
	{ "maildir", BIT(PROC_COURIER) },
};

const char *
proc_kind_name(enum proc_kind k)
{
	return k > PROC_NONE && k < PROC_KINDS ? kinds[k].name : "none";
}

enum proc_kind
proc_kind_parse(const char *name)
{
	for (enum proc_kind k = PROC_NONE + 1; k < PROC_KINDS; k++)
		if (strcmp(kinds[k].name, name) == 0)
			return k;
	return PROC_NONE;
}

const char *
proc_role_name(enum conf_role r)
{
	return r == CONF_EDGE ? "edge" : "home";
}

const enum proc_kind *
kinds_of(enum conf_role r)
{
	return r == CONF_EDGE ? edge_kinds : home_kinds;
}

const struct kind_link *
kind_links(enum conf_role r)
{
	return r == CONF_EDGE ? edge_links : home_links;
}

bool
kind_wanted(enum proc_kind k, const struct conf_edge *edge, const struct conf_home *home)
{
	const struct conf_alarms *a = edge != NULL ? &edge->common.alarms : &home->common.alarms;

	if (k == PROC_HERALD)
		return conf_alarms_webhook(a) || a->mail[0] != '\0';
	if (k == PROC_RUNNER)
		return a->command[0] != '\0';
	if (k == PROC_PUSH)
		return home != NULL && conf_home_push(home) != NULL;
	if (k == PROC_DRAIN)
		return home != NULL && home->nbuckets > 0;
	if (k == PROC_BUCKET)
		return edge != NULL && edge->nbuckets > 0;
	if (k == PROC_HELPER)
		return home != NULL && (home->users_command[0] != '\0' ||
		    home->users_file[0] != '\0');
	return true;
}

/* Where all are known by address nobody asks it; a pairing may bring a name at any time. */
bool
kind_sleeps(enum proc_kind k)
{
	return k == PROC_RESOLVER;
}

/* A name has what it is in front, and behind a slash whose: "worker.mac/NAME". */
static bool
given(const struct gift *g, size_t n, enum proc_kind k, const char *name)
{
	size_t len = strcspn(name, "/");

	for (size_t i = 0; i < n; i++)
		if (strncmp(g[i].name, name, len) == 0 && g[i].name[len] == '\0')
			return (g[i].to & BIT(k)) != 0;
	return false;
}

bool
kind_takes_secret(enum proc_kind k, const char *name)
{
	return given(secrets, sizeof(secrets) / sizeof(secrets[0]), k, name);
}

bool
kind_takes_dir(enum proc_kind k, const char *name)
{
	return given(dirs, sizeof(dirs) / sizeof(dirs[0]), k, name);
}

bool
kind_many_files(enum proc_kind k)
{
	return kinds[k].many_files;
}
