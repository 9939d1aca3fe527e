#include "home/opener.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "home/opener_in.h"
#include "proto/batch_smtp.h"
#include "proto/crypto.h"

#define PIECE		AGE_CHUNK		/* sealed octets at a time */
#define PLAIN_MAX	(4 * AGE_CHUNK)		/* what they can open to, with what age held back */

enum heard {				/* what became of one reading */
	HEARD_WHOLE = 0,
	HEARD_MALFORMED,
	HEARD_UNSEALABLE,
	HEARD_LATER,			/* memory or disk: nothing is known of the object */
};

struct reading {
	struct opener	*o;
	struct parcel	*p;
	struct age_open	*age;
	struct batch_reader *batch;
	struct maildir_file *file[OPENER_FILES_MAX];
	size_t		 entry[OPENER_FILES_MAX];
	size_t		 nfiles;
	size_t		 next;		/* the first entry that no pass has looked at */
	enum heard	 heard;
	struct why	 why;
};

void
opener_init(struct opener *o)
{
	*o = (struct opener){ .ids = NULL };
	buf_init(&o->plain, PLAIN_MAX);
}

void
opener_fini(struct opener *o)
{
	buf_wipe(&o->plain);
}

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
	char from[ADDRESS_PRINT_MAX];
	struct buf head;
	int rc;

	buf_init(&head, 2048);
	address_print(&env->from, from, sizeof(from));
	buf_addf(&head, "Return-Path: <%s>\r\n", from);
	buf_addf(&head, "Delivered-To: %s\r\n", e->recipient);
	buf_addf(&head, "X-Posthouse-Id: %s\r\n", uuid_text(p->object.meta.id).s);
	rc = head.failed ? why_set(why, "memory is out") : maildir_write(f, head.p, head.n, why);
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
			r->p->fresh[r->entry[i]] = true;
		}
	}
	r->nfiles = 0;
}

/* --- reading ------------------------------------------------------------------------------ */

static bool
stop(struct reading *r, enum heard heard, const char *words)
{
	r->heard = heard;
	if (words != r->why.text)
		why_set(&r->why, "%s", words);
	return false;
}

/* The name inside the seal must be the name outside: no object passes as another. */
static bool
on_envelope(struct reading *r)
{
	const struct envelope *env = batch_reader_envelope(r->batch);
	const struct spool_meta *meta = &r->p->object.meta;

	if (!uuid_eq(env->id, meta->id))
		return stop(r, HEARD_MALFORMED,
		    "the object inside has another id than the one it came under");
	if (strcasecmp(env->edge, meta->signer) != 0)
		return stop(r, HEARD_MALFORMED,
		    "the object inside names another edge than the one that signed it");
	if (r->next == 0) {
		if (r->p->n > 0)
			parcel_route_again(r->o, r->p);
		else if (!parcel_route(r->o, r->p, env))
			return stop(r, HEARD_LATER, "memory is out");
	}
	files_begin(r, env);
	return true;
}

static bool
hear(struct reading *r, struct span plain)
{
	struct batch_ev ev;

	while (plain.n > 0) {
		plain = span_from(plain, batch_reader_step(r->batch, plain.p, plain.n, &ev));
		switch (ev.type) {
		case BATCH_EV_NONE:
		case BATCH_EV_END:
			break;
		case BATCH_EV_ENVELOPE:
			if (!on_envelope(r))
				return false;
			break;
		case BATCH_EV_BODY:
			files_write(r, ev.arg);
			break;
		case BATCH_EV_BAD:
			return stop(r, HEARD_MALFORMED, batch_reader_why(r->batch));
		}
	}
	return true;
}

static bool
judge_age(struct reading *r, enum age_result result)
{
	switch (result) {
	case AGE_OK:
		return true;
	case AGE_NO_MATCH:
		return stop(r, HEARD_UNSEALABLE,
		    "none of this home's age keys opens it: if the key was replaced, "
		    "put the old one back into the key file as well");
	case AGE_NO_ROOM:
		return stop(r, HEARD_LATER, "memory is out");
	case AGE_MALFORMED:
		break;
	}
	return stop(r, HEARD_MALFORMED, r->why.text);
}

static bool
open_piece(struct reading *r, const void *sealed, size_t n)
{
	struct buf *plain = &r->o->plain;

	buf_clear(plain);
	return judge_age(r, age_open_add(r->age, sealed, n, plain, &r->why)) &&
	    hear(r, buf_span(plain));
}

