/*
 * ChaCha20-Poly1305 (RFC 8439) for the Worker, which has 10 ms of processor time a message and
 * no such cipher of its own: JavaScript needs 15 to 24 ms for a megabyte.  Everything around it
 * (X25519, HKDF, the age header) is WebCrypto's or JavaScript.
 *
 * No allocation, no imports.  The caller finds `aead`, writes the key and the nonce and up to 64
 * KiB of text there, and calls chacha20_poly1305_seal: the text becomes the ciphertext, and its
 * tag follows it.  No associated data, as age has none.
 */
#include <stddef.h>
#include <stdint.h>
#include <wasm_simd128.h>

#define TEXT_MAX 65536		/* a chunk of age's payload */

struct aead {
	uint8_t	key[32];
	uint8_t	nonce[12];
	uint8_t	unused[20];	/* the text begins on a cache line */
	uint8_t	text[TEXT_MAX + 16];
};

struct aead aead;

static uint32_t
load32(const uint8_t *p)
{
	return __builtin_bit_cast(uint32_t, (uint8_t[4]){ p[0], p[1], p[2], p[3] });
}

static void
store32(uint8_t *p, uint32_t v)
{
	__builtin_memcpy(p, &v, 4);
}

/* --- ChaCha20: four blocks at once, one in each lane ------------------------- */

#define ROTATE(v, n)	wasm_v128_or(wasm_i32x4_shl((v), (n)), wasm_u32x4_shr((v), 32 - (n)))
/* By whole octets one shuffle does. */
#define ROTATE_16(v) \
	wasm_i8x16_shuffle((v), (v), 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)
#define ROTATE_8(v) \
	wasm_i8x16_shuffle((v), (v), 3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14)

#define QUARTER(a, b, c, d) do {						\
	a = wasm_i32x4_add(a, b); d = wasm_v128_xor(d, a); d = ROTATE_16(d);	\
	c = wasm_i32x4_add(c, d); b = wasm_v128_xor(b, c); b = ROTATE(b, 12);	\
	a = wasm_i32x4_add(a, b); d = wasm_v128_xor(d, a); d = ROTATE_8(d);	\
	c = wasm_i32x4_add(c, d); b = wasm_v128_xor(b, c); b = ROTATE(b, 7);	\
} while (0)

/* The key stream of blocks counter to counter + 3. */
static void
four_blocks(uint32_t counter, v128_t out[16])
{
	v128_t start[16], x[16];

	start[0] = wasm_i32x4_splat(0x61707865);
	start[1] = wasm_i32x4_splat(0x3320646e);
	start[2] = wasm_i32x4_splat(0x79622d32);
	start[3] = wasm_i32x4_splat(0x6b206574);
	for (int i = 0; i < 8; i++)
		start[4 + i] = wasm_i32x4_splat((int32_t)load32(aead.key + 4 * i));
	start[12] = wasm_i32x4_add(wasm_i32x4_splat((int32_t)counter), wasm_i32x4_make(0, 1, 2, 3));
	for (int i = 0; i < 3; i++)
		start[13 + i] = wasm_i32x4_splat((int32_t)load32(aead.nonce + 4 * i));
	for (int i = 0; i < 16; i++)
		x[i] = start[i];
	for (int round = 0; round < 10; round++) {
		QUARTER(x[0], x[4], x[8], x[12]);
		QUARTER(x[1], x[5], x[9], x[13]);
		QUARTER(x[2], x[6], x[10], x[14]);
		QUARTER(x[3], x[7], x[11], x[15]);
		QUARTER(x[0], x[5], x[10], x[15]);
		QUARTER(x[1], x[6], x[11], x[12]);
		QUARTER(x[2], x[7], x[8], x[13]);
		QUARTER(x[3], x[4], x[9], x[14]);
	}
	/* Lanes become blocks: each four words are transposed. */
	for (int i = 0; i < 16; i += 4) {
		v128_t a = wasm_i32x4_add(x[i], start[i]);
		v128_t b = wasm_i32x4_add(x[i + 1], start[i + 1]);
		v128_t c = wasm_i32x4_add(x[i + 2], start[i + 2]);
		v128_t d = wasm_i32x4_add(x[i + 3], start[i + 3]);
		v128_t ab = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5);
		v128_t cd = wasm_i32x4_shuffle(c, d, 0, 4, 1, 5);
		v128_t ab2 = wasm_i32x4_shuffle(a, b, 2, 6, 3, 7);
		v128_t cd2 = wasm_i32x4_shuffle(c, d, 2, 6, 3, 7);

		out[i / 4] = wasm_i64x2_shuffle(ab, cd, 0, 2);
		out[4 + i / 4] = wasm_i64x2_shuffle(ab, cd, 1, 3);
		out[8 + i / 4] = wasm_i64x2_shuffle(ab2, cd2, 0, 2);
		out[12 + i / 4] = wasm_i64x2_shuffle(ab2, cd2, 1, 3);
	}
}

/* --- Poly1305: five limbs of 26 bits, so that sums of products fit 64 -------- */

struct poly {
	uint32_t r[5], h[5], pad[4];
};

static void
poly_begin(struct poly *p, const uint8_t key[32])
{
	p->r[0] = load32(key) & 0x3ffffff;
	p->r[1] = (load32(key + 3) >> 2) & 0x3ffff03;
	p->r[2] = (load32(key + 6) >> 4) & 0x3ffc0ff;
	p->r[3] = (load32(key + 9) >> 6) & 0x3f03fff;
	p->r[4] = (load32(key + 12) >> 8) & 0x00fffff;
	for (int i = 0; i < 5; i++)
		p->h[i] = 0;
	for (int i = 0; i < 4; i++)
		p->pad[i] = load32(key + 16 + 4 * i);
}

