#include "ctl/ctl.h"

#include <stdlib.h>
#include <unistd.h>

#include "ctl/choose.h"
#include "ctl/client.h"
#include "ctl/identity.h"
#include "ctl/opts.h"
#include "ctl/role.h"
#include "ctl/text.h"
#include "proto/batch_smtp.h"

/* open: fetches a sealed object and opens it here: the daemon sees no plaintext for it. */
static const struct opts_use use = {
	"open", OPT_CONF | OPT_OBJECT, 1, 1,
	"usage: posthouse open [-c FILE] [--object] ID\n"
	"\n"
	"At home: opens a held object with home's age key and prints the message, headers and\n"
	"body, as it was received.  ID is its UUID, or the number of its row.  On a terminal,\n"
	"control characters are shown as \\xHH.\n"
	"\n"
	"  -c, --config FILE   home's configuration\n"
	"      --object        the whole transcript: who connected, what he said, for whom\n"
	"\n"
	"On any exit but 0, throw away what was written: the object was damaged or cut short.\n"
};

/* Sealed octets in, a message out. */
struct opening {
	struct age_open	*age;
	struct buf	 plain;			/* opened, not looked at yet */
	struct batch_reader *reader;		/* NULL: the whole transcript is wanted */
	bool		 terminal;
	struct term_filter filter;
	struct buf	 out;
};

static int
emit(struct opening *p, struct span s, struct why *why)
{
	struct span text = s;

	if (p->terminal) {
		buf_clear(&p->out);
		term_filter_add(&p->filter, s, &p->out);
		text = buf_span(&p->out);
		if (p->out.failed)
			return why_set(why, "memory is out");
	}
	if (fwrite(text.p, 1, text.n, stdout) != text.n)
		return why_sys(why, "standard output");
	return 0;
}

/* Takes the transcript apart; only the message's octets go out. */
static int
read_batch(struct opening *p, struct why *why)
{
	struct span in = buf_span(&p->plain);

	while (in.n > 0) {
		struct batch_ev ev;

		in = span_from(in, batch_reader_step(p->reader, in.p, in.n, &ev));
		if (ev.type == BATCH_EV_BODY && emit(p, ev.arg, why) == -1)
			return -1;
		if (ev.type == BATCH_EV_BAD)
			return why_set(why, "it opened, and is no held object: %s; --object shows "
			    "it as it is", batch_reader_why(p->reader));
	}
	return 0;
}

static int
use_plain(struct opening *p, struct why *why)
{
	int rc = p->reader != NULL ? read_batch(p, why) : emit(p, buf_span(&p->plain), why);

	buf_clear(&p->plain);
	return rc;
}

static int
judge(enum age_result r, struct why *why)
{
	switch (r) {
	case AGE_OK:
		return 0;
	case AGE_NO_MATCH:
		return why_set(why, "none of home's age keys opens it: was it sealed for another "
		    "home, or a key dropped?");
	case AGE_NO_ROOM:
		return why_set(why, "memory is out");
	case AGE_MALFORMED:
		break;			/* why says it */
	}
	return -1;
}

static int
sealed(void *arg, struct span s, struct why *why)
{
	struct opening *p = arg;

	while (s.n > 0) {
		size_t n = s.n < AGE_CHUNK ? s.n : AGE_CHUNK;

		if (judge(age_open_add(p->age, s.p, n, &p->plain, why), why) == -1 ||
		    use_plain(p, why) == -1)
			return -1;
		s = span_from(s, n);
	}
	return 0;
}

static int
finish(struct opening *p, struct why *why)
{
	if (judge(age_open_end(p->age, &p->plain, why), why) == -1 || use_plain(p, why) == -1)
		return -1;
	if (p->reader != NULL && !batch_reader_done(p->reader))
		return why_set(why, "the object is truncated: the message is not whole");
	if (p->terminal) {
		buf_clear(&p->out);
		term_filter_end(&p->filter, &p->out);
		if (p->out.failed)
			return why_set(why, "memory is out");
		if (fwrite(p->out.p, 1, p->out.n, stdout) != p->out.n)
			return why_sys(why, "standard output");
	}
	return fflush(stdout) == EOF ? why_sys(why, "standard output") : 0;
}

static int
open_one(struct client *c, const char *id, const struct identities *keys, bool whole,
    struct why *why)
{
	struct opening p = { .terminal = isatty(STDOUT_FILENO) };
	json_t *answer = NULL;
	int rc = -1;

	p.age = age_open_new(keys->id, keys->n);
	buf_init(&p.plain, 4 * AGE_CHUNK);
	buf_init(&p.out, 16 * AGE_CHUNK);
	if (!whole)
		p.reader = batch_reader_new();
	if (p.age == NULL || (!whole && p.reader == NULL))
		why_set(why, "memory is out");
	else
		answer = client_ask(c, json_pack("{s:s, s:s}", "do", "cat", "id", id), why);
	if (answer != NULL && client_octets(c, (uint64_t)json_number(answer, "octets"), sealed, &p,
	    why) == 0)
		rc = finish(&p, why);
	json_decref(answer);
	buf_wipe(&p.plain);
	buf_wipe(&p.out);
	batch_reader_free(&p.reader);
	age_open_free(&p.age);
	return rc;
}

int
ctl_open(int argc, char **argv)
{
	struct opts o;
	struct role role;
	struct identities keys = { .n = 0 };
	struct client *c = NULL;
	struct why why;
	int rc = opts_parse(argc, argv, &use, &o);

	if (rc != -1 || (rc = choose_ids(&use, &o)) != -1)
		return rc;
	if (role_load(&role, &o, CONF_HOME, &why) == 0 &&
	    identities_load(&keys, role.home->age_key, &why) == 0 &&
	    identities_add_retired(&keys, &role, &why) == 0 &&
	    (c = client_new(&role, NULL, &why)) != NULL &&
	    open_one(c, o.args[0], &keys, o.object, &why) == 0)
		rc = CTL_OK;
	else
		rc = opts_failed(&use, &why);
	client_free(&c);
	identities_fini(&keys);
	role_fini(&role);
	return rc;
}
