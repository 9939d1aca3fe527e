#include "proto/smtp_params.h"

#include "proto/smtp_server.h"

#define SIZE_DIGITS_MAX	20	/* RFC 1870 3 */
#define ENVID_MAX	100	/* RFC 3461 4.4 */
#define ORCPT_MAX	500	/* RFC 3461 4.2 */

enum verdict {
	GOOD = 0,
	MALFORMED,
	TOO_LARGE,
};

static enum verdict
on_size(struct span v, uint64_t size_max, struct smtp_params *p)
{
	unsigned long long n;

	if (v.n == 0 || v.n > SIZE_DIGITS_MAX)
		return MALFORMED;
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] < '0' || v.p[i] > '9')
			return MALFORMED;
	if (!span_u64(v, size_max, &n))
		return TOO_LARGE;
	p->size = n;
	return GOOD;
}

static enum verdict
on_body(struct span v, uint64_t size_max, struct smtp_params *p)
{
	if (span_eq_nocase(v, SPAN_LIT("8BITMIME")) || span_eq_nocase(v, SPAN_LIT("7BIT")))
		return GOOD;
	return MALFORMED;
}

static enum verdict
on_smtputf8(struct span v, uint64_t size_max, struct smtp_params *p)
{
	p->utf8 = true;
	return v.p == NULL ? GOOD : MALFORMED;
}

static enum verdict
on_ret(struct span v, uint64_t size_max, struct smtp_params *p)
{
	if (span_eq_nocase(v, SPAN_LIT("FULL")) || span_eq_nocase(v, SPAN_LIT("HDRS")))
		return GOOD;
	return MALFORMED;
}

static bool
is_upper_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F');
}

/* RFC 3461 4; with utf8 also what RFC 6533 3 adds to it, which stands for itself. */
static bool
is_xtext(struct span v, bool utf8)
{
	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c == '+') {
			if (v.n - i < 3 || !is_upper_hex(v.p[i + 1]) || !is_upper_hex(v.p[i + 2]))
				return false;
			i += 2;
		} else if (c < 33 || c == '=' || c == 127 || (c > 127 && !utf8)) {
			return false;
		}
	}
	return true;
}

/* As RFC 822 3.3 has it, which RFC 3461 4.2 names. */
static bool
is_atom(struct span v)
{
	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c < 33 || c > 126 || strchr("()<>@,;:\\\".[]", c) != NULL)
			return false;
	}
	return v.n > 0;
}

static enum verdict
on_envid(struct span v, uint64_t size_max, struct smtp_params *p)
{
	return v.n > 0 && v.n <= ENVID_MAX && is_xtext(v, false) ? GOOD : MALFORMED;
}

static enum verdict
on_orcpt(struct span v, uint64_t size_max, struct smtp_params *p)
{
	const char *semi = v.n > 0 ? memchr(v.p, ';', v.n) : NULL;

	if (semi == NULL || !is_atom(span_of(v.p, (size_t)(semi - v.p))) || v.n > ORCPT_MAX)
		return MALFORMED;
	return is_xtext(span_from(v, (size_t)(semi - v.p) + 1), p->utf8) ? GOOD : MALFORMED;
}

static enum verdict
on_notify(struct span v, uint64_t size_max, struct smtp_params *p)
{
	static const struct span words[] = { { "SUCCESS", 7 }, { "FAILURE", 7 }, { "DELAY", 5 } };
	unsigned seen = 0;

	if (span_eq_nocase(v, SPAN_LIT("NEVER")))
		return GOOD;
	while (v.p != NULL) {
		const char *comma = v.n > 0 ? memchr(v.p, ',', v.n) : NULL;
		struct span word = span_of(v.p, comma != NULL ? (size_t)(comma - v.p) : v.n);
		unsigned bit = 0;

		for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (span_eq_nocase(word, words[i]))
				bit = 1u << i;
		if (bit == 0 || (seen & bit) != 0)
			return MALFORMED;
		seen |= bit;
		v = comma != NULL ? span_from(v, word.n + 1) : (struct span){ 0 };
	}
	p->success = (seen & 1) != 0;
	return seen != 0 ? GOOD : MALFORMED;
}

