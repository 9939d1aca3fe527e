/*
 * What a helper of a mail server reads: the counters, then, behind the first NUL-NUL, a login.
 * A user whose counter was raised is found with it, everybody else with his own, and the
 * password of a counter is good for no other.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/mailbox_password.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define must(x)	((x) ? (void)0 : abort())

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *mark = memmem(data, n, "\0", 2);
	size_t at = mark != NULL ? (size_t)(mark - (const char *)data) : n;
	struct span text = span_of(data, at), in = span_of(data + at, n - at);
	char password[MAILBOX_PASSWORD_LEN + 1];
	struct secret key = { .set = true };
	struct mailbox_login login;
	uint64_t was, now, again, other_was, other_now;
	struct why why;
	struct buf out;

	if (!mailbox_login(span_from(in, 2), '\n', &login))
		return 0;
	must(login.user.n + login.password.n + 2 <= in.n);
	if (mailbox_counter(text, login.user, &was, &why) == -1)
		return 0;
	buf_init(&out, 2 * MAILBOX_COUNTERS_MAX);
	if (mailbox_counter_next(text, login.user, &out, &now, &why) == 0) {
		must(now == was + 1);
		must(mailbox_counter(buf_span(&out), login.user, &again, &why) == 0);
		must(again == now);
		must(mailbox_counter(text, SPAN_LIT("other"), &other_was, &why) == 0);
		must(mailbox_counter(buf_span(&out), SPAN_LIT("other"), &other_now, &why) == 0);
		must(other_was == other_now || strncasecmp(login.user.p, "other", 5) == 0);
		must(mailbox_password(&key, login.user, was, password));
		must(mailbox_password_is(&key, login.user, was, span_str(password)));
		must(!mailbox_password_is(&key, login.user, now, span_str(password)));
		must(!mailbox_password_is(&key, login.user, was, login.password) ||
		    span_eq(login.password, span_str(password)));
	}
	buf_fini(&out);
	return 0;
}
