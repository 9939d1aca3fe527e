#include "priv/proc.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "net/awake.h"
#include "net/spin.h"
#include "priv/sandbox.h"

/*
 * The life of one process: take what the parent gives, start, enter the sandbox,
 * work, end.  What is specific to a kind is in its proc_ops.
 */
struct child {
	struct proc	 p;
	const struct proc_ops *ops;
	bool		 going;		/* GO has come */
	char		 who[32];	/* "edge.reception" */
};

static struct child child;		/* one a process, and the log keeps a pointer into it */

static _Noreturn void
die(const struct why *why)
{
	log_error(NULL, "proc.failed %s", why->text);
	_exit(1);
}

/* A message from the parent that makes no sense: a mixed installation, or a bug. */
static _Noreturn void
die_of(const char *what)
{
	struct why why;

	why_set(&why, "the parent sent a bad %s message", what);
	die(&why);
}

/* Splits a C string off the front of a body. */
static const char *
take_name(struct span *body, const char *what)
{
	const char *name = body->p, *end = body->n > 0 ? memchr(body->p, '\0', body->n) : NULL;

	if (end == NULL)
		die_of(what);
	*body = span_from(*body, (size_t)(end - name) + 1);
	return name;
}

static int
take_fd(struct chan_msg *m, const char *what)
{
	int fd = m->fd;

	if (fd == -1)
		die_of(what);
	m->fd = -1;
	return fd;
}

/*
 * Other parts keep pointers into the configuration, so a new one goes into the old
 * one's place.  Page by page, and only pages that differ: most of it is zeroes
 * that were never touched and take no memory.
 */
static void
replace(void *old, const void *new_, size_t n)
{
	for (size_t at = 0, part; at < n; at += part) {
		part = n - at < 4096 ? n - at : 4096;
		if (memcmp((char *)old + at, (const char *)new_ + at, part) != 0)
			memcpy((char *)old + at, (const char *)new_ + at, part);
	}
}

static int
take_config(struct chan_msg *m, struct why *why)
{
	struct proc *p = &child.p;
	struct span text = m->body;
	enum conf_role role;
	const char *file;

	if (text.n == 0)
		die_of("CONFIG");
	role = (enum conf_role)text.p[0];
	text = span_from(text, 1);
	file = take_name(&text, "CONFIG");
	if ((role != CONF_EDGE && role != CONF_HOME) ||
	    (p->role != CONF_NO_ROLE && p->role != role))
		die_of("CONFIG");
	if (role == CONF_EDGE) {
		struct conf_edge *c = conf_edge_parse(file, text, why);

		if (c == NULL)
			return -1;
		if (p->edge == NULL) {
			p->edge = c;
		} else {
			replace(p->edge, c, sizeof(*c));
			free(c);
		}
		p->common = &p->edge->common;
	} else {
		struct conf_home *c = conf_home_parse(file, text, why);

		if (c == NULL)
			return -1;
		if (p->home == NULL) {
			p->home = c;
		} else {
			replace(p->home, c, sizeof(*c));
			free(c);
		}
		p->common = &p->home->common;
	}
	p->role = role;
	snprintf(child.who, sizeof(child.who), "%s.%s", proc_role_name(role), child.ops->name);
	log_init(child.who, (enum log_level)p->common->log_level);
	return 0;
}

static void
on_config(struct chan_msg *m)
{
	struct why why = { "" };
	struct span words;

	if (!child.going) {
		if (take_config(m, &why) == -1)
			die(&why);
		return;
	}
	if (take_config(m, &why) == 0 && child.ops->reload != NULL)
		child.ops->reload(&child.p);
	words = span_str(why.text);
	chan_send(child.p.parent, PM_RELOADED, 0, &words, 1, -1);
}

static void
on_board(struct chan_msg *m)
{
	int fd = take_fd(m, "BOARD");
	struct stat st;
	struct why why;
	void *p;

	if (fstat(fd, &st) == -1 || st.st_size < (off_t)sizeof(struct scoreboard))
		die_of("BOARD");
	p = mmap(NULL, sizeof(struct scoreboard), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED) {
		why_sys(&why, "scoreboard");
		die(&why);
	}
	child.p.board = p;
}

