#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/log.h"
#include "ctl/ctl.h"
#include "ctl/opts.h"
#include "ctl/role.h"
#include "ctl/text.h"
#include "priv/proc.h"

/*
 * The program: roles and tools as subcommands, one table.  The two roles run in
 * the foreground until they are told to stop.
 */
static int	run_edge(int, char **);
static int	run_home(int, char **);
static int	run_worker(int, char **);

static const struct command {
	const char	*name;
	int		(*run)(int, char **);
	const char	*help;			/* NULL: not for people */
} commands[] = {
	{ "edge", run_edge, "run an edge: take mail, seal and hold it, hand it over" },
	{ "home", run_home, "run a home: dial edges, take sealed mail in, deliver it" },
	{ "keygen", ctl_keygen, "make the keys of a role where they are missing" },
	{ "pair", ctl_pair, "tie an edge and a home by one pasted line" },
	{ "pairings", ctl_pairings, "who is paired" },
	{ "unpair", ctl_unpair, "end a pairing" },
	{ "rotate", ctl_rotate, "change a role's keys without losing mail" },
	{ "status", ctl_status, "how a running edge or home is" },
	{ "doctor", ctl_doctor, "look at everything, and say what to do where it is not well" },
	{ "queue", ctl_queue, "what is held, oldest first" },
	{ "show", ctl_show, "everything known of one held object" },
	{ "log", ctl_log, "a message's story, from the edge to the mailbox" },
	{ "retry", ctl_retry, "try now what waits, or what is parked" },
	{ "park", ctl_park, "at home: put aside, until unpark or retry" },
	{ "unpark", ctl_unpark, "at home: deliver what is parked to a mailbox" },
	{ "drop", ctl_drop, "throw held mail away" },
	{ "cat", ctl_cat, "a held object itself, sealed" },
	{ "open", ctl_open, "at home: the message in a held object" },
	{ "route", ctl_route, "at home: where an address's mail goes, and why" },
	{ "password", ctl_password, "at home: a mailbox's password, derived; check one" },
	{ "backup", ctl_backup, "at home: ledger, mail and keys, into a directory" },
	{ "restore", ctl_restore, "at home: a backup, back into home's state" },
	{ "refile", ctl_refile, "at home: what the catch-all took, to its own mailbox now" },
	{ "interlock", ctl_interlock, "at home: whether its mail servers relay for strangers" },
	{ "drain", ctl_drain, "at home: empty its buckets now" },
	{ "alarm", ctl_alarm, "what is wrong, who was told, and a test of telling" },
	{ "bucket", ctl_bucket, "what waits in a bucket, and if all is well with it" },
	{ "ban", ctl_ban, "at home: who may not come in, at any edge" },
	{ "unban", ctl_unban, "at home: lift bans" },
	{ "bans", ctl_bans, "at home: who is banned" },
	{ "worker-config", ctl_worker_config, "at home: a Worker's wrangler.toml, filled in" },
	{ "config", ctl_config, "every key of a configuration; check a file" },
	{ "seal", ctl_seal, "seal standard input, as `age -r` does" },
	{ "unseal", ctl_unseal, "open standard input, as `age -d` does" },
	{ "worker", run_worker, NULL },
};

static const struct opts_use edge_use = {
	"edge", OPT_CONF, 0, 0,
	"usage: posthouse edge [-c FILE]\n"
	"\n"
	"Runs an edge in the foreground.  SIGTERM finishes what is under way and stops, SIGHUP\n"
	"reads the configuration and the certificates anew.\n"
	"\n"
	"  -c, --config FILE   its configuration; /etc/posthouse/edge.conf\n"
};

static const struct opts_use home_use = {
	"home", OPT_CONF, 0, 0,
	"usage: posthouse home [-c FILE]\n"
	"\n"
	"Runs a home in the foreground; it needs no root.  SIGTERM finishes what is under way and\n"
	"stops, SIGHUP reads the configuration and the keys anew.\n"
	"\n"
	"  -c, --config FILE   its configuration; /etc/posthouse/home.conf\n"
};

