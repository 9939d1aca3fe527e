# A message that home sent and got no answer for is sent again, under the same
# X-Posthouse-Id (RFC 1047).  This drops the second copy, whichever mailbox it was for.
# Dovecot: plugin { sieve_before = /etc/dovecot/posthouse-duplicate.sieve }
# It remembers for two days, the most that Dovecot lets it by default.
require ["duplicate"];

if allof (exists "X-Posthouse-Id",
    duplicate :handle "posthouse" :header "X-Posthouse-Id" :seconds 172800) {
	discard;
	stop;
}
