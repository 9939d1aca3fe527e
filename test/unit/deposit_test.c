/*
 * An object on its way into a store that fails in every way: KEPT is said of nothing that the
 * store does not have, whole, and what it has is there once.
 */
#include "kit/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/codec.h"
#include "edge/deposit.h"
#include "kit/http_server.h"
#include "proto/crypto.h"

#define SMALL	"age-encryption.org/v1 and so on"
#define LARGE	(300u << 10)
#define TRIES	4

/* --- a store ------------------------------------------------------------------------------- */

#define OK_PUT	"HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 0\r\n\r\n"
#define EMPTY(status) "HTTP/1.1 " status "\r\nContent-Length: 0\r\n\r\n"
#define CODE(status, code) "HTTP/1.1 " status "\r\nConnection: close\r\n\r\n<Error><Code>" code \
	"</Code></Error>"

/* What it does with one request instead of what it should. */
struct fault {
	const char	*name;
	bool		 takes;		/* a PUT happens all the same */
	const char	*says;
	enum deposited	 then;		/* what is told of this try */
};

static struct {
	bool		 has;
	struct buf	 octets;
	char		 key[200], edge[64], mac[80];
	unsigned	 puts, heads, taken;
	const struct fault *faults[2];	/* of the first requests */
	unsigned	 nfaults;
	bool		 forgets;	/* home takes and deletes what lies there before a HEAD */
} store;

/* A field of the request, or "". */
static void
field(struct span heard, const char *name, char *out, size_t max)
{
	const char *p = memmem(heard.p, heard.n, name, strlen(name));
	size_t n = p == NULL ? 0 : strcspn(p += strlen(name), "\r");

	snprintf(out, max, "%.*s", (int)n, p == NULL ? "" : p);
}

/* As a store checks it: the sum that was signed is the body's. */
static bool
summed(struct span heard, struct span body)
{
	unsigned char sum[SHA256_LEN];
	char is[2 * SHA256_LEN + 1], should[80];

	assert_int_equal(EVP_Digest(body.p, body.n, sum, NULL, crypto_sha256(), NULL), 1);
	hex_encode(sum, sizeof(sum), is);
	field(heard, "\r\nx-amz-content-sha256: ", should, sizeof(should));
	return strcmp(is, should) == 0;
}

static void
take(struct span heard)
{
	const char *end = memmem(heard.p, heard.n, "\r\n\r\n", 4);

	buf_clear(&store.octets);
	buf_add(&store.octets, end + 4, heard.n - (size_t)(end + 4 - heard.p));
	assert_true(summed(heard, buf_span(&store.octets)));
	snprintf(store.key, sizeof(store.key), "%.*s", (int)strcspn(heard.p + 4, " "),
	    heard.p + 4);
	field(heard, "\r\nx-amz-meta-posthouse-edge: ", store.edge, sizeof(store.edge));
	field(heard, "\r\nx-amz-meta-posthouse-mac: ", store.mac, sizeof(store.mac));
	store.taken++;
	store.has = true;
}

static const char *
honest(struct span heard, bool put)
{
	static char says[400];

	if (put) {
		if (store.has)
			return EMPTY("412 Precondition Failed");
		take(heard);
		return OK_PUT;
	}
	if (store.forgets)
		store.has = store.forgets = false;
	snprintf(says, sizeof(says), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nETag: \"e\"\r\n"
	    "x-amz-meta-posthouse-edge: %s\r\nx-amz-meta-posthouse-mac: %s\r\n\r\n",
	    store.octets.n, store.edge, store.mac);
	return store.has ? says : EMPTY("404 Not Found");
}

static const char *
play(struct span heard)
{
	bool put = strncmp(heard.p, "PUT ", 4) == 0;
	const struct fault *f = NULL;
	unsigned n = store.puts + store.heads;

	store.puts += put;
	store.heads += !put;
	assert_true(put || strncmp(heard.p, "HEAD ", 5) == 0);
	assert_true(!put || memmem(heard.p, heard.n, "\r\nif-none-match: *\r\n", 20) != NULL);
	if (n < store.nfaults)
		f = store.faults[n];
	if (f == NULL)
		return honest(heard, put);
	if (f->takes && put && !store.has)
		take(heard);
	return f->says;
}

