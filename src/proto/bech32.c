#include "proto/bech32.h"

#include <stdint.h>

#define GROUPS		52		/* of five bits; the last has four that are padding */
#define CHECKSUM	6

static const char lower[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
static const char upper[] = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";

static const char *
charset(const char *hrp)
{
	return hrp[0] >= 'A' && hrp[0] <= 'Z' ? upper : lower;
}

static uint32_t
polymod(uint32_t chk, unsigned value)
{
	static const uint32_t gen[] = {
		0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3,
	};
	uint32_t top = chk >> 25;

	chk = (chk & 0x1ffffff) << 5 ^ value;
	for (int i = 0; i < 5; i++)
		chk ^= top >> i & 1 ? gen[i] : 0;
	return chk;
}

/* The checksum runs over the lower-case form of the human-readable part. */
static uint32_t
polymod_hrp(const char *hrp)
{
	uint32_t chk = 1;

	for (const char *p = hrp; *p != '\0'; p++)
		chk = polymod(chk, (unsigned char)(*p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p) >> 5);
	chk = polymod(chk, 0);
	for (const char *p = hrp; *p != '\0'; p++)
		chk = polymod(chk, (unsigned char)*p & 31);
	return chk;
}

void
bech32_encode(const char *hrp, const unsigned char data[BECH32_DATA], char *out)
{
	const char *set = charset(hrp);
	uint32_t chk = polymod_hrp(hrp);
	unsigned acc = 0, bits = 0;
	size_t o = strlen(hrp), in = 0;

	memcpy(out, hrp, o);
	out[o++] = '1';
	for (int i = 0; i < GROUPS; i++) {
		unsigned v;

		if (bits < 5) {
			acc = (acc << 8 | (in < BECH32_DATA ? data[in] : 0)) & 0x1fff;
			in++;
			bits += 8;
		}
		bits -= 5;
		v = acc >> bits & 31;
		chk = polymod(chk, v);
		out[o++] = set[v];
	}
	for (int i = 0; i < CHECKSUM; i++)
		chk = polymod(chk, 0);
	chk ^= 1;
	for (int i = 0; i < CHECKSUM; i++)
		out[o++] = set[chk >> (5 * (CHECKSUM - 1 - i)) & 31];
	out[o] = '\0';
}

static bool
decode(struct span in, const char *hrp, unsigned char data[BECH32_DATA])
{
	const char *set = charset(hrp);
	size_t h = strlen(hrp), o = 0;
	uint32_t chk = polymod_hrp(hrp);
	unsigned acc = 0, bits = 0;

	if (in.n != BECH32_LEN(h) || memcmp(in.p, hrp, h) != 0 || in.p[h] != '1')
		return false;
	for (size_t i = 0; i < GROUPS + CHECKSUM; i++) {
		char c = in.p[h + 1 + i];
		const char *at = c != '\0' ? strchr(set, c) : NULL;
		unsigned v;

		if (at == NULL)
			return false;
		v = (unsigned)(at - set);
		chk = polymod(chk, v);
		if (i >= GROUPS)
			continue;
		acc = (acc << 5 | v) & 0x1fff;
		bits += 5;
		if (bits >= 8) {
			bits -= 8;
			data[o++] = (unsigned char)(acc >> bits);
		}
	}
	return chk == 1 && (acc & ((1u << bits) - 1)) == 0;
}

bool
bech32_decode(struct span in, const char *hrp, unsigned char data[BECH32_DATA])
{
	bool ok = decode(in, hrp, data);

	if (!ok)
		explicit_bzero(data, BECH32_DATA);	/* most of a secret is a secret */
	return ok;
}