static int
run_role(int argc, char **argv, const struct opts_use *use, enum conf_role role,
    const char *standard)
{
	struct opts o;
	int rc = opts_parse(argc, argv, use, &o);

	return rc != -1 ? rc : proc_parent_main(role, o.conf != NULL ? o.conf : standard);
}

static int
run_edge(int argc, char **argv)
{
	return run_role(argc, argv, &edge_use, CONF_EDGE, "/etc/posthouse/edge.conf");
}

static int
run_home(int argc, char **argv)
{
	return run_role(argc, argv, &home_use, CONF_HOME, "/etc/posthouse/home.conf");
}

/* What the parent executes: posthouse worker ROLE KIND, a channel on PROC_FD (priv/proc.h). */
static int
run_worker(int argc, char **argv)
{
	static const struct {
		const char	*role;
		enum proc_kind	 kind;
		const struct proc_ops *ops;
	} kinds[] = {
		{ "edge", PROC_WRITER, &proc_writer },
		{ "edge", PROC_RECEPTION, &proc_reception },
		{ "edge", PROC_BUCKET, &proc_bucket },
		{ "edge", PROC_RESOLVER, &proc_resolver },
		{ "edge", PROC_HERALD, &proc_herald },
		{ "edge", PROC_RUNNER, &proc_runner },
		{ "home", PROC_WRITER, &proc_writer },
		{ "home", PROC_TUNNEL, &proc_tunnel },
		{ "home", PROC_COURIER, &proc_courier },
		{ "home", PROC_HELPER, &proc_helper },
		{ "home", PROC_RESOLVER, &proc_resolver },
		{ "home", PROC_HERALD, &proc_herald },
		{ "home", PROC_DRAIN, &proc_drain },
		{ "home", PROC_RUNNER, &proc_runner },
		{ "home", PROC_PUSH, &proc_push },
	};

	/* So that no peer can guess where its keys fall: by a file that the sandbox closes. */
	json_object_seed(0);
	for (size_t i = 0; argc == 3 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(argv[1], kinds[i].role) == 0 && strcmp(argv[2], kinds[i].ops->name) == 0)
			return proc_child_main(kinds[i].kind, kinds[i].ops);
	fputs("posthouse worker: started by an edge or a home, not by hand\n", stderr);
	return CTL_USAGE;
}

/* What a command printed has to be where it was sent, or it is no success. */
static int
finish(const char *name, int rc)
{
	struct why why;

	if (rc != CTL_OK || (fflush(stdout) == 0 && !ferror(stdout)))
		return rc;
	why_sys(&why, "standard output");
	if (!text_reader_gone(&why))
		fprintf(stderr, "posthouse%s%s: %s\n", name[0] != '\0' ? " " : "", name, why.text);
	return CTL_FAILED;
}

static void
usage(FILE *to)
{
	fputs("usage: posthouse COMMAND [ARGUMENT...]\n\n", to);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (commands[i].help != NULL)
			fprintf(to, "  %-13s %s\n", commands[i].name, commands[i].help);
	fputs("\n`posthouse COMMAND --help` tells more of each; see also posthouse(1).\n", to);
}

int
main(int argc, char **argv)
{
	struct shown text;

	log_init("posthouse", LOG_INFO);
	signal(SIGPIPE, SIG_IGN);	/* a reader that goes away is an error of the write */
	if (argc < 2) {
		usage(stderr);
		return CTL_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		usage(stdout);
		return finish("", CTL_OK);
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("posthouse " POSTHOUSE_VERSION);
		return finish("", CTL_OK);
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return finish(argv[1], commands[i].run(argc - 1, argv + 1));
	fprintf(stderr, "posthouse: there is no command %s; `posthouse --help` lists them\n",
	    shown(span_str(argv[1]), &text));
	return CTL_USAGE;
}