static bool
open_all(struct reading *r, const struct spool_content *c, char *piece)
{
	if (c->fd == -1) {
		for (size_t at = 0; at < c->data.n; at += PIECE)
			if (!open_piece(
				r, c->data.p + at, c->data.n - at < PIECE ? c->data.n - at : PIECE))
				return false;
		return true;
	}
	for (off_t at = 0;;) {
		ssize_t n = pread(c->fd, piece, PIECE, at);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			why_sys(&r->why, "reading the held object");
			return stop(r, HEARD_LATER, r->why.text);
		}
		if (n == 0)
			return true;
		if (!open_piece(r, piece, (size_t)n))
			return false;
		at += n;
	}
}

/* One pass over the object; r->next says where the entries of the next one begin. */
static enum heard
read_once(struct reading *r, const struct spool_content *c)
{
	char *piece = c->fd == -1 ? NULL : malloc(PIECE);
	bool whole = false;

	r->age = age_open_new(r->o->ids, r->o->nids);
	r->batch = batch_reader_new();
	r->heard = HEARD_WHOLE;
	if (r->age == NULL || r->batch == NULL || (c->fd != -1 && piece == NULL)) {
		stop(r, HEARD_LATER, "memory is out");
	} else if (open_all(r, c, piece)) {
		buf_clear(&r->o->plain);
		whole = judge_age(r, age_open_end(r->age, &r->o->plain, &r->why)) &&
		    hear(r, buf_span(&r->o->plain));
		if (whole && !batch_reader_done(r->batch))
			whole = stop(r, HEARD_MALFORMED,
			    "the object is truncated: its transcript has no end");
	}
	files_end(r, whole);
	if (r->o->plain.p != NULL)
		explicit_bzero(r->o->plain.p, r->o->plain.cap);
	age_open_free(&r->age);
	batch_reader_free(&r->batch);
	free(piece);
	return r->heard;
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
 * Staged before a crash, in another folder than the present one: whether it was
 * published there is not to be known from here, and it is delivered anew.  That errs
 * to a second copy, in a folder that no longer is deliver.maildir, and only if the
 * crash came between its rename and the note of it.  A folder that was moved
 * with its files has them still in tmp/.
 */
static void
restage(struct opener *o, struct parcel *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct ledger_entry *e = &p->entries[i];
		struct why why;

		if (e->state != LEDGER_STAGED || maildir_ours(o->maildir, e->name) ||
		    maildir_staged(o->maildir, e->mailbox, e->name, &why) == 1)
			continue;
		log_warn(NULL, "mail.restaged id=%s mailbox=%s: it was staged in another folder "
		    "than the present deliver.maildir, as tmp/%s: delivered anew",
		    uuid_text(p->object.meta.id).s, e->mailbox, log_safe(span_str(e->name)).s);
		e->state = LEDGER_QUEUED;
	}
}

bool
opener_open(struct opener *o, struct ledger_job *job, struct parcel *p)
{
	struct reading r = { .o = o, .p = p };
	enum heard heard = HEARD_WHOLE;

	*p = (struct parcel){ .object = job->object };
	if (!parcel_room(p, job->nentries > 0 ? job->nentries : 1))
		return false;
	if (job->nentries > 0)
		memcpy(p->entries, job->entries, job->nentries * sizeof(*p->entries));
	p->n = job->nentries;
	restage(o, p);
	if (!job->content.ok && (p->n == 0 || has_open(p, 0)))
		parcel_park_all(p, PARK_MALFORMED, "its sealed octets are gone or damaged at home");
	else if (p->n == 0 || has_open(p, 0))
		do {
			heard = read_once(&r, &job->content);
		} while (heard == HEARD_WHOLE && has_open(p, r.next) && r.next < p->n);
	if (heard == HEARD_MALFORMED)
		parcel_park_all(p, PARK_MALFORMED, r.why.text);
	else if (heard == HEARD_UNSEALABLE)
		parcel_park_all(p, PARK_UNSEALABLE, r.why.text);
	else if (heard == HEARD_LATER)
		parcel_defer_all(o, p, r.why.text);
	if (job->content.fd != -1) {
		close(job->content.fd);
		job->content.fd = -1;
	}
	return true;
}
