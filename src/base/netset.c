#include "base/netset.h"

#include <assert.h>
#include <stdlib.h>

/*
 * All below a node lies in its network, on the side of the first bit behind the prefix.
 * A node is in the set or has two children; most of a large set have one or the other.
 */
struct node {
	struct netset_entry entry;
	bool		 listed;	/* in the set; else only a fork */
	struct node	*child[2];
};

struct netset {
	struct node	*root[2];	/* IPv4, IPv6 */
	size_t		 count;
	size_t		 max;
};

static unsigned
width(const struct netaddr *a)
{
	return a->v6 ? 128 : 32;
}

/* The bit with so many others of its family in front of it. */
static unsigned
bit_at(const struct netaddr *a, unsigned i)
{
	i += 128 - width(a);
	return a->ip[i / 8] >> (7 - i % 8) & 1;
}

static bool
lies_in(const struct netaddr *a, const struct node *n)
{
	return netaddr_in(a, &n->entry.net, n->entry.bits);
}

static bool
is_over(const struct node *n, int64_t now_ms)
{
	return n->entry.until_ms != 0 && n->entry.until_ms <= now_ms;
}

struct netset *
netset_new(size_t max)
{
	struct netset *s = calloc(1, sizeof(*s));

	if (s != NULL)
		s->max = max;
	return s;
}

/* Recursion here and below goes as deep as an address has bits. */
static void
free_all(struct node *n)
{
	if (n == NULL)
		return;
	free_all(n->child[0]);
	free_all(n->child[1]);
	free(n);
}

void
netset_free(struct netset **sp)
{
	if (*sp == NULL)
		return;
	free_all((*sp)->root[0]);
	free_all((*sp)->root[1]);
	free(*sp);
	*sp = NULL;
}

static struct node *
node_new(const struct netaddr *net, unsigned bits)
{
	struct node *n = calloc(1, sizeof(*n));

	if (n != NULL)
		n->entry = (struct netset_entry){ netaddr_network(net, bits, bits), bits, 0 };
	return n;
}

/* How many bits two networks of one family have in common, most at most. */
static unsigned
common(const struct netaddr *a, const struct netaddr *b, unsigned most)
{
	unsigned n = 0;

	while (n < most && bit_at(a, n) == bit_at(b, n))
		n++;
	return n;
}

/* Puts a new node in the place of old, which lies beside it or in it; NULL: memory is out. */
static struct node *
put_at(struct node **at, const struct netaddr *net, unsigned bits)
{
	struct node *old = *at, *new = node_new(net, bits), *fork = new;
	unsigned same = bits;

	if (new == NULL)
		return NULL;
	if (old != NULL) {
		same = common(net, &old->entry.net,
		    bits < old->entry.bits ? bits : old->entry.bits);
		if (same < bits) {
			if ((fork = node_new(net, same)) == NULL) {
				free(new);
				return NULL;
			}
			fork->child[bit_at(net, same)] = new;
		}
		fork->child[bit_at(&old->entry.net, same)] = old;
	}
	*at = fork;
	return new;
}

bool
netset_add(struct netset *s, const struct netaddr *net, unsigned bits, int64_t until_ms)
{
	struct node **at = &s->root[net->v6], *n;

	assert(bits <= width(net));
	while ((n = *at) != NULL && n->entry.bits < bits && lies_in(net, n))
		at = &n->child[bit_at(net, n->entry.bits)];
	if (n == NULL || n->entry.bits != bits || !lies_in(net, n)) {
		if (s->count == s->max || (n = put_at(at, net, bits)) == NULL)
			return false;
	} else if (!n->listed && s->count == s->max) {
		return false;
	}
	if (!n->listed)
		s->count++;
	n->listed = true;
	n->entry.until_ms = until_ms;
	return true;
}

/* A node that is not in the set and is no fork goes, and what it has below takes its place. */
static void
tidy(struct node **at)
{
	struct node *n = *at;

	if (n->listed || (n->child[0] != NULL && n->child[1] != NULL))
		return;
	*at = n->child[0] != NULL ? n->child[0] : n->child[1];
	free(n);
}

static bool
remove_at(struct node **at, const struct netaddr *net, unsigned bits)
{
	struct node *n = *at;
	bool gone;

	if (n == NULL || n->entry.bits > bits || !lies_in(net, n))
		return false;
	if (n->entry.bits == bits) {
		gone = n->listed;
		n->listed = false;
	} else {
		gone = remove_at(&n->child[bit_at(net, n->entry.bits)], net, bits);
	}
	if (gone)
		tidy(at);
	return gone;
}

bool
netset_remove(struct netset *s, const struct netaddr *net, unsigned bits)
{
	bool gone;

	assert(bits <= width(net));
	gone = remove_at(&s->root[net->v6], net, bits);
	s->count -= gone;
	return gone;
}

const struct netset_entry *
netset_find(const struct netset *s, const struct netaddr *a, int64_t now_ms)
{
	const struct node *n = s->root[a->v6];

	while (n != NULL && lies_in(a, n)) {
		if (n->listed && !is_over(n, now_ms))
			return &n->entry;
		n = n->entry.bits < width(a) ? n->child[bit_at(a, n->entry.bits)] : NULL;
	}
	return NULL;
}

static size_t
expire_at(struct node **at, int64_t now_ms)
{
	struct node *n = *at;
	size_t gone;

	if (n == NULL)
		return 0;
	gone = expire_at(&n->child[0], now_ms) + expire_at(&n->child[1], now_ms);
	if (n->listed && is_over(n, now_ms)) {
		n->listed = false;
		gone++;
	}
	if (gone > 0)
		tidy(at);
	return gone;
}

size_t
netset_expire(struct netset *s, int64_t now_ms)
{
	size_t gone = expire_at(&s->root[0], now_ms) + expire_at(&s->root[1], now_ms);

	s->count -= gone;
	return gone;
}

size_t
netset_count(const struct netset *s)
{
	return s->count;
}

static void
each_at(const struct node *n, netset_fn *fn, void *arg)
{
	if (n == NULL)
		return;
	if (n->listed)
		fn(arg, &n->entry);
	each_at(n->child[0], fn, arg);
	each_at(n->child[1], fn, arg);
}

void
netset_each(const struct netset *s, netset_fn *fn, void *arg)
{
	each_at(s->root[0], fn, arg);
	each_at(s->root[1], fn, arg);
}
