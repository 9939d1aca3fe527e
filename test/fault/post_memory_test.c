/*
 * On the way into a mail server each allocation fails once, the courier's and those below it.
 * It says so and goes on, or it ends and is started anew, as home/courier.h says; in the end
 * each recipient's server has each message: once, or once more where its end was uncertain and
 * the ledger said so.  A life that went on leaves nothing allocated: a sanitizer looks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit/loop.h"
#include "kit/mail_server.h"

#define OBJECTS	3
enum { REACHED = 100, BEYOND = 101 };		/* exit status: whether that allocation came */

static unsigned nth, fails_at;
static bool living;				/* what is allocated is the courier's */
static jmp_buf ended;

void	*__real_malloc(size_t);
void	*__real_calloc(size_t, size_t);
void	*__real_realloc(void *, size_t);
char	*__real_strdup(const char *);
void	 __real_abort(void) __attribute__((noreturn));
void	*__wrap_malloc(size_t);
void	*__wrap_calloc(size_t, size_t);
void	*__wrap_realloc(void *, size_t);
char	*__wrap_strdup(const char *);
void	 __wrap_abort(void) __attribute__((noreturn));

static bool
out_of_memory(void)
{
	if (!living || kit_busy > 0 || ++nth != fails_at)
		return false;
	errno = ENOMEM;
	return true;
}

void *
__wrap_malloc(size_t n)
{
	return out_of_memory() ? NULL : __real_malloc(n);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return out_of_memory() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t n)
{
	return out_of_memory() ? NULL : __real_realloc(p, n);
}

char *
__wrap_strdup(const char *s)
{
	return out_of_memory() ? NULL : __real_strdup(s);
}

void
__wrap_abort(void)
{
	if (!living)
		__real_abort();
	longjmp(ended, 1);
}

static void
check(unsigned at)
{
	static const unsigned expected[OBJECTS][3] = { { 1 }, { 1, 1 }, { 0, 0, 1 } };

	for (size_t i = 0; i < OBJECTS; i++) {
		unsigned more = 0;

		for (size_t b = 0; b < 3; b++) {
			if (server.kept[i][b] < expected[i][b])
				fail_msg("%u: object %zu is not with %s, and its first delivery in "
				    "state %d: %s", at, i, conf.users[b],
				    ledger[i].entries[0].state, ledger[i].entries[0].reply.text);
			more += server.kept[i][b] - expected[i][b];
		}
		if (more > ledger[i].unsure)
			fail_msg("%u: object %zu came %u times too often, and %u were uncertain",
			    at, i, more, ledger[i].unsure);
		for (size_t e = 0; e < ledger[i].n; e++)
			if (ledger[i].entries[e].state != LEDGER_DELIVERED)
				fail_msg("%u: object %zu ends in state %d", at, i,
				    ledger[i].entries[e].state);
	}
}

/* The life in which it fails.  False: it ended at once. */
static bool
life(bool lmtp)
{
	struct mail_server was;

	birth();
	nth = 0;
	living = true;
	if (setjmp(ended) == 0) {
		work_begins();
		RUN_UNTIL(idle());
		living = false;
		death();
		return true;
	}
	living = false;
	aborted();
	was = server;
	mail_server_begin(lmtp);
	memcpy(server.kept, was.kept, sizeof(server.kept));
	return false;
}

static int
play(bool lmtp, unsigned at)
{
	bool went_on;

	mail_server_begin(lmtp);
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	hold("<alice@example.org> <bob@example.org>", BODY, FLAWLESS, true);
	hold("<carol@example.org>", BODY, FLAWLESS, false);
	fails_at = at;
	went_on = life(lmtp);
	deferred_due = true;
	live();
	live();
	check(at);
	if (!went_on)			/* what it held was never given back */
		_exit(REACHED);
	clean();
	mail_server_end();
	return nth >= at ? REACHED : BEYOND;
}

/* Each in a process of its own, so that one that ends takes its memory along. */
static void
each_allocation_fails_once(bool lmtp)
{
	unsigned at = 0;
	int status;

	do {
		pid_t child = fork();

		at++;
		assert_int_not_equal(child, -1);
		if (child == 0) {
			int rc;

			courier_setup(NULL);
			rc = play(lmtp, at);
			courier_teardown(NULL);
			exit(rc);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		if (!WIFEXITED(status) || (WEXITSTATUS(status) != REACHED &&
		    WEXITSTATUS(status) != BEYOND))
			fail_msg("allocation %u: status %x", at, (unsigned)status);
	} while (WEXITSTATUS(status) == REACHED);
	print_message("%s: %u allocations failed\n", lmtp ? "lmtp" : "smtp", at - 1);
	assert_true(at > 50);
}

static void
by_smtp_each_allocation_fails_once(void **state)
{
	each_allocation_fails_once(false);
}

static void
by_lmtp_each_allocation_fails_once(void **state)
{
	each_allocation_fails_once(true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_smtp_each_allocation_fails_once),
		cmocka_unit_test(by_lmtp_each_allocation_fails_once),
	};

	log_init("test", LOG_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
