#include "priv/parent.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"
#include "net/awake.h"
#include "priv/notify.h"
#include "priv/signers.h"

/*
 * The parent of a role's processes: `posthouse edge` or `posthouse home`.
 *
 * It may be root, and stays it: to read key files that only root may, and to
 * start processes as the configured user.  It holds the public listeners, the
 * secret files' contents and the channels to its children, reads no octet from
 * any network and believes nothing from its children but what proc.h lists.
 * Started by anybody else it works the same, without changing user.
 */
/* What is passed has 30 s to end; the writer comes after it. */
#define FORCE_MS	40000
/* between looks at the clock and the secret files; a change is taken at the second */
#define WATCH_MS	1000

static void
on_signal(uv_signal_t *s, int signum)
{
	struct parent *p = s->data;

	if (signum == SIGCHLD) {
		kids_reap(p);
	} else if (signum == SIGHUP) {
		reload_now(p);
	} else if (p->draining) {
		log_warn(NULL, "role.forced by a second signal");
		kids_kill(p);
	} else {
		parent_drain(p, 0);
	}
}

static void
on_watch(uv_timer_t *t)
{
	struct parent *p = t->data;

	(void)clock_watch_look(&p->clock, boot_ms(), wall_ms());	/* the writer says so */
	reload_secrets(p);
}

static void
on_force(uv_timer_t *t)
{
	struct parent *p = t->data;

	if (!awake_over(t, on_force, p->force_due))
		return;
	log_warn(NULL, "role.forced after %d s", FORCE_MS / 1000);
	kids_kill(p);
}

void
parent_up(struct parent *p)
{
	if (p->up || p->draining)
		return;
	for (enum proc_kind k = 0; k < PROC_KINDS; k++)
		if (p->kids[k].state == KID_STARTING || p->kids[k].state == KID_WAITING)
			return;
	p->up = true;
	log_info(NULL, "role.up file=%s version=" POSTHOUSE_VERSION, p->file);
	notify("READY=1");
}

void
parent_drain(struct parent *p, int status)
{
	if (p->draining)
		return;
	p->draining = true;
	p->status = status;
	notify("STOPPING=1");
	log_info(NULL, "role.stopping");
	awake_timer(&p->force, on_force, FORCE_MS, &p->force_due);
	kids_drain(p);
}

/*
 * The limit is what the processes inherit; said early where it is too small for
 * the configuration.
 */
void
parent_check_files(const struct parent *p)
{
	struct rlimit r;

	if (p->edge != NULL && getrlimit(RLIMIT_NOFILE, &r) == 0 &&
	    r.rlim_max < (rlim_t)p->edge->connections + p->edge->streams + 200)
		log_warn(NULL,
		    "limits.descriptors allowed=%llu connections=%u streams=%u: raise LimitNOFILE, "
		    "or lower limits.connections or limits.streams",
		    (unsigned long long)r.rlim_max, p->edge->connections, p->edge->streams);
}

static void
watch_signals(struct parent *p)
{
	static const int nums[] = { SIGCHLD, SIGHUP, SIGTERM, SIGINT };

	for (size_t i = 0; i < sizeof(nums) / sizeof(nums[0]); i++) {
		uv_signal_init(&p->loop, &p->sigs[i]);
		p->sigs[i].data = p;
		uv_signal_start(&p->sigs[i], on_signal, nums[i]);
	}
}

static int
prepare(struct parent *p, struct why *why)
{
	struct buf text;
	int rc = config_read(p->file, &text, why);

	if (rc == 0)
		rc = config_take(p, &text, why);
	buf_fini(&text);
	if (rc == -1)
		return -1;
	log_init(p->role == CONF_EDGE ? "edge.parent" : "home.parent",
	    (enum log_level)p->common->log_level);
	if (account_find(&p->account, p->common, why) == -1 ||
	    ground_whole(p->common, why) == -1 ||
	    (p->home != NULL && signers_apart(&p->account, p->file, buf_span(&p->text), p->home,
	    why) == -1) ||
	    secrets_load(&p->secrets, &p->account, p->edge, p->home, why) == -1)
		return -1;
	return ground_make(&p->ground, &p->account, p->edge, p->home, why);
}

int
proc_parent_main(enum conf_role role, const char *config_file)
{
	static struct parent parent;	/* one a process */
	struct parent *p = &parent;
	struct why why = { "" };
	uv_timer_t *timers[] = { &p->force, &p->watch, &p->late };

	p->role = role;
	p->file = config_file;
	p->ground = (struct ground){ .lock = -1, .control = -1, .board_fd = -1 };
	log_init(role == CONF_EDGE ? "edge.parent" : "home.parent", LOG_INFO);
	signal(SIGPIPE, SIG_IGN);
	if (prepare(p, &why) == -1) {
		log_error(NULL, "role.failed %s", why.text);
		if (p->common != NULL)
			ground_close(&p->ground, &p->account, p->common);
		secrets_fini(&p->secrets);
		config_free(p);
		return 1;
	}
	if (uv_loop_init(&p->loop) != 0) {
		log_error(NULL, "role.failed no event loop");
		return 1;
	}
	awake_begin(&p->loop);
	for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
		uv_timer_init(&p->loop, timers[i]);
		timers[i]->data = p;
	}
	watch_signals(p);
	parent_check_files(p);
	kids_init(p);
	kids_start(p);
	clock_watch_init(&p->clock, boot_ms(), wall_ms());
	uv_timer_start(&p->watch, on_watch, WATCH_MS, WATCH_MS);
	uv_run(&p->loop, UV_RUN_DEFAULT);

	ground_close(&p->ground, &p->account, p->common);
	secrets_fini(&p->secrets);
	log_info(NULL, "role.stopped status=%d", p->status);
	config_free(p);
	return p->status;
}
