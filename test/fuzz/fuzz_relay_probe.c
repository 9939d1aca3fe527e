/*
 * A server that says what it likes: the first octet chooses the setup, the rest is
 * what it says, one connection after the other.  Whatever it is, the probe keeps to
 * its limits, ends, and calls green only what it can show; how the octets are cut
 * changes nothing.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/relay_probe.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static const char *const own[] = { "example.org" };

static void
look(struct span said, unsigned *rcpts, bool bare_lf)
{
	if (span_starts_nocase(said, SPAN_LIT("RCPT")))
		assert(++*rcpts <= RELAY_RCPTS_MAX);
	assert(bare_lf || !span_starts_nocase(said, SPAN_LIT("DATA")));
	for (size_t i = 0; !bare_lf && i + 2 < said.n; i++)
		assert(said.p[i] != '\n');	/* a command at a time */
}

static void
green_is_shown(const struct relay_probe *p, const struct relay_result *r)
{
	bool plain = false;

	assert(r->causes == 0 && (r->control[0] != '\0' || r->locked));
	for (size_t i = 0; i < relay_probe_notes(p); i++) {
		const struct relay_note *n = relay_probe_note(p, i);

		assert(n->cause == RELAY_NO_CAUSE);
		if (n->form == NULL || strncmp(n->asked, "RCPT", 4) != 0)
			continue;
		plain = plain || strcmp(n->form, "plain") == 0;
		assert(n->answered[0] == '5' || strncmp(n->answered, "454", 3) == 0 ||
		    (n->answered[0] == '2' && r->catch_all));
	}
	assert(plain || r->locked);
}

static enum relay_verdict
play(const struct relay_setup *set, struct span in, size_t piece)
{
	struct relay_probe *p = relay_probe_new(set);
	struct why gone = { "gone" };
	struct relay_result r;
	struct relay_visit v;
	unsigned visits = 0;

	if (p == NULL)
		abort();
	while (relay_probe_next(p, &v)) {
		unsigned rcpts = 0;

		assert(++visits <= RELAY_VISITS_MAX);
		relay_probe_begun(p);
		while (relay_probe_want(p) <= RELAY_WANT_TLS && in.n > 0) {
			if (relay_probe_want(p) == RELAY_WANT_TLS)
				relay_probe_secured(p);
			in = span_from(in, relay_probe_heard(p,
			    span_of(in.p, in.n < piece ? in.n : piece)));
			look(relay_probe_says(p), &rcpts, set->bare_lf);
			assert(relay_probe_wait_ms(p) > 0);
		}
		relay_probe_over(p, relay_probe_want(p) == RELAY_WANT_REPLY ? &gone : NULL);
	}
	relay_probe_judge(p, &r);
	if (r.verdict == RELAY_GREEN)
		green_is_shown(p, &r);
	relay_probe_free(&p);
	return r.verdict;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct relay_address ours[1] = { { .whose = "home's own" } };
	struct relay_setup set = { .own = own, .nown = 1, .ncontrols = 2,
		.controls = { "postmaster@example.org", "alice@example.org" },
		.untrusted = ours, .nuntrusted = 1, .helo = "mx1.edge.test" };
	enum relay_verdict once;

	if (n == 0)
		return 0;
	set.version = data[0] % 3;
	set.submission = data[0] & 0x10;
	set.tls = data[0] & 0x20;
	set.bare_lf = data[0] & 0x40;
	(void)netaddr_parse_ip(SPAN_LIT("172.17.0.1"), &ours[0].ip);
	(void)netaddr_parse_ip(SPAN_LIT("127.0.0.1"), &set.backend);
	once = play(&set, span_of(data + 1, n - 1), n);
	assert(once == play(&set, span_of(data + 1, n - 1), 1));
	assert(once == play(&set, span_of(data + 1, n - 1), 7));
	return 0;
}
