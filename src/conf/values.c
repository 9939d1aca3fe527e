#include "conf/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "proto/address.h"

const char *const conf_log_words[] = { "debug", "info", "warn", "error", NULL };

typedef int store_fn(const struct conf_key *, void *, struct span, struct why *);

struct conf_quote
conf_quote(struct span s)
{
	struct conf_quote q;
	size_t o = 0;

	q.s[o++] = '"';
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (o + 6 > sizeof(q.s)) {
			memcpy(q.s + o, "...", 3);
			o += 3;
			break;
		}
		q.s[o++] = c >= 0x20 && c < 0x7f ? (char)c : '?';
	}
	q.s[o++] = '"';
	q.s[o] = '\0';
	return q;
}

static bool
printable(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return true;
}

static int
store_string(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	if (!printable(s))
		return why_set(why, "it holds control characters; write it on one line");
	if (!span_copy(s, dst, k->size))
		return why_set(why, "it is too long; at most %zu characters fit", k->size - 1);
	return 0;
}

static int
store_domain(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	char name[ADDRESS_DOMAIN_MAX + 1];

	if (!address_domain(s, name))
		return why_set(why, "%s is no domain name; write one like \"mx1.example.org\"",
		    conf_quote(s).s);
	return store_string(k, dst, span_str(name), why);
}

static int
store_path(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	if (s.n == 0 || s.p[0] != '/')
		return why_set(why, "%s is no absolute path; start it with \"/\"", conf_quote(s).s);
	return store_string(k, dst, s, why);
}

static int
store_hostport(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	const char *colon = s.n > 0 ? memrchr(s.p, ':', s.n) : NULL;
	unsigned long long port = 0;
	struct netaddr a;
	bool good = false;

	if (colon != NULL) {
		struct span host = span_of(s.p, (size_t)(colon - s.p));

		good = span_u64(span_from(s, host.n + 1), 65535, &port) && port > 0 &&
		    (netaddr_parse(s, &a) || address_domain(host, name));
	}
	if (!good)
		return why_set(why, "%s is no host and port; write \"mx1.example.org:7443\" or "
		    "\"[2001:db8::1]:7443\"", conf_quote(s).s);
	return store_string(k, dst, s, why);
}

static int
store_listen(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	struct netaddr a;

	if (!netaddr_parse(s, &a) || a.port == 0)
		return why_set(why,
		    "%s is no address and port; write \"[::]:25\" for every address, "
		    "or one like \"192.0.2.1:25\"", conf_quote(s).s);
	memcpy(dst, &a, sizeof(a));
	return 0;
}

static int
store_network(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	const char *slash = s.n > 0 ? memchr(s.p, '/', s.n) : NULL;
	struct span ip = slash != NULL ? span_of(s.p, (size_t)(slash - s.p)) : s;
	unsigned long long bits, most;
	struct conf_net n;
	struct netaddr cut;

	memset(&n, 0, sizeof(n));
	if (!netaddr_parse_ip(ip, &n.net))
		return why_set(why, "%s is no network; write one like \"192.0.2.0/24\", or an "
		    "address", conf_quote(s).s);
	bits = most = n.net.v6 ? 128 : 32;
	if (slash != NULL && !span_u64(span_from(s, ip.n + 1), most, &bits))
		return why_set(why, "%s has no right prefix; write 0 to %llu behind the \"/\"",
		    conf_quote(s).s, most);
	n.bits = (unsigned)bits;
	cut = netaddr_network(&n.net, n.bits, n.bits);
	if (!netaddr_same_ip(&cut, &n.net))
		return why_set(why, "%s has bits behind its prefix; write \"%s/%u\"",
		    conf_quote(s).s, netaddr_ip(&cut).s, n.bits);
	memcpy(dst, &n, sizeof(n));
	return 0;
}

