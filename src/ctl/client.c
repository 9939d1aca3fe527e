#include "ctl/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/text.h"
#include "store/control.h"

#define ANSWER_WAIT_S	30

struct client {
	int		fd;
	const char	*who;			/* "edge" */
	bool		 misuse;		/* the last answer: who asked is wrong */
	struct buf	in;			/* what came and is not used yet */
};

static int
connect_to(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct timeval wait = { .tv_sec = ANSWER_WAIT_S };
	int fd, saved;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sun.sun_path, path, strlen(path) + 1);
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) == 0 &&
	    connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* NULL, with why and errno. */
static struct client *
client_at(const char *path, const char *who, struct why *why)
{
	struct client *c = calloc(1, sizeof(*c));
	int error;

	if (c == NULL) {
		why_sys(why, "memory");
		return NULL;
	}
	buf_init(&c->in, CONTROL_ANSWER_MAX + 65536);
	c->who = who;
	if ((c->fd = connect_to(path)) != -1)
		return c;
	error = errno;
	if (error == EACCES)
		why_set(why, "%s: permission denied; run this as root or as a member of the group "
		    "of %s", path, who);
	else
		why_sys(why, "%s", path);
	free(c);
	errno = error;
	return NULL;
}

struct client *
client_new(const struct role *r, bool *running, struct why *why)
{
	const char *who = role_name(r->role), *path = r->common->control;
	struct client *c = client_at(path, who, why);
	bool there = c != NULL || (errno != ENOENT && errno != ECONNREFUSED);

	if (running != NULL)
		*running = there;
	if (!there)
		why_set(why, "%s is not running (no answer at %s): start it with systemctl start "
		    "posthouse-%s", who, path, who);
	return c;
}

void
client_free(struct client **cp)
{
	struct client *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	close(c->fd);
	buf_wipe(&c->in);
	free(c);
}

