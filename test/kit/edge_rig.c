#include "kit/edge_rig.h"

#include <fcntl.h>
#include <sys/stat.h>

struct rig R;

static void
rig_attached(void *arg, bool up)
{
	(void)arg;
	R.e.writer = up;
	if (up && R.alice != NULL && R.alice->handover != NULL)
		handover_recheck(R.alice->handover);
}

static void
rig_work(void *arg)
{
	(void)arg;
	R.works++;
	if (R.alice->handover != NULL)
		handover_work(R.alice->handover);
}

static void
rig_peer(void *arg, const struct peer *p)
{
	assert_non_null(homes_paired(&R.e.homes, R.conf, p->name, p));
}

static void
rig_pairing(void *arg, bool open)
{
	R.e.pairing = open;
}

static const struct spool_events rig_events = { .attached = rig_attached, .work = rig_work,
	.peer = rig_peer, .pairing = rig_pairing };

void
rig_writer_up(void)
{
	struct writer_conf wc = { .role = CONF_EDGE, .common = &R.conf->common,
	    .hold = &R.conf->hold,
		.edge = R.conf, .board = &R.board };
	struct why why = { "" };
	struct chan *ends[2];
	int fds[2];

	R.writer = writer_new(&loop, &wc, &why);
	if (R.writer == NULL)
		fail_msg("%s", why.text);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
	    0);
	for (int i = 0; i < 2; i++)
		assert_non_null(ends[i] = chan_new(&loop, fds[i], &why));
	writer_client(R.writer, ends[0]);
	spool_attach(R.e.spool, ends[1]);
	RUN_UNTIL(R.e.writer);
}

void
rig_writer_down(void)
{
	writer_free(&R.writer);
	RUN_UNTIL(!R.e.writer);
}

void
rig_up(const char *more)
{
	static const unsigned char key[32] = { 1, 2, 3 };
	char text[2048], recipient[AGE_TEXT_MAX], large[80];
	struct age_recipient to;
	struct peer peer = { .name = "alice" };
	struct why why = { "" };
	int n;

	memset(&R, 0, sizeof(R));
	log_init("test", LOG_ERROR + 1);
	assert_true(crypto_init());
	loop_begin();
	snprintf(R.dir, sizeof(R.dir), "/tmp/posthouse-edge-XXXXXX");
	assert_non_null(mkdtemp(R.dir));
	assert_true(age_identity_from_bytes(key, &R.age));
	memcpy(to.pub, R.age.pub, sizeof(to.pub));
	age_recipient_print(&to, recipient);
	n = snprintf(text, sizeof(text), "hostname = \"mx.edge.test\"\nstate = \"%s\"\n"
	    "hold { reserve = 0 }\n"
	    "tunnel { listen = {\"127.0.0.1:1\"} }\n"
	    "service \"smtp\" { listen = {\"127.0.0.1:2\"} }\n%s",
	    R.dir, more);
	assert_true(n > 0 && (size_t)n < sizeof(text));
	if ((R.conf = conf_edge_parse("test.conf", span_of(text, (size_t)n), &why)) == NULL)
		fail_msg("%s", why.text);
	R.conf->client_names = false;
	R.proc = (struct proc){ .loop = &loop, .kind = PROC_RECEPTION, .role = CONF_EDGE,
	    .edge = R.conf,
		.common = &R.conf->common, .board = &R.board, .arg = &R.e };
	R.e.proc = &R.proc;
	R.e.loop = &loop;
	assert_non_null(R.e.clients = clients_new());
	assert_non_null(R.e.passed_clients = clients_new());
	splices_init(&R.e.splices, &loop);
	passages_limits(&R.e);
	assert_non_null(R.e.ephemerals = ephemerals_new(0));
	assert_non_null(R.e.terms = terms_new(R.conf));

	secret_set(&R.mac, key);
	peer.mac[0] = R.mac;
	peer.nmac = 1;
	peer.recipients[0] = to;
	peer.nrecipients = 1;
	snprintf(peer.domains[0], sizeof(peer.domains[0]), "alice.test");
	peer.ndomains = 1;
	assert_non_null(R.alice = homes_paired(&R.e.homes, R.conf, "alice", &peer));
	assert_non_null(R.alice->handover = handover_new(&R.e, R.alice));
	snprintf(large, sizeof(large), "%s/large", R.dir);
	mkdir(large, 0700);
	R.e.large_fd = open(large, O_DIRECTORY | O_CLOEXEC);
	assert_true(R.e.large_fd >= 0);
	R.e.spool = spool_new(&rig_events, &R.e, R.e.large_fd, R.conf->hold.memory,
	    R.conf->hold.threshold);
	R.e.mail = R.e.spool;
	rig_writer_up();
}

void
rig_down(void)
{
	char rm[80];

	if (R.writer != NULL)
		rig_writer_down();
	RUN_UNTIL(R.e.sessions == NULL && R.e.passages == NULL);
	RUN_UNTIL(R.e.tunnels == NULL && !handover_busy(R.alice->handover));
	handover_free(&R.alice->handover);
	spool_free(&R.e.spool);
	homes_fini(&R.e.homes);
	ephemerals_free(&R.e.ephemerals);
	clients_free(&R.e.clients);
	clients_free(&R.e.passed_clients);
	terms_drop(&R.e.terms);
	SSL_CTX_free(R.e.tunnel_tls);
	buf_wipe(&R.e.tunnel_pem);
	close(R.e.large_fd);
	free(R.conf);
	age_identity_fini(&R.age);
	loop_end();
	snprintf(rm, sizeof(rm), "rm -rf %s", R.dir);
	assert_int_equal(system(rm), 0);
}
