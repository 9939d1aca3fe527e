#include "ctl/bucket_one.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "ctl/bucket_door.h"
#include "ctl/octets.h"
#include "ctl/text.h"

struct one {
	struct bucket_door d;
	char		 key[sizeof(((struct conf_bucket *)0)->prefix) + 41];
	struct why	 why;		/* of standard output */
	bool		 failed;
	json_t		*o;		/* what is shown */
};

/* -1: to be closed all the same. */
static int
open_one(struct one *n, const struct conf_common *common, const struct conf_bucket *b,
    const char *id, struct uuid *u, struct why *why)
{
	*n = (struct one){ .failed = false };
	if (!uuid_parse(span_str(id), u))
		return why_set(why, "%.60s is no id of an object in a bucket", id);
	snprintf(n->key, sizeof(n->key), "%s%s.age", b->prefix, uuid_text(*u).s);
	if (bucket_door_open(&n->d, common, b, &n->why) == -1)
		return why_set(why, "%s: %.440s", b->name, n->why.text);
	n->d.of = n;
	return 0;
}

static int
outcome(const struct one *n, enum s3_end end, struct why *why)
{
	return end == S3_DONE ? 1 : end == S3_GONE ? 0 : why_set(why, "%s: %.440s",
	    n->d.conf->name, n->failed ? n->why.text : n->d.answer.why.text);
}

/* --- cat ------------------------------------------------------------------------------------- */

static bool
on_body(void *door, struct span s)
{
	struct bucket_door *d = door;
	struct one *n = d->of;

	n->failed = octets_print(s, &n->why) == -1;
	return !n->failed;
}

static const struct s3_ops cat_ops = { .body = on_body, .done = bucket_door_done };

static struct s3_call *
ask_get(struct bucket_door *d, struct why *why)
{
	return s3_get(d->s3, ((struct one *)d->of)->key, INT64_MAX, &cat_ops, d, why);
}

int
bucket_cat(const struct conf_common *common, const struct conf_bucket *b, const char *id,
    struct why *why)
{
	struct uuid u;
	struct one n;
	int rc = open_one(&n, common, b, id, &u, why);

	if (rc == 0)
		rc = outcome(&n, bucket_ask(&n.d, ask_get), why);
	bucket_door_close(&n.d);
	return rc;
}

/* --- show ------------------------------------------------------------------------------------ */

/* Metadata are whoever's who may write there. */
static void
put_meta(json_t *o, const char *as, const struct s3_head *h, const char *name)
{
	struct shown text;

	for (size_t i = 0; i < h->nmeta; i++)
		if (strcmp(h->meta[i].name, name) == 0)
			json_object_set_new(o, as, json_string(shown(h->meta[i].value, &text)));
}

static bool
on_head(void *door, const struct s3_head *h)
{
	struct bucket_door *d = door;
	struct one *n = d->of;
	int64_t at = h->modified_ms + d->skew_ms;
	char iso[40];

	wall_iso(at, iso, sizeof(iso));
	json_object_set_new(n->o, "bucket", json_string(d->conf->name));
	json_object_set_new(n->o, "name", json_string(n->key));
	json_object_set_new(n->o, "size", json_integer((json_int_t)h->size));
	put_meta(n->o, "signer", h, "posthouse-edge");
	put_meta(n->o, "mac", h, "posthouse-mac");
	json_object_set_new(n->o, "received", json_string(iso));
	json_object_set_new(n->o, "received_ms", json_integer(at));
	json_object_set_new(n->o, "state", json_string("held"));
	return true;
}

static const struct s3_ops show_ops = { .head = on_head, .done = bucket_door_done };

static struct s3_call *
ask_head(struct bucket_door *d, struct why *why)
{
	return s3_head(d->s3, ((struct one *)d->of)->key, &show_ops, d, why);
}

int
bucket_show(const struct conf_common *common, const struct conf_bucket *b, const char *id,
    json_t **out, struct why *why)
{
	struct uuid u;
	struct one n;
	int rc = open_one(&n, common, b, id, &u, why);

	*out = NULL;
	if (rc == 0 && (n.o = json_pack("{s:s}", "id", uuid_text(u).s)) == NULL)
		rc = why_set(why, "memory is out");
	if (rc == 0)
		rc = outcome(&n, bucket_ask(&n.d, ask_head), why);
	bucket_door_close(&n.d);
	if (rc == 1)
		*out = n.o;
	else
		json_decref(n.o);
	return rc;
}

/* --- at an edge ------------------------------------------------------------------------------ */

const struct conf_bucket *
bucket_spool(const struct role *r)
{
	return r->edge != NULL && r->edge->nbuckets > 0 ? &r->edge->bucket[0] : NULL;
}

void
bucket_nor(const struct conf_bucket *b, int rc, const struct why *words, struct why *why)
{
	struct why here = *why;

	if (rc == 0)
		why_set(why, "%.300s; nor does it wait in bucket %s", here.text, b->name);
	else
		why_set(why, "%.200s; and %.300s", here.text, words->text);
}
