#include "priv/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"

/*
 * The parent, its processes and their sandboxes, for real: this program is its
 * own `posthouse`.  The processes are puppets that log what they are given; what
 * they shall do beside that is told by the host name in the configuration.  The
 * test reads the log as an operator would.
 */

/* --- puppets ----------------------------------------------------------------- */

static void
on_hello(void *arg, struct chan_msg *m)
{
	log_info(NULL, "puppet.hello type=%u body=%s", m->type, log_safe(m->body).s);
}

static void
on_peer_gone(void *arg, const struct why *why)
{
	struct chan *c = *(struct chan **)arg;

	log_info(NULL, "puppet.peer_gone");
	chan_free(&c);
	free(arg);
}

static void
puppet_peer(struct proc *p, enum proc_kind kind, struct chan *chan)
{
	const struct span word = span_str(proc_kind_name(p->kind));
	struct chan **kept = malloc(sizeof(struct chan *));

	*kept = chan;
	chan_start(chan, on_hello, on_peer_gone, kept);
	chan_send(chan, 7, 0, &word, 1, -1);
}

static void
puppet_secret(struct proc *p, const char *name, struct span s)
{
	log_info(NULL, "puppet.secret name=%s octets=%zu", name, s.n);
}

static void
puppet_listen(struct proc *p, const char *service, int fd)
{
	int on = 0;
	socklen_t n = sizeof(on);

	getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &n);
	log_info(NULL, "puppet.listen service=%s listening=%d", service, on);
}

static void
puppet_dir(struct proc *p, const char *name, int fd)
{
	log_info(NULL, "puppet.dir name=%s", name);
	close(fd);
}

static int
puppet_start(struct proc *p, struct why *why)
{
	log_info(NULL, "puppet.start pid=%d uid=%u gid=%u parent=%d", (int)getpid(),
	    (unsigned)getuid(),
	    (unsigned)getgid(), (int)getppid());
	if (p->kind == PROC_RECEPTION && strcmp(p->common->hostname, "fails.test") == 0)
		return why_set(why, "no such luck");
	return 0;
}

/* Tries what its sandbox ought to forbid, and says what came of it. */
static void
try_forbidden(struct proc *p)
{
	char path[CONF_PATH_MAX + 32];
	int fd;

	fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	log_info(NULL, "puppet.try passwd=%s", fd == -1 ? strerrorname_np(errno) : "open");
	snprintf(path, sizeof(path), "%s/spool.db", p->common->state);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	log_info(NULL, "puppet.try state=%s", fd == -1 ? strerrorname_np(errno) : "open");
	snprintf(path, sizeof(path), "%s/large/x", p->common->state);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	log_info(NULL, "puppet.try large=%s", fd == -1 ? strerrorname_np(errno) : "open");
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	log_info(NULL, "puppet.try large_write=%s", fd == -1 ? strerrorname_np(errno) : "open");
	fd = socket(AF_INET, SOCK_STREAM, 0);
	log_info(NULL, "puppet.try socket=%s", fd == -1 ? strerrorname_np(errno) : "open");
	log_info(NULL, "puppet.try exec_page=%s",
	    mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	    0) ==
	    MAP_FAILED ? strerrorname_np(errno) : "mapped");
	log_info(NULL, "puppet.try fork=%s", fork() == -1 ? strerrorname_np(errno) : "forked");
	log_info(NULL, "puppet.try mount now");
	mount("none", "/mnt", "tmpfs", 0, NULL);
	log_info(NULL, "puppet.try mount survived");
}

static void
puppet_run(struct proc *p)
{
	const char *host = p->common->hostname;

	log_info(NULL, "puppet.run kind=%s sandbox=%d", proc_kind_name(p->kind),
	    p->board->proc[p->kind].sandbox[0] != '\0');
	if (p->kind == PROC_RECEPTION && strcmp(host, "lies.test") == 0)
		chan_send(p->parent, PM_CONFIG, 0, NULL, 0, -1);
	if (p->kind == PROC_RECEPTION && strcmp(host, "babbles.test") == 0)
		assert_int_equal(write(PROC_FD, "no frame of ours, not at all", 28), 28);
	if (p->kind == PROC_RECEPTION && strcmp(host, "leaves.test") == 0)
		shutdown(PROC_FD, SHUT_RDWR);
	if (p->kind == PROC_RECEPTION && strcmp(host, "tries.test") == 0)
		try_forbidden(p);
}

