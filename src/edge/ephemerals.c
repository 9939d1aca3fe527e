#include "edge/ephemerals.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/secret.h"

/* The thread rests until this many are left: not woken for every message. */
#define LOW	(EPHEMERALS_AHEAD / 4 * 3)
/*
 * In a burst the processors are the messages'.  Not the idle class, nor 19: a process that is
 * killed is there until each of its threads had its turn, and on a busy machine that took
 * seconds.
 */
#define NICE	10

struct shelf {
	struct age_recipient	to;
	size_t			n;
	size_t			old;		/* the first so many are to be made anew */
	bool			useless;	/* nothing can be made for it: low order */
	struct age_ephemeral	made[EPHEMERALS_AHEAD];
};

struct ephemerals {
	pthread_t	 thread;
	bool		 started;
	pthread_mutex_t	 lock;		/* all below; held for a copy, never for a multiplication */
	pthread_cond_t	 wake;
	struct shelf	*shelves[EPHEMERALS_RECIPIENTS];	/* NULL: free */
	bool		 resting;
	bool		 over;
};

static bool
make(const struct age_recipient *to, struct age_ephemeral *e)
{
	unsigned char secret[32];
	bool ok;

	random_bytes(secret, sizeof(secret));
	ok = age_ephemeral_make(to, secret, e);
	explicit_bzero(secret, sizeof(secret));
	return ok;
}

/* --- shelves, under the lock --------------------------------------------------------------- */

static struct shelf **
shelf_of(struct ephemerals *es, const struct age_recipient *to)
{
	for (size_t i = 0; i < EPHEMERALS_RECIPIENTS; i++)
		if (es->shelves[i] != NULL && memcmp(&es->shelves[i]->to, to, sizeof(*to)) == 0)
			return &es->shelves[i];
	return NULL;
}

static struct shelf *
emptiest(struct ephemerals *es)
{
	struct shelf *least = NULL;

	for (size_t i = 0; i < EPHEMERALS_RECIPIENTS; i++) {
		struct shelf *s = es->shelves[i];

		if (s != NULL && !s->useless && s->n < EPHEMERALS_AHEAD &&
		    (least == NULL || s->n < least->n))
			least = s;
	}
	return least;
}

/* One with something to be made anew. */
static struct shelf *
oldest(struct ephemerals *es)
{
	for (size_t i = 0; i < EPHEMERALS_RECIPIENTS; i++)
		if (es->shelves[i] != NULL && es->shelves[i]->old > 0)
			return es->shelves[i];
	return NULL;
}

static void
put(struct shelf *s, const struct age_ephemeral *e)
{
	if (s->n < EPHEMERALS_AHEAD)
		s->made[s->n++] = *e;
	else if (s->old > 0)
		s->made[--s->old] = *e;
}

static void
shelf_add(struct ephemerals *es, const struct age_recipient *to)
{
	for (size_t i = 0; i < EPHEMERALS_RECIPIENTS; i++)
		if (es->shelves[i] == NULL) {
			/*
			 * Without memory there is no shelf, and each is made
			 * when it is asked for.
			 */
			if ((es->shelves[i] = calloc(1, sizeof(struct shelf))) != NULL)
				es->shelves[i]->to = *to;
			return;
		}
}

static void
shelf_free(struct shelf **sp)
{
	if (*sp != NULL)
		explicit_bzero(*sp, sizeof(**sp));
	free(*sp);
	*sp = NULL;
}

/* Once: until it has the processor, which may be a while, it need not be told again. */
static void
wake(struct ephemerals *es)
{
	if (es->resting)
		pthread_cond_signal(&es->wake);
	es->resting = false;
}

/* --- the thread ---------------------------------------------------------------------------- */

/* The lock is let go of meanwhile, so the shelf may be gone afterwards. */
static void
make_one(struct ephemerals *es, struct age_recipient to)
{
	struct age_ephemeral e;
	struct shelf **sp;
	bool ok;

	pthread_mutex_unlock(&es->lock);
	ok = make(&to, &e);
	pthread_mutex_lock(&es->lock);
	if ((sp = shelf_of(es, &to)) != NULL) {
		if (ok)
			put(*sp, &e);
		else
			(*sp)->useless = true;
	}
	explicit_bzero(&e, sizeof(e));
}

