#include "home/bans.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/log.h"
#include "proto/policy.h"

struct listing {
	struct policy_ban *list;
	size_t		 n;
};

static void
list_one(void *arg, const struct netset_entry *e)
{
	struct listing *l = arg;

	l->list[l->n++] = (struct policy_ban){ e->net, e->bits, e->until_ms };
}

/* False: memory is out, and the text is as it was. */
static bool
word(struct home_bans *b)
{
	struct listing l = { .n = 0 };
	struct buf text;
	bool ok;

	if ((l.list = calloc(netset_count(b->now) + 1, sizeof(*l.list))) == NULL)
		return false;
	netset_each(b->now, list_one, &l);
	buf_init(&text, POLICY_OCTETS_MAX);
	ok = policy_print_bans(l.list, l.n, &text);
	free(l.list);
	if (!ok || EVP_Digest(text.p, text.n, b->digest, NULL, EVP_sha256(), NULL) != 1) {
		buf_fini(&text);
		return false;
	}
	if (l.n == 0)
		memset(b->digest, 0, sizeof(b->digest));
	buf_fini(&b->text);
	b->text = text;
	return true;
}

static bool
fill(struct netset *set, const struct spool_bans *told)
{
	for (size_t i = 0; i < told->n; i++) {
		const struct netset_entry *e = &told->list[i].on;

		if (told->list[i].lifted)
			(void)netset_remove(set, &e->net, e->bits);
		else if (!netset_add(set, &e->net, e->bits, e->until_ms))
			return false;
	}
	return true;
}

bool
home_bans_take(struct home_bans *b, const struct spool_bans *told, int64_t now_ms)
{
	bool ok = true;

	if (told->anew) {
		netset_free(&b->coming);
		ok = (b->coming = netset_new(POLICY_BANS_MAX)) != NULL;
	} else if (b->coming == NULL) {
		if (b->now == NULL)
			b->now = netset_new(POLICY_BANS_MAX);
		if ((ok = b->now != NULL))
			(void)netset_expire(b->now, now_ms);
	}
	ok = ok && fill(b->coming != NULL ? b->coming : b->now, told);
	if (!told->whole && ok)
		return false;
	if (ok && b->coming != NULL) {
		netset_free(&b->now);
		b->now = b->coming;
		b->coming = NULL;
	}
	if (ok && word(b))
		return true;
	log_error(NULL, "bans.memory kept=what the edges were told before");
	return false;
}

void
home_bans_fini(struct home_bans *b)
{
	netset_free(&b->now);
	netset_free(&b->coming);
	buf_fini(&b->text);
	*b = (struct home_bans){ .now = NULL };
}
