/* What a home keeps, and for how long: parked mail, keys of what is settled, open refusals. */
#include "kit/store_play.h"

#define HOUR	(3600 * 1000LL)
#define DAY	(24 * HOUR)
#define KEEP	(30 * DAY)
#define REMEMBER (60 * DAY)
#define YEARS	(3650 * DAY)

struct keep {
	char	 dir[64];
	struct play home;		/* for a_meta alone */
	struct db *db;
};

static void
limits(struct keep *k, uint64_t keys)
{
	db_set_limits(k->db, &(struct db_limits){ .quota = 1 << 30, .remember_ms = REMEMBER,
	    .parked_keep_ms = KEEP, .keys = keys });
}

static int
set_up(void **state)
{
	struct keep *k = calloc(1, sizeof(*k));
	struct why why = { "" };

	assert_non_null(k);
	k->home.conf.role = CONF_HOME;
	dir_make(k->dir);
	if ((k->db = db_open(&sys_real, k->dir, CONF_HOME, NULL, &why)) == NULL)
		fail_msg("%s", why.text);
	limits(k, 1000);
	*state = k;
	return 0;
}

static int
tear_down(void **state)
{
	struct keep *k = *state;

	db_close(&k->db);
	remove_tree(k->dir);
	free(k);
	return 0;
}

static void
commit(struct keep *k)
{
	struct why why = { "" };

	if (db_commit(k->db, &why) == -1)
		fail_msg("%s", why.text);
}

/* waits: with `Prefer: wait`. */
static enum kept
put(struct keep *k, unsigned n, bool waits, int64_t *row)
{
	static const unsigned char mac[OBJECT_MAC_LEN];
	struct db_body body = { .data = span_of("sealed", 6), .size = 6 };
	struct spool_meta m = a_meta(&k->home, n);
	struct why why = { "" };
	enum kept kept;
	bool changed;

	m.verdict = waits;
	m.received_ms = wall_ms();
	kept = db_put(k->db, &m, mac, &body, UINT64_MAX, row, &changed, &why);
	assert_string_equal(why.text, "");
	commit(k);
	return kept;
}

static void
note(struct keep *k, int64_t row, unsigned part, enum ledger_state state, enum park_class park)
{
	struct ledger_entry e = { .row = row, .part = part, .state = state, .park = park,
		.reply = smtp_reply(550, 5, 2, 1, "no") };
	struct db_noted noted;
	struct why why = { "" };

	assert_int_equal(db_note(k->db, &e, 1, wall_ms(), &noted, &why), 0);
	commit(k);
}

/* All that is due so much later. */
static void
expire(struct keep *k, int64_t later)
{
	struct why why = { "" };
	int rc;

	do {
		rc = db_expire(k->db, wall_ms() + later, &why);
		assert_int_not_equal(rc, -1);
		commit(k);
	} while (rc == 1);
}

static bool
there(struct keep *k, int64_t row)
{
	struct db_row r;
	int rc = db_row_get(k->db, row, &r, NULL);

	assert_int_not_equal(rc, -1);
	return rc == 1;
}

static void
only_what_policy_refused_goes_when_it_is_old(void **state)
{
	struct keep *k = *state;
	int64_t row[PARK_OPERATOR + 1], mixed;

	for (unsigned c = PARK_POLICY; c <= PARK_OPERATOR; c++) {
		assert_int_equal(put(k, c, false, &row[c]), KEPT);
		note(k, row[c], 0, LEDGER_PARKED, c);
	}
	assert_int_equal(put(k, 99, false, &mixed), KEPT);
	note(k, mixed, 1, LEDGER_PARKED, PARK_REFUSED);
	note(k, mixed, 0, LEDGER_PARKED, PARK_POLICY);
	expire(k, KEEP - HOUR);
	assert_true(there(k, row[PARK_POLICY]));
	expire(k, KEEP + HOUR);
	assert_false(there(k, row[PARK_POLICY]));
	assert_int_equal(put(k, PARK_POLICY, false, &row[PARK_POLICY]), KEPT_BEFORE);
	expire(k, YEARS);
	for (unsigned c = PARK_REFUSED; c <= PARK_OPERATOR; c++)
		assert_true(there(k, row[c]));
	assert_true(there(k, mixed));
}

static void
a_delivered_key_is_remembered_for_its_time(void **state)
{
	struct keep *k = *state;
	int64_t row;

	assert_int_equal(put(k, 1, false, &row), KEPT);
	note(k, row, 0, LEDGER_DELIVERED, PARK_NONE);
	expire(k, REMEMBER - HOUR);
	assert_int_equal(put(k, 1, false, &row), KEPT_BEFORE);
	expire(k, REMEMBER + 2 * DAY);
	assert_int_equal(put(k, 1, false, &row), KEPT);
}

static void
no_more_keys_are_remembered_than_there_is_room_for(void **state)
{
	struct keep *k = *state;
	int64_t row;

	for (unsigned n = 0; n < 6; n++) {
		assert_int_equal(put(k, n, false, &row), KEPT);
		note(k, row, 0, LEDGER_DELIVERED, PARK_NONE);
	}
	limits(k, 6);
	expire(k, 0);
	assert_int_equal(put(k, 0, false, &row), KEPT_BEFORE);
	limits(k, 5);
	expire(k, 0);
	assert_int_equal(put(k, 0, false, &row), KEPT);
}

static void
a_refusal_is_provisional_while_it_is_waited_for_and_an_hour_more(void **state)
{
	struct keep *k = *state;
	struct db_row r;
	int64_t row, again;

	assert_int_equal(put(k, 1, true, &row), KEPT);
	note(k, row, 0, LEDGER_REFUSED, PARK_NONE);
	/* An edge whose tunnel broke asks again: nobody was told anything yet. */
	assert_int_equal(put(k, 1, true, &again), KEPT_BEFORE);
	assert_int_equal(again, row);
	expire(k, HOUR - 60 * 1000);
	assert_int_equal(db_row_get(k->db, row, &r, NULL), 1);
	assert_int_equal(r.state, LEDGER_REFUSED);
	expire(k, HOUR + 60 * 1000);
	assert_int_equal(db_row_get(k->db, row, &r, NULL), 1);
	assert_int_equal(r.state, LEDGER_PARKED);
}

static void
what_cannot_be_read_is_tried_again_within_a_quarter_of_an_hour(void **state)
{
	struct keep *k = *state;
	struct why why = { "" };
	struct db_row r;
	int64_t row, now = wall_ms(), before = 0;

	assert_int_equal(put(k, 1, false, &row), KEPT);
	for (unsigned tries = 0; tries < 20; tries++) {
		assert_int_equal(db_put_off(k->db, row, now, "an input/output error", &why), 0);
		commit(k);
		assert_int_equal(db_row_get(k->db, row, &r, NULL), 1);
		assert_true(r.due_ms - now >= before && r.due_ms - now >= 5000);
		assert_true(r.due_ms - now <= 15 * 60 * 1000);
		before = r.due_ms - now;
	}
	assert_int_equal(before, 15 * 60 * 1000);
}

#define KEEPS(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		KEEPS(only_what_policy_refused_goes_when_it_is_old),
		KEEPS(a_delivered_key_is_remembered_for_its_time),
		KEEPS(no_more_keys_are_remembered_than_there_is_room_for),
		KEEPS(a_refusal_is_provisional_while_it_is_waited_for_and_an_hour_more),
		KEEPS(what_cannot_be_read_is_tried_again_within_a_quarter_of_an_hour),
	};

	log_init("test.store", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
