#ifndef CTL_BACKUP_FILES_H
#define CTL_BACKUP_FILES_H

#include <openssl/evp.h>
#include <stdint.h>

#include "base/why.h"
#include "ctl/role.h"
#include "proto/sums.h"

/* What a backup is made of (doc/STORE), and the copying of a file with its checksum. */
#define BACKUP_ABOUT	"posthouse-backup-1"	/* says what it is; the number is the format's */
#define BACKUP_SUMS	"SHA256SUMS"		/* written last: without it a backup is none */
#define BACKUP_SUMS_MAX	(64u << 20)		/* 550,000 large objects */
#define BACKUP_DB	"spool.db"
#define BACKUP_LARGE	"large"
#define BACKUP_EDGES	"edges"
#define BACKUP_PATH_MAX	(CONF_PATH_MAX + SUMS_NAME_MAX)

/* Home's keys: in STATE unless the configuration names another place. */
/* A key's name, of this home or of one that had other Workers. */
bool	backup_is_key(const char *name);
/* The i-th of this home, its Workers' behind the others; false: there are no more. */
bool	backup_key(const struct role *, size_t i, char name[SUMS_NAME_MAX]);
bool	backup_key_needed(const char *name);	/* there is no home without it */
void	backup_key_path(const struct role *, const char *key, char out[BACKUP_PATH_MAX]);
bool	backup_key_inside(const struct role *, const char *key);	/* it is STATE/key */

/* Copies what is left of from, and syncs; to -1: only reads.  words name the file.  -1 with why. */
int	backup_copy(int from, int to, const char *words, unsigned char sum[SHA256_LEN],
	    uint64_t *octets, struct why *);

#endif
