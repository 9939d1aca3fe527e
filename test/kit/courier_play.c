#include "kit/courier_play.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "home/post_in.h"
#include "kit/loop.h"
#include "proto/batch_smtp.h"

struct held ledger[OBJECTS_MAX];
size_t nledger;
struct courier C;
struct conf_home conf;
char alarm_text[BOARD_TEXT];
struct scoreboard board;
char dir[64];
unsigned got[OBJECTS_MAX][ENTRIES_MAX];
char last_text[1 << 20];
bool ledger_fails, deferred_due, unpaired;
enum hit how;
unsigned calls, hit_at;

static struct age_identity key, other_key;
static bool dead;

/* --- the ledger --------------------------------------------------------------------------- */

struct question {			/* asked, and answered from the loop */
	struct question	*next;
	unsigned	 max;
	ledger_job_fn	*job;
	struct ledger_entry *entries;
	size_t		 n;
	spool_done_fn	*done;
	void		*arg;
};

static struct question *asked, **asked_end = &asked;

static bool
hit(void)
{
	return ++calls == hit_at;
}

static void *
kit_calloc(size_t n, size_t size)
{
	void *p;

	kit_busy++;
	p = calloc(n, size);
	kit_busy--;
	assert_non_null(p);
	return p;
}

void
ledger_claim(struct spool *s, unsigned max, ledger_job_fn *job, void *arg)
{
	struct question *q = kit_calloc(1, sizeof(*q));

	q->max = max;
	q->job = job;
	q->arg = arg;
	*asked_end = q;
	asked_end = &q->next;
}

void
spool_answer_question(struct spool *s, uint64_t question, struct span answer)
{
	fail_msg("nobody asked");
}

void
ledger_note(struct spool *s, const struct ledger_entry *e, size_t n, spool_done_fn *done, void *arg)
{
	struct question *q = kit_calloc(1, sizeof(*q));

	q->entries = kit_calloc(n, sizeof(*e));
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
		if (h->entries[i].state == LEDGER_QUEUED || h->entries[i].state == LEDGER_STAGED ||
		    h->entries[i].state == LEDGER_SENDING)
			return true;
	return false;
}

static bool
due(const struct held *h, bool deferred_too)
{
	for (size_t i = 0; deferred_too && i < h->n; i++)
		if (h->entries[i].state == LEDGER_DEFERRED ||
		    h->entries[i].state == LEDGER_UNCERTAIN)
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
	if (h->unreadable) {			/* as no directory is */
		close(job.content.fd);
		job.content.fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	q->job(q->arg, &job);
	if (job.content.fd != -1)
		close(job.content.fd);
}

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
		h->unsure += e->state == LEDGER_UNCERTAIN &&
		    h->entries[e->part].state == LEDGER_SENDING;
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

size_t
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
on_offers(void *arg, const struct smtp_ehlo *e)
{
}

void
birth(void)
{
	struct peer p = { .name = "mx1.example.org", .home = "alice", .ndomains = 2 };
	struct why why = { "" };

	dead = false;
	courier_init(&C, &loop, &conf, &board, alarm_text);
	if (conf.deliver.to == CONF_TO_MAILDIR)
		C.maildir = maildir_new(&faulty, dir, &why);
	else
		C.post = post_new(&C, on_offers, NULL, &why);
	C.roster = roster_new(&loop, on_roster, NULL);
	assert_non_null(C.roster);
	roster_configure(C.roster, &conf);
	if (conf.filter.rspamd[0] != '\0') {
		C.filter = filter_new(&C, &why);
		assert_non_null(C.filter);
	}
	C.ids[0] = key;
	C.nids = 1;
	span_copy(SPAN_LIT("example.org"), p.domains[0], sizeof(p.domains[0]));
	span_copy(SPAN_LIT("second.org"), p.domains[1], sizeof(p.domains[1]));
	if (!unpaired)
		courier_events.peer(&C, &p);
}

void
claim_lost(struct held *h)
{
	h->claimed = false;
	for (size_t i = 0; i < h->n; i++)
		if (h->entries[i].state == LEDGER_SENDING) {
			h->entries[i].state = LEDGER_UNCERTAIN;
			h->unsure++;
		}
}

/* The writer dies before the courier: what is being noted comes back to its owner. */
static void
writer_dies(void)
{
	courier_events.attached(&C, false);
	while (asked != NULL) {
		struct question *q = asked;

		asked = q->next;
		if (q->done != NULL)
			q->done(q->arg, false, NULL);
		question_free(q);
	}
	asked_end = &asked;
}

void
death(void)
{
	if (C.post != NULL)
		writer_dies();
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
	loop_turns(5);
	for (size_t i = 0; i < nledger; i++)
		claim_lost(&ledger[i]);
}

void
aborted(void)
{
	asked = NULL;
	asked_end = &asked;
	kit_busy = 0;
	loop_begin();
	for (size_t i = 0; i < nledger; i++)
		claim_lost(&ledger[i]);
}

void
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
		if (dead) {			/* not told: it ends with its owner */
			q->next = asked;
			asked = q;
		} else {
			question_free(q);
		}
	}
}

/* With a mail server: it has nothing in hand, or is dead. */
static bool
quiet(void)
{
	return dead || (asked == NULL && !C.claiming && C.post->nhand == 0);
}

void
work_begins(void)
{
	courier_events.attached(&C, true);
	courier_events.peers_known(&C);
	answer_all();
}

bool
idle(void)
{
	answer_all();
	return !courier_busy(&C);
}

void
live(void)
{
	birth();
	if (C.maildir != NULL || C.post != NULL)
		work_begins();
	if (C.post != NULL)
		RUN_UNTIL((answer_all(), quiet()));
	else if (C.filter != NULL)
		RUN_UNTIL(idle());
	dead = true;			/* what is left of it at the end reaches no disk */
	death();
	dead = false;
}

/* --- the mailboxes, and a reader who takes mail away -------------------------------------- */

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

void
read_mail(void)
{
	for (size_t i = 0; i < conf.nusers; i++)
		read_box(conf.users[i]);
	read_box("inbox");
}

void
clean(void)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s/*", dir);
	assert_int_equal(system(cmd), 0);
	memset(got, 0, sizeof(got));
	forget_all();
}

int
courier_setup(void **state)
{
	static const char *const users[] = { "alice", "bob", "carol" };
	unsigned char bytes[32] = { 7 }, other[32] = { 8 };

	snprintf(dir, sizeof(dir), "/tmp/courier_test.XXXXXX");
	assert_non_null(mkdtemp(dir));
	loop_begin();
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
	deferred_due = ledger_fails = unpaired = false;
	return 0;
}

int
courier_teardown(void **state)
{
	clean();
	assert_int_equal(rmdir(dir), 0);
	loop_end();
	age_identity_fini(&key);
	age_identity_fini(&other_key);
	return 0;
}
