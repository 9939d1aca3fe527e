/* What alarms read: their file, a notice, a URL.  What is taken means the same when written. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "proto/alarms.h"
#include "proto/notice.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
file(struct span in)
{
	struct alarms a = { .list = NULL }, again = { .list = NULL };
	struct why why = { "" };
	struct buf text;

	if (alarms_read(&a, in, &why) == -1) {
		assert(a.n == 0 && why.text[0] != '\0');
		return;
	}
	assert(a.n <= ALARMS_MAX);
	buf_init(&text, ALARMS_FILE_MAX);
	if (alarms_write(&a, &text)) {
		assert(alarms_read(&again, buf_span(&text), &why) == 0 && again.n == a.n);
		for (size_t i = 0; i < a.n; i++)
			assert(strcmp(a.list[i].key, again.list[i].key) == 0 &&
			    memcmp(a.list[i].told_ms, again.list[i].told_ms,
			    sizeof(a.list[i].told_ms)) == 0);
	}
	buf_fini(&text);
	alarms_fini(&a);
	alarms_fini(&again);
}

static void
notice(struct span in)
{
	struct notice n, again;
	struct why why = { "" };
	struct buf json, mail, text;
	char *env[NOTICE_VARS + 1];

	if (notice_read(in, &n, &why) == -1)
		return;
	buf_init(&json, NOTICE_MAX);
	buf_init(&mail, NOTICE_MAX);
	buf_init(&text, NOTICE_MAX);
	assert(notice_json(&n, &json));
	assert(notice_read(buf_span(&json), &again, &why) == 0);
	assert(again.event == n.event && strcmp(again.detail, n.detail) == 0);
	assert(notice_mail(&n, "a@b.test", "c@d.test", (struct uuid){ { 0 } }, &mail));
	for (size_t i = 0, line = 0; i < mail.n; i++) {
		unsigned char c = (unsigned char)mail.p[i];

		line = c == '\n' ? 0 : line + 1;
		assert(line <= 999 && c < 0x7f && (c >= ' ' || c == '\r' || c == '\n'));
		assert(c != '\n' || (i > 0 && mail.p[i - 1] == '\r'));
	}
	assert(notice_environment(&n, &text, env) == NOTICE_VARS);
	buf_fini(&json);
	buf_fini(&mail);
	buf_fini(&text);
}

static void
url(struct span in)
{
	struct conf_url u;
	struct why why = { "" };

	if (!conf_url_parse(in, &u, &why)) {
		assert(why.text[0] != '\0');
		return;
	}
	assert(u.port != 0 && u.host[0] != '\0' && strpbrk(u.host, "/?#@[] ") == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct span in = span_of(data, n);

	file(in);
	notice(in);
	url(in);
	return 0;
}
