#include "home/opener.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "home/opener_in.h"
#include "home/unseal.h"
#include "proto/crypto.h"
#include "proto/delivered.h"

struct reading {
	struct opener	*o;
	struct parcel	*p;
	struct maildir_file *file[OPENER_FILES_MAX];
	size_t		 entry[OPENER_FILES_MAX];
	size_t		 nfiles;
	size_t		 next;		/* the first entry that no pass has looked at */
	bool		 looks;		/* writes nothing */
	bool		 routed;	/* by an earlier look */
	struct why	 why;
};

/* --- writing ------------------------------------------------------------------------------ */

static void
file_failed(struct reading *r, size_t f, const struct why *why)
{
	struct smtp_reply reply = smtp_reply(451, 4, 3, 0, "%s", why->text);

	parcel_defer(r->o, r->p, r->entry[f], OPENER_RETRY_MS, &reply);
	r->o->trouble = *why;
	log_error(NULL, "mail.write id=%s: %s", uuid_text(r->p->object.meta.id).s, why->text);
}

static int
file_head(struct maildir_file *f, const struct envelope *env, const struct parcel *p,
    const struct ledger_entry *e, struct why *why)
{
	struct delivered d = { .id = p->object.meta.id };
	struct buf head;
	int rc;

	buf_init(&head, DELIVERED_MAX + p->heads.n);
	span_copy(span_str(e->recipient), d.recipient, sizeof(d.recipient));
	rc = delivered_head(&env->from, &d, &head) && buf_add_span(&head, buf_span(&p->heads)) ?
	    maildir_write(f, head.p, head.n, why) : why_set(why, "memory is out");
	buf_fini(&head);
	return rc;
}

/*
 * What names the delivery's files.  An id is unique for its signer only: were it
 * used as it is, an edge that repeats another one's could replace a file of that
 * other's.  The time in front stays, the rest is a digest over both.
 */
static bool
file_id(const struct spool_meta *meta, struct uuid *out)
{
	unsigned char both[sizeof(meta->signer) + sizeof(meta->id.b)] = { 0 }, digest[32];
	size_t n = strlen(meta->signer) + 1;

	memcpy(both, meta->signer, n);
	memcpy(both + n, meta->id.b, sizeof(meta->id.b));
	if (!crypto_init() ||
	    EVP_Digest(both, n + sizeof(meta->id.b), digest, NULL, crypto_sha256(), NULL) != 1)
		return false;
	*out = uuid_v7(0, digest);
	memcpy(out->b, meta->id.b, 6);
	return true;
}

/* Opens the files of this pass: as many entries as may be written at once. */
static void
files_begin(struct reading *r, const struct envelope *env)
{
	struct parcel *p = r->p;
	struct uuid id;
	bool named = file_id(&p->object.meta, &id);

	for (; r->next < p->n && r->nfiles < OPENER_FILES_MAX; r->next++) {
		struct ledger_entry *e = &p->entries[r->next];
		struct maildir_file *f = NULL;
		struct why why = { "memory is out" };

		if (!entry_open(e) || e->mailbox[0] == '\0')
			continue;
		r->entry[r->nfiles] = r->next;
		if (named)
			f = maildir_begin(r->o->maildir, e->mailbox, id, e->part, e->name, &why);
		if (f == NULL || file_head(f, env, p, e, &why) == -1) {
			maildir_abort(&f);
			file_failed(r, r->nfiles, &why);
			continue;
		}
		r->file[r->nfiles++] = f;
	}
}

static void
files_write(struct reading *r, struct span s)
{
	for (size_t i = 0; i < r->nfiles; i++) {
		struct why why = { "" };

		if (r->file[i] != NULL && maildir_write(r->file[i], s.p, s.n, &why) == -1) {
			maildir_abort(&r->file[i]);
			file_failed(r, i, &why);
		}
	}
}

static void
files_end(struct reading *r, bool whole)
{
	for (size_t i = 0; i < r->nfiles; i++) {
		struct why why = { "" };

		if (r->file[i] == NULL)
			continue;
		if (!whole) {
			maildir_abort(&r->file[i]);
		} else if (maildir_end(&r->file[i], &why) == -1) {
			file_failed(r, i, &why);
		} else {
			r->p->entries[r->entry[i]].state = LEDGER_STAGED;
			r->p->entries[r->entry[i]].next_ms = r->o->now_ms + MAILDIR_TMP_MS;
			r->p->fresh[r->entry[i]] = true;
		}
	}
	r->nfiles = 0;
}

/* --- reading ------------------------------------------------------------------------------ */

static enum unseal_ev
stop(struct reading *r, enum unseal_ev heard, const char *words)
{
	why_set(&r->why, "%s", words);
	return heard;
}

static enum unseal_ev
other_edge(struct reading *r, const char *inside)
{
	why_set(&r->why, "the object inside names another edge, %.100s, than %.100s, which signed "
	    "it (a Worker: its EDGE_NAME)", log_safe(span_str(inside)).s, r->p->object.meta.signer);
	return UNSEAL_MALFORMED;
}

/* The name inside the seal must be the name outside: no object passes as another. */
static enum unseal_ev
on_envelope(struct reading *r, const struct envelope *env)
{
	const struct spool_meta *meta = &r->p->object.meta;

	if (!uuid_eq(env->id, meta->id))
		return stop(r, UNSEAL_MALFORMED,
		    "the object inside has another id than the one it came under");
	if (strcasecmp(env->edge, meta->signer) != 0)
		return other_edge(r, env->edge);
	if (r->next == 0 && !r->routed) {
		if (r->p->n > 0)
			parcel_route_again(r->o, r->p, env);
		else if (!parcel_route(r->o, r->p, env))
			return stop(r, UNSEAL_LATER, "memory is out");
	}
	if (!r->looks)
		files_begin(r, env);
	else
		r->next = r->p->n;
	return UNSEAL_BODY;
}

