#include "edge/ephemerals.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/secret.h"

/* So long after the last take the thread makes what is missing. */
#define STAND_BACK_NS	(100 * 1000 * 1000L)
/* Of a share: with less the thread makes more at once, until there is twice as much. */
#define LOW(share)	((share) / 8)
/*
 * When it does work in a burst, the loop's turn is first (where the kernel shares by session,
 * only the loop's).  Not the idle class, nor 19: a process that is killed is there until each of
 * its threads had its turn, and on a busy machine that took seconds.
 */
#define NICE	10

struct shelf {
	struct age_recipient	to;
	size_t			n;
	size_t			old;		/* the first so many are to be made anew */
	bool			useless;	/* nothing can be made for it: low order */
	struct age_ephemeral	made[];		/* as many as there may be in all */
};

struct ephemerals {
	pthread_t	 thread;
	bool		 started;
	pthread_mutex_t	 lock;		/* all below; held for a copy, never for a multiplication */
	pthread_cond_t	 wake;
	struct shelf	*shelves[EPHEMERALS_RECIPIENTS];	/* NULL: free */
	size_t		 ahead;		/* of all shelves */
	size_t		 share;		/* of each that there is */
	unsigned	 taken;		/* counts the takes, */
	unsigned	 seen;		/* and what of them the thread has seen */
	bool		 low;		/* some shelf was, and is not filled yet: nothing waits */
	enum { WORKS, STANDS_BACK, RESTS } thread_is;
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

		if (s != NULL && !s->useless && s->n < es->share &&
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
put(struct ephemerals *es, struct shelf *s, const struct age_ephemeral *e)
{
	if (s->old > 0)
		s->made[--s->old] = *e;
	else if (s->n < es->share)
		s->made[s->n++] = *e;
}

static size_t
shelf_size(const struct ephemerals *es)
{
	return sizeof(struct shelf) + es->ahead * sizeof(struct age_ephemeral);
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
			if ((es->shelves[i] = calloc(1, shelf_size(es))) != NULL)
				es->shelves[i]->to = *to;
			return;
		}
}

static void
shelf_free(const struct ephemerals *es, struct shelf **sp)
{
	if (*sp != NULL)
		explicit_bzero(*sp, shelf_size(es));
	free(*sp);
	*sp = NULL;
}

/* What is beyond its share now is wiped, the oldest first. */
static void
shelf_cut(struct shelf *s, size_t share)
{
	size_t over = s->n > share ? s->n - share : 0;

	if (over == 0)
		return;
	s->n -= over;
	s->old -= s->old < over ? s->old : over;
	memmove(s->made, s->made + over, s->n * sizeof(s->made[0]));
	explicit_bzero(s->made + s->n, over * sizeof(s->made[0]));
}

static void
share_out(struct ephemerals *es)
{
	size_t n = 0;

	for (size_t i = 0; i < EPHEMERALS_RECIPIENTS; i++)
		n += es->shelves[i] != NULL;
	es->share = n > 0 ? es->ahead / n : es->ahead;
	for (size_t i = 0; i < EPHEMERALS_RECIPIENTS; i++)
		if (es->shelves[i] != NULL)
			shelf_cut(es->shelves[i], es->share);
}

/* Once: until it has the processor, which may be a while, it need not be told again. */
static void
wake(struct ephemerals *es)
{
	if (es->thread_is != WORKS)
		pthread_cond_signal(&es->wake);
	es->thread_is = WORKS;
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
			put(es, *sp, &e);
		else {
			shelf_cut(*sp, 0);
			(*sp)->useless = true;
		}
	}
	explicit_bzero(&e, sizeof(e));
}

/* The processors are the messages' while some are coming in, and there is enough for them. */
static bool
stands_back(struct ephemerals *es, const struct shelf *least)
{
	bool busy = es->taken != es->seen;

	es->seen = es->taken;
	if (least->n < LOW(es->share))
		es->low = true;
	else if (least->n >= 2 * LOW(es->share))
		es->low = false;
	return busy && !es->low;
}

static void
stand_back(struct ephemerals *es)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += STAND_BACK_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	es->thread_is = STANDS_BACK;
	while (es->thread_is == STANDS_BACK &&
	    pthread_cond_timedwait(&es->wake, &es->lock, &until) == 0)
		;
	es->thread_is = WORKS;
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
		/* A renewal comes first, burst or not: an edge that is never quiet has it too. */
		if ((s = oldest(es)) != NULL)
			make_one(es, s->to);
		else if ((s = emptiest(es)) == NULL) {
			es->thread_is = RESTS;
			while (es->thread_is == RESTS)
				pthread_cond_wait(&es->wake, &es->lock);
		} else if (stands_back(es, s))
			stand_back(es);
		else
			make_one(es, s->to);
	}
	pthread_mutex_unlock(&es->lock);
	return NULL;
}

/* --- the loop's side ----------------------------------------------------------------------- */

struct ephemerals *
ephemerals_new(size_t ahead)
{
	struct ephemerals *es = calloc(1, sizeof(*es));
	pthread_condattr_t monotonic;

	if (es == NULL)
		return NULL;
	es->ahead = ahead;
	pthread_mutex_init(&es->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&es->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
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
		shelf_free(es, &es->shelves[i]);
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
			shelf_free(es, &es->shelves[i]);
	for (size_t i = 0; i < hs->n; i++)
		for (size_t k = 0; k < hs->list[i]->peer.nrecipients; k++)
			if (shelf_of(es, &hs->list[i]->peer.recipients[k]) == NULL)
				shelf_add(es, &hs->list[i]->peer.recipients[k]);
	share_out(es);
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
		es->taken++;
		if (es->thread_is == RESTS || (*sp)->n + 1 == LOW(es->share))
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
