#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/codec.h"
#include "proto/age_format.h"
#include "proto/crypto.h"

/* Made by age-keygen. */
#define SECRET	"AGE-SECRET-KEY-16CTUN4GEZP6GHEEKEFLZ626FKKHXRN2JNGQKEF9G25ZJ4M4JVFQS08W4DE"
#define PUBLIC	"age12p6w2xc9gtea45r4qf3q2axygppqdeqps7ghyft7del27tg70gqscchzrf"

static struct age_identity me, other;
static struct age_recipient to_me;

static int
setup(void **state)
{
	unsigned char k[32];

	memset(k, 7, sizeof(k));
	assert_true(age_identity_from_bytes(k, &me));
	memset(k, 9, sizeof(k));
	assert_true(age_identity_from_bytes(k, &other));
	memcpy(to_me.pub, me.pub, 32);
	return 0;
}

/* Seals n octets of text, given piece by piece. */
static void
seal(const char *text, size_t n, size_t piece, struct buf *out)
{
	unsigned char rnd[AGE_SEAL_RND(1)];
	struct age_seal *s;

	random_bytes(rnd, sizeof(rnd));
	assert_non_null(s = age_seal_new(&to_me, 1, rnd));
	buf_init(out, n + n / 1024 + 4096);
	for (size_t i = 0; i < n; i += piece)
		assert_true(age_seal_add(s, text + i, n - i < piece ? n - i : piece, out));
	assert_true(age_seal_end(s, out));
	assert_false(age_seal_end(s, out));
	age_seal_free(&s);
	assert_null(s);
}

static enum age_result
read_all(struct age_open *o, struct span in, size_t piece, struct buf *out, struct why *why)
{
	enum age_result result = AGE_OK;

	*why = (struct why){ "" };
	buf_init(out, 1 << 24);
	while (in.n > 0 && result == AGE_OK) {
		result = age_open_add(o, in.p, in.n < piece ? in.n : piece, out, why);
		in = span_from(in, in.n < piece ? in.n : piece);
	}
	if (result == AGE_OK)
		result = age_open_end(o, out, why);
	else
		assert_int_equal(age_open_end(o, out, why), result);
	assert_int_equal(why->text[0] == '\0', result == AGE_OK);
	return result;
}

/* Twice, where the header was good: the second time without an identity. */
static enum age_result
unseal(struct span in, size_t piece, const struct age_identity *id, struct buf *out,
    struct why *why)
{
	struct age_open *o = age_open_new(id, 1);
	enum age_result result;
	struct age_payload known;
	struct buf again;
	struct why words;

	assert_non_null(o);
	result = read_all(o, in, piece, out, why);
	if (age_open_payload(o, &known)) {
		age_open_free(&o);
		assert_non_null(o = age_open_again(&known));
		assert_int_equal(read_all(o, span_from(in, known.at), piece, &again, &words),
		    result);
		assert_true(span_eq(buf_span(&again), buf_span(out)));
		buf_fini(&again);
		age_payload_fini(&known);
		assert_false(known.key.set);
	} else {
		assert_int_not_equal(result, AGE_OK);
	}
	age_open_free(&o);
	return result;
}

static void
keys_as_text(void **state)
{
	static const char *const bad[] = {
		"", "age1", PUBLIC "q",
		"age12p6w2xc9gtea45r4qf3q2axygppqdeqps7ghyft7del27tg70gqscchzrw",
		"AGE12P6W2XC9GTEA45R4QF3Q2AXYGPPQDEQPS7GHYFT7DEL27TG70GQSCCHZRF",
		"Age12p6w2xc9gtea45r4qf3q2axygppqdeqps7ghyft7del27tg70gqscchzrf",
		"agf12p6w2xc9gtea45r4qf3q2axygppqdeqps7ghyft7del27tg70gqscchzrf", SECRET,
	};
	char text[AGE_TEXT_MAX];
	struct age_identity id;
	struct age_recipient r;

	assert_true(age_identity_parse(SPAN_LIT(SECRET), &id));
	age_identity_print(&id, text);
	assert_string_equal(text, SECRET);
	memcpy(r.pub, id.pub, 32);
	age_recipient_print(&r, text);
	assert_string_equal(text, PUBLIC);
	assert_true(age_recipient_parse(SPAN_LIT(PUBLIC), &r));
	assert_memory_equal(r.pub, id.pub, 32);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(age_recipient_parse(span_str(bad[i]), &r));
	assert_false(age_identity_parse(SPAN_LIT(PUBLIC), &id));
	assert_false(id.key.set);
	/* One wrong character anywhere is found. */
	for (size_t i = 0; i < strlen(PUBLIC); i++) {
		strcpy(text, PUBLIC);
		text[i] = text[i] == 'q' ? 'p' : 'q';
		if (strcmp(text, PUBLIC) != 0)
			assert_false(age_recipient_parse(span_str(text), &r));
	}
}