/* --- a deposit ------------------------------------------------------------------------------ */

static struct http *http;
static struct resolver *resolver;
static struct s3 *s3;
static struct deposit_to to;
static struct deposit *deposit;
static unsigned char mac[OBJECT_MAC_LEN];
static unsigned told;
static enum deposited last;
static int64_t last_wait;
static struct why last_why;
static char *large;

static void
on_deposited(void *arg, enum deposited what, int64_t wait_ms, const struct why *why)
{
	told++;
	last = what;
	last_wait = wait_ms;
	last_why = *why;
}

static const struct spool_meta *
meta(void)
{
	static struct spool_meta m = { .signer = "mx1.example.org", .origin = ORIGIN_RECEPTION };

	m.id.b[0] = 1;
	return &m;
}

static int
setup(void **state)
{
	struct s3_keys keys = { "AKIDEXAMPLE", "secret", "" };
	struct s3_place place = { .bucket = "mail", .region = "auto" };
	struct netaddr at;
	struct why why;
	char url[100];

	loop_begin();
	memset(&store, 0, sizeof(store));
	buf_init(&store.octets, 4u << 20);
	assert_true(crypto_init());
	http = http_new(&loop, &why);
	resolver = resolver_new();
	at = http_server_begin(NULL);
	server.play = play;
	snprintf(url, sizeof(url), "http://%s", netaddr_hostport(&at).s);
	place.endpoint = url;
	s3 = s3_new(http, resolver, &place, &keys, &why);
	assert_non_null(s3);
	to = (struct deposit_to){ &loop, s3, "pending/" };
	memset(mac, 7, sizeof(mac));
	large = malloc(LARGE);
	for (size_t i = 0; i < LARGE; i++)
		large[i] = (char)(i * 31 + i / 4096);
	told = 0;
	return 0;
}

static int
teardown(void **state)
{
	deposit_free(&deposit);
	s3_free(&s3);
	http_free(&http);
	resolver_free(&resolver);
	http_server_end();
	buf_fini(&store.octets);
	free(large);
	loop_end();
	return 0;
}

static void
begin(void)
{
	deposit_free(&deposit);
	store.has = store.forgets = false;
	store.puts = store.heads = store.taken = store.nfaults = 0;
	deposit = deposit_new(&to, meta(), mac, SPAN_LIT(SMALL), on_deposited, NULL);
	assert_non_null(deposit);
}

/* What the sender would be told 250 for. */
static bool
there(struct span octets)
{
	char hex[2 * OBJECT_MAC_LEN + 1];

	hex_encode(mac, sizeof(mac), hex);
	return store.has && span_eq(buf_span(&store.octets), octets) &&
	    strcmp(store.key, "/mail/pending/01000000-0000-0000-0000-000000000000.age") == 0 &&
	    strcmp(store.edge, "mx1.example.org") == 0 && strcmp(store.mac, hex) == 0;
}

static void
try_once(void)
{
	told = 0;
	deposit_try(deposit);
	RUN_UNTIL(told > 0);
	assert_int_equal(told, 1);
	if (last == DEPOSIT_KEPT && !there(SPAN_LIT(SMALL)))
		fail_msg("it is said to be kept, and is not there");
	assert_true(last == DEPOSIT_KEPT || last_why.text[0] != '\0');
}

/* --- one fault, anywhere --------------------------------------------------------------------- */

