#include "proto/smtp_ehlo.h"

#include "proto/smtp_reply.h"

static const struct {
	const char	*keyword;
	enum smtp_offer	 offer;
} offers[] = {
	{ "SIZE",                SMTP_OFFER_SIZE },
	{ "PIPELINING",          SMTP_OFFER_PIPELINING },
	{ "CHUNKING",            SMTP_OFFER_CHUNKING },
	{ "8BITMIME",            SMTP_OFFER_8BITMIME },
	{ "SMTPUTF8",            SMTP_OFFER_SMTPUTF8 },
	{ "DSN",                 SMTP_OFFER_DSN },
	{ "ENHANCEDSTATUSCODES", SMTP_OFFER_ENHANCED },
	{ "STARTTLS",            SMTP_OFFER_STARTTLS },
	{ "AUTH",                SMTP_OFFER_AUTH },
	{ "XCLIENT",             SMTP_OFFER_XCLIENT },
	{ "XFORWARD",            SMTP_OFFER_XFORWARD },
};

/* Takes one line off the reply; false at its end, or at what is no line of a 250. */
static bool
take_line(struct span *reply, struct span *text)
{
	const char *nl = reply->n > 0 ? memchr(reply->p, '\n', reply->n) : NULL;
	struct span line;
	unsigned code;
	bool last;

	if (nl == NULL)
		return false;
	line = span_of(reply->p, (size_t)(nl - reply->p));
	*reply = span_from(*reply, line.n + 1);
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return smtp_reply_line(line, &code, &last, text) && code == 250;
}

static void
skip_blanks(struct span *s)
{
	while (s->n > 0 && (s->p[0] == ' ' || s->p[0] == '\t'))
		*s = span_from(*s, 1);
}

/* Takes a word off the front, and the spaces around it; `also` ends one as a space does. */
static struct span
take_word(struct span *s, char also)
{
	size_t n = 0;
	struct span word;

	skip_blanks(s);
	while (n < s->n && s->p[n] != ' ' && s->p[n] != '\t' && s->p[n] != also)
		n++;
	word = span_of(s->p, n);
	*s = span_from(*s, n + 1);
	skip_blanks(s);
	return word;
}

bool
smtp_ehlo_find(struct span reply, struct span keyword, struct span *args)
{
	struct span text;
	bool found = false;

	*args = (struct span){ NULL, 0 };
	if (!take_line(&reply, &text))
		return false;
	while (args->n == 0 && take_line(&reply, &text))
		if (span_eq_nocase(take_word(&text, '='), keyword)) {
			found = true;
			*args = text;
		}
	return found;
}

bool
smtp_ehlo_lists(struct span args, struct span word)
{
	while (args.n > 0)
		if (span_eq_nocase(take_word(&args, ' '), word))
			return true;
	return false;
}

struct smtp_ehlo
smtp_ehlo_read(struct span reply)
{
	struct smtp_ehlo e = { 0 };
	unsigned long long size;
	struct span args;

	for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++)
		if (smtp_ehlo_find(reply, span_str(offers[i].keyword), &args) &&
		    (args.n > 0 || offers[i].offer != SMTP_OFFER_AUTH)) {
			e.offers |= offers[i].offer;
			if (offers[i].offer == SMTP_OFFER_SIZE &&
			    span_u64(take_word(&args, ' '), UINT64_MAX, &size))
				e.size = size;
		}
	return e;
}
