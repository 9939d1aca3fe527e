#include "proto/pairing.h"

#include <stdio.h>

#include <jansson.h>

#include "base/codec.h"
#include "proto/address.h"
#include "proto/crypto.h"

#define PIN_PREFIX	"sha256:"
#define LINE_MAGIC	"posthouse-pair-1"
#define MAC_INFO	"posthouse-mac-1 "

bool
pin_parse(struct span s, struct pin *p)
{
	static const struct span prefix = SPAN_LIT(PIN_PREFIX);

	*p = (struct pin){ { 0 } };
	return s.n > prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0 &&
	    hex_decode(span_from(s, prefix.n), p->b, PIN_LEN);
}

void
pin_print(const struct pin *p, char out[PIN_TEXT_MAX])
{
	char hex[2 * PIN_LEN + 1];

	hex_encode(p->b, PIN_LEN, hex);
	snprintf(out, PIN_TEXT_MAX, PIN_PREFIX "%s", hex);
}

bool
pin_eq(const struct pin *a, const struct pin *b)
{
	return secret_eq(a->b, b->b, PIN_LEN);
}

bool
pairing_name_ok(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !(s.p[i] >= '0' && s.p[i] <= '9') &&
		    s.p[i] != '-')
			return false;
	return s.n > 0 && s.n <= PAIRING_NAME_MAX && s.p[0] != '-';
}

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* host:port, the host a name, an IPv4 address or an IPv6 address in brackets. */
static bool
hostport_ok(struct span s)
{
	const char *colon = s.n > 0 ? memrchr(s.p, ':', s.n) : NULL;
	unsigned long long port;
	struct netaddr a;
	struct span host;

	if (colon == NULL)
		return false;
	host = span_of(s.p, (size_t)(colon - s.p));
	if (!span_u64(span_from(s, host.n + 1), 65535, &port) || port == 0 || host.n == 0)
		return false;
	if (host.p[0] == '[')
		return netaddr_parse(s, &a);
	for (size_t i = 0; i < host.n; i++)
		if (!is_alnum(host.p[i]) && host.p[i] != '-' && host.p[i] != '.')
			return false;
	return true;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span
next_word(struct span *s)
{
	struct span word;

	while (s->n > 0 && is_space(s->p[0]))
		*s = span_from(*s, 1);
	word = span_of(s->p, 0);
	while (word.n < s->n && !is_space(s->p[word.n]))
		word.n++;
	*s = span_from(*s, word.n);
	return word;
}

bool
pairing_line_parse(struct span s, struct pairing_line *l, struct why *why)
{
	struct span magic = next_word(&s), address = next_word(&s), pin = next_word(&s);
	struct span name = next_word(&s), token = next_word(&s);

	*l = (struct pairing_line){ 0 };
	if (!span_eq(magic, SPAN_LIT(LINE_MAGIC)))
		why_set(why, "pairing line: it must start with " LINE_MAGIC
		    "; paste the whole line that `posthouse pair` printed at the edge");
	else if (token.n == 0)
		why_set(why, "pairing line: it is cut short: five words are wanted");
	else if (next_word(&s).n > 0)
		why_set(why, "pairing line: something stands behind the token");
	else if (!hostport_ok(address) || !span_copy(address, l->address, sizeof(l->address)))
		why_set(why, "pairing line: the second word is not host:port");
	else if (!pin_parse(pin, &l->edge))
		why_set(why, "pairing line: the third word is not sha256: and 64 hex digits");
	else if (!pairing_name_ok(name) || !span_copy(name, l->name, sizeof(l->name)))
		why_set(why, "pairing line: the fourth word is not a home's name (a-z, 0-9, -)");
	else if (!hex_decode(token, l->token, PAIRING_TOKEN_LEN))
		why_set(why, "pairing line: the token is not 32 hex digits");
	else
		return true;
	explicit_bzero(l, sizeof(*l));
	return false;
}

void
pairing_line_print(const struct pairing_line *l, char *out, size_t max)
{
	char pin[PIN_TEXT_MAX], token[2 * PAIRING_TOKEN_LEN + 1];

	pin_print(&l->edge, pin);
	hex_encode(l->token, PAIRING_TOKEN_LEN, token);
	snprintf(out, max, LINE_MAGIC " %s %s %s %s", l->address, pin, l->name, token);
	explicit_bzero(token, sizeof(token));
}

bool
pairing_mac_key(const unsigned char exporter[32], const unsigned char token[PAIRING_TOKEN_LEN],
    const char *name, struct secret *out)
{
	unsigned char key[SECRET_LEN];
	char info[sizeof(MAC_INFO) + PAIRING_NAME_MAX];
	bool ok;

	*out = (struct secret){ 0 };
	snprintf(info, sizeof(info), MAC_INFO "%s", name);
	ok = hkdf_sha256(span_of(exporter, 32), span_of(token, PAIRING_TOKEN_LEN), span_str(info),
	    key);
	if (ok)
		secret_set(out, key);
	explicit_bzero(key, sizeof(key));
	return ok;
}

/* -- A peer -- */

static struct span
text_of(const json_t *j)
{
	return span_of(json_string_value(j), json_string_length(j));
}

/* An optional string; false only when it is something else or too long. */
static bool
get_text(const json_t *root, const char *key, char *out, size_t max)
{
	const json_t *j = json_object_get(root, key);

	return j == NULL || (json_is_string(j) && span_copy(text_of(j), out, max));
}

static bool
get_row(const json_t *root, const char *key, int64_t *out)
{
	const json_t *j = json_object_get(root, key);

	*out = json_integer_value(j);
	return j == NULL || (json_is_integer(j) && *out >= 0);
}

/* An optional array of at most max strings, each read by get into its place. */
static bool
get_list(const json_t *root, const char *key, size_t max, size_t *n,
    bool (*get)(struct span, struct peer *, size_t), struct peer *p)
{
	const json_t *list = json_object_get(root, key);

	if (list == NULL)
		return true;
	if (!json_is_array(list) || json_array_size(list) > max)
		return false;
	for (*n = 0; *n < json_array_size(list); (*n)++) {
		const json_t *j = json_array_get(list, *n);

		if (!json_is_string(j) || !get(text_of(j), p, *n))
			return false;
	}
	return true;
}

static bool
get_pin(struct span s, struct peer *p, size_t i)
{
	return pin_parse(s, &p->pins[i]);
}

static bool
get_our_pin(struct span s, struct peer *p, size_t i)
{
	return pin_parse(s, &p->ours[i]);
}

static bool
get_mac(struct span s, struct peer *p, size_t i)
{
	p->mac[i].set = hex_decode(s, p->mac[i].b, SECRET_LEN);
	return p->mac[i].set;
}

static bool
get_recipient(struct span s, struct peer *p, size_t i)
{
	return age_recipient_parse(s, &p->recipients[i]);
}

static bool
get_domain(struct span s, struct peer *p, size_t i)
{
	return address_domain(s, p->domains[i]);
}

/* libjansson frees without wiping: what it read of the MAC keys is ours to wipe. */
static void
wipe_mac(json_t *root)
{
	const json_t *list = json_object_get(root, "mac");

	for (size_t i = 0; i < json_array_size(list); i++) {
		struct span s = text_of(json_array_get(list, i));

		if (s.p != NULL)
			explicit_bzero((void *)s.p, s.n);
	}
}

static bool
peer_from(const json_t *root, struct peer *p, struct why *why)
{
	if (!json_is_object(root))
		return why_set(why, "not a JSON object"), false;
	if (!get_text(root, "name", p->name, sizeof(p->name)) || p->name[0] == '\0')
		return why_set(why, "\"name\" is missing or malformed"), false;
	if (!get_text(root, "home", p->home, sizeof(p->home)) ||
	    (p->home[0] != '\0' && !pairing_name_ok(span_str(p->home))))
		return why_set(why, "\"home\" is not a home's name"), false;
	if (!get_text(root, "address", p->address, sizeof(p->address)) ||
	    (p->address[0] != '\0' && !hostport_ok(span_str(p->address))))
		return why_set(why, "\"address\" is not host:port"), false;
	if (!get_list(root, "pins", 2, &p->npins, get_pin, p))
		return why_set(why, "\"pins\" are not at most two of sha256:..."), false;
	if (!get_list(root, "our_pins", 2, &p->nours, get_our_pin, p))
		return why_set(why, "\"our_pins\" are not at most two of sha256:..."), false;
	if (!get_list(root, "mac", 2, &p->nmac, get_mac, p))
		return why_set(why, "\"mac\" is not at most two keys of 64 hex digits"), false;
	if (!get_row(root, "signed_from", &p->signed_from))
		return why_set(why, "\"signed_from\" is not a row"), false;
	if (!get_list(root, "recipients", AGE_RECIPIENTS_MAX, &p->nrecipients, get_recipient, p))
		return why_set(why, "\"recipients\" are not at most %d of age1...",
		    AGE_RECIPIENTS_MAX), false;
	if (!get_list(root, "domains", PEER_DOMAINS_MAX, &p->ndomains, get_domain, p))
		return why_set(why, "\"domains\" are not at most %d domain names",
		    PEER_DOMAINS_MAX), false;
	return true;
}

bool
peer_parse(struct span json, struct peer *p, struct why *why)
{
	json_error_t error;
	json_t *root;
	bool ok;

	*p = (struct peer){ 0 };
	if (json.n == 0 ||
	    (root = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, &error)) == NULL) {
		why_set(why, "not JSON");	/* the parser's own words may quote a key */
		return false;
	}
	ok = peer_from(root, p, why);
	wipe_mac(root);
	json_decref(root);
	if (!ok)
		peer_fini(p);
	return ok;
}

