#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>

#include "ctl/opts.h"
#include "ctl/role.h"
#include "ctl/text.h"

/* config: every key there is, and whether a file is right. */
static const struct opts_use use = {
	"config", OPT_JSON | OPT_CHECK, 0, 1,
	"usage: posthouse config edge|home [--json]\n"
	"       posthouse config --check FILE\n"
	"\n"
	"Lists every key of a role's configuration with type, default, range and meaning; or\n"
	"checks a file and says what is wrong, and on which line.\n"
	"\n"
	"      --json          an array of objects\n"
	"      --check FILE    exits with 0 if a role would start with it\n"
};

static int
describe(enum conf_role role, bool json, struct why *why)
{
	struct buf out;
	int rc = 0;

	buf_init(&out, 1u << 20);
	if (!conf_describe(role, json, &out))
		rc = why_set(why, "memory is out");
	else if (fwrite(out.p, 1, out.n, stdout) != out.n)
		rc = why_sys(why, "standard output");
	buf_fini(&out);
	return rc;
}

int
ctl_config(int argc, char **argv)
{
	struct opts o;
	struct role role;
	struct why why;
	enum conf_role which = CONF_NO_ROLE;
	int rc = opts_parse(argc, argv, &use, &o);

	if (rc != -1)
		return rc;
	if (o.check != NULL && o.nargs == 0 && !o.json) {
		o.conf = o.check;
		if ((rc = role_load(&role, &o, CONF_NO_ROLE, &why)) == 0 &&
		    (rc = role_would_start(&role, &why)) == 0) {
			struct shown file;

			printf("%s: a good configuration of %s\n", shown(span_str(o.check), &file),
			    role_name(role.role));
		}
		role_fini(&role);
		return rc == 0 ? CTL_OK : opts_failed(&use, &why);
	}
	if (o.nargs == 1 && o.check == NULL)
		which = strcmp(o.args[0], "edge") == 0 ? CONF_EDGE :
		    strcmp(o.args[0], "home") == 0 ? CONF_HOME : CONF_NO_ROLE;
	if (which == CONF_NO_ROLE)
		return opts_misused(&use, "edge, home, or --check FILE", NULL);
	return describe(which, o.json, &why) == 0 ? CTL_OK : opts_failed(&use, &why);
}
