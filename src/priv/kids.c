#include "priv/parent.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "priv/kinds.h"
#include "priv/spawn.h"

/* The processes: starting them, giving them what is theirs, and starting them again. */
#define PAUSE_LEAST_MS	100
#define PAUSE_MOST_MS	30000
#define SETTLED_MS	60000		/* lived this long: the next end is a new story */

static struct board_proc *
board_of(struct kid *k)
{
	return &k->parent->ground.board->proc[k->kind];
}

static bool
kid_send(struct kid *k, enum proc_msg type, const struct span *parts, size_t n, int fd)
{
	if (k->chan == NULL) {
		if (fd != -1)
			close(fd);
		return false;
	}
	return chan_send(k->chan, (uint16_t)type, 0, parts, n, fd);
}

void
kid_send_config(struct kid *k)
{
	struct parent *p = k->parent;
	const char role = (char)p->role;
	const struct span parts[] = {
		{ &role, 1 }, { p->file, strlen(p->file) + 1 }, buf_span(&p->text),
	};

	kid_send(k, PM_CONFIG, parts, 3, -1);
}

void
kid_send_secret(struct kid *k, const struct secret_file *f)
{
	const struct span parts[] = { { f->name, strlen(f->name) + 1 }, buf_span(&f->text) };

	if (kind_takes_secret(k->kind, f->name))
		kid_send(k, PM_SECRET, parts, 2, -1);
}

/* A copy of a descriptor that stays ours. */
static bool
send_copy(struct kid *k, enum proc_msg type, const char *name, int fd)
{
	const struct span part = { name, strlen(name) + 1 };
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return copy != -1 && kid_send(k, type, &part, 1, copy);
}

static bool
send_listeners(struct kid *k)
{
	struct ground *g = &k->parent->ground;
	bool sent = true;

	if (k->kind == PROC_WRITER)
		return send_copy(k, PM_LISTEN, "control", g->control);
	if (k->kind == PROC_RECEPTION || k->kind == PROC_PUSH)
		for (size_t i = 0; i < g->nlisteners; i++)
			sent = sent && send_copy(k, PM_LISTEN, g->listeners[i].service,
			    g->listeners[i].fd);
	return sent;
}

static bool
send_dirs(struct kid *k)
{
	static const char *const names[] = { "large", "maildir" };
	struct parent *p = k->parent;
	struct why why;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct span part = { names[i], strlen(names[i]) + 1 };
		int fd;

		if (!kind_takes_dir(k->kind, names[i]) ||
		    (strcmp(names[i], "maildir") == 0 && p->home->maildir[0] == '\0'))
			continue;
		if ((fd = ground_dir(&p->account, p->edge, p->home, names[i], &why)) == -1) {
			log_error(NULL, "proc.start name=%s %s", proc_kind_name(k->kind), why.text);
			return false;
		}
		if (!kid_send(k, PM_DIR, &part, 1, fd))
			return false;
	}
	return true;
}

/* Takes fd, k's end. */
static bool
send_end(struct kid *k, const struct kid *neighbour, int fd)
{
	const char kind = (char)neighbour->kind;
	const struct span part = { &kind, 1 };

	return k->state == KID_ASLEEP ? sleeper_keep(&k->sleeper, neighbour->kind, fd) :
	    kid_send(k, PM_PEER_CHAN, &part, 1, fd);
}

/* A channel between two that are both there, or asleep. */
static bool
send_link(struct kid *a, struct kid *b)
{
	int sv[2];

	if ((a->chan == NULL && a->state != KID_ASLEEP) ||
	    (b->chan == NULL && b->state != KID_ASLEEP))
		return true;		/* whoever comes second makes it */
	/* Made while it was asleep. */
	if ((sv[0] = sleeper_take(&a->sleeper, b->kind)) != -1)
		return send_end(a, b, sv[0]);
	if ((sv[1] = sleeper_take(&b->sleeper, a->kind)) != -1)
		return send_end(b, a, sv[1]);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == -1)
		return false;
	if (!send_end(a, b, sv[0])) {
		close(sv[1]);
		return false;
	}
	return send_end(b, a, sv[1]);
}

static bool
send_links(struct kid *k)
{
	struct parent *p = k->parent;
	bool sent = true;

	for (const struct kind_link *l = kind_links(p->role); l->a != PROC_NONE; l++)
		if (l->a == k->kind || l->b == k->kind)
			sent = sent && send_link(&p->kids[l->a], &p->kids[l->b]);
	return sent;
}

static void
kill_kid(struct kid *k)
{
	if (k->pid > 0)
		kill(k->pid, SIGKILL);	/* what remains is done when it is reaped */
}

/*
 * The courier has these keys and the mail that they open: a false word of it loses
 * nothing that it could not destroy by itself.
 */
