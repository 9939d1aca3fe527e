#include "home/courier.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "proto/batch_smtp.h"

/*
 * The courier over a real Maildir and a ledger in memory that outlives it.  It is
 * killed at every system call and at every note, before and after the ledger took
 * it, and every call is failed once; whatever happens, in the end each message
 * lies in each of its mailboxes exactly once, though a reader takes mail away
 * all the time.
 */

/* --- the ledger --------------------------------------------------------------------------- */

#define OBJECTS_MAX	64
#define ENTRIES_MAX	40

struct held {
	struct spool_object object;
	struct buf	 sealed;
	bool		 by_fd;
	bool		 gone;			/* its octets are damaged */
	struct ledger_entry entries[ENTRIES_MAX];
	size_t		 n;
	bool		 claimed;
};

struct question {			/* asked, and answered from the loop */
	struct question	*next;
	unsigned	 max;
	ledger_job_fn	*job;
	struct ledger_entry *entries;
	size_t		 n;
	spool_done_fn	*done;
	void		*arg;
};

static struct held ledger[OBJECTS_MAX];
static size_t nledger;
static struct question *asked, **asked_end = &asked;

static uv_loop_t loop;
static struct courier C;
static struct conf_home conf;
static char alarm_text[BOARD_TEXT];
static char dir[64];
static struct age_identity key, other_key;

/* Where this run is hit: at which call, and how. */
enum hit {
	HIT_NOTHING = 0,
	HIT_KILL,			/* the process ends: nothing it does from here on happens */
	HIT_FAIL,			/* the call fails, the process goes on */
	HIT_KILL_AFTER,			/* the call happens, then the process ends */
};
static enum hit how;
static unsigned calls, hit_at;
static bool dead, ledger_fails;

static bool
hit(void)
{
	return ++calls == hit_at;
}

void
ledger_claim(struct spool *s, unsigned max, ledger_job_fn *job, void *arg)
{
	struct question *q = calloc(1, sizeof(*q));

	q->max = max;
	q->job = job;
	q->arg = arg;
	*asked_end = q;
	asked_end = &q->next;
}

void
ledger_note(struct spool *s, const struct ledger_entry *e, size_t n, spool_done_fn *done, void *arg)
{
	struct question *q = calloc(1, sizeof(*q));

	q->entries = calloc(n, sizeof(*e));
	memcpy(q->entries, e, n * sizeof(*e));
	q->n = n;
	q->done = done;
	q->arg = arg;
	*asked_end = q;
	asked_end = &q->next;
}

static bool
active(const struct held *h)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->entries[i].state == LEDGER_QUEUED || h->entries[i].state == LEDGER_STAGED)
			return true;
	return false;
}

static bool
due(const struct held *h, bool deferred_too)
{
	for (size_t i = 0; deferred_too && i < h->n; i++)
		if (h->entries[i].state == LEDGER_DEFERRED)
			return true;
	return h->n == 0 || active(h);
}

static void
give(struct held *h, struct question *q)
{
	struct ledger_job job = { .object = h->object, .entries = h->entries, .nentries = h->n,
		.content = { .ok = !h->gone, .fd = -1, .data = buf_span(&h->sealed) } };

	h->claimed = true;
	if (h->by_fd) {
		job.content.fd = memfd_create("large", MFD_CLOEXEC);
		job.content.data = span_of(NULL, 0);
		assert_int_equal(
		    write(job.content.fd, h->sealed.p, h->sealed.n), (ssize_t)h->sealed.n);
	}
	q->job(q->arg, &job);
	if (job.content.fd != -1)
		close(job.content.fd);
}

static bool deferred_due;

static void
answer_claim(struct question *q)
{
	unsigned given = 0;

	for (size_t i = 0; i < nledger && given < q->max; i++)
		if (!ledger[i].claimed && due(&ledger[i], deferred_due)) {
			give(&ledger[i], q);
			given++;
		}
	q->job(q->arg, NULL);
}

