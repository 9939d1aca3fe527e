#ifndef HOME_OLD_MAIL_H
#define HOME_OLD_MAIL_H

#include "home/edges.h"
#include "proto/age.h"
#include "store/spool.h"

/*
 * A message as the published pipeline leaves it in a bucket, `pending/<sha256>.eml` with
 * x-amz-meta-from and -to, made into a held object while it comes: sealed to this home's own
 * keys, and signed by the worker of the configuration whose grants such mail has.  So whoever
 * moves over loses nothing that is in flight.
 *
 * Anybody who may write into that bucket can say anything in such an object.  That is why
 * there must be a worker for it, and why it reaches no other domain than that one's.
 *
 * The id follows from the name, sender and recipient under the worker's key: what is fetched
 * twice is one message, and the same octets to two recipients are two.
 */
struct old_mail;

/*
 * NULL with why: the addresses are none, or memory is out (*later).  from and to: with or
 * without their angle brackets.  name: <sha256>.eml.
 */
struct old_mail *old_mail_new(struct spool *, const struct home_edge *worker,
    const struct age_recipient *, size_t nrecipients, const char *name, struct span from,
    struct span to, bool *later, struct why *);
/* -1 with why: the spool or memory. */
int	old_mail_add(struct old_mail *, struct span, struct why *);
/* The whole message came: it is gone for the caller, and told comes once.  -1: it does not. */
int	old_mail_commit(struct old_mail **, spool_kept_fn *told, void *arg, struct why *);
/* Whether the octets so far are those that its name says. */
bool	old_mail_named(struct old_mail *);
void	old_mail_free(struct old_mail **);

#endif
