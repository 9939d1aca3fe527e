#include "kit/conf_texts.h"

/* What an edge does not start with, and what its operator reads instead. */
static const struct conf_refusal refusals[] = {
	{ "an empty file names what is missing", "",
	    "t.conf: hostname: missing; write the public name of this machine, like "
	    "hostname = \"mx1.example.org\"" },
	{ "comments do not move the lines below them", "# one\n// two\n/* three\n"
	    "four */\n" EDGE "limits { # seven\n// eight\n\tsizes = 1M\n}\n",
	    "t.conf:9: no key \"sizes\" in limits; did you mean \"size\"?" },
	{ "a comment between a key and its value", EDGE "state = # where?\n\"a\"\n",
	    "t.conf:4: state: \"a\" is no absolute path; start it with \"/\"" },
	{ "a comment in a list", EDGE
	    "tunnel { listen = {\"[::]:1\", # \"[::]:2\",\n/* * /**/ \"x\"} }\n",
	    "t.conf:4: tunnel.listen: \"x\" is no address and port; write \"[::]:25\" for every "
	    "address, or one like \"192.0.2.1:25\"" },
	{ "a comment without its end", EDGE "log = info /* the\nrest\n",
	    "t.conf:3: this \"/*\" is never closed; add a \"*/\"" },
	{ "what looks like a comment in a value",
	    EDGE "control = /a//b\nlog = '#//*'\n",
	    "t.conf:4: log: \"#//*\" is not known; write \"debug\" or \"info\" or \"warn\" or "
	    "\"error\"" },
	{ "a backslash alone", EDGE "control = \"/a\\d\"\n",
	    "t.conf:3: \"\\d\" is no escape here; write \"\\\\\" for a backslash, or the value in "
	    "single quotes" },
	{ "an x without digits", EDGE "control = \"/\\xg\"\n",
	    "t.conf:3: \"\\x\" is no escape here; write \"\\\\\" for a backslash, or the value in "
	    "single quotes" },
	{ "a NUL that would end the value", EDGE "control = \"/a\\0b\"\n",
	    "t.conf:3: \"\\0\" is no escape here; write \"\\\\\" for a backslash, or the value in "
	    "single quotes" },
	{ "escapes that are known",
	    EDGE "control = \"/\\x41\\102\\\\\\\"\"\nstate = '/\\d'\nlog = \"\\x61\"\n",
	    "t.conf:5: log: \"a\" is not known; write \"debug\" or \"info\" or \"warn\" or "
	    "\"error\"" },
	{ "a spool that is no place in a store", EDGE "spool = \"/srv/mail\"\n",
	    "t.conf:3: spool: no place in a store; write one like \"s3://BUCKET/pending/\", where "
	    "home looks too; processed/ is taken" },
	{ "a spool in what home has taken", EDGE "spool = \"s3://mail/processed\"\n",
	    "t.conf:3: spool: no place in a store; write one like \"s3://BUCKET/pending/\", where "
	    "home looks too; processed/ is taken" },
	{ "a spool that nobody knows the way to", EDGE "spool = \"s3://mail\"\n",
	    "t.conf:3: spool: how is that store reached? Write a section bucket \"NAME\" { "
	    "endpoint = ... credentials = ... }" },
	{ "a bucket that no spool names", EDGE S3,
	    "t.conf:3: nothing goes to this bucket; write spool = \"s3://BUCKET/pending/\" too, or "
	    "leave it out" },
	{ "a verdict on what lies in a bucket", EDGE S3 "spool = \"s3://mail\"\n"
	    "verdict = 20s\n",
	    "t.conf:5: verdict: with spool = \"s3://...\" home finds mail in the bucket, and "
	    "cannot be asked first; write 0s" },
	{ "a spool with a login for Workers", EDGE S3 "spool = \"s3://mail\"\n"
	    "tls { cert = /c key = /k }\nservice submission {\n\tlisten = {\"[::]:587\"}\n"
	    "\tauth = true\n}\n",
	    "t.conf:8: service.auth: with spool = \"s3://...\" this edge takes no mail from "
	    "Workers; let them put it into the bucket themselves" },
	{ "a spool whose way there is open", EDGE "spool = \"s3://mail\"\n"
	    "bucket \"r2\" {\n\tendpoint = \"http://s3.example.net\"\n}\n",
	    "t.conf:5: bucket.endpoint: it is not encrypted; write https://, or plain = true "
	    "if the way there is your own" },
	{ "a spool without credentials", EDGE "spool = \"s3://mail\"\n"
	    "bucket \"r2\" {\n\tendpoint = \"https://s3.example.net\"\n}\n",
	    "t.conf:5: bucket.credentials: missing; write the file that has the access key id on "
	    "its first line and the secret on its second" },
	{ "a bucket's name in two places", EDGE "spool = \"s3://mail\"\n"
	    "bucket \"r2\" {\n\tbucket = \"mail\"\n}\n",
	    "t.conf:5: no key \"bucket\" in bucket; it is one of home's configuration" },
	{ "two buckets for one spool", EDGE "spool = \"s3://mail\"\n" S3
	    "bucket \"s3\" { endpoint = \"https://s3.example.net\" credentials = \"/k\" }\n",
	    "t.conf:5: bucket: too many of these sections; at most 1 fit" },
	{ "a slip in a key is recognised", EDGE "bare_fl = \"refuse\"\n",
	    "t.conf:3: no key \"bare_fl\" at top level; did you mean \"bare_lf\"?" },
	{ "a slip in a section's name", EDGE "\n\nlimit { size = 1M }\n",
	    "t.conf:5: no key \"limit\" at top level; did you mean \"limits\"?" },
	{ "a slip in a section's key", EDGE "limits {\n\tsizes = 1M\n}\n",
	    "t.conf:4: no key \"sizes\" in limits; did you mean \"size\"?" },
	{ "home's key at an edge", EDGE "service web {\n\tbackend = \"a\"\n}\n",
	    "t.conf:4: no key \"backend\" in service; it is one of home's configuration" },
	{ "a key in the wrong place is sent to its own", EDGE "quota = 1G\n",
	    "t.conf:3: no key \"quota\" at top level; it belongs in home { ... }" },
	{ "a top-level key in a section", EDGE "hold { hostname = \"a.b\" }\n",
	    "t.conf:3: no key \"hostname\" in hold; it belongs at top level, outside any { ... }" },
	{ "a key given twice", EDGE "log = info\nlog = debug\n",
	    "t.conf:4: log: it was given before; keep one of the two" },
	{ "a key given twice in two blocks of one section",
	    EDGE "hold { quota = 1G }\nhold { quota = 2G }\n",
	    "t.conf:4: hold.quota: it was given before; keep one of the two" },
	{ "a size without sense", EDGE "hold { quota = \"20 apples\" }\n",
	    "t.conf:3: hold.quota: \"20 apples\" is no size; write a number with K, M, G or T, "
	    "like 20G" },
	{ "a size in another unit", EDGE "hold { quota = 20GB }\n",
	    "t.conf:3: hold.quota: \"20GB\" is no size; write a number with K, M, G or T, like "
	    "20G" },
	{ "a negative size", EDGE "hold { quota = -1 }\n",
	    "t.conf:3: hold.quota: \"-1\" is no size; write a number with K, M, G or T, like 20G" },
	{ "a size that overflows", EDGE "hold { quota = 99999999999999999999T }\n",
	    "t.conf:3: hold.quota: \"99999999999999999999T\" is no size; write a number with K, M, "
	    "G or "
	    "T, like 20G" },
	{ "a size whose product overflows", EDGE "hold { quota = 18014398509481984K }\n",
	    "t.conf:3: hold.quota: \"18014398509481984K\" is out of range; write 64K to 1024T" },
	{ "a time without a unit", EDGE "verdict = 20\n",
	    "t.conf:3: verdict: \"20\" is no time; write a number with ms, s, m, h or d, like "
	    "30s" },
	{ "a time above its range", EDGE "verdict = 6m\n",
	    "t.conf:3: verdict: \"6m\" is out of range; write 0 to 5m" },
	{ "a number below its range", EDGE "limits { recipients = 99 }\n",
	    "t.conf:3: limits.recipients: \"99\" is out of range; write 100 to 1000" },
	{ "more recipients than an object holds", EDGE "limits { recipients = 1001 }\n",
	    "t.conf:3: limits.recipients: \"1001\" is out of range; write 100 to 1000" },
	{ "zero is zero, not unlimited", EDGE "limits { connections = 0 }\n",
	    "t.conf:3: limits.connections: \"0\" is out of range; write 1 to 1000000" },
	{ "a word that is none", EDGE "bare_lf = \"accept\"\n",
	    "t.conf:3: bare_lf: \"accept\" is not known; write \"refuse\" or \"normalize\"" },
	{ "a mode that is none",
	    "hostname = a.b\nservice smtp {\n listen = {\"[::]:25\"}\n mode = relay\n}\n",
	    "t.conf:4: service.mode: \"relay\" is not known; write \"auto\" or \"pass\" or "
	    "\"hold\"" },
	{ "passed mail has one home",
	    "hostname = a.b\nservice smtp {\n listen = {\"[::]:25\"}\n home = {alice, bob}\n}\n",
	    "t.conf:4: service.home: 2 homes, and a connection that is passed has one: SMTP names "
	    "nobody before RCPT; name one home, or write mode = \"hold\"" },
	{ "and where none is named, all are meant",
	    "hostname = a.b\nhome alice { }\nhome bob { }\n"
	    "service mail { listen = {\"[::]:587\"} mode = pass }\n",
	    "t.conf:4: service.home: 2 homes, and a connection that is passed has one: SMTP names "
	    "nobody before RCPT; name one home, or write mode = \"hold\"" },
	{ "a default for SMTP",
	    "hostname = a.b\nservice smtp { listen = {\"[::]:25\"}\n default_home = alice }\n",
	    "t.conf:3: service.default_home: SMTP clients name no home before RCPT; write "
	    "home = \"alice\"" },
	{ "a default that is no home of the service",
	    "hostname = a.b\nservice imaps { listen = {\"[::]:993\"} home = {alice, bob}\n"
	    " default_home = carol }\n",
	    "t.conf:3: service.default_home: \"carol\" is none of the homes of this service" },
	{ "private clients and SMTP",
	    "hostname = a.b\nservice x { listen = {\"[::]:2525\"}\n allow_private = yes }\n",
	    "t.conf:3: service.allow_private: never for SMTP: servers relay for private "
	    "addresses; take it away" },
	{ "what auto makes SMTP",
	    "hostname = a.b\nservice x { listen = {\"[::]:99\"} mode = auto\n"
	    " allow_private = yes }\n",
	    "t.conf:3: service.allow_private: never for SMTP: servers relay for private "
	    "addresses; take it away" },
	{ "TLS from the first octet cannot be held",
	    "hostname = a.b\nservice x { listen = {\"[::]:465\"}\n mode = auto }\n",
	    "t.conf:3: service.mode: on port 465 clients begin with TLS, which this edge cannot "
	    "hold in their home's place; write mode = \"pass\"" },
	{ "nor is it by hold",
	    "hostname = a.b\nservice imaps { listen = {\"[::]:993\"}\n mode = hold }\n",
	    "t.conf:3: service.mode: on port 993 clients begin with TLS, which this edge cannot "
	    "hold in their home's place; write mode = \"pass\"" },
	{ "everybody a load balancer",
	    "hostname = a.b\nservice x { listen = {\"[::]:9\"}\nproxy_from = {\"0.0.0.0/0\"} }\n",
	    "t.conf:3: service.proxy_from: 0.0.0.0/0 is wider than /8, and whoever is in it may "
	    "say that he is anybody; write the addresses of your load balancers" },
	{ "everybody with IPv6, where it is held too",
	    "hostname = a.b\nservice x { listen = {\"[::]:9\"} mode = hold\n"
	    "proxy_from = {\"10.0.0.0/8\", \"fc00::/7\", \"2000::/3\"} }\n",
	    "t.conf:3: service.proxy_from: 2000::/3 is wider than /32, and whoever is in it may "
	    "say that he is anybody; write the addresses of your load balancers" },
	{ "a network that is none",
	    "hostname = a.b\nservice x { listen = {\"[::]:9\"} proxy_from = {\"10.0.0\"} }\n",
	    "t.conf:2: service.proxy_from: \"10.0.0\" is no network; write one like "
	    "\"192.0.2.0/24\", or an address" },
	{ "a prefix that is too long",
	    "hostname = a.b\nservice x { listen = {\"[::]:9\"}\nproxy_from = {\"10.0.0.0/33\"} }\n",
	    "t.conf:3: service.proxy_from: \"10.0.0.0/33\" has no right prefix; write 0 to 32 "
	    "behind the \"/\"" },
	{ "bits behind a prefix",
	    "hostname = a.b\nservice x { listen = {\"[::]:9\"} proxy_from = {\"10.1.2.3/8\"} }\n",
	    "t.conf:2: service.proxy_from: \"10.1.2.3/8\" has bits behind its prefix; write "
	    "\"10.0.0.0/8\"" },
	{ "a name where an address belongs",
	    "hostname = a.b\nservice s { listen = {\"mx1:25\"} }\n",
	    "t.conf:2: service.listen: \"mx1:25\" is no address and port; write \"[::]:25\" for "
	    "every "
	    "address, or one like \"192.0.2.1:25\"" },
	{ "an address without port",
	    "hostname = a.b\nservice s { listen = {\"192.0.2.1\"} }\n",
	    "t.conf:2: service.listen: \"192.0.2.1\" is no address and port; write \"[::]:25\" for "
	    "every "
	    "address, or one like \"192.0.2.1:25\"" },
	{ "a login without TLS",
	    "hostname = a.b\nservice x { listen = {\"[::]:587\"}\nauth = true }\n",
	    "t.conf:3: service.auth: no password is taken without TLS, and there is no "
	    "certificate; write tls { cert = ... key = ... }" },
	{ "a login at somebody else's server",
	    "hostname = a.b\nservice x { listen = {\"[::]:587\"} auth = true\nmode = pass }\n",
	    "t.conf:3: service.mode: with auth this edge speaks SMTP itself; write "
	    "mode = \"hold\", or take mode away" },
	{ "a login where strangers come",
	    "hostname = a.b\ntls { cert = /c key = /k }\n"
	    "service x { auth = true\nlisten = {\"[::]:25\"} }\n",
	    "t.conf:4: service.listen: on port 25 strangers bring their mail, and nobody logs in; "
	    "use 587 or 465" },
	{ "two beginnings of TLS in one service",
	    "hostname = a.b\ntls { cert = /c key = /k }\n"
	    "service x { auth = true\nlisten = {\"[::]:465\", \"[::]:587\"} }\n",
	    "t.conf:4: service.listen: on port 465 TLS begins at once, on others with STARTTLS; "
	    "write a service for each" },
	{ "TLS at once behind a balancer",
	    "hostname = a.b\ntls { cert = /c key = /k }\n"
	    "service submissions { auth = true listen = {\"[::]:99\"}\n"
	    "proxy_from = {\"10.0.0.0/24\"} }\n",
	    "t.conf:4: service.proxy_from: behind a load balancer TLS begins with STARTTLS here; "
	    "use port 587" },
	{ "no service", "hostname = a.b\n",
	    "t.conf: no service; write service \"smtp\" { listen = {\"[::]:25\"} }" },
	{ "a service that listens nowhere", "hostname = a.b\n\nservice s { }\n",
	    "t.conf:3: service \"s\" has no listen; write listen = {\"[::]:25\"}" },
	{ "a service with a name of our own",
	    EDGE "service tunnel { listen = {\"[::]:26\"} }\n",
	    "t.conf:3: a service cannot be called \"tunnel\"; use a to z, 0 to 9, - and _, and no "
	    "name of ours" },
	{ "two services with one name", EDGE "service smtp { listen = {\"[::]:26\"} }\n",
	    "t.conf:3: a second section is called \"smtp\"; write what both say into one, or give "
	    "this one another name" },
	{ "two services in one place", EDGE "service b {\n listen = {\"[::]:25\"} }\n",
	    "t.conf:4: service.listen: [::]:25 is taken by service \"smtp\" already" },
	{ "a service in the tunnel's place",
	    EDGE "service b { listen = {\"[::]:7443\"} }\n",
	    "t.conf:3: service.listen: [::]:7443 is where the tunnel listens" },
	{ "a domain has one home",
	    EDGE "home a { domains = {\"x.test\"} }\nhome b {\n domains = {\"y.test\", "
	    "\"X.Test\"}\n}\n",
	    "t.conf:5: home.domains: x.test belongs to home \"a\" already; a domain has one home" },
	{ "a domain named twice",
	    EDGE "home a { domains = {\"x.test\", \"X.TEST.\"} }\n",
	    "t.conf:3: home.domains: \"X.TEST.\" is there twice" },
	{ "a home's name becomes a file's", EDGE "home \"../a\" { }\n",
	    "t.conf:3: home: \"../a\" is no name of a home; use a to z, 0 to 9 and -, at most 63" },
	{ "a pin cut short", EDGE "home a { key = \"sha256:0011\" }\n",
	    "t.conf:3: home.key: \"sha256:0011\" is no pin; write \"sha256:\" and 64 hex digits, "
	    "as "
	    "`posthouse keygen` prints it" },
	{ "a secret key is not repeated in the message",
	    EDGE "home a { recipient = {\"AGE-SECRET-KEY-1QQQ\"} }\n",
	    "t.conf:3: home.recipient: a secret key is no age recipient; write the public key, "
	    "\"age1...\", as `posthouse keygen` prints it" },
	{ "a certificate without its key", EDGE "tls {\n cert = \"/c.pem\"\n}\n",
	    "t.conf:4: tls.cert: a certificate and its key go together; tls.key is missing" },
	{ "a relative path", EDGE "state = \"spool\"\n",
	    "t.conf:3: state: \"spool\" is no absolute path; start it with \"/\"" },
	{ "a longest time that ends before the idle one",
	    EDGE "limits {\n\tpassed_idle_timeout = 2h\n\tpassed_total_timeout = 1h\n}\n",
	    "t.conf:5: limits.passed_total_timeout: shorter than limits.passed_idle_timeout, which "
	    "would never be reached; write a longer one, or a shorter passed_idle_timeout" },
	{ "a message larger than the spool",
	    EDGE "limits { size = 1G }\nhold { quota = 512M }\n",
	    "t.conf:3: limits.size: larger than hold.quota: such a message would be refused for "
	    "ever" },
	{ "a budget that holds no object",
	    EDGE "hold {\n memory = 256K\n threshold = 512K\n}\n",
	    "t.conf:4: hold.memory: smaller than hold.threshold: not one object would fit" },
	{ "a path too long for a socket", EDGE "control = \"/run/"
	    "0123456789012345678901234567890123456789012345678901234567890123456789"
	    "0123456789012345678901234567890123456789\"\n",
	    "t.conf:3: control: too long for a socket; at most 107 characters" },
	{ "a resolver by name", EDGE "dns { servers = {\"dns.test\"} }\n",
	    "t.conf:3: dns.servers: \"dns.test\" is no address of a resolver; write \"192.0.2.53\" "
	    "or "
	    "\"192.0.2.53@5353\"" },
	{ "neither yes nor no", EDGE "dns { client_names = maybe }\n",
	    "t.conf:3: dns.client_names: \"maybe\" is neither true nor false" },
	{ "an address list that is none", EDGE "hold = 3\n",
	    "t.conf:3: missing opening brace for section 'hold'" },
	{ "a string left open behind a word", EDGE "control = /a//b\"\nlog = x\n",
	    "t.conf:3: the text that this quote begins has no end; close it with another" },
	{ "a star, which libconfuse reads over", EDGE "tunnel { listen = *:7443 }\n",
	    "t.conf:3: \"*\" stands in quotes only; write the whole value in double quotes" },
};

static void
refused_with_words(void **state)
{
	conf_refuses(CONF_EDGE, refusals, sizeof(refusals) / sizeof(refusals[0]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_with_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
