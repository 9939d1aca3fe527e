#include "priv/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/tls.h"
#include "proto/age.h"
#include "proto/key_lines.h"
#include "proto/s3_keys.h"

/* a long certificate chain; a message of a channel holds it */
#define SECRET_FILE_MAX	(256u << 10)
#define RETIRED		"age-retired.key"

static void
add(struct secrets *s, const char *name, const char *key, const char *path, bool public)
{
	struct secret_file *f = &s->file[s->n++];

	*f = (struct secret_file){ .key = key, .public = public };
	snprintf(f->name, sizeof(f->name), "%s", name);
	snprintf(f->path, sizeof(f->path), "%s", path);
	buf_init(&f->text, SECRET_FILE_MAX);
}

static void
list_workers(struct secrets *s, const struct conf_home *home)
{
	char name[sizeof(s->file[0].name)];

	for (size_t i = 0; i < home->nworkers; i++) {
		const struct conf_worker *w = &home->workers[i];

		snprintf(name, sizeof(name), "worker.mac/%s", w->name);
		add(s, name, "worker.mac_key", w->mac_key, false);
		snprintf(name, sizeof(name), "worker.token/%s", w->name);
		if (conf_home_push(home) != NULL)
			add(s, name, "worker.token", w->token, false);
		snprintf(name, sizeof(name), "worker.smtp/%s", w->name);
		if (w->nedges > 0)
			add(s, name, "worker.password", w->password, false);
	}
}

static void
list_buckets(struct secrets *s, const struct conf_bucket *list, size_t n)
{
	char name[sizeof(s->file[0].name)];

	for (size_t i = 0; i < n; i++) {
		const struct conf_bucket *b = &list[i];

		snprintf(name, sizeof(name), CONF_BUCKET_SECRET "%s", b->name);
		add(s, name, "bucket.credentials", b->credentials, false);
		snprintf(name, sizeof(name), CONF_BUCKET_CA "%s", b->name);
		if (b->authorities[0] != '\0')
			add(s, name, "bucket.authorities", b->authorities, true);
	}
}

static void
list_files(struct secrets *s, const struct conf_edge *edge, const struct conf_home *home)
{
	const struct conf_common *c = edge != NULL ? &edge->common : &home->common;
	char path[CONF_PATH_MAX];

	*s = (struct secrets){ 0 };
	if (edge != NULL && edge->tls.cert[0] != '\0') {
		add(s, "tls.cert", "tls.cert", edge->tls.cert, true);
		add(s, "tls.key", "tls.key", edge->tls.key, false);
	}
	if (edge != NULL)
		list_buckets(s, edge->bucket, edge->nbuckets);
	if (home != NULL) {
		snprintf(path, sizeof(path), "%.230s/" RETIRED, c->state);
		/* Told before "age": a key that moves over is never missing. */
		add(s, "age-retired", "the retired age keys", path, false);
		s->file[s->n - 1].optional = true;
		add(s, "age", "age.key", home->age_key, false);
		if (home->deliver.password[0] != '\0')
			add(s, "deliver", "deliver.password", home->deliver.password, false);
		if (home->filter.password[0] != '\0')
			add(s, "filter", "filter.password_file", home->filter.password, false);
		list_workers(s, home);
		list_buckets(s, home->buckets, home->nbuckets);
	}
	if (c->alarms.webhook_file[0] != '\0')
		add(s, "alarms.url", "alarms.webhook_file", c->alarms.webhook_file, false);
	if (c->alarms.token[0] != '\0')
		add(s, "alarms.token", "alarms.token", c->alarms.token, false);
	if (c->alarms.password[0] != '\0')
		add(s, "alarms.password", "alarms.password", c->alarms.password, false);
	add(s, "tunnel", "tunnel.key", c->tunnel_key, false);
	snprintf(path, sizeof(path), "%.230s/tunnel-next.pem", c->state);
	add(s, "tunnel-next", "the next tunnel key", path, false);
	s->file[s->n - 1].optional = true;
}

void
secrets_fini(struct secrets *s)
{
	for (size_t i = 0; i < s->n; i++)
		buf_wipe(&s->file[i].text);
	s->n = 0;
}

/*
 * A file below the state directory lies where our own, less trusted processes can
 * write: no link on the way is followed, else one of them could have root read
 * any file to it.
 */
