#include "ctl/backup_files.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/octets.h"

/* Whence `rotate` may move a key meanwhile stands before where it goes (priv/secrets.c). */
static const char *const keys[] = {
	"age.key", "age-retired.key", "tunnel-next.pem", "tunnel.pem", "password.key",
	"password-counters", "probe.token",
};
#define NKEYS	(sizeof(keys) / sizeof(keys[0]))
#define WORKER	"worker-"		/* and its name, and one of these (posthouse.conf(5)) */
static const char *const of_worker[] = { ".mac", ".token", ".smtp" };
#define NOF	(sizeof(of_worker) / sizeof(of_worker[0]))

bool
backup_is_key(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < NKEYS; i++)
		if (strcmp(name, keys[i]) == 0)
			return true;
	for (size_t i = 0; i < NOF; i++) {
		size_t end = strlen(of_worker[i]);

		if (strncmp(name, WORKER, strlen(WORKER)) == 0 && n > strlen(WORKER) + end &&
		    strcmp(name + n - end, of_worker[i]) == 0)
			return strchr(name, '/') == NULL;
	}
	return false;
}

bool
backup_key_needed(const char *name)
{
	return strcmp(name, "age.key") == 0 || strcmp(name, "tunnel.pem") == 0;
}

bool
backup_key(const struct role *r, size_t i, char name[SUMS_NAME_MAX])
{
	if (i < NKEYS)
		return snprintf(name, SUMS_NAME_MAX, "%s", keys[i]) > 0;
	i -= NKEYS;
	if (i >= r->home->nworkers * NOF)
		return false;
	return snprintf(name, SUMS_NAME_MAX, WORKER "%s%s", r->home->workers[i / NOF].name,
	    of_worker[i % NOF]) < SUMS_NAME_MAX;
}

/* Where the configuration has one of a Worker's; NULL: no such key, or no such Worker. */
static const char *
path_of_worker(const struct role *r, const char *key)
{
	char name[SUMS_NAME_MAX];

	for (size_t i = NKEYS; backup_key(r, i, name); i++) {
		const struct conf_worker *w = &r->home->workers[(i - NKEYS) / NOF];
		const char *const paths[NOF] = { w->mac_key, w->token, w->password };

		if (strcmp(key, name) == 0)
			return paths[(i - NKEYS) % NOF];
	}
	return NULL;
}

void
backup_key_path(const struct role *r, const char *key, char out[BACKUP_PATH_MAX])
{
	const char *of = path_of_worker(r, key);

	if (of != NULL)
		snprintf(out, BACKUP_PATH_MAX, "%s", of);
	else if (strcmp(key, "age.key") == 0)
		snprintf(out, BACKUP_PATH_MAX, "%s", r->home->age_key);
	else if (strcmp(key, "tunnel.pem") == 0)
		snprintf(out, BACKUP_PATH_MAX, "%s", r->common->tunnel_key);
	else if (strcmp(key, "probe.token") == 0 && r->home->probe.token[0] != '\0')
		snprintf(out, BACKUP_PATH_MAX, "%s", r->home->probe.token);
	else
		snprintf(out, BACKUP_PATH_MAX, "%s/%s", r->common->state, key);
}

bool
backup_key_inside(const struct role *r, const char *key)
{
	char path[BACKUP_PATH_MAX], here[BACKUP_PATH_MAX];

	backup_key_path(r, key, path);
	snprintf(here, sizeof(here), "%s/%s", r->common->state, key);
	return strcmp(path, here) == 0;
}

int
backup_copy(int from, int to, const char *words, unsigned char sum[SHA256_LEN], uint64_t *octets,
    struct why *why)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	char buf[65536];
	ssize_t n = 0;
	int rc = -1;

	*octets = 0;
	if (md == NULL || EVP_DigestInit_ex(md, crypto_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(md);
		return why_set(why, "out of memory");
	}
	while ((n = octets_read(from, buf, sizeof(buf))) > 0) {
		if (to != -1 && octets_write(to, span_of(buf, (size_t)n)) == -1)
			break;
		*octets += (uint64_t)n;
		EVP_DigestUpdate(md, buf, (size_t)n);
	}
	explicit_bzero(buf, sizeof(buf));
	if (n != 0 || (to != -1 && fsync(to) == -1))
		why_sys(why, "%s", words);
	else if (EVP_DigestFinal_ex(md, sum, NULL) != 1)
		why_set(why, "out of memory");
	else
		rc = 0;
	EVP_MD_CTX_free(md);
	return rc;
}
