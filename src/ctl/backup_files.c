#include "ctl/backup_files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *const backup_keys[] = {
	"age.key", "age-retired.key", "tunnel.pem", "tunnel-next.pem", "password.key",
	"password-counters", NULL,
};

void
backup_key_path(const struct role *r, const char *key, char out[BACKUP_PATH_MAX])
{
	if (strcmp(key, "age.key") == 0)
		snprintf(out, BACKUP_PATH_MAX, "%s", r->home->age_key);
	else if (strcmp(key, "tunnel.pem") == 0)
		snprintf(out, BACKUP_PATH_MAX, "%s", r->common->tunnel_key);
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

static int
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = write(fd, p, n);

		if (k == -1 && errno == EINTR)
			continue;
		if (k <= 0)
			return -1;
		p += k;
		n -= (size_t)k;
	}
	return 0;
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
	while ((n = read(from, buf, sizeof(buf))) > 0 || (n == -1 && errno == EINTR)) {
		if (n == -1)
			continue;
		if (to != -1 && write_all(to, buf, (size_t)n) == -1)
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
