#include "ctl/ctl.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/client.h"
#include "ctl/opts.h"
#include "ctl/text.h"

/* drain: home looks into its buckets now, and this waits until it has. */
#define LOOK_MS		200
#define START_MS	30000		/* a home that we start, until its drain answers */
#define SILENT_MS	(5 * 60 * 1000)	/* without any progress; a large object may take that */

static const struct opts_use use = {
	"drain", OPT_CONF | OPT_CONTROL | OPT_JSON | OPT_ONCE, 0, 0,
	"usage: posthouse drain [-c FILE | --control PATH] [--once] [--json]\n"
	"\n"
	"At home: looks into each of its buckets now, takes in all that waits there, and says\n"
	"how much it was.  A running home does that by itself, too; this is for whoever will\n"
	"not wait.\n"
	"Status 0: nothing waits in any bucket.  1: something does, or lies aside, or home could\n"
	"not be asked.\n"
	"\n"
	"  -c, --config FILE   home's configuration; /etc/posthouse/home.conf\n"
	"      --control PATH  a control socket, whatever its configuration says\n"
	"      --once          for cron: where home is not running, run it until that is done\n"
	"                      and what came was delivered, or must wait for its next try\n"
	"      --json          the buckets as one JSON object\n"
};

struct drained {			/* the sums of all buckets */
	int64_t	taken, waiting, aside;
	bool	over, trouble;
};

static void
pause_a_little(void)
{
	struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };

	(void)nanosleep(&pause, NULL);
}

/* --- a home of our own -------------------------------------------------------------------- */

/* Ends with us, whatever ends us.  -1 with why. */
static pid_t
home_start(const struct role *r, struct why *why)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == -1)
		why_sys(why, "home");
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == parent)
		execl("/proc/self/exe", "posthouse", "home", "-c", r->file, (char *)NULL);
	_exit(127);
}

static void
home_stop(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGTERM);
	while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
		;
}

/* The drain is in its sandbox: it is asked from now on. */
static bool
drain_works(const json_t *status)
{
	const json_t *p;
	size_t i;

	json_array_foreach(json_object_get(status, "processes"), i, p)
		if (strcmp(json_text(p, "name"), "drain") == 0)
			return json_text(p, "sandbox")[0] != '\0';
	return false;
}

/* Until it can be asked.  NULL: it ended, or takes too long; its log says why. */
static struct client *
home_await(const struct role *r, pid_t pid, struct why *why)
{
	int64_t until = boot_ms() + START_MS;
	struct client *c = NULL;
	bool works = false;

	while (!works && boot_ms() < until) {
		json_t *status;

		if (waitpid(pid, NULL, WNOHANG) == pid) {
			why_set(why, "home did not start; see what it said");
			client_free(&c);
			return NULL;
		}
		pause_a_little();
		if (c == NULL && (c = client_new(r, NULL, why)) == NULL)
			continue;
		status = client_ask(c, json_pack("{s:s}", "do", "status"), why);
		works = drain_works(status);
		if (status == NULL)
			client_free(&c);
		json_decref(status);
	}
	if (!works) {
		client_free(&c);
		why_set(why, "home does not answer after %d s; see what it said", START_MS / 1000);
	}
	return c;
}

/* A home that runs for nothing else; none where there is nothing to drain. */
static struct client *
home_for_once(const struct role *r, pid_t *pid, struct why *why)
{
	bool running;
	struct client *c = client_new(r, &running, why);

	if (c != NULL || running)
		return c;
	if (r->home->nbuckets == 0) {
		why_set(why, "%s has no bucket \"NAME\" {...}", r->file);
		return NULL;
	}
	return (*pid = home_start(r, why)) > 0 ? home_await(r, *pid, why) : NULL;
}

/* Whether nothing is to be delivered at this moment. */
static bool
settled(const json_t *status)
{
	static const char *const moving[] = { "queued", "sending", "staged" };
	const json_t *states = json_object_get(status, "states");

	for (size_t i = 0; i < sizeof(moving) / sizeof(moving[0]); i++)
		if (json_number(states, moving[i]) > 0)
			return false;
	return true;
}

/* What came is delivered.  Whatever is not by then is in the ledger, for the next time. */
static void
deliver(struct client *c)
{
	int64_t moved = boot_ms(), held = -1;
	json_t *status = NULL;
	struct why why;
	bool done = false;

	while (!done && boot_ms() - moved < SILENT_MS) {
		status = client_ask(c, json_pack("{s:s}", "do", "status"), &why);
		if (json_number(json_object_get(status, "held"), "objects") != held)
			moved = boot_ms();
		held = json_number(json_object_get(status, "held"), "objects");
		done = status == NULL || settled(status);
		json_decref(status);
		if (!done)
			pause_a_little();
	}
}

/* --- the look ----------------------------------------------------------------------------- */

