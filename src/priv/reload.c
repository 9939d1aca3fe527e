#include "priv/parent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "net/awake.h"
#include "priv/kinds.h"
#include "priv/notify.h"
#include "priv/signers.h"

/* What is read again: the configuration at SIGHUP, secret files whenever they change. */
#define LATE_MS	30000

int
config_read(const char *file, struct buf *out, struct why *why)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t got = 0;
	char *room;

	buf_init(out, CONF_FILE_MAX + 4096);
	if (fd == -1)
		return why_sys(why, "%s", file);
	while ((room = buf_room(out, 4096)) != NULL && (got = read(fd, room, 4096)) > 0)
		buf_used(out, (size_t)got);
	if (got == -1)
		why_sys(why, "%s", file);
	close(fd);
	if (room == NULL)
		return why_set(why, "%s: larger than %u octets; this is no configuration", file,
		    CONF_FILE_MAX);
	return got == -1 ? -1 : 0;
}

void
config_free(struct parent *p)
{
	buf_fini(&p->text);
	free(p->edge);
	free(p->home);
	p->edge = NULL;
	p->home = NULL;
	p->common = NULL;
}

int
config_take(struct parent *p, struct buf *text, struct why *why)
{
	if (p->role == CONF_EDGE) {
		if ((p->edge = conf_edge_parse(p->file, buf_span(text), why)) == NULL)
			return -1;
		p->common = &p->edge->common;
	} else {
		if ((p->home = conf_home_parse(p->file, buf_span(text), why)) == NULL)
			return -1;
		p->common = &p->home->common;
	}
	p->text = *text;
	buf_init(text, 0);
	return 0;
}

static int
differs(const struct parent *old, const struct parent *new_, struct why *why)
{
	struct why keys = { "" };
	struct span text = buf_span(&new_->text);
	int n = old->role == CONF_EDGE ?
	    conf_edge_reloadable(old->edge, new_->edge, old->file, text, &keys) :
	    conf_home_reloadable(old->home, new_->home, old->file, text, &keys);

	if (n == 0)
		return 0;
	return why_set(why, "%.400s: only a restart changes %s: restart this %s, or undo %s",
	    keys.text, n == 1 ? "it" : "these", old->role == CONF_EDGE ? "edge" : "home",
	    n == 1 ? "it" : "them");
}

static const struct secret_file *
secret_named(const struct secrets *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->file[i].name, name) == 0)
			return &s->file[i];
	return NULL;
}

static void
send_secret(struct parent *p, const struct secret_file *f)
{
	log_info(NULL, "secret.%s name=%s file=%s", f->text.n > 0 ? "read" : "gone", f->name,
	    f->path);
	for (enum proc_kind k = 0; k < PROC_KINDS; k++)
		kid_send_secret(&p->kids[k], f);
}

static void
send_changed_secrets(struct parent *p, struct secrets *old)
{
	for (size_t i = 0; i < p->secrets.n; i++) {
		const struct secret_file *f = &p->secrets.file[i];
		const struct secret_file *was = secret_named(old, f->name);

		/* A key goes with its certificate: both, even if one of them is what it was. */
		if (was == NULL || !span_eq(buf_span(&was->text), buf_span(&f->text)) ||
		    strncmp(f->name, "tls.", 4) == 0)
			send_secret(p, f);
	}
	/* What the new configuration does not name any more is taken away, as an empty one. */
	for (size_t i = 0; i < old->n; i++)
		if (secret_named(&p->secrets, old->file[i].name) == NULL) {
			buf_wipe(&old->file[i].text);
			send_secret(p, &old->file[i]);
		}
}

/* Until a reload succeeds, `status` says why the last one did not, and escapes it; "" ends it. */
static void
show_refused(struct parent *p, struct span text)
{
	span_copy(text, p->ground.board->refused, sizeof(p->ground.board->refused));
}

