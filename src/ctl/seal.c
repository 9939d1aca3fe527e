#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/age.h"

/*
 * seal and unseal: the age program's work for one kind of key, through the very
 * code that seals at the edge and opens at home.
 */
#define READ_OCTETS	(1u << 18)	/* four chunks: fewer system calls, and still in the cache */
#define KEY_FILE_MAX	65536
#define IDENTITIES_MAX	16

static const char seal_usage[] =
    "usage: posthouse seal -r age1... [-r age1...] <plain >sealed\n"
    "\n"
    "Seals standard input to each recipient; any one of their keys opens it again, by\n"
    "`posthouse unseal` or `age -d`.\n"
    "\n"
    "  -r, --recipient age1...   whom to seal to; up to 8\n"
    "  -h, --help                this text\n"
    "\n"
    "Exits with 0 when all is written, 1 when something failed, 2 on wrong usage.\n";

static const char unseal_usage[] =
    "usage: posthouse unseal -i KEYFILE [-i KEYFILE] <sealed >plain\n"
    "\n"
    "Opens what `posthouse seal`, `age` or an edge sealed.  Nothing is written before it is\n"
    "known to be authentic, but the end may still be missing: on any exit but 0, throw\n"
    "away what was written.\n"
    "\n"
    "  -i, --identity KEYFILE    the key, in age-keygen's format; several are tried in turn\n"
    "  -h, --help                this text\n"
    "\n"
    "Exits with 0 when all is written, 1 when something failed, 2 on wrong usage.\n";

static int
failed(const char *command, const char *what)
{
	fprintf(stderr, "posthouse %s: %s\n", command, what);
	return CTL_FAILED;
}

static int
misused(const char *command, const char *what)
{
	fprintf(stderr, "posthouse %s: %s\nTry `posthouse %s --help`.\n", command, what, command);
	return CTL_USAGE;
}