/* Whole blocks of 16 octets. */
static void
poly_add(struct poly *p, const uint8_t *m, size_t n)
{
	uint32_t r0 = p->r[0], r1 = p->r[1], r2 = p->r[2], r3 = p->r[3], r4 = p->r[4];
	uint32_t s1 = r1 * 5, s2 = r2 * 5, s3 = r3 * 5, s4 = r4 * 5;
	uint32_t h0 = p->h[0], h1 = p->h[1], h2 = p->h[2], h3 = p->h[3], h4 = p->h[4];

	for (; n >= 16; m += 16, n -= 16) {
		uint64_t d0, d1, d2, d3, d4;

		h0 += load32(m) & 0x3ffffff;
		h1 += (load32(m + 3) >> 2) & 0x3ffffff;
		h2 += (load32(m + 6) >> 4) & 0x3ffffff;
		h3 += load32(m + 9) >> 6;
		h4 += (load32(m + 12) >> 8) | 1 << 24;
		d0 = (uint64_t)h0 * r0 + (uint64_t)h1 * s4 + (uint64_t)h2 * s3 + (uint64_t)h3 * s2 +
		    (uint64_t)h4 * s1;
		d1 = (uint64_t)h0 * r1 + (uint64_t)h1 * r0 + (uint64_t)h2 * s4 + (uint64_t)h3 * s3 +
		    (uint64_t)h4 * s2;
		d2 = (uint64_t)h0 * r2 + (uint64_t)h1 * r1 + (uint64_t)h2 * r0 + (uint64_t)h3 * s4 +
		    (uint64_t)h4 * s3;
		d3 = (uint64_t)h0 * r3 + (uint64_t)h1 * r2 + (uint64_t)h2 * r1 + (uint64_t)h3 * r0 +
		    (uint64_t)h4 * s4;
		d4 = (uint64_t)h0 * r4 + (uint64_t)h1 * r3 + (uint64_t)h2 * r2 + (uint64_t)h3 * r1 +
		    (uint64_t)h4 * r0;
		d1 += d0 >> 26;
		h0 = (uint32_t)d0 & 0x3ffffff;
		d2 += d1 >> 26;
		h1 = (uint32_t)d1 & 0x3ffffff;
		d3 += d2 >> 26;
		h2 = (uint32_t)d2 & 0x3ffffff;
		d4 += d3 >> 26;
		h3 = (uint32_t)d3 & 0x3ffffff;
		h0 += (uint32_t)(d4 >> 26) * 5;
		h4 = (uint32_t)d4 & 0x3ffffff;
		h1 += h0 >> 26;
		h0 &= 0x3ffffff;
	}
	p->h[0] = h0;
	p->h[1] = h1;
	p->h[2] = h2;
	p->h[3] = h3;
	p->h[4] = h4;
}

static void
poly_end(struct poly *p, uint8_t tag[16])
{
	uint32_t *h = p->h, g[5], keep;
	uint64_t sum = 0;

	for (int i = 1; i < 5; i++) {
		h[i] += h[i - 1] >> 26;
		h[i - 1] &= 0x3ffffff;
	}
	h[0] += (h[4] >> 26) * 5;
	h[4] &= 0x3ffffff;
	h[1] += h[0] >> 26;
	h[0] &= 0x3ffffff;
	/* h modulo 2^130 - 5, without a branch on it. */
	g[0] = h[0] + 5;
	for (int i = 1; i < 5; i++) {
		g[i] = h[i] + (g[i - 1] >> 26);
		g[i - 1] &= 0x3ffffff;
	}
	keep = (g[4] >> 26) - 1;	/* all ones: h is below the prime */
	for (int i = 0; i < 5; i++)
		h[i] = (h[i] & keep) | (g[i] & 0x3ffffff & ~keep);
	for (int i = 0; i < 4; i++) {
		static const int low[4] = { 0, 6, 12, 18 };

		sum += (uint64_t)((h[i] >> low[i]) | (h[i + 1] << (26 - low[i]))) + p->pad[i];
		store32(tag + 4 * i, (uint32_t)sum);
		sum >>= 32;
	}
}

/* --- both --------------------------------------------------------------------- */

/* Seals the n octets of aead.text in place, n <= TEXT_MAX; the tag stands behind them. */
void
chacha20_poly1305_seal(uint32_t n)
{
	v128_t stream[16];
	uint8_t last[16] = { 0 }, lengths[16] = { 0 };
	struct poly poly;
	uint32_t at = 0, counter = 1;
	uint8_t *text = aead.text;

	four_blocks(0, stream);
	poly_begin(&poly, (const uint8_t *)stream);
	for (; n - at >= 256; at += 256, counter += 4) {
		four_blocks(counter, stream);
		for (int i = 0; i < 16; i++)
			wasm_v128_store(text + at + 16 * i,
			    wasm_v128_xor(wasm_v128_load(text + at + 16 * i), stream[i]));
	}
	if (at < n) {
		four_blocks(counter, stream);
		for (uint32_t i = 0; at + i < n; i++)
			text[at + i] ^= ((const uint8_t *)stream)[i];
	}
	poly_add(&poly, text, n & ~15u);
	if (n % 16 != 0) {
		for (uint32_t i = 0; i < n % 16; i++)
			last[i] = text[(n & ~15u) + i];
		poly_add(&poly, last, 16);
	}
	store32(lengths + 8, n);
	poly_add(&poly, lengths, 16);
	poly_end(&poly, text + n);
}