static void
key_files(void **state)
{
	static const struct {
		const char	*file;
		int		 n;
		const char	*why;
	} cases[] = {
		{ "", 0, "" },
		{ "# created: now\n# public key: " PUBLIC "\n" SECRET "\n", 1, "" },
		{ SECRET, 1, "" },
		{ SECRET "\r\n\n" SECRET "\n", 2, "" },
		{ SECRET "\n" SECRET "\n" SECRET "\n", -1, "line 3: more than 2" },
		{ "\n" PUBLIC "\n", -1, "line 2: age1... is the public half" },
		{ "AGE-SECRET-KEY-16CTUN4GEZP6GHEEKEFLZ626FKKHXRN2JNGQKEF9G25ZJ4M4JVFQS08W4D\n", -1,
		    "line 1: a damaged identity" },
		{ "age-encryption.org/v1\n", -1, "line 1: this key file is sealed" },
		{ "-----BEGIN PRIVATE KEY-----\n", -1, "line 1: this is a PEM file" },
		{ "hello\n", -1, "line 1: not an age identity" },
	};
	struct age_identity ids[2];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct why why = { "" };

		assert_int_equal(age_identities_read(span_str(cases[i].file), ids, 2, &why),
		    cases[i].n);
		assert_memory_equal(why.text, cases[i].why, strlen(cases[i].why));
		assert_null(strstr(why.text, "6CTUN4GE"));
	}
}

static void
round_trip_at_every_edge_of_a_chunk(void **state)
{
	static const size_t sizes[] = {
		0, 1, 100, 65535, 65536, 65537, 131071, 131072, 131073, 300000,
	};
	static const size_t pieces[] = { 1u << 20, 65536, 65537, 65535, 4000, 7 };
	char *text = malloc(300000);
	struct buf sealed, plain;
	struct why why;

	for (size_t i = 0; i < 300000; i++)
		text[i] = (char)(i * 31 + i / 251);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = sizes[i], chunks = n == 0 ? 1 : (n + AGE_CHUNK - 1) / AGE_CHUNK;

		for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
			seal(text, n, pieces[k], &sealed);
			assert_int_equal(sealed.n, 22 + 54 + 44 + 48 + 16 + n + chunks * AGE_TAG);
			for (size_t j = 0; j < sizeof(pieces) / sizeof(pieces[0]); j++) {
				assert_int_equal(unseal(buf_span(&sealed), pieces[j], &me, &plain,
				    &why), AGE_OK);
				assert_true(span_eq(buf_span(&plain), span_of(text, n)));
				buf_fini(&plain);
			}
			assert_int_equal(unseal(buf_span(&sealed), 4000, &other, &plain, &why),
			    AGE_NO_MATCH);
			assert_int_equal(plain.n, 0);
			buf_fini(&plain);
			buf_fini(&sealed);
		}
	}
	free(text);
}

/* The same random octets and text give the same object, however the text was cut. */
static void
sealing_does_not_depend_on_cuts(void **state)
{
	static char text[140000];
	unsigned char rnd[AGE_SEAL_RND(2)];
	struct age_recipient two[2] = { to_me, to_me };
	struct buf whole, cut;
	struct age_seal *s;

	random_bytes(rnd, sizeof(rnd));
	buf_init(&whole, 1 << 20);
	buf_init(&cut, 1 << 20);
	assert_non_null(s = age_seal_new(two, 2, rnd));
	assert_true(age_seal_add(s, text, sizeof(text), &whole));
	assert_true(age_seal_end(s, &whole));
	age_seal_free(&s);
	assert_non_null(s = age_seal_new(two, 2, rnd));
	for (size_t i = 0; i < sizeof(text); i++)
		assert_true(age_seal_add(s, text + i, 1, &cut));
	assert_true(age_seal_end(s, &cut));
	age_seal_free(&s);
	assert_true(span_eq(buf_span(&whole), buf_span(&cut)));
	buf_fini(&whole);
	buf_fini(&cut);
}

