#include "edge/recall.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "edge/home_board.h"

#define PIECE	65536

/* --- each kind ---------------------------------------------------------------------------- */

static bool
has_policy(const struct home *h)
{
	return h->policy != NULL;
}

static void
take_policy(struct edge *e, struct home *h, struct span text, int64_t said_ms, struct why *why)
{
	struct policy *p = policy_parse(text, why);

	if (p == NULL)
		return;
	for (size_t i = 0; i < p->nservices; i++)
		p->services[i].up = false;
	/* Without a tag the home is asked for all of it as soon as it is there. */
	home_set_policy(h, p, span_of(NULL, 0));
	(void)home_board(e, h);
}

static void
print_policy(const struct home *h, struct buf *out)
{
	(void)policy_print(h->policy, out);
}

static bool
has_bans(const struct home *h)
{
	return h->bans != NULL;
}

/* A clock that was set back since errs to a longer ban, but never beyond its whole time. */
static void
take_bans(struct edge *e, struct home *h, struct span text, int64_t said_ms, struct why *why)
{
	int64_t now = boot_ms(), gone = wall_ms() - said_ms;
	struct netset *set = netset_new(POLICY_BANS_MAX);
	struct ban_reader r = { .n = 0 };
	struct ban_change c;
	enum ban_read got;

	if (gone < 0)
		gone = 0;
	while (set != NULL && (got = ban_next(&r, &text, now, &c, why)) == BAN_ONE) {
		if (c.on.until_ms != 0 && c.on.until_ms - gone <= now)
			continue;
		if (c.on.until_ms != 0)
			c.on.until_ms -= gone;
		if (!bans_apply(set, &c, now))
			break;
	}
	if (set == NULL || text.n > 0)
		why_set(why, "%s", why->text[0] != '\0' ? why->text : "memory is out");
	else if (!ban_whole(&r))
		why_set(why, "the list is cut off");
	if (why->text[0] != '\0')
		netset_free(&set);
	else
		home_set_bans(h, set, span_of(NULL, 0));
}

static void
print_ban(void *arg, const struct netset_entry *b)
{
	struct ban_change c = { .on = { .net = b->net, .bits = b->bits,
		.until_ms = b->until_ms } };

	if (b->until_ms == 0 || b->until_ms > boot_ms())
		(void)ban_print(&c, boot_ms(), arg);
}

static void
print_bans(const struct home *h, struct buf *out)
{
	netset_each(h->bans, print_ban, out);
}

static bool
has_place(const struct home *h)
{
	return h->nat > 0;
}

static void
take_places(struct edge *e, struct home *h, struct span text, int64_t said_ms, struct why *why)
{
	struct netaddr at[HOME_AT_MAX];
	size_t n = 0;
	const char *lf;

	while (text.n > 0 && n < HOME_AT_MAX && (lf = memchr(text.p, '\n', text.n)) != NULL) {
		struct span line = span_of(text.p, (size_t)(lf - text.p));

		if (!netaddr_parse_ip(line, &at[n++])) {
			why_set(why, "a line of it is no address");
			return;
		}
		text = span_from(text, line.n + 1);
	}
	while (n > 0)
		(void)home_came_from(h, &at[--n]);
}

static void
print_places(const struct home *h, struct buf *out)
{
	for (size_t i = 0; i < h->nat; i++) {
		buf_add_str(out, netaddr_ip(&h->at[i]).s);
		buf_add_str(out, "\n");
	}
}

/* --- all of it ---------------------------------------------------------------------------- */

static const struct kind {
	const char	*name;
	bool		(*has)(const struct home *);
	void		(*take)(struct edge *, struct home *, struct span, int64_t said_ms,
			    struct why *);
	void		(*print)(const struct home *, struct buf *);
} kinds[SPOOL_SAID_KINDS] = {
	[SPOOL_SAID_POLICY] = { "policy", has_policy, take_policy, print_policy },
	[SPOOL_SAID_BANS] = { "bans", has_bans, take_bans, print_bans },
	[SPOOL_SAID_FROM] = { "addresses", has_place, take_places, print_places },
};

/* Takes fd. */
static int
read_whole(int fd, struct buf *out, int64_t *said_ms, struct why *why)
{
	ssize_t n = -1;
	struct stat st;
	char *room;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
		close(fd);
		return why_set(why, "its file cannot be looked at");
	}
	*said_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	while ((room = buf_room(out, PIECE)) != NULL) {
		n = read(fd, room, PIECE);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		buf_used(out, (size_t)n);
	}
	close(fd);
	if (room == NULL)
		return why_set(why, "its file is longer than may be");
	return n == 0 ? 0 : why_sys(why, "its file cannot be read");
}

void
recall_take(struct edge *e, const char *home, enum spool_said what, int fd)
{
	struct home *h = homes_by_name(&e->homes, home);
	struct why why = { "" };
	int64_t said_ms = 0;
	struct buf text;

	if (h == NULL || kinds[what].has(h)) {
		close(fd);
		return;
	}
	buf_init(&text, SPOOL_SAID_MAX);
	if (read_whole(fd, &text, &said_ms, &why) == 0)
		kinds[what].take(e, h, buf_span(&text), said_ms, &why);
	buf_fini(&text);
	if (why.text[0] != '\0')
		log_error(NULL, "said.lost home=%s: %s", h->name, why.text);
	else
		log_info(NULL, "said.recalled home=%s what=%s", h->name, kinds[what].name);
	h->unsaid[what] = false;
}

static void
say(struct edge *e, struct home *h, enum spool_said what)
{
	struct buf text;

	buf_init(&text, SPOOL_SAID_MAX);
	kinds[what].print(h, &text);
	if (!text.failed)
		spool_say(e->spool, h->name, what, buf_span(&text));
	else
		log_warn(NULL, "said.unkept home=%s: memory is out", h->name);
	buf_fini(&text);
	h->unsaid[what] = false;
	h->said_at[what] = instant_now();
}

static bool
due(const struct home *h, enum spool_said what, bool anyway)
{
	return h->unsaid[what] && kinds[what].has(h) && (anyway || h->said_at[what].ns == 0 ||
	    instant_ms_since(h->said_at[what], instant_now()) >= RECALL_REST_MS);
}

void
recall_sweep(struct edge *e, bool anyway)
{
	for (size_t i = 0; e->writer && i < e->homes.n; i++)
		for (unsigned what = 0; what < SPOOL_SAID_KINDS; what++)
			if (due(e->homes.list[i], (enum spool_said)what, anyway))
				say(e, e->homes.list[i], (enum spool_said)what);
}

void
recall_all(struct edge *e)
{
	for (size_t i = 0; i < e->homes.n; i++)
		for (unsigned what = 0; what < SPOOL_SAID_KINDS; what++)
			e->homes.list[i]->unsaid[what] = true;
}