/* RFC 4954 5: to be taken by who offers AUTH, and of no meaning here: nothing is relayed. */
static enum verdict
on_auth(struct span v, uint64_t size_max, struct smtp_params *p)
{
	return v.n > 0 && v.n <= ORCPT_MAX && is_xtext(v, false) ? GOOD : MALFORMED;
}

/* v.p is NULL where no value was given. */
static const struct param {
	const char	*name;
	enum smtp_params_of of;
	unsigned	 ext;			/* what must be announced; 0: always is */
	enum verdict	(*check)(struct span v, uint64_t size_max, struct smtp_params *);
} params[] = {
	{ "SIZE",     SMTP_PARAMS_MAIL, 0,                 on_size },
	{ "BODY",     SMTP_PARAMS_MAIL, 0,                 on_body },
	{ "SMTPUTF8", SMTP_PARAMS_MAIL, SMTP_EXT_SMTPUTF8, on_smtputf8 },
	{ "RET",      SMTP_PARAMS_MAIL, SMTP_EXT_DSN,      on_ret },
	{ "ENVID",    SMTP_PARAMS_MAIL, SMTP_EXT_DSN,      on_envid },
	{ "AUTH",     SMTP_PARAMS_MAIL, SMTP_EXT_AUTH,     on_auth },
	{ "NOTIFY",   SMTP_PARAMS_RCPT, SMTP_EXT_DSN,      on_notify },
	{ "ORCPT",    SMTP_PARAMS_RCPT, SMTP_EXT_DSN,      on_orcpt },
};
#define PARAMS	(sizeof(params) / sizeof(params[0]))

static const struct param *
find_param(struct span name, enum smtp_params_of of, unsigned ext)
{
	for (size_t i = 0; i < PARAMS; i++)
		if (params[i].of == of && (params[i].ext & ~ext) == 0 &&
		    span_eq_nocase(name, span_str(params[i].name)))
			return &params[i];
	return NULL;
}

bool
smtp_params_check(struct span text, enum smtp_params_of of, unsigned ext, uint64_t size_max,
    struct smtp_params *out, struct smtp_reply *why)
{
	unsigned seen = 0;

	while (text.n > 0) {
		struct span word = text, value = { 0 };
		const struct param *p;
		const char *at = memchr(text.p, ' ', text.n);

		if (at != NULL)
			word.n = (size_t)(at - text.p);
		text = span_from(text, at != NULL ? word.n + 1 : word.n);
		if (word.n == 0)
			continue;			/* two spaces say no more than one */
		if ((at = memchr(word.p, '=', word.n)) != NULL) {
			value = span_from(word, (size_t)(at - word.p) + 1);
			word.n = (size_t)(at - word.p);
		}
		if ((p = find_param(word, of, ext)) == NULL) {
			*why = smtp_reply(555, 5, 5, 4, "Parameter unknown or not announced: %.*s",
			    (int)(word.n < 40 ? word.n : 40), word.p);
			return false;
		}
		if ((seen & 1u << (p - params)) != 0) {
			*why = smtp_reply(501, 5, 5, 4, "%s was given twice", p->name);
			return false;
		}
		seen |= 1u << (p - params);
		switch (p->check(value, size_max, out)) {
		case GOOD:
			break;
		case MALFORMED:
			*why = smtp_reply(501, 5, 5, 4, "%s cannot have that value", p->name);
			return false;
		case TOO_LARGE:
			*why = smtp_reply(552, 5, 3, 4, "A message may have %llu octets",
			    (unsigned long long)size_max);
			return false;
		}
	}
	return true;
}
