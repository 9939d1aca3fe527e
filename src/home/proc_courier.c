#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/secret.h"
#include "home/courier.h"
#include "home/delivery.h"
#include "home/filter.h"
#include "home/home.h"
#include "home/post.h"
#include "home/recipients.h"
#include "home/retired.h"
#include "priv/proc.h"
#include "proto/crypto.h"

#define OWN_LINES	2048	/* octets: the edge's Received, our X-Posthouse-Id */

/*
 * The courier process of a home: the only one that sees mail in the clear.
 *
 * It holds the age identities, retired ones too, and either the folder of mailboxes or the
 * way into the mail server that the configuration names: its password, and connections that
 * it makes itself, since whoever made them for it would see mail in the clear.  With a
 * folder it has no network; with a server it may connect, where the kernel can say so to
 * that one port alone, and has no folder.  Either way it asks the filter, if there is one,
 * whose port is open to it then as well.  It talks to the writer (claims and notes), the
 * helper (the list of mailboxes), the resolver (the server's name) and the tunnel (what the
 * destination honours).  An attacker inside it, who came by a sealed object that our
 * parsers misread or a reply of that server or filter, reads all mail that passes and writes into
 * mailboxes.
 *
 * It blocks on the disk, in fsync and syncfs: it has nothing else to serve, and
 * a loop that went on would only open more mail that waits for the same disk.
 */
struct courier_proc {
	struct proc	*proc;
	struct courier	 courier;
	struct chan	*to_writer;	/* came before start */
	struct chan	*to_tunnel;
	struct chan	*to_drain;
	struct chan	*to_helper;
	struct retired	 retired;
	struct recipients_out recipients;
	uv_timer_t	 fresh;		/* tells edges that the list still holds */
	struct buf	 key_file;	/* until start */
	struct buf	 retired_file;
	struct buf	 password;
	struct buf	 filter;	/* its password */
	struct chan	*to_resolver;	/* came before start */
	struct delivery	 delivery;	/* what the destination honours */
	bool		 started;
	uv_timer_t	 drained;
};

static struct courier_proc *
courier_of(struct proc *p)
{
	struct courier_proc *c = p->arg;

	if (c == NULL) {
		if ((c = calloc(1, sizeof(*c))) == NULL)
			abort();	/* at start: memory is out */
		c->proc = p;
		buf_init(&c->key_file, CONF_FILE_MAX);
		buf_init(&c->retired_file, CONF_FILE_MAX);
		buf_init(&c->password, CONF_FILE_MAX);
		buf_init(&c->filter, CONF_FILE_MAX);
		p->arg = c;
	}
	return c;
}

#define FRESH_MS	5000
#define FRESH_PARTS	8	/* of stale_after: how old an edge thinks a list that still holds */

/* --- what the tunnel passes on in policy --------------------------------------------------- */

static void
tell_backend(struct courier_proc *cp)
{
	const struct courier *c = &cp->courier;
	struct delivery *d = &cp->delivery;
	const struct conf_home *conf = cp->proc->home;
	size_t n = 0;

	if (c->nids == 0)
		return;
	for (; n < c->nids && n < AGE_RECIPIENTS_MAX; n++)
		memcpy(d->recipients[n].pub, c->ids[n].pub, sizeof(d->recipients[n].pub));
	if (n < AGE_RECIPIENTS_MAX && conf->recovery[0] != '\0' &&
	    age_recipient_parse(span_str(conf->recovery), &d->recipients[n]))
		n++;
	d->nrecipients = n;
	if (cp->to_tunnel != NULL)
		delivery_tell(d, cp->to_tunnel);
	if (cp->to_drain != NULL)
		delivery_tell(d, cp->to_drain);
}

