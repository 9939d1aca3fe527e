#include "proto/client_hello.h"

#include "base/codec.h"
#include "base/netaddr.h"

#define RECORD_ALERT	21
#define RECORD_HANDSHAKE 22
#define RECORD_MAX	16384		/* RFC 8446 5.1 */
#define TLS_MAJOR	3
#define TLS_MINOR	3		/* 5.1: of every record but the first ClientHello's */
#define ALERT_FATAL	2
#define MESSAGE_HEAD	4
#define TYPE_CLIENT_HELLO 1
#define EXT_SERVER_NAME	0
#define NAME_HOST	0

/*
 * Octets read in their order; a read beyond the end gives zeros or nothing and is
 * remembered, so that a row of them is checked once.
 */
struct cursor {
	const unsigned char *p;
	size_t		 n;
	bool		 bad;
};

static const unsigned char *
take(struct cursor *c, size_t n)
{
	const unsigned char *at = c->p;

	if (c->bad || n > c->n) {
		c->bad = true;
		return NULL;
	}
	c->p += n;
	c->n -= n;
	return at;
}

static size_t
take_u8(struct cursor *c)
{
	const unsigned char *p = take(c, 1);

	return p != NULL ? p[0] : 0;
}

static size_t
take_u16(struct cursor *c)
{
	const unsigned char *p = take(c, 2);

	return p != NULL ? get_u16(p) : 0;
}

/* A vector of n octets as a cursor of its own. */
static struct cursor
take_vector(struct cursor *c, size_t n)
{
	const unsigned char *p = take(c, n);

	return (struct cursor){ p, p != NULL ? n : 0, p == NULL };
}

static enum client_hello_result
end(struct client_hello *h, enum client_hello_result result)
{
	buf_fini(&h->message);
	return h->result = result;
}

static enum client_hello_result
bad(struct client_hello *h, enum tls_alert alert, const char *why)
{
	h->alert = alert;
	h->why = why;
	return end(h, CLIENT_HELLO_BAD);
}

static enum client_hello_result
malformed(struct client_hello *h, const char *why)
{
	return bad(h, TLS_ALERT_DECODE_ERROR, why);
}

/* -- The message. -- */

static enum client_hello_result
host_name(struct client_hello *h, struct span name)
{
	struct netaddr literal;

	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] >= 0x80)
			return malformed(h, "the server name is not ASCII");
	if (netaddr_parse_ip(name, &literal))
		return end(h, CLIENT_HELLO_NONE);
	if (!address_domain(name, h->name))
		return malformed(h, "the server name is no host name");
	return end(h, CLIENT_HELLO_NAME);
}

/* RFC 6066 3: one list; at most one name of each type, of which there is one. */
static enum client_hello_result
server_names(struct client_hello *h, struct cursor ext)
{
	struct cursor list = take_vector(&ext, take_u16(&ext));
	struct span host = { NULL, 0 };

	if (list.n == 0 || ext.n > 0)
		return malformed(h, "the server name extension is malformed");
	while (list.n > 0 && !list.bad) {
		size_t type = take_u8(&list);
		struct cursor name = take_vector(&list, take_u16(&list));

		if (type != NAME_HOST)
			continue;
		if (host.p != NULL)
			return malformed(h, "two server names");
		host = span_of(name.p, name.n);
	}
	if (list.bad)
		return malformed(h, "a server name is cut short");
	return host.p != NULL ? host_name(h, host) : end(h, CLIENT_HELLO_NONE);
}

static enum client_hello_result
extensions(struct client_hello *h, struct cursor all)
{
	struct cursor names = { NULL, 0, false };

	while (all.n > 0 && !all.bad) {
		size_t type = take_u16(&all);
		struct cursor ext = take_vector(&all, take_u16(&all));

		if (type != EXT_SERVER_NAME)
			continue;
		if (names.p != NULL)
			return malformed(h, "two server name extensions");
		names = ext;
	}
	if (all.bad)
		return malformed(h, "an extension is cut short");
	return names.p != NULL ? server_names(h, names) : end(h, CLIENT_HELLO_NONE);
}

