#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_mark.h"
#include "base/log.h"
#include "home/home.h"
#include "home/mailboxes.h"
#include "priv/command.h"
#include "priv/proc.h"

struct source {				/* of the list */
	char		 command[sizeof(((struct conf_home *)0)->users_command)];
	char		 file[CONF_PATH_MAX], path[CONF_PATH_MAX];
};

/*
 * The helper process of a home: reads the one configured file of mailboxes and runs
 * the one configured command that lists some, when the courier asks, and hands their
 * text back.  It looks every second whether the file is another one.
 *
 * It holds nothing and talks to the courier, which can only say "run it": what
 * is run stands in the configuration of that moment.  No network.  The command gets
 * an empty environment but PATH, nothing on standard input, HELPER_SECONDS, a process
 * group of its own that is killed with it, and no say beyond MAILBOXES_TEXT_MAX
 * octets.  An attacker who owns the command lies about which mailboxes exist.
 */
struct helper {
	struct proc	*proc;
	struct chan	*courier;
	/* The question that is being answered, and who asked; NULL: who is gone. */
	struct chan	*asker;
	uint64_t	 tag;
	struct command_run run;
	/* One that came while what was run for an asker who is gone is being ended. */
	bool		 waits;
	uint64_t	 next_tag;
	bool		 ready;		/* it may read what the courier says */
	uv_timer_t	 look;		/* at the file */
	struct file_mark seen;		/* the file as it was looked at last */
	struct source	 asked;		/* what was run and read last */
	char		 piece[HELPER_PIECE];
};

static struct helper *
helper_of(struct proc *p)
{
	struct helper *h = p->arg;

	if (h == NULL) {
		if ((h = calloc(1, sizeof(*h))) == NULL)
			abort();	/* at start: memory is out */
		h->proc = p;
		p->arg = h;
	}
	return h;
}

static void
tell(struct helper *h, const char *error)
{
	struct span part = span_str(error);

	if (error[0] != '\0')
		log_warn(NULL, "helper.failed: %s", error);
	if (h->asker != NULL)
		chan_send(h->asker, HM_RAN, h->tag, &part, 1, -1);
	h->asker = NULL;
}

static void	answer(struct helper *, uint64_t tag);

static void
on_over(void *arg, const char *error)
{
	struct helper *h = arg;

	tell(h, error);
	if (h->waits)
		answer(h, h->next_tag);
}

static bool
on_output(void *arg, struct span part)
{
	struct helper *h = arg;

	return h->asker == NULL || chan_send(h->asker, HM_OUTPUT, h->tag, &part, 1, -1);
}

/* --- the file ----------------------------------------------------------------------------- */

#define LOOK_MS	1000

static void
on_look(uv_timer_t *timer)
{
	struct helper *h = timer->data;
	const char *path = h->proc->home->users_file;
	struct file_mark now;

	if (path[0] == '\0')
		return;
	now = file_mark_at(path);	/* one that is gone is another one, too */
	if (file_mark_same(&now, &h->seen))
		return;
	h->seen = now;
	if (h->courier != NULL)
		chan_send(h->courier, HM_CHANGED, 0, NULL, 0, -1);
}

/* Hands it over and ends the last line, if its writer did not.  False: why was told. */
static bool
send_file(struct helper *h)
{
	const char *path = h->proc->home->users_file;
	struct span part = span_of("\n", 1);
	char error[400];
	size_t octets = 0;
	ssize_t n = -1;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd != -1 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
		errno = EINVAL;
	else
		while (fd != -1 && (n = read(fd, h->piece, sizeof(h->piece))) > 0) {
			part = span_of(h->piece, (size_t)n);
			octets += part.n;
			if (octets > MAILBOXES_TEXT_MAX ||
			    !chan_send(h->asker, HM_OUTPUT, h->tag, &part, 1, -1)) {
				errno = EFBIG;
				n = -1;
				break;
			}
		}
	if (n == -1)
		snprintf(error, sizeof(error), "%.256s cannot be read: %s", path, strerror(errno));
	if (fd != -1)
		close(fd);
	part = span_of("\n", 1);
	if (n == -1)
		tell(h, error);
	return n == 0 && chan_send(h->asker, HM_OUTPUT, h->tag, &part, 1, -1);
}

/* --- the command -------------------------------------------------------------------------- */