/* Into files, or only looked at: what a server must be told of it. */
static void
on_body(struct reading *r, struct span body)
{
	if (!r->looks) {
		files_write(r, body);
		return;
	}
	r->p->octets += body.n;
	for (size_t i = 0; i < body.n && !r->p->eight_bit; i++)
		r->p->eight_bit = (unsigned char)body.p[i] > 0x7f;
}

/* One pass over the object; r->next says where the entries of the next one begin. */
static enum unseal_ev
read_once(struct reading *r, const struct spool_content *c)
{
	struct unseal *u = unseal_new(r->o->ids, r->o->nids, c, &r->p->payload);
	enum unseal_ev ev = UNSEAL_LATER;
	struct span body;

	if (u == NULL)
		return stop(r, UNSEAL_LATER, "memory is out");
	do {
		ev = unseal_next(u, &body);
		if (ev == UNSEAL_ENVELOPE)
			ev = on_envelope(r, unseal_envelope(u));
		else if (ev == UNSEAL_BODY)
			on_body(r, body);
		else if (ev > UNSEAL_END)
			stop(r, ev, unseal_why(u));
	} while (ev == UNSEAL_BODY);
	files_end(r, ev == UNSEAL_END);
	if (ev == UNSEAL_END && r->looks)
		r->p->env = unseal_envelope_take(u);
	unseal_free(&u);
	return ev;
}

static bool
has_open(const struct parcel *p, size_t from)
{
	for (size_t i = from; i < p->n; i++)
		if (entry_open(&p->entries[i]))
			return true;
	return false;
}

/*
 * Staged before a crash, in another folder than the present one, or with a mail server now
 * in a folder's place: whether it was published there is not to be known from here.
 * We err to a second copy, in a folder that no longer is deliver.maildir, and only if
 * the crash came between its rename and the note of it.  A folder that was moved
 * with its files has them still in tmp/.
 */
static void
restage(struct opener *o, struct parcel *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct ledger_entry *e = &p->entries[i];
		struct why why;

		if (entry_open(e))
			entry_inbox(e);
		if (e->state != LEDGER_STAGED)
			continue;
		if (o->maildir == NULL) {
			log_warn(NULL, "mail.restaged id=%s mailbox=%s: it was staged for a "
			    "Maildir, and goes to a mail server now",
			    uuid_text(p->object.meta.id).s, e->mailbox);
			e->state = LEDGER_UNCERTAIN;
			continue;
		}
		if (maildir_ours(o->maildir, e->name) ||
		    maildir_staged(o->maildir, e->mailbox, e->name, &why) == 1)
			continue;
		log_warn(NULL, "mail.restaged id=%s mailbox=%s: it was staged in another folder "
		    "than the present deliver.maildir, as tmp/%s: delivered anew",
		    uuid_text(p->object.meta.id).s, e->mailbox, log_safe(span_str(e->name)).s);
		e->state = LEDGER_QUEUED;
	}
}

/* In as many passes as it takes. */
static void
read_all(struct reading *r, const struct spool_content *c)
{
	enum unseal_ev heard;

	do {
		heard = read_once(r, c);
	} while (heard == UNSEAL_END && has_open(r->p, r->next) && r->next < r->p->n);
	if (heard == UNSEAL_MALFORMED)
		parcel_park_all(r->p, PARK_MALFORMED, r->why.text);
	else if (heard == UNSEAL_NO_KEY)
		parcel_park_all(r->p, PARK_UNSEALABLE, r->why.text);
	else if (heard == UNSEAL_LATER)
		parcel_defer_all(r->o, r->p, r->why.text);
}

void
opener_write(struct opener *o, struct parcel *p)
{
	struct reading r = { .o = o, .p = p, .routed = true };

	read_all(&r, &p->content);
}

/* All that is known of its object is that it could not be read, or opened for want of memory. */
static bool
unread(const struct ledger_entry *e)
{
	return entry_open(e) && e->recipient[0] == '\0' && e->mailbox[0] == '\0';
}

bool
opener_open(struct opener *o, struct ledger_job *job, struct parcel *p)
{
	struct reading r = { .o = o, .p = p, .looks = o->looks || o->maildir == NULL };

	*p = (struct parcel){ .object = job->object };
	if (!parcel_room(p, job->nentries > 0 ? job->nentries : 1))
		return false;
	if (job->nentries > 0)
		memcpy(p->entries, job->entries, job->nentries * sizeof(*p->entries));
	p->n = job->nentries;
	if (p->n == 1 && unread(&p->entries[0]))
		p->n = 0;
	restage(o, p);
	if (!job->content.ok && (p->n == 0 || has_open(p, 0)))
		parcel_park_all(p, PARK_MALFORMED, "its sealed octets are gone or damaged at home");
	else if (p->n == 0 || has_open(p, 0))
		read_all(&r, &job->content);
	if (r.looks && has_open(p, 0) && !parcel_keep(p, &job->content))
		parcel_defer_all(o, p, "memory is out");
	if (job->content.fd != -1) {
		close(job->content.fd);
		job->content.fd = -1;
	}
	return true;
}