static const struct fault faults[] = {
	{ "the answer is lost", true, "", DEPOSIT_LATER },
	{ "the request is", false, "", DEPOSIT_LATER },
	{ "it was taken and 500 is said", true, EMPTY("500 Oh"), DEPOSIT_LATER },
	{ "500", false, CODE("500 Oh", "InternalError"), DEPOSIT_LATER },
	{ "502 of a proxy's, and it was taken", true, EMPTY("502 Bad Gateway"), DEPOSIT_LATER },
	{ "too much", false, CODE("503 No", "SlowDown"), DEPOSIT_LATER },
	{ "too much, and it was taken", true, EMPTY("429 Slow"), DEPOSIT_LATER },
	{ "too slow, says a proxy", false, EMPTY("408 Request Timeout"), DEPOSIT_LATER },
	{ "RequestTimeout", false, CODE("400 No", "RequestTimeout"), DEPOSIT_LATER },
	{ "a portal's page", false, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n<html/>",
	    DEPOSIT_LATER },
	{ "no HTTP", true, "220 mail.example ESMTP\r\n", DEPOSIT_LATER },
	{ "two at once, says a store that has neither", false,
	    CODE("409 Conflict", "ConditionalRequestConflict"), DEPOSIT_LATER },
	{ "two at once", true, CODE("409 Conflict", "ConditionalRequestConflict"), DEPOSIT_KEPT },
	{ "there already, and it is not", false, EMPTY("412 No"), DEPOSIT_LATER },
	{ "a clock, once", false, CODE("403 No", "RequestTimeTooSkewed"), DEPOSIT_KEPT },
	{ "over its quota", false, CODE("403 No", "QuotaExceeded"), DEPOSIT_FULL },
	{ "may not", false, CODE("403 No", "AccessDenied"), DEPOSIT_REFUSED },
	{ "unknown", false, CODE("403 No", "InvalidAccessKeyId"), DEPOSIT_REFUSED },
	{ "a 403 without a word", false, EMPTY("403 No"), DEPOSIT_REFUSED },
	{ "no bucket", false, CODE("404 No", "NoSuchBucket"), DEPOSIT_REFUSED },
	{ "elsewhere", false, EMPTY("301 Moved"), DEPOSIT_REFUSED },
	{ "no conditions", false, EMPTY("501 No"), DEPOSIT_REFUSED },
	{ "the octets came damaged", false, CODE("400 No", "XAmzContentSHA256Mismatch"),
	    DEPOSIT_REFUSED },
	{ "too large for it", false, CODE("400 No", "EntityTooLarge"), DEPOSIT_REFUSED },
};
#define NFAULTS	(sizeof(faults) / sizeof(faults[0]))

static void
what_a_failure_means_and_what_comes_of_the_next_try(void **state)
{
	for (size_t i = 0; i < NFAULTS; i++) {
		begin();
		store.faults[0] = &faults[i];
		store.nfaults = 1;
		try_once();
		if (last != faults[i].then)
			fail_msg("%s: %d: %s", faults[i].name, last, last_why.text);
		if (last == DEPOSIT_KEPT)
			continue;
		try_once();
		if (last != DEPOSIT_KEPT || store.taken != 1)
			fail_msg("%s, and again: %d: %s", faults[i].name, last, last_why.text);
	}
}

/* The second falls on the next PUT, or on the look whether it is there. */
static void
after_any_two_faults_nothing_is_said_to_be_there_that_is_not(void **state)
{
	for (size_t i = 0; i < NFAULTS * NFAULTS; i++) {
		unsigned tries = 0;

		begin();
		store.faults[0] = &faults[i / NFAULTS];
		store.faults[1] = &faults[i % NFAULTS];
		store.nfaults = 2;
		do
			try_once();
		while (last != DEPOSIT_KEPT && ++tries < TRIES);
		if (last != DEPOSIT_KEPT || store.taken != 1)
			fail_msg("%s, then %s: %d: %s", faults[i / NFAULTS].name,
			    faults[i % NFAULTS].name, last, last_why.text);
	}
}