static void
drop_retired(struct parent *p)
{
	struct why why = { "" };
	int rc = secrets_drop_retired(&p->secrets, p->common->state,
	    clock_surely_ms(&p->clock) - p->home->parked_keep_ms, &why);

	if (rc == 1)
		log_info(NULL, "age.retired dropped: nothing that is held needs it");
	else if (rc == -1)
		log_error(NULL, "age.retired kept: %s", why.text);
}

/* Only these are believed of a child; anything else is not our program speaking. */
static void
on_message(void *arg, struct chan_msg *m)
{
	struct kid *k = arg;

	if (m->type == PM_READY && m->body.n == 0 && m->fd == -1 && k->state == KID_STARTING) {
		k->state = KID_UP;
		log_debug(NULL, "proc.up name=%s pid=%d", proc_kind_name(k->kind), (int)k->pid);
		kids_start(k->parent);		/* the others wait for the writer */
		parent_up(k->parent);
	} else if (m->type == PM_RELOADED && m->fd == -1 && k->reloads > 0) {
		reload_answered(k, m->body);
	} else if (m->type == PM_UNRETIRED && m->body.n == 0 && m->fd == -1 &&
	    k->kind == PROC_COURIER) {
		drop_retired(k->parent);
	} else {
		log_error(NULL, "proc.distrust name=%s pid=%d message=%u: ended",
		    proc_kind_name(k->kind),
		    (int)k->pid, (unsigned)m->type);
		why_set(&k->cut, "channel: message %u, which it may not send now",
		    (unsigned)m->type);
		kill_kid(k);
		chan_free(&k->chan);	/* and no further word of it is heard */
	}
}

static void
on_closed(void *arg, const struct why *why)
{
	struct kid *k = arg;

	k->cut = *why;		/* said when it is reaped, beside how it ended */
	chan_free(&k->chan);
	kill_kid(k);		/* it ended, or it closed its one channel */
}

static void
start_kid(struct kid *k)
{
	struct parent *p = k->parent;
	struct why why = { "" };
	bool sent;
	int sv[2];

	k->since = instant_now();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == -1) {
		log_error(NULL, "proc.start name=%s socketpair: %s", proc_kind_name(k->kind),
		    strerror(errno));
		return;
	}
	if ((k->pid = spawn(p->role, k->kind, &p->account, sv[1], &why)) == -1 ||
	    (k->chan = chan_new(&p->loop, sv[0], &why)) == NULL) {
		log_error(NULL, "proc.start name=%s %s", proc_kind_name(k->kind), why.text);
		if (k->pid == -1) {
			close(sv[0]);
			k->pid = 0;
		}
		kill_kid(k);
		return;
	}
	k->state = KID_STARTING;
	k->told_drain = false;
	k->cut.text[0] = '\0';
	board_of(k)->pid = (int)k->pid;
	snprintf(board_of(k)->name, sizeof(board_of(k)->name), "%s", proc_kind_name(k->kind));
	chan_start(k->chan, on_message, on_closed, k);
	kid_send_config(k);
	for (size_t i = 0; i < p->secrets.n; i++)
		if (p->secrets.file[i].text.n > 0)
			kid_send_secret(k, &p->secrets.file[i]);
	sent = send_listeners(k) && send_dirs(k) &&
	    kid_send(k, PM_BOARD, NULL, 0, fcntl(p->ground.board_fd, F_DUPFD_CLOEXEC, 0)) &&
	    send_links(k);
	/* One that was not given everything would work without it: it must not begin. */
	if (!sent || !kid_send(k, PM_GO, NULL, 0, -1)) {
		log_error(NULL, "proc.start name=%s: it could not be given all that it needs",
		    proc_kind_name(k->kind));
		kill_kid(k);
	}
}

static void
start_later(struct kid *k);

static void
start_now(struct kid *k)
{
	k->state = KID_NONE;
	start_kid(k);
	if (k->pid == 0)
		start_later(k);
}

static void
on_timer(uv_timer_t *t)
{
	start_now(t->data);
}

static void
on_woken(void *arg)
{
	struct kid *k = arg;

	start_now(k);		/* in a drain too: who asks is to have an answer before its end */
}

static void
start_later(struct kid *k)
{
	k->state = KID_WAITING;
	uv_timer_start(&k->timer, on_timer, k->pause_ms, 0);
	k->pause_ms = k->pause_ms * 2 < PAUSE_MOST_MS ? k->pause_ms * 2 : PAUSE_MOST_MS;
}

void
kids_init(struct parent *p)
{
	for (enum proc_kind i = 0; i < PROC_KINDS; i++) {
		struct kid *k = &p->kids[i];

		*k = (struct kid){ .parent = p, .kind = i, .pause_ms = PAUSE_LEAST_MS };
		uv_timer_init(&p->loop, &k->timer);
		k->timer.data = k;
		k->sleeper = (struct sleeper){ .loop = &p->loop, .woken = on_woken, .arg = k };
	}
}

