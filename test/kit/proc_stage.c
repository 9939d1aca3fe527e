#include "kit/proc_stage.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "priv/proc.h"

/* --- puppets ----------------------------------------------------------------- */

static struct proc *self;
static struct chan *shy_of;		/* the resolver, which it has not spoken to yet */

static bool
host_is(const char *host)
{
	return strcmp(self->common->hostname, host) == 0;
}

static void
on_hello(void *arg, struct chan_msg *m)
{
	log_info(NULL, "puppet.hello type=%u body=%s", m->type, log_safe(m->body).s);
	if (self->kind == PROC_RESOLVER && host_is("naps.test"))
		uv_stop(self->loop);
}

static void
on_peer_gone(void *arg, const struct why *why)
{
	struct chan *c = *(struct chan **)arg;

	log_info(NULL, "puppet.peer_gone");
	if (c == shy_of)
		shy_of = NULL;
	chan_free(&c);
	free(arg);
}

static void
say_hello(struct chan *chan)
{
	const struct span word = span_str(proc_kind_name(self->kind));

	chan_send(chan, 7, 0, &word, 1, -1);
}

static void
puppet_peer(struct proc *p, enum proc_kind kind, struct chan *chan)
{
	struct chan **kept = malloc(sizeof(struct chan *));

	self = p;
	*kept = chan;
	chan_start(chan, on_hello, on_peer_gone, kept);
	if (p->kind == PROC_RESOLVER && host_is("naps.test"))
		return;
	if (kind == PROC_RESOLVER && (host_is("shy.test") || host_is("naps.test")))
		shy_of = chan;
	else
		say_hello(chan);
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
	if (shy_of != NULL)
		say_hello(shy_of);
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

void
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

void
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

void
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

struct stage *
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

void
stage_start(struct stage *s)
{
	int p[2];

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	s->pid = fork();
	if (s->pid == 0) {
		dup2(p[1], STDERR_FILENO);
		execl("/proc/self/exe", "posthouse", "parent", s->conf, (char *)NULL);
		_exit(126);
	}
	close(p[1]);
	s->log = p[0];
}

const char *
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

void
logged(struct stage *s, const char *words, bool wanted)
{
	if ((strstr(s->text, words) != NULL) != wanted)
		fail_msg("\"%s\" %s in\n%s", words, wanted ? "is not" : "is", s->text);
}

pid_t
pid_after(const char *line)
{
	return (pid_t)strtol(strstr(line, "pid=") + 4, NULL, 10);
}

pid_t
pid_of(struct stage *s, const char *who)
{
	char words[64];

	snprintf(words, sizeof(words), "%s info - puppet.start pid=", who);
	s->read_to = 0;
	return pid_after(expect(s, words));
}

int
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

void
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

struct stage *
stage_up(const char *host)
{
	struct stage *s = stage_new(host);

	stage_start(s);
	expect(s, "edge.parent info - role.up");
	return s;
}

struct stage
stage_beside(const struct stage *s)
{
	struct stage second = *s;

	second.n = second.read_to = 0;
	memset(second.text, 0, sizeof(second.text));
	return second;
}

int
stage_main(int argc, char **argv, int (*tests)(void))
{
	if (argc == 4 && strcmp(argv[1], "worker") == 0)
		return puppet(argv[3]);
	if (argc == 3 && strcmp(argv[1], "parent") == 0)
		return proc_parent_main(CONF_EDGE, argv[2]);
	alarm(120);			/* a wait that nothing ends is a failure */
	return tests();
}
