#ifndef NET_SMTP_WIRE_H
#define NET_SMTP_WIRE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "base/netaddr.h"
#include "base/why.h"
#include "net/conn.h"
#include "net/resolve.h"
#include "proto/smtp_client.h"

/*
 * The hands of an SMTP client (proto/smtp_client.h): the connection that it speaks over.
 * The server's addresses are dialled in their order until one takes it, as on one machine
 * of several a server may be down, or its IPv6 lead nowhere; octets go both ways; TLS comes
 * where the machine asks for it, or before all else.  What is said, what a reply means and
 * how long anything may take is the owner's.
 *
 * The owner holds the struct, the machine and the context; they live until gone has been
 * called, which is once after each dial, and the last word.
 */
struct smtp_wire_ops {
	/* It stands, and the server has not been heard; false gives it up.  Optional. */
	bool	(*connected)(void *arg);
	/* All of the machine's events; what STARTTLS asks for is done here already. */
	void	(*event)(void *arg, enum smtp_cli_ev);
	/* The server may take more: smtp_cli_body and _end, if any is due. */
	void	(*more)(void *arg);
	/* All that followed from something has been done and said.  Optional. */
	void	(*settled)(void *arg);
	/* No connection any more.  words: why, or why there never was one; "" after our QUIT. */
	void	(*gone)(void *arg, const char *words);
};

struct smtp_wire {
	/* By the owner, before it is dialled. */
	uv_loop_t	*loop;
	struct smtp_cli	*cli;
	SSL_CTX		*tls;		/* NULL: the machine never asks for it */
	bool		 tls_first;	/* from the first octet on (RFC 8314) */
	unsigned	 connect_ms;	/* for each address */
	const struct smtp_wire_ops *ops;
	void		*arg;
	/* Its own, to be read by the owner. */
	struct conn	*conn;		/* NULL: being dialled, or gone */
	bool		 ended;		/* the machine has: nothing is said any more */
	/* Its own. */
	bool		 aborted;
	struct netaddr	 to[RESOLVE_ADDRS_MAX];
	size_t		 n, at;
	const char	*path;
};

/* gone may be called in here.  At least one address. */
void	smtp_wire_dial(struct smtp_wire *, const struct netaddr *, size_t n);
void	smtp_wire_dial_unix(struct smtp_wire *, const char *path);	/* path is borrowed */
/* After the machine was told something: says it, and tells what follows. */
void	smtp_wire_pump(struct smtp_wire *);
/* What waits in the machine, so that there is room for more. */
void	smtp_wire_flush(struct smtp_wire *);
/* The server hears no more.  The machine loses its connection for that reason. */
void	smtp_wire_give_up(struct smtp_wire *, const char *words);
/* The same, whatever it is at: a dial under way ends with the address that it tries. */
void	smtp_wire_abort(struct smtp_wire *);

#endif
