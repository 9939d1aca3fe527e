#include "home/delivery.h"

#include <string.h>

#include "base/codec.h"
#include "home/home.h"

/* u8 flags, u64 size, then the recipients. */
#define SMTPUTF8	0x01
#define DSN		0x02
#define HEAD		9
#define KEY		sizeof(((struct age_recipient *)0)->pub)

void
delivery_tell(const struct delivery *d, struct chan *to)
{
	unsigned char msg[HEAD + AGE_RECIPIENTS_MAX * KEY];
	struct span part = span_of(msg, HEAD + d->nrecipients * KEY);

	msg[0] = (unsigned char)((d->smtputf8 ? SMTPUTF8 : 0) | (d->dsn ? DSN : 0));
	put_u64(msg + 1, d->size);
	for (size_t i = 0; i < d->nrecipients; i++)
		memcpy(msg + HEAD + i * KEY, d->recipients[i].pub, KEY);
	chan_send(to, HM_BACKEND, 0, &part, 1, -1);
}

bool
delivery_take(struct delivery *d, const struct chan_msg *m)
{
	const unsigned char *p = (const void *)m->body.p;
	size_t n = m->body.n >= HEAD ? (m->body.n - HEAD) / KEY : 0;

	if (m->type != HM_BACKEND || m->body.n != HEAD + n * KEY || n > AGE_RECIPIENTS_MAX)
		return false;
	*d = (struct delivery){ .smtputf8 = (p[0] & SMTPUTF8) != 0, .dsn = (p[0] & DSN) != 0,
		.size = get_u64(p + 1), .nrecipients = n };
	for (size_t i = 0; i < n; i++)
		memcpy(d->recipients[i].pub, p + HEAD + i * KEY, KEY);
	return true;
}
