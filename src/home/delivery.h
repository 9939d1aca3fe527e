#ifndef HOME_DELIVERY_H
#define HOME_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "net/chan.h"
#include "proto/age.h"

/*
 * What held mail is sealed to and delivered into, as the courier knows it and tells the tunnel,
 * for policy, and the drain.  What it last said stays good until the next courier speaks.
 */
struct delivery {
	bool		 smtputf8;
	bool		 dsn;
	uint64_t	 size;		/* of a message; 0: no limit of its own */
	struct age_recipient recipients[AGE_RECIPIENTS_MAX];
	size_t		 nrecipients;	/* 0: not told yet */
};

/* HM_BACKEND. */
void	delivery_tell(const struct delivery *, struct chan *);
/* False: it is no such message, or badly made; nothing changed. */
bool	delivery_take(struct delivery *, const struct chan_msg *);

#endif
