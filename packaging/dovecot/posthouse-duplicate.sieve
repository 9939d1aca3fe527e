# A message that home sent and got no answer for is sent again, under the same
# X-Posthouse-Id (RFC 1047).  This drops the second copy, whichever mailbox it was for.
# Dovecot: plugin { sieve_before = /etc/dovecot/posthouse-duplicate.sieve }
# It remembers for two days, the most that Dovecot lets it by default.
#
# Of two deliveries at once into one mailbox Dovecot (2.3) remembers one.  So home makes
# them one after the other.  Where Postfix stands between, let it do the same:
# lmtp_destination_recipient_limit = 1, lmtp_destination_concurrency_limit = 1.
require ["duplicate"];

if allof (exists "X-Posthouse-Id",
    duplicate :handle "posthouse" :header "X-Posthouse-Id" :seconds 172800) {
	discard;
	stop;
}
