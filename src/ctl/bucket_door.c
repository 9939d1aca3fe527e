#include "ctl/bucket_door.h"

#include <sys/stat.h>

#include "ctl/role.h"

#define AUTHORITIES_MAX	(1u << 20)

/* As the parent of a running role has it (priv/secrets.c). */
static int
read_keys(const char *path, struct s3_keys *keys, struct why *why)
{
	struct why inner;
	struct stat st;
	struct buf text;
	int rc;

	if (stat(path, &st) == -1)
		return why_sys(why, "bucket.credentials %s", path);
	if (!S_ISREG(st.st_mode))
		return why_set(why, "bucket.credentials %s: not a plain file", path);
	if ((st.st_mode & 0027) != 0)
		return why_set(why, "bucket.credentials %s: others may read or write it (mode "
		    "%04o); chmod 600 it", path, (unsigned)st.st_mode & 07777);
	if (read_file(path, S3_KEYS_FILE_MAX, &text, why) == -1)
		return -1;
	rc = s3_keys_parse(buf_span(&text), keys, &inner);
	buf_wipe(&text);
	return rc == 0 ? 0 : why_set(why, "bucket.credentials %s: %.300s", path, inner.text);
}

int
bucket_door_open(struct bucket_door *d, const struct conf_common *common,
    const struct conf_bucket *b, struct why *why)
{
	struct s3_place at = { .endpoint = b->endpoint, .bucket = b->bucket, .region = b->region,
		.virtual_host = b->style == CONF_BUCKET_HOST };
	struct s3_keys keys;

	*d = (struct bucket_door){ .conf = b };
	buf_init(&d->authorities, AUTHORITIES_MAX);
	if (uv_loop_init(&d->loop) != 0)
		return why_set(why, "memory is out");
	d->begun = true;
	if (names_begin(&d->names, &d->loop, common, why) == -1 ||
	    (d->http = http_new(&d->loop, why)) == NULL ||
	    (b->authorities[0] != '\0' &&
	    read_file(b->authorities, AUTHORITIES_MAX, &d->authorities, why) == -1) ||
	    read_keys(b->credentials, &keys, why) == -1)
		return -1;
	at.authorities = buf_span(&d->authorities);
	d->s3 = s3_new(d->http, d->names.resolver, &at, &keys, why);
	s3_keys_fini(&keys);
	return d->s3 != NULL ? 0 : -1;
}

void
bucket_door_close(struct bucket_door *d)
{
	if (!d->begun)
		return;
	s3_free(&d->s3);
	http_free(&d->http);
	names_end(&d->names);
	while (uv_run(&d->loop, UV_RUN_DEFAULT) != 0)
		;
	uv_loop_close(&d->loop);
	buf_fini(&d->authorities);
}

void
bucket_door_done(void *door, const struct s3_answer *a)
{
	struct bucket_door *d = door;

	d->answer = *a;
	d->answered = true;
	uv_stop(&d->loop);		/* it may not have slept yet in this round, and must not */
}

enum s3_end
bucket_ask(struct bucket_door *d, bucket_ask_fn *ask)
{
	for (unsigned tries = 0; ; tries++) {
		d->answered = false;
		d->answer = (struct s3_answer){ .end = S3_NOT_REACHED };
		if (ask(d, &d->answer.why) == NULL)
			return d->answer.end;
		while (!d->answered)
			uv_run(&d->loop, UV_RUN_DEFAULT);
		if (d->answer.end != S3_SKEWED || tries > 0)
			return d->answer.end;
		d->skew_ms = d->answer.skew_ms;
	}
}