/* What an edge may announce is what the server takes, less the lines that we add. */
static void
on_offers(void *arg, const struct smtp_ehlo *e)
{
	struct courier_proc *cp = arg;
	size_t own = OWN_LINES + (cp->courier.filter != NULL ? FILTER_LINES_MAX : 0);

	cp->delivery.smtputf8 = (e->offers & SMTP_OFFER_SMTPUTF8) != 0;
	cp->delivery.dsn = (e->offers & SMTP_OFFER_DSN) != 0;
	cp->delivery.size = e->size > 2 * own ? e->size - own : e->size;
	tell_backend(cp);
}

/*
 * Who is here, for edges: when the list is another one, and from time to time although it is
 * not, so that an edge knows how old it is.
 */
static void
tell_recipients(struct courier_proc *cp, bool anyway)
{
	struct courier *c = &cp->courier;
	const struct conf_home *conf = cp->proc->home;
	struct recipients_out *out = &cp->recipients;
	struct router router;
	int64_t learned_ms;
	uint64_t number;

	if (cp->to_tunnel == NULL || !cp->started || !c->peers_known || !roster_known(c->roster))
		return;
	number = roster_number(c->roster, &learned_ms);
	if (!anyway && number == out->number &&
	    learned_ms - out->learned_ms < conf->stale_after_ms / FRESH_PARTS)
		return;
	out->number = number;
	roster_router(c->roster, c->conf, &c->edges, &router);
	recipients_tell(out, cp->to_tunnel, &c->edges, &router, conf->edges_refuse, learned_ms);
}

static void
on_fresh(uv_timer_t *timer)
{
	tell_recipients(timer->data, false);
}

static void
on_peers(void *arg)
{
	tell_recipients(arg, true);
}

static void
on_tunnel(void *arg, struct chan_msg *m)
{
	log_error(
	    NULL, "courier.message type=%u: tunnel and drain have nothing to tell; dropped",
	    m->type);
}

static void
on_tunnel_closed(void *arg, const struct why *why)
{
	struct courier_proc *cp = arg;

	chan_free(&cp->to_tunnel);
}

static void
on_drain_closed(void *arg, const struct why *why)
{
	struct courier_proc *cp = arg;

	chan_free(&cp->to_drain);
}

/* --- keys --------------------------------------------------------------------------------- */

/* Takes ids in place of those in use, or of the retired ones. */
static void
put_keys(struct courier *c, const struct age_identity *ids, size_t n, bool retired)
{
	struct age_identity *old = retired ? c->ids + c->nids : c->ids;
	size_t nold = retired ? c->nretired : c->nids;

	for (size_t i = 0; i < nold; i++)
		age_identity_fini(&old[i]);
	if (!retired)
		memmove(c->ids + n, c->ids + nold, c->nretired * sizeof(*ids));
	memcpy(old, ids, n * sizeof(*ids));
	if (retired)
		c->nretired = n;
	else
		c->nids = n;
	c->opener.nids = c->nids + c->nretired;		/* what was claimed comes yet */
}

static void
take_retired(struct courier_proc *cp, struct span file)
{
	struct age_identity ids[COURIER_IDENTITIES_MAX];
	struct why why = { "" };
	int n = age_identities_read(file, ids, COURIER_IDENTITIES_MAX, &why);

	if (n == -1) {
		log_error(NULL, "age.retired kept=%zu: %s", cp->courier.nretired, why.text);
		return;
	}
	put_keys(&cp->courier, ids, (size_t)n, true);
	explicit_bzero(ids, sizeof(ids));
	log_info(NULL, "age.retired identities=%d", n);
	retired_changed(&cp->retired);
}

static void
on_unneeded(void *arg)
{
	struct courier_proc *cp = arg;

	chan_send(cp->proc->parent, PM_UNRETIRED, 0, NULL, 0, -1);
}