static void
puppet_reload(struct proc *p)
{
	struct span no = SPAN_LIT("it has a \\ in it");

	if (p->kind == PROC_RECEPTION && strcmp(p->common->hostname, "grumbles.test") == 0)
		chan_send(p->parent, PM_RELOADED, 0, &no, 1, -1);
	log_info(NULL, "puppet.reload kind=%s quota=%llu", proc_kind_name(p->kind),
	    (unsigned long long)(p->edge != NULL ? p->edge->hold.quota : p->home->hold.quota));
}

static void
puppet_drain(struct proc *p)
{
	log_info(NULL, "puppet.drain kind=%s", proc_kind_name(p->kind));
	if (p->kind != PROC_RECEPTION || strcmp(p->common->hostname, "stays.test") != 0)
		uv_stop(p->loop);
}

static int
puppet(const char *name)
{
	static struct proc_ops ops = {
		.start = puppet_start, .run = puppet_run, .secret = puppet_secret,
		.listen = puppet_listen, .dir = puppet_dir, .peer = puppet_peer,
		.reload = puppet_reload, .drain = puppet_drain,
	};

	ops.name = name;
	return proc_child_main(proc_kind_parse(name), &ops);
}

/* --- the stage: one parent in a directory of its own -------------------------- */

struct stage {
	char	dir[64], conf[128];
	char	address[32];
	pid_t	pid;
	int	log;
	char	text[1 << 17];		/* all that was logged */
	size_t	n, read_to;		/* expect() goes on from here */
};

static void
write_file(const char *dir, const char *name, mode_t mode, const char *text, size_t n)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd != -1);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(write(fd, text, n), n);
	close(fd);
}

/* A key and a certificate of it, as PEM in two texts. */
static void
make_pair(char **key, char **cert)
{
	EVP_PKEY *pk = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	BIO *b = BIO_new(BIO_s_mem()), *c = BIO_new(BIO_s_mem());

	assert_non_null(pk);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
	    (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, pk);
	assert_true(X509_sign(x, pk, EVP_sha256()) > 0);
	PEM_write_bio_PrivateKey(b, pk, NULL, NULL, 0, NULL, NULL);
	PEM_write_bio_X509(c, x);
	BIO_write(b, "", 1);
	BIO_write(c, "", 1);
	*key = strdup(BIO_get_mem_data(b, NULL) > 0 ? (BIO_get_mem_data(b, key), *key) : "");
	*cert = strdup(BIO_get_mem_data(c, NULL) > 0 ? (BIO_get_mem_data(c, cert), *cert) : "");
	BIO_free(b);
	BIO_free(c);
	X509_free(x);
	EVP_PKEY_free(pk);
}

/* An address of its own for each stage: ports of 127.0.0.1 come and go with other tests. */
static void
own_address(char out[32])
{
	static unsigned n;
	unsigned pid = (unsigned)getpid();

	snprintf(out, 32, "127.%u.%u.%u", 64 + pid / 256 % 64, pid % 256, 1 + n++ % 250);
}

static void
write_conf(struct stage *s, const char *host, const char *more)
{
	char text[2048];
	int n = snprintf(text, sizeof(text),
	    "hostname = \"%s\"\nstate = \"%s/state\"\ncontrol = \"%s/run/edge.sock\"\nuser = "
	    "\"%s\"\n"
	    "log = debug\n"
	    "service smtp { listen = \"%s:2525\" }\ntunnel { listen = \"%s:7443\" key = "
	    "\"%s/tunnel.pem\" }\n"
	    "tls { cert = \"%s/cert.pem\" key = \"%s/key.pem\" }\n%s",
	    host, s->dir, s->dir, geteuid() == 0 ? "nobody" : "", s->address, s->address, s->dir,
	    s->dir,
	    s->dir, more);

	write_file(s->dir, "edge.conf", 0644, text, (size_t)n);
}

