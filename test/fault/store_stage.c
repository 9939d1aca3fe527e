#include "store_stage.h"

struct spool_meta
stage_meta(const struct stage *g, unsigned n)
{
	struct play p = { .conf.role = g->role };
	struct spool_meta m = a_meta(&p, n);

	m.client_net.ip[12] = (unsigned char)(1 + n % 2);
	return m;
}

void
stage_open(struct stage *g)
{
	struct why why = { "" };

	for (int tries = 0; g->db == NULL && tries < 2; tries++)
		g->db = db_open(&fault_sys, g->dir, g->role, fault_vfs, &why);
	if (g->db != NULL)
		db_set_limits(g->db, &(struct db_limits){ .quota = 1 << 30, .share = 50,
		    .remember_ms = 1000LL * 3600 * 24 * 60, .keys = 1000, .parked_keep_ms =
		    1000LL * 3600 * 24 * 30 });
}

/* A file as a client leaves it: written, not synced. */
static void
large_file(const struct stage *g, unsigned n, size_t size, char name[DB_FILE_LEN + 1])
{
	char path[200], *body = malloc(size);
	FILE *f;

	snprintf(name, DB_FILE_LEN + 1, "%032x", n + 1);
	snprintf(path, sizeof(path), "%s/large/%s", g->dir, name);
	a_body(n, 0, body, size);
	assert_non_null(f = fopen(path, "wb"));
	assert_int_equal(fwrite(body, 1, size, f), size);
	fclose(f);
	free(body);
	fault_large_written(name);
}

/* As the writer's thread does: false, the file is not durable and nothing is put. */
static bool
made_durable(struct stage *g, const struct db_body *b)
{
	struct db_sync *s = db_sync_new(g->db);
	struct why why = { "" };
	bool ok = false;

	if (s != NULL && db_sync_add(g->db, s, b, &why) == 0) {
		db_sync_run(s);
		ok = db_sync_error(s, 0) == 0;
	}
	db_sync_free(&s);
	if (!ok)
		db_file_drop(g->db, b);
	return ok;
}

bool
stage_put(struct stage *g, unsigned n, size_t size, bool large)
{
	struct spool_meta m = stage_meta(g, n);
	unsigned char mac[OBJECT_MAC_LEN] = { (unsigned char)n };
	struct db_body b = { .size = size };
	char *body = malloc(size);
	struct why why = { "" };
	enum kept kept;
	bool changed;

	a_body(n, 0, body, size);
	if (large)
		large_file(g, n, size, b.file);
	else
		b.data = span_of(body, size);
	g->x[n].asked = true;
	g->x[n].size = size;
	if (large && !made_durable(g, &b)) {
		free(body);
		return true;
	}
	kept = db_put(g->db, &m, mac, &b, 1 << 30, &g->x[n].row, &changed, &why);
	free(body);
	return kept == KEPT || kept == KEPT_FULL;
}

bool
stage_commit(struct stage *g)
{
	struct why why = { "" };

	if (db_commit(g->db, &why) == 0) {
		g->shown = db_ledger_mark(g->db);
		return true;
	}
	db_rollback(g->db);
	return false;
}

bool
stage_whole(struct db *db, int64_t row, unsigned n, size_t size)
{
	struct got got = { .n = n };
	struct db_content c;
	struct why why = { "" };
	int rc = db_content(db, row, &c, &why);

	if (rc == 1)
		check_content(&got, &(struct spool_content){ .ok = true, .data = c.data, .fd =
		    c.fd });
	db_content_end(db);
	return rc == 1 && got.right && got.size == size;
}
