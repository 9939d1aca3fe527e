/* alarms {...}: the rules across its keys. */
#include "conf/command_line.h"
#include "conf/conf.h"
#include "conf/table.h"
#include "proto/address.h"

#include <stdio.h>

bool
conf_local_host(const char *hostport)
{
	struct netaddr a;

	if (!netaddr_parse(span_str(hostport), &a))
		return strncmp(hostport, "localhost:", 10) == 0;
	return netaddr_is_loopback(&a);
}

bool
conf_alarms_webhook(const struct conf_alarms *a)
{
	return a->webhook[0] != '\0' || a->webhook_file[0] != '\0';
}

/* RFC 3986: what stands between "//" and the next of "/?#". */
bool
conf_url_parse(struct span url, struct conf_url *u, struct why *why)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	struct netaddr a;
	unsigned long long port;
	struct span host;
	const char *end;

	*u = (struct conf_url){ .tls = span_starts_nocase(url, SPAN_LIT("https://")) };
	why_set(why, "no URL; write one like \"https://example.org/alarm\"");
	if ((!u->tls && !span_starts_nocase(url, SPAN_LIT("http://"))) || url.n >= CONF_URL_MAX)
		return false;
	for (size_t i = 0; i < url.n; i++)
		if (url.p[i] <= ' ' || url.p[i] >= 0x7f)
			return false;
	url = span_from(url, u->tls ? 8 : 7);
	host = span_of(url.p, 0);
	while (host.n < url.n && strchr("/?#", url.p[host.n]) == NULL)
		host.n++;
	if (memchr(host.p, '@', host.n) != NULL) {
		why_set(why, "a name and password in a URL are shown to everybody; use a token");
		return false;
	}
	u->port = u->tls ? 443 : 80;
	end = host.n > 0 ? memrchr(host.p, ':', host.n) : NULL;
	if (end != NULL && memchr(end, ']', (size_t)(host.p + host.n - end)) == NULL) {
		size_t at = (size_t)(end - host.p);

		if (!span_u64(span_from(host, at + 1), 65535, &port) || port == 0)
			return false;
		u->port = (uint16_t)port;
		host.n = at;
	}
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
		host = span_of(host.p + 1, host.n - 2);
		return netaddr_parse_ip(host, &a) && a.v6 &&
		    span_copy(host, u->host, sizeof(u->host));
	}
	return (netaddr_parse_ip(host, &a) || address_domain(host, name)) &&
	    span_copy(host, u->host, sizeof(u->host));
}

static int
webhook_ok(const struct conf_alarms *a, struct conf_fault *f)
{
	struct conf_url u;
	struct why why;
	char at[300];

	if (a->webhook[0] != '\0' && a->webhook_file[0] != '\0')
		return conf_fault_set(f, "alarms", "webhook_file", 0,
		    "webhook is given too; keep one of them");
	if (a->token[0] != '\0' && !conf_alarms_webhook(a))
		return conf_fault_set(f, "alarms", "token", 0,
		    "a token for no webhook; write webhook = \"https://...\"");
	if (a->webhook[0] == '\0')
		return 0;
	if (!conf_url_parse(span_str(a->webhook), &u, &why))
		return conf_fault_set(f, "alarms", "webhook", 0, "%s", why.text);
	snprintf(at, sizeof(at), strchr(u.host, ':') != NULL ? "[%s]:%u" : "%s:%u", u.host,
	    (unsigned)u.port);
	if (a->token[0] != '\0' && !u.tls && !conf_local_host(at))
		return conf_fault_set(f, "alarms", "webhook", 0,
		    "a token goes to another machine only by https");
	return 0;
}

static bool
address_ok(const char *text)
{
	char path[340];
	struct address a;

	snprintf(path, sizeof(path), "<%s>", text);
	return address_parse_path(span_str(path), ADDRESS_FORWARD, false, &a) == strlen(path) &&
	    strchr(text, '@') != NULL;
}

static bool
tls_first(const char *relay)
{
	const char *colon = strrchr(relay, ':');
	unsigned long long port;

	return colon != NULL && span_u64(span_str(colon + 1), 65535, &port) &&
	    port == CONF_TLS_FIRST_PORT;
}

static int
mail_ok(const struct conf_alarms *a, struct conf_fault *f)
{
	static const char *const both[] = { "mail", "relay" };
	bool mail = a->mail[0] != '\0', relay = a->relay[0] != '\0';

	if (mail != relay)
		return conf_fault_set(f, "alarms", both[mail], 0,
		    "missing; mail goes to an address (mail) by a relay: give both");
	if (mail && !address_ok(a->mail))
		return conf_fault_set(f, "alarms", "mail", 0,
		    "it is no address; write one like \"me@example.net\"");
	if (a->from[0] != '\0' && !address_ok(a->from))
		return conf_fault_set(f, "alarms", "from", 0,
		    "it is no address; write one like \"posthouse@example.org\"");
	if ((a->user[0] == '\0') != (a->password[0] == '\0'))
		return conf_fault_set(f, "alarms", a->user[0] == '\0' ? "user" : "password", 0,
		    "missing; user and password go together");
	if (a->user[0] != '\0' && a->tls != CONF_TLS_VERIFY && !conf_local_host(a->relay))
		return conf_fault_set(f, "alarms", "tls", 0, "a password goes to another machine "
		    "only with tls = \"verify\"");
	if (a->tls == CONF_TLS_OFF && tls_first(a->relay))
		return conf_fault_set(f, "alarms", "tls", 0, "on port 465 TLS begins at once; "
		    "write \"verify\", or a relay that begins in the clear, at 587 or 25");
	return 0;
}

int
conf_alarms_settle(struct conf_alarms *a, struct conf_fault *f)
{
	const char *fault = a->command[0] != '\0' ? command_line_fault(span_str(a->command)) : NULL;

	if (fault != NULL)
		return conf_fault_set(f, "alarms", "command", 0, "%s", fault);
	return webhook_ok(a, f) == -1 ? -1 : mail_ok(a, f);
}