static struct stage *
stage_new(const char *host)
{
	struct stage *s = calloc(1, sizeof(*s));
	char *key, *cert, both[8192];

	assert_non_null(s);
	snprintf(s->dir, sizeof(s->dir), "/tmp/posthouse-proc.XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	assert_int_equal(chmod(s->dir, 0755), 0);
	snprintf(s->conf, sizeof(s->conf), "%s/edge.conf", s->dir);
	own_address(s->address);
	make_pair(&key, &cert);
	snprintf(both, sizeof(both), "%s%s", key, cert);
	write_file(s->dir, "tunnel.pem", 0600, both, strlen(both));
	write_file(s->dir, "key.pem", 0600, key, strlen(key));
	write_file(s->dir, "cert.pem", 0644, cert, strlen(cert));
	free(key);
	free(cert);
	write_conf(s, host, "");
	return s;
}

static void
stage_start(struct stage *s)
{
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	s->pid = fork();
	if (s->pid == 0) {
		dup2(p[1], STDERR_FILENO);
		execl("/proc/self/exe", "proc_test", "parent", s->conf, (char *)NULL);
		_exit(126);
	}
	close(p[1]);
	s->log = p[0];
}

/* Waits for a line with these words, after those found before.  Returns where it stands. */
static const char *
expect(struct stage *s, const char *words)
{
	for (int waits = 0; waits < 300;) {
		struct pollfd pfd = { s->log, POLLIN, 0 };
		char *at = strstr(s->text + s->read_to, words);
		ssize_t got;

		/* A whole line only: numbers at its end may still be coming. */
		if (at != NULL && strchr(at, '\n') != NULL) {
			s->read_to = (size_t)(strchr(at, '\n') - s->text);
			return at;
		}
		if (poll(&pfd, 1, 100) == 0) {
			waits++;
			continue;
		}
		got = read(s->log, s->text + s->n, sizeof(s->text) - 1 - s->n);
		if (got <= 0)
			break;
		s->n += (size_t)got;
	}
	fail_msg("\"%s\" did not come; after\n%s", words, s->text + s->read_to);
	return NULL;
}

/* Somewhere in all that was logged, before or after. */
static void
logged(struct stage *s, const char *words, bool wanted)
{
	if ((strstr(s->text, words) != NULL) != wanted)
		fail_msg("\"%s\" %s in\n%s", words, wanted ? "is not" : "is", s->text);
}

static pid_t
pid_after(const char *line)
{
	return (pid_t)strtol(strstr(line, "pid=") + 4, NULL, 10);
}

static pid_t
pid_of(struct stage *s, const char *who)
{
	char words[64];

	snprintf(words, sizeof(words), "%s info - puppet.start pid=", who);
	s->read_to = 0;
	return pid_after(expect(s, words));
}

/* To the end of the log; how the parent ended. */
static int
stage_wait(struct stage *s)
{
	ssize_t got;
	int status;

	while ((got = read(s->log, s->text + s->n, sizeof(s->text) - 1 - s->n)) > 0)
		s->n += (size_t)got;
	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	s->pid = 0;
	return status;
}

static void
stage_free(struct stage *s)
{
	char command[128];

	if (s->pid > 0) {
		kill(s->pid, SIGTERM);
		assert_int_equal(stage_wait(s), 0);
	}
	close(s->log);
	snprintf(command, sizeof(command), "rm -rf '%s'", s->dir);
	assert_int_equal(system(command), 0);
	free(s);
}

static struct stage *
stage_up(const char *host)
{
	struct stage *s = stage_new(host);

	stage_start(s);
	expect(s, "edge.parent info - role.up");
	return s;
}

/* --- what must be true --------------------------------------------------------- */

static void
each_is_given_what_is_its_own(void **state)
{
	struct stage *s = stage_up("mx.test");
	struct stat st;
	char path[128], words[64];

	logged(s, "edge.reception info - puppet.secret name=tls.cert", true);
	logged(s, "edge.reception info - puppet.secret name=tls.key", true);
	logged(s, "edge.reception info - puppet.secret name=tunnel octets", true);
	logged(s, "edge.writer info - puppet.secret", false);
	logged(s, "edge.resolver info - puppet.secret", false);
	logged(s, "edge.reception info - puppet.listen service=smtp listening=1", true);
	logged(s, "edge.reception info - puppet.listen service=tunnel listening=1", true);
	logged(s, "edge.writer info - puppet.listen service=control listening=1", true);
	logged(s, "edge.writer info - puppet.listen service=smtp", false);
	logged(s, "edge.reception info - puppet.dir name=large", true);
	logged(s, "edge.resolver info - puppet.dir", false);
	s->read_to = 0;
	expect(s, "edge.writer info - puppet.hello type=7 body=reception");
	snprintf(path, sizeof(path), "%s/state", s->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	snprintf(path, sizeof(path), "%s/run/edge.sock", s->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	if (geteuid() == 0) {
		const struct passwd *pw = getpwnam("nobody");

		assert_int_equal(st.st_uid, pw->pw_uid);
		snprintf(words, sizeof(words), " uid=%u gid=%u parent=%d", pw->pw_uid, pw->pw_gid,
		    (int)s->pid);
	} else {
		snprintf(words, sizeof(words), " uid=%u gid=%u parent=%d", getuid(), getgid(),
		    (int)s->pid);
	}
	logged(s, words, true);
	logged(s, "uid=0", false);
	logged(s, "kind=writer sandbox=1", true);
	logged(s, "kind=resolver sandbox=1", true);
#ifndef POSTHOUSE_SANITIZED
	/* Its /proc belongs to root: nobody of its own account looks into it. */
	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid_of(s, "edge.reception"));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 0);
#endif
	stage_free(s);
}

static void
the_dead_are_started_again(void **state)
{
	struct stage *s = stage_up("mx.test");
	pid_t writer = pid_of(s, "edge.writer"), reception = pid_of(s, "edge.reception"), again;

	s->read_to = 0;
	expect(s, "role.up");
	assert_int_equal(kill(reception, SIGKILL), 0);
	expect(s, "edge.parent error - proc.end name=reception again_ms=100 signal=KILL");
	again = pid_after(expect(s, "edge.reception info - puppet.start pid="));
	assert_int_not_equal(again, reception);
	expect(s, "proc.up name=reception");
	s->read_to = (size_t)(strstr(s->text, "again_ms=100") - s->text);
	expect(s, "edge.writer info - puppet.hello type=7 body=reception");
	/* The second time it waits longer, and those that stayed get channels to the new one. */
	s->read_to = s->n;
	assert_int_equal(kill(again, SIGKILL), 0);
	expect(s, "proc.end name=reception again_ms=200");
	expect(s, "proc.up name=reception");
	s->read_to = s->n;
	assert_int_equal(kill(writer, SIGKILL), 0);
	expect(s, "proc.end name=writer again_ms=100");
	expect(s, "edge.reception info - puppet.hello type=7 body=writer");
	stage_free(s);
}

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

static void
the_writer_is_drained_last(void **state)
{
	struct stage *s = stage_up("mx.test");
	char path[128];
	const char *reception, *writer, *resolver;

	kill(s->pid, SIGTERM);
	assert_int_equal(stage_wait(s), 0);
	reception = strstr(s->text, "puppet.drain kind=reception");
	resolver = strstr(s->text, "proc.end name=resolver status=0");
	writer = strstr(s->text, "puppet.drain kind=writer");
	assert_non_null(reception);
	assert_non_null(resolver);
	assert_non_null(writer);
	assert_true(reception < writer && resolver < writer);
	logged(s, "proc.end name=writer status=0", true);
	logged(s, "role.stopped status=0", true);
	logged(s, "again_ms", false);
	snprintf(path, sizeof(path), "%s/run/edge.sock", s->dir);
	assert_int_equal(access(path, F_OK), -1);
	stage_free(s);
}

static void
a_second_signal_does_not_wait(void **state)
{
	struct stage *s = stage_up("stays.test");

	kill(s->pid, SIGTERM);
	expect(s, "puppet.drain kind=reception");
	kill(s->pid, SIGINT);
	expect(s, "role.forced by a second signal");
	assert_int_equal(stage_wait(s), 0);
	stage_free(s);
}

static void
one_state_has_one_parent(void **state)
{
	struct stage *s = stage_up("mx.test"), second = *s;

	second.n = second.read_to = 0;
	memset(second.text, 0, sizeof(second.text));
	stage_start(&second);
	assert_int_equal(WEXITSTATUS(stage_wait(&second)), 1);
	logged(&second, "another posthouse works on this state already", true);
	close(second.log);
	stage_free(s);
}

static void
the_socket_of_a_dead_parent_is_no_hindrance(void **state)
{
	struct stage *s = stage_up("mx.test");

	kill(s->pid, SIGKILL);
	/* the log ends when the last child has ended, too */
	assert_true(WIFSIGNALED(stage_wait(s)));
	s->read_to = s->n;
	close(s->log);
	stage_start(s);
	expect(s, "role.up");
	stage_free(s);
}

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
	struct stage *s = stage_up("mx.test"), second = *s;

	second.n = second.read_to = 0;
	memset(second.text, 0, sizeof(second.text));
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

/* One datagram from the parent to its service manager. */
static void
notified(int fd, const char *words)
{
	struct pollfd pfd = { fd, POLLIN, 0 };
	char text[128];
	ssize_t n;

	assert_int_equal(poll(&pfd, 1, 20000), 1);
	n = recv(fd, text, sizeof(text) - 1, 0);
	assert_true(n > 0);
	text[n] = '\0';
	if (strncmp(text, words, strlen(words)) != 0)
		fail_msg("notified %s instead of %s", text, words);
}

static void
the_service_manager_is_told(void **state)
{
	struct stage *s = stage_new("mx.test");
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/notify", s->dir);
	assert_int_equal(bind(fd, (void *)&sun, sizeof(sun)), 0);
	setenv("NOTIFY_SOCKET", sun.sun_path, 1);
	stage_start(s);
	unsetenv("NOTIFY_SOCKET");
	expect(s, "role.up");
	notified(fd, "READY=1");
	kill(s->pid, SIGHUP);
	notified(fd, "RELOADING=1\nMONOTONIC_USEC=");
	notified(fd, "READY=1");
	kill(s->pid, SIGTERM);
	notified(fd, "STOPPING=1");
	assert_int_equal(stage_wait(s), 0);
	close(fd);
	stage_free(s);
}

#ifndef POSTHOUSE_SANITIZED
static void
reception_cannot_leave_its_sandbox(void **state)
{
	struct stage *s = stage_new("tries.test");

	stage_start(s);
	assert_int_equal(WEXITSTATUS(stage_wait(s)), 1);
	logged(s, "puppet.try socket=EACCES", true);
	logged(s, "puppet.try exec_page=EACCES", true);
	logged(s, "puppet.try fork=EPERM", true);
	logged(s, "puppet.try mount now", true);
	logged(s, "puppet.try mount survived", false);
	logged(s, "proc.end name=reception signal=SYS", true);
	if (strstr(s->text, "sandbox.partial") == NULL) {
		logged(s, "puppet.try passwd=EACCES", true);
		logged(s, "puppet.try state=EACCES", true);
		logged(s, "puppet.try large=EACCES", true);	/* reading there as well */
		logged(s, "puppet.try large_write=open", true);
	} else {
		print_message("no Landlock here: paths were not tried\n");
	}
	stage_free(s);
}
#endif

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_given_what_is_its_own),
		cmocka_unit_test(the_dead_are_started_again),
		cmocka_unit_test(a_bad_configuration_is_refused_and_the_old_kept),
		cmocka_unit_test(what_a_process_refuses_is_said_in_its_words),
		cmocka_unit_test(a_certificate_is_taken_when_its_pair_is_whole),
		cmocka_unit_test(a_next_tunnel_key_comes_and_goes),
		cmocka_unit_test(the_writer_is_drained_last),
		cmocka_unit_test(a_second_signal_does_not_wait),
		cmocka_unit_test(one_state_has_one_parent),
		cmocka_unit_test(the_socket_of_a_dead_parent_is_no_hindrance),
		cmocka_unit_test(a_child_that_speaks_out_of_turn_is_ended),
		cmocka_unit_test(why_a_channel_ended_is_said),
		cmocka_unit_test(what_cannot_start_ends_the_role),
		cmocka_unit_test(a_key_that_others_can_read_is_refused),
		cmocka_unit_test(a_port_in_use_is_named),
		cmocka_unit_test(the_service_manager_is_told),
#ifndef POSTHOUSE_SANITIZED
		cmocka_unit_test(reception_cannot_leave_its_sandbox),
#endif
	};

	if (argc == 4 && strcmp(argv[1], "worker") == 0)
		return puppet(argv[3]);
	if (argc == 3 && strcmp(argv[1], "parent") == 0)
		return proc_parent_main(CONF_EDGE, argv[2]);
	alarm(120);			/* a wait that nothing ends is a failure */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
