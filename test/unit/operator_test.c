/* The operator's hand on what is held, over the questions of the control socket. */
#include "kit/store_play.h"

#include <jansson.h>

#include "store/control_answer.h"

static struct play P;
static struct spool *S;			/* the tunnel's, and the courier's */

static int
set_up(void **state)
{
	play_begin(&P, *state != NULL ? CONF_EDGE : CONF_HOME);
	S = play_client(&P);
	play_attach(&P, S);
	play_until(&P, &P.known, 1);
	return 0;
}

static int
set_up_edge(void **state)
{
	*state = &P;
	return set_up(state);
}

static int
tear_down(void **state)
{
	spool_free(&S);
	play_end(&P);
	return 0;
}

/* --- asking ------------------------------------------------------------------------------- */

static json_t *
ask(json_t *q)
{
	char *text = json_dumps(q, JSON_COMPACT);
	struct control_answer a;

	control_answer(P.writer, span_str(text), &a);
	free(text);
	json_decref(q);
	assert_non_null(a.line);
	return a.line;
}

static const char *
id_of(unsigned n)
{
	static char text[40];

	snprintf(text, sizeof(text), "%s", uuid_text(a_meta(&P, n).id).s);
	return text;
}

/* What is answered: "" for ok, else the error's words. */
static const char *
act(const char *what, const char *id, const char *to)
{
	static char said[600];
	json_t *q = json_pack("{s:s, s:s, s:s}", "do", "act", "act", what, "id", id), *a;

	if (to != NULL)
		json_object_set_new(q, "to", json_string(to));
	a = ask(q);
	snprintf(said, sizeof(said), "%s", json_is_true(json_object_get(a, "ok")) ? "" :
	    json_string_value(json_object_get(a, "error")));
	json_decref(a);
	return said;
}

static json_int_t
act_all(const char *what, json_t *q)
{
	json_int_t n;
	json_t *a;

	json_object_set_new(q, "do", json_string("act"));
	json_object_set_new(q, "act", json_string(what));
	json_object_set_new(q, "all", json_true());
	a = ask(q);
	assert_true(json_is_true(json_object_get(a, "ok")));
	n = json_integer_value(json_object_get(a, "changed"));
	json_decref(a);
	return n;
}

/* The states of what queue lists, by their first letters, as in "dp". */
static const char *
queue(json_t *q)
{
	static char letters[64];
	json_t *a, *o;
	size_t i;

	json_object_set_new(q, "do", json_string("queue"));
	a = ask(q);
	if (!json_is_true(json_object_get(a, "ok")))
		fail_msg("%s", json_string_value(json_object_get(a, "error")));
	json_array_foreach(json_object_get(a, "objects"), i, o)
		letters[i] = json_string_value(json_object_get(o, "state"))[0];
	letters[i] = '\0';
	json_decref(a);
	return letters;
}

/* The events of its story, as in "taken came home deferred". */
static const char *
story(unsigned n)
{
	static char words[400];
	json_t *a = ask(json_pack("{s:s, s:s}", "do", "log", "id", id_of(n))), *e;
	size_t i, k = 0;

	words[0] = '\0';
	json_array_foreach(json_object_get(a, "events"), i, e) {
		json_int_t times = json_integer_value(json_object_get(e, "times"));

		k += (size_t)snprintf(words + k, sizeof(words) - k, "%s%s", i > 0 ? ", " : "",
		    json_string_value(json_object_get(e, "event")));
		if (times > 1)
			k += (size_t)snprintf(words + k, sizeof(words) - k, " x%lld", times);
	}
	if (i == 0)
		snprintf(words, sizeof(words), "%s",
		    json_string_value(json_object_get(a, "error")));
	json_decref(a);
	return words;
}

/* --- what a courier does ------------------------------------------------------------------ */