static void *
work(void *arg)
{
	struct ephemerals *es = arg;
	struct shelf *s;

	/* Linux: of this thread alone.  Refused: it takes its whole share of the processors. */
	(void)setpriority(PRIO_PROCESS, 0, NICE);
	pthread_mutex_lock(&es->lock);
	while (!es->over) {
		if ((s = emptiest(es)) != NULL || (s = oldest(es)) != NULL) {
			make_one(es, s->to);
			continue;
		}
		es->resting = true;
		pthread_cond_wait(&es->wake, &es->lock);
	}
	pthread_mutex_unlock(&es->lock);
	return NULL;
}

/* --- the loop's side ----------------------------------------------------------------------- */

struct ephemerals *
ephemerals_new(void)
{
	struct ephemerals *es = calloc(1, sizeof(*es));

	if (es == NULL)
		return NULL;
	pthread_mutex_init(&es->lock, NULL);
	pthread_cond_init(&es->wake, NULL);
	return es;
}

int
ephemerals_start(struct ephemerals *es)
{
	sigset_t all, before;

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	es->started = pthread_create(&es->thread, NULL, work, es) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return es->started ? 0 : -1;
}

void
ephemerals_free(struct ephemerals **esp)
{
	struct ephemerals *es = *esp;

	*esp = NULL;
	if (es == NULL)
		return;
	if (es->started) {
		pthread_mutex_lock(&es->lock);
		es->over = true;
		wake(es);
		pthread_mutex_unlock(&es->lock);
		pthread_join(es->thread, NULL);
	}
	for (size_t i = 0; i < EPHEMERALS_RECIPIENTS; i++)
		shelf_free(&es->shelves[i]);
	pthread_cond_destroy(&es->wake);
	pthread_mutex_destroy(&es->lock);
	free(es);
}

static bool
wanted(const struct homes *hs, const struct age_recipient *to)
{
	for (size_t i = 0; i < hs->n; i++)
		for (size_t k = 0; k < hs->list[i]->peer.nrecipients; k++)
			if (memcmp(&hs->list[i]->peer.recipients[k], to, sizeof(*to)) == 0)
				return true;
	return false;
}

void
ephemerals_want(struct ephemerals *es, const struct homes *hs)
{
	pthread_mutex_lock(&es->lock);
	for (size_t i = 0; i < EPHEMERALS_RECIPIENTS; i++)
		if (es->shelves[i] != NULL && !wanted(hs, &es->shelves[i]->to))
			shelf_free(&es->shelves[i]);
	for (size_t i = 0; i < hs->n; i++)
		for (size_t k = 0; k < hs->list[i]->peer.nrecipients; k++)
			if (shelf_of(es, &hs->list[i]->peer.recipients[k]) == NULL)
				shelf_add(es, &hs->list[i]->peer.recipients[k]);
	wake(es);
	pthread_mutex_unlock(&es->lock);
}

void
ephemerals_renew(struct ephemerals *es)
{
	pthread_mutex_lock(&es->lock);
	for (size_t i = 0; i < EPHEMERALS_RECIPIENTS; i++)
		if (es->shelves[i] != NULL)
			es->shelves[i]->old = es->shelves[i]->n;
	wake(es);
	pthread_mutex_unlock(&es->lock);
}

bool
ephemerals_take(struct ephemerals *es, const struct age_recipient *to, struct age_ephemeral *e)
{
	struct shelf **sp;
	bool got;

	/* A thread that has to wait for the processor may have it: making one is quicker. */
	if (pthread_mutex_trylock(&es->lock) != 0)
		return make(to, e);
	sp = shelf_of(es, to);
	got = sp != NULL && (*sp)->n > 0;
	if (got) {
		struct age_ephemeral *last = &(*sp)->made[--(*sp)->n];

		*e = *last;
		explicit_bzero(last, sizeof(*last));
		if ((*sp)->old > (*sp)->n)
			(*sp)->old = (*sp)->n;
		if ((*sp)->n < LOW)
			wake(es);
	}
	pthread_mutex_unlock(&es->lock);
	return got || make(to, e);
}

size_t
ephemerals_ahead(struct ephemerals *es, const struct age_recipient *to)
{
	struct shelf **sp;
	size_t n;

	pthread_mutex_lock(&es->lock);
	n = (sp = shelf_of(es, to)) != NULL ? (*sp)->n - (*sp)->old : 0;
	pthread_mutex_unlock(&es->lock);
	return n;
}
