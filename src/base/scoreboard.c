#include "base/scoreboard.h"

const char *const board_counter_names[BC_COUNT] = {
	[BC_CONNECTIONS] = "connections",
	[BC_CONNECTIONS_TOTAL] = "connections_total",
	[BC_CONNECTIONS_REFUSED] = "connections_refused",
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
	[BC_STALE_LEDGER] = "stale_ledger",
};
