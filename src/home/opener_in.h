#ifndef HOME_OPENER_IN_H
#define HOME_OPENER_IN_H

/*
 * Shared by opener.c (an object is read, and its files written) and parcel.c (what
 * becomes of each of its recipients).
 */
#include "home/opener.h"
#include "proto/envelope.h"

/* What the ledger takes of one object: 1,000 recipients, most of them one mailbox each. */
#define PARCEL_ENTRIES_MAX	4096
/* Room for n entries, none there yet; those that were are gone.  False: memory is out. */
bool	parcel_room(struct parcel *, size_t n);

/* Its own copy of the sealed octets, or its own descriptor.  False: memory is out. */
bool	parcel_keep(struct parcel *, struct spool_content *);

/* Whether this entry is still to be written into a mailbox. */
bool	entry_open(const struct ledger_entry *);
/* Into its mailbox's folder Junk, if the name of that has room in the ledger; and back. */
void	entry_junk(struct ledger_entry *);
void	entry_inbox(struct ledger_entry *);

/*
 * A new object: its recipients become entries, one that ends in several mailboxes one for
 * each, and those that end in one mailbox one of them.  False: memory is out, or there is
 * no recipient.
 */
bool	parcel_route(struct opener *, struct parcel *, const struct envelope *);
/* One that was tried before: only what has no mailbox yet is asked for again. */
void	parcel_route_again(struct opener *, struct parcel *, const struct envelope *);

/* The whole object cannot be delivered; what was delivered of it before stays so. */
void	parcel_park_all(struct parcel *, enum park_class, const char *words);
/* The same for now: our own disk or memory. */
void	parcel_defer_all(struct opener *, struct parcel *, const char *words);

#endif