static void
a_changed_or_cut_file_is_refused(void **state)
{
	struct buf sealed, plain;
	struct why why;

	seal("hello", 5, 5, &sealed);
	for (size_t i = 0; i < sealed.n; i++) {
		sealed.p[i] ^= 1;
		assert_int_not_equal(unseal(buf_span(&sealed), 50, &me, &plain, &why), AGE_OK);
		assert_int_equal(plain.n, 0);
		buf_fini(&plain);
		sealed.p[i] ^= 1;
		assert_int_equal(unseal(span_of(sealed.p, i), 50, &me, &plain, &why),
		    AGE_MALFORMED);
		buf_fini(&plain);
	}
	assert_true(buf_add(&sealed, "x", 1));
	assert_int_equal(unseal(buf_span(&sealed), 50, &me, &plain, &why), AGE_MALFORMED);
	buf_fini(&plain);
	buf_fini(&sealed);
}

/* What a room too small does: no plaintext without its proof, and no crash. */
static void
no_room(void **state)
{
	unsigned char rnd[AGE_SEAL_RND(1)] = { 0 };
	struct age_seal *s = age_seal_new(&to_me, 1, rnd);
	struct buf sealed, small;
	struct age_open *o = age_open_new(&me, 1);
	struct why why;

	buf_init(&small, 40);
	assert_false(age_seal_add(s, "a", 1, &small));
	assert_false(age_seal_add(s, "a", 1, &small));
	assert_false(age_seal_end(s, &small));
	age_seal_free(&s);
	seal("hello, world: this is longer than forty octets", 46, 46, &sealed);
	buf_clear(&small);
	assert_int_equal(age_open_add(o, sealed.p, sealed.n, &small, &why), AGE_OK);
	assert_int_equal(age_open_end(o, &small, &why), AGE_NO_ROOM);
	age_open_free(&o);
	buf_fini(&small);
	buf_fini(&sealed);
}

/* -- Files made by hand, whose MAC is right whatever the header says -- */

static const unsigned char file_key[AGE_FILE_KEY] = { 1, 2, 3 };
static const unsigned char nonce[AGE_NONCE] = { 4, 5, 6 };

struct forged {
	char	share[64], body[64];
};