static int64_t
put(unsigned n)
{
	struct spool_meta m = a_meta(&P, n);
	struct put_told told = { 0 };

	put_one(S, &m, n, 500, &told);
	play_until(&P, &told.told, 1);
	assert_int_equal(told.kept, 1);
	return told.row;
}

struct claimed {
	unsigned	ended, n;
	size_t		nentries;
	struct ledger_entry first;
};

static void
on_job(void *arg, struct ledger_job *job)
{
	struct claimed *c = arg;

	if (job == NULL) {
		c->ended++;
		return;
	}
	c->n++;
	c->nentries = job->nentries;
	if (job->nentries > 0)
		c->first = job->entries[0];
}

/* How many are due; they stay claimed. */
static unsigned
claim(struct claimed *c)
{
	*c = (struct claimed){ .n = 0 };
	ledger_claim(S, 100, on_job, c);
	play_until(&P, &c->ended, 1);
	return c->n;
}

static void
note(int64_t row, enum ledger_state state, enum park_class park, int64_t next, unsigned code)
{
	struct ledger_entry e = { .row = row, .state = state, .park = park, .next_ms = next,
	    .recipient = "Bob+lists@example.org", .mailbox = "bob" };
	struct done d = { 0 };

	if (code != 0)
		e.reply = smtp_reply(code, code / 100, 2, 0, "the words");
	if (park == PARK_UNSEALABLE)
		e.recipient[0] = e.mailbox[0] = '\0';
	ledger_note(S, &e, 1, on_done, &d);
	play_until(&P, &d.told, 1);
	assert_true(d.ok);
}

#define LATER	(wall_ms() + 3600 * 1000)

/* --- the tests ---------------------------------------------------------------------------- */

static void
retry_makes_what_waits_due_now(void **state)
{
	int64_t row = put(1);
	struct claimed c;

	assert_int_equal(claim(&c), 1);
	assert_non_null(strstr(act("retry", id_of(1), NULL), "being delivered just now"));
	note(row, LEDGER_DEFERRED, PARK_NONE, LATER, 450);
	assert_int_equal(claim(&c), 0);
	assert_string_equal(act("retry", id_of(1), NULL), "");
	assert_int_equal(claim(&c), 1);
	assert_int_equal(c.first.state, LEDGER_DEFERRED);
	note(row, LEDGER_UNCERTAIN, PARK_NONE, LATER, 0);
	assert_string_equal(act("retry", id_of(1), NULL), "");
	assert_int_equal(claim(&c), 1);
	assert_int_equal(c.first.state, LEDGER_UNCERTAIN);	/* it may have arrived */
	assert_non_null(strstr(act("retry", id_of(9), NULL), "no such object here"));
	assert_non_null(strstr(act("retry", "bob", NULL), "no id"));
}

static void
parked_mail_is_tried_anew_only_when_that_is_said(void **state)
{
	int64_t row = put(1);
	struct claimed c;

	claim(&c);
	note(row, LEDGER_PARKED, PARK_POLICY, 0, 550);
	assert_int_equal(act_all("retry", json_object()), 0);
	assert_string_equal(act("retry", id_of(1), NULL), "it is parked");
	assert_string_equal(act("retry-parked", id_of(1), NULL), "");
	assert_int_equal(claim(&c), 1);
	assert_int_equal(c.first.state, LEDGER_QUEUED);
	assert_string_equal(c.first.mailbox, "");		/* routed anew */
	assert_string_equal(c.first.recipient, "Bob+lists@example.org");
}

/* It has no recipients in the ledger: the key that opens it may be back. */
static void
what_no_key_opened_is_read_anew(void **state)
{
	int64_t row = put(1);
	struct claimed c;

	claim(&c);
	note(row, LEDGER_PARKED, PARK_UNSEALABLE, 0, 554);
	assert_string_equal(act("retry-parked", id_of(1), NULL), "");
	assert_int_equal(claim(&c), 1);
	assert_int_equal(c.nentries, 0);
}