static void
take_note(const struct question *q)
{
	struct held *h = &ledger[q->entries[0].row - 1];
	bool end = true;

	for (size_t i = 0; i < q->n; i++) {
		const struct ledger_entry *e = &q->entries[i];

		assert_int_equal(e->row, h->object.row);
		assert_true(e->part < ENTRIES_MAX);
		if (e->part >= h->n) {
			assert_int_equal(e->part, h->n);
			h->n++;
		}
		/* What was delivered once is delivered for good. */
		if (h->entries[e->part].state == LEDGER_DELIVERED)
			assert_int_equal(e->state, LEDGER_DELIVERED);
		h->entries[e->part] = *e;
	}
	end = !active(h);
	if (end) {
		h->claimed = false;
		h->object.tries++;
	}
}

static void
answer_note(struct question *q)
{
	struct why why = { "the ledger's disk is full" };
	bool mine = hit();

	if (mine && how == HIT_KILL) {
		dead = true;
		return;
	}
	if (ledger_fails || (mine && how == HIT_FAIL)) {
		q->done(q->arg, false, &why);
		return;
	}
	take_note(q);
	if (mine && how == HIT_KILL_AFTER)
		dead = true;
	else
		q->done(q->arg, true, NULL);
}

static void
question_free(struct question *q)
{
	free(q->entries);
	free(q);
}

/* --- the disk ----------------------------------------------------------------------------- */

/* Whether this call is not to happen. */
static bool
denied(void)
{
	if (!dead && hit()) {
		if (how == HIT_KILL)
			dead = true;
		if (how == HIT_KILL || how == HIT_FAIL) {
			errno = EIO;
			return true;
		}
	}
	if (dead)
		errno = EIO;
	return dead;
}

static int
f_openat(int d, const char *path, int flags, mode_t mode)
{
	return denied() ? -1 : sys_real.openat(d, path, flags, mode);
}

static int
f_close(int fd)
{
	bool no = denied();

	return sys_real.close(fd) == -1 || no ? -1 : 0;
}

static ssize_t
f_write(int fd, const void *p, size_t n)
{
	return denied() ? -1 : sys_real.write(fd, p, n);
}

static int
f_fsync(int fd)
{
	return denied() ? -1 : sys_real.fsync(fd);
}

static int
f_syncfs(int fd)
{
	return denied() ? -1 : 0;
}

static int
f_renameat(int a, const char *from, int b, const char *to)
{
	return denied() ? -1 : sys_real.renameat(a, from, b, to);
}

static int
f_unlinkat(int d, const char *path, int flags)
{
	return denied() ? -1 : sys_real.unlinkat(d, path, flags);
}

static int
f_mkdirat(int d, const char *path, mode_t mode)
{
	return denied() ? -1 : sys_real.mkdirat(d, path, mode);
}

static int
f_fstatat(int d, const char *path, struct stat *st, int flags)
{
	return denied() ? -1 : sys_real.fstatat(d, path, st, flags);
}

static ssize_t
f_read(int fd, void *p, size_t n)
{
	return denied() ? -1 : sys_real.read(fd, p, n);
}

static const struct sys faulty = {
	.openat = f_openat, .close = f_close, .write = f_write, .read = f_read, .fsync = f_fsync,
	.syncfs = f_syncfs, .renameat = f_renameat, .unlinkat = f_unlinkat, .mkdirat = f_mkdirat,
	.fstatat = f_fstatat,
};

/* --- objects ------------------------------------------------------------------------------ */

static struct uuid
nth_id(size_t n)
{
	unsigned char rnd[10] = { (unsigned char)n, (unsigned char)(n >> 8), 1 };

	return uuid_v7(1763698920000 + (int64_t)n, rnd);
}

enum flaw {
	FLAWLESS = 0,
	FLAW_TRUNCATED,
	FLAW_OTHER_ID,
	FLAW_OTHER_EDGE,
	FLAW_OTHER_KEY,
	FLAW_BIT,
	FLAW_GARBAGE,
	FLAW_GONE,
};

