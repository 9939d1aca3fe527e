#ifndef PROTO_CLIENT_HELLO_H
#define PROTO_CLIENT_HELLO_H

#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"
#include "proto/address.h"

/*
 * Whom a TLS client asks for: the host_name of the server_name extension (RFC 6066 3)
 * in its ClientHello (RFC 8446 4.1.2, RFC 5246 7.4.1.2), which travels in the clear.
 * Nothing is decrypted, answered or judged but what is needed to find the name;
 * all versions with TLS records are read alike.  With Encrypted Client Hello the name
 * is the outer one, which is all that a server without its key may see.
 *
 * As a machine: octets in; the caller keeps them, as the stream is passed on from its
 * first octet.
 */
#define CLIENT_HELLO_MAX	16384	/* octets of the message and its head; usual: 300-3,000 */
/*
 * Octets of the stream that are looked at, records' heads counted: the largest message
 * in sane pieces, and a usual one in records of one octet each.
 */
#define CLIENT_HELLO_WIRE_MAX	32768

enum client_hello_result {
	CLIENT_HELLO_MORE = 0,	/* as yet the beginning of one */
	CLIENT_HELLO_NAME,	/* `name` says whom */
	CLIENT_HELLO_NONE,	/* a whole ClientHello that names no host */
	CLIENT_HELLO_BAD,	/* malformed, too long, or no TLS: send `alert`, close */
};

/* RFC 8446 6. */
enum tls_alert {
	TLS_ALERT_NONE = 0,	/* send nothing: the peer does not speak TLS */
	TLS_ALERT_DECODE_ERROR = 50,
	TLS_ALERT_INTERNAL_ERROR = 80,
	TLS_ALERT_UNRECOGNIZED_NAME = 112,	/* a name that nobody here claims, or none */
};

struct client_hello {
	enum client_hello_result result;
	/*
	 * As address_domain spells it: lower case, without the final dot that RFC 6066
	 * forbids and some send.  What else is no host name in ASCII is malformed, but for
	 * an address literal: it is not allowed to be sent, and names no host.
	 */
	char		 name[ADDRESS_DOMAIN_MAX + 1];
	enum tls_alert	 alert;		/* with CLIENT_HELLO_BAD */
	const char	*why;		/* with CLIENT_HELLO_BAD; holds nothing of the peer's */
	/* Its own. */
	struct buf	 message;	/* what came of it, taken out of its records */
	unsigned char	 head[5];	/* of the record */
	size_t		 nhead;
	size_t		 record_left;
	size_t		 wire;		/* octets looked at */
};

void	client_hello_init(struct client_hello *);	/* takes no memory yet */
void	client_hello_fini(struct client_hello *);
/*
 * The next octets, cut anywhere.  Once it is another result than CLIENT_HELLO_MORE
 * that stays, what comes behind the ClientHello is not looked at, and only name, alert
 * and why are kept.
 */
enum client_hello_result client_hello_step(struct client_hello *, const char *, size_t);

/* A record with a fatal alert (RFC 8446 5.1, 6), to send before closing; nothing for NONE. */
#define TLS_ALERT_RECORD_LEN	7
size_t	tls_alert_record(enum tls_alert, unsigned char out[TLS_ALERT_RECORD_LEN]);

#endif