static int
open_secret(const char *path, const char *state)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	size_t n = strlen(state);
	int dir, fd;

	if (strncmp(path, state, n) != 0 || path[n] != '/')
		return open(path, (int)how.flags);
	if ((dir = open(state, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) == -1)
		return -1;
	fd = (int)syscall(SYS_openat2, dir, path + n + 1, &how, sizeof(how));
	if (fd == -1 && errno == ENOSYS)	/* before Linux 5.6 */
		fd = openat(dir, path + n + 1, (int)how.flags | O_NOFOLLOW);
	close(dir);
	return fd;
}

static int
modes_ok(const struct secret_file *f, const struct stat *st, const struct account *a,
    const char *state, struct why *why)
{
	size_t n = strlen(state);

	if (!S_ISREG(st->st_mode))
		return why_set(why, "%s %s: not a plain file", f->key, f->path);
	if (st->st_uid != 0 && st->st_uid != geteuid() && st->st_uid != a->uid)
		return why_set(why,
		    "%s %s: belongs to user %u, who is neither root nor we; chown it",
		    f->key, f->path, (unsigned)st->st_uid);
	if (strncmp(f->path, state, n) == 0 && f->path[n] == '/' && st->st_nlink != 1)
		return why_set(why, "%s %s: has a second name (hard link); copy it instead", f->key,
		    f->path);
	if (f->public && (st->st_mode & 0022) != 0)
		return why_set(why, "%s %s: others may write it (mode %04o); chmod 644 it", f->key,
		    f->path,
		    (unsigned)st->st_mode & 07777);
	if (!f->public && (st->st_mode & 0027) != 0)
		return why_set(why, "%s %s: others may read or write it (mode %04o); chmod 600 it",
		    f->key,
		    f->path, (unsigned)st->st_mode & 07777);
	return 0;
}

static int
read_file(struct secret_file *f, const struct account *a, const char *state, struct why *why)
{
	int fd = open_secret(f->path, state);
	struct stat st;
	ssize_t got = 0;
	char *room;
	bool made;

	if (fd == -1) {
		if (errno == ENOENT && f->optional)
			return 0;
		if (errno == EACCES && geteuid() != 0)
			return why_set(why, "%s %s: user %u, who runs this, may not read it; "
			    "chown it", f->key, f->path, (unsigned)geteuid());
		made = strcmp(f->name, "tunnel") == 0 || strcmp(f->name, "age") == 0 ||
		    strncmp(f->name, "worker.", 7) == 0;
		return why_sys(why, "%s %s%s", f->key, f->path, errno == ENOENT && made ?
		    " (`posthouse keygen` makes it)" : "");
	}
	if (fstat(fd, &st) == -1) {
		why_sys(why, "%s %s", f->key, f->path);
		close(fd);
		return -1;
	}
	if (modes_ok(f, &st, a, state, why) == -1) {
		close(fd);
		return -1;
	}
	f->mark = f->seen = file_mark_of(&st);
	while ((room = buf_room(&f->text, 4096)) != NULL && (got = read(fd, room, 4096)) > 0)
		buf_used(&f->text, (size_t)got);
	close(fd);
	if (room == NULL)
		return why_set(why, "%s %s: larger than %u octets", f->key, f->path,
		    SECRET_FILE_MAX);
	if (got == -1)
		return why_sys(why, "%s %s", f->key, f->path);
	if (f->text.n == 0)
		return why_set(why, "%s %s: empty", f->key, f->path);
	return 0;
}

/* --- whether they are what they should be: runs in a process of its own -------- */

static int
pair_fits(const struct secret_file *cert, const struct secret_file *key, struct why *why)
{
	struct why inner = { "" };
	SSL_CTX *ctx = tls_server_new(buf_span(&cert->text), buf_span(&key->text), &inner);

	if (ctx == NULL)
		return why_set(why, "%s %s: %.300s", cert->key, cert->path, inner.text);
	SSL_CTX_free(ctx);
	return 0;
}