/* systemd waits no longer; the answer may still come. */
static void
on_late(uv_timer_t *t)
{
	struct parent *p = t->data;

	if (!awake_over(t, on_late, p->late_due))
		return;
	for (enum proc_kind k = 0; k < PROC_KINDS; k++)
		if (p->kids[k].reloads > 0)
			log_warn(NULL, "config.late process=%s has not answered in %d s",
			    proc_kind_name(k), LATE_MS / 1000);
	notify("READY=1");
}

static void
reload_done(struct parent *p)
{
	for (enum proc_kind k = 0; k < PROC_KINDS; k++)
		if (p->kids[k].reloads > 0)
			return;
	uv_timer_stop(&p->late);
	log_info(NULL, "config.reloaded file=%s", p->file);
	notify("READY=1");
}

void
reload_answered(struct kid *k, struct span why)
{
	char text[400];

	k->reloads--;
	if (why.n > 0) {
		log_escape_words(why, text, sizeof(text));
		log_error(NULL, "config.refused process=%s %s", proc_kind_name(k->kind), text);
		show_refused(k->parent, why);
	}
	reload_done(k->parent);
}

void
reload_gone(struct kid *k)
{
	k->reloads = 0;		/* it starts again with the new one */
	reload_done(k->parent);
}

static int
read_all(struct parent *p, struct parent *fresh, struct why *why)
{
	struct buf text;
	int rc;

	*fresh = (struct parent){ .role = p->role, .file = p->file };
	rc = config_read(p->file, &text, why);
	if (rc == 0)
		rc = config_take(fresh, &text, why);
	if (rc == 0)
		rc = differs(p, fresh, why);
	if (rc == 0 && fresh->home != NULL)
		rc = signers_apart(&p->account, p->file, buf_span(&fresh->text), fresh->home, why);
	if (rc == 0)
		rc = secrets_load(&fresh->secrets, &p->account, fresh->edge, fresh->home, why);
	buf_fini(&text);
	if (rc == -1)
		config_free(fresh);
	return rc;
}

/* All is read and judged before anything is changed: a bad file leaves everything as it was. */
void
reload_now(struct parent *p)
{
	static struct parent fresh;	/* large, and most of it unused here */
	struct secrets old = p->secrets;
	struct why why = { "" };
	bool any = false;

	if (p->draining)
		return;
	notify_reloading();
	if (read_all(p, &fresh, &why) == -1) {
		log_error(NULL, "config.refused %s; the old configuration stays in force",
		    why.text);
		show_refused(p, span_str(why.text));
		notify("READY=1");
		return;
	}
	show_refused(p, span_str(""));
	config_free(p);
	p->text = fresh.text;
	p->edge = fresh.edge;
	p->home = fresh.home;
	p->common = p->edge != NULL ? &p->edge->common : &p->home->common;
	p->secrets = fresh.secrets;
	log_init(p->role == CONF_EDGE ? "edge.parent" : "home.parent",
	    (enum log_level)p->common->log_level);
	parent_check_files(p);
	send_changed_secrets(p, &old);
	secrets_fini(&old);
	for (enum proc_kind k = 0; k < PROC_KINDS; k++)
		if (p->kids[k].pid > 0) {
			kid_send_config(&p->kids[k]);
			p->kids[k].reloads++;
			any = true;
		}
	if (any)
		awake_timer(&p->late, on_late, LATE_MS, &p->late_due);
	kids_start(p);			/* a helper that was not needed before */
}

void
reload_secrets(struct parent *p)
{
	struct secrets old = p->secrets, fresh;
	struct why why = { "" };

	if (p->draining || !secrets_changed(&p->secrets))
		return;
	if (secrets_load(&fresh, &p->account, p->edge, p->home, &why) == -1) {
		log_error(NULL, "secret.refused %s; the old one stays in use", why.text);
		secrets_settle(&p->secrets);
		return;
	}
	old = p->secrets;
	p->secrets = fresh;
	send_changed_secrets(p, &old);
	secrets_fini(&old);
}