/* Who closed without hearing it may have said why: that is read next. */
static int
send_all(struct client *c, const char *p, size_t n, struct why *why)
{
	while (n > 0) {
		ssize_t k = send(c->fd, p, n, MSG_NOSIGNAL);

		if (k == -1 && errno == EINTR)
			continue;
		if (k == -1 && errno == EPIPE)
			return 0;
		if (k == -1)
			return why_sys(why, "%s does not take the question", c->who);
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

/* At least one more octet. */
static int
receive(struct client *c, struct why *why)
{
	char *to = buf_room(&c->in, 32768);
	ssize_t n;

	if (to == NULL)
		return why_set(why, "%s answered more than there is room for", c->who);
	do {
		n = recv(c->fd, to, 32768, 0);
	} while (n == -1 && errno == EINTR);
	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return why_set(why, "%s did not answer within %d s; see its log", c->who,
		    ANSWER_WAIT_S);
	if (n == -1 && errno != ECONNRESET)
		return why_sys(why, "%s", c->who);
	if (n <= 0)
		return why_set(why, "%s closed the connection without an answer; see its log, and "
		    "whether you are in its group", c->who);
	buf_used(&c->in, (size_t)n);
	return 0;
}

static json_t *
judge(struct client *c, json_t *answer, struct why *why)
{
	if (!json_is_object(answer))
		why_set(why, "%s answered something that is not an answer; are both of one "
		    "version?", c->who);
	else if (json_is_true(json_object_get(answer, "ok")))
		return answer;
	else
		why_set(why, "%s", json_text(answer, "error"));
	c->misuse = json_is_true(json_object_get(answer, "misuse"));
	json_decref(answer);
	return NULL;
}

json_t *
client_ask(struct client *c, json_t *question, struct why *why)
{
	char *text = question != NULL ? json_dumps(question, JSON_COMPACT) : NULL;
	const char *end;
	json_t *answer;
	int rc;

	json_decref(question);
	if (text == NULL) {
		why_set(why, "an argument is no UTF-8, or memory is out");
		return NULL;
	}
	rc = strlen(text) >= CONTROL_QUESTION_MAX ? why_set(why, "the question is too long") :
	    send_all(c, text, strlen(text), why) == -1 || send_all(c, "\n", 1, why) == -1 ? -1 : 0;
	free(text);
	if (rc == -1)
		return NULL;
	while ((end = c->in.n > 0 ? memchr(c->in.p, '\n', c->in.n) : NULL) == NULL)
		if (receive(c, why) == -1)
			return NULL;
	answer = json_loadb(c->in.p, (size_t)(end - c->in.p), 0, NULL);
	buf_drop(&c->in, (size_t)(end - c->in.p) + 1);
	return judge(c, answer, why);
}

int
client_octets(struct client *c, uint64_t left, client_sink_fn *sink, void *arg, struct why *why)
{
	while (left > 0) {
		size_t n;

		if (c->in.n == 0 && receive(c, why) == -1)
			return -1;
		n = c->in.n < left ? c->in.n : (size_t)left;
		if (sink(arg, span_of(c->in.p, n), why) == -1)
			return -1;
		buf_drop(&c->in, n);
		left -= n;
	}
	return 0;
}

/* No configuration that can be read: what may be running all the same was started with another. */
static int
without_file(struct asking *a, enum conf_role want, struct why *why)
{
	bool standard;
	enum conf_role role = role_of_file(&a->role, &standard);
	struct why none = { "" };
	struct shown text;
	size_t n = strlen(why->text);

	/* Nor is it known which; or it is, and it is the other role's, whom this is not for. */
	if (a->role.file[0] == '\0' || (want != CONF_NO_ROLE && a->role.role != CONF_NO_ROLE &&
	    a->role.role != want))
		return -1;
	if (standard &&
	    (a->client = client_at(role_control(role), role_name(role), &none)) != NULL) {
		fprintf(stderr, "posthouse: warning: %s\n"
		    "posthouse: warning: asking what runs at %s, which was started otherwise\n",
		    shown(span_str(why->text), &text), role_control(role));
		return 0;
	}
	snprintf(why->text + n, sizeof(why->text) - n, "; what runs can be asked with --control "
	    "PATH, by default %s", role != CONF_NO_ROLE ? role_control(role) :
	    "/run/posthouse/edge.sock or home.sock");
	return -1;
}

int
asking_connect(struct asking *a, const struct opts *o, struct why *why)
{
	if (o->control != NULL) {
		a->client = client_at(o->control, "whoever listens there", why);
		if (a->client == NULL && (errno == ENOENT || errno == ECONNREFUSED))
			why_set(why, "%.400s: nobody listens there; is it the control of a role "
			    "that runs?", o->control);
	} else if (role_load(&a->role, o, CONF_NO_ROLE, why) == -1)
		return without_file(a, o->role, why);
	else
		a->client = client_new(&a->role, NULL, why);
	return a->client != NULL ? 0 : -1;
}

int
asking_begin(struct asking *a, const struct opts *o, json_t *question, struct why *why)
{
	if (asking_connect(a, o, why) == 0) {
		a->answer = client_ask(a->client, question, why);
		return a->answer != NULL ? 0 : -1;
	}
	json_decref(question);
	return -1;
}

int
asking_failed(const struct asking *a, const struct opts_use *use, const struct why *why)
{
	return a->client != NULL && a->client->misuse ? opts_misused(use, why->text, NULL) :
	    opts_failed(use, why);
}

void
asking_fini(struct asking *a)
{
	json_decref(a->answer);
	client_free(&a->client);
	role_fini(&a->role);
	a->answer = NULL;
}

int
asking_show(const struct opts_use *use, const struct opts *o, json_t *question,
    asking_print_fn *print)
{
	struct asking a = { .client = NULL };
	struct why why;
	int rc = asking_begin(&a, o, question, &why) == 0 && print(a.answer, o->json, &why) == 0 ?
	    CTL_OK : asking_failed(&a, use, &why);

	asking_fini(&a);
	return rc;
}

const char *
json_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

int64_t
json_number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}