static void
park_and_unpark(void **state)
{
	int64_t row = put(1);
	struct claimed c;

	assert_string_equal(act("park", id_of(1), NULL), "");	/* nobody has opened it yet */
	assert_int_equal(claim(&c), 0);
	assert_string_equal(act("park", id_of(1), NULL), "it is parked already");
	assert_string_equal(act("retry-parked", id_of(1), NULL), "");
	assert_int_equal(claim(&c), 1);
	assert_int_equal(c.nentries, 0);
	note(row, LEDGER_DEFERRED, PARK_NONE, LATER, 450);
	assert_string_equal(act("unpark", id_of(1), "alice"), "nothing of it is parked");
	assert_string_equal(act("park", id_of(1), NULL), "");
	assert_non_null(strstr(act("unpark", id_of(1), "../alice"), "cannot be a mailbox"));
	assert_non_null(strstr(act("unpark", id_of(1), NULL), "which mailbox"));
	assert_string_equal(act("unpark", id_of(1), "alice"), "");
	assert_int_equal(claim(&c), 1);
	assert_string_equal(c.first.mailbox, "alice");
	note(row, LEDGER_DELIVERED, PARK_NONE, 0, 0);
	assert_string_equal(story(1), "taken, came home, parked, retried, deferred, parked, "
	    "unparked, delivered");
}

static void
what_was_dropped_does_not_come_back(void **state)
{
	struct spool_meta m = a_meta(&P, 1);
	struct put_told told = { 0 };
	struct claimed c;

	put(1);
	claim(&c);
	assert_non_null(strstr(act("drop", id_of(1), NULL), "being delivered just now"));
	note(1, LEDGER_PARKED, PARK_MALFORMED, 0, 554);
	assert_string_equal(act("drop", id_of(1), NULL), "");
	assert_string_equal(queue(json_object()), "");
	put_one(S, &m, 1, 500, &told);
	play_until(&P, &told.told, 1);
	assert_int_equal(told.last, KEPT_BEFORE);
	assert_string_equal(story(1), "taken, came home, parked, dropped");
	assert_non_null(strstr(story(2), "no such object"));
}

/* Who waits for home's word hears that it was taken, when the operator ends the wait. */
static void
on_outcome(void *arg, enum outcome o, const struct smtp_reply *reply)
{
	*(unsigned *)arg = 1 + (unsigned)o;
}

static void
a_sender_that_waits_is_answered(void **state)
{
	struct spool_meta m = a_meta(&P, 1);
	struct put_told told = { 0 };
	unsigned heard = 0;

	m.verdict = true;
	put_one(S, &m, 1, 500, &told);
	play_until(&P, &told.told, 1);
	ledger_watch(S, told.row, on_outcome, &heard);
	play_for(&P, 20);
	assert_int_equal(heard, 0);
	assert_string_equal(act("park", id_of(1), NULL), "");
	play_until(&P, &heard, 1);
	assert_int_equal(heard, 1 + OUTCOME_ACCEPTED);
}

/* A mailbox that is full for days makes one line; what ends a delivery is always there. */
static void
a_story_is_short(void **state)
{
	int64_t row = put(0x12345);
	struct claimed c;

	for (int i = 0; i < 5; i++) {
		assert_int_equal(claim(&c), 1);
		note(row, LEDGER_DEFERRED, PARK_NONE, i + 1, i < 3 ? 450 : 451);
	}
	claim(&c);
	note(row, LEDGER_DELIVERED, PARK_NONE, 0, 250);
	assert_string_equal(story(0x12345), "taken, came home, deferred x3, deferred x2, "
	    "delivered");
}

