#include "ctl/ctl.h"

#include <unistd.h>

#include "ctl/bucket_one.h"
#include "ctl/choose.h"
#include "ctl/client.h"
#include "ctl/octets.h"
#include "ctl/opts.h"
#include "ctl/role.h"

/* cat: the sealed object itself, as edge, bucket and home keep it. */
static const struct opts_use use = {
	"cat", OPT_CONF | OPT_ROLE | OPT_CONTROL, 1, 1,
	"usage: posthouse cat [-c FILE | --edge | --home | --control PATH] ID >FILE\n"
	"\n"
	"Writes a held object to standard output as it is, sealed: an age file that\n"
	"`age -d -i KEYFILE` opens.  ID is its UUID, or the number of its row.\n"
	"Where an edge has its spool in a bucket it may be the UUID of what waits there.\n"
	"\n"
	"  -c, --config FILE   the role's configuration\n"
	"      --edge, --home  the role's file in /etc/posthouse\n"
	"      --control PATH  a control socket, whatever its configuration says\n"
};

static int
to_stdout(void *arg, struct span s, struct why *why)
{
	return octets_print(s, why);
}

/* What it holds itself, else what waits in the bucket that is its spool. */
static int
cat(struct asking *a, const struct opts *o, struct why *why)
{
	const struct conf_bucket *b;
	struct why words;
	int rc;

	if (asking_begin(a, o, json_pack("{s:s, s:s}", "do", "cat", "id", o->args[0]), why) == 0)
		return client_octets(a->client, (uint64_t)json_number(a->answer, "octets"),
		    to_stdout, NULL, why);
	if ((b = bucket_spool(&a->role)) == NULL)
		return -1;
	if ((rc = bucket_cat(a->role.common, b, o->args[0], &words)) == 1)
		return 0;
	bucket_nor(b, rc, &words, why);
	return -1;
}

int
ctl_cat(int argc, char **argv)
{
	struct asking a = { .client = NULL };
	struct opts o;
	struct why why;
	int rc = opts_parse(argc, argv, &use, &o);

	if (rc != -1 || (rc = choose_ids(&use, &o)) != -1)
		return rc;
	if (isatty(STDOUT_FILENO))
		return opts_misused(&use, "a sealed object is not for a terminal: send it to a "
		    "file or to `age -d`", NULL);
	rc = cat(&a, &o, &why) == 0 ? CTL_OK : opts_failed(&use, &why);
	asking_fini(&a);
	return rc;
}
