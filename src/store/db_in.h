#ifndef STORE_DB_IN_H
#define STORE_DB_IN_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/db.h"

/* Shared by db*.c alone: the open database, its statements, its three directories. */

enum db_stmt {			/* texts in db_sql.c, prepared at first use and kept */
	ST_BEGIN = 0, ST_COMMIT, ST_LEDGER, ST_COUNT_COMMIT,
	ST_SIGNER, ST_SIGNER_NEW, ST_KEY, ST_DONE_KEY, ST_HELD, ST_SHARE,
	ST_PUT, ST_PUT_CONTENT, ST_CONTENT, ST_DELETE, ST_DELETE_CONTENT, ST_DELETE_ENTRIES,
	ST_FAILED, ST_REMEMBER,
	ST_ROW, ST_BY_ID, ST_ROWS, ST_ROWS_HOME, ST_ROWS_STATE, ST_ROWS_PARK, ST_ROWS_PARKED,
	    ST_FILE,
	ST_LARGE_ROWS,
	ST_RUNS, ST_RUN_NEW, ST_RUNS_FORGET, ST_MARKS, ST_MARK_SET, ST_MARK_FORGET, ST_MARKS_STALE,
	ST_DUE_NOW, ST_DUE_LATER, ST_NEXT_DUE, ST_NEXT_BY, ST_DUE_BY, ST_PUT_OFF,
	    ST_LOST, ST_ENTRIES, ST_NOTE, ST_SETTLE,
	    ST_TRIED, ST_VERDICT_OFF, ST_PARK_REFUSED, ST_FIRST_DAY,
	ST_EXPIRED, ST_OLD_VERDICTS, ST_FORGET_KEYS, ST_TOTALS, ST_OLDEST, ST_STATES, ST_DONE_COUNT,
	ST_BAN, ST_UNBAN, ST_UNBAN_ALL, ST_BANS_OVER, ST_BANS, ST_BANNED, ST_BAN_OF, ST_BANS_COUNT,
	ST_BANS_MOVE, ST_BANS_AHEAD,
	ST_RETRY_WAITING, ST_RETRY_PARKED, ST_UNROUTED, ST_PARK_OPEN,
	ST_PARKED_CLASSES, ST_PARKED_FIRST, ST_PARKED_SINCE, ST_WAITING,
	ST_ENTRY_WAS, ST_STORY, ST_STORY_AGAIN, ST_STORY_COUNT, ST_STORY_OF_STATE, ST_STORY_READ,
	    ST_STORY_EXPIRE, ST_STORY_LAST, ST_DONE_FIND,
	ST_SUM, ST_FREELIST, ST_PAGE_SIZE, ST_SHARE_MOST, ST_DECLINED,
	ST_COUNT
};
extern const char *const db_sql[ST_COUNT];
extern const char *const db_schema[DB_SCHEMA];	/* [n] makes schema n + 1 of schema n */

struct db_names {			/* of files in large/ */
	char		(*name)[DB_FILE_LEN + 1];
	size_t		 n, cap;
};

struct db {
	const struct sys *sys;
	sqlite3		*sq;
	sqlite3_stmt	*st[ST_COUNT];
	enum conf_role	 role;
	struct db_limits limits;
	char		 path[CONF_PATH_MAX];	/* STATE */
	int		 dir, large, aside;
	bool		 in_txn;
	int64_t		 changes;		/* of all rows since it is open, when that began */
	bool		 unsure;		/* the last commit failed: counters are read anew */
	bool		 full;			/* the last failure was for want of room */
	bool		 damaged;		/* SQLite said so */
	bool		 content_open;
	char		 signer[256];		/* the last object's, and its number; "" none */
	int64_t		 signer_num;
	struct ledger_mark mark;
	/* home: of the commits to come; 0: the last one's */
	uint32_t	 run;
	int64_t		 next_row, next_row_kept;
	int64_t		 written_ms;		/* before we opened it */
	uint64_t	 total, total_kept;	/* octets held: in the transaction, as committed */
	uint64_t	 room;			/* what this transaction may still add, or left */
	bool		 room_known;
	uint64_t	 page_size;
	/* rows of this transaction let them go: removed after it */
	struct db_names	 gone;
	/* since the log was last copied into the database */
	int		 wal_pages;
	int64_t		 delivered[64];		/* rows that were delivered lately, a ring */
	unsigned	 ndelivered;
	char		 alarm[128], trouble[256], lost[256];
};

