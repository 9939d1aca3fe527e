#ifndef HOME_ROUTE_ANSWER_H
#define HOME_ROUTE_ANSWER_H

#include <stdint.h>

#include "base/span.h"
#include "home/courier.h"

/*
 * `posthouse route`, answered by the courier, who alone knows the mailboxes: the router's
 * own decision about an address, and each step of it.  A question that is not about routes
 * is left to others.
 */
void	route_answer(struct courier *, uint64_t question, struct span json);

#endif
