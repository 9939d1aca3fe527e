#ifndef PROTO_RELAY_FORM_H
#define PROTO_RELAY_FORM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/*
 * The ways in which a mail server can be asked to relay: one line a form, with the
 * mistake that it finds.  Each of them has made open relays of real servers.
 *
 * In a path `$F` stands for a domain that is not ours and takes mail, `$O` for one
 * of ours, `$L` for the backend's own address as a literal has it ("127.0.0.1",
 * "IPv6:::1"), `$C` for the control recipient, `$H` for the name in HELO, `$U` for
 * `$F` in upper case.
 */
enum relay_sender {		/* the reverse-path that a form is asked with */
	RELAY_STRANGER = 0,	/* somebody at the edge's own name */
	RELAY_NULL,
	RELAY_OWN,		/* postmaster of our own domain */
	RELAY_CONTROL,		/* the control recipient itself */
	RELAY_LOCALHOST,
	RELAY_LITERAL,		/* the backend's own address */
	RELAY_SENDERS
};

struct relay_form {
	const char	*name;
	enum relay_sender sender;
	const char	*rcpt;		/* what stands between < and > */
	/*
	 * Its last domain is ours, or there is none: a backend that takes every local part
	 * takes it too, which proves nothing.
	 */
	bool		 ours;
	/*
	 * Asked as every address.  These find trust in an address; the others find a
	 * wrong reading of the path, which is the same for every client.  Fewer than five
	 * of them are refused by a good server: fail2ban's default counts that far, and
	 * these addresses are home's own and its edges'.
	 */
	bool		 everywhere;
	/*
	 * Of them, those that are asked as these addresses where STARTTLS makes two ways of
	 * it: both are counted together.  A rule may go by address and TLS, and by the sender.
	 */
	bool		 both_ways;
	/*
	 * Some call it a syntax error, and count these apart: exim hangs up at the fourth
	 * in a connection (smtp_max_synprot_errors).
	 */
	bool		 odd;
	const char	*reason;
};

extern const struct relay_form relay_forms[];
extern const size_t relay_nforms;

struct relay_names {		/* what the letters stand for; borrowed */
	const char	*foreign, *own, *literal, *control, *helo;
};

/* The path, without < and >. */
bool	relay_form_rcpt(const struct relay_form *, const struct relay_names *, struct buf *out);
bool	relay_form_sender(enum relay_sender, const struct relay_names *, struct buf *out);

#endif