/* The deliveries of an object are noted together, and only what changed has happened. */
static void
a_story_tells_each_thing_once(void **state)
{
	static const struct {
		enum ledger_state alice, bob, carol;
	} notes[] = {
		{ LEDGER_PARKED, LEDGER_STAGED, LEDGER_DEFERRED },
		{ LEDGER_PARKED, LEDGER_DELIVERED, LEDGER_DEFERRED },
		{ LEDGER_PARKED, LEDGER_DELIVERED, LEDGER_SENDING },
		{ LEDGER_PARKED, LEDGER_DELIVERED, LEDGER_DEFERRED },
		{ LEDGER_PARKED, LEDGER_DELIVERED, LEDGER_DELIVERED },
	};
	int64_t row = put(0x54321), later = LATER;
	struct claimed c;

	assert_int_equal(claim(&c), 1);
	for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
		const enum ledger_state s[] = { notes[i].alice, notes[i].bob, notes[i].carol };
		struct ledger_entry e[3];
		struct done d = { 0 };

		for (unsigned k = 0; k < 3; k++)
			e[k] = (struct ledger_entry){ .row = row, .part = k, .state = s[k],
			    .park = s[k] == LEDGER_PARKED ? PARK_POLICY : PARK_NONE,
			    .next_ms = s[k] == LEDGER_DEFERRED ? later + (int64_t)(i / 2) : 0 };
		ledger_note(S, e, 3, on_done, &d);
		play_until(&P, &d.told, 1);
		assert_true(d.ok);
	}
	assert_string_equal(story(0x54321), "taken, came home, parked, deferred x2, delivered, "
	    "delivered");
}

static void
filters_choose(void **state)
{
	static const struct {
		const char	*key, *value, *want;
	} rows[] = {
		{ "state", "parked", "pp" },
		{ "state", "uncertain", "u" },
		{ "state", "queued", "" },
		{ "class", "policy", "p" },
		{ "class", "foreign", "" },
		{ "from", "MX1.example.org", "dppu" },
		{ "from", "mx2.example.org", "" },
		{ "recipient", "bob", "dppu" },
		{ "recipient", "bob+lists", "dppu" },
		{ "recipient", "lists", "" },
		{ "recipient", "BOB+lists@example.ORG", "dppu" },
		{ "recipient", "@example.org", "dppu" },
		{ "recipient", "@example.com", "" },
		{ "recipient", "x@example.org", "" },
	};
	int64_t row[4];
	struct claimed c;

	for (unsigned i = 0; i < 4; i++)
		row[i] = put(i * 100000);	/* received 100 s apart: a_meta */
	claim(&c);
	note(row[0], LEDGER_DEFERRED, PARK_NONE, LATER, 450);
	note(row[1], LEDGER_PARKED, PARK_POLICY, 0, 550);
	note(row[2], LEDGER_PARKED, PARK_MALFORMED, 0, 554);
	note(row[3], LEDGER_UNCERTAIN, PARK_NONE, LATER, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *q = json_object();

		json_object_set_new(q, rows[i].key, json_string(rows[i].value));
		if (strcmp(queue(q), rows[i].want) != 0)
			fail_msg("%s %s", rows[i].key, rows[i].value);
	}
	assert_string_equal(queue(json_pack("{s:i}", "size", 500)), "dppu");
	assert_string_equal(queue(json_pack("{s:i}", "size", 501)), "");
	if (wall_ms() > 1795232550000)
		assert_string_equal(queue(json_pack("{s:I}", "older_ms",
		    (json_int_t)(wall_ms() - 1795232550000))), "dp");
	assert_int_equal(act_all("retry", json_pack("{s:s}", "state", "deferred")), 1);
	assert_int_equal(act_all("retry-parked", json_pack("{s:s}", "class", "malformed")), 1);
	assert_string_equal(queue(json_pack("{s:s}", "state", "parked")), "p");
}