static void
transcript(struct buf *out, struct uuid id, const char *edge, const char *rcpts, const char *body,
    bool end)
{
	struct envelope *env = envelope_new();
	struct span left = span_str(rcpts);
	struct address a;

	env->id = id;
	span_copy(span_str(edge), env->edge, sizeof(env->edge));
	span_copy(SPAN_LIT("client.example"), env->helo, sizeof(env->helo));
	env->esmtp = true;
	assert_true(netaddr_parse(SPAN_LIT("192.0.2.1:4711"), &env->client));
	assert_true(netaddr_parse(SPAN_LIT("192.0.2.9:25"), &env->dest));
	assert_true(
	    address_parse_path(SPAN_LIT("<sender@example.net>"), ADDRESS_REVERSE, false, &a) > 0);
	assert_true(envelope_set_from(env, &a, SPAN_LIT("")));
	while (left.n > 0) {
		const char *sp = memchr(left.p, ' ', left.n);
		size_t n = sp != NULL ? (size_t)(sp - left.p) : left.n;

		assert_true(address_parse_path(span_of(left.p, n), ADDRESS_FORWARD, false, &a) > 0);
		assert_true(envelope_add_rcpt(env, &a, SPAN_LIT("")));
		left = span_from(left, sp != NULL ? n + 1 : n);
	}
	assert_true(batch_head(env, out));
	assert_true(batch_chunk(strlen(body), out) && buf_add_str(out, body));
	if (end)
		assert_true(batch_end(out));
	envelope_free(&env);
}

static size_t
hold(const char *rcpts, const char *body, enum flaw flaw, bool by_fd)
{
	struct held *h = &ledger[nledger];
	struct age_recipient to;
	unsigned char rnd[AGE_SEAL_RND(1)];
	struct uuid id = nth_id(nledger);
	struct age_seal *seal;
	struct buf plain;

	assert_true(nledger < OBJECTS_MAX);
	*h = (struct held){ .by_fd = by_fd, .gone = flaw == FLAW_GONE };
	h->object = (struct spool_object){ .row = (int64_t)++nledger,
		.meta = { .id = id, .origin = ORIGIN_TUNNEL, .received_ms = wall_ms() } };
	span_copy(
	    SPAN_LIT("mx1.example.org"), h->object.meta.signer, sizeof(h->object.meta.signer));
	buf_init(&plain, 1 << 22);
	buf_init(&h->sealed, 1 << 22);
	transcript(&plain, flaw == FLAW_OTHER_ID ? nth_id(999) : id,
	    flaw == FLAW_OTHER_EDGE ? "mx2.example.org" : "mx1.example.org", rcpts, body,
	    flaw != FLAW_TRUNCATED);
	random_bytes(rnd, sizeof(rnd));
	memcpy(to.pub, flaw == FLAW_OTHER_KEY ? other_key.pub : key.pub, 32);
	seal = age_seal_new(&to, 1, rnd);
	assert_true(
	    age_seal_add(seal, plain.p, plain.n, &h->sealed) && age_seal_end(seal, &h->sealed));
	age_seal_free(&seal);
	buf_fini(&plain);
	if (flaw == FLAW_BIT)
		h->sealed.p[h->sealed.n - 40] ^= 1;
	if (flaw == FLAW_GARBAGE)
		memset(h->sealed.p, 'x', 20);
	h->object.size = h->sealed.n;
	return nledger - 1;
}

static void
forget_all(void)
{
	while (nledger > 0)
		buf_fini(&ledger[--nledger].sealed);
}

/* --- running ------------------------------------------------------------------------------ */

static void
on_roster(void *arg)
{
}

