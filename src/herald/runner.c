#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "herald/turn.h"
#include "priv/command.h"
#include "priv/proc.h"
#include "proto/notice.h"
#include "store/tell.h"

/*
 * The runner: tells somebody of alarms by the one configured command, when the writer says so.
 *
 * It holds nothing and talks to the writer alone, which can only say what is told: what is
 * run stands in the configuration of that moment.  The command may use the network, as a
 * client, since whoever is to be told is seldom on this machine; it reads every file that
 * the account may and writes in /tmp alone.  What is told is in its environment, never in
 * its arguments, where every user of the machine would see it.  An attacker who owns the
 * command can say that all is well.
 */
#define RUN_SECONDS	30
#define RUN_OCTETS	(64u << 10)	/* nobody reads it: its first line may say what is wrong */
#define RUN_PATH	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct runner {
	struct proc	*proc;
	struct chan	*writer;
	bool		 ready;
	struct turn	 turn;
	struct buf	 text;		/* of its environment */
	char		 said[120];	/* the first line that it printed */
	size_t		 nsaid;
	struct command_run run;
};

static void	begin(struct runner *, struct span json);

static void
tell(struct runner *r, const char *error)
{
	struct buf next;

	if (turn_over(&r->turn, error, &next)) {
		begin(r, span_from(buf_span(&next), 1));
		buf_fini(&next);
	}
}

static bool
on_output(void *arg, struct span part)
{
	struct runner *r = arg;

	for (size_t i = 0; i < part.n && r->nsaid < sizeof(r->said); i++)
		r->said[r->nsaid++] = part.p[i];
	return true;
}

static void
on_over(void *arg, const char *error)
{
	struct runner *r = arg;
	char words[TELL_WHY_MAX], said[150];
	size_t line = 0;

	while (line < r->nsaid && r->said[line] != '\n')
		line++;
	log_escape_words(span_of(r->said, line), said, sizeof(said));
	snprintf(words, sizeof(words), "%.120s%s%s", error, error[0] != '\0' && line > 0 ?
	    "; it said: " : "", error[0] != '\0' ? said : "");
	buf_fini(&r->text);
	tell(r, words);
}

static void
begin(struct runner *r, struct span json)
{
	static const struct command_limits limits = { .seconds = RUN_SECONDS, .octets = RUN_OCTETS,
		.too_long = "it took longer than 30 s", .too_much = "it printed more than 64 KiB" };
	static const struct command_ops ops = { .output = on_output, .over = on_over };
	static char path[] = RUN_PATH;
	char *env[NOTICE_VARS + 2];
	struct command_line cl;
	struct notice n;
	struct why why;
	size_t vars;

	r->nsaid = 0;
	if (notice_read(json, &n, &why) == -1) {
		tell(r, why.text);
		return;
	}
	if (!command_line_parse(span_str(r->proc->common->alarms.command), &cl)) {
		tell(r, "no command is configured any more");
		return;
	}
	buf_init(&r->text, NOTICE_MAX);
	if ((vars = notice_environment(&n, &r->text, env)) == 0) {
		buf_fini(&r->text);
		tell(r, "memory is out");
		return;
	}
	env[vars] = path;
	env[vars + 1] = NULL;
	command_begin(&r->run, r->proc->loop, &cl, env, &limits, &ops, r);
}

static void
on_message(void *arg, struct chan_msg *m)
{
	struct runner *r = arg;

	if (m->type != TELL_NOTICE || m->body.n == 0)
		log_error(NULL, "runner.message type=%u is none of ours: dropped", m->type);
	else if (turn_take(&r->turn, r->writer, m))
		begin(r, span_from(m->body, 1));
}

static void
writer_gone(struct runner *r)
{
	chan_free(&r->writer);
	turn_gone(&r->turn);
}

static void
on_closed(void *arg, const struct why *why)
{
	writer_gone(arg);
}

static struct runner *
runner_of(struct proc *p)
{
	struct runner *r = p->arg;

	if (r == NULL) {
		if ((r = calloc(1, sizeof(*r))) == NULL)
			abort();	/* at start: memory is out */
		r->proc = p;
		p->arg = r;
	}
	return r;
}

static void
on_peer(struct proc *p, enum proc_kind kind, struct chan *chan)
{
	struct runner *r = runner_of(p);

	if (kind != PROC_WRITER) {
		chan_free(&chan);
		return;
	}
	writer_gone(r);
	r->writer = chan;
	if (r->ready)
		chan_start(chan, on_message, on_closed, r);
}

static void
run(struct proc *p)
{
	struct runner *r = runner_of(p);

	r->ready = true;
	if (r->writer != NULL)
		chan_start(r->writer, on_message, on_closed, r);
}

static void
drain(struct proc *p)
{
	command_kill(&runner_of(p)->run, "this role is stopped");
	uv_stop(p->loop);
}

const struct proc_ops proc_runner = {
	.name = "runner", .run = run, .peer = on_peer, .drain = drain,
};
