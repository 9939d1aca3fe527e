/* What home says its ledger is: a line of each header.  What is taken prints as it was written. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/ledger_words.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define must(x)		((x) ? (void)0 : abort())

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct ledger_mark m = { .epoch = 0 };
	struct span s = span_of((const char *)data, n);
	const char *end = n > 0 ? memchr(data, '\n', n) : NULL;
	struct ledger_mark again;
	char text[LEDGER_RUNS_TEXT];

	if (end == NULL)
		return 0;
	if (!ledger_mark_parse(span_of(s.p, (size_t)(end - s.p)), &m))
		must(m.epoch == 0 && m.counter == 0);
	must(m.epoch <= INT64_MAX && m.counter <= INT64_MAX);
	s = span_from(s, (size_t)(end - s.p) + 1);
	if (!ledger_runs_parse(s, &m)) {
		must(m.nruns == 0 && !ledger_parted(&m, 0, 7) && ledger_parted(&m, 7, 7));
		return 0;
	}
	must(m.nruns > 0 && m.nruns <= LEDGER_RUNS);
	for (unsigned i = 0; i < m.nruns; i++)
		must(m.runs[i].run != 0 && (i == 0 || m.runs[i].first < m.runs[i - 1].first));
	must(!ledger_parted(&m, m.runs[0].run, m.counter));
	/* A number may have zeros before it; what is printed is read as the same. */
	ledger_runs_print(&m, text);
	must(strlen(text) <= s.n);
	again = m;
	must(ledger_runs_parse(span_str(text), &again) && memcmp(&again, &m, sizeof(m)) == 0);
	return 0;
}