static void
birth(void)
{
	struct peer p = { .name = "mx1.example.org", .home = "alice", .ndomains = 1 };
	struct why why = { "" };

	dead = false;
	courier_init(&C, &loop, &conf, NULL, alarm_text);
	C.maildir = maildir_new(&faulty, dir, &why);
	C.roster = roster_new(&loop, on_roster, NULL);
	assert_non_null(C.roster);
	roster_configure(C.roster, &conf);
	C.ids[0] = key;
	C.nids = 1;
	span_copy(SPAN_LIT("example.org"), p.domains[0], sizeof(p.domains[0]));
	courier_events.peer(&C, &p);
}

static void
death(void)
{
	if (C.maildir != NULL)
		maildir_free(&C.maildir);
	roster_free(&C.roster);
	C.nids = 0;			/* the test's key lives on */
	courier_fini(&C);
	while (asked != NULL) {
		struct question *q = asked;

		asked = q->next;
		question_free(q);
	}
	asked_end = &asked;
	uv_run(&loop, UV_RUN_DEFAULT);
	for (size_t i = 0; i < nledger; i++)
		ledger[i].claimed = false;
}

/* Answers until nobody asks, or the process is killed. */
static void
answer_all(void)
{
	while (asked != NULL && !dead) {
		struct question *q = asked;

		asked = q->next;
		if (asked == NULL)
			asked_end = &asked;
		if (q->job != NULL)
			answer_claim(q);
		else
			answer_note(q);
		question_free(q);
	}
}

/* One life of the courier, up to where it has nothing to do. */
static void
live(void)
{
	birth();
	if (C.maildir != NULL) {
		courier_events.attached(&C, true);
		courier_events.peers_known(&C);
		answer_all();
	}
	dead = true;			/* what is left of it at the end reaches no disk */
	death();
	dead = false;
}

/* --- the mailboxes, and a reader who takes mail away -------------------------------------- */

static unsigned got[OBJECTS_MAX][ENTRIES_MAX];	/* by object and mailbox */
static char last_text[1 << 20];

static int
box_number(const char *box)
{
	for (size_t i = 0; i < conf.nusers; i++)
		if (strcmp(conf.users[i], box) == 0)
			return (int)i;
	return strcmp(box, "inbox") == 0 ? (int)conf.nusers : -1;
}