static void
an_answer_that_is_cut_anywhere_is_asked_for_again(void **state)
{
	struct fault f = { .takes = true };
	char says[100];

	for (size_t n = 0; n < strlen(OK_PUT); n++) {
		begin();
		snprintf(says, sizeof(says), "%.*s", (int)n, OK_PUT);
		f.says = says;
		store.faults[0] = &f;
		store.nfaults = 1;
		try_once();
		if (last != DEPOSIT_LATER)
			fail_msg("cut at %zu: %d: %s", n, last, last_why.text);
		try_once();
		assert_int_equal(last, DEPOSIT_KEPT);
		assert_int_equal(store.taken, 1);
		assert_true(store.puts == 2 && store.heads == 1);
	}
}

static void
a_store_says_how_long_to_leave_it_alone(void **state)
{
	static const struct fault f = { .says = "HTTP/1.1 503 No\r\nRetry-After: 7\r\n"
	    "Content-Length: 0\r\n\r\n" };

	begin();
	store.faults[0] = &f;
	store.nfaults = 1;
	try_once();
	assert_int_equal(last, DEPOSIT_LATER);
	assert_int_equal(last_wait, 7000);
}

/* --- what is there under its name ------------------------------------------------------------ */

static const struct fault lost = { .takes = true, .says = "" };

static void
home_may_have_taken_it_before_anybody_looked(void **state)
{
	begin();
	store.faults[0] = &lost;
	store.nfaults = 1;
	store.forgets = true;
	try_once();
	assert_int_equal(last, DEPOSIT_LATER);
	try_once();				/* 412, and at the HEAD it is gone */
	assert_int_equal(last, DEPOSIT_LATER);
	try_once();
	assert_int_equal(last, DEPOSIT_KEPT);	/* again, under the id that home knows */
	assert_int_equal(store.taken, 2);
}

static const struct {
	const char	*name, *says;
	enum deposited	 then;
} looks[] = {
	{ "another edge's", "HTTP/1.1 200 OK\r\nContent-Length: 31\r\n"
	    "x-amz-meta-posthouse-edge: mx2.example.org\r\nx-amz-meta-posthouse-mac: "
	    "0707070707070707070707070707070707070707070707070707070707070707\r\n\r\n",
	    DEPOSIT_REFUSED },
	{ "another MAC", "HTTP/1.1 200 OK\r\nContent-Length: 31\r\n"
	    "x-amz-meta-posthouse-edge: mx1.example.org\r\nx-amz-meta-posthouse-mac: "
	    "0807070707070707070707070707070707070707070707070707070707070707\r\n\r\n",
	    DEPOSIT_REFUSED },
	{ "half of it", "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n"
	    "x-amz-meta-posthouse-edge: mx1.example.org\r\nx-amz-meta-posthouse-mac: "
	    "0707070707070707070707070707070707070707070707070707070707070707\r\n\r\n",
	    DEPOSIT_REFUSED },
	{ "a stranger's", "HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n", DEPOSIT_REFUSED },
	{ "may not look", EMPTY("403 No"), DEPOSIT_REFUSED },
	{ "an answer that breaks off", "HTTP/1.1 200 OK\r\nContent-Le", DEPOSIT_LATER },
	{ "overload", EMPTY("503 No"), DEPOSIT_LATER },
};

static void
only_its_own_octets_are_believed_to_be_it(void **state)
{
	struct fault f = { .name = NULL };

	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
		begin();
		store.has = true;		/* under that name, whatever it is */
		buf_clear(&store.octets);
		f.says = looks[i].says;
		store.faults[0] = NULL;		/* the PUT's 412 is honest */
		store.faults[1] = &f;
		store.nfaults = 2;
		try_once();
		if (last != looks[i].then)
			fail_msg("%s: %d: %s", looks[i].name, last, last_why.text);
		assert_int_equal(store.taken, 0);
	}
}

/* --- large ones ------------------------------------------------------------------------------ */

static int
file_of(size_t n)
{
	char path[] = "/tmp/deposit-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(write(fd, large, n), (ssize_t)n);
	return fd;
}