static struct forged
stanza_for_me(void)
{
	unsigned char secret[32] = { 42 }, share[32], shared[32], key[32], body[AGE_BODY];
	EVP_PKEY *k = x25519_key(secret, NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	struct forged f;

	assert_true(x25519_public(k, share));
	assert_int_equal(x25519_shared(k, me.pub, shared), X25519_OK);
	assert_true(age_wrap_key(shared, share, me.pub, key));
	assert_true(age_wrap(ctx, key, file_key, body));
	base64_encode(share, 32, false, f.share);
	base64_encode(body, 32, false, f.body);
	EVP_CIPHER_CTX_free(ctx);
	EVP_PKEY_free(k);
	return f;
}

/* %S and %B in the header stand for a share and a body of ours, %A for 64 characters of base64. */
static void
forge(const char *header, const char *behind_mac, struct buf *out)
{
	struct forged f = stanza_for_me();
	unsigned char mac[32];
	char text[64];

	buf_init(out, 1 << 20);
	for (const char *p = header; *p != '\0'; p++) {
		if (*p != '%')
			buf_add(out, p, 1);
		else if (*++p == 'S')
			buf_add_str(out, f.share);
		else if (*p == 'B')
			buf_add_str(out, f.body);
		else
			for (int i = 0; i < 64; i++)
				buf_add_str(out, "A");
	}
	buf_add_str(out, "---");
	assert_true(age_header_mac(file_key, buf_span(out), mac));
	base64_encode(mac, 32, false, text);
	buf_addf(out, " %s%s", text, behind_mac);
	assert_false(out->failed);
}

static void
forge_payload(const char *marks, size_t n, size_t last, struct buf *out)
{
	static const char zero[AGE_CHUNK];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	struct age_stream s;

	assert_true(buf_add(out, nonce, sizeof(nonce)));
	assert_true(age_stream_start(&s, ctx, file_key, nonce));
	for (size_t i = 0; i < n; i++) {
		size_t len = i + 1 == n ? last : AGE_CHUNK;
		char *to = buf_room(out, len + AGE_TAG);

		assert_non_null(to);
		assert_true(age_stream_seal(&s, zero, len, marks[i] == 'L', to));
		buf_used(out, len + AGE_TAG);
	}
	EVP_CIPHER_CTX_free(ctx);
}

#define V	"age-encryption.org/v1\n"
#define OURS	"-> X25519 %S\n%B\n"

static void
headers(void **state)
{
	static const struct {
		const char	*name, *header, *behind_mac;
		enum age_result	 want;
	} cases[] = {
		{ "plain", V OURS, "\n", AGE_OK },
		{ "another's stanza first",
		    V "-> X25519 6N/qYhvJhZq1JQmBCzYhVbzmYnUq9tBVlqSMV2jXGRI\n"
		    "cI1kyQrW7O4nEnMSsZBrwVBQvUjgTqtXRkSsRYqC5CU\n" OURS, "\n", AGE_OK },
		{ "unknown types are walked over", V "-> a b c\n\n-> b-grease\nAAAA\n" OURS
		    "-> c /%%A\n%A\n%A\n\n", "\n", AGE_OK },
		{ "an unknown type with two lines", V "-> c\n%A\nAA\n" OURS, "\n", AGE_OK },
		{ "only unknown types", V "-> a\n\n", "\n", AGE_NO_MATCH },
		{ "scrypt is another's", V "-> scrypt bBjlhJVYZeE4aqUdmtRHfw 18\n"
		    "cI1kyQrW7O4nEnMSsZBrwVBQvUjgTqtXRkSsRYqC5CU\n", "\n", AGE_NO_MATCH },
		{ "no stanza", V, "\n", AGE_MALFORMED },
		{ "another version", "age-encryption.org/v2\n" OURS, "\n", AGE_MALFORMED },
		{ "version with CR", "age-encryption.org/v1\r\n" OURS, "\n", AGE_MALFORMED },
		{ "armor", "-----BEGIN AGE ENCRYPTED FILE-----\n" OURS, "\n", AGE_MALFORMED },
		{ "text", "Dear Sir,\n" OURS, "\n", AGE_MALFORMED },
		{ "CR at the end of a stanza", V "-> X25519 %S\r\n%B\n", "\n", AGE_MALFORMED },
		{ "no space behind the arrow", V "->X25519 %S\n%B\n", "\n", AGE_MALFORMED },
		{ "two spaces", V "-> X25519  %S\n%B\n", "\n", AGE_MALFORMED },
		{ "space at the end", V "-> X25519 %S \n%B\n", "\n", AGE_MALFORMED },
		{ "an empty stanza line", V "-> \n\n" OURS, "\n", AGE_MALFORMED },
		{ "a control character", V "-> a \x01\n\n" OURS, "\n", AGE_MALFORMED },
		{ "not ASCII", V "-> a \xc3\xa4\n\n" OURS, "\n", AGE_MALFORMED },
		{ "no share", V "-> X25519\n%B\n", "\n", AGE_MALFORMED },
		{ "two arguments", V "-> X25519 %S %S\n%B\n", "\n", AGE_MALFORMED },
		{ "a padded share", V "-> X25519 %S=\n%B\n", "\n", AGE_MALFORMED },
		{ "a share that is not canonical",
		    V "-> X25519 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\n%B\n",
		    "\n", AGE_MALFORMED },
		{ "a short share", V "-> X25519 AAAA\n%B\n", "\n", AGE_MALFORMED },
		{ "a share of low order",
		    V "-> X25519 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n%B\n" OURS,
		    "\n", AGE_MALFORMED },
		{ "another point of low order",
		    V "-> X25519 AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n%B\n",
		    "\n", AGE_MALFORMED },
		{ "an empty body", V "-> X25519 %S\n\n", "\n", AGE_MALFORMED },
		{ "a long body", V "-> X25519 %S\n%A\n\n", "\n", AGE_MALFORMED },
		{ "a body that is not canonical",
		    V "-> X25519 %S\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\n",
		    "\n", AGE_MALFORMED },
		{ "a full line must be followed", V "-> a\n%A\n" OURS, "\n", AGE_MALFORMED },
		{ "65 columns", V "-> a\n%AA\n" OURS, "\n", AGE_MALFORMED },
		{ "padding in a body", V "-> a\nAA==\n" OURS, "\n", AGE_MALFORMED },
		{ "an impossible length", V "-> a\nAAAAA\n" OURS, "\n", AGE_MALFORMED },
		{ "a blank line", V OURS "\n", "\n", AGE_MALFORMED },
		{ "something behind the MAC", V OURS, "=\n", AGE_MALFORMED },
		{ "CR behind the MAC", V OURS, "\r\n", AGE_MALFORMED },
	};
	static const size_t pieces[] = { 1, 3, 64, 100000 };
	struct buf file, plain;
	struct why why;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
			enum age_result got;

			forge(cases[i].header, cases[i].behind_mac, &file);
			forge_payload("L", 1, 3, &file);
			got = unseal(buf_span(&file), pieces[k], &me, &plain, &why);
			if (got != cases[i].want)
				fail_msg("%s: %d, not %d (%s)", cases[i].name, got, cases[i].want,
				    why.text);
			assert_int_equal(plain.n, got == AGE_OK ? 3 : 0);
			buf_fini(&plain);
			buf_fini(&file);
		}
}

