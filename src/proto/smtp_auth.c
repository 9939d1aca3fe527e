/*
 * Who it is that sends (RFC 4954), by PLAIN (RFC 4616) or LOGIN, which is no standard but all
 * that some clients know.  Both say the password itself, so that neither is heard in the clear.
 */
#include "proto/smtp_server_in.h"

#include <stdlib.h>
#include <string.h>

#include "base/codec.h"

/* authzid, authcid and password, with the NULs between them. */
#define PLAIN_MAX	(2 * SMTP_USER_MAX + SMTP_PASSWORD_MAX + 2)

/* LOGIN's two questions, "Username:" and "Password:". */
#define ASK_USER	"VXNlcm5hbWU6"
#define ASK_PASSWORD	"UGFzc3dvcmQ6"

void
srv_login_end(struct smtp_srv *s)
{
	s->login_step = LOGIN_NONE;
	if (s->login == NULL)
		return;
	explicit_bzero(s->login, sizeof(*s->login));
	free(s->login);
	s->login = NULL;
}

bool
srv_may_mail(struct smtp_srv *s)
{
	if ((s->ext & SMTP_EXT_AUTH) == 0 || s->authed)
		return true;
	if (s->secured)
		srv_say(s, 530, 5, 7, 0, "Log in first: AUTH PLAIN or LOGIN");
	else
		srv_say(s, 530, 5, 7, 0, "STARTTLS first, then AUTH");	/* RFC 3207 4 */
	return false;
}

static void
refuse(struct smtp_srv *s, unsigned code, unsigned b, unsigned c, const char *text)
{
	srv_login_end(s);
	srv_say(s, code, 5, b, c, text);
}

static void
challenge(struct smtp_srv *s, enum login_step next, const char *words)
{
	s->login_step = next;
	srv_say(s, 334, 0, 0, 0, words);
}

static void
ask(struct smtp_srv *s, struct smtp_ev *ev)
{
	s->login_step = LOGIN_NONE;
	ev->user = span_of(s->login->user, s->login->nuser);
	ev->arg = span_of(s->login->password, s->login->npassword);
	srv_ask(s, ev, SMTP_EV_AUTH);
}

static bool
take(struct span s, char *out, size_t max, size_t *n)
{
	if (s.n == 0 || s.n > max || memchr(s.p, '\0', s.n) != NULL)
		return false;
	memcpy(out, s.p, s.n);
	*n = s.n;
	return true;
}

/* [authzid] NUL authcid NUL password: to act for another than who one is, nobody may. */
static bool
split_plain(struct smtp_login *l, struct span all)
{
	const char *nul = memchr(all.p, '\0', all.n);
	struct span zid, cid, rest;

	if (nul == NULL)
		return false;
	zid = span_of(all.p, (size_t)(nul - all.p));
	rest = span_from(all, zid.n + 1);
	if (rest.n == 0 || (nul = memchr(rest.p, '\0', rest.n)) == NULL)
		return false;
	cid = span_of(rest.p, (size_t)(nul - rest.p));
	rest = span_from(rest, cid.n + 1);
	return (zid.n == 0 || span_eq(zid, cid)) &&
	    take(cid, l->user, sizeof(l->user), &l->nuser) &&
	    take(rest, l->password, sizeof(l->password), &l->npassword);
}

void
srv_login_line(struct smtp_srv *s, struct span line, struct smtp_ev *ev)
{
	struct smtp_login *l = s->login;
	char said[PLAIN_MAX];
	size_t n = 0;
	bool ok = false;

	if (span_eq(line, SPAN_LIT("*"))) {
		refuse(s, 501, 7, 0, "AUTH is called off");
		return;
	}
	if (line.n == 0 || !base64_decode(line, true, said, sizeof(said), &n)) {
		explicit_bzero(said, sizeof(said));
		refuse(s, 501, 5, 2, "That is no base64, or longer than any login here");
		return;
	}
	if (s->login_step == LOGIN_PLAIN)
		ok = n > 0 && split_plain(l, span_of(said, n));
	else if (s->login_step == LOGIN_USER)
		ok = take(span_of(said, n), l->user, sizeof(l->user), &l->nuser);
	else
		ok = take(span_of(said, n), l->password, sizeof(l->password), &l->npassword);
	explicit_bzero(said, sizeof(said));
	if (!ok)
		refuse(s, 501, 5, 4, "That is no user and password");
	else if (s->login_step == LOGIN_USER)
		challenge(s, LOGIN_PASSWORD, ASK_PASSWORD);
	else
		ask(s, ev);
}

/* Whether this is the time for it; else it was said why not. */
static bool
in_turn(struct smtp_srv *s)
{
	if ((s->ext & SMTP_EXT_AUTH) == 0)
		srv_say(s, 502, 5, 5, 1, "No login here: this server only receives");
	else if (!s->secured)
		srv_say(s, 538, 5, 7, 11, "STARTTLS first: no password goes in the clear");
	else if (s->authed)
		srv_say(s, 503, 5, 5, 1, "You are logged in already");
	else if (s->phase != SMTP_P_READY || !s->esmtp)
		srv_say(s, 503, 5, 5, 1, "After EHLO, outside of a transaction");
	else
		return true;
	return false;
}

void
srv_on_auth(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	const char *sp = arg.n > 0 ? memchr(arg.p, ' ', arg.n) : NULL;
	struct span way = sp != NULL ? span_of(arg.p, (size_t)(sp - arg.p)) : arg;
	struct span first = sp != NULL ? span_from(arg, way.n + 1) : span_of("", 0);
	bool plain = span_eq_nocase(way, SPAN_LIT("PLAIN"));

	if (!in_turn(s))
		return;
	if (!plain && !span_eq_nocase(way, SPAN_LIT("LOGIN"))) {
		srv_say(s, 504, 5, 5, 4, "Say AUTH PLAIN or AUTH LOGIN");
		return;
	}
	if (s->login == NULL && (s->login = calloc(1, sizeof(*s->login))) == NULL) {
		srv_out_of_memory(s);
		return;
	}
	s->login_step = plain ? LOGIN_PLAIN : LOGIN_USER;
	if (first.n > 0)
		srv_login_line(s, first, ev);
	else
		challenge(s, s->login_step, plain ? "" : ASK_USER);
}
