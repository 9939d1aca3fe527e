#ifndef HOME_HOME_H
#define HOME_HOME_H

/*
 * What home's processes say to each other, beside the spool's own channel
 * (net/chan.h frames).  A message that is not in this table, or is badly made,
 * ends the channel; the parent's restarts make another.
 */
enum home_msg {
	/* courier -> tunnel and drain: what held mail is delivered into (home/delivery.h) */
	HM_BACKEND = 1,
	/*
	 * courier -> helper: read the configured mailbox file and run the command; tag comes
	 * back with the answer
	 */
	HM_RUN,
	/* helper -> courier: a piece of its output */
	HM_OUTPUT,
	/* helper -> courier: the output is whole (empty body), or why there is none */
	HM_RAN,
	/*
	 * courier -> tunnel: who is at home, for policy: HM_DOMAINS (empty) begins, then for each
	 * domain HM_DOMAIN (recipients.h has its form) and any number of
	 * HM_DIGESTS (16 octets each, ascending); HM_DOMAINS_END makes it so
	 */
	HM_DOMAINS,
	HM_DOMAIN,
	HM_DIGESTS,
	HM_DOMAINS_END,
	/* helper -> courier: the file, or by a reload what is asked, is another one now */
	HM_CHANGED,
};

#define HELPER_SECONDS		30	/* what a command may take */
#define HELPER_PIECE		65536

#endif
