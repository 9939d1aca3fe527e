#include "home/roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/clock.h"
#include "base/log.h"
#include "home/home.h"
#include "net/awake.h"

#define ASK_MS ((HELPER_SECONDS + 5) * 1000) /* then the helper is not waited for any longer */
#define AGAIN_MS	10000				/* after a failure */

struct roster {
	void		(*changed)(void *);
	void		*arg;
	uv_timer_t	 timer;		/* the next asking, or the end of patience with one */
	struct instant	 ask_due;	/* of that patience */
	struct chan	*helper;
	const struct conf_home *conf;
	struct mailboxes boxes;		/* of the configuration, the file and the command */
	char		 first[CONF_NAME_MAX];
	int64_t		 refresh_ms;
	bool		 has_list;	/* a file or a command */
	bool		 answered;	/* or failed, once */
	bool		 learned;	/* it has succeeded once */
	size_t		 listed;	/* by the list in force, without the configuration's */
	uint64_t	 number;	/* of the list in force: another one has another */
	uint64_t	 told;		/* by changed() */
	unsigned char	 text_digest[32];	/* of the text that was learned; zero: none */
	int64_t		 learned_ms;
	struct instant	 learned_at;
	bool		 asking;
	bool		 ask_again;	/* the configuration changed meanwhile */
	uint64_t	 tag;
	struct buf	 text;		/* as it comes */
	struct buf	 good;		/* of the list in force */
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
		snprintf(r->alarm, sizeof(r->alarm), "list of mailboxes: %.100s", error);
	if (error[0] != '\0')
		log_error(NULL, "mailboxes.refused list=%s: %s",
		    r->learned ? "the last good one" : "none yet", error);
	uv_timer_start(
	    &r->timer, on_timer, error[0] == '\0' ? (uint64_t)r->refresh_ms : AGAIN_MS, 0);
	if (r->ask_again)
		ask(r);
	if (first || strcmp(before, r->alarm) != 0 || r->number != r->told)
		r->changed(r->arg);
	r->told = r->number;
}

static void
on_ask_late(uv_timer_t *timer)
{
	struct roster *r = timer->data;

	if (awake_over(timer, on_ask_late, r->ask_due))
		asked(r, "the helper does not answer");
}

static void
ask(struct roster *r)
{
	if (!r->has_list)
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
	awake_timer(&r->timer, on_ask_late, ASK_MS, &r->ask_due);
	if (!chan_send(r->helper, HM_RUN, ++r->tag, NULL, 0, -1))
		asked(r, "memory is out");
}

/* What the configuration says itself. */
static void
add_configured(const struct roster *r, struct mailboxes *m)
{
	const struct conf_home *conf = r->conf;
	char from[sizeof(conf->domains[0].aliases[0].from) + sizeof(conf->domains[0].name) + 1];

	for (size_t i = 0; i < conf->nusers; i++)
		if (!mailboxes_add(m, span_str(conf->users[i])))
			log_error(NULL, "mailboxes.user user=%s is left out: no name for a mailbox",
			    conf->users[i]);
	for (size_t i = 0; i < conf->ndomains; i++)
		for (size_t k = 0; k < conf->domains[i].naliases; k++) {
			const struct conf_alias *a = &conf->domains[i].aliases[k];

			snprintf(from, sizeof(from), "%s@%s", a->from, conf->domains[i].name);
			if (!mailboxes_alias(m, span_str(from), span_str(a->to)))
				log_error(NULL, "mailboxes.alias alias=%s is left out: no address",
				    log_safe(span_str(from)).s);
		}
}

/*
 * A program's apology is no list: by it everybody would be refused for good.  taken: what it names;
 * configured: who is there without it.
 */
static bool
is_list(const struct roster *r, size_t taken, size_t skipped, size_t configured, struct why *why)
{
	if (skipped > taken)
		why_set(why, "%zu of %zu lines are neither a mailbox nor an alias", skipped,
		    skipped + taken);
	else if (taken == 0 && r->listed > 0)
		why_set(why, "it names nobody, and named %zu before", r->listed);
	else if (taken == 0 && configured == 0)
		why_set(why, "it names nobody, and nobody else does");
	else
		return true;
	return false;
}

