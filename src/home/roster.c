#include "home/roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "home/home.h"

#define ASK_MS ((HELPER_SECONDS + 5) * 1000) /* then the helper is not waited for any longer */
#define AGAIN_MS	10000				/* after a failure */

struct roster {
	void		(*changed)(void *);
	void		*arg;
	uv_timer_t	 timer;		/* the next asking, or the end of patience with one */
	struct chan	*helper;
	struct mailboxes users;		/* configured */
	struct mailboxes boxes;		/* users and what the command said */
	char		 first[CONF_NAME_MAX];
	int64_t		 refresh_ms;
	bool		 has_command;
	bool		 answered;	/* or failed, once */
	bool		 learned;	/* it has succeeded once */
	struct instant	 learned_at;
	bool		 asking;
	bool		 ask_again;	/* the configuration changed meanwhile */
	uint64_t	 tag;
	struct buf	 text;
	char		 alarm[128];
};

static void	ask(struct roster *);

static void
on_timer(uv_timer_t *timer)
{
	ask(timer->data);
}

static void
asked(struct roster *r, const char *error)
{
	bool first = !r->answered;
	char before[sizeof(r->alarm)];

	memcpy(before, r->alarm, sizeof(before));
	r->asking = false;
	r->answered = true;
	buf_fini(&r->text);
	buf_init(&r->text, MAILBOXES_TEXT_MAX);
	if (error[0] == '\0')
		r->alarm[0] = '\0';
	else
		snprintf(r->alarm, sizeof(r->alarm), "mailbox command: %.100s", error);
	if (error[0] != '\0')
		log_error(NULL, "mailboxes.command list=%s: %s",
		    r->learned ? "the last good one" : "none yet", error);
	uv_timer_start(
	    &r->timer, on_timer, error[0] == '\0' ? (uint64_t)r->refresh_ms : AGAIN_MS, 0);
	if (r->ask_again)
		ask(r);
	if (first || strcmp(before, r->alarm) != 0)
		r->changed(r->arg);
}

static void
on_ask_late(uv_timer_t *timer)
{
	asked(timer->data, "the helper does not answer");
}

static void
ask(struct roster *r)
{
	if (!r->has_command)
		return;
	if (r->asking) {
		r->ask_again = true;
		return;
	}
	r->ask_again = false;
	if (r->helper == NULL)
		return;			/* asked when it is there */
	r->asking = true;
	buf_clear(&r->text);
	uv_timer_start(&r->timer, on_ask_late, ASK_MS, 0);
	if (!chan_send(r->helper, HM_RUN, ++r->tag, NULL, 0, -1))
		asked(r, "memory is out");
}

/* The command's whole output becomes the list, or nothing of it does. */
static const char *
learn(struct roster *r)
{
	struct mailboxes all = { .names = NULL };
	size_t skipped;

	if (r->text.failed)
		return "it printed more than 10 MiB";
	for (size_t i = 0; i < r->users.n; i++)
		mailboxes_add(&all, span_str(r->users.names[i]));
	if (!mailboxes_read(&all, buf_span(&r->text), &skipped)) {
		mailboxes_fini(&all);
		return "it printed more than 200,000 lines, or memory is out";
	}
	if (skipped > 0)
		log_warn(NULL,
		    "mailboxes.skipped lines=%zu: no names of mailboxes (one local part a line)",
		    skipped);
	log_info(NULL, "mailboxes.learned mailboxes=%zu", all.n);
	mailboxes_fini(&r->boxes);
	r->boxes = all;
	r->learned = true;
	r->learned_at = instant_now();
	return "";
}

static void
on_message(void *arg, struct chan_msg *m)
{
	struct roster *r = arg;
	char error[256];

	if (!r->asking || m->tag != r->tag)
		return;			/* of a question that was given up */
	if (m->type == HM_OUTPUT) {
		buf_add_span(&r->text, m->body);
	} else if (m->type == HM_RAN && m->body.n > 0) {
		asked(r, log_escape_words(m->body, error, sizeof(error)));
	} else if (m->type == HM_RAN) {
		asked(r, learn(r));
	}
}

static void
on_helper_closed(void *arg, const struct why *why)
{
	struct roster *r = arg;

	chan_free(&r->helper);
	if (r->asking)
		asked(r, "the helper process died");
}

void
roster_attach(struct roster *r, struct chan *c)
{
	if (r->helper != NULL)
		chan_free(&r->helper);
	r->helper = c;
	chan_start(c, on_message, on_helper_closed, r);
	if (r->asking)
		asked(r, "the helper process was restarted");
	ask(r);
}

void
roster_configure(struct roster *r, const struct conf_home *conf)
{
	mailboxes_fini(&r->users);
	for (size_t i = 0; i < conf->nusers; i++)
		if (!mailboxes_add(&r->users, span_str(conf->users[i])))
			log_error(NULL, "mailboxes.user user=%s is left out: no name for a mailbox",
			    conf->users[i]);
	span_copy(span_str(conf->nusers > 0 ? conf->users[0] : ""), r->first, sizeof(r->first));
	r->has_command = conf->users_command[0] != '\0';
	r->refresh_ms = conf->users_refresh_ms;
	if (!r->has_command || !r->learned) {
		mailboxes_fini(&r->boxes);
		for (size_t i = 0; i < r->users.n; i++)
			mailboxes_add(&r->boxes, span_str(r->users.names[i]));
	}
	if (!r->has_command) {
		r->alarm[0] = '\0';
		r->learned = false;
		uv_timer_stop(&r->timer);
	}
	ask(r);
}

bool
roster_known(const struct roster *r)
{
	return !r->has_command || r->answered;
}

void
roster_router(struct roster *r, const struct conf_home *conf, struct router *out)
{
	*out = (struct router){ .boxes = &r->boxes,
		.catch_all = conf->catch_all,
		.roles = conf->roles,
		.first = r->first };
	out->stale = r->has_command &&
	    (!r->learned || instant_ms_since(r->learned_at, instant_now()) > ROSTER_FRESH_MS);
}

void
roster_missed(struct roster *r)
{
	/* A question under way, or the pause after a failure, answers this one too. */
	if (!r->asking && r->alarm[0] == '\0')
		ask(r);
}

const char *
roster_alarm(const struct roster *r)
{
	return r->alarm;
}

struct roster *
roster_new(uv_loop_t *loop, void (*changed)(void *), void *arg)
{
	struct roster *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->changed = changed;
	r->arg = arg;
	buf_init(&r->text, MAILBOXES_TEXT_MAX);
	uv_timer_init(loop, &r->timer);
	r->timer.data = r;
	return r;
}

static void
on_freed(uv_handle_t *timer)
{
	free(timer->data);
}

void
roster_free(struct roster **rp)
{
	struct roster *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	if (r->helper != NULL)
		chan_free(&r->helper);
	mailboxes_fini(&r->users);
	mailboxes_fini(&r->boxes);
	buf_fini(&r->text);
	uv_close((uv_handle_t *)&r->timer, on_freed);
}