static int
identities_fit(const struct secret_file *f, struct why *why)
{
	struct age_identity id[AGE_RECIPIENTS_MAX];
	struct why inner = { "" };
	int n = age_identities_read(buf_span(&f->text), id, AGE_RECIPIENTS_MAX, &inner);

	if (n == -1)
		return why_set(why, "%s %s: %.300s", f->key, f->path, inner.text);
	if (n == 0)
		return why_set(why, "%s %s: no identity in it; put your copy of the key back, or "
		    "move the file away and run `posthouse keygen`", f->key, f->path);
	return 0;
}

/* One line; its end is not part of it. */
static int
password_fits(const struct secret_file *f, struct why *why)
{
	struct span s = buf_span(&f->text);
	size_t n = s.n > 0 && s.p[s.n - 1] == '\n' ? s.n - 1 : s.n;

	if (n == 0 || n > 500 || memchr(s.p, '\n', n) != NULL || memchr(s.p, '\0', n) != NULL)
		return why_set(why, "%s %s: one line of 1 to 500 octets is wanted", f->key,
		    f->path);
	return 0;
}

static int
keys_fit(const struct secret_file *f, struct why *why)
{
	struct secret keys[KEY_LINES_MAX];
	size_t n = key_lines_read(buf_span(&f->text), keys);

	explicit_bzero(keys, sizeof(keys));
	return n > 0 ? 0 : why_set(why, "%s %s: 64 hexadecimal digits on a line are wanted, and "
	    "the key before it on a second one at most", f->key, f->path);
}

static int
credentials_fit(const struct secret_file *f, struct why *why)
{
	struct s3_keys keys;
	struct why inner;
	int rc = s3_keys_parse(buf_span(&f->text), &keys, &inner);

	s3_keys_fini(&keys);
	return rc == 0 ? 0 : why_set(why, "%s %s: %.200s", f->key, f->path, inner.text);
}

static int
authorities_fit(const struct secret_file *f, struct why *why)
{
	struct pin pin;
	struct why inner;

	return tls_pem_pin(buf_span(&f->text), &pin, &inner) == 0 ? 0 :
	    why_set(why, "%s %s: no certificate in PEM is in it", f->key, f->path);
}

static int
url_fits(const struct secret_file *f, struct why *why)
{
	struct span s = buf_span(&f->text);
	struct conf_url url;
	struct why inner;

	if (s.n > 0 && s.p[s.n - 1] == '\n')
		s.n--;
	if (conf_url_parse(s, &url, &inner))
		return 0;
	return why_set(why, "%s %s: its one line is %.200s", f->key, f->path, inner.text);
}

static int
content_fits(const struct secrets *s, size_t i, struct why *why)
{
	const struct secret_file *f = &s->file[i];

	if (strcmp(f->name, "tls.cert") == 0)
		/* list_files puts its key there; one that could not be read has been told of */
		return s->file[i + 1].text.n == 0 ? authorities_fit(f, why) :
		    pair_fits(f, &s->file[i + 1], why);
	if (strncmp(f->name, "age", 3) == 0)
		return identities_fit(f, why);
	if (strcmp(f->name, "deliver") == 0 || strcmp(f->name, "filter") == 0 ||
	    strcmp(f->name, "alarms.token") == 0 || strcmp(f->name, "alarms.password") == 0)
		return password_fits(f, why);
	if (strncmp(f->name, "worker.", 7) == 0)
		return keys_fit(f, why);
	if (strncmp(f->name, CONF_BUCKET_SECRET, strlen(CONF_BUCKET_SECRET)) == 0)
		return credentials_fit(f, why);
	if (strncmp(f->name, CONF_BUCKET_CA, strlen(CONF_BUCKET_CA)) == 0)
		return authorities_fit(f, why);
	if (strcmp(f->name, "alarms.url") == 0)
		return url_fits(f, why);
	return strcmp(f->name, "tls.key") != 0 ? pair_fits(f, f, why) : 0;
}

/* n of them, from the first of these on. */
static int
contents_fit(const struct secrets *s, size_t first, size_t n, struct why *why)
{
	for (size_t i = first; i < first + n; i++)
		if (s->file[i].text.n > 0 && content_fits(s, i, why) == -1)
			return -1;
	return 0;
}

