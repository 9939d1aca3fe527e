/*
 * Lists of mailboxes and aliases, as a file or a command has them.  First octet: where the
 * text is cut in two, a list and an address to route by it.  Whatever the list says, mail
 * ends in a mailbox that is a safe name, and a list that was taken has no loop.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "home/router.h"
#include "proto/address.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define must(x)	((x) ? (void)0 : abort())

static const struct conf_home_domain sections[] = {
	{ .name = "a.test", .tag = "-", .dots = false },
	{ .name = "b.test", .tag = "+", .dots = true, .letter_case = true, .own = true },
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char granted[][256] = { "a.test", "b.test", "c.test" };
	struct mailboxes boxes = { .names = NULL };
	struct router router = { .boxes = &boxes, .catch_all = "inbox", .roles = "", .first = "",
		.domains = sections, .ndomains = 2 };
	struct address to;
	struct route r;
	struct why why;
	size_t skipped, cut;

	if (n < 2)
		return 0;
	cut = 1 + (n - 1) * data[0] / 255;
	if (mailboxes_read(&boxes, span_of(data + 1, cut - 1), &skipped, &why) == 0) {
		for (size_t i = 0; i < boxes.n; i++)
			must(address_mailbox_ok(span_str(boxes.names[i])));
		if (address_parse(span_of(data + cut, n - cut), &to)) {
			route_address(&router, granted, 3, &to, &r);
			must(r.to != ROUTE_NONE);
			must(r.to != ROUTE_MAILBOX || address_mailbox_ok(span_str(r.mailbox)));
			for (size_t i = 0; i < r.nalso; i++)
				must(r.to == ROUTE_MAILBOX &&
				    strcasecmp(r.also[i], r.mailbox) != 0 &&
				    address_mailbox_ok(span_str(r.also[i])));
		}
	}
	mailboxes_fini(&boxes);
	return 0;
}
