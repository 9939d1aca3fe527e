#include "proto/relay_advice.h"

static const char *const names[RELAY_SERVERS] = {
	[RELAY_UNKNOWN_SERVER] = "",
	[RELAY_POSTFIX] = "Postfix",
	[RELAY_MAILCOW] = "mailcow",
	[RELAY_OPENSMTPD] = "OpenSMTPD",
	[RELAY_EXIM] = "exim",
	[RELAY_DOVECOT] = "Dovecot submission",
};

static const char *const words[RELAY_CAUSES] = {
	[RELAY_NO_CAUSE] = "",
	[RELAY_ACCEPTED] = "it took a stranger's mail for somebody who is not ours",
	[RELAY_ACCEPTED_OURS] = "from this address it took mail for somebody who is not ours",
	[RELAY_OFFERS_XCLIENT] = "it offers XCLIENT, by which a client may claim any address",
	[RELAY_OFFERS_XFORWARD] = "it offers XFORWARD, which is for its own content filter",
	[RELAY_OFFERS_AUTH] = "it offers AUTH without TLS, as only a private network may have it",
	[RELAY_OTHER_ADDRESS] = "it saw another address than the PROXY header gave",
	[RELAY_NO_HEADER_NEEDED] = "it serves without a PROXY header, so every stranger looks like "
	    "home",
	[RELAY_OTHER_HEADER] = "it serves with the other version of the PROXY header only",
	[RELAY_HEADER_WANTED] = "it serves with a PROXY header only, and is sent none",
	[RELAY_NO_CONTROL] = "it did not take mail for our own recipient, so that its refusals "
	    "prove nothing",
	[RELAY_NO_PROOF] = "it refused, perhaps for another reason than that the recipient is not "
	    "ours",
	[RELAY_NO_ANSWER] = "it did not answer to the end",
	[RELAY_TOO_MANY] = "there are more addresses than can be tried",
};

/*
 * In a text `$A` is the address that was used, `$V` the version of PROXY that is served.  One that
 * begins with `$6` is for a client with an IPv6 address only.
 */
#define ONLY_V6		"$6"
/* Its own are 3, after which each answer takes ten seconds, and 5. */
#define MAILCOW_ERRORS	"data/conf/postfix/extra.cf: smtpd_soft_error_limit = 10 and " \
	"smtpd_hard_error_limit = 20, as Postfix itself has them"
