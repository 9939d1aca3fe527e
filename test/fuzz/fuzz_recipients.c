/*
 * What the courier tells the tunnel of who is at home: frames of a type, a length and a body.
 * Whatever comes, what is in force afterwards is whole: bounded, with a salt and a name each.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "home/home.h"
#include "home/recipients.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define must(x)	((x) ? (void)0 : abort())

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct recipients now = { .domains = NULL };
	struct recipients_in in = { .total = 0 };

	while (n >= 3) {
		size_t len = (size_t)data[1] << 8 | data[2], total = 0;
		struct chan_msg m = { .type = HM_DOMAINS + data[0] % 5, .fd = -1 };

		len = len < n - 3 ? len : n - 3;
		m.body = span_of(data + 3, len);
		if (recipients_take(&in, &m, &now) == 1) {
			must(now.n <= POLICY_DOMAINS_MAX);
			for (size_t i = 0; i < now.n; i++) {
				const struct policy_domain *d = &now.domains[i];

				total += d->ndigests;
				must(d->unknown <= POLICY_REFUSE && d->learned_ms >= 0);
				(void)policy_domain_knows(d, "alice");
			}
			must(total <= POLICY_RECIPIENTS_MAX);
		}
		data += 3 + len;
		n -= 3 + len;
	}
	recipients_fini(&now);
	recipients_fini(&in.coming);
	return 0;
}