static void
a_file_is_sent_whole_and_again_from_its_beginning(void **state)
{
	store.faults[0] = &faults[1];
	store.nfaults = 1;
	deposit = deposit_of_file(&to, meta(), mac, file_of(LARGE), LARGE, on_deposited, NULL);
	assert_non_null(deposit);
	for (last = DEPOSIT_LATER; last == DEPOSIT_LATER;) {
		told = 0;
		deposit_try(deposit);
		RUN_UNTIL(told > 0);
	}
	assert_int_equal(last, DEPOSIT_KEPT);
	assert_int_equal(store.puts, 2);
	assert_true(there(span_of(large, LARGE)));
}

/* Its connection is kept, and closed just when the next PUT has gone out. */
static void
what_is_sent_a_second_time_in_one_try_is_sent_from_its_beginning(void **state)
{
	server.answers = 1;
	store.faults[0] = &faults[2];
	store.nfaults = 1;
	deposit = deposit_of_file(&to, meta(), mac, file_of(LARGE), LARGE, on_deposited, NULL);
	assert_non_null(deposit);
	deposit_try(deposit);
	RUN_UNTIL(told > 0);
	assert_int_equal(last, DEPOSIT_LATER);
	store.has = false;			/* as if it had not been taken after all */
	told = 0;
	deposit_try(deposit);
	RUN_UNTIL(told > 0);
	assert_int_equal(last, DEPOSIT_KEPT);
	assert_int_equal(server.served, 3);
	assert_true(there(span_of(large, LARGE)));
}

static void
a_file_that_is_cut_is_not_kept_and_nothing_of_it_is_there(void **state)
{
	int fd = file_of(LARGE - 1);

	deposit = deposit_of_file(&to, meta(), mac, fd, LARGE, on_deposited, NULL);
	deposit_try(deposit);
	RUN_UNTIL(told > 0);
	assert_int_equal(last, DEPOSIT_BROKEN);
	deposit_free(&deposit);

	/* Or when its sum is already made. */
	store.faults[0] = &faults[1];
	store.nfaults = 1;
	fd = file_of(LARGE);
	deposit = deposit_of_file(&to, meta(), mac, fd, LARGE, on_deposited, NULL);
	told = 0;
	deposit_try(deposit);
	RUN_UNTIL(told > 0);
	assert_int_equal(last, DEPOSIT_LATER);
	assert_int_equal(ftruncate(fd, LARGE / 2), 0);
	told = 0;
	deposit_try(deposit);
	RUN_UNTIL(told > 0);
	assert_int_equal(last, DEPOSIT_BROKEN);
	assert_false(store.has);
}

static void
nobody_hears_of_one_that_is_given_up(void **state)
{
	static const struct fault silent = { .says = NULL };

	begin();
	store.faults[0] = &silent;
	store.nfaults = 1;
	told = 0;
	deposit_try(deposit);
	RUN_UNTIL(store.puts == 1);
	deposit_free(&deposit);
	deposit = deposit_of_file(&to, meta(), mac, file_of(LARGE), LARGE, on_deposited, NULL);
	deposit_try(deposit);
	deposit_free(&deposit);			/* while its sum is made */
	loop_run_ms(100);
	assert_int_equal(told, 0);
	assert_int_equal(store.puts, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(what_a_failure_means_and_what_comes_of_the_next_try),
		T(after_any_two_faults_nothing_is_said_to_be_there_that_is_not),
		T(an_answer_that_is_cut_anywhere_is_asked_for_again),
		T(a_store_says_how_long_to_leave_it_alone),
		T(home_may_have_taken_it_before_anybody_looked),
		T(only_its_own_octets_are_believed_to_be_it),
		T(a_file_is_sent_whole_and_again_from_its_beginning),
		T(what_is_sent_a_second_time_in_one_try_is_sent_from_its_beginning),
		T(a_file_that_is_cut_is_not_kept_and_nothing_of_it_is_there),
		T(nobody_hears_of_one_that_is_given_up),
	};

	return cmocka_run_group_tests_name("deposit", tests, NULL, NULL);
}