/* A JSON string; jansson's own writer would leave copies of the keys behind. */
static bool
add_text(struct buf *out, const char *s)
{
	buf_add_str(out, "\"");
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			buf_add_str(out, "\\");
		if ((unsigned char)*s < 0x20)
			buf_addf(out, "\\u%04x", (unsigned char)*s);
		else
			buf_add(out, s, 1);
	}
	return buf_add_str(out, "\"");
}

static bool
add_list(struct buf *out, const char *key, size_t n, const struct peer *p,
    void (*print)(const struct peer *, size_t, char *))
{
	char text[256];

	buf_addf(out, ",\n  \"%s\": [", key);
	for (size_t i = 0; i < n; i++) {
		print(p, i, text);
		buf_add_str(out, i > 0 ? ", " : "");
		add_text(out, text);
	}
	explicit_bzero(text, sizeof(text));
	return buf_add_str(out, "]");
}

static void
print_pin(const struct peer *p, size_t i, char *out)
{
	pin_print(&p->pins[i], out);
}

static void
print_our_pin(const struct peer *p, size_t i, char *out)
{
	pin_print(&p->ours[i], out);
}

static void
print_mac(const struct peer *p, size_t i, char *out)
{
	hex_encode(p->mac[i].b, SECRET_LEN, out);
}

static void
print_recipient(const struct peer *p, size_t i, char *out)
{
	age_recipient_print(&p->recipients[i], out);
}

static void
print_domain(const struct peer *p, size_t i, char *out)
{
	snprintf(out, sizeof(p->domains[i]), "%s", p->domains[i]);
}

bool
peer_print(const struct peer *p, struct buf *out)
{
	buf_add_str(out, "{\n  \"name\": ");
	add_text(out, p->name);
	buf_add_str(out, ",\n  \"home\": ");
	add_text(out, p->home);
	buf_add_str(out, ",\n  \"address\": ");
	add_text(out, p->address);
	add_list(out, "pins", p->npins, p, print_pin);
	add_list(out, "our_pins", p->nours, p, print_our_pin);
	add_list(out, "mac", p->nmac, p, print_mac);
	buf_addf(out, ",\n  \"signed_from\": %lld", (long long)p->signed_from);
	add_list(out, "recipients", p->nrecipients, p, print_recipient);
	add_list(out, "domains", p->ndomains, p, print_domain);
	return buf_add_str(out, "\n}\n");
}

void
peer_fini(struct peer *p)
{
	explicit_bzero(p, sizeof(*p));
}
