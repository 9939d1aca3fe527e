#include "store/db_in.h"

/*
 * The tables (doc/STORE says what each is for) and every statement.  What a schema was is
 * never edited, as it lies on disks: a change is the next one.
 *
 * Triggers keep held and share: whichever way an object comes or goes, the
 * arithmetic of the quotas goes with it, in the same transaction.
 */
static const char schema_1[] =
    "CREATE TABLE ledger(one INTEGER PRIMARY KEY CHECK(one = 1), role INTEGER NOT NULL,"
    " epoch INTEGER NOT NULL, counter INTEGER NOT NULL, next_row INTEGER NOT NULL);"
    "CREATE TABLE signer(num INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE object(row INTEGER PRIMARY KEY, signer INTEGER NOT NULL, id BLOB NOT NULL,"
    " home TEXT NOT NULL, origin INTEGER NOT NULL, received INTEGER NOT NULL, net BLOB NOT NULL,"
    " verdict INTEGER NOT NULL, size INTEGER NOT NULL, mac BLOB NOT NULL,"
    " tries INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',"
    " state INTEGER NOT NULL DEFAULT 0, due INTEGER, parked INTEGER,"
    " large INTEGER NOT NULL, file TEXT);"
    "CREATE UNIQUE INDEX object_key ON object(id, signer);"
    "CREATE INDEX object_home ON object(home, row);"
    "CREATE UNIQUE INDEX object_file ON object(file) WHERE file IS NOT NULL;"
    "CREATE INDEX object_due ON object(large, due) WHERE due IS NOT NULL;"
    "CREATE INDEX object_parked ON object(parked) WHERE parked IS NOT NULL;"
    "CREATE INDEX object_verdict ON object(received) WHERE verdict = 1;"
    "CREATE TABLE content(row INTEGER PRIMARY KEY, data BLOB NOT NULL);"
    "CREATE TABLE entry(row INTEGER NOT NULL, part INTEGER NOT NULL, state INTEGER NOT NULL,"
    " park INTEGER NOT NULL, recipient TEXT NOT NULL, mailbox TEXT NOT NULL, name TEXT NOT NULL,"
    " next INTEGER NOT NULL, code INTEGER NOT NULL, enhanced INTEGER NOT NULL, text TEXT NOT NULL,"
    " PRIMARY KEY(row, part)) WITHOUT ROWID;"
    "CREATE INDEX entry_sending ON entry(row) WHERE state = 1;"
    "CREATE TABLE done(id BLOB NOT NULL, signer INTEGER NOT NULL, day INTEGER NOT NULL,"
    " PRIMARY KEY(id, signer)) WITHOUT ROWID;"
    "CREATE INDEX done_day ON done(day);"
    "CREATE TABLE mark(home TEXT NOT NULL, epoch INTEGER NOT NULL, counter INTEGER NOT NULL,"
    " seq INTEGER NOT NULL, PRIMARY KEY(home, epoch)) WITHOUT ROWID;"
    "CREATE TABLE held(home TEXT PRIMARY KEY, objects INTEGER NOT NULL, bytes INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE share(home TEXT NOT NULL, net BLOB NOT NULL, objects INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, PRIMARY KEY(home, net)) WITHOUT ROWID;"
    "CREATE TRIGGER object_came AFTER INSERT ON object BEGIN"
    " INSERT INTO held VALUES(new.home, 1, new.size)"
    "  ON CONFLICT(home) DO UPDATE SET objects = objects + 1, bytes = bytes + new.size;"
    " INSERT INTO share SELECT new.home, new.net, 1, new.size WHERE length(new.net) > 0"
    "  ON CONFLICT(home, net) DO UPDATE SET objects = objects + 1, bytes = bytes + new.size;"
    "END;"
    "CREATE TRIGGER object_went AFTER DELETE ON object BEGIN"
    " UPDATE held SET objects = objects - 1, bytes = bytes - old.size WHERE home = old.home;"
    " UPDATE share SET objects = objects - 1, bytes = bytes - old.size"
    "  WHERE home = old.home AND net = old.net;"
    " DELETE FROM share WHERE home = old.home AND net = old.net AND objects <= 0;"
    "END;"
    "PRAGMA user_version = 1;";

