/*
 * What an operator, an upgrade or a disk may leave in the state directory: it is mended, set aside
 * whole, or refused in words.
 */
#include "store_stage.h"

#include <errno.h>
#include <sqlite3.h>

static void
write_file(const char *dir, const char *name, const void *p, size_t n)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_non_null(f = fopen(path, "wb"));
	assert_int_equal(fwrite(p, 1, n, f), n);
	fclose(f);
}

static void
a_damaged_database_is_set_aside_whole(void **state)
{
	struct stage g = { .role = CONF_EDGE };
	struct why why = { "" };
	char junk[8192];

	dir_make(g.dir);
	memset(junk, 'x', sizeof(junk));
	write_file(g.dir, "spool.db", junk, sizeof(junk));
	g.db = db_open(&sys_real, g.dir, g.role, NULL, &why);
	if (g.db == NULL)
		fail_msg("%s", why.text);
	assert_non_null(strstr(db_lost(g.db), "aside/, with 0 large objects"));
	assert_int_equal(db_aside_count(g.db), 1);
	assert_true(stage_put(&g, 0, 100, false) && stage_commit(&g));
	db_close(&g.db);
	remove_tree(g.dir);
}

/* Root may write anywhere: then as nobody, whose the directory is. */
static void
a_directory_that_may_not_be_written_is_named(void **state)
{
	struct stage g = { .role = CONF_EDGE };
	struct why why = { "" };
	char cmd[300], want[300];
	uid_t user = geteuid() == 0 ? 65534 : geteuid();

	dir_make(g.dir);
	assert_non_null(g.db = db_open(&sys_real, g.dir, CONF_EDGE, NULL, &why));
	db_close(&g.db);
	snprintf(cmd, sizeof(cmd), "chown -R %u %s && chmod 500 %s", (unsigned)user, g.dir, g.dir);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(setresuid(-1, user, -1), 0);
	g.db = db_open(&sys_real, g.dir, CONF_EDGE, NULL, &why);
	assert_int_equal(setresuid(-1, getuid(), -1), 0);
	assert_null(g.db);
	assert_int_equal(strncmp(why.text, g.dir, strlen(g.dir)), 0);
	snprintf(want, sizeof(want), ": user %u may not make files in this directory, or not open "
	    "those there: chown -R it to that user, and chmod 700 it", (unsigned)user);
	assert_non_null(strstr(why.text, want));
	assert_int_equal(chmod(g.dir, 0700), 0);
	remove_tree(g.dir);
}

