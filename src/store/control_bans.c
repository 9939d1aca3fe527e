#include "store/control_answer.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "proto/policy.h"
#include "store/control.h"
#include "store/db.h"
#include "store/writer.h"

/* ban, unban, bans. */

struct net_text {
	char	s[80];
};

/* As a person writes it: one address without its prefix. */
static struct net_text
net_text(const struct netset_entry *e)
{
	struct net_text t;

	if (e->bits == (e->net.v6 ? 128 : 32))
		snprintf(t.s, sizeof(t.s), "%s", netaddr_ip(&e->net).s);
	else
		snprintf(t.s, sizeof(t.s), "%s/%u", netaddr_ip(&e->net).s, e->bits);
	return t;
}

static int
at_home(struct writer *w, struct why *why)
{
	if (writer_conf(w)->role == CONF_HOME)
		return 0;
	return why_set(why, "bans are made at home, which tells its edges");
}

static int
get_net(const json_t *q, struct netset_entry *e, struct why *why)
{
	const json_t *j = json_object_get(q, "net");
	struct span text = span_of(json_string_value(j), json_string_length(j));
	struct policy_ban b;

	if (!json_is_string(j))
		return why_set(why, "the question names no address");
	if (!policy_ban_parse(text, &b, why))
		return -1;
	*e = (struct netset_entry){ b.net, b.bits, 0 };
	return 0;
}

/* "" where none is said, NULL where it is no name: it is shown on terminals. */
static const char *
get_by(const json_t *q)
{
	const json_t *j = json_object_get(q, "by");
	const char *by = json_string_value(j);
	size_t n = json_string_length(j);

	if (j == NULL)
		return "";
	if (by == NULL || n == 0 || n >= DB_BAN_BY_MAX || strlen(by) != n)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (by[i] <= ' ' || by[i] >= 0x7f)
			return NULL;
	return by;
}

static json_t *
bad_by(void)
{
	struct why why;

	why_set(&why, "who bans is one word of printable ASCII, %d octets at most",
	    DB_BAN_BY_MAX - 1);
	return answer_misused(&why);
}

/* A text of the scoreboard, copied: others write it meanwhile.  A name is no address. */
static bool
names_one_of(const char *text, size_t max, const struct netset_entry *e)
{
	struct netaddr a;

	return netaddr_parse(span_of(text, strnlen(text, max)), &a) &&
	    netaddr_in(&a, &e->net, e->bits);
}

/* The scoreboard says where our tunnels ended last, and where one is looked for. */
static int
spare_edges(struct writer *w, const struct netset_entry *e, struct why *why)
{
	struct scoreboard *b = writer_conf(w)->board;

	for (size_t i = 0; b != NULL && i < BOARD_PEERS; i++) {
		char name[sizeof(b->peer[i].name)], at[sizeof(b->peer[i].at)];
		char address[sizeof(b->peer[i].address)];

		memcpy(name, b->peer[i].name, sizeof(name));
		memcpy(at, b->peer[i].at, sizeof(at));
		memcpy(address, b->peer[i].address, sizeof(address));
		if (names_one_of(at, sizeof(at), e) || names_one_of(address, sizeof(address), e))
			return why_set(why, "%s is where edge %s is: it is never banned",
			    net_text(e).s, log_safe(span_of(name, strnlen(name, sizeof(name)))).s);
	}
	return 0;
}

json_t *
answer_ban(struct writer *w, const json_t *q)
{
	json_int_t for_ms = json_integer_value(json_object_get(q, "for_ms"));
	struct db_ban b = { .made_ms = wall_ms() };
	const char *by = get_by(q);
	struct why why;
	json_t *o;

	if (by == NULL)
		return bad_by();
	if (at_home(w, &why) == -1 || get_net(q, &b.on, &why) == -1 ||
	    spare_edges(w, &b.on, &why) == -1 ||
	    ((for_ms < 0 || for_ms > INT64_MAX / 2) &&
	    why_set(&why, "a ban lasts for some time, or for ever") == -1))
		return answer_failed(&why);
	(void)span_copy(span_str(by), b.by, sizeof(b.by));
	b.on.until_ms = for_ms > 0 ? b.made_ms + for_ms : 0;
	if (writer_ban(w, &b, &why) == -1)
		return answer_failed(&why);
	log_info(NULL, "ban.made net=%s seconds=%lld by=%s", net_text(&b.on).s,
	    (long long)(for_ms / 1000), b.by[0] != '\0' ? b.by : "-");
	o = answer_ok();
	json_object_set_new(o, "net", json_string(net_text(&b.on).s));
	json_object_set_new(o, "until", answer_moment(b.on.until_ms));
	return o;
}

/* What somebody wants to be rid of holds on: he must be told by what. */
static int
still_banned(struct writer *w, const struct netset_entry *e, struct why *why)
{
	const struct netset_entry *around = netset_find(writer_bans(w), &e->net, boot_ms());

	if (around == NULL || around->bits >= e->bits)
		return 0;
	return why_set(why, "%s lies in %s, which is still banned", net_text(e).s,
	    net_text(around).s);
}

json_t *
answer_unban(struct writer *w, const json_t *q)
{
	const json_t *net = json_object_get(q, "net");
	const char *by = get_by(q);
	struct netset_entry e;
	struct why why;
	json_t *o;
	int n;

	if (by == NULL)
		return bad_by();
	if (at_home(w, &why) == -1 || (net != NULL && get_net(q, &e, &why) == -1))
		return answer_failed(&why);
	n = writer_unban(w, net != NULL ? &e : NULL, by[0] != '\0' ? by : NULL, &why);
	if (n == -1 || (n == 0 && net != NULL && still_banned(w, &e, &why) == -1))
		return answer_failed(&why);
	if (n > 0)
		log_info(NULL, "ban.lifted net=%s bans=%d by=%s",
		    net != NULL ? net_text(&e).s : "all", n, by[0] != '\0' ? by : "-");
	o = answer_ok();
	json_object_set_new(o, "lifted", json_integer(n));
	if (net != NULL && still_banned(w, &e, &why) == -1)
		json_object_set_new(o, "still", json_string(why.text));
	return o;
}

struct page {
	json_t		*bans;
	int64_t		 last;
	bool		 more;
};

static bool
page_ban(void *arg, const struct db_ban *b)
{
	struct page *p = arg;

	if (json_array_size(p->bans) == CONTROL_BANS_PAGE) {
		p->more = true;
		return false;
	}
	p->last = b->num;
	return json_array_append_new(p->bans, json_pack("{s:s, s:o, s:o, s:I, s:o, s:I}",
	    "net", net_text(&b->on).s,
	    "by", answer_text(b->by, sizeof(b->by)),
	    "made", answer_moment(b->made_ms), "made_ms", (json_int_t)b->made_ms,
	    "until", answer_moment(b->on.until_ms), "until_ms", (json_int_t)b->on.until_ms)) == 0;
}

json_t *
answer_bans(struct writer *w, const json_t *q)
{
	int64_t after = json_integer_value(json_object_get(q, "after"));
	struct page p = { .more = false };
	struct why why;
	json_t *o;

	if (at_home(w, &why) == -1)
		return answer_failed(&why);
	p.bans = json_array();
	if (db_bans(writer_db(w), after, wall_ms(), page_ban, &p, &why) == -1) {
		json_decref(p.bans);
		return answer_failed(&why);
	}
	o = answer_ok();
	json_object_set_new(o, "bans", p.bans);
	if (p.more)
		json_object_set_new(o, "more", json_integer(p.last));
	return o;
}