/* The whole text becomes the list, or nothing of it does. */
static void
learn(struct roster *r, struct why *why)
{
	struct mailboxes all = { .names = NULL };
	unsigned char digest[EVP_MAX_MD_SIZE] = { 0 };
	size_t skipped, configured, taken;

	if (r->text.failed) {
		why_set(why, "it is longer than 10 MiB");
		return;
	}
	add_configured(r, &all);
	configured = all.n + all.naliases;
	if (mailboxes_read(&all, buf_span(&r->text), &skipped, why) == -1) {
		mailboxes_fini(&all);
		return;
	}
	taken = all.n + all.naliases - configured;
	if (!is_list(r, taken, skipped, configured, why)) {
		mailboxes_fini(&all);
		return;
	}
	r->listed = taken;
	/* The same again is the same list: neither edges nor the log need hear of it. */
	if (EVP_Digest(r->text.p != NULL ? r->text.p : "", r->text.n, digest, NULL, EVP_sha256(),
	    NULL) != 1 || memcmp(digest, r->text_digest, sizeof(r->text_digest)) != 0) {
		r->number++;
		if (skipped > 0)
			log_warn(NULL, "mailboxes.skipped lines=%zu: neither a mailbox nor an "
			    "alias", skipped);
		log_info(NULL, "mailboxes.learned mailboxes=%zu aliases=%zu", all.n, all.naliases);
	}
	memcpy(r->text_digest, digest, sizeof(r->text_digest));
	mailboxes_fini(&r->boxes);
	r->boxes = all;
	buf_fini(&r->good);
	r->good = r->text;
	buf_init(&r->text, MAILBOXES_TEXT_MAX);
	r->learned = true;
	r->learned_at = instant_now();
	r->learned_ms = wall_ms();
}

/*
 * The last good text beside what the configuration says now: who is new there need not wait
 * until a list that fails just then is mended.  If they do not go together the list stays as it
 * is, and the answer that is asked for anyway says why.
 */
static void
configured_anew(struct roster *r)
{
	struct mailboxes all = { .names = NULL };
	struct why why;
	size_t skipped;

	add_configured(r, &all);
	if (r->learned && mailboxes_read(&all, buf_span(&r->good), &skipped, &why) == -1) {
		mailboxes_fini(&all);
		return;
	}
	mailboxes_fini(&r->boxes);
	r->boxes = all;
	r->number++;
	if (!r->learned)
		r->learned_ms = wall_ms();
}

static void
on_message(void *arg, struct chan_msg *m)
{
	struct roster *r = arg;
	struct why why = { "" };
	char error[256];

	if (m->type == HM_CHANGED) {
		ask(r);
		return;
	}
	if (!r->asking || m->tag != r->tag)
		return;			/* of a question that was given up */
	if (m->type == HM_OUTPUT) {
		buf_add_span(&r->text, m->body);
	} else if (m->type == HM_RAN && m->body.n > 0) {
		asked(r, log_escape_words(m->body, error, sizeof(error)));
	} else if (m->type == HM_RAN) {
		learn(r, &why);
		asked(r, why.text);
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
	r->conf = conf;
	memset(r->text_digest, 0, sizeof(r->text_digest));
	span_copy(span_str(conf->nusers > 0 ? conf->users[0] : ""), r->first, sizeof(r->first));
	r->has_list = conf->users_command[0] != '\0' || conf->users_file[0] != '\0';
	r->refresh_ms = conf->users_refresh_ms;
	if (!r->has_list) {
		r->alarm[0] = '\0';
		r->learned = false;
		r->asking = r->ask_again = false;	/* its answer is nobody's */
		r->listed = 0;
		buf_fini(&r->good);
		uv_timer_stop(&r->timer);
	}
	configured_anew(r);
	ask(r);
}

bool
roster_known(const struct roster *r)
{
	return !r->has_list || r->answered;
}

void
roster_router(struct roster *r, const struct conf_home *conf, const struct edges *edges,
    struct router *out)
{
	*out = (struct router){ .boxes = &r->boxes,
		.edges = edges,
		.catch_all = conf->catch_all,
		.callout = conf->callout,
		.roles = conf->roles,
		.all_roles = conf->all_roles,
		.domains = conf->domains,
		.ndomains = conf->ndomains,
		.first = r->first };
	out->unread = r->has_list && !r->learned;
	out->stale = r->has_list &&
	    (!r->learned || instant_ms_since(r->learned_at, instant_now()) > ROSTER_FRESH_MS);
}

uint64_t
roster_number(const struct roster *r, int64_t *learned_ms)
{
	/* A configured list is right as long as it is configured. */
	*learned_ms = r->has_list ? (r->learned ? r->learned_ms : 0) : wall_ms();
	return r->number;
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
	mailboxes_fini(&r->boxes);
	buf_fini(&r->text);
	buf_fini(&r->good);
	uv_close((uv_handle_t *)&r->timer, on_freed);
}