static const json_t *
find(const json_t *list, const char *name)
{
	const json_t *b;
	size_t i;

	json_array_foreach(list, i, b)
		if (strcmp(json_text(b, "name"), name) == 0)
			return b;
	return NULL;
}

/* Of the status, and the numbers that the looks must reach. */
static struct drained
sum(const json_t *status, const json_t *wanted)
{
	struct drained d = { .over = true };
	const json_t *w;
	size_t i;

	json_array_foreach(wanted, i, w) {
		const json_t *b = find(json_object_get(status, "buckets"), json_text(w, "name"));

		d.taken += json_number(b, "taken");
		d.waiting += json_number(b, "waiting");
		d.aside += json_number(b, "aside");
		d.over = d.over && json_number(b, "looks") >= json_number(w, "look");
		d.trouble = d.trouble || json_text(b, "error")[0] != '\0';
	}
	return d;
}

/* Asks how it goes until all looks are over, or nothing goes on any more; the last status. */
static json_t *
follow(struct client *c, const json_t *wanted, int64_t before, bool quiet, struct why *why)
{
	struct drained was = { .taken = -1 }, now;
	int64_t moved = boot_ms();
	json_t *status;

	for (;;) {
		if ((status = client_ask(c, json_pack("{s:s}", "do", "status"), why)) == NULL)
			return NULL;
		now = sum(status, wanted);
		if (now.taken != was.taken || now.waiting != was.waiting)
			moved = boot_ms();
		if (!quiet && now.taken != was.taken)
			fprintf(stderr, "\r%lld taken, %lld waiting ",
			    (long long)(now.taken - before), (long long)now.waiting);
		was = now;
		if (now.over || boot_ms() - moved > SILENT_MS)
			break;
		json_decref(status);
		pause_a_little();
	}
	if (!quiet)
		fputc('\n', stderr);
	return status;
}

static void
say(const json_t *status, const struct drained *d, int64_t before)
{
	struct shown name, words;
	const json_t *b;
	size_t i;

	printf("%lld taken\n", (long long)(d->taken - before));
	json_array_foreach(json_object_get(status, "buckets"), i, b) {
		shown(span_str(json_text(b, "name")), &name);
		if (json_text(b, "error")[0] != '\0')
			printf("%s: %s\n", name.s, shown(span_str(json_text(b, "error")), &words));
		if (json_number(b, "waiting") > 0)
			printf("%s: %lld waiting\n", name.s,
			    (long long)json_number(b, "waiting"));
		if (json_number(b, "aside") > 0)
			printf("%s: %lld aside: %s\n", name.s, (long long)json_number(b, "aside"),
			    shown(span_str(json_text(b, "aside_why")), &words));
	}
	if (!d->over)
		printf("it goes on, but nothing has moved for %d minutes: see posthouse status\n",
		    SILENT_MS / 60000);
}

/* started: home is ours, and all that it took it took for us. */
static int
look(struct client *c, bool started, bool json, struct why *why)
{
	json_t *before = NULL, *asked = NULL, *after = NULL;
	int rc = -1;

	if ((before = client_ask(c, json_pack("{s:s}", "do", "status"), why)) != NULL &&
	    (asked = client_ask(c, json_pack("{s:s}", "do", "drain"), why)) != NULL) {
		const json_t *wanted = json_object_get(asked, "buckets");
		int64_t taken = started ? 0 : sum(before, wanted).taken;

		after = follow(c, wanted, taken, json || !isatty(STDERR_FILENO), why);
		if (after != NULL) {
			struct drained d = sum(after, wanted);

			if (!json)
				say(after, &d, taken);
			else if (json_dumpf(json_object_get(after, "buckets"), stdout,
			    JSON_INDENT(2) | JSON_ENSURE_ASCII) == 0)
				putchar('\n');
			rc = d.over && !d.trouble && d.waiting == 0 && d.aside == 0 ? CTL_OK :
			    CTL_FAILED;
		}
	}
	json_decref(before);
	json_decref(asked);
	json_decref(after);
	return rc;
}

int
ctl_drain(int argc, char **argv)
{
	struct asking a = { .client = NULL };
	struct opts o;
	struct why why;
	pid_t home = 0;
	int rc = opts_parse(argc, argv, &use, &o);

	if (rc != -1)
		return rc;
	o.role = CONF_HOME;
	if (!o.once || o.control != NULL) {
		(void)asking_connect(&a, &o, &why);
	} else if (role_load(&a.role, &o, CONF_HOME, &why) == 0)
		a.client = home_for_once(&a.role, &home, &why);
	rc = a.client != NULL ? look(a.client, home > 0, o.json, &why) : -1;
	if (rc == -1)
		rc = opts_failed(&use, &why);
	else if (home > 0)
		deliver(a.client);
	asking_fini(&a);
	home_stop(home);
	return rc;
}