/* The ClientHello behind its head; extensions may be left out before TLS 1.3. */
static enum client_hello_result
body(struct client_hello *h, struct cursor c)
{
	struct cursor session, ciphers, compression, all;

	take(&c, 2 + 32);				/* legacy_version, random */
	session = take_vector(&c, take_u8(&c));
	ciphers = take_vector(&c, take_u16(&c));
	compression = take_vector(&c, take_u8(&c));
	if (c.bad || session.n > 32 || ciphers.n < 2 || ciphers.n % 2 != 0 || compression.n == 0)
		return malformed(h, "the ClientHello is malformed");
	if (c.n == 0)
		return end(h, CLIENT_HELLO_NONE);
	all = take_vector(&c, take_u16(&c));
	if (c.bad || c.n > 0)
		return malformed(h, "the extensions do not end where the ClientHello does");
	return extensions(h, all);
}

/* Octets of a handshake record: refused as early as can be, read when the message is whole. */
static enum client_hello_result
fragment(struct client_hello *h, const char *p, size_t n)
{
	const unsigned char *m;
	size_t len;

	if (!buf_add(&h->message, p, n))
		return bad(h, TLS_ALERT_INTERNAL_ERROR, "out of memory");
	m = (const unsigned char *)h->message.p;
	if (m[0] != TYPE_CLIENT_HELLO)
		return malformed(h, "another message than a ClientHello");
	if (h->message.n < MESSAGE_HEAD)
		return CLIENT_HELLO_MORE;
	len = get_u32(m) & 0xffffff;
	if (len > CLIENT_HELLO_MAX - MESSAGE_HEAD)
		return malformed(h, "the ClientHello is too long");
	if (h->message.n - MESSAGE_HEAD < len)
		return CLIENT_HELLO_MORE;
	return body(h, (struct cursor){ m + MESSAGE_HEAD, len, false });
}

/* -- Its records. -- */

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How much of the message is still wanted, as far as is known. */
static size_t
wanted(const struct client_hello *h)
{
	const unsigned char *m = (const unsigned char *)h->message.p;

	if (h->message.n < MESSAGE_HEAD)
		return MESSAGE_HEAD - h->message.n;
	return MESSAGE_HEAD + (get_u32(m) & 0xffffff) - h->message.n;
}

/* The next octet of the five before a fragment: type, version, length. */
static enum client_hello_result
record_head(struct client_hello *h, unsigned char c)
{
	h->head[h->nhead++] = c;
	if ((h->nhead == 1 && c != RECORD_HANDSHAKE) || (h->nhead == 2 && c != TLS_MAJOR))
		return h->message.n == 0 ? bad(h, TLS_ALERT_NONE, "not TLS") :
		    malformed(h, "something else in the middle of the ClientHello");
	if (h->nhead < sizeof(h->head))
		return CLIENT_HELLO_MORE;
	h->record_left = get_u16(h->head + 3);
	h->nhead = 0;
	if (h->record_left == 0 || h->record_left > RECORD_MAX)
		return malformed(h, "a record that is empty or too long");
	return CLIENT_HELLO_MORE;
}

void
client_hello_init(struct client_hello *h)
{
	*h = (struct client_hello){ .result = CLIENT_HELLO_MORE };
	buf_init(&h->message, CLIENT_HELLO_MAX);
}

void
client_hello_fini(struct client_hello *h)
{
	buf_fini(&h->message);
}

enum client_hello_result
client_hello_step(struct client_hello *h, const char *p, size_t n)
{
	while (n > 0 && h->result == CLIENT_HELLO_MORE) {
		size_t use = 1;

		if (h->record_left == 0) {
			record_head(h, (unsigned char)*p);
		} else {
			use = least(least(n, h->record_left),
			    least(wanted(h), CLIENT_HELLO_WIRE_MAX - h->wire));
			h->record_left -= use;
			fragment(h, p, use);
		}
		p += use;
		n -= use;
		h->wire += use;
		if (h->wire == CLIENT_HELLO_WIRE_MAX && h->result == CLIENT_HELLO_MORE)
			malformed(h, "too many records for one ClientHello");
	}
	return h->result;
}

size_t
tls_alert_record(enum tls_alert alert, unsigned char out[TLS_ALERT_RECORD_LEN])
{
	const unsigned char record[TLS_ALERT_RECORD_LEN] = {
		RECORD_ALERT, TLS_MAJOR, TLS_MINOR, 0, 2, ALERT_FATAL, (unsigned char)alert,
	};

	if (alert == TLS_ALERT_NONE)
		return 0;
	memcpy(out, record, sizeof(record));
	return sizeof(record);
}