/* The identities in force stay where the new file is not one. */
static void
take_keys(struct courier_proc *cp, struct span file)
{
	struct courier *c = &cp->courier;
	struct age_identity ids[COURIER_IDENTITIES_MAX];
	struct why why = { "" };
	int n = age_identities_read(file, ids, COURIER_IDENTITIES_MAX, &why);

	if (n <= 0) {
		log_error(NULL, "age.key kept=%zu: %s", c->nids,
		    n == 0 ? "the key file holds no identity" : why.text);
		courier_alarm(c);
		return;
	}
	put_keys(c, ids, (size_t)n, false);
	explicit_bzero(ids, sizeof(ids));
	log_info(NULL, "age.keys identities=%d", n);
	courier_alarm(c);
	tell_backend(cp);
	retired_changed(&cp->retired);
	courier_work(c);
}

static void
keep(struct buf *to, struct span value)
{
	buf_wipe(to);
	buf_init(to, CONF_FILE_MAX);
	buf_add_span(to, value);
}

static void
on_secret(struct proc *p, const char *name, struct span value)
{
	struct courier_proc *cp = courier_of(p);
	struct courier *c = &cp->courier;

	if (strcmp(name, "deliver") == 0) {
		if (!cp->started)
			keep(&cp->password, value);
		else if (c->post != NULL)
			post_password(c->post, value);
	} else if (strcmp(name, "filter") == 0) {
		if (!cp->started)
			keep(&cp->filter, value);
		else if (c->filter != NULL)
			filter_password(c->filter, value);
	} else if (strcmp(name, "age-retired") == 0) {
		if (cp->started)
			take_retired(cp, value);
		else
			keep(&cp->retired_file, value);
	} else if (strcmp(name, "age") == 0) {
		if (cp->started)
			take_keys(cp, value);
		else
			keep(&cp->key_file, value);
	}
}

/* --- what the parent tells ---------------------------------------------------------------- */

static void
on_dir(struct proc *p, const char *name, int fd)
{
	close(fd); /* store/maildir.h opens the folder by its path, which the sandbox leaves open */
}

static void
on_roster(void *arg)
{
	struct courier_proc *cp = arg;

	courier_alarm(&cp->courier);
	tell_recipients(cp, false);
	courier_work(&cp->courier);
}

static void
tunnel_attach(struct courier_proc *cp)
{
	chan_start(cp->to_tunnel, on_tunnel, on_tunnel_closed, cp);
	tell_backend(cp);
	tell_recipients(cp, true);
}

static void
drain_attach(struct courier_proc *cp)
{
	chan_start(cp->to_drain, on_tunnel, on_drain_closed, cp);
	tell_backend(cp);
}

static void
on_peer_chan(struct proc *p, enum proc_kind kind, struct chan *chan)
{
	struct courier_proc *cp = courier_of(p);

	switch (kind) {
	case PROC_WRITER:
		if (cp->started)
			spool_attach(cp->courier.spool, chan);
		else
			cp->to_writer = chan;
		break;
	case PROC_HELPER:
		if (cp->started)
			roster_attach(cp->courier.roster, chan);
		else
			cp->to_helper = chan;
		break;
	case PROC_RESOLVER:
		if (cp->courier.post != NULL)
			post_resolver(cp->courier.post, chan);
		else if (cp->started)
			chan_free(&chan);
		else
			cp->to_resolver = chan;
		break;
	case PROC_TUNNEL:
		if (cp->to_tunnel != NULL)
			chan_free(&cp->to_tunnel);
		cp->to_tunnel = chan;
		if (cp->started)
			tunnel_attach(cp);
		break;
	case PROC_DRAIN:
		if (cp->to_drain != NULL)
			chan_free(&cp->to_drain);
		cp->to_drain = chan;
		if (cp->started)
			drain_attach(cp);
		break;
	default:
		chan_free(&chan);
		break;
	}
}