static void
on_peer_chan(struct chan_msg *m)
{
	int fd = take_fd(m, "PEER_CHAN");
	struct chan *peer;
	struct why why;

	if (m->body.n != 1 || (unsigned char)m->body.p[0] >= PROC_KINDS)
		die_of("PEER_CHAN");
	if ((peer = chan_new(child.p.loop, fd, &why)) == NULL)
		die(&why);
	if (child.ops->peer != NULL)
		child.ops->peer(&child.p, (enum proc_kind)m->body.p[0], peer);
	else
		chan_free(&peer);
}

static void
on_go(void)
{
	struct proc *p = &child.p;
	char level[sizeof(p->board->proc[0].sandbox)];
	struct why why = { "" };

	if (child.going || p->role == CONF_NO_ROLE || p->board == NULL)
		die_of("GO");
	if (child.ops->start != NULL && child.ops->start(p, &why) == -1)
		die(&why);
	if (sandbox_enter(p, level, sizeof(level), &why) == -1)
		die(&why);
	memcpy(p->board->proc[p->kind].sandbox, level, sizeof(level));
	child.going = true;
	if (child.ops->run != NULL)
		child.ops->run(p);
	malloc_trim(0);			/* what reading configuration and keys has used and left */
	log_debug(NULL, "proc.ready pid=%d sandbox=\"%s\"", (int)getpid(), level);
	chan_send(p->parent, PM_READY, 0, NULL, 0, -1);
}

static void
on_message(void *arg, struct chan_msg *m)
{
	const struct proc_ops *ops = child.ops;
	struct span body = m->body;
	const char *name;

	switch ((enum proc_msg)m->type) {
	case PM_CONFIG:
		on_config(m);
		break;
	case PM_SECRET:
		name = take_name(&body, "SECRET");
		if (ops->secret != NULL)
			ops->secret(&child.p, name, body);
		break;
	case PM_LISTEN:
		name = take_name(&body, "LISTEN");
		if (ops->listen != NULL)
			ops->listen(&child.p, name, take_fd(m, "LISTEN"));
		break;
	case PM_DIR:
		name = take_name(&body, "DIR");
		if (ops->dir != NULL)
			ops->dir(&child.p, name, take_fd(m, "DIR"));
		break;
	case PM_BOARD:
		on_board(m);
		break;
	case PM_PEER_CHAN:
		on_peer_chan(m);
		break;
	case PM_GO:
		on_go();
		break;
	case PM_DRAIN:
		if (child.going && ops->drain != NULL)
			ops->drain(&child.p);
		else
			uv_stop(child.p.loop);
		break;
	default:
		die_of("new");
	}
}

/*
 * The parent is gone, and nobody would restart us or stop us: what is not yet
 * durable was promised to no one.
 */
static void
on_parent_gone(void *arg, const struct why *why)
{
	_exit(0);
}

int
proc_child_main(enum proc_kind kind, const struct proc_ops *ops)
{
	static uv_loop_t loop;		/* what still hangs on it at the end is not lost */
	struct why why = { "" };

	child.ops = ops;
	child.p.kind = kind;
	snprintf(child.who, sizeof(child.who), "posthouse.%s", ops->name);
	log_init(child.who, LOG_INFO);
	prctl(PR_SET_NAME, ops->name);
	/* Who signals all of ours does not end us: the parent does, in order. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	/* One heap: libuv's few threads do not need one each, and idle memory counts. */
	mallopt(M_ARENA_MAX, 1);
	if (uv_loop_init(&loop) != 0) {
		why_set(&why, "no event loop");
		die(&why);
	}
	awake_begin(&loop);
	spin_begin(&loop);
	child.p.loop = &loop;
	if ((child.p.parent = chan_new(&loop, PROC_FD, &why)) == NULL) {
		log_error(NULL, "proc.failed %s; this command is for posthouse itself", why.text);
		return 1;
	}
	chan_start(child.p.parent, on_message, on_parent_gone, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	if (ops->stop != NULL && child.going)
		ops->stop(&child.p);
	log_debug(NULL, "proc.done");
	return 0;
}
