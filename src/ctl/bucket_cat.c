#include "ctl/bucket_cat.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/uuid.h"
#include "ctl/bucket_door.h"

struct catting {
	char		 key[sizeof(((struct conf_bucket *)0)->prefix) + 41];
	struct why	 why;		/* of standard output */
	bool		 failed;
};

static bool
on_body(void *door, struct span s)
{
	struct bucket_door *d = door;
	struct catting *c = d->of;

	while (s.n > 0) {
		ssize_t n = write(STDOUT_FILENO, s.p, s.n);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			why_sys(&c->why, "standard output");
			c->failed = true;
			return false;
		}
		s = span_from(s, (size_t)n);
	}
	return true;
}

static const struct s3_ops ops = { .body = on_body, .done = bucket_door_done };

static struct s3_call *
ask_get(struct bucket_door *d, struct why *why)
{
	return s3_get(d->s3, ((struct catting *)d->of)->key, INT64_MAX, &ops, d, why);
}

int
bucket_cat(const struct role *r, const struct conf_bucket *b, const char *id, struct why *why)
{
	struct catting c = { .failed = false };
	struct bucket_door d;
	struct uuid u;
	int rc;

	if (!uuid_parse(span_str(id), &u))
		return why_set(why, "%.60s is no id of an object", id);
	snprintf(c.key, sizeof(c.key), "%s%s.age", b->prefix, uuid_text(u).s);
	rc = bucket_door_open(&d, r->common, b, why);
	d.of = &c;
	if (rc == 0)
		switch (bucket_ask(&d, ask_get)) {
		case S3_DONE:
			rc = 1;
			break;
		case S3_GONE:
			break;
		default:
			rc = why_set(why, "%s: %.440s", b->name, c.failed ? c.why.text :
			    d.answer.why.text);
			break;
		}
	bucket_door_close(&d);
	return rc;
}