/* As many octets as there are room or input; -1 with errno. */
static ssize_t
read_full(int fd, char *p, size_t max)
{
	size_t n = 0;

	while (n < max) {
		ssize_t got = read(fd, p + n, max - n);

		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return -1;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

static int
write_out(struct buf *out, struct why *why)
{
	struct span rest = buf_span(out);

	while (rest.n > 0) {
		ssize_t done = write(STDOUT_FILENO, rest.p, rest.n);

		if (done == -1 && errno == EINTR)
			continue;
		if (done == -1)
			return why_sys(why, "standard output");
		rest = span_from(rest, (size_t)done);
	}
	buf_clear(out);
	return 0;
}

/* What a terminal would act on rather than show, other than white space. */
static bool
has_controls(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f') || c == 0x7f)
			return true;
	}
	return false;
}

/* -- seal -- */

static int
seal_stream(struct age_seal *s, char *in, struct buf *out, struct why *why)
{
	ssize_t n;

	do {
		if ((n = read_full(STDIN_FILENO, in, READ_OCTETS)) == -1)
			return why_sys(why, "standard input");
		if (!age_seal_add(s, in, (size_t)n, out))
			return why_set(why, "out of memory");
		/* A short read is the end: what is left goes out in one write with it. */
		if (n == READ_OCTETS && write_out(out, why) == -1)
			return -1;
	} while (n == READ_OCTETS);
	if (!age_seal_end(s, out))
		return why_set(why, "out of memory");
	return write_out(out, why);
}

static int
seal_to(const struct age_recipient *to, size_t n)
{
	unsigned char rnd[AGE_SEAL_RND(AGE_RECIPIENTS_MAX)];
	struct age_seal *s;
	struct why why;
	struct buf out;
	char *in = malloc(READ_OCTETS);
	int result;

	buf_init(&out, 2 * READ_OCTETS);
	random_bytes(rnd, AGE_SEAL_RND(n));
	s = age_seal_new(to, n, rnd);
	explicit_bzero(rnd, sizeof(rnd));
	if (s == NULL || in == NULL)
		result = failed("seal", "out of memory, or a recipient that no key belongs to");
	else if (seal_stream(s, in, &out, &why) == -1)
		result = failed("seal", why.text);
	else
		result = CTL_OK;
	age_seal_free(&s);
	buf_fini(&out);
	if (in != NULL)
		explicit_bzero(in, READ_OCTETS);
	free(in);
	return result;
}

int
ctl_seal(int argc, char **argv)
{
	static const struct option options[] = {
		{ "recipient", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct age_recipient to[AGE_RECIPIENTS_MAX];
	size_t n = 0;
	int c;

	while ((c = getopt_long(argc, argv, "hr:", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(seal_usage, stdout);
			return CTL_OK;
		}
		if (c != 'r')
			return CTL_USAGE;
		if (n == AGE_RECIPIENTS_MAX)
			return misused("seal", "too many recipients");
		/* Never echoed: it may be the secret half, given by mistake. */
		if (span_starts_nocase(span_str(optarg), SPAN_LIT("AGE-SECRET-KEY-")))
			return misused("seal", "-r takes the public half of a key, age1...; "
			    "a secret key was given (and may now stand in the shell's history)");
		if (!age_recipient_parse(span_str(optarg), &to[n++]))
			return misused("seal", "-r takes an age recipient, age1...; "
			    "this one is of another kind, cut, or mistyped");
	}
	if (optind < argc)
		return misused("seal", "it reads standard input and takes no file names");
	if (n == 0)
		return misused("seal", "whom to? -r age1... is missing");
	if (isatty(STDOUT_FILENO))
		return misused("seal", "sealed octets would only spoil the terminal: "
		    "send them to a file or a pipe");
	return seal_to(to, n);
}

/* -- unseal -- */

static int
unseal_stream(struct age_open *o, char *in, struct buf *out, struct why *why)
{
	bool terminal = isatty(STDOUT_FILENO);
	enum age_result result;
	ssize_t n;

	do {
		if ((n = read_full(STDIN_FILENO, in, READ_OCTETS)) == -1)
			return why_sys(why, "standard input");
		result = age_open_add(o, in, (size_t)n, out, why);
		if (result == AGE_OK && n < (ssize_t)READ_OCTETS)
			result = age_open_end(o, out, why);
		if (terminal && has_controls(buf_span(out)))
			return why_set(why, "the plaintext holds control characters, which may harm the "
			    "terminal: send it to a file or a pipe");
		/* What came before a failure is authentic; the exit code says that it is not all. */
		if (result == AGE_OK || result == AGE_MALFORMED) {
			struct why unwritten;

			if (write_out(out, &unwritten) == -1) {
				*why = unwritten;
				return -1;
			}
		}
		if (result != AGE_OK)
			return -1;
	} while (n == READ_OCTETS);
	return 0;
}

static int
unseal_with(const struct age_identity *ids, size_t n)
{
	struct age_open *o = age_open_new(ids, n);
	char *in = malloc(READ_OCTETS);
	struct why why = { "" };
	struct buf out;
	int result = CTL_OK;

	buf_init(&out, 2 * READ_OCTETS);
	if (o == NULL || in == NULL)
		result = failed("unseal", "out of memory");
	else if (unseal_stream(o, in, &out, &why) == -1)
		result = failed("unseal", why.text);
	age_open_free(&o);
	buf_wipe(&out);
	free(in);
	return result;
}

static int
read_keys(const char *path, struct age_identity *ids, size_t *n, struct why *why)
{
	char file[KEY_FILE_MAX];
	struct why inner = { "" };
	int fd = open(path, O_RDONLY | O_CLOEXEC), got;
	ssize_t len;

	if (fd == -1)
		return why_sys(why, "%.300s", path);
	len = read_full(fd, file, sizeof(file));
	if (len == -1) {
		why_sys(why, "%.300s", path);
		got = -1;
	} else if (len == (ssize_t)sizeof(file)) {
		got = why_set(why, "%.300s: too large for a key file", path);
	} else if ((got = age_identities_read(span_of(file, (size_t)len), ids + *n,
	    IDENTITIES_MAX - *n, &inner)) == -1) {
		why_set(why, "%.300s: %.180s", path, inner.text);
	} else if (got == 0) {
		got = why_set(why, "%.300s: no identity in it (AGE-SECRET-KEY-1...)", path);
	}
	close(fd);
	explicit_bzero(file, sizeof(file));
	if (got == -1)
		return -1;
	*n += (size_t)got;
	return 0;
}

static int
unseal_args(int argc, char **argv, struct age_identity *ids, size_t *n)
{
	static const struct option options[] = {
		{ "identity", required_argument, NULL, 'i' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct why why;
	int c;

	while ((c = getopt_long(argc, argv, "hi:", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(unseal_usage, stdout);
			return CTL_OK;
		}
		if (c != 'i')
			return CTL_USAGE;
		if (read_keys(optarg, ids, n, &why) == -1)
			return failed("unseal", why.text);
	}
	if (optind < argc)
		return misused("unseal", "it reads standard input and takes no file names");
	if (*n == 0)
		return misused("unseal", "which key? -i KEYFILE is missing");
	return unseal_with(ids, *n);
}

int
ctl_unseal(int argc, char **argv)
{
	struct age_identity ids[IDENTITIES_MAX];
	size_t n = 0;
	int result = unseal_args(argc, argv, ids, &n);

	while (n > 0)
		age_identity_fini(&ids[--n]);
	return result;
}
