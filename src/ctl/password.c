#include "ctl/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/opts.h"
#include "ctl/passwords.h"
#include "ctl/role.h"
#include "ctl/state.h"
#include "proto/address.h"
#include "proto/mailbox_password.h"

/*
 * password: what a mail server at home lets a user in with, kept by nobody.  It prints one,
 * or, as a server's helper, says whether one is right.
 */
#define PROGRAM_MAX	32	/* words of what --check runs */
#define PROGRAM_FD	3	/* where the checkpassword protocol has the login */

/* "Cannot tell": never 1, which a server takes for a wrong password. */
#define CHECKPASSWORD_LATER	111
#define LINES_LATER		2

static const struct opts_use use = {
	"password", OPT_CONF | OPT_ANEW | OPT_CHECK, 0, PROGRAM_MAX,
	"usage: posthouse password [-c FILE] [--rotate] USER\n"
	"       posthouse password [-c FILE] --check checkpassword -- PROGRAM...\n"
	"       posthouse password [-c FILE] --check lines\n"
	"\n"
	"At home: prints the password of a mailbox's user, which follows from one key, the user\n"
	"and how often it was rotated.  It is stored nowhere, and the key is made at first use:\n"
	"password.key in home's state directory.  Keep a copy of it.\n"
	"\n"
	"  -c, --config FILE   home's configuration; /etc/posthouse/home.conf\n"
	"      --rotate        from now on another; the one before does not hold any more\n"
	"      --check checkpassword\n"
	"                      reads user and password from descriptor 3, each with a NUL behind\n"
	"                      it, and runs PROGRAM where they are right; else exits with 1\n"
	"      --check lines   reads them from standard input, a line each; 0 right, 1 wrong\n"
};

/* Until it is whole, and no octet further than needed: Maddy does not end what it sends. */
static bool
login_read(int fd, char end, char in[MAILBOX_LOGIN_MAX], struct mailbox_login *login,
    struct why *why)
{
	size_t n = 0;

	while (!mailbox_login(span_of(in, n), end, login)) {
		ssize_t got = n < MAILBOX_LOGIN_MAX ? read(fd, in + n, MAILBOX_LOGIN_MAX - n) : 0;

		if (got > 0)
			n += (size_t)got;
		else if (got == -1 && errno != EINTR)
			return why_sys(why, "descriptor %d", fd) == 0;
		else if (got == 0)
			return why_set(why, "descriptor %d has no user and password, each with its "
			    "end, in %d octets", fd, MAILBOX_LOGIN_MAX) == 0;
	}
	return true;
}

/* Home's configuration, and its account until account_leave. */
static int
enter(const struct opts *o, struct role *role, bool make, struct account *account, struct why *why)
{
	char path[PASSWORDS_PATH_MAX];

	if (role_load(role, o, CONF_HOME, why) == -1 ||
	    (make && state_make(role, why) == -1))
		return -1;
	passwords_key_path(role, path);
	return state_enter(account, role, path, why);
}

/* 1 right, 0 wrong, -1. */
static int
check(const struct opts *o, const struct mailbox_login *login, struct why *why)
{
	struct account account;
	struct passwords p;
	struct role role;
	int rc = -1;
	bool made;

	if (enter(o, &role, false, &account, why) == 0) {
		if (passwords_open(&p, &role, false, false, &made, why) == 0) {
			rc = passwords_check(&p, login->user, login->password, why);
			passwords_fini(&p);
		}
		account_leave(&account);
	}
	role_fini(&role);
	return rc;
}

static int
run_program(const struct opts *o, struct span user, struct why *why)
{
	char name[MAILBOX_LOGIN_MAX];

	span_copy(user, name, sizeof(name));
	if (setenv("USER", name, 1) == 0)
		execvp(o->args[0], o->args);
	return why_sys(why, "%s", o->args[0]);
}

static int
answer(const struct opts *o, bool lines)
{
	int later = lines ? LINES_LATER : CHECKPASSWORD_LATER;
	int fd = lines ? STDIN_FILENO : PROGRAM_FD;
	struct mailbox_login login;
	char in[MAILBOX_LOGIN_MAX];
	struct why why;
	int rc;

	/* Dovecot's way to ask for a user without his password: it would let anybody in. */
	if (!lines && getenv("AUTHORIZED") != NULL) {
		why_set(&why, "checkpassword is for a passdb, not for a userdb");
		rc = -1;
	} else if (!login_read(fd, lines ? '\n' : '\0', in, &login, &why)) {
		rc = -1;
	} else {
		rc = check(o, &login, &why);
	}
	if (!lines && rc == 1) {
		close(PROGRAM_FD);
		rc = run_program(o, login.user, &why);
	}
	explicit_bzero(in, sizeof(in));
	if (rc == -1) {
		opts_failed(&use, &why);
		return later;
	}
	return rc == 1 ? 0 : 1;
}

static int
print(const struct opts *o, const struct role *r, struct why *why)
{
	char password[MAILBOX_PASSWORD_LEN + 1] = "";
	struct span user = span_str(o->args[0]);
	struct passwords p;
	bool made;
	int rc = -1;

	if (passwords_open(&p, r, true, o->anew, &made, why) == -1)
		return -1;
	if (made)
		fprintf(stderr, "posthouse password: made %s; keep a copy of it, every password "
		    "follows from it\n", p.key_path);
	if ((!o->anew || passwords_rotate(&p, user, why) == 0) &&
	    passwords_get(&p, user, password, why) == 0)
		rc = puts(password) == EOF || fflush(stdout) == EOF ?
		    why_sys(why, "standard output") : 0;
	explicit_bzero(password, sizeof(password));
	passwords_fini(&p);
	return rc;
}

int
ctl_password(int argc, char **argv)
{
	struct account account;
	struct role role;
	struct opts o;
	struct why why;
	int rc = opts_parse(argc, argv, &use, &o);

	if (rc != -1)
		return rc;
	if (o.check != NULL && o.anew)
		return opts_misused(&use, "--check or --rotate, not both", NULL);
	if (o.check != NULL && strcmp(o.check, "lines") == 0)
		return o.nargs == 0 ? answer(&o, true) :
		    opts_misused(&use, "--check lines takes no argument:", o.args[0]);
	if (o.check != NULL && strcmp(o.check, "checkpassword") != 0)
		return opts_misused(&use, "--check is checkpassword or lines, not", o.check);
	if (o.check != NULL)
		return o.nargs > 0 ? answer(&o, false) :
		    opts_misused(&use, "the program to run is missing", NULL);
	if (o.nargs != 1)
		return opts_misused(&use, "one USER must be named", NULL);
	if (!address_mailbox_ok(span_str(o.args[0])))
		return opts_misused(&use, "that is no name of a mailbox:", o.args[0]);
	rc = CTL_FAILED;
	if (enter(&o, &role, true, &account, &why) == 0) {
		if (print(&o, &role, &why) == 0)
			rc = CTL_OK;
		account_leave(&account);
	}
	if (rc != CTL_OK)
		opts_failed(&use, &why);
	role_fini(&role);
	return rc;
}