/* Says what SQLite (or, below it, the system) said, and what to do.  -1. */
int	db_fail(struct db *, const char *what, struct why *);
sqlite3_stmt *db_st(struct db *, enum db_stmt, struct why *);	/* NULL: db_fail was said */
/*
 * 1 a row is there, 0 no more, -1 failed.  Without a row the statement is reset and its bindings
 * are free.
 */
int	db_step(struct db *, sqlite3_stmt *, struct why *);
/* a statement without rows: 0 or -1 */
int	db_run(struct db *, sqlite3_stmt *, struct why *);
/* one whose only binding is this number */
int	db_run_with(struct db *, enum db_stmt, int64_t, struct why *);
/* opens the transaction if none is */
int	db_begin(struct db *, struct why *);
int	db_exec(struct db *, const char *sql, struct why *);
int	db_counters(struct db *, struct why *);			/* reads them from the database */
uint64_t db_room(struct db *);

bool	db_names_add(struct db_names *, const char *);
void	db_names_clear(struct db_names *);

/* db_ledger.c: the object's state follows from its entries', once they changed */
int	db_settle(struct db *, int64_t row, struct db_noted *, struct why *);

/* db_story.c: home; what became of a delivery, in the open transaction */
int	db_story_entry(struct db *, const struct ledger_entry *, enum ledger_state,
    enum park_class, struct why *);
/* of the whole object */
int	db_story(struct db *, int64_t row, enum db_event, const char *text, struct why *);
/* of each of its entries that are in this state */
int	db_story_state(struct db *, int64_t row, enum db_event, enum ledger_state,
    const char *text, struct why *);
/* a step: how many, or -1 */
int	db_story_expire(struct db *, int64_t before_ms, struct why *);

/* db_files.c: large/ and aside/ */
/* 0 as its row says; -1 it is not; 1 that cannot be told now: the disk, memory or descriptors */
int	db_file_check(struct db *, const char *name, uint64_t size, struct why *);
void	db_files_remove(struct db *);			/* db->gone */
/* 1 a row has this file, 0 none, -1 failed */
int	db_file_taken(struct db *, const char *name, struct why *);
/* moves a durable file, with a text beside it */
int	db_file_aside(struct db *, const char *name, const char *as, const char *reason,
    struct why *);
int	db_write_aside(struct db *, const char *as, struct span data, const char *reason,
    struct why *);

/*
 * db_runs.c: home.  A run begins with its first commit that changes something, and in it, so that
 * a start alone is none.  db->run is chosen by db_runs_new.
 */
int	db_runs_read(struct db *, struct ledger_mark *, struct why *);
/* The next commit that changes something begins one. */
bool	db_runs_due(const struct db *);
int	db_runs_begin(struct db *, struct why *);
void	db_runs_began(struct db *);		/* that commit is done: into db->mark */

/* db_lost.c */
int	db_aside_database(struct db *, struct why *);	/* and all of large/ with it */
void	db_lost_look(struct db *);			/* into db->lost */

/* db_recover.c */
int	db_recover(struct db *, struct why *);
int	db_damaged(struct db *, const struct db_row *, const char *file, const char *reason,
    struct why *);

/* The columns of ST_ROW, ST_BY_ID, ST_ROWS. file may be NULL. */
void	db_row_read(sqlite3_stmt *, struct db_row *, char file[DB_FILE_LEN + 1]);
int	db_row_file(struct db *, int64_t row, struct db_row *, char file[DB_FILE_LEN + 1],
    struct why *);
/* Takes row, content, entries and file away with the transaction; key remembered or not. */
int	db_drop(struct db *, int64_t row, bool remember, struct why *);
/* its verdict is over, whatever it says */
int	db_park_refused(struct db *, int64_t row, struct why *);
/* 1 and its row, 0 not here. */
int	db_key_row(struct db *, const char *signer, struct uuid, int64_t *row, struct why *);
void	db_delivered_note(struct db *, int64_t row);
bool	db_delivered_lately(const struct db *, int64_t row);

static inline void
db_bind_str(sqlite3_stmt *st, int at, const char *s)
{
	sqlite3_bind_text(st, at, s, -1, SQLITE_STATIC);
}

#endif