/* Some of schema 1 had them already: IF NOT EXISTS. */
static const char schema_2[] =
    "CREATE TABLE IF NOT EXISTS ban(num INTEGER PRIMARY KEY, ip BLOB NOT NULL,"
    " bits INTEGER NOT NULL, who TEXT NOT NULL, made INTEGER NOT NULL, until INTEGER NOT NULL);"
    "CREATE UNIQUE INDEX IF NOT EXISTS ban_net ON ban(ip, bits, who);"
    "CREATE INDEX IF NOT EXISTS ban_until ON ban(until) WHERE until > 0;"
    "PRAGMA user_version = 2;";

/* `status` asks which of the held objects failed: few, among any number. */
static const char schema_3[] =
    "CREATE INDEX IF NOT EXISTS object_failed ON object(home) WHERE tries > 0;"
    "PRAGMA user_version = 3;";

/*
 * What became of each delivery, for the operator, and by which row a key that is remembered
 * finds it.  Indexes of the few objects and deliveries that somebody looks for.
 */
static const char schema_4[] =
    "ALTER TABLE done ADD COLUMN row INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE done ADD COLUMN received INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE done ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE done ADD COLUMN size INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE story(num INTEGER PRIMARY KEY, row INTEGER NOT NULL, at INTEGER NOT NULL,"
    " since INTEGER NOT NULL, times INTEGER NOT NULL, what INTEGER NOT NULL,"
    " part INTEGER NOT NULL, park INTEGER NOT NULL, recipient TEXT NOT NULL,"
    " mailbox TEXT NOT NULL, text TEXT NOT NULL);"
    "CREATE INDEX story_row ON story(row);"
    "CREATE INDEX object_waits ON object(state, row) WHERE state >= 1;"
    "CREATE INDEX entry_parked ON entry(park, row) WHERE state = 5;"
    "PRAGMA user_version = 4;";

/* By which a copy of a ledger is known, however far it counts. */
static const char schema_5[] =
    "CREATE TABLE run(first INTEGER PRIMARY KEY, run INTEGER NOT NULL);"
    "ALTER TABLE mark ADD COLUMN run INTEGER NOT NULL DEFAULT 0;"
    "PRAGMA user_version = 5;";

const char *const db_schema[DB_SCHEMA] = { schema_1, schema_2, schema_3, schema_4, schema_5 };

#define ROW_COLUMNS \
	"SELECT o.row, s.name, o.id, o.home, o.origin, o.received, o.net, o.verdict, o.size," \
	" o.mac, o.tries, o.reason, o.state, o.due, o.file" \
	" FROM object o JOIN signer s ON s.num = o.signer "

/* The first rows of a class, by the index; all classes at once would be read whole to be sorted. */
#define PARKED_AS(class) \
	"SELECT row FROM (SELECT DISTINCT row FROM entry WHERE state = 5 AND park = " class \
	" AND row > ?1 ORDER BY row LIMIT ?2)"

