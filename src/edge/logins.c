#include "edge/logins.h"

#include <string.h>

#include "edge/recipient.h"
#include "proto/login.h"

struct home *
logins_find(const struct homes *hs, const struct conf_service *service, struct span user,
    struct span password, const char **name, struct smtp_reply *reply)
{
	bool told = false;

	*name = "";
	for (size_t i = 0; i < hs->n; i++) {
		const struct policy *p = hs->list[i]->policy;

		if (p == NULL || !recipient_serves(service, hs->list[i]))
			continue;
		told = true;
		for (size_t k = 0; k < p->nlogins; k++)
			if (login_is(&p->logins[k], user, password)) {
				*name = p->logins[k].name;
				*reply = smtp_reply(235, 2, 7, 0, "Welcome");
				return hs->list[i];
			}
	}
	*reply = told ? smtp_reply(535, 5, 7, 8, "Nobody of that name and password here") :
	    smtp_reply(454, 4, 7, 0, "No home has said yet who may log in; try again later");
	return NULL;
}

bool
logins_named(const struct home *h, const char *name)
{
	for (size_t i = 0; h->policy != NULL && i < h->policy->nlogins; i++)
		if (strcmp(h->policy->logins[i].name, name) == 0)
			return true;
	return false;
}
