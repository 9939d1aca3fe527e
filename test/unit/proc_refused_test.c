#include "kit/proc_stage.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What keeps a role from starting, and how its operator reads of it. */

static void
a_child_that_speaks_out_of_turn_is_ended(void **state)
{
	struct stage *s = stage_new("lies.test");

	stage_start(s);
	assert_int_equal(WEXITSTATUS(stage_wait(s)), 1);
	logged(s, "edge.parent error - proc.distrust name=reception", true);
	logged(s, "proc.end name=reception signal=KILL; channel: message 1, which it may not send "
	    "now: not starting", true);
	stage_free(s);
}

static void
why_a_channel_ended_is_said(void **state)
{
	static const struct {
		const char *host, *why;
	} cases[] = {
		{ "babbles.test", "; channel: a message over the limit, or of no known form" },
		{ "leaves.test", "; channel: the other process is gone" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stage *s = stage_new(cases[i].host);
		const char *at;

		stage_start(s);
		assert_int_equal(WEXITSTATUS(stage_wait(s)), 1);
		at = strstr(s->text, "edge.parent error - proc.end name=reception ");
		assert_non_null(at);
		at = strchr(at, ';');
		assert_non_null(at);
		assert_int_equal(strncmp(at, cases[i].why, strlen(cases[i].why)), 0);
		stage_free(s);
	}
}

static void
what_cannot_start_ends_the_role(void **state)
{
	struct stage *s = stage_new("fails.test");

	stage_start(s);
	assert_int_equal(WEXITSTATUS(stage_wait(s)), 1);
	logged(s, "edge.reception error - proc.failed no such luck", true);
	logged(s, "proc.end name=writer status=0", true);	/* in order, even so */
	stage_free(s);
}

static void
a_key_that_others_can_read_is_refused(void **state)
{
	struct stage *s = stage_new("mx.test");
	char path[128];

	snprintf(path, sizeof(path), "%s/key.pem", s->dir);
	assert_int_equal(chmod(path, 0644), 0);
	stage_start(s);
	assert_int_equal(WEXITSTATUS(stage_wait(s)), 1);
	logged(s, "others may read or write it (mode 0644); chmod 600 it", true);
	close(s->log);
	assert_int_equal(chmod(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/tunnel.pem", s->dir);
	assert_int_equal(unlink(path), 0);
	stage_start(s);
	assert_int_equal(WEXITSTATUS(stage_wait(s)), 1);
	logged(s, "`posthouse keygen` makes it", true);
	stage_free(s);
}

static void
a_port_in_use_is_named(void **state)
{
	struct stage *s = stage_up("mx.test"), second = stage_beside(s);

	snprintf(second.dir, sizeof(second.dir), "%.40s/two", s->dir);
	assert_int_equal(mkdir(second.dir, 0755), 0);
	write_conf(s, "mx.test", "");
	{
		char command[512];

		snprintf(command, sizeof(command), "cp %s/*.pem %s/ && sed 's,%s,%s,g' %s "
		    ">%s/edge.conf", s->dir,
		    second.dir, s->dir, second.dir, s->conf, second.dir);
		assert_int_equal(system(command), 0);
	}
	snprintf(second.conf, sizeof(second.conf), "%s/edge.conf", second.dir);
	stage_start(&second);
	assert_int_equal(WEXITSTATUS(stage_wait(&second)), 1);
	logged(&second, "(`ss -ltnp` shows who does): Address already in use", true);
	close(second.log);
	stage_free(s);
}

static int
tests(void)
{
	const struct CMUnitTest list[] = {
		cmocka_unit_test(a_child_that_speaks_out_of_turn_is_ended),
		cmocka_unit_test(why_a_channel_ended_is_said),
		cmocka_unit_test(what_cannot_start_ends_the_role),
		cmocka_unit_test(a_key_that_others_can_read_is_refused),
		cmocka_unit_test(a_port_in_use_is_named),
	};

	return cmocka_run_group_tests(list, NULL, NULL);
}

int
main(int argc, char **argv)
{
	return stage_main(argc, argv, tests);
}