static int
check_apart(const struct secrets *s, size_t first, size_t count, const struct account *a,
    struct why *why)
{
	int p[2], status = 0;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) == -1)
		return why_sys(why, "secrets");
	if ((pid = fork()) == -1) {
		why_sys(why, "secrets");
		close(p[0]);
		close(p[1]);
		return -1;
	}
	if (pid == 0) {
		struct why inner = { "" };

		close(p[0]);
		if (account_drop(a) == -1)
			why_sys(&inner, "secrets: cannot become the configured user");
		else if (contents_fit(s, first, count, &inner) == 0)
			_exit(0);
		n = strlen(inner.text);
		_exit(write(p[1], inner.text, n) == (ssize_t)n ? 1 : 2);
	}
	close(p[1]);
	while (n < sizeof(why->text) - 1 &&
	    (got = read(p[0], why->text + n, sizeof(why->text) - 1 - n)) != 0) {
		if (got == -1 && errno != EINTR)
			break;
		n += got > 0 ? (size_t)got : 0;
	}
	close(p[0]);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	why->text[n] = '\0';
	return n > 0 ? -1 : why_set(why, "secrets: the check of the key files ended by itself");
}

int
secrets_load(struct secrets *s, const struct account *a, const struct conf_edge *edge,
    const struct conf_home *home, struct why *why)
{
	const struct conf_common *c = edge != NULL ? &edge->common : &home->common;

	list_files(s, edge, home);
	/*
	 * From the last: `rotate` may move a key meanwhile, from "age" to "age-retired" or from
	 * "tunnel-next" to "tunnel", and makes the copy before it takes away what was copied.
	 */
	for (size_t i = s->n; i-- > 0;)
		if (read_file(&s->file[i], a, c->state, why) == -1) {
			secrets_fini(s);
			return -1;
		}
	if (check_apart(s, 0, s->n, a, why) == -1) {
		secrets_fini(s);
		return -1;
	}
	return 0;
}

void
secrets_look(const struct account *a, const struct conf_edge *edge, const struct conf_home *home,
    secrets_look_fn *fn, void *arg)
{
	const struct conf_common *c = edge != NULL ? &edge->common : &home->common;
	struct secrets s;
	struct why why;

	list_files(&s, edge, home);
	for (size_t i = 0; i < s.n; i++)
		if (read_file(&s.file[i], a, c->state, &why) == -1) {
			buf_wipe(&s.file[i].text);	/* none of it is looked at below */
			fn(arg, &s.file[i], &why);
		}
	for (size_t i = 0; i < s.n; i++)
		if (s.file[i].text.n > 0)
			fn(arg, &s.file[i], check_apart(&s, i, 1, a, &why) == -1 ? &why : NULL);
	secrets_fini(&s);
}

/* --- changes -------------------------------------------------------------------- */

bool
secrets_changed(struct secrets *s)
{
	bool changed = false, moving = false;

	for (size_t i = 0; i < s->n; i++) {
		struct secret_file *f = &s->file[i];
		struct file_mark now = file_mark_at(f->path);

		moving = moving || !file_mark_same(&now, &f->seen);
		changed = changed || !file_mark_same(&now, &f->mark);
		f->seen = now;
	}
	return changed && !moving;
}

int
secrets_drop_retired(const struct secrets *s, const char *state, int64_t before_ms,
    struct why *why)
{
	const struct secret_file *f = s->file;
	struct file_mark now;
	struct stat st;
	int dir, rc = 1;

	while (f < s->file + s->n && strcmp(f->name, "age-retired") != 0)
		f++;
	if (f == s->file + s->n || f->text.n == 0)
		return 0;
	if ((dir = open(state, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) == -1)
		return why_sys(why, "%s", state);
	if (fstatat(dir, RETIRED, &st, AT_SYMLINK_NOFOLLOW) == -1) {
		close(dir);
		return 0;
	}
	now = file_mark_of(&st);
	/* Another than the courier has: it will be read, and judged, first. */
	if (!file_mark_same(&now, &f->mark) || (int64_t)st.st_mtim.tv_sec * 1000 > before_ms)
		rc = 0;
	else if (unlinkat(dir, RETIRED, 0) == -1 || fsync(dir) == -1)
		rc = why_sys(why, "%s", f->path);
	close(dir);
	return rc;
}

void
secrets_settle(struct secrets *s)
{
	for (size_t i = 0; i < s->n; i++)
		s->file[i].mark = s->file[i].seen;
}
