/*
 * A session's Worker: who logs in, and whom he then speaks for.
 */
#include "edge/session_in.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "edge/bans.h"
#include "edge/logins.h"
#include "net/conn.h"

/*
 * Of a user that nobody is called no name is logged: it may be somebody's password, typed a
 * line too early.
 */
void
worker_login(struct session *s, const struct smtp_ev *ev)
{
	const char *name;
	struct smtp_reply r;

	s->user_home = logins_find(&s->edge->homes, session_service(s), ev->user, ev->arg, &name,
	    &r);
	/*
	 * The ban is of whoever is connected, not of the sender of what he brings: no 550 at RCPT,
	 * which would be told to that sender.
	 */
	if (s->user_home != NULL && bans_home(s->user_home, &s->client))
		r = smtp_reply(454, 4, 7, 1, "Your network is banned here; try again later");
	else if (s->user_home != NULL && (s->user = strdup(name)) == NULL)
		r = smtp_reply(454, 4, 7, 0, "Out of memory; try again later");
	if (r.code == 235)
		log_info(s->sid, "smtp.login peer=%s user=%s home=%s", netaddr_ip(&s->client).s,
		    name, s->user_home->name);
	else
		log_warn(s->sid, "smtp.login_failed service=%s peer=%s code=%u", s->service,
		    netaddr_ip(&s->client).s, r.code);
	session_say(s, r);
}

const struct netaddr *
session_client(const struct session *s)
{
	return s->speaks_for != NULL ? &s->speaks_for->addr : &s->client;
}

/*
 * A stranger's on the internet, and neither ours nor a home's: a mail server behind home may
 * trust those, and a filter there passes what comes from them.
 */
static bool
may_be_client(struct session *s, const struct netaddr *a)
{
	const struct homes *hs = &s->edge->homes;
	struct netaddr own = s->dest;

	if (own.port == 0)
		conn_local(s->conn, &own);
	if (!netaddr_is_global(a) || netaddr_same_ip(a, &own))
		return false;
	for (size_t i = 0; i < hs->n; i++)
		if (home_is_at(hs->list[i], a))
			return false;
	return true;
}

/* All who log in here are Workers (proto/policy.h), which have a message from somebody else. */
void
worker_speaks_for(struct session *s, const struct smtp_ev *ev)
{
	struct xclient x = { .esmtp = true };
	struct why why;

	if (s->speaks_for != NULL)
		x = *s->speaks_for;
	if (xclient_read(ev->arg, &x, &why) == -1) {
		session_say(s, smtp_reply(501, 5, 5, 4, "XCLIENT: %s", why.text));
		return;
	}
	if (xclient_known_ip(&x.addr) && !may_be_client(s, &x.addr)) {
		log_warn(s->sid, "smtp.client_refused peer=%s user=%s client=%s: no stranger's "
		    "address", netaddr_ip(&s->client).s, s->user, netaddr_ip(&x.addr).s);
		session_say(s, smtp_reply(550, 5, 7, 1, "Nobody's client has that address"));
		return;
	}
	resolve_cancel(&s->lookup);
	free(s->name);
	s->name = NULL;
	free(s->speaks_for);
	s->speaks_for = NULL;
	if (xclient_known_ip(&x.addr)) {
		if ((s->speaks_for = malloc(sizeof(x))) == NULL) {
			session_say(s, smtp_reply(421, 4, 3, 0, "%s Out of memory",
			    s->terms->hostname));
			return;
		}
		*s->speaks_for = x;
		log_debug(s->sid, "smtp.client peer=%s user=%s client=%s",
		    netaddr_ip(&s->client).s, s->user, netaddr_ip(&x.addr).s);
	}
	session_say(s, smtp_reply(220, 0, 0, 0, "%s ESMTP Posthouse", s->terms->hostname));
}