static void
read_box(const char *box)
{
	char path[200], file[600];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s/new", dir, box);
	if ((d = opendir(path)) == NULL)
		return;
	while ((e = readdir(d)) != NULL) {
		const char *id;
		FILE *f;
		size_t n;
		bool found = false;

		if (e->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
		f = fopen(file, "r");
		assert_non_null(f);
		n = fread(last_text, 1, sizeof(last_text) - 1, f);
		last_text[n] = '\0';
		fclose(f);
		id = strstr(last_text, "X-Posthouse-Id: ");
		assert_non_null(id);
		for (size_t i = 0; i < nledger; i++)
			if (strncmp(id + 16, uuid_text(ledger[i].object.meta.id).s, 36) == 0) {
				got[i][box_number(box)]++;
				found = true;
			}
		assert_true(found);
		assert_int_equal(unlink(file), 0);
	}
	closedir(d);
}

static void
read_mail(void)
{
	for (size_t i = 0; i < conf.nusers; i++)
		read_box(conf.users[i]);
	read_box("inbox");
}

static void
clean(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s/*", dir);
	assert_int_equal(system(cmd), 0);
	memset(got, 0, sizeof(got));
	forget_all();
}

static int
setup(void **state)
{
	static const char *const users[] = { "alice", "bob", "carol" };
	unsigned char bytes[32] = { 7 }, other[32] = { 8 };

	snprintf(dir, sizeof(dir), "/tmp/courier_test.XXXXXX");
	assert_non_null(mkdtemp(dir));
	uv_loop_init(&loop);
	memset(&conf, 0, sizeof(conf));
	for (size_t i = 0; i < 3; i++)
		span_copy(span_str(users[i]), conf.users[i], sizeof(conf.users[i]));
	conf.nusers = 3;
	conf.deliveries = 8;
	conf.retry_max_ms = 3600000;
	assert_true(age_identity_from_bytes(bytes, &key));
	assert_true(age_identity_from_bytes(other, &other_key));
	how = HIT_NOTHING;
	calls = hit_at = 0;
	deferred_due = ledger_fails = false;
	return 0;
}

static int
teardown(void **state)
{
	clean();
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(uv_loop_close(&loop), 0);
	age_identity_fini(&key);
	age_identity_fini(&other_key);
	return 0;
}

/* --- tests -------------------------------------------------------------------------------- */

#define BODY "Received: from client.example\r\nSubject: hello\r\n\r\n.dot\r\nlast\r\n"

static void
a_message_has_its_lines_on_top_and_lf(void **state)
{
	char want[400];

	hold("<Alice+x@Example.ORG>", BODY, FLAWLESS, false);
	live();
	read_mail();
	assert_int_equal(got[0][0], 1);
	assert_int_equal(ledger[0].entries[0].state, LEDGER_DELIVERED);
	snprintf(want, sizeof(want),
	    "Return-Path: <sender@example.net>\nDelivered-To: Alice+x@example.org\n"
	    "X-Posthouse-Id: %s\nReceived: from client.example\nSubject: hello\n\n.dot\nlast\n",
	    uuid_text(ledger[0].object.meta.id).s);
	assert_string_equal(last_text, want);
}

static void
recipients_of_one_mailbox_are_one_delivery(void **state)
{
	hold("<alice@example.org> <bob@example.org> <ALICE+x@example.org> <postmaster>", BODY,
	    FLAWLESS, false);
	live();
	read_mail();
	assert_int_equal(ledger[0].n, 2);
	assert_int_equal(got[0][0], 1);
	assert_int_equal(got[0][1], 1);
	assert_int_equal(got[0][2], 0);
}

/* What cannot be delivered, what becomes of it, and that the rest goes on. */
static const struct fate {
	const char	*name, *rcpts;
	enum flaw	 flaw;
	bool		 verdict;
	enum ledger_state state;
	enum park_class	park;
	const char	*words;
} fates[] = {
	{ "nobody", "<dave@example.org>", FLAWLESS, false, LEDGER_PARKED, PARK_POLICY,
	    "no such mailbox" },
	{ "nobody, and the sender waits", "<dave@example.org> <erin@example.org>", FLAWLESS, true,
	    LEDGER_REFUSED, PARK_NONE, "no such mailbox" },
	{ "nobody and somebody, and the sender waits: he will hear 250",
	    "<dave@example.org> <bob@example.org>", FLAWLESS, true, LEDGER_PARKED, PARK_POLICY,
	    "no such mailbox" },
	{ "a domain that this edge was not granted", "<alice@example.com>", FLAWLESS, false,
	    LEDGER_PARKED, PARK_FOREIGN_RECIPIENT, "no domain" },
	{ "the same while the sender waits: it is the edge that is wrong", "<alice@example.com>",
	    FLAWLESS, true, LEDGER_PARKED, PARK_FOREIGN_RECIPIENT, "no domain" },
	{ "truncated", "<alice@example.org>", FLAW_TRUNCATED, false, LEDGER_PARKED, PARK_MALFORMED,
	    "truncated" },
	{ "another id inside", "<alice@example.org>", FLAW_OTHER_ID, false, LEDGER_PARKED,
	    PARK_MALFORMED, "another id" },
	{ "another edge inside", "<alice@example.org>", FLAW_OTHER_EDGE, false, LEDGER_PARKED,
	    PARK_MALFORMED, "another edge" },
	{ "sealed to another", "<alice@example.org>", FLAW_OTHER_KEY, false, LEDGER_PARKED,
	    PARK_UNSEALABLE, "put the old one back" },
	{ "a bit is wrong", "<alice@example.org>", FLAW_BIT, false, LEDGER_PARKED, PARK_MALFORMED,
	    "" },
	{ "not sealed at all", "<alice@example.org>", FLAW_GARBAGE, false, LEDGER_PARKED,
	    PARK_MALFORMED, "" },
	{ "gone from the disk", "<alice@example.org>", FLAW_GONE, false, LEDGER_PARKED,
	    PARK_MALFORMED, "gone" },
};

static void
what_cannot_be_delivered_is_kept_and_named(void **state)
{
	const size_t n = sizeof(fates) / sizeof(fates[0]);

	for (size_t i = 0; i < n; i++)
		ledger[hold(fates[i].rcpts, BODY, fates[i].flaw, i % 2)].object.meta.verdict =
		    fates[i].verdict;
	hold("<carol@example.org>", BODY, FLAWLESS, false);
	live();
	read_mail();
	for (size_t i = 0; i < n; i++) {
		const struct ledger_entry *e = &ledger[i].entries[0];

		if (ledger[i].n == 0 || e->state != fates[i].state || e->park != fates[i].park ||
		    strstr(e->reply.text, fates[i].words) == NULL)
			fail_msg("%s: state %d, class %d: %s", fates[i].name, e->state, e->park,
			    e->reply.text);
		assert_int_equal(got[i][0], 0);
		assert_false(ledger[i].claimed);
	}
	assert_int_equal(got[2][1], 1);
	assert_int_equal(got[n][2], 1);
}

static void
more_mailboxes_than_files_at_once(void **state)
{
	char rcpts[2000] = "";

	conf.nusers = 37;
	for (unsigned i = 0; i < 37; i++) {
		size_t n = strlen(rcpts);

		snprintf(conf.users[i], sizeof(conf.users[i]), "user%u", i);
		snprintf(
		    rcpts + n, sizeof(rcpts) - n, "%s<user%u@example.org>", i > 0 ? " " : "", i);
	}
	hold(rcpts, BODY, FLAWLESS, true);
	live();
	read_mail();
	for (unsigned i = 0; i < 37; i++)
		assert_int_equal(got[0][i], 1);
}

static void
a_large_message_streams(void **state)
{
	static char body[900001], want[900001];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(body) - 1; i++) {
		body[i] = i % 70 == 68 ? '\r' : i % 70 == 69 ? '\n' : (char)('a' + i % 26);
		if (body[i] != '\r')
			want[n++] = body[i];
	}
	hold("<bob@example.org>", body, FLAWLESS, true);
	live();
	read_mail();
	assert_int_equal(got[0][1], 1);
	assert_true(strlen(last_text) > n);
	assert_string_equal(last_text + strlen(last_text) - n, want);
}

static void
a_ledger_that_cannot_write_is_asked_again(void **state)
{
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	birth();
	courier_events.attached(&C, true);
	courier_events.peers_known(&C);
	ledger_fails = true;
	answer_all();
	read_mail();
	assert_int_equal(got[0][0], 0);			/* not staged: not published */
	ledger_fails = false;
	assert_true(uv_is_active((uv_handle_t *)&C.retry));
	C.retry.timer_cb(&C.retry);
	answer_all();
	read_mail();
	assert_int_equal(got[0][0], 1);
	assert_int_equal(ledger[0].entries[0].state, LEDGER_DELIVERED);
	assert_false(courier_busy(&C));
	death();
}

static void
a_writer_that_dies_is_believed_when_it_is_back(void **state)
{
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	birth();
	courier_events.attached(&C, true);
	courier_events.peers_known(&C);
	ledger_fails = true;
	answer_all();
	courier_events.attached(&C, false);
	assert_false(courier_busy(&C));
	ledger_fails = false;
	ledger[0].claimed = false;
	courier_events.attached(&C, true);
	answer_all();
	read_mail();
	assert_int_equal(got[0][0], 1);
	death();
}

static void
one_broken_mailbox_stops_nobody_else(void **state)
{
	char path[128];
	FILE *f;

	/* A file where alice's folder ought to be. */
	snprintf(path, sizeof(path), "%s/alice", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	hold("<alice@example.org> <bob@example.org>", BODY, FLAWLESS, false);
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	for (size_t i = 0; i < 20; i++)
		hold("<carol@example.org>", BODY, FLAWLESS, false);
	birth();
	courier_events.attached(&C, true);
	courier_events.peers_known(&C);
	answer_all();
	read_mail();
	assert_int_equal(got[0][1], 1);
	for (size_t i = 2; i < 22; i++)
		assert_int_equal(got[i][2], 1);
	assert_int_equal(ledger[0].entries[0].state, LEDGER_DEFERRED);
	assert_int_equal(ledger[1].entries[0].state, LEDGER_DEFERRED);
	assert_true(ledger[1].entries[0].next_ms > wall_ms());
	assert_non_null(strstr(alarm_text, "alice"));
	assert_int_equal(unlink(path), 0);
	deferred_due = true;
	courier_events.work(&C);
	answer_all();
	read_mail();
	assert_int_equal(got[0][0], 1);
	assert_int_equal(got[0][1], 1);
	assert_int_equal(got[1][0], 1);
	assert_string_equal(alarm_text, "");
	death();
}

/* --- the sweep ---------------------------------------------------------------------------- */

static void
load(void)
{
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	hold("<alice@example.org> <bob@example.org> <alice+2@example.org>", BODY, FLAWLESS, false);
	hold("<dave@example.org> <carol@example.org>", BODY, FLAWLESS, true);
	hold("<alice@example.org>", BODY, FLAW_TRUNCATED, false);
	hold("<bob@example.org>", BODY, FLAWLESS, false);
	hold("<carol@example.org>", BODY, FLAWLESS, false);
}

static const unsigned expected[6][3] = { { 1 }, { 1, 1 }, { 0, 0, 1 }, { 0 }, { 0, 1 },
	{ 0, 0, 1 } };

/* One run that is hit at one call, then lives until all is done. Returns whether the hit came. */
static bool
run_hit(enum hit h, unsigned at)
{
	bool came;

	load();
	how = h;
	calls = 0;
	hit_at = at;
	deferred_due = false;
	live();
	read_mail();
	came = calls >= at;
	how = HIT_NOTHING;
	deferred_due = true;
	for (int again = 0; again < 2; again++) {
		live();
		read_mail();
	}
	for (size_t i = 0; i < 6; i++) {
		for (size_t b = 0; b < 3; b++)
			if (got[i][b] != expected[i][b])
				fail_msg("hit %d at call %u: object %zu is %u times in %s", h, at,
				    i, got[i][b], conf.users[b]);
		for (size_t e = 0; e < ledger[i].n; e++)
			if (ledger[i].entries[e].state != LEDGER_DELIVERED &&
			    ledger[i].entries[e].state != LEDGER_PARKED)
				fail_msg("hit %d at call %u: object %zu ends in state %d", h, at, i,
				    ledger[i].entries[e].state);
	}
	clean();
	return came;
}

static void
sweep(enum hit h)
{
	unsigned at = 1;

	while (run_hit(h, at))
		at++;
	assert_true(at > 40);		/* it did reach the calls */
}

static void
killed_at_every_step(void **state)
{
	sweep(HIT_KILL);
}

static void
killed_behind_every_note(void **state)
{
	sweep(HIT_KILL_AFTER);
}

static void
every_call_fails_once(void **state)
{
	sweep(HIT_FAIL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_message_has_its_lines_on_top_and_lf),
		TEST(recipients_of_one_mailbox_are_one_delivery),
		TEST(what_cannot_be_delivered_is_kept_and_named),
		TEST(more_mailboxes_than_files_at_once),
		TEST(a_large_message_streams),
		TEST(a_ledger_that_cannot_write_is_asked_again),
		TEST(a_writer_that_dies_is_believed_when_it_is_back),
		TEST(one_broken_mailbox_stops_nobody_else),
		TEST(killed_at_every_step),
		TEST(killed_behind_every_note),
		TEST(every_call_fails_once),
	};

	log_init("test", LOG_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
