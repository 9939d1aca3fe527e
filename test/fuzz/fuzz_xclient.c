/*
 * What stands behind XCLIENT.  What is taken can be written down again and is taken the same;
 * nothing of it breaks a line; what is refused changes nothing.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/xclient.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define must(x)		((x) ? (void)0 : abort())

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct xclient x, again, before;
	struct why why;
	struct buf line;

	memset(&x, 0, sizeof(x));
	before = x;
	if (xclient_read(span_of((const char *)data, n), &x, &why) == -1) {
		must(memcmp(&x, &before, sizeof(x)) == 0);
		return 0;
	}
	for (const char *p = x.helo; *p != '\0'; p++)
		must(*p >= 0x21 && *p <= 0x7e);
	must(x.addr.port == 0);
	buf_init(&line, 2048);
	must(xclient_add_addr(&line, "ADDR", &x.addr) && xclient_add_text(&line, "HELO", x.helo) &&
	    buf_add_str(&line, x.esmtp ? " PROTO=ESMTP" : " PROTO=SMTP"));
	again = before;
	must(xclient_read(buf_span(&line), &again, &why) == 0);
	must(again.esmtp == x.esmtp && strcmp(again.helo, x.helo) == 0 &&
	    memcmp(again.addr.ip, x.addr.ip, sizeof(x.addr.ip)) == 0);
	buf_fini(&line);
	return 0;
}