/* What "parked" chooses: each with a part that is, whatever becomes of its others. */
static void
parked_in_part_is_parked(void **state)
{
	static const enum ledger_state bob[] = { LEDGER_DEFERRED, LEDGER_PARKED, LEDGER_DEFERRED,
		LEDGER_SENDING };
	static const enum park_class alice[] = { PARK_POLICY, PARK_OPERATOR, PARK_NONE,
		PARK_REFUSED };
	struct claimed c;
	int64_t row[4];

	for (unsigned i = 0; i < 4; i++)
		row[i] = put(i);
	claim(&c);
	for (unsigned i = 0; i < 4; i++) {
		struct ledger_entry e[2] = {
			{ .row = row[i], .state = alice[i] != PARK_NONE ? LEDGER_PARKED :
			    LEDGER_DEFERRED, .park = alice[i], .next_ms = LATER,
			    .recipient = "alice@example.org", .mailbox = "alice" },
			{ .row = row[i], .part = 1, .state = bob[i], .next_ms = LATER,
			    .park = bob[i] == LEDGER_PARKED ? PARK_POLICY : PARK_NONE,
			    .recipient = "bob@example.org", .mailbox = "bob" },
		};
		struct done d = { 0 };

		ledger_note(S, e, 2, on_done, &d);
		play_until(&P, &d.told, 1);
		assert_true(d.ok);
	}
	assert_string_equal(queue(json_pack("{s:b}", "parked", 1)), "dps");
	assert_string_equal(queue(json_pack("{s:b, s:s}", "parked", 1, "recipient", "bob")), "p");
	assert_string_equal(queue(json_pack("{s:b, s:s}", "parked", 1, "recipient", "alice")),
	    "dps");
	assert_string_equal(queue(json_pack("{s:b, s:s}", "parked", 1, "state", "deferred")), "d");
	assert_int_equal(act_all("retry-parked", json_pack("{s:b}", "parked", 1)), 2);
	assert_string_equal(queue(json_pack("{s:b}", "parked", 1)), "s");
}

/* More than the database looks at by itself, and none of them fits but the last. */
static void
a_rare_one_among_many_parked_is_found(void **state)
{
	static const char *const by[] = { "class", "parked" };
	struct ledger_entry *e = calloc(DB_PARK_ROWS + 1, sizeof(*e));
	struct put_told *told = calloc(DB_PARK_ROWS + 1, sizeof(*told));
	struct done d = { 0 };
	struct claimed c;

	assert_true(e != NULL && told != NULL);
	for (unsigned i = 0; i <= DB_PARK_ROWS; i++) {
		struct spool_meta m = a_meta(&P, i);

		put_one(S, &m, i, i == DB_PARK_ROWS ? 900 : 100, &told[i]);
	}
	for (unsigned i = 0; i <= DB_PARK_ROWS; i++) {
		play_until(&P, &told[i].told, 1);
		e[i] = (struct ledger_entry){ .row = told[i].row, .state = LEDGER_PARKED,
		    .park = PARK_POLICY, .recipient = "bob@example.org", .mailbox = "bob" };
	}
	while (claim(&c) > 0)
		;
	for (unsigned i = 0; i <= DB_PARK_ROWS; i++)
		ledger_note(S, &e[i], 1, on_done, &d);
	play_until(&P, &d.told, DB_PARK_ROWS + 1);
	for (size_t i = 0; i < 2; i++) {
		json_int_t found = 0, more = 0;

		do {
			json_t *q = json_pack("{s:s, s:i, s:I}", "do", "queue", "size", 900,
			    "after", more), *a;

			json_object_set_new(q, by[i], i == 0 ? json_string("policy") :
			    json_true());
			a = ask(q);
			found += (json_int_t)json_array_size(json_object_get(a, "objects"));
			more = json_integer_value(json_object_get(a, "more"));
			json_decref(a);
		} while (more != 0);
		assert_int_equal(found, 1);
	}
	free(told);
	free(e);
}

