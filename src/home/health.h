#ifndef HOME_HEALTH_H
#define HOME_HEALTH_H

#include <stdbool.h>

#include "base/scoreboard.h"
#include "conf/conf.h"
#include "home/tunnel.h"

/*
 * The services of this home that edges pass connections to: whether each backend
 * answers, whether it may be reached now, and how much is open to it.
 *
 * A check opens a connection as home itself (home/backend.h), listens a moment and
 * closes it.  A backend that says `220` is a mail server, whatever its service is
 * called, and stays one until its configuration changes; a mail server is closed
 * until the interlock has cleared it.  One on this machine that was started again between
 * two checks shows by its socket (net/listener.h), before anybody is passed to it.  A change is
 * told at once: edges hear of it by their policy.
 */
#define HEALTH_CHECK_MS		10000	/* between two checks of a backend that answers */
#define HEALTH_DOWN_MS		2000	/* of one that does not: its return is waited for */
#define HEALTH_AGAIN_MS		500	/* least pause, however many passages fail */
#define HEALTH_GREETING_MS	1000	/* a server that speaks first has done so by then */

struct check;
struct health;

enum service_state {
	SERVICE_UNTESTED = 0,
	SERVICE_ANSWERS,
	SERVICE_DOWN,
};

struct service {
	struct health	*health;	/* NULL: it left the configuration, its streams go on */
	struct conf_home_service conf;
	enum service_state state;
	bool		 listened;	/* a check has heard the greeting, or that there is none */
	bool		 smtp;		/* by its name, a port, or what its backend said */
	char		 why[BOARD_TEXT];	/* while down */
	unsigned	 streams;	/* entered and not left */
	unsigned	 row;		/* in the scoreboard */
	struct check	*check;		/* under way */
	uint64_t	 checked_ms;	/* loop time at which the last one began */
	uint64_t	 listener;	/* its backend's; 0: not on this machine, or not known */
	uv_timer_t	 timer;		/* the next one */
};

/* changed: some service opened or closed.  NULL: memory is out. */
struct health *health_new(struct tunnel_proc *, void (*changed)(void *), void *arg);
/* At start and at each reload.  Of a service whose backend or proxy changed, nothing is known. */
void	health_configure(struct health *, const struct conf_home *);
/* The interlock has another opinion of something. */
void	health_interlock(struct health *);
/* Those that are configured, in the order of the configuration. */
size_t	health_count(const struct health *);
struct service *health_at(const struct health *, size_t);
struct service *health_find(const struct health *, struct span name);	/* NULL: none such */
/* Those with streams outlive it. */
void	health_free(struct health **);

/*
 * Why no connection may be passed to it now: words, or NULL.  Not asked about
 * is whether its backend answers: to try is the surest way to know.
 */
const char *service_closed(const struct service *);
/* What edges are told: it answers and is open. */
bool	service_up(const struct service *);
/* One stream more.  False: service_closed, or it has as many as it may; why is set. */
bool	service_enter(struct service *, struct why *);
void	service_leave(struct service *);	/* it may be gone after this */
/*
 * A passage reached its backend: as good as a check.  False: not the one that was tested, and
 * service_closed says so.
 */
bool	service_reached(struct service *);
/* Another found it not answering: down, and looked at again at once. */
void	service_unreachable(struct service *, const char *why);
/* Its backend said `220`, to whomever. */
void	service_greeted(struct service *);
/* Clients reach it at this port of an edge: 25 and its like make it a mail server. */
void	service_port(struct service *, uint16_t);

#endif
