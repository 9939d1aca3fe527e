#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/identity.h"
#include "ctl/keygen.h"
#include "ctl/opts.h"
#include "ctl/role.h"
#include "ctl/state.h"
#include "net/tls.h"
#include "proto/key_lines.h"

/* keygen: what a role needs before it can start, made where it is missing. */
static const struct opts_use use = {
	"keygen", OPT_CONF | OPT_ROLE, 0, 0,
	"usage: posthouse keygen [-c FILE | --edge | --home]\n"
	"\n"
	"Makes the tunnel's key and, for home, the age key and the keys of workers, where they\n"
	"are missing; existing ones stay as they are.  Prints the pin that peers know the tunnel\n"
	"by, and the recipient that edges seal home's mail to.  Keep a copy of home's age key\n"
	"elsewhere: without it, mail that is still sealed cannot be opened by anybody.\n"
	"\n"
	"  -c, --config FILE   the role's configuration\n"
	"      --edge, --home  the role's file in /etc/posthouse\n"
};

static int
tunnel(const struct role *r, struct why *why)
{
	const char *path = r->common->tunnel_key;
	char text[PIN_TEXT_MAX];
	bool made = access(path, F_OK) != 0;
	struct why inner = { "" };
	struct buf pem;
	struct pin pin;
	int rc;

	if (made) {
		if (keygen_tunnel(path, &pin, why) == -1)
			return -1;
	} else {
		if (read_file(path, CONF_FILE_MAX, &pem, why) == -1)
			return -1;
		rc = tls_pem_pin(buf_span(&pem), &pin, &inner);
		buf_wipe(&pem);
		if (rc == -1)
			return why_set(why, "%s: %.300s; put your copy of it back, or move it away "
			    "and run `posthouse keygen` again", path, inner.text);
	}
	pin_print(&pin, text);
	printf("tunnel key  %s (%s)\npin         %s\n", path, made ? "made" : "kept", text);
	return 0;
}

static int
age(const struct role *r, struct why *why)
{
	const char *path = r->home->age_key;
	bool made = access(path, F_OK) != 0;
	struct identities ids;

	if (made && keygen_age(path, why) == -1)
		return -1;
	if (identities_load(&ids, path, why) == -1)
		return -1;
	printf("age key     %s (%s)\n", path, made ? "made" : "kept");
	for (size_t i = 0; i < ids.n; i++) {
		struct age_recipient recipient;
		char text[AGE_TEXT_MAX];

		memcpy(recipient.pub, ids.id[i].pub, sizeof(recipient.pub));
		age_recipient_print(&recipient, text);
		printf("recipient   %s%s\n", text, i == 0 ? "" : " (the one before)");
	}
	identities_fini(&ids);
	return 0;
}

/* As whom the key will be read: the account in its state directory, root elsewhere. */
static int
make(int (*key)(const struct role *, struct why *), const struct role *r, const char *path,
    struct why *why)
{
	struct account account;
	int rc;

	if (state_enter(&account, r, path, why) == -1)
		return -1;
	rc = key(r, why);
	account_leave(&account);
	return rc;
}

static int
worker_key_fits(const char *path, struct why *why)
{
	struct secret keys[KEY_LINES_MAX];
	struct buf text;
	size_t n;

	if (read_file(path, CONF_FILE_MAX, &text, why) == -1)
		return -1;
	n = key_lines_read(buf_span(&text), keys);
	explicit_bzero(keys, sizeof(keys));
	buf_wipe(&text);
	return n > 0 ? 0 : why_set(why, "%s: it is no key of 64 hexadecimal digits; put your copy "
	    "of it back, or move it away and run `posthouse keygen` again", path);
}

/* Nothing of the key itself is shown: it goes to the Worker by standard input. */
static int
worker_key(const char *what, const char *path, const struct role *r, struct why *why)
{
	struct account account;
	bool made;
	int rc;

	if (state_enter(&account, r, path, why) == -1)
		return -1;
	made = access(path, F_OK) != 0;
	rc = made ? keygen_hex(path, why) : worker_key_fits(path, why);
	account_leave(&account);
	if (rc == 0)
		printf("%-11s %s (%s)\n", what, path, made ? "made" : "kept");
	return rc;
}

static int
workers(const struct role *r, struct why *why)
{
	bool push = conf_home_push(r->home) != NULL;

	for (size_t i = 0; i < r->home->nworkers; i++)
		if (worker_key("MAC key", r->home->workers[i].mac_key, r, why) == -1 ||
		    (push && worker_key("token", r->home->workers[i].token, r, why) == -1) ||
		    (r->home->workers[i].nedges > 0 &&
		    worker_key("password", r->home->workers[i].password, r, why) == -1))
			return -1;
	return r->home->probe.url[0] == '\0' ? 0 :
	    worker_key("probe", r->home->probe.token, r, why);
}

int
ctl_keygen(int argc, char **argv)
{
	struct opts o;
	struct role role;
	struct why why;
	int rc = opts_parse(argc, argv, &use, &o);

	if (rc != -1)
		return rc;
	if (role_load(&role, &o, CONF_NO_ROLE, &why) == 0 && state_make(&role, &why) == 0 &&
	    make(tunnel, &role, role.common->tunnel_key, &why) == 0 &&
	    (role.role == CONF_EDGE || (make(age, &role, role.home->age_key, &why) == 0 &&
	    workers(&role, &why) == 0)))
		rc = CTL_OK;
	else
		rc = opts_failed(&use, &why);
	role_fini(&role);
	return rc;
}
