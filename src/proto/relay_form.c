#include "proto/relay_form.h"

#include <string.h>

#define ANYONE	"posthouse-interlock"

/* In the order in which they are asked: by sender, RELAY_STRANGER first. */
const struct relay_form relay_forms[] = {
	{ "plain", RELAY_STRANGER, ANYONE "@$F", false, true, true, false,
	    "a stranger's mail to a stranger: the open relay itself" },
	{ "postmaster elsewhere", RELAY_STRANGER, "postmaster@$F", false, true, false, false,
	    "a rule that lets postmaster@ through and forgets to say whose" },
	{ "abuse elsewhere", RELAY_STRANGER, "abuse@$F", false, false, false, false,
	    "the same rule for the other role addresses of RFC 2142" },
	{ "upper case", RELAY_STRANGER, "POSTHOUSE-INTERLOCK@$U", false, false, false, false,
	    "a table that is looked up without folding case" },
	{ "address literal", RELAY_STRANGER, ANYONE "@[203.0.113.1]", false, false, false, true,
	    "a rule for domains that forgets addresses" },
	{ "IPv6 literal", RELAY_STRANGER, ANYONE "@[IPv6:2001:db8::1]", false, false, false, true,
	    "the same for IPv6, the path nobody looked at" },
	{ "address as a number", RELAY_STRANGER, ANYONE "@#3405803777", false, false, false, true,
	    "RFC 821's other literal, which some still read" },
	{ "trailing dot", RELAY_STRANGER, ANYONE "@$F.", false, false, false, false,
	    "the domain as DNS writes it, which a table does not list" },
	{ "our name at its end", RELAY_STRANGER, ANYONE "@posthouse-$O", false, false, false, false,
	    "a pattern without a start: whoever registers that domain is taken for us" },
	{ "our name in front", RELAY_STRANGER, ANYONE "@$O.$F", false, false, false, false,
	    "a pattern without an end" },
	{ "source route", RELAY_STRANGER, "@$O:" ANYONE "@$F", false, false, false, false,
	    "RFC 5321 C: via us to a stranger, where only the first hop is judged" },
	{ "two at signs, ours first", RELAY_STRANGER, ANYONE "@$O@$F", false, false, false, true,
	    "a reader that stops at the first @" },
	{ "two at signs, ours last", RELAY_STRANGER, ANYONE "@$F@$O", true, false, false, true,
	    "a local delivery that reads the rest as an address again" },
	{ "percent at our address", RELAY_STRANGER, ANYONE "%$F@[$L]", true, false, false, true,
	    "the percent hack where our address stands for our name" },
	{ "long source route", RELAY_STRANGER, "@$O,@$F:" ANYONE "@$F", false, false, false, false,
	    "the same by two hops" },
	{ "percent", RELAY_STRANGER, ANYONE "%$F@$O", true, false, false, false,
	    "the percent hack: our server routes the local part on" },
	{ "bang", RELAY_STRANGER, "$F!" ANYONE "@$O", true, false, false, false,
	    "a UUCP path in the local part" },
	{ "quoted at ours", RELAY_STRANGER, "\"" ANYONE "@$F\"@$O", true, false, false, false,
	    "quotes are taken off behind a domain of ours" },
	{ "percent alone", RELAY_STRANGER, ANYONE "%$F", true, false, false, true,
	    "the percent hack where no domain counts as ours" },
	{ "bang alone", RELAY_STRANGER, "$F!" ANYONE, true, false, false, true,
	    "a UUCP path, no domain" },
	{ "bang and percent", RELAY_STRANGER, "$O!" ANYONE "%$F", true, false, false, true,
	    "two kinds of routing, each undoing the other's check" },
	{ "quoted percent", RELAY_STRANGER, "\"" ANYONE "%$F\"@$O", true, false, false, false,
	    "quotes hide the percent hack from the check, not from the router" },
	{ "nested quoting", RELAY_STRANGER, "\"\\\"" ANYONE "\\\"@$F\"@$O",
	    true, false, false, false,
	    "quotes are taken off once too often" },
	{ "postmaster by percent", RELAY_STRANGER, "postmaster%$F@$O", true, false, false, false,
	    "postmaster is exempt, and the percent hack comes after" },
	{ "quoted", RELAY_STRANGER, "\"" ANYONE "@$F\"", true, false, false, true,
	    "quotes are taken off and what is left is routed" },

	{ "null sender", RELAY_NULL, ANYONE "@$F", false, true, false, false,
	    "bounces have no sender, and rules by sender let them pass" },
	{ "own domain as sender", RELAY_OWN, ANYONE "@$F", false, true, true, false,
	    "who says he is ours is believed" },
	{ "a user of ours as sender", RELAY_CONTROL, ANYONE "@$F", false, false, false, false,
	    "the same, with an address that exists" },
	{ "localhost as sender", RELAY_LOCALHOST, ANYONE "@$F", false, false, false, false,
	    "mail from the machine itself is believed" },
	{ "our address as sender", RELAY_LITERAL, ANYONE "@$F", false, false, false, false,
	    "the same with its address" },
};
const size_t relay_nforms = sizeof(relay_forms) / sizeof(relay_forms[0]);

static const char *const senders[RELAY_SENDERS] = {
	[RELAY_STRANGER] = ANYONE "@$H",
	[RELAY_NULL] = "",
	[RELAY_OWN] = "postmaster@$O",
	[RELAY_CONTROL] = "$C",
	[RELAY_LOCALHOST] = ANYONE "@localhost",
	[RELAY_LITERAL] = ANYONE "@[$L]",
};

static void
add_upper(struct buf *out, const char *s)
{
	for (; *s != '\0'; s++) {
		char c = *s >= 'a' && *s <= 'z' ? (char)(*s - 'a' + 'A') : *s;

		buf_add(out, &c, 1);
	}
}

static bool
expand(const char *p, const struct relay_names *n, struct buf *out)
{
	for (; *p != '\0'; p++) {
		if (*p != '$') {
			buf_add(out, p, 1);
			continue;
		}
		switch (*++p) {
		case 'F':
			buf_add_str(out, n->foreign);
			break;
		case 'U':
			add_upper(out, n->foreign);
			break;
		case 'O':
			buf_add_str(out, n->own);
			break;
		case 'L':
			buf_add_str(out, n->literal);
			break;
		case 'C':
			buf_add_str(out, n->control);
			break;
		default:
			buf_add_str(out, n->helo);
			break;
		}
	}
	return !out->failed;
}

bool
relay_form_rcpt(const struct relay_form *f, const struct relay_names *n, struct buf *out)
{
	return expand(f->rcpt, n, out);
}

bool
relay_form_sender(enum relay_sender s, const struct relay_names *n, struct buf *out)
{
	return expand(senders[s], n, out);
}
