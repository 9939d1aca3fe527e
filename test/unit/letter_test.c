/* Mail of an alarm, by a relay that stops to speak: it has its time, and the alarm is told so. */
#include "herald/letter.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "kit/ahead.h"
#include "kit/backend_play.h"
#include "kit/loop.h"

static struct play_backend relay;
static unsigned answers;		/* then it says no more */

/* A command comes alone, as nothing here may be pipelined. */
static void
hears(struct play_guest *g, struct span in)
{
	static const char *const words[] = { "250 relay.test\r\n", "250 2.1.0 ok\r\n",
		"250 2.1.5 ok\r\n", "354 go on\r\n" };
	unsigned lines = 0;

	for (size_t i = 0; i < g->nheard; i++)
		lines += g->heard[i] == '\n';
	for (size_t i = 0; i < in.n; i++)
		if (in.p[i] == '\n' && answers > 0 && lines <= sizeof(words) / sizeof(words[0])) {
			const char *say = words[lines - 1];

			conn_write(g->conn, say, strlen(say));
			answers--;
		}
}

struct told {
	unsigned	n;
	char		error[200];
};

static void
on_done(void *arg, const char *error)
{
	struct told *t = arg;

	t->n++;
	snprintf(t->error, sizeof(t->error), "%s", error);
}

static void
a_relay_that_says_nothing_has_its_time_and_no_more(void **state)
{
	static const char mail[] = "Subject: an alarm\r\n\r\nsomething is wrong\r\n";

	loop_begin();
	for (unsigned greets = 0; greets < 2; greets++)
		for (unsigned says = 0; says <= 4 * greets; says++) {
			struct conf_alarms conf = { .mail = "me@example.net",
				.tls = CONF_TLS_OFF };
			struct resolver *resolver = resolver_new();
			struct told told = { 0 };

			relay = (struct play_backend){ .hears = hears,
				.greeting = greets ? "220 relay.test\r\n" : "" };
			answers = says;
			play_backend_begin(&relay);
			snprintf(conf.relay, sizeof(conf.relay), "%s",
			    netaddr_hostport(&relay.at).s);
			letter_send(&loop, resolver, &conf, "home.test", "", span_str(mail),
			    on_done, &told);
			RUN_UNTIL(relay.open == 1 && answers == 0);
			loop_run_ms(30);
			ahead_ms += LETTER_WAIT_MS - 5000;
			loop_turns(3);
			assert_int_equal(told.n, 0);
			ahead_ms += 5000;
			loop_turns(3);
			RUN_UNTIL(told.n == 1);
			assert_non_null(strstr(told.error, says < 4 ? "it took longer than 90 s" :
			    "no answer to the whole message: it may come twice"));
			RUN_UNTIL(relay.open == 0);
			play_backend_end(&relay);
			resolver_free(&resolver);
			loop_turns(3);
			assert_int_equal(told.n, 1);
		}
	loop_end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_relay_that_says_nothing_has_its_time_and_no_more),
	};

	log_init("test.letter", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