static const struct {
	enum relay_cause cause;
	enum relay_server server;	/* RELAY_UNKNOWN_SERVER: whatever it is */
	const char	*text;
} table[] = {
	{ RELAY_ACCEPTED, RELAY_POSTFIX,
	    "main.cf: smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, "
	    "reject_unauth_destination; and mynetworks without strangers, relay_domains and "
	    "check_*_access tables without `OK` for what is not yours" },
	{ RELAY_ACCEPTED, RELAY_MAILCOW,
	    "data/conf/postfix/extra.cf: take out smtpd_relay_restrictions, "
	    "smtpd_recipient_restrictions and mynetworks, as those of main.cf refuse; then "
	    "docker compose restart postfix-mailcow" },
	{ RELAY_ACCEPTED, RELAY_OPENSMTPD,
	    "smtpd.conf: no `match from any for any action \"relay\"`; relay only what says "
	    "`match auth from any for any` or `match from src { 127.0.0.1 ::1 } for any`" },
	{ RELAY_ACCEPTED, RELAY_EXIM,
	    "the ACL of acl_smtp_rcpt: no `accept` before `require message = relay not permitted, "
	    "domains = +local_domains : +relay_to_domains` but for hosts = +relay_from_hosts and "
	    "authenticated = *; relay_from_hosts (Debian: dc_relay_nets) without strangers" },
	{ RELAY_ACCEPTED, RELAY_DOVECOT,
	    "dovecot.conf: login_trusted_networks without strangers, and no passdb with "
	    "nopassword" },

	{ RELAY_ACCEPTED_OURS, RELAY_POSTFIX,
	    "main.cf: mynetworks without $A, as in mynetworks = 127.0.0.0/8 [::1]/128; or for this "
	    "listener alone, master.cf: -o mynetworks=127.0.0.0/8" },
	{ RELAY_ACCEPTED_OURS, RELAY_MAILCOW,
	    "data/conf/postfix/master.cf, the service that backend names: "
	    "-o mynetworks=127.0.0.0/8, which leaves out $A; then docker compose restart "
	    "postfix-mailcow" },
	{ RELAY_ACCEPTED_OURS, RELAY_OPENSMTPD,
	    "smtpd.conf: `from local` is every address of this machine, $A too: write `match from "
	    "src { 127.0.0.1 ::1 } for any action \"relay\"`, or `from socket`" },
	{ RELAY_ACCEPTED_OURS, RELAY_EXIM,
	    "relay_from_hosts (Debian: dc_relay_nets in update-exim4.conf.conf) without $A" },
	{ RELAY_ACCEPTED_OURS, RELAY_DOVECOT,
	    "dovecot.conf: login_trusted_networks without $A" },

	{ RELAY_OFFERS_XCLIENT, RELAY_POSTFIX,
	    "main.cf: smtpd_authorized_xclient_hosts without $A; where home delivers held mail by "
	    "XCLIENT, on a listener of its own: master.cf -o smtpd_authorized_xclient_hosts=..." },
	{ RELAY_OFFERS_XCLIENT, RELAY_MAILCOW,
	    "data/conf/postfix/extra.cf: smtpd_authorized_xclient_hosts without $A" },
	{ RELAY_OFFERS_XCLIENT, RELAY_DOVECOT,
	    "dovecot.conf: login_trusted_networks without $A" },
	{ RELAY_OFFERS_XFORWARD, RELAY_POSTFIX,
	    "main.cf: smtpd_authorized_xforward_hosts without $A" },
	{ RELAY_OFFERS_XFORWARD, RELAY_MAILCOW,
	    "data/conf/postfix/extra.cf: smtpd_authorized_xforward_hosts without $A" },

	{ RELAY_OFFERS_AUTH, RELAY_POSTFIX,
	    "main.cf: smtpd_tls_auth_only = yes, with smtpd_tls_security_level = may and a "
	    "certificate" },
	{ RELAY_OFFERS_AUTH, RELAY_MAILCOW,
	    "data/conf/postfix/extra.cf: take out smtpd_tls_auth_only = no" },
	{ RELAY_OFFERS_AUTH, RELAY_OPENSMTPD, "smtpd.conf: listen on ... tls-require auth" },
	{ RELAY_OFFERS_AUTH, RELAY_EXIM,
	    "auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}" },
	{ RELAY_OFFERS_AUTH, RELAY_DOVECOT,
	    "10-auth.conf: disable_plaintext_auth = yes (2.4: auth_allow_cleartext = no); "
	    "login_trusted_networks without $A" },

	{ RELAY_NO_HEADER_NEEDED, RELAY_POSTFIX,
	    "master.cf: a listener of its own, `127.0.0.1:10025 inet n - y - - smtpd` with "
	    "`-o smtpd_upstream_proxy_protocol=haproxy` (or postscreen with "
	    "postscreen_upstream_proxy_protocol, not both); home.conf: backend = "
	    "\"127.0.0.1:10025\" proxy = \"v2\"" },
	{ RELAY_NO_HEADER_NEEDED, RELAY_MAILCOW,
	    "home.conf: backend = \"127.0.0.1:10025\" proxy = \"v2\", which mailcow's Postfix "
	    "listens on with smtpd_upstream_proxy_protocol=haproxy; publish the port to 127.0.0.1 "
	    "in docker-compose.override.yml" },
	{ RELAY_NO_HEADER_NEEDED, RELAY_OPENSMTPD,
	    "smtpd.conf: listen on 127.0.0.1 port 10025 proxy-v2; home.conf: backend = "
	    "\"127.0.0.1:10025\" proxy = \"v2\"" },
	{ RELAY_NO_HEADER_NEEDED, RELAY_EXIM,
	    "hosts_proxy = home's address (exim4-daemon-heavy); home.conf: proxy = \"v2\"" },
	{ RELAY_NO_HEADER_NEEDED, RELAY_DOVECOT,
	    "service submission-login { inet_listener submission { haproxy = yes } } and "
	    "haproxy_trusted_networks = home's address; home.conf: proxy = \"v2\"" },

	{ RELAY_OTHER_ADDRESS, RELAY_POSTFIX,
	    "what stands in front of Postfix takes the header and does not pass it on: let the "
	    "backend be Postfix itself, or send it on (haproxy: send-proxy-v2)" },
	{ RELAY_OTHER_ADDRESS, RELAY_MAILCOW,
	    "what stands in front of mailcow's Postfix takes the header and does not pass it on: "
	    "let the backend be its port 10025" },
	{ RELAY_OTHER_ADDRESS, RELAY_OPENSMTPD, "smtpd.conf: listen on ... proxy-v2" },
	{ RELAY_OTHER_ADDRESS, RELAY_EXIM, "hosts_proxy = the address that home connects from" },
	{ RELAY_OTHER_ADDRESS, RELAY_DOVECOT,
	    "haproxy_trusted_networks = the address that home connects from" },

	{ RELAY_OTHER_HEADER, RELAY_UNKNOWN_SERVER, "home.conf: proxy = \"$V\" for this service" },
	{ RELAY_HEADER_WANTED, RELAY_UNKNOWN_SERVER, "home.conf: proxy = \"$V\" for this service" },

	{ RELAY_NO_CONTROL, RELAY_UNKNOWN_SERVER,
	    "home.conf: interlock { control = \"...\" } with an address that this server takes "
	    "mail for; and let greylisting, block lists and limits pass by 203.0.113.25 and "
	    "2001:db8::25, which are nobody's, and the address in the line above" },
	{ RELAY_NO_CONTROL, RELAY_POSTFIX,
	    "main.cf: reject_unauth_destination before postgrey, reject_rbl_client and the like; "
	    "smtpd_client_event_limit_exceptions and postscreen_access_list with 203.0.113.25" },
	{ RELAY_NO_CONTROL, RELAY_MAILCOW,
	    "data/conf/postfix/extra.cf: smtpd_recipient_restrictions as main.cf has it, with "
	    "check_client_access cidr:{ {203.0.113.25 permit_auth_destination} {2001:db8::25 "
	    "permit_auth_destination} {$A permit_auth_destination} } before "
	    "reject_unknown_reverse_client_hostname, as these have no name" },
	{ RELAY_NO_CONTROL, RELAY_OPENSMTPD,
	    "smtpd.conf: match from any for domain \"...\" action \"...\"" },
	{ RELAY_NO_PROOF, RELAY_UNKNOWN_SERVER,
	    "let the server judge first whether the recipient is its own, and only then greylist, "
	    "look up or count" },
	{ RELAY_NO_PROOF, RELAY_POSTFIX,
	    "main.cf: reject_unauth_destination before reject_unknown_recipient_domain, "
	    "check_policy_service and the like; smtpd_hard_error_limit = 20, its default, where it "
	    "says too many errors" },
	{ RELAY_NO_PROOF, RELAY_MAILCOW, MAILCOW_ERRORS },
	{ RELAY_NO_PROOF, RELAY_EXIM,
	    "the ACL of acl_smtp_rcpt: `require message = relay not permitted` before `require "
	    "verify = recipient` and greylisting" },
	{ RELAY_NO_ANSWER, RELAY_POSTFIX,
	    "$6master.cf: -o inet_protocols=all for this listener, if its log says that IPv6 "
	    "support is disabled: then it hangs up on every client with an IPv6 address" },
	{ RELAY_NO_ANSWER, RELAY_UNKNOWN_SERVER,
	    "is it running, and does backend name it? Its own log says why it ended the "
	    "connection" },
	{ RELAY_NO_ANSWER, RELAY_POSTFIX,
	    "main.cf: smtpd_client_event_limit_exceptions and postscreen_access_list with "
	    "203.0.113.25 and 2001:db8::25, where its log names a rate or a list" },
	{ RELAY_NO_ANSWER, RELAY_MAILCOW, MAILCOW_ERRORS },
	{ RELAY_TOO_MANY, RELAY_UNKNOWN_SERVER,
	    "give home a network namespace or container with fewer addresses" },
};

