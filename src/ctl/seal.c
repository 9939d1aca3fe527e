#include "ctl/ctl.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl/octets.h"
#include "ctl/pipeline.h"
#include "proto/age.h"
#include "proto/age_format.h"

/*
 * seal and unseal: the age program's work for one kind of key, with the code
 * that seals at the edge and opens at home.  Chunks are worked on in parallel,
 * as each stands for itself.
 */
#define BLOCK_CHUNKS	4		/* fewer system calls, and still in the cache */
#define SEAL_BLOCK	((size_t)BLOCK_CHUNKS * AGE_CHUNK)
#define OPEN_BLOCK	((size_t)BLOCK_CHUNKS * AGE_SEALED_CHUNK)
#define HEAD_MAX	(AGE_HEADER_MAX + AGE_NONCE)
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

/* c: as getopt says it.  The word itself is not echoed: it may be a secret that slipped. */
static int
misused_option(const char *command, int c)
{
	return misused(command, c == ':' ? "an option's value is missing" : "unknown option");
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

/* -- blocks of chunks -- */

static void
context_free(void *ctx)
{
	EVP_CIPHER_CTX_free(ctx);
}

/* The stream where the block begins in it.  False: memory is out. */
static bool
block_stream(struct age_stream *stream, struct pipeline_block *b, const unsigned char key[32])
{
	if (b->own == NULL && (b->own = EVP_CIPHER_CTX_new()) == NULL)
		return false;
	if (!age_stream_with(stream, b->own, key))
		return false;
	stream->counter = b->number * BLOCK_CHUNKS;
	return true;
}

/* -- seal -- */

/* arg: the payload's key, 32 octets. */
static int
seal_block(void *arg, struct pipeline_block *b, struct why *why)
{
	struct age_stream stream;
	size_t done = 0;

	if (!block_stream(&stream, b, arg))
		return why_set(why, "out of memory");
	do {
		size_t n = b->n - done < AGE_CHUNK ? b->n - done : AGE_CHUNK;
		char *to = buf_room(&b->out, n + AGE_TAG);

		if (to == NULL ||
		    !age_stream_seal(&stream, b->p + done, n, b->last && done + n == b->n, to))
			return why_set(why, "out of memory");
		buf_used(&b->out, n + AGE_TAG);
		done += n;
	} while (done < b->n);
	return 0;
}

static int
put_block(void *arg, struct pipeline_block *b, struct why *why)
{
	return octets_print(buf_span(&b->out), why);
}

static const struct pipeline_job seal_job = {
	.block = SEAL_BLOCK,
	.out_max = OPEN_BLOCK,
	.make = seal_block,
	.put = put_block,
	.own_free = context_free,
};

static int
seal_to(const struct age_recipient *to, size_t n)
{
	unsigned char rnd[AGE_SEAL_RND(AGE_RECIPIENTS_MAX)];
	unsigned char key[32];
	struct age_seal *s;
	struct why why;
	struct buf head;
	int result;

	buf_init(&head, AGE_HEADER_MAX);
	random_bytes(rnd, AGE_SEAL_RND(n));
	s = age_seal_new(to, n, rnd);
	if (s == NULL || !age_seal_add(s, NULL, 0, &head) ||
	    !age_payload_key(rnd, rnd + AGE_FILE_KEY, key))
		result = failed("seal", "out of memory, or a recipient that no key belongs to");
	else if (octets_print(buf_span(&head), &why) == -1 ||
	    pipeline_run(&seal_job, key, SPAN_LIT(""), &why) == -1)
		result = failed("seal", why.text);
	else
		result = CTL_OK;
	age_seal_free(&s);
	buf_fini(&head);
	explicit_bzero(rnd, sizeof(rnd));
	explicit_bzero(key, sizeof(key));
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

	while ((c = getopt_long(argc, argv, ":hr:", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(seal_usage, stdout);
			return CTL_OK;
		}
		if (c != 'r')
			return misused_option("seal", c);
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

/* arg: the payload's key.  What came before a failure is authentic and stays in out. */
static int
open_block(void *arg, struct pipeline_block *b, struct why *why)
{
	struct age_stream stream;
	size_t done = 0;

	if (!block_stream(&stream, b, arg))
		return why_set(why, "out of memory");
	do {
		size_t n = b->n - done < AGE_SEALED_CHUNK ? b->n - done : AGE_SEALED_CHUNK;
		bool last = b->last && done + n == b->n;

		if (age_stream_open(&stream, span_of(b->p + done, n), last, &b->out, why) != AGE_OK)
			return -1;
		done += n;
	} while (done < b->n);
	return 0;
}

static int
put_opened(void *arg, struct pipeline_block *b, struct why *why)
{
	if (isatty(STDOUT_FILENO) && has_controls(buf_span(&b->out)))
		return why_set(why, "the plaintext holds control characters, which may harm the "
		    "terminal: send it to a file or a pipe");
	return put_block(arg, b, why);
}

static const struct pipeline_job open_job = {
	.block = OPEN_BLOCK,
	.out_max = SEAL_BLOCK,
	.make = open_block,
	.put = put_opened,
	.own_free = context_free,
};

/* rest: what stood behind the header in so much as any header may take; less than a chunk. */
static int
read_header(struct age_open *o, char head[HEAD_MAX], struct age_payload *payload,
    struct span *rest, struct why *why)
{
	ssize_t n = octets_read(STDIN_FILENO, head, HEAD_MAX);
	struct buf none;

	if (n == -1)
		return why_sys(why, "standard input");
	buf_init(&none, 0);
	if (age_open_add(o, head, (size_t)n, &none, why) != AGE_OK)
		return -1;
	if (age_open_payload(o, payload)) {
		*rest = span_from(span_of(head, (size_t)n), payload->at);
		return 0;
	}
	age_open_end(o, &none, why);	/* the input is over: says in what */
	return -1;
}

static int
unseal_with(const struct age_identity *ids, size_t n)
{
	char head[HEAD_MAX];
	struct age_open *o = age_open_new(ids, n);
	struct age_payload payload = { .at = 0 };
	struct span rest = SPAN_LIT("");
	struct why why = { "" };
	int result;

	if (o == NULL)
		result = failed("unseal", "out of memory");
	else if (read_header(o, head, &payload, &rest, &why) == -1 ||
	    pipeline_run(&open_job, payload.key.b, rest, &why) == -1)
		result = failed("unseal", why.text);
	else
		result = CTL_OK;
	age_payload_fini(&payload);
	age_open_free(&o);
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
	len = octets_read(fd, file, sizeof(file));
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

	while ((c = getopt_long(argc, argv, ":hi:", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(unseal_usage, stdout);
			return CTL_OK;
		}
		if (c != 'i')
			return misused_option("unseal", c);
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