static void
run_command(struct helper *h)
{
	static const struct command_limits limits = { .seconds = HELPER_SECONDS,
		.octets = MAILBOXES_TEXT_MAX, .too_long = "it took longer than 30 s",
		.too_much = "it printed more than 10 MiB" };
	static const struct command_ops ops = { .output = on_output, .over = on_over };
	const struct conf_home *conf = h->proc->home;
	struct command_line cl;
	char path[CONF_PATH_MAX + 8];
	char *env[] = { path, NULL };

	if (!command_line_parse(span_str(conf->users_command), &cl)) {
		tell(h, "a quote in it has no end");
		return;
	}
	snprintf(path, sizeof(path), "PATH=%s", conf->helper_path);
	command_begin(&h->run, h->proc->loop, &cl, env, &limits, &ops, h);
}

static struct source
source_of(const struct conf_home *c)
{
	struct source s;

	memcpy(s.command, c->users_command, sizeof(s.command));
	memcpy(s.file, c->users_file, sizeof(s.file));
	memcpy(s.path, c->helper_path, sizeof(s.path));
	return s;
}

static void
answer(struct helper *h, uint64_t tag)
{
	bool file = h->proc->home->users_file[0] != '\0';
	bool command = h->proc->home->users_command[0] != '\0';

	h->asked = source_of(h->proc->home);
	h->waits = false;
	h->asker = h->courier;
	h->tag = tag;
	/* The courier was reloaded before us; by an empty list it would refuse all for good. */
	if (!file && !command) {
		tell(h, "it is not known to the helper yet");
		return;
	}
	if (file && !send_file(h))
		return;
	if (command)
		run_command(h);
	else
		tell(h, "");
}

static void
on_message(void *arg, struct chan_msg *m)
{
	struct helper *h = arg;
	const char *busy = "it is still running for an earlier question";
	struct span part = span_str(busy);

	if (m->type != HM_RUN) {
		log_error(NULL, "courier.message type=%u is none of ours: dropped", m->type);
	} else if (!h->run.going) {
		answer(h, m->tag);
	} else if (h->asker == NULL && !h->waits) {
		h->waits = true;
		h->next_tag = m->tag;
	} else {
		chan_send(h->courier, HM_RAN, m->tag, &part, 1, -1);
	}
}

/*
 * Another courier counts its questions from the beginning: what was run for this one would be
 * the end of a list to it, and look like a whole one.
 */
static void
courier_gone(struct helper *h)
{
	chan_free(&h->courier);
	h->asker = NULL;
	h->waits = false;
	command_kill(&h->run, "who asked is gone");
}

static void
on_courier_closed(void *arg, const struct why *why)
{
	courier_gone(arg);
}

static void
on_peer_chan(struct proc *p, enum proc_kind kind, struct chan *chan)
{
	struct helper *h = helper_of(p);

	if (kind != PROC_COURIER) {
		chan_free(&chan);
		return;
	}
	courier_gone(h);
	h->courier = chan;
	if (h->ready)
		chan_start(chan, on_message, on_courier_closed, h);
}

static int
start(struct proc *p, struct why *why)
{
	struct helper *h = helper_of(p);

	if (uv_timer_init(p->loop, &h->look) != 0)
		return why_set(why, "timer");
	h->look.data = h;
	return 0;
}

static void
run(struct proc *p)
{
	struct helper *h = helper_of(p);

	h->ready = true;
	h->seen = file_mark_at(p->home->users_file);
	uv_timer_start(&h->look, on_look, LOOK_MS, LOOK_MS);
	if (h->courier != NULL)
		chan_start(h->courier, on_message, on_courier_closed, h);
}

/* The courier's question after its own reload may have come before ours: it asks again. */
static void
reload(struct proc *p)
{
	struct helper *h = helper_of(p);
	const struct source now = source_of(p->home);

	if (h->courier != NULL && memcmp(&now, &h->asked, sizeof(now)) != 0)
		chan_send(h->courier, HM_CHANGED, 0, NULL, 0, -1);
}

static void
drain(struct proc *p)
{
	struct helper *h = helper_of(p);

	uv_timer_stop(&h->look);
	command_kill(&h->run, "this home is stopped");
	uv_stop(p->loop);
}

const struct proc_ops proc_helper = {
	.name = "helper", .start = start, .run = run, .peer = on_peer_chan, .reload = reload,
	.drain = drain,
};
