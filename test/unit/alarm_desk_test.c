/* The writer's desk that has somebody told of alarms, with a runner of the test's own. */
#include "kit/store_play.h"

#include "store/tell.h"

struct runner {
	struct chan	*chan;
	unsigned	 notices;
};

static void
on_notice(void *arg, struct chan_msg *m)
{
	const struct span error = SPAN_LIT("it is not there");
	struct runner *r = arg;

	assert_int_equal(m->type, TELL_NOTICE);
	r->notices++;
	assert_true(chan_send(r->chan, TELL_DONE, m->tag, &error, 1, -1));
}

static void
on_gone(void *arg, const struct why *why)
{
	fail_msg("%s", why->text);
}

/* What is configured now may work: the pause is not waited for, nor the time between two looks. */
static void
a_road_that_failed_is_tried_again_at_a_reload(void **state)
{
	struct runner r = { .notices = 0 };
	struct why why = { "" };
	struct play p;
	int sv[2];

	play_begin(&p, CONF_EDGE);
	snprintf(p.edge->common.alarms.command, sizeof(p.edge->common.alarms.command), "mail");
	p.edge->common.alarms.after_ms = 0;
	p.edge->common.alarms.disk = UINT64_MAX;	/* more than any disk has left */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
	writer_teller(p.writer, TELLER_RUNNER, chan_new(&p.loop, sv[0], &why));
	assert_non_null(r.chan = chan_new(&p.loop, sv[1], &why));
	chan_start(r.chan, on_notice, on_gone, &r);
	/* Again and again: one that comes before the last answer was read changes nothing. */
	for (unsigned tries = 0; r.notices < 3 && tries < 500; tries++) {
		assert_int_equal(writer_reload(p.writer, &p.conf, &why), 0);
		play_for(&p, 10);
	}
	assert_true(r.notices >= 3);
	chan_free(&r.chan);
	play_for(&p, 20);
	play_end(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_road_that_failed_is_tried_again_at_a_reload),
	};

	log_init("test.desk", LOG_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