static int
start(struct proc *p, struct why *why)
{
	struct courier_proc *cp = courier_of(p);
	struct courier *c = &cp->courier;

	if (!crypto_init())
		return why_set(why, "this libcrypto lacks X25519 or ChaCha20-Poly1305");
	courier_init(c, p->loop, p->home, p->board, p->board->proc[p->kind].alarm);
	retired_init(&cp->retired, c, on_unneeded, cp);
	if (p->home->maildir[0] != '\0') {
		cp->delivery.smtputf8 = cp->delivery.dsn = true;
		if ((c->maildir = maildir_new(&sys_real, p->home->maildir, why)) == NULL)
			return -1;
	} else if ((c->post = post_new(c, on_offers, cp, why)) == NULL) {
		return -1;
	}
	if (p->home->filter.rspamd[0] != '\0' && (c->filter = filter_new(c, why)) == NULL)
		return -1;
	c->spool = spool_new(&courier_events, c, -1, 0, 0);
	c->roster = roster_new(p->loop, on_roster, cp);
	c->peers = on_peers;
	c->peers_arg = cp;
	if (c->spool == NULL || c->roster == NULL)
		return why_set(why, "memory is out");
	uv_timer_init(p->loop, &cp->fresh);
	cp->fresh.data = cp;
	uv_timer_init(p->loop, &cp->drained);
	cp->drained.data = cp;
	return 0;
}

static void
run(struct proc *p)
{
	struct courier_proc *cp = courier_of(p);
	struct courier *c = &cp->courier;

	cp->started = true;
	edges_configure(&c->edges, p->home);
	roster_configure(c->roster, p->home);
	if (cp->retired_file.n > 0)
		take_retired(cp, buf_span(&cp->retired_file));
	take_keys(cp, buf_span(&cp->key_file));
	buf_wipe(&cp->key_file);
	buf_wipe(&cp->retired_file);
	if (cp->to_helper != NULL)
		roster_attach(c->roster, cp->to_helper);
	if (c->post != NULL && cp->password.n > 0)
		post_password(c->post, buf_span(&cp->password));
	buf_wipe(&cp->password);
	if (c->filter != NULL && cp->filter.n > 0)
		filter_password(c->filter, buf_span(&cp->filter));
	buf_wipe(&cp->filter);
	if (c->post != NULL && cp->to_resolver != NULL)
		post_resolver(c->post, cp->to_resolver);
	else if (cp->to_resolver != NULL)
		chan_free(&cp->to_resolver);
	cp->to_resolver = NULL;
	if (cp->to_tunnel != NULL)
		tunnel_attach(cp);
	if (cp->to_drain != NULL)
		drain_attach(cp);
	if (cp->to_writer != NULL)
		spool_attach(c->spool, cp->to_writer);
	cp->to_helper = cp->to_writer = NULL;
	tell_recipients(cp, true);
	uv_timer_start(&cp->fresh, on_fresh, FRESH_MS, FRESH_MS);
}

static void
reload(struct proc *p)
{
	struct courier_proc *cp = courier_of(p);

	cp->courier.conf = p->home;
	if (cp->courier.post != NULL)
		post_reload(cp->courier.post);
	edges_configure(&cp->courier.edges, p->home);
	roster_configure(cp->courier.roster, p->home);
	tell_backend(cp);
	tell_recipients(cp, true);
	retired_look(&cp->retired);
	courier_alarm(&cp->courier);
	courier_work(&cp->courier);
}

static void
on_drain_check(uv_timer_t *timer)
{
	struct courier_proc *cp = timer->data;

	if (!courier_busy(&cp->courier)) {
		uv_timer_stop(timer);
		uv_stop(cp->proc->loop);
	}
}

static void
drain(struct proc *p)
{
	struct courier_proc *cp = courier_of(p);

	if (!cp->started) {
		uv_stop(p->loop);
		return;
	}
	cp->courier.draining = true;
	uv_timer_stop(&cp->fresh);
	uv_timer_start(&cp->drained, on_drain_check, 0, 20);
}

const struct proc_ops proc_courier = {
	.name = "courier",
	.start = start,
	.run = run,
	.secret = on_secret,
	.dir = on_dir,
	.peer = on_peer_chan,
	.reload = reload,
	.drain = drain,
};
