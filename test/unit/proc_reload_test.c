#include "kit/proc_stage.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

/* What changes while a role runs: its configuration, by SIGHUP, and its secrets, by themselves. */

static void
a_bad_configuration_is_refused_and_the_old_kept(void **state)
{
	struct stage *s = stage_up("mx.test");
	char words[256];

	write_conf(s, "mx.test", "hold { quota = 1G }\nholdd { }\n");
	kill(s->pid, SIGHUP);
	snprintf(words, sizeof(words),
	    "edge.parent error - config.refused %s:10: no key \"holdd\" at top "
	    "level; did you mean \"hold\"?; the old configuration stays in force", s->conf);
	expect(s, words);
	write_conf(s, "mx.test", "hold { quota = 1G memory = 1M }\n");
	kill(s->pid, SIGHUP);
	snprintf(words, sizeof(words), "config.refused %s:9: hold.memory: only a restart changes "
	    "it: restart this edge, or undo it; the old configuration stays in force", s->conf);
	expect(s, words);
	logged(s, "puppet.reload", false);
	write_conf(s, "mx.test", "hold { quota = 1G }\n");
	kill(s->pid, SIGHUP);
	expect(s, "edge.parent info - config.reloaded");
	logged(s, "edge.writer info - puppet.reload kind=writer quota=1073741824", true);
	logged(s, "edge.reception info - puppet.reload kind=reception quota=1073741824", true);
	stage_free(s);
}

/* As at the start, where it said nothing of these. */
static void
more_connections_than_descriptors_are_said(void **state)
{
	struct stage *s = stage_new("mx.test");
	struct rlimit few;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &few), 0);
	few.rlim_max = few.rlim_max < 100000 ? few.rlim_max : 100000;
	few.rlim_cur = few.rlim_cur < few.rlim_max ? few.rlim_cur : few.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	write_conf(s, "mx.test", "limits { connections = 10 streams = 10 }\n");
	stage_start(s);
	expect(s, "role.up");
	logged(s, "limits.descriptors", false);
	write_conf(s, "mx.test", "limits { connections = 1000000 streams = 1000000 }\n");
	kill(s->pid, SIGHUP);
	expect(s, "edge.parent warn - limits.descriptors allowed=");
	logged(s, " connections=1000000 streams=1000000: raise LimitNOFILE", true);
	stage_free(s);
}

/* Its words are anybody's, and are read by people. */
static void
what_a_process_refuses_is_said_in_its_words(void **state)
{
	struct stage *s = stage_up("grumbles.test");

	kill(s->pid, SIGHUP);
	expect(s, "config.refused process=reception it has a \\x5c in it\n");
	stage_free(s);
}

static void
a_certificate_is_taken_when_its_pair_is_whole(void **state)
{
	struct stage *s = stage_up("mx.test");
	char *key, *cert;

	make_pair(&key, &cert);
	write_file(s->dir, "cert.pem", 0644, cert, strlen(cert));
	expect(s, "edge.parent error - secret.refused tls.cert");
	logged(s, "secret.read", false);
	write_file(s->dir, "key.pem", 0600, key, strlen(key));
	expect(s, "edge.parent info - secret.read name=tls.cert");
	expect(s, "edge.reception info - puppet.secret name=tls.key");
	free(key);
	free(cert);
	stage_free(s);
}

/* Rotation's next key: it comes, and is gone again. */
static void
a_next_tunnel_key_comes_and_goes(void **state)
{
	struct stage *s = stage_up("mx.test");
	char *key, *cert, both[8192], dir[96], path[128];

	make_pair(&key, &cert);
	snprintf(both, sizeof(both), "%s%s", key, cert);
	snprintf(dir, sizeof(dir), "%s/state", s->dir);
	write_file(dir, "tunnel-next.pem", 0600, both, strlen(both));
	expect(s, "secret.read name=tunnel-next");
	expect(s, "edge.reception info - puppet.secret name=tunnel-next octets=");
	snprintf(path, sizeof(path), "%s/tunnel-next.pem", dir);
	assert_int_equal(unlink(path), 0);
	expect(s, "secret.gone name=tunnel-next");
	expect(s, "edge.reception info - puppet.secret name=tunnel-next octets=0");
	/* In a directory that our own processes can write, no link is followed. */
	write_file(s->dir, "elsewhere.pem", 0600, both, strlen(both));
	assert_int_equal(symlink("../elsewhere.pem", path), 0);
	expect(s, "secret.refused the next tunnel key");
	assert_int_equal(unlink(path), 0);
	free(key);
	free(cert);
	stage_free(s);
}

static int
tests(void)
{
	const struct CMUnitTest list[] = {
		cmocka_unit_test(a_bad_configuration_is_refused_and_the_old_kept),
		cmocka_unit_test(what_a_process_refuses_is_said_in_its_words),
		cmocka_unit_test(a_certificate_is_taken_when_its_pair_is_whole),
		cmocka_unit_test(a_next_tunnel_key_comes_and_goes),
		cmocka_unit_test(more_connections_than_descriptors_are_said),
	};

	return cmocka_run_group_tests(list, NULL, NULL);
}

int
main(int argc, char **argv)
{
	return stage_main(argc, argv, tests);
}