const char *const db_sql[ST_COUNT] = {
	[ST_BEGIN] = "BEGIN IMMEDIATE",
	[ST_COMMIT] = "COMMIT",
	[ST_LEDGER] = "SELECT role, epoch, counter, next_row FROM ledger",
	[ST_COUNT_COMMIT] = "UPDATE ledger SET counter = counter + 1, next_row = ?1",
	[ST_SIGNER] = "SELECT num FROM signer WHERE name = ?1",
	[ST_SIGNER_NEW] = "INSERT INTO signer(name) VALUES(?1)",
	[ST_KEY] = "SELECT row, verdict, state FROM object WHERE id = ?1 AND signer = ?2",
	[ST_DONE_KEY] = "SELECT 1 FROM done WHERE id = ?1 AND signer = ?2",
	[ST_HELD] = "SELECT bytes FROM held WHERE home = ?1",
	[ST_SHARE_MOST] = "SELECT net, bytes FROM share WHERE home = ?1"
	    " ORDER BY bytes DESC LIMIT 1",
	/* The words are transfer.c's; max() gives the reason of its row. */
	[ST_DECLINED] = "SELECT count(*), max(row), reason FROM object"
	    " WHERE home = ?1 AND tries > 0"
	    " AND reason LIKE 'home answered %' AND reason NOT LIKE 'home answered 503%'",
	[ST_SHARE] = "SELECT bytes FROM share WHERE home = ?1 AND net = ?2",
	[ST_PUT] = "INSERT INTO object(row, signer, id, home, origin, received, net, verdict, size,"
	    " mac, due, large, file)"
	    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
	[ST_PUT_CONTENT] = "INSERT INTO content VALUES(?1, ?2)",
	[ST_CONTENT] = "SELECT data FROM content WHERE row = ?1",
	[ST_DELETE] = "DELETE FROM object WHERE row = ?1",
	[ST_DELETE_CONTENT] = "DELETE FROM content WHERE row = ?1",
	[ST_DELETE_ENTRIES] = "DELETE FROM entry WHERE row = ?1",
	[ST_FAILED] = "UPDATE object SET tries = tries + 1, reason = ?2 WHERE row = ?1",
	[ST_REMEMBER] =
	    "INSERT OR IGNORE INTO done(id, signer, day, row, received, gone, size)"
	    " SELECT id, signer, ?2, row, received, ?3, size FROM object WHERE row = ?1",
	[ST_ROW] = ROW_COLUMNS "WHERE o.row = ?1",
	[ST_BY_ID] = ROW_COLUMNS "WHERE o.id = ?1 ORDER BY o.row LIMIT 1",
	[ST_ROWS] = ROW_COLUMNS "WHERE o.row > ?1 ORDER BY o.row",
	[ST_ROWS_HOME] = ROW_COLUMNS "WHERE o.home = ?2 AND o.row > ?1 ORDER BY o.row",
	/* state >= 1 names the index: the few that are not just queued, among any number. */
	[ST_ROWS_STATE] = ROW_COLUMNS
	    "WHERE o.state >= 1 AND o.state = ?2 AND o.row > ?1 ORDER BY o.row",
	[ST_ROWS_PARK] = ROW_COLUMNS
	    "WHERE o.row IN (SELECT DISTINCT row FROM entry WHERE state = 5 AND park = ?2"
	    " AND row > ?1 ORDER BY row LIMIT ?3) ORDER BY o.row",
	/* of enum park_class, PARK_POLICY to PARK_OPERATOR */
	[ST_ROWS_PARKED] = ROW_COLUMNS "WHERE o.row IN (" PARKED_AS("1") " UNION " PARKED_AS("2")
	    " UNION " PARKED_AS("3") " UNION " PARKED_AS("4") " UNION " PARKED_AS("5")
	    " UNION " PARKED_AS("6") " UNION " PARKED_AS("7") " ORDER BY row LIMIT ?2)"
	    " ORDER BY o.row",
	[ST_FILE] = "SELECT 1 FROM object WHERE file = ?1",
	[ST_LARGE_ROWS] =
	    ROW_COLUMNS "WHERE o.file IS NOT NULL AND o.state <> 5 AND o.row > ?1 ORDER BY o.row",
	[ST_RUNS] = "SELECT run, first FROM run ORDER BY first DESC LIMIT ?1",
	[ST_RUN_NEW] = "INSERT INTO run(first, run) VALUES(?1, ?2)",
	[ST_RUNS_FORGET] = "DELETE FROM run WHERE first <= ?1",
	[ST_MARKS] = "SELECT epoch, counter, seq, run FROM mark WHERE home = ?1 ORDER BY seq DESC",
	[ST_MARK_SET] = "INSERT OR REPLACE INTO mark VALUES(?1, ?2, ?3, ?4, ?5)",
	[ST_MARKS_STALE] = "SELECT home FROM mark m WHERE epoch < 0 AND"
	    " seq = (SELECT max(seq) FROM mark WHERE home = m.home)",
	[ST_MARK_FORGET] = "DELETE FROM mark WHERE home = ?1 AND seq <= ?2",
	[ST_DUE_NOW] = "SELECT row FROM object WHERE large = ?1 AND due = 0 ORDER BY row",
	[ST_DUE_LATER] =
	    "SELECT row FROM object WHERE large = ?1 AND due > 0 AND due <= ?2 ORDER BY due",
	[ST_NEXT_DUE] =
	    "SELECT min(d) FROM (SELECT min(due) AS d FROM object WHERE large = 0 AND due > ?1"
	    " UNION ALL SELECT min(due) FROM object WHERE large = 1 AND due > ?1)",
	[ST_NEXT_BY] = "UPDATE entry SET next = ?1 WHERE next > ?1"
	    " AND row IN (SELECT row FROM object WHERE due > ?1)",
	[ST_DUE_BY] = "UPDATE object SET due = ?1 WHERE due > ?1",
	[ST_PUT_OFF] = "UPDATE object SET due = max(due, ?2), tries = tries + 1 WHERE row = ?1",
	[ST_LOST] = "UPDATE entry SET state = 6, next = 0 WHERE row = ?1 AND state = 1",
	[ST_ENTRIES] =
	    "SELECT part, state, park, recipient, mailbox, name, next, code, enhanced, text"
	    " FROM entry WHERE row = ?1 ORDER BY part",
	[ST_ENTRY_WAS] = "SELECT state, next FROM entry WHERE row = ?1 AND part = ?2",
	[ST_NOTE] =
	    "INSERT OR REPLACE INTO entry VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
	[ST_SETTLE] = "UPDATE object SET state = ?2, due = ?3, parked = ?4 WHERE row = ?1",
	[ST_TRIED] = "UPDATE object SET tries = tries + 1 WHERE row = ?1",
	[ST_VERDICT_OFF] = "UPDATE object SET verdict = 0 WHERE row = ?1",
	/* 5.7.x and 5.1.1 are policy */
	[ST_PARK_REFUSED] = "UPDATE entry SET state = 5, park = CASE WHEN (enhanced >> 8) = 1287"
	    " OR enhanced = 327937 THEN 1 ELSE 2 END WHERE row = ?1 AND state = 7",
	/* By the operator.  A retry of what may have arrived stays uncertain. */
	[ST_RETRY_WAITING] = "UPDATE entry SET next = 0 WHERE row = ?1 AND state IN (4, 6)",
	[ST_RETRY_PARKED] = "UPDATE entry SET state = 0, park = 0, mailbox = ?2, name = '',"
	    " next = 0, code = 0, enhanced = 0, text = '' WHERE row = ?1 AND state = 5",
	[ST_UNROUTED] = "DELETE FROM entry WHERE row = ?1 AND state = 0 AND recipient = ''"
	    " AND mailbox = ''",
	[ST_PARK_OPEN] = "UPDATE entry SET state = 5, park = 7, code = 0, enhanced = 0, text = ''"
	    " WHERE row = ?1 AND state IN (0, 4, 6)",
	[ST_PARKED_CLASSES] = "SELECT park, count(DISTINCT row) FROM entry WHERE state = 5"
	    " GROUP BY park",
	[ST_PARKED_FIRST] = "SELECT min(parked) FROM object WHERE parked IS NOT NULL",
	[ST_PARKED_SINCE] = "SELECT count(*) FROM object WHERE parked >= ?1",
	/* In order of rows: what waits longest is near the front, behind what is parked. */
	[ST_WAITING] = "SELECT (SELECT coalesce(sum(objects), 0) FROM held) -"
	    " (SELECT count(*) FROM object WHERE state = 5),"
	    " (SELECT received FROM object NOT INDEXED WHERE state != 5 ORDER BY row LIMIT 1)",
	[ST_STORY] = "INSERT INTO story(row, at, since, times, what, part, park, recipient,"
	    " mailbox, text) VALUES(?1, ?2, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8)",
	[ST_STORY_AGAIN] = "UPDATE story SET at = ?2, times = times + 1 WHERE num ="
	    " (SELECT max(num) FROM story WHERE row = ?1 AND part = ?4) AND what = ?3"
	    " AND text = ?8",
	[ST_STORY_COUNT] = "SELECT count(*) FROM story WHERE row = ?1",
	[ST_STORY_OF_STATE] =
	    "INSERT INTO story(row, at, since, times, what, part, park, recipient, mailbox, text)"
	    " SELECT row, ?2, ?2, 1, ?3, part, park, recipient, mailbox, ?4"
	    " FROM entry WHERE row = ?1 AND state = ?5",
	[ST_STORY_READ] = "SELECT at, since, times, what, part, park, recipient, mailbox, text"
	    " FROM story WHERE row = ?1 ORDER BY num",
	[ST_STORY_EXPIRE] = "DELETE FROM story WHERE num IN (SELECT num FROM"
	    " (SELECT num, at FROM story ORDER BY num LIMIT 500) WHERE at < ?1 OR num <= ?2)",
	[ST_STORY_LAST] = "SELECT max(num) FROM story",
	[ST_DONE_FIND] = "SELECT d.row, s.name, d.received, d.gone, d.size FROM done d"
	    " JOIN signer s ON s.num = d.signer WHERE d.id = ?1 ORDER BY d.row LIMIT 1",
	[ST_FIRST_DAY] = "SELECT min(day) FROM done",
	[ST_EXPIRED] = "SELECT row FROM object WHERE parked < ?1 ORDER BY parked LIMIT 100",
	[ST_OLD_VERDICTS] = "SELECT row FROM object WHERE verdict = 1 AND received < ?1 LIMIT 100",
	[ST_FORGET_KEYS] =
	    "DELETE FROM done WHERE id IN (SELECT id FROM done WHERE day < ?1 LIMIT 500)"
	    " AND day < ?1",
	[ST_TOTALS] = "SELECT home, objects, bytes FROM held WHERE objects > 0 ORDER BY home",
	[ST_OLDEST] = "SELECT received FROM object WHERE home = ?1 ORDER BY row LIMIT 1",
	[ST_BAN] = "INSERT INTO ban(ip, bits, who, made, until) VALUES(?1, ?2, ?3, ?4, ?5)"
	    " ON CONFLICT(ip, bits, who) DO UPDATE SET made = ?4, until = ?5",
	[ST_UNBAN] = "DELETE FROM ban WHERE ip = ?1 AND bits = ?2 AND (?3 IS NULL OR who = ?3)",
	[ST_UNBAN_ALL] = "DELETE FROM ban WHERE ?1 IS NULL OR who = ?1",
	[ST_BANS_OVER] = "DELETE FROM ban WHERE num IN"
	    " (SELECT num FROM ban WHERE until > 0 AND until <= ?1 LIMIT 500)",
	[ST_BANS] = "SELECT ip, bits, until, num, who, made FROM ban"
	    " WHERE num > ?1 AND (until = 0 OR until > ?2) ORDER BY num",
	/* Of several bans of one network the one that lasts longest counts. */
	[ST_BANNED] = "SELECT ip, bits, CASE min(until) WHEN 0 THEN 0 ELSE max(until) END FROM ban"
	    " WHERE until = 0 OR until > ?1 GROUP BY ip, bits",
	[ST_BAN_OF] = "SELECT ip, bits, CASE min(until) WHEN 0 THEN 0 ELSE max(until) END FROM ban"
	    " WHERE ip = ?1 AND bits = ?2 AND (until = 0 OR until > ?3) GROUP BY ip, bits",
	[ST_BANS_MOVE] = "UPDATE ban SET made = made + ?1, until = until + ?1 WHERE until > 0",
	[ST_BANS_AHEAD] = "UPDATE ban SET until = until - made + ?1, made = ?1"
	    " WHERE until > 0 AND made > ?1",
	[ST_BANS_COUNT] = "SELECT count(*) FROM ban",
	/* The rest is queued: counted by the index alone. */
	[ST_STATES] = "SELECT state, count(*) FROM object WHERE state >= 1 GROUP BY state"
	    " UNION ALL SELECT 0, coalesce(sum(objects), 0) FROM held",
	[ST_DONE_COUNT] = "SELECT count(*) FROM done",
	[ST_SUM] = "SELECT coalesce(sum(bytes), 0) FROM held",
	[ST_FREELIST] = "PRAGMA freelist_count",
	[ST_PAGE_SIZE] = "PRAGMA page_size",
};