static int
store_backend(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	static const unsigned char none[12];
	struct netaddr a;

	if (!netaddr_parse(s, &a) || a.port == 0)
		return why_set(why,
		    "%s is no address and port of a server; write the address itself, like "
		    "\"127.0.0.1:993\" or \"[::1]:993\"", conf_quote(s).s);
	if (memcmp(a.ip + 12, none, 4) == 0 && (!a.v6 || memcmp(a.ip, none, 12) == 0))
		return why_set(why, "%s is where a server may listen, not where to reach it; write "
		    "one address, like \"127.0.0.1:%u\"", conf_quote(s).s, (unsigned)a.port);
	memcpy(dst, &a, sizeof(a));
	return 0;
}

static int
store_server(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	const char *at = s.n > 0 ? memchr(s.p, '@', s.n) : NULL;
	struct span ip = at != NULL ? span_of(s.p, (size_t)(at - s.p)) : s;
	unsigned long long port = 0;
	struct netaddr a;

	if (!netaddr_parse_ip(ip, &a) ||
	    (at != NULL && (!span_u64(span_from(s, ip.n + 1), 65535, &port) || port == 0)))
		return why_set(why, "%s is no address of a resolver; write \"192.0.2.53\" or "
		    "\"192.0.2.53@5353\"", conf_quote(s).s);
	return store_string(k, dst, s, why);
}

