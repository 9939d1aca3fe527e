#include "base/scoreboard.h"

#include <string.h>

#include "base/span.h"

struct board_passed *
board_passed(struct scoreboard *b, const char *name)
{
	for (size_t i = 0; i < BOARD_SERVICES; i++) {
		struct board_passed *s = &b->passed[i];

		if (s->name[0] == '\0')
			span_copy(span_str(name), s->name, sizeof(s->name));
		if (strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

void
board_cut(struct scoreboard *b, int64_t now_ms, const char *why)
{
	atomic_store(&b->count[BC_CONNECTIONS], 0);
	for (size_t i = 0; i < BOARD_SERVICES; i++)
		atomic_store(&b->passed[i].open, 0);
	for (size_t i = 0; i < BOARD_PEERS; i++) {
		struct board_peer *p = &b->peer[i];

		if (atomic_exchange(&p->connections, 0) == 0)
			continue;
		atomic_store(&p->since_ms, now_ms);
		span_copy(span_str(why), p->error, sizeof(p->error));
	}
}

const char *const board_refusal_names[BR_COUNT] = {
	[BR_NO_HOME] = "no_home",
	[BR_HOME_DOWN] = "home_down",
	[BR_SERVICE_DOWN] = "service_down",
	[BR_HOME_REFUSED] = "home_refused",
	[BR_LATE] = "late",
	[BR_SILENT] = "silent",
	[BR_LIMIT] = "limit",
	[BR_HOME_LIMIT] = "home_limit",
	[BR_CLIENT_LIMIT] = "client_limit",
	[BR_ADDRESS] = "address",
	[BR_HEADER] = "proxy_header",
	[BR_BANNED] = "banned",
	[BR_NAME] = "name",
};

const char *const board_identity_names[BI_COUNT] = { "", "xclient", "proxy", "none" };

const char *const board_counter_names[BC_COUNT] = {
	[BC_CONNECTIONS] = "connections",
	[BC_CONNECTIONS_TOTAL] = "connections_total",
	[BC_CONNECTIONS_REFUSED] = "connections_refused",
	[BC_CONNECTIONS_BANNED] = "connections_banned",
	[BC_TLS_TOTAL] = "tls_total",
	[BC_ACCEPTED] = "accepted",
	[BC_REFUSED] = "refused",
	[BC_DEFERRED] = "deferred",
	[BC_RCPT_REFUSED] = "recipients_refused",
	[BC_BARE_LF] = "bare_lf_normalized",
	[BC_TIMEOUTS] = "timeouts",
	[BC_VERDICTS_ASKED] = "verdicts_asked",
	[BC_VERDICTS_LATE] = "verdicts_late",
	[BC_HANDED_OVER] = "handed_over",
	[BC_HANDOVER_FAILED] = "handover_failed",
	[BC_MEMORY] = "memory",
	[BC_RECEIVED] = "received",
	[BC_FORGED] = "forged",
	[BC_DELIVERED] = "delivered",
	[BC_PARKED] = "parked",
	[BC_JUDGED] = "judged",
	[BC_UNJUDGED] = "unjudged",
	[BC_STALE_LEDGER] = "stale_ledger",
	[BC_PASSED] = "passed",
	[BC_PUSH_DENIED] = "push_denied",
	[BC_PUSH_LIMITED] = "push_limited",
	[BC_PASSED_REFUSED] = "passed_refused",
};