static void
the_number_of_stanzas_and_the_header_are_bounded(void **state)
{
	struct buf header, file, plain;
	struct why why;

	for (int n = AGE_STANZAS_MAX; n <= AGE_STANZAS_MAX + 1; n++) {
		buf_init(&header, 1 << 16);
		buf_add_str(&header, V);
		for (int i = 1; i < n; i++)
			buf_add_str(&header, "-> a\n\n");
		buf_add(&header, OURS, sizeof(OURS));
		forge(header.p, "\n", &file);
		forge_payload("L", 1, 3, &file);
		assert_int_equal(unseal(buf_span(&file), 1000, &me, &plain, &why),
		    n == AGE_STANZAS_MAX ? AGE_OK : AGE_MALFORMED);
		buf_fini(&plain);
		buf_fini(&file);
		buf_fini(&header);
	}
	for (int n = 240; n <= 260; n += 20) {	/* lines of 65 octets */
		buf_init(&header, 1 << 16);
		buf_add_str(&header, V "-> a\n");
		for (int i = 0; i < n; i++)
			buf_add_str(&header, "%A\n");
		buf_add_str(&header, "\n");
		buf_add(&header, OURS, sizeof(OURS));
		forge(header.p, "\n", &file);
		forge_payload("L", 1, 3, &file);
		assert_int_equal(unseal(buf_span(&file), 1000, &me, &plain, &why),
		    n == 240 ? AGE_OK : AGE_MALFORMED);
		buf_fini(&plain);
		buf_fini(&file);
		buf_fini(&header);
	}
}

static void
payloads(void **state)
{
	static const struct {
		/* A letter a chunk: '-', or 'L' where it is sealed as the last. */
		const char	*name, *marks;
		size_t		 last;		/* octets of the last one */
		size_t		 cut;		/* octets missing at the end */
		size_t		 plain;		/* what may come out */
		enum age_result	 want;
	} cases[] = {
		{ "empty", "L", 0, 0, 0, AGE_OK },
		{ "small", "L", 1, 0, 1, AGE_OK },
		{ "exactly one", "L", AGE_CHUNK, 0, AGE_CHUNK, AGE_OK },
		{ "two", "-L", 1, 0, AGE_CHUNK + 1, AGE_OK },
		{ "exactly two", "-L", AGE_CHUNK, 0, 2 * AGE_CHUNK, AGE_OK },
		{ "nothing at all", "L", 0, AGE_TAG, 0, AGE_MALFORMED },
		{ "half a nonce", "L", 0, AGE_TAG + 8, 0, AGE_MALFORMED },
		{ "half a tag", "L", 0, 8, 0, AGE_MALFORMED },
		{ "an empty last chunk", "-L", 0, 0, AGE_CHUNK, AGE_MALFORMED },
		{ "the last is not marked", "-", 5, 0, 0, AGE_MALFORMED },
		{ "the last chunk is missing", "--", 0, AGE_TAG, 0, AGE_MALFORMED },
		{ "marked in the middle", "LL", 5, 0, 0, AGE_MALFORMED },
		{ "the last is cut short", "-L", 500, 1, AGE_CHUNK, AGE_MALFORMED },
	};
	static const size_t pieces[] = { 11, 65552, 1 << 20 };
	struct buf file, plain;
	struct why why;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
			enum age_result got;

			forge(V OURS, "\n", &file);
			forge_payload(cases[i].marks, strlen(cases[i].marks), cases[i].last, &file);
			got = unseal(span_of(file.p, file.n - cases[i].cut), pieces[k], &me, &plain,
			    &why);
			if (got != cases[i].want || plain.n != cases[i].plain)
				fail_msg("%s: %d and %zu octets (%s)", cases[i].name, got, plain.n,
				    why.text);
			buf_fini(&plain);
			buf_fini(&file);
		}
}