static struct span
trimmed(struct span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = span_from(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static int
store_alias(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	const char *colon = s.n > 0 ? memchr(s.p, ':', s.n) : NULL;
	size_t at = colon != NULL ? (size_t)(colon - s.p) : 0;
	struct span from = trimmed(span_of(s.p, at));
	struct span to = colon != NULL ? trimmed(span_from(s, at + 1)) : span_of(NULL, 0);
	struct conf_alias *a = dst;
	size_t n = 0;

	if (from.n == 0 || to.n == 0 || !printable(s) || memchr(from.p, '@', from.n) != NULL)
		return why_set(why, "%s is no alias; write a local part and whose it is, mailboxes "
		    "or addresses of this home, like \"sales: alice, bob\"", conf_quote(s).s);
	if (!span_copy(from, a->from, sizeof(a->from)) || to.n >= sizeof(a->to))
		return why_set(why, "%s is too long; an alias of many people belongs into "
		    "mailboxes.file", conf_quote(s).s);
	for (size_t i = 0; i < to.n; i++) {
		bool blank = to.p[i] == ' ' || to.p[i] == '\t' || to.p[i] == ',';

		if (!blank)
			a->to[n++] = to.p[i];
		else if (n > 0 && a->to[n - 1] != ' ')
			a->to[n++] = ' ';
	}
	a->to[n - (n > 0 && a->to[n - 1] == ' ')] = '\0';
	return a->to[0] != '\0' ? 0 : why_set(why, "%s names nobody", conf_quote(s).s);
}

static int
store_tag(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	if (s.n > 1 || (s.n == 1 && strchr("+-_=!#$%&*/?^~|", s.p[0]) == NULL))
		return why_set(why, "%s cannot part a name from its tag; write one character like "
		    "\"+\" or \"-\", or \"\" for none", conf_quote(s).s);
	return store_string(k, dst, s, why);
}

static int
store_address(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	struct netaddr a;

	if (!netaddr_parse_ip(s, &a))
		return why_set(why, "%s is no address; write one without a port, like "
		    "\"198.51.100.7\"", conf_quote(s).s);
	return store_string(k, dst, s, why);
}

/* What useradd(8) lets through, without its trailing "$". */
static int
store_account(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	static const char ok[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";

	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\0' || strchr(ok, s.p[i]) == NULL || (i == 0 && s.p[i] == '-'))
			return why_set(why, "%s is no account name", conf_quote(s).s);
	return store_string(k, dst, s, why);
}

static int
store_home(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	if (!pairing_name_ok(s))
		return why_set(why, "%s is no name of a home; use a to z, 0 to 9 and -, at most %d",
		    conf_quote(s).s, PAIRING_NAME_MAX);
	return store_string(k, dst, s, why);
}

static int
store_mailbox(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	if (!address_mailbox_ok(s))
		return why_set(why,
		    "%s is no mailbox name; write the part before the @, or a whole address, at "
		    "most %d octets: letters, digits, _ = + and, not first, . and -",
		    conf_quote(s).s, ADDRESS_MAILBOX_MAX);
	return store_string(k, dst, s, why);
}

static int
store_mailbox_or_none(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	return s.n == 0 ? 0 : store_mailbox(k, dst, s, why);
}

static int
store_pin(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	if (!pin_parse(s, dst))
		return why_set(why, "%s is no pin; write \"sha256:\" and 64 hex digits, as "
		    "`posthouse keygen` prints it", conf_quote(s).s);
	return 0;
}

static int
store_recipient(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	if (!age_recipient_parse(s, dst))
		return why_set(why, "%s is no age recipient; write the public key, \"age1...\", as "
		    "`posthouse keygen` prints it", s.n >= 4 && span_starts_nocase(s,
		    SPAN_LIT("AGE-")) ?
		    "a secret key" : conf_quote(s).s);
	return 0;
}

static int
store_recipient_text(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	struct age_recipient r;

	if (s.n == 0)
		return 0;
	if (store_recipient(k, &r, s, why) == -1)
		return -1;
	return store_string(k, dst, s, why);
}

static int
store_bool(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	static const struct {
		const char	*word;
		bool		 is;
	} words[] = {
		{ "true", true }, { "yes", true }, { "on", true },
		{ "false", false }, { "no", false }, { "off", false },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_eq_nocase(s, span_str(words[i].word))) {
			memcpy(dst, &words[i].is, sizeof(bool));
			return 0;
		}
	return why_set(why, "%s is neither true nor false", conf_quote(s).s);
}

static int
store_word(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	char all[128] = "";
	size_t n = 0;

	for (int i = 0; k->words[i] != NULL; i++) {
		if (span_eq(s, span_str(k->words[i]))) {
			int value = (int)k->least + i;

			memcpy(dst, &value, sizeof(value));
			return 0;
		}
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s\"%s\"", i > 0 ? " or " : "",
		    k->words[i]);
	}
	return why_set(why, "%s is not known; write %s%s%s", conf_quote(s).s, all,
	    k->otherwise != NULL ? "; " : "", k->otherwise != NULL ? k->otherwise : "");
}

struct unit {
	const char	*name;
	uint64_t	 is;
};
static const struct unit sizes[] = {
	{ "", 1 }, { "K", CONF_K }, { "M", CONF_M }, { "G", CONF_G }, { "T", CONF_T }, { NULL, 0 }
};
static const struct unit times[] = {
	{ "ms", 1 }, { "s", CONF_SECOND }, { "m", CONF_MINUTE }, { "h", CONF_HOUR },
	{ "d", CONF_DAY }, { NULL, 0 }
};
static const struct unit plain[] = { { "", 1 }, { NULL, 0 } };

static const struct unit *
units(enum conf_type t)
{
	return t == CT_SIZE ? sizes : t == CT_TIME ? times : plain;
}

void
conf_value_print(enum conf_type t, uint64_t v, char *out, size_t max)
{
	const struct unit *u = units(t), *best = &u[0];

	for (size_t i = 0; u[i].name != NULL; i++)
		if (v != 0 && v % u[i].is == 0)
			best = &u[i];
	snprintf(out, max, "%" PRIu64 "%s", v / best->is, v == 0 ? "" : best->name);
}

static int
store_number(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	static const char *const like[CT_TYPES] = {
		[CT_NUMBER] = "no number; write digits only",
		[CT_SIZE] = "no size; write a number with K, M, G or T, like 20G",
		[CT_TIME] = "no time; write a number with ms, s, m, h or d, like 30s",
	};
	const struct unit *u = units(k->type);
	struct span digits = { s.p, 0 }, unit;
	unsigned long long v;
	char least[32], most[32];

	while (digits.n < s.n && s.p[digits.n] >= '0' && s.p[digits.n] <= '9')
		digits.n++;
	unit = span_from(s, digits.n);
	if (!span_u64(digits, UINT64_MAX, &v))
		return why_set(why, "%s is %s", conf_quote(s).s, like[k->type]);
	while (u->name != NULL && !span_eq(unit, span_str(u->name)))
		u++;
	if (u->name == NULL && v == 0 && unit.n == 0)
		u = &plain[0];			/* 0 is zero in any unit */
	if (u->name == NULL)
		return why_set(why, "%s is %s", conf_quote(s).s, like[k->type]);
	conf_value_print(k->type, k->least, least, sizeof(least));
	conf_value_print(k->type, k->most, most, sizeof(most));
	if (v > k->most / u->is || v * u->is > k->most || v * u->is < k->least)
		return why_set(why, "%s is out of range; write %s to %s", conf_quote(s).s, least,
		    most);
	v *= u->is;
	if (k->size == sizeof(uint32_t)) {
		uint32_t small = (uint32_t)v;	/* least and most of such a key fit */

		memcpy(dst, &small, sizeof(small));
	} else {
		uint64_t large = v;

		memcpy(dst, &large, sizeof(large));
	}
	return 0;
}

static const struct type {
	const char	*name;
	bool		 list;
	store_fn	*store;
} types[CT_TYPES] = {
	[CT_STRING] = { "string", false, store_string },
	[CT_HOSTNAME] = { "host name", false, store_domain },
	[CT_DOMAINS] = { "list of domains", true, store_domain },
	[CT_PATH] = { "path", false, store_path },
	[CT_HOSTPORT] = { "host:port", false, store_hostport },
	[CT_HOSTPORTS] = { "list of host:port", true, store_hostport },
	[CT_LISTEN] = { "list of address:port", true, store_listen },
	[CT_NETWORKS] = { "list of networks", true, store_network },
	[CT_BACKEND] = { "address:port", false, store_backend },
	[CT_ADDRESSES] = { "list of addresses", true, store_address },
	[CT_SERVERS] = { "list of addresses", true, store_server },
	[CT_ACCOUNT] = { "account", false, store_account },
	[CT_HOME] = { "name of a home", false, store_home },
	[CT_HOMES] = { "list of homes", true, store_home },
	[CT_MAILBOX] = { "mailbox", false, store_mailbox_or_none },
	[CT_MAILBOXES] = { "list of mailboxes", true, store_mailbox },
	[CT_ALIASES] = { "list of aliases", true, store_alias },
	[CT_TAG] = { "character", false, store_tag },
	[CT_PIN] = { "pin", false, store_pin },
	[CT_RECIPIENTS] = { "list of age recipients", true, store_recipient },
	[CT_RECIPIENT] = { "age recipient", false, store_recipient_text },
	[CT_BOOL] = { "true or false", false, store_bool },
	[CT_WORD] = { "word", false, store_word },
	[CT_NUMBER] = { "number", false, store_number },
	[CT_SIZE] = { "size", false, store_number },
	[CT_TIME] = { "time", false, store_number },
};

int
conf_value_store(const struct conf_key *k, void *dst, struct span s, struct why *why)
{
	/* so that equal values have equal bytes: see the reload check */
	memset(dst, 0, k->size);
	return types[k->type].store(k, dst, s, why);
}

const char *
conf_type_name(enum conf_type t)
{
	return types[t].name;
}

bool
conf_type_list(enum conf_type t)
{
	return types[t].list;
}

bool
conf_type_range(enum conf_type t)
{
	return t == CT_NUMBER || t == CT_SIZE || t == CT_TIME;
}