const char *
relay_server_name(enum relay_server s)
{
	return s < RELAY_SERVERS ? names[s] : "";
}

const char *
relay_cause_words(enum relay_cause c)
{
	return c < RELAY_CAUSES ? words[c] : "";
}

static void
expand(const char *p, const struct relay_visit *v, struct buf *out)
{
	for (; *p != '\0'; p++) {
		if (p[0] == '$' && p[1] == 'A') {
			buf_add_str(out, v != NULL ? netaddr_ip(&v->client).s : "it");
			p++;
		} else if (p[0] == '$' && p[1] == 'V') {
			buf_addf(out, "v%u", v != NULL ? v->version : 2);
			p++;
		} else
			buf_add(out, p, 1);
	}
}

bool
relay_advice(const struct relay_result *r, size_t i, const struct relay_visit *v, struct buf *out)
{
	for (size_t k = 0; k < sizeof(table) / sizeof(table[0]); k++) {
		enum relay_server s = table[k].server;
		const char *text = table[k].text;

		if (table[k].cause != r->cause || (s != RELAY_UNKNOWN_SERVER &&
		    r->server != RELAY_UNKNOWN_SERVER && s != r->server))
			continue;
		if (strncmp(text, ONLY_V6, strlen(ONLY_V6)) == 0) {
			if (v == NULL || !v->client.v6)
				continue;
			text += strlen(ONLY_V6);
		}
		if (i-- > 0)
			continue;
		buf_addf(out, "%s%s", names[s], s != RELAY_UNKNOWN_SERVER ? ": " : "");
		expand(text, v, out);
		return !out->failed;
	}
	return false;
}
