#include "ctl/passwords.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"
#include "ctl/identity.h"
#include "ctl/keygen.h"
#include "proto/address.h"
#include "proto/mailbox_password.h"

#define KEY_FILE_MAX	256

/* -1 with why; 0 there; 1 not there. */
static int
private_file(const char *path, struct why *why)
{
	struct stat st;

	if (stat(path, &st) == -1)
		return errno == ENOENT ? 1 : why_sys(why, "%s", path);
	if (st.st_mode & 077)
		return why_set(why, "%s: others may read or write it; chmod 600, and if somebody "
		    "may have read it, rotate what it protects", path);
	return 0;
}

static int
key_read(struct passwords *p, struct why *why)
{
	unsigned char key[SECRET_LEN];
	struct buf text;
	struct span s;
	bool ok;

	if (read_file(p->key_path, KEY_FILE_MAX, &text, why) == -1)
		return -1;
	s = buf_span(&text);
	if (s.n > 0 && s.p[s.n - 1] == '\n')
		s.n--;
	if ((ok = hex_decode(s, key, sizeof(key))))
		secret_set(&p->key, key);
	explicit_bzero(key, sizeof(key));
	buf_wipe(&text);
	return ok ? 0 : why_set(why, "%s: not a key of 64 hexadecimal digits; put your copy of it "
	    "back", p->key_path);
}

static int
key_open(struct passwords *p, bool make, bool *made, struct why *why)
{
	int there = private_file(p->key_path, why);

	if (there == -1)
		return -1;
	if (there == 1) {
		if (!make)
			return why_set(why, "there is no %s; `posthouse password USER` makes it",
			    p->key_path);
		if (p->counters.n > 0)
			return why_set(why, "there is no %s, but there was: put your copy of it "
			    "back, or, so that every password is a new one, remove %s",
			    p->key_path, p->counters_path);
		if (keygen_hex(p->key_path, why) == -1)
			return -1;
		*made = true;
	}
	return key_read(p, why);
}

static int
counters_read(struct passwords *p, struct why *why)
{
	int there = private_file(p->counters_path, why);

	buf_init(&p->counters, 0);
	if (there == 0)
		return read_file(p->counters_path, MAILBOX_COUNTERS_MAX, &p->counters, why);
	return there == 1 ? 0 : -1;
}

/* The key's file never changes, so that whoever comes next locks the same one. */
static int
lock(struct passwords *p, struct why *why)
{
	if ((p->lock = open(p->key_path, O_RDONLY | O_CLOEXEC)) == -1 ||
	    flock(p->lock, LOCK_EX) == -1)
		return why_sys(why, "%s", p->key_path);
	buf_wipe(&p->counters);
	return counters_read(p, why);
}

void
passwords_key_path(const struct role *r, char out[PASSWORDS_PATH_MAX])
{
	snprintf(out, PASSWORDS_PATH_MAX, "%s/password.key", r->common->state);
}

int
passwords_open(struct passwords *p, const struct role *r, bool make, bool alone, bool *made,
    struct why *why)
{
	*made = false;
	*p = (struct passwords){ .lock = -1 };
	passwords_key_path(r, p->key_path);
	snprintf(p->counters_path, sizeof(p->counters_path), "%s/password-counters",
	    r->common->state);
	if (counters_read(p, why) == 0 && key_open(p, make, made, why) == 0 &&
	    (!alone || lock(p, why) == 0))
		return 0;
	passwords_fini(p);
	return -1;
}

static int
counter(const struct passwords *p, struct span user, uint64_t *out, struct why *why)
{
	struct why inner;

	if (!address_mailbox_ok(user))
		return why_set(why, "that is no name of a mailbox");
	if (mailbox_counter(buf_span(&p->counters), user, out, &inner) == -1)
		return why_set(why, "%s: %.200s", p->counters_path, inner.text);
	return 0;
}

int
passwords_get(const struct passwords *p, struct span user, char *password, struct why *why)
{
	uint64_t n;

	if (counter(p, user, &n, why) == -1)
		return -1;
	return mailbox_password(&p->key, user, n, password) ? 0 : why_set(why, "out of memory");
}

int
passwords_check(const struct passwords *p, struct span user, struct span said, struct why *why)
{
	uint64_t n;

	if (!address_mailbox_ok(user))
		return 0;
	if (counter(p, user, &n, why) == -1)
		return -1;
	return mailbox_password_is(&p->key, user, n, said);
}

int
passwords_rotate(struct passwords *p, struct span user, struct why *why)
{
	struct why inner;
	struct buf next;
	uint64_t n;
	int rc;

	if (counter(p, user, &n, why) == -1)
		return -1;
	buf_init(&next, MAILBOX_COUNTERS_MAX);
	if (mailbox_counter_next(buf_span(&p->counters), user, &next, &n, &inner) == -1)
		rc = why_set(why, "%s: %.200s", p->counters_path, inner.text);
	else
		rc = replace_secret(p->counters_path, buf_span(&next), why);
	if (rc == -1) {
		buf_fini(&next);
		return -1;
	}
	buf_fini(&p->counters);
	p->counters = next;
	return 0;
}

void
passwords_fini(struct passwords *p)
{
	secret_fini(&p->key);
	buf_wipe(&p->counters);
	if (p->lock != -1)
		close(p->lock);
	p->lock = -1;
}