void
kids_start(struct parent *p)
{
	for (const enum proc_kind *kind = kinds_of(p->role); *kind != PROC_NONE &&
	    !p->draining; kind++) {
		struct kid *k = &p->kids[*kind];

		/*
		 * At the beginning the others wait until the writer has recovered what a crash
		 * left.
		 */
		if (*kind != PROC_WRITER && !p->up && p->kids[PROC_WRITER].state != KID_UP)
			return;
		if (k->state != KID_NONE || k->pid != 0 || !kind_wanted(*kind, p->edge, p->home))
			continue;
		if (kind_sleeps(*kind)) {
			k->state = KID_ASLEEP;
			continue;
		}
		start_kid(k);
		if (k->pid == 0) {
			if (p->up)
				start_later(k);
			else
				parent_drain(p, 1);
		}
	}
}

static void
describe_end(const struct kid *k, int status, char *out, size_t max)
{
	size_t n;

	if (WIFEXITED(status))
		snprintf(out, max, "status=%d", WEXITSTATUS(status));
	else if (WTERMSIG(status) == SIGSYS)
		snprintf(out, max,
		    "signal=SYS: its sandbox ended it; the kernel's log names the call");
	else
		snprintf(out, max, "signal=%s", sigabbrev_np(WTERMSIG(status)));
	n = strlen(out);
	if (k->cut.text[0] != '\0')
		snprintf(out + n, max - n, "; %.*s", (int)(max - n - 3), k->cut.text);
}

static bool
fall_asleep(struct kid *k)
{
	k->state = KID_ASLEEP;
	memset(board_of(k)->name, 0, sizeof(board_of(k)->name));	/* of no use in `status` */
	log_debug(NULL, "proc.asleep name=%s", proc_kind_name(k->kind));
	if (send_links(k))
		return true;
	k->state = KID_NONE;
	return false;
}

/* Ended by itself, as nobody had a word for it any more. */
static bool
fell_asleep(struct kid *k, int status)
{
	return kind_sleeps(k->kind) && WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
	    fall_asleep(k);
}

/* The only place where a process ends for us, however it ended. */
static void
kid_ended(struct kid *k, int status)
{
	struct parent *p = k->parent;
	bool settled = instant_ms_since(k->since, instant_now()) >= SETTLED_MS;
	char how[sizeof(k->cut.text) + 96];

	describe_end(k, status, how, sizeof(how));
	board_of(k)->pid = 0;
	k->pid = 0;
	k->state = KID_NONE;
	if (k->chan != NULL)
		chan_free(&k->chan);
	if (k->reloads > 0)
		reload_gone(k);
	if (p->draining) {
		log_debug(NULL, "proc.end name=%s %s", proc_kind_name(k->kind), how);
		/* The others may have a word for it to their end. */
		if (kind_sleeps(k->kind) && !k->told_drain)
			fall_asleep(k);
		kids_drain(p);
		return;
	}
	if (!kind_wanted(k->kind, p->edge, p->home) || fell_asleep(k, status)) {
		parent_up(p);		/* the others may wait for no more than it */
		return;
	}
	if (!p->up) {
		log_error(NULL, "proc.end name=%s %s: not starting", proc_kind_name(k->kind), how);
		parent_drain(p, 1);
		return;
	}
	if (settled)
		k->pause_ms = PAUSE_LEAST_MS;
	board_of(k)->restarts++;
	log_error(NULL, "proc.end name=%s again_ms=%u %s", proc_kind_name(k->kind),
	    (unsigned)k->pause_ms, how);
	start_later(k);
}

void
kids_reap(struct parent *p)
{
	for (enum proc_kind i = 0; i < PROC_KINDS; i++) {
		struct kid *k = &p->kids[i];
		int status;

		if (k->pid > 0 && waitpid(k->pid, &status, WNOHANG) == k->pid)
			kid_ended(k, status);
	}
}

static void
tell_drain(struct kid *k)
{
	if (k->pid > 0 && !k->told_drain) {
		k->told_drain = true;
		kid_send(k, PM_DRAIN, NULL, 0, -1);
	}
}

/* Names are asked for, and rows written, until who does so has ended. */
static unsigned
turn_to_end(enum proc_kind kind)
{
	return kind == PROC_WRITER ? 2 : kind_sleeps(kind) ? 1 : 0;
}

void
kids_drain(struct parent *p)
{
	unsigned turn = UINT_MAX;

	for (enum proc_kind i = 0; i < PROC_KINDS; i++) {
		struct kid *k = &p->kids[i];

		uv_timer_stop(&k->timer);
		if (k->state == KID_WAITING && kind_sleeps(i))
			fall_asleep(k);
		if (k->pid > 0 && turn_to_end(i) < turn)
			turn = turn_to_end(i);
	}
	for (enum proc_kind i = 0; i < PROC_KINDS; i++)
		if (turn_to_end(i) == turn)
			tell_drain(&p->kids[i]);
	if (turn == UINT_MAX)
		uv_stop(&p->loop);
}

void
kids_kill(struct parent *p)
{
	for (enum proc_kind i = 0; i < PROC_KINDS; i++)
		kill_kid(&p->kids[i]);
}
