/* A policy from outside: one that was taken is printed and read as itself, and judges the same. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/policy.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct why why = { "" };
	struct policy *p = policy_parse(span_of(data, n), &why), *q;
	struct buf first, second;

	assert((p == NULL) == (why.text[0] != '\0'));
	if (p == NULL)
		return 0;
	buf_init(&first, POLICY_OCTETS_MAX);
	buf_init(&second, POLICY_OCTETS_MAX);
	assert(policy_print(p, &first));
	q = policy_parse(buf_span(&first), &why);
	assert(q != NULL);
	assert(policy_print(q, &second));
	assert(span_eq(buf_span(&first), buf_span(&second)));
	assert(p->epoch == q->epoch && p->counter == q->counter);
	for (size_t i = 0; i < p->ndomains; i++) {
		const struct policy_domain *d = policy_domain_find(q, p->domains[i].name);

		assert(d != NULL);
		assert(policy_domain_knows(&p->domains[i], "alice") ==
		    policy_domain_knows(&q->domains[i], "alice"));
	}
	assert(p->nlogins == q->nlogins);
	for (size_t i = 0; i < p->nlogins; i++)
		assert(p->logins[i].ndigests == q->logins[i].ndigests);
	buf_fini(&first);
	buf_fini(&second);
	policy_free(&p);
	policy_free(&q);
	return 0;
}