/* Whoever asks so is told that it is his question, as he can mend that alone. */
static void
what_cannot_be_meant_is_told_apart(void **state)
{
	static const struct {
		const char *question;
		bool	 misuse;
	} rows[] = {
		{ "{\"do\":\"queue\",\"state\":\"held\"}", true },
		{ "{\"do\":\"queue\",\"class\":\"bogus\"}", true },
		{ "{\"do\":\"act\",\"act\":\"retry\",\"all\":true,\"state\":\"bogus\"}", true },
		{ "{\"do\":\"act\",\"act\":\"bogus\",\"id\":\"1\"}", true },
		{ "{\"do\":\"ban\",\"net\":\"192.0.2.1\",\"by\":\"a b\"}", true },
		{ "{\"do\":\"act\",\"act\":\"drop\",\"id\":\"77\"}", false },
		{ "{\"do\":\"show\",\"id\":\"77\"}", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *a = ask(json_loads(rows[i].question, 0, NULL));

		assert_true(json_is_false(json_object_get(a, "ok")));
		if (json_is_true(json_object_get(a, "misuse")) != rows[i].misuse)
			fail_msg("%s", rows[i].question);
		json_decref(a);
	}
}

static void
a_clients_network_has_its_prefix(void **state)
{
	static const char *const nets[][2] = {
		{ "192.0.2.0", "192.0.2.0/24" }, { "2001:db8:1::", "2001:db8:1::/48" },
	};

	for (unsigned i = 0; i < 2; i++) {
		struct spool_meta m = a_meta(&P, i);
		struct put_told told = { 0 };
		json_t *a;

		assert_true(netaddr_parse_ip(span_str(nets[i][0]), &m.client_net));
		put_one(S, &m, i, 100, &told);
		play_until(&P, &told.told, 1);
		a = ask(json_pack("{s:s, s:s}", "do", "show", "id", id_of(i)));
		assert_string_equal(json_string_value(json_object_get(json_object_get(a, "object"),
		    "client_network")), nets[i][1]);
		json_decref(a);
	}
}

static void
an_edge_knows_no_recipients_and_drops(void **state)
{
	json_t *a;

	put(1);
	put(2);
	a = ask(json_pack("{s:s, s:s}", "do", "queue", "recipient", "bob"));
	assert_non_null(strstr(json_string_value(json_object_get(a, "error")), "sealed"));
	json_decref(a);
	a = ask(json_pack("{s:s, s:b}", "do", "queue", "parked", 1));
	assert_non_null(strstr(json_string_value(json_object_get(a, "error")),
	    "nothing is parked"));
	json_decref(a);
	assert_non_null(strstr(act("park", id_of(1), NULL), "at home only"));
	assert_string_equal(act("retry", id_of(1), NULL), "");
	assert_string_equal(story(1), "taken");
	assert_string_equal(act("drop", id_of(1), NULL), "");
	assert_string_equal(queue(json_object()), "h");
	assert_non_null(strstr(story(1), "handed over"));
}

int
main(void)
{
#define AT_HOME(f)	cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define AT_EDGE(f)	cmocka_unit_test_setup_teardown(f, set_up_edge, tear_down)
	const struct CMUnitTest tests[] = {
		AT_HOME(retry_makes_what_waits_due_now),
		AT_HOME(parked_mail_is_tried_anew_only_when_that_is_said),
		AT_HOME(what_no_key_opened_is_read_anew),
		AT_HOME(park_and_unpark),
		AT_HOME(what_was_dropped_does_not_come_back),
		AT_HOME(a_sender_that_waits_is_answered),
		AT_HOME(a_story_is_short),
		AT_HOME(a_story_tells_each_thing_once),
		AT_HOME(filters_choose),
		AT_HOME(parked_in_part_is_parked),
		AT_HOME(a_rare_one_among_many_parked_is_found),
		AT_HOME(what_cannot_be_meant_is_told_apart),
		AT_EDGE(an_edge_knows_no_recipients_and_drops),
		AT_EDGE(a_clients_network_has_its_prefix),
	};

	log_init("test", LOG_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