/* Both end in 16 octets behind a whole chunk; only one of them lost something. */
static void
one_octet_short_is_cut_short_and_not_empty(void **state)
{
	struct buf file, plain;
	struct why why;

	for (size_t cut = 0; cut <= 1; cut++) {
		forge(V OURS, "\n", &file);
		forge_payload("-L", 2, cut, &file);
		assert_int_equal(unseal(span_of(file.p, file.n - cut), 1 << 20, &me, &plain, &why),
		    AGE_MALFORMED);
		assert_non_null(strstr(why.text, cut == 0 ? "last chunk is empty" : "cut short"));
		buf_fini(&plain);
		buf_fini(&file);
	}
}

static void
a_low_order_recipient_is_refused(void **state)
{
	struct age_recipient two[2] = { to_me, { { 0 } } };
	unsigned char rnd[AGE_SEAL_RND(2)];

	random_bytes(rnd, sizeof(rnd));
	assert_null(age_seal_new(two, 2, rnd));
	two[1].pub[0] = 1;
	assert_null(age_seal_new(two, 2, rnd));
}

/* RFC 5869 A.1 (its first 32 octets) and RFC 4231 4.3, 4.7. */
static void
primitives(void **state)
{
	static const struct span jefe = SPAN_LIT("what do ya want for nothing?");
	static const struct span larger =
	    SPAN_LIT("Test Using Larger Than Block-Size Key - Hash Key First");
	unsigned char ikm[22], salt[13], info[10], out[32], key[131];
	char hex[65];

	memset(ikm, 0x0b, sizeof(ikm));
	memset(key, 0xaa, sizeof(key));
	for (size_t i = 0; i < sizeof(salt); i++)
		salt[i] = (unsigned char)i;
	for (size_t i = 0; i < sizeof(info); i++)
		info[i] = (unsigned char)(0xf0 + i);
	assert_true(hkdf_sha256(span_of(ikm, 22), span_of(salt, 13), span_of(info, 10), out));
	hex_encode(out, 32, hex);
	assert_string_equal(hex,
	    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
	assert_true(hmac_sha256(SPAN_LIT("Jefe"), &jefe, 1, out));
	hex_encode(out, 32, hex);
	assert_string_equal(hex,
	    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	assert_true(hmac_sha256(span_of(key, 131), &larger, 1, out));
	hex_encode(out, 32, hex);
	assert_string_equal(hex,
	    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void
expect(const unsigned char b[32], const char *hex)
{
	char text[65];

	hex_encode(b, 32, text);
	assert_string_equal(text, hex);
}

/* Alice's key for Bob's (RFC 7748 6.1), and a point that hides nothing. */
static void
a_key_for_one_peer(void **state)
{
	static const unsigned char low_order[32], zero[32];
	unsigned char alice[32], bob[32], pub[32], shared[32];

	assert_true(hex_decode(SPAN_LIT("77076d0a7318a57d3c16c17251b26645"
	    "df4c2f87ebc0992ab177fba51db92c2a"), alice, 32));
	assert_true(hex_decode(SPAN_LIT("de9edb7d7b7dc1b4d35b61c2ece43537"
	    "3f8343c85b78674dadfc7e146f882b4f"), bob, 32));
	assert_int_equal(x25519_once(alice, bob, pub, shared), X25519_OK);
	expect(pub, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
	expect(shared, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
	assert_int_equal(x25519_once(alice, low_order, pub, shared), X25519_LOW_ORDER);
	assert_memory_equal(pub, zero, 32);
	assert_memory_equal(shared, zero, 32);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(primitives),
		cmocka_unit_test(keys_as_text),
		cmocka_unit_test(key_files),
		cmocka_unit_test(round_trip_at_every_edge_of_a_chunk),
		cmocka_unit_test(sealing_does_not_depend_on_cuts),
		cmocka_unit_test(a_changed_or_cut_file_is_refused),
		cmocka_unit_test(no_room),
		cmocka_unit_test(headers),
		cmocka_unit_test(the_number_of_stanzas_and_the_header_are_bounded),
		cmocka_unit_test(payloads),
		cmocka_unit_test(one_octet_short_is_cut_short_and_not_empty),
		cmocka_unit_test(a_low_order_recipient_is_refused),
		cmocka_unit_test(a_key_for_one_peer),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