static void
what_is_not_ours_is_refused_or_set_aside(void **state)
{
	struct stage g = { .role = CONF_EDGE };
	struct why why = { "" };
	char path[200];
	sqlite3 *sq;

	dir_make(g.dir);
	assert_non_null(g.db = db_open(&sys_real, g.dir, CONF_EDGE, NULL, &why));
	assert_null(db_open(&sys_real, g.dir, CONF_EDGE, NULL, &why));	/* one owner */
	assert_non_null(strstr(why.text, "in use"));
	db_close(&g.db);
	assert_null(db_open(&sys_real, g.dir, CONF_HOME, NULL, &why));
	assert_non_null(strstr(why.text, "edge"));
	write_file(g.dir, "large/.profile", "hi", 2);
	/* young: somebody may be writing it */
	write_file(g.dir, "large/00000000000000000000000000000009", "hi", 2);
	assert_non_null(g.db = db_open(&sys_real, g.dir, CONF_EDGE, NULL, &why));
	assert_int_equal(db_aside_count(g.db), 1);
	assert_non_null(strstr(db_alarm(g.db), "foreign"));
	db_close(&g.db);
	snprintf(path, sizeof(path), "%s/large/00000000000000000000000000000009", g.dir);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[2]){ { 1000, 0 }, { 1000, 0 } },
	    0), 0);
	assert_non_null(g.db = db_open(&sys_real, g.dir, CONF_EDGE, NULL, &why));
	db_close(&g.db);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/spool.db", g.dir);
	assert_int_equal(sqlite3_open(path, &sq), SQLITE_OK);
	assert_int_equal(sqlite3_exec(sq, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(sq);
	assert_null(db_open(&sys_real, g.dir, CONF_EDGE, NULL, &why));
	assert_non_null(strstr(why.text, "newer"));
	remove_tree(g.dir);
}

/* What an earlier version kept is there after an upgrade, and what is new works. */
static void
an_earlier_schema_is_brought_up_to_date(void **state)
{
	static const enum conf_role roles[] = { CONF_EDGE, CONF_HOME };

	for (int i = 0; i < 2; i++) {
		struct stage g = { .role = roles[i] };
		struct why why = { "" };
		struct db_row r;
		char path[200];
		sqlite3 *sq;

		dir_make(g.dir);
		assert_non_null(g.db = db_open(&sys_real, g.dir, g.role, NULL, &why));
		assert_true(stage_put(&g, 4, 100, false) && stage_commit(&g));
		db_close(&g.db);
		snprintf(path, sizeof(path), "%s/spool.db", g.dir);
		assert_int_equal(sqlite3_open(path, &sq), SQLITE_OK);
		assert_int_equal(sqlite3_exec(sq, "DROP TABLE ban; DROP INDEX object_failed;"
		    "DROP TABLE story; DROP INDEX object_waits; DROP INDEX entry_parked;"
		    "ALTER TABLE done DROP COLUMN row; ALTER TABLE done DROP COLUMN received;"
		    "ALTER TABLE done DROP COLUMN gone; ALTER TABLE done DROP COLUMN size;"
		    "DROP TABLE run; ALTER TABLE mark DROP COLUMN run;"
		    "PRAGMA user_version = 1", NULL, NULL, NULL), SQLITE_OK);
		sqlite3_close(sq);
		for (int again = 0; again < 2; again++) {
			if ((g.db = db_open(&sys_real, g.dir, g.role, NULL, &why)) == NULL)
				fail_msg("%s", why.text);
			assert_int_equal(db_find(g.db, stage_meta(&g, 4).id, &r, &why), 1);
			db_close(&g.db);
		}
		assert_int_equal(sqlite3_open(path, &sq), SQLITE_OK);
		assert_int_equal(sqlite3_exec(sq, "SELECT num FROM ban; SELECT row FROM object"
		    " INDEXED BY object_failed WHERE tries > 0", NULL, NULL, NULL), SQLITE_OK);
		sqlite3_close(sq);
		remove_tree(g.dir);
	}
}

static void
a_damaged_large_file_is_reported(void **state)
{
	static const enum conf_role roles[] = { CONF_EDGE, CONF_HOME };

	for (int i = 0; i < 4; i++) {
		struct stage g = { .role = roles[i & 1] };
		struct why why = { "" };
		struct db_row r;
		char path[200];
		int rc;

		dir_make(g.dir);
		assert_non_null(g.db = db_open(&sys_real, g.dir, g.role, NULL, &why));
		assert_true(stage_put(&g, 3, 20000, true) && stage_put(&g, 4, 100, false));
		assert_true(stage_commit(&g));
		db_close(&g.db);
		snprintf(path, sizeof(path), "%s/large/%032x", g.dir, 4);
		assert_int_equal(i < 2 ? truncate(path, 19999) : unlink(path), 0);
		if ((g.db = db_open(&sys_real, g.dir, g.role, NULL, &why)) == NULL)
			fail_msg("%s", why.text);
		assert_non_null(strstr(db_alarm(g.db), "damaged"));
		rc = db_find(g.db, stage_meta(&g, 3).id, &r, &why);
		if (g.role == CONF_HOME) {
			assert_int_equal(rc, 1);
			assert_int_equal(r.state, LEDGER_PARKED);
			assert_int_equal(r.due_ms, -1);
		} else {
			assert_int_equal(rc, 0);
			assert_int_equal(db_aside_count(g.db), i < 2 ? 1 : 0);
		}
		assert_int_equal(db_find(g.db, stage_meta(&g, 4).id, &r, &why), 1);
		db_close(&g.db);
		remove_tree(g.dir);
	}
	fault_power_cut("/nonexistent");
}

static int read_errno;			/* what reading a large file fails with; 0: it does not */

static int
stat_fails(int fd, const char *name, struct stat *st, int flags)
{
	if (read_errno == 0 || strlen(name) != DB_FILE_LEN)
		return sys_real.fstatat(fd, name, st, flags);
	errno = read_errno;
	return -1;
}

static int
open_fails(int fd, const char *name, int flags, mode_t mode)
{
	if (read_errno == 0 || strlen(name) != DB_FILE_LEN)
		return sys_real.openat(fd, name, flags, mode);
	errno = read_errno;
	return -1;
}

static bool
nobody_has_it(void *arg, int64_t row)
{
	return false;
}

static int
due_rows(struct db *db, int64_t now)
{
	struct db_claim c[4];
	struct why why = { "" };

	return db_due(db, now, 4, 4, nobody_has_it, NULL, c, &why);
}

/* The disk, memory or descriptors have a bad moment: nothing is known of the object. */
static void
a_large_file_that_cannot_be_read_now_is_no_damaged_one(void **state)
{
	static const int errors[] = { EIO, ENOMEM, EMFILE, ENFILE, EACCES };

	for (size_t i = 0; i < 4 * sizeof(errors) / sizeof(errors[0]); i++) {
		struct stage g = { .role = i & 1 ? CONF_HOME : CONF_EDGE };
		struct sys sys = sys_real;
		struct db_content c;
		struct why why = { "" };
		int64_t row, now = 1000;
		struct db_row r;

		if (i & 2)
			sys.fstatat = stat_fails;
		else
			sys.openat = open_fails;
		dir_make(g.dir);
		assert_non_null(g.db = db_open(&sys_real, g.dir, g.role, NULL, &why));
		assert_true(stage_put(&g, 3, 20000, true) && stage_commit(&g));
		row = g.x[3].row;
		db_close(&g.db);
		read_errno = errors[i / 4];
		if ((g.db = db_open(&sys, g.dir, g.role, NULL, &why)) == NULL)
			fail_msg("%s", why.text);
		assert_int_equal(db_content(g.db, row, &c, &why), -1);
		assert_non_null(strstr(why.text, strerror(read_errno)));
		assert_false(db_changed(g.db));
		assert_string_equal(db_alarm(g.db), "");
		assert_int_equal(db_aside_count(g.db), 0);
		for (int64_t pause = 5000; g.role == CONF_HOME && pause <= 1280000; pause *= 2) {
			int64_t wait = pause < 900000 ? pause : 900000;

			assert_int_equal(due_rows(g.db, now), 1);
			assert_int_equal(db_put_off(g.db, row, now, why.text, &why), 0);
			assert_true(stage_commit(&g));
			assert_int_equal(due_rows(g.db, now + wait - 1), 0);
			now += wait;
		}
		read_errno = 0;
		assert_int_equal(db_row_get(g.db, row, &r, &why), 1);
		assert_int_equal(r.state, LEDGER_QUEUED);
		assert_true(stage_whole(g.db, row, 3, 20000));
		db_close(&g.db);
		remove_tree(g.dir);
	}
	fault_power_cut("/nonexistent");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_damaged_database_is_set_aside_whole),
		cmocka_unit_test(a_directory_that_may_not_be_written_is_named),
		cmocka_unit_test(what_is_not_ours_is_refused_or_set_aside),
		cmocka_unit_test(an_earlier_schema_is_brought_up_to_date),
		cmocka_unit_test(a_damaged_large_file_is_reported),
		cmocka_unit_test(a_large_file_that_cannot_be_read_now_is_no_damaged_one),
	};

	log_init("test.store", LOG_ERROR + 1);
	if (fault_vfs_register() != SQLITE_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
