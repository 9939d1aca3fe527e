/* Messages out of one Maildir into another: once, as they were, and nobody else's. */
#include "store/refile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD	"Return-Path: <a@client.test>\nDelivered-To: bob@example.org\n" \
		"X-Posthouse-Id: 0198f3a1-7c2d-7e4b-9a51-3f0c2b8d6e17\n"

static char folder[] = "/tmp/posthouse-refile-XXXXXX";
static int root = -1;

static void
put(const char *path, const char *text)
{
	int fd = openat(root, path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static bool
has(const char *path, const char *text)
{
	char got[400] = "";
	int fd = openat(root, path, O_RDONLY);

	if (fd == -1)
		return false;
	if (read(fd, got, sizeof(got) - 1) == -1)
		fail();
	close(fd);
	return strcmp(got, text) == 0;
}

static int
set_up(void **state)
{
	struct why why;

	(void)state;
	memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
	if (mkdtemp(folder) == NULL || (root = refile_open(folder, &why)) == -1)
		return -1;
	return mkdirat(root, "inbox", 0700) | mkdirat(root, "inbox/new", 0700) |
	    mkdirat(root, "inbox/cur", 0700) | mkdirat(root, "inbox/tmp", 0700);
}

static int
tear_down(void **state)
{
	char command[sizeof(folder) + 16];

	(void)state;
	close(root);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

/* --- looking ------------------------------------------------------------------------------ */

struct notes {
	struct buf	 seen;
	bool		 one;		/* and no more */
};

static int
note(void *arg, const char *name, bool fresh, const struct delivered *d, struct why *why)
{
	struct notes *n = arg;

	buf_addf(&n->seen, "%s %s %s %.8s\n", fresh ? "new" : "cur", name, d->recipient,
	    uuid_text(d->id).s);
	return n->one ? why_set(why, "enough") : 0;
}

static bool
scanned(struct notes *n, const char *text)
{
	bool same = span_eq(buf_span(&n->seen), span_str(text));

	buf_fini(&n->seen);
	return same;
}

static void
only_what_home_delivered_is_found(void **state)
{
	struct notes notes = { .one = false };
	struct why why;

	(void)state;
	put("inbox/new/1.a.h", HEAD "\nhello\n");
	put("inbox/cur/2.b.h:2,S", HEAD "Received: x\n\nhello\n");
	put("inbox/cur/no-id", "Return-Path: <a@b>\nDelivered-To: bob@example.org\n\n"
	    "X-Posthouse-Id: 0198f3a1-7c2d-7e4b-9a51-3f0c2b8d6e17\n");
	put("inbox/cur/forged", "Received: by somebody else\n" HEAD "\n");
	put("inbox/cur/empty", "");
	put("inbox/cur/.hidden", HEAD);
	put("inbox/tmp/half", HEAD);
	put("elsewhere", HEAD);
	assert_int_equal(symlinkat("../../elsewhere", root, "inbox/cur/link"), 0);
	assert_int_equal(mkfifoat(root, "inbox/cur/fifo", 0600), 0);
	assert_int_equal(mkdirat(root, "inbox/cur/directory", 0700), 0);
	buf_init(&notes.seen, 400);
	assert_int_equal(refile_scan(root, "inbox", note, &notes, &why), 0);
	assert_true(scanned(&notes, "new 1.a.h bob@example.org 0198f3a1\n"
	    "cur 2.b.h:2,S bob@example.org 0198f3a1\n"));
	buf_init(&notes.seen, 400);
	notes.one = true;
	assert_int_equal(refile_scan(root, "inbox", note, &notes, &why), -1);
	assert_true(scanned(&notes, "new 1.a.h bob@example.org 0198f3a1\n"));
	assert_non_null(strstr(why.text, "enough"));
}

static void
a_mailbox_that_is_not_there_or_a_link_is_said(void **state)
{
	struct notes notes = { .one = false };
	struct refile r;
	struct why why;

	(void)state;
	assert_int_equal(refile_scan(root, "nobody", note, &notes, &why), 1);
	assert_int_equal(symlinkat("inbox", root, "bob"), 0);
	assert_int_equal(refile_scan(root, "bob", note, &notes, &why), -1);
	assert_int_equal(refile_begin(&r, root, "inbox", "bob", &why), -1);
	assert_int_equal(refile_begin(&r, root, "nobody", "inbox", &why), -1);
}

/* --- moving ------------------------------------------------------------------------------- */

static void
a_message_keeps_its_place_and_its_flags(void **state)
{
	struct refile r;
	struct why why;

	(void)state;
	put("inbox/new/1.a.h", "unread");
	put("inbox/cur/2.b.h:2,FSab", "read");
	put("inbox/cur/3.c.h", "without flags");
	assert_int_equal(refile_begin(&r, root, "inbox", "bob", &why), 0);
	assert_int_equal(refile_move(&r, "1.a.h", true, &why), REFILE_MOVED);
	assert_int_equal(refile_move(&r, "2.b.h:2,FSab", false, &why), REFILE_MOVED);
	assert_int_equal(refile_move(&r, "3.c.h", false, &why), REFILE_MOVED);
	assert_int_equal(refile_end(&r, &why), 0);
	assert_true(has("bob/new/1.a.h", "unread"));
	assert_true(has("bob/cur/2.b.h:2,FS", "read"));
	assert_true(has("bob/cur/3.c.h", "without flags"));
	assert_int_equal(faccessat(root, "bob/tmp", F_OK, 0), 0);
	assert_int_equal(unlinkat(root, "inbox/new", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(root, "inbox/cur", AT_REMOVEDIR), 0);
}

static void
nothing_is_written_over_and_what_is_gone_is_gone(void **state)
{
	struct refile r;
	struct why why;

	(void)state;
	assert_int_equal(refile_begin(&r, root, "inbox", "bob", &why), 0);
	put("inbox/new/1.a.h", "this");
	put("bob/new/1.a.h", "that");
	assert_int_equal(refile_move(&r, "1.a.h", true, &why), REFILE_THERE);
	assert_int_equal(refile_move(&r, "2.b.h", true, &why), REFILE_GONE);
	assert_int_equal(refile_end(&r, &why), 0);
	assert_true(has("inbox/new/1.a.h", "this"));
	assert_true(has("bob/new/1.a.h", "that"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_what_home_delivered_is_found, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(a_mailbox_that_is_not_there_or_a_link_is_said,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_message_keeps_its_place_and_its_flags, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(nothing_is_written_over_and_what_is_gone_is_gone,
		    set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
