#include "ctl/pipeline.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/octets.h"

#define STACK_OCTETS	262144
/*
 * Files come in pages.  AMD's `rep movsb`, with which the kernel copies, is a fifth as fast to
 * an address that is up to 31 octets further into its page than where it copies from.
 */
#define PAGE		4096

struct pipeline {
	const struct pipeline_job *job;
	void		*arg;
	/* Under `reading`: */
	pthread_mutex_t	 reading;
	uint64_t	 blocks;	/* read so far */
	bool		 ended;
	struct span	 ahead;		/* read, and in no block yet */
	char		 octet;		/* what it is after a block: is that the last? */
	/* Under `putting`: */
	pthread_mutex_t	 putting;
	pthread_cond_t	 turn;
	uint64_t	 put;		/* blocks that are out */
	struct why	 why;
	atomic_bool	 failed;
};

static int
fill(struct pipeline *l, struct pipeline_block *b)
{
	size_t n = l->ahead.n;
	ssize_t got;

	memcpy(b->p, l->ahead.p, n);
	if ((got = octets_read(STDIN_FILENO, b->p + n, l->job->block - n)) == -1)
		return -1;
	b->n = n + (size_t)got;
	b->last = b->n < l->job->block;
	if (!b->last) {
		if ((got = octets_read(STDIN_FILENO, &l->octet, 1)) == -1)
			return -1;
		l->ahead = span_of(&l->octet, (size_t)got);
		b->last = got == 0;
	}
	return 0;
}

/* False: there is no more for this thread.  A failed read (*result -1) is told in its turn. */
static bool
take(struct pipeline *l, struct pipeline_block *b, int *result, struct why *why)
{
	bool mine;

	pthread_mutex_lock(&l->reading);
	mine = !l->ended && !atomic_load(&l->failed);
	if (mine) {
		b->number = l->blocks++;
		if ((*result = fill(l, b)) == -1)
			why_sys(why, "standard input");
		l->ended = *result == -1 || b->last;
	}
	pthread_mutex_unlock(&l->reading);
	return mine;
}

static void
put_in_turn(struct pipeline *l, struct pipeline_block *b, int result, const struct why *why)
{
	pthread_mutex_lock(&l->putting);
	while (l->put != b->number && !atomic_load(&l->failed))
		pthread_cond_wait(&l->turn, &l->putting);
	if (!atomic_load(&l->failed)) {
		if (result == -1)
			l->why = *why;
		if (l->job->put(l->arg, b, &l->why) == -1 || result == -1)
			atomic_store(&l->failed, true);
		l->put++;
	}
	pthread_cond_broadcast(&l->turn);
	pthread_mutex_unlock(&l->putting);
}

static bool
step(struct pipeline *l, struct pipeline_block *b)
{
	struct why why;
	int result;

	buf_clear(&b->out);
	if (!take(l, b, &result, &why))
		return false;
	if (result == 0)
		result = l->job->make(l->arg, b, &why);
	put_in_turn(l, b, result, &why);
	return true;
}

static bool
block_init(struct pipeline_block *b, const struct pipeline_job *job)
{
	size_t pages = (job->block + PAGE - 1) / PAGE * PAGE;

	*b = (struct pipeline_block){ .p = aligned_alloc(PAGE, pages) };
	buf_init(&b->out, job->out_max);
	return b->p != NULL;
}

static void
block_fini(struct pipeline_block *b, const struct pipeline_job *job)
{
	if (b->own != NULL)
		job->own_free(b->own);
	buf_wipe(&b->out);
	if (b->p != NULL)
		explicit_bzero(b->p, job->block);
	free(b->p);
}

static void *
helper(void *arg)
{
	struct pipeline *l = arg;
	struct pipeline_block b;

	if (block_init(&b, l->job))
		while (step(l, &b))
			;
	block_fini(&b, l->job);
	return NULL;
}

static int
helpers_wanted(void)
{
	cpu_set_t set;
	int cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return (cpus < PIPELINE_THREADS_MAX ? cpus : PIPELINE_THREADS_MAX) - 1;
}

int
pipeline_run(const struct pipeline_job *job, void *arg, struct span ahead, struct why *why)
{
	struct pipeline l = { .job = job, .arg = arg, .ahead = ahead };
	pthread_t helpers[PIPELINE_THREADS_MAX];
	pthread_attr_t attr;
	struct pipeline_block b;
	int n = 0;

	pthread_mutex_init(&l.reading, NULL);
	pthread_mutex_init(&l.putting, NULL);
	pthread_cond_init(&l.turn, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_OCTETS);
	if (!block_init(&b, job)) {
		why_set(&l.why, "out of memory");
		atomic_store(&l.failed, true);
	} else if (step(&l, &b) && !l.ended) {
		/* Where a thread cannot be had, the others do its work. */
		for (int want = helpers_wanted(); n < want; n++)
			if (pthread_create(&helpers[n], &attr, helper, &l) != 0)
				break;
		while (step(&l, &b))
			;
	}
	while (n > 0)
		pthread_join(helpers[--n], NULL);
	block_fini(&b, job);
	pthread_attr_destroy(&attr);
	pthread_cond_destroy(&l.turn);
	pthread_mutex_destroy(&l.putting);
	pthread_mutex_destroy(&l.reading);
	if (!atomic_load(&l.failed))
		return 0;
	*why = l.why;
	return -1;
}
