/* bucket "NAME" {...} and spool = "s3://...": the rules across their keys. */
#include "conf/conf.h"
#include "conf/table.h"

#include <string.h>

#include "proto/s3_listing.h"

const char *const conf_bucket_styles[] = { "path", "host", NULL };

/* What is signed could be read, and said again, by whoever is on the way. */
static int
endpoint_ok(const struct conf_bucket *b, size_t item, struct conf_fault *f)
{
	struct conf_url u;
	struct netaddr a;
	struct why why;
	const char *path;

	if (b->endpoint[0] == '\0')
		return conf_fault_set(f, "bucket", "endpoint", item, "missing; write the store's "
		    "URL, like \"https://ACCOUNT.r2.cloudflarestorage.com\"");
	if (!conf_url_parse(span_str(b->endpoint), &u, &why))
		return conf_fault_set(f, "bucket", "endpoint", item, "no URL; write one like "
		    "\"https://ACCOUNT.r2.cloudflarestorage.com\"");
	path = strpbrk(strstr(b->endpoint, "//") + 2, "/?#");
	if (path != NULL && strcmp(path, "/") != 0)
		return conf_fault_set(f, "bucket", "endpoint", item, "\"%.100s\" does not belong "
		    "to it; a bucket's name is written as bucket = \"...\"", path);
	if (u.tls || b->plain || strcmp(u.host, "localhost") == 0 ||
	    (netaddr_parse_ip(span_str(u.host), &a) && !netaddr_is_global(&a)))
		return 0;
	return conf_fault_set(f, "bucket", "endpoint", item, "it is not encrypted; write https://, "
	    "or plain = true if the way there is your own");
}

static bool
region_ok(const char *s)
{
	return s[0] != '\0' && s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789-_")] == '\0';
}

static bool
prefix_ok(const char *s)
{
	size_t n = strlen(s);

	return n >= 2 && s[n - 1] == '/' && s[0] != '/' && s3_key_name(s) &&
	    strncmp(s, CONF_BUCKET_PROCESSED, strlen(CONF_BUCKET_PROCESSED)) != 0;
}

/* What is said of a store by either role. */
static int
store_ok(const struct conf_bucket *b, size_t i, struct conf_fault *f)
{
	if (!conf_service_name_ok(b->name))
		return conf_fault_set(f, "bucket", "", i, "a bucket cannot be called \"%s\" here; "
		    "use a to z, 0 to 9, _ and -, and write its name at the store as "
		    "bucket = \"...\"", b->name);
	if (endpoint_ok(b, i, f) == -1)
		return -1;
	if (b->bucket[0] == '\0')
		return conf_fault_set(f, "bucket", "bucket", i, "missing; write the bucket's name "
		    "at the store");
	if (!s3_bucket_name(span_str(b->bucket)))
		return conf_fault_set(f, "bucket", "bucket", i, "no bucket is called so; it has 3 "
		    "to 63 letters, digits, dots, hyphens and underscores");
	if (!region_ok(b->region))
		return conf_fault_set(f, "bucket", "region", i, "no region; write one like "
		    "\"eu-central-1\", or \"auto\" for R2");
	if (b->credentials[0] == '\0')
		return conf_fault_set(f, "bucket", "credentials", i, "missing; write the file that "
		    "has the access key id on its first line and the secret on its second");
	return 0;
}

static int
bucket_ok(const struct conf_home *c, size_t i, struct conf_fault *f)
{
	const struct conf_bucket *b = &c->buckets[i];

	if (store_ok(b, i, f) == -1)
		return -1;
	if (!prefix_ok(b->prefix))
		return conf_fault_set(f, "bucket", "prefix", i, "write one that ends in a slash "
		    "and does not begin with one, like \"pending/\"; processed/ is taken");
	if (b->old[0] != '\0' && conf_home_worker(c, b->old) == NULL)
		return conf_fault_set(f, "bucket", "old", i, "no worker here has that name; "
		    "write the one whose domains that mail may be for");
	return 0;
}

int
conf_buckets_settle(const struct conf_home *c, struct conf_fault *f)
{
	for (size_t i = 0; i < c->nbuckets; i++)
		if (bucket_ok(c, i, f) == -1)
			return -1;
	return 0;
}

/* s3://BUCKET[/PREFIX[/]] */
static bool
spool_parse(struct conf_bucket *b, const char *spool)
{
	static const char scheme[] = "s3://";
	const char *at = spool + sizeof(scheme) - 1, *prefix;
	size_t n, k;

	if (strncmp(spool, scheme, sizeof(scheme) - 1) != 0)
		return false;
	n = strcspn(at, "/");
	prefix = at[n] != '\0' && at[n + 1] != '\0' ? at + n + 1 : "pending/";
	k = strlen(prefix);
	if (k + 2 > sizeof(b->prefix) || !s3_bucket_name(span_of(at, n)) ||
	    !span_copy(span_of(at, n), b->bucket, sizeof(b->bucket)))
		return false;
	memcpy(b->prefix, prefix, k);
	if (prefix[k - 1] != '/')
		b->prefix[k++] = '/';
	b->prefix[k] = '\0';
	return prefix_ok(b->prefix);
}

int
conf_spool_settle(struct conf_edge *c, struct conf_fault *f)
{
	struct conf_bucket *b = &c->bucket[0];

	if (c->spool[0] == '\0' && c->nbuckets > 0)
		return conf_fault_set(f, "bucket", "", 0, "nothing goes to this bucket; write "
		    "spool = \"s3://BUCKET/pending/\" too, or leave it out");
	if (c->spool[0] == '\0')
		return 0;
	if (!spool_parse(b, c->spool))
		return conf_fault_set(f, "", "spool", 0, "no place in a store; write one like "
		    "\"s3://BUCKET/pending/\", where home looks too; processed/ is taken");
	if (c->nbuckets == 0)
		return conf_fault_set(f, "", "spool", 0, "how is that store reached? Write a "
		    "section bucket \"NAME\" { endpoint = ... credentials = ... }");
	if (store_ok(b, 0, f) == -1)
		return -1;
	if (c->verdict_ms > 0)
		return conf_fault_set(f, "", "verdict", 0, "with spool = \"s3://...\" home finds "
		    "mail in the bucket, and cannot be asked first; write 0s");
	for (size_t i = 0; i < c->nservices; i++)
		if (c->services[i].auth)
			return conf_fault_set(f, "service", "auth", i, "with spool = "
			    "\"s3://...\" this edge takes no mail from Workers; let them put it "
			    "into the bucket themselves");
	return 0;
}
