#include "proto/mailbox_password.h"

#include "base/codec.h"
#include "proto/address.h"
#include "proto/crypto.h"

/* The name in the one spelling that is derived from and written down. */
static bool
fold(struct span user, char out[ADDRESS_MAILBOX_MAX + 1])
{
	if (!address_mailbox_ok(user) || !span_copy(user, out, ADDRESS_MAILBOX_MAX + 1))
		return false;
	for (char *p = out; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p |= 0x20;
	return true;
}

static void
base32(const unsigned char *p, size_t n, char *out)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";

	for (size_t i = 0; i < n; i++) {
		size_t at = i * 5 / 8, shift = i * 5 % 8;

		out[i] = digits[(p[at] << 8 | p[at + 1]) >> (11 - shift) & 31];
	}
	out[n] = '\0';
}

bool
mailbox_password(const struct secret *key, struct span user, uint64_t counter,
    char out[MAILBOX_PASSWORD_LEN + 1])
{
	unsigned char number[8], mac[SHA256_LEN];
	char name[ADDRESS_MAILBOX_MAX + 1];
	bool ok = key->set && fold(user, name);

	out[0] = '\0';
	if (ok) {
		struct span parts[] = {
			{ "posthouse-password-1", sizeof("posthouse-password-1") },
			{ name, strlen(name) + 1 },
			{ (const char *)number, sizeof(number) },
		};

		put_u64(number, counter);
		ok = hmac_sha256(span_of(key->b, SECRET_LEN), parts,
		    sizeof(parts) / sizeof(parts[0]), mac);
	}
	if (ok)
		base32(mac, MAILBOX_PASSWORD_LEN, out);
	explicit_bzero(mac, sizeof(mac));
	return ok;
}

bool
mailbox_password_is(const struct secret *key, struct span user, uint64_t counter, struct span said)
{
	char right[MAILBOX_PASSWORD_LEN + 1];
	bool ok = mailbox_password(key, user, counter, right) && said.n == MAILBOX_PASSWORD_LEN &&
	    secret_eq(right, said.p, MAILBOX_PASSWORD_LEN);

	explicit_bzero(right, sizeof(right));
	return ok;
}

/* --- counters ----------------------------------------------------------------------------- */

static struct span
next_line(struct span *text)
{
	const char *nl = memchr(text->p, '\n', text->n);
	struct span line = span_of(text->p, nl != NULL ? (size_t)(nl - text->p) : text->n);

	*text = span_from(*text, nl != NULL ? line.n + 1 : line.n);
	return line;
}

/* "USER COUNTER"; a name that is not in its one spelling would never be found. */
static bool
read_line(struct span line, struct span *user, unsigned long long *counter)
{
	const char *space = memchr(line.p, ' ', line.n);
	char name[ADDRESS_MAILBOX_MAX + 1];

	if (space == NULL)
		return false;
	*user = span_of(line.p, (size_t)(space - line.p));
	return fold(*user, name) && span_eq(*user, span_str(name)) &&
	    span_u64(span_from(line, user->n + 1), INT64_MAX, counter);
}

/* keep: where the lines of all others go; NULL: nowhere. */
static int
look(struct span text, struct span user, struct buf *keep, uint64_t *counter, struct why *why)
{
	char name[ADDRESS_MAILBOX_MAX + 1];

	*counter = 0;
	if (!fold(user, name))
		return why_set(why, "that is no name of a mailbox");
	for (size_t n = 1; text.n > 0; n++) {
		struct span line = next_line(&text), who = { NULL, 0 };
		unsigned long long value = 0;

		if (line.n > 0 && line.p[0] != '#') {
			if (!read_line(line, &who, &value))
				return why_set(why, "line %zu: it should be a user in lower case, "
				    "a space and a number", n);
			if (span_eq(who, span_str(name))) {
				if (value > *counter)
					*counter = value;
				continue;
			}
		}
		if (keep != NULL) {
			buf_add_span(keep, line);
			buf_add(keep, "\n", 1);
		}
	}
	return 0;
}

int
mailbox_counter(struct span text, struct span user, uint64_t *counter, struct why *why)
{
	return look(text, user, NULL, counter, why);
}

int
mailbox_counter_next(struct span text, struct span user, struct buf *out, uint64_t *counter,
    struct why *why)
{
	char name[ADDRESS_MAILBOX_MAX + 1];

	if (look(text, user, out, counter, why) == -1)
		return -1;
	if (*counter == INT64_MAX)
		return why_set(why, "the counter is at its end");
	fold(user, name);		/* look did as much */
	buf_addf(out, "%s %llu\n", name, (unsigned long long)++*counter);
	return out->failed ? why_set(why, "too many users whose passwords were rotated") : 0;
}

/* --- a login ------------------------------------------------------------------------------ */

bool
mailbox_login(struct span in, char end, struct mailbox_login *out)
{
	const char *user = in.n > 0 ? memchr(in.p, end, in.n) : NULL, *password;
	struct span rest;

	*out = (struct mailbox_login){ .user = { NULL, 0 } };
	if (user == NULL)
		return false;
	rest = span_from(in, (size_t)(user - in.p) + 1);
	if (rest.n == 0 || (password = memchr(rest.p, end, rest.n)) == NULL)
		return false;
	out->user = span_of(in.p, (size_t)(user - in.p));
	out->password = span_of(rest.p, (size_t)(password - rest.p));
	return true;
}
