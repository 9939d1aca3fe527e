/* The runs of a home's writer that changed its ledger: what tells a copy of it (spool.h). */
#include <string.h>

#include "base/secret.h"
#include "store/db_in.h"

void
db_runs_new(struct db *db)
{
	db->run = 0;
	while (db->role == CONF_HOME && db->run == 0)
		random_bytes(&db->run, sizeof(db->run));
}

int
db_runs_read(struct db *db, struct ledger_mark *m, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_RUNS, why);
	int rc;

	m->nruns = 0;
	if (st == NULL)
		return -1;
	sqlite3_bind_int(st, 1, LEDGER_RUNS);
	while ((rc = db_step(db, st, why)) == 1)
		m->runs[m->nruns++] = (struct ledger_run){
			(uint32_t)sqlite3_column_int64(st, 0),
			(uint64_t)sqlite3_column_int64(st, 1) };
	sqlite3_reset(st);
	return rc;
}

bool
db_runs_due(const struct db *db)
{
	return db->run != 0 && ledger_run(&db->mark) != db->run;
}

int
db_runs_begin(struct db *db, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_RUN_NEW, why);

	if (st == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, (int64_t)db->mark.counter + 1);
	sqlite3_bind_int64(st, 2, db->run);
	if (db_run(db, st, why) == -1)
		return -1;
	if (db->mark.nruns < LEDGER_RUNS)
		return 0;
	return db_run_with(db, ST_RUNS_FORGET, (int64_t)db->mark.runs[LEDGER_RUNS - 1].first, why);
}

void
db_runs_began(struct db *db)
{
	struct ledger_mark *m = &db->mark;

	m->nruns = m->nruns < LEDGER_RUNS ? m->nruns + 1 : LEDGER_RUNS;
	memmove(m->runs + 1, m->runs, (m->nruns - 1) * sizeof(*m->runs));
	m->runs[0] = (struct ledger_run){ db->run, m->counter };
}
