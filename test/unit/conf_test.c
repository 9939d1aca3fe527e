#include "conf/conf.h"
#include "conf/table.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* The page beside this file, wherever the build directory is. */
static const char *
man_page(void)
{
	static char path[512];
	const char *slash = strrchr(__FILE__, '/');

	snprintf(path, sizeof(path), "%.*s/../../man/posthouse.conf.5", (int)(slash - __FILE__),
	    __FILE__);
	return path;
}

#define EDGE	"hostname = \"mx1.example.org\"\nservice \"smtp\" { listen = {\"[::]:25\"} }\n"
#define HOME	"deliver { maildir = \"/var/mail/p\" }\n" \
	"mailboxes { users = {\"alice\", \"bob\"} }\n"
#define WORKER	"worker \"w.example.org\" { domains = {\"example.org\"} }\n"
#define R2	"\tendpoint = \"https://a.r2.cloudflarestorage.com\"\n"
#define S3	"bucket \"r2\" { endpoint = \"https://s3.example.net\" credentials = \"/k\" }\n"
#define VIA	"mailboxes { users = {\"alice\"} }\n"
#define PIN	"sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define AGE	"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

/* What is refused, and the words it is refused with, whole. */
static const struct refusal {
	const char *name;
	enum conf_role role;
	const char *text, *why;
} refusals[] = {
	{ "an empty file names what is missing", CONF_EDGE, "",
	    "t.conf: hostname: missing; write the public name of this machine, like "
	    "hostname = \"mx1.example.org\"" },
	{ "comments do not move the lines below them", CONF_EDGE, "# one\n// two\n/* three\n"
	    "four */\n" EDGE "limits { # seven\n// eight\n\tsizes = 1M\n}\n",
	    "t.conf:9: no key \"sizes\" in limits; did you mean \"size\"?" },
	{ "a comment between a key and its value", CONF_EDGE, EDGE "state = # where?\n\"a\"\n",
	    "t.conf:4: state: \"a\" is no absolute path; start it with \"/\"" },
	{ "a comment in a list", CONF_EDGE, EDGE
	    "tunnel { listen = {\"[::]:1\", # \"[::]:2\",\n/* * /**/ \"x\"} }\n",
	    "t.conf:4: tunnel.listen: \"x\" is no address and port; write \"[::]:25\" for every "
	    "address, or one like \"192.0.2.1:25\"" },
	{ "a comment without its end", CONF_EDGE, EDGE "log = info /* the\nrest\n",
	    "t.conf:3: this \"/*\" is never closed; add a \"*/\"" },
	{ "what looks like a comment in a value", CONF_EDGE,
	    EDGE "control = /a//b\nlog = '#//*'\n",
	    "t.conf:4: log: \"#//*\" is not known; write \"debug\" or \"info\" or \"warn\" or "
	    "\"error\"" },
	{ "an escape of other languages", CONF_HOME,
	    "deliver { maildir = \"/m\" }\nmailboxes { users = {\"a\\\\b\",\n\"j\\u00fcrgen\"} }\n",
	    "t.conf:3: \"\\u\" is no escape here; write the character itself, in UTF-8" },
	{ "a backslash alone", CONF_EDGE, EDGE "control = \"/a\\d\"\n",
	    "t.conf:3: \"\\d\" is no escape here; write \"\\\\\" for a backslash, or the value in "
	    "single quotes" },
	{ "an x without digits", CONF_EDGE, EDGE "control = \"/\\xg\"\n",
	    "t.conf:3: \"\\x\" is no escape here; write \"\\\\\" for a backslash, or the value in "
	    "single quotes" },
	{ "a NUL that would end the value", CONF_EDGE, EDGE "control = \"/a\\0b\"\n",
	    "t.conf:3: \"\\0\" is no escape here; write \"\\\\\" for a backslash, or the value in "
	    "single quotes" },
	{ "escapes that are known", CONF_EDGE,
	    EDGE "control = \"/\\x41\\102\\\\\\\"\"\nstate = '/\\d'\nlog = \"\\x61\"\n",
	    "t.conf:5: log: \"a\" is not known; write \"debug\" or \"info\" or \"warn\" or "
	    "\"error\"" },
	{ "a worker without domains", CONF_HOME, HOME "worker \"w.example.org\" { }\n",
	    "t.conf:3: worker.domains: missing; write whose mail this Worker may bring, like "
	    "domains = {\"example.org\"}" },
	{ "a worker with an edge's name", CONF_HOME, HOME
	    "edge \"w.example.org\" { }\n"
	    "worker \"w.example.org\" { domains = {\"example.org\"} }\n",
	    "t.conf:4: an edge is called \"w.example.org\" too; give the Worker a name of its "
	    "own" },
	{ "a push service that nobody may use", CONF_HOME, HOME "service \"push\" { }\n",
	    "t.conf:3: nobody may push; write worker \"NAME\" { domains = {...} } for each "
	    "Worker that may" },
	{ "a push service on the internet, in the clear", CONF_HOME, HOME WORKER
	    "service \"push\" { listen = {\"127.0.0.1:1\", \"9.9.9.9:80\"} }\n",
	    "t.conf:4: service.listen: 9.9.9.9:80 is an address of the internet, and tokens would "
	    "go over it in the clear; listen on \"127.0.0.1:7480\" and put an HTTPS tunnel or "
	    "proxy in front" },
	{ "a push service whose outside is no https", CONF_HOME, HOME WORKER
	    "service \"push\" {\nurl = \"http://push.example.org\" }\n",
	    "t.conf:5: service.url: write the address at which the tunnel or proxy in front of it "
	    "is reached, like \"https://push.example.org\"" },
	{ "a passed service that listens", CONF_HOME, HOME
	    "service \"imaps\" { listen = {\"[::]:993\"} }\n",
	    "t.conf:3: service.listen: home listens for Workers alone, in service \"push\"; what "
	    "edges pass has a backend" },
	{ "a push service that is passed, too", CONF_HOME, HOME WORKER "service \"push\" {\n"
	    "backend = \"127.0.0.1:1\" listen = {\"127.0.0.1:2\"} }\n",
	    "t.conf:5: service.listen: it is either passed to a backend or listened for; write "
	    "one of them" },
	{ "a worker's key by a path that depends on where we stand", CONF_HOME, HOME
	    "worker \"w.example.org\" { domains = {\"example.org\"}\nmac_key = \"key\" }\n",
	    "t.conf:4: worker.mac_key: \"key\" is no absolute path; start it with \"/\"" },
	{ "a spool that is no place in a store", CONF_EDGE, EDGE "spool = \"/srv/mail\"\n",
	    "t.conf:3: spool: no place in a store; write one like \"s3://BUCKET/pending/\", where "
	    "home looks too; processed/ is taken" },
	{ "a spool in what home has taken", CONF_EDGE, EDGE "spool = \"s3://mail/processed\"\n",
	    "t.conf:3: spool: no place in a store; write one like \"s3://BUCKET/pending/\", where "
	    "home looks too; processed/ is taken" },
	{ "a spool that nobody knows the way to", CONF_EDGE, EDGE "spool = \"s3://mail\"\n",
	    "t.conf:3: spool: how is that store reached? Write a section bucket \"NAME\" { "
	    "endpoint = ... credentials = ... }" },
	{ "a bucket that no spool names", CONF_EDGE, EDGE S3,
	    "t.conf:3: nothing goes to this bucket; write spool = \"s3://BUCKET/pending/\" too, or "
	    "leave it out" },
	{ "a verdict on what lies in a bucket", CONF_EDGE, EDGE S3 "spool = \"s3://mail\"\n"
	    "verdict = 20s\n",
	    "t.conf:5: verdict: with spool = \"s3://...\" home finds mail in the bucket, and "
	    "cannot be asked first; write 0s" },
	{ "a bucket without its store", CONF_HOME, HOME "bucket \"r2\" { }\n",
	    "t.conf:3: bucket.endpoint: missing; write the store's URL, like "
	    "\"https://ACCOUNT.r2.cloudflarestorage.com\"" },
	{ "a bucket's name in the URL", CONF_HOME, HOME
	    "bucket \"r2\" {\n\tendpoint = \"https://s3.example.net/mail\"\n}\n",
	    "t.conf:4: bucket.endpoint: \"/mail\" does not belong to it; a bucket's name is "
	    "written as bucket = \"...\"" },
	{ "a store over the internet in the clear", CONF_HOME, HOME
	    "bucket \"r2\" {\n\tendpoint = \"http://s3.example.net\"\n}\n",
	    "t.conf:4: bucket.endpoint: it is not encrypted; write https://, or plain = true "
	    "if the way there is your own" },
	{ "what is no name of a bucket", CONF_HOME, HOME "bucket \"r2\" {\n" R2
	    "\tbucket = \"a/b\"\n}\n",
	    "t.conf:5: bucket.bucket: no bucket is called so; it has 3 to 63 letters, digits, "
	    "dots, hyphens and underscores" },
	{ "a bucket without credentials", CONF_HOME, HOME "bucket \"r2\" {\n" R2
	    "\tbucket = \"mail\"\n}\n",
	    "t.conf:4: bucket.credentials: missing; write the file that has the access key id on "
	    "its first line and the secret on its second" },
	{ "a region with a space", CONF_HOME, HOME "bucket \"r2\" {\n" R2
	    "\tbucket = \"mail\"\n\tregion = \"eu central\"\n}\n",
	    "t.conf:6: bucket.region: no region; write one like \"eu-central-1\", or \"auto\" for "
	    "R2" },
	{ "a prefix that is none", CONF_HOME, HOME "bucket \"r2\" {\n" R2
	    "\tbucket = \"mail\"\n\tcredentials = \"/k\"\n\tprefix = \"pending\"\n}\n",
	    "t.conf:7: bucket.prefix: write one that ends in a slash and does not begin with one, "
	    "like \"pending/\"; processed/ is taken" },
	{ "an older layout of nobody", CONF_HOME, HOME "bucket \"r2\" {\n" R2
	    "\tbucket = \"mail\"\n\tcredentials = \"/k\"\n\told = \"w.example.org\"\n}\n",
	    "t.conf:7: bucket.old: no worker here has that name; write the one whose domains that "
	    "mail may be for" },
	{ "a slip in a key is recognised", CONF_EDGE, EDGE "bare_fl = \"refuse\"\n",
	    "t.conf:3: no key \"bare_fl\" at top level; did you mean \"bare_lf\"?" },
	{ "a slip in a section's name", CONF_EDGE, EDGE "\n\nlimit { size = 1M }\n",
	    "t.conf:5: no key \"limit\" at top level; did you mean \"limits\"?" },
	{ "a slip in a section's key", CONF_EDGE, EDGE "limits {\n\tsizes = 1M\n}\n",
	    "t.conf:4: no key \"sizes\" in limits; did you mean \"size\"?" },
	{ "a word that others use", CONF_HOME, HOME "service web {\n\tto = \"127.0.0.1:80\"\n}\n",
	    "t.conf:4: no key \"to\" in service; did you mean \"backend\"?" },
	{ "home's key at an edge", CONF_EDGE, EDGE "service web {\n\tbackend = \"a\"\n}\n",
	    "t.conf:4: no key \"backend\" in service; it is one of home's configuration" },
	{ "an edge's key at home", CONF_HOME, HOME "tunnel { listen = {\"[::]:7443\"} }\n",
	    "t.conf:3: no key \"listen\" in tunnel; it is one of an edge's configuration" },
	{ "an edge's section at home", CONF_HOME, HOME "tls { cert = \"/a\" }\n",
	    "t.conf:3: no key \"tls\" at top level; it is one of an edge's configuration" },
	{ "a key in the wrong place is sent to its own", CONF_EDGE, EDGE "quota = 1G\n",
	    "t.conf:3: no key \"quota\" at top level; it belongs in home { ... }" },
	{ "a top-level key in a section", CONF_EDGE, EDGE "hold { hostname = \"a.b\" }\n",
	    "t.conf:3: no key \"hostname\" in hold; it belongs at top level, outside any { ... }" },
	{ "an unknown key", CONF_HOME, HOME "frobnicate = 3\n",
	    "t.conf:3: no key \"frobnicate\" at top level; posthouse.conf(5) lists them all" },
	{ "a key given twice", CONF_EDGE, EDGE "log = info\nlog = debug\n",
	    "t.conf:4: log: it was given before; keep one of the two" },
	{ "a list given twice", CONF_HOME, HOME "mailboxes { users = {\"carol\"} }\n",
	    "t.conf:3: mailboxes.users: it was given before; keep one of the two" },
	{ "a key given twice in two blocks of one section", CONF_EDGE,
	    EDGE "hold { quota = 1G }\nhold { quota = 2G }\n",
	    "t.conf:4: hold.quota: it was given before; keep one of the two" },
	{ "a size without sense", CONF_EDGE, EDGE "hold { quota = \"20 apples\" }\n",
	    "t.conf:3: hold.quota: \"20 apples\" is no size; write a number with K, M, G or T, "
	    "like 20G" },
	{ "a size in another unit", CONF_EDGE, EDGE "hold { quota = 20GB }\n",
	    "t.conf:3: hold.quota: \"20GB\" is no size; write a number with K, M, G or T, like "
	    "20G" },
	{ "a negative size", CONF_EDGE, EDGE "hold { quota = -1 }\n",
	    "t.conf:3: hold.quota: \"-1\" is no size; write a number with K, M, G or T, like 20G" },
	{ "a size that overflows", CONF_EDGE, EDGE "hold { quota = 99999999999999999999T }\n",
	    "t.conf:3: hold.quota: \"99999999999999999999T\" is no size; write a number with K, M, "
	    "G or "
	    "T, like 20G" },
	{ "a size whose product overflows", CONF_EDGE, EDGE "hold { quota = 18014398509481984K }\n",
	    "t.conf:3: hold.quota: \"18014398509481984K\" is out of range; write 64K to 1024T" },
	{ "a time without a unit", CONF_EDGE, EDGE "verdict = 20\n",
	    "t.conf:3: verdict: \"20\" is no time; write a number with ms, s, m, h or d, like "
	    "30s" },
	{ "a time above its range", CONF_EDGE, EDGE "verdict = 6m\n",
	    "t.conf:3: verdict: \"6m\" is out of range; write 0 to 5m" },
	{ "a number below its range", CONF_EDGE, EDGE "limits { recipients = 99 }\n",
	    "t.conf:3: limits.recipients: \"99\" is out of range; write 100 to 1000" },
	{ "more recipients than an object holds", CONF_EDGE, EDGE "limits { recipients = 1001 }\n",
	    "t.conf:3: limits.recipients: \"1001\" is out of range; write 100 to 1000" },
	{ "zero is zero, not unlimited", CONF_EDGE, EDGE "limits { connections = 0 }\n",
	    "t.conf:3: limits.connections: \"0\" is out of range; write 1 to 1000000" },
	{ "more tunnels than an edge takes", CONF_HOME, HOME "tunnel {\n connections = 9\n}\n",
	    "t.conf:4: tunnel.connections: \"9\" is out of range; write 1 to 8" },
	{ "a word that is none", CONF_EDGE, EDGE "bare_lf = \"accept\"\n",
	    "t.conf:3: bare_lf: \"accept\" is not known; write \"refuse\" or \"normalize\"" },
	{ "a mode that is none", CONF_EDGE,
	    "hostname = a.b\nservice smtp {\n listen = {\"[::]:25\"}\n mode = relay\n}\n",
	    "t.conf:4: service.mode: \"relay\" is not known; write \"auto\" or \"pass\" or "
	    "\"hold\"" },
	{ "passed mail has one home", CONF_EDGE,
	    "hostname = a.b\nservice smtp {\n listen = {\"[::]:25\"}\n home = {alice, bob}\n}\n",
	    "t.conf:4: service.home: 2 homes, and a connection that is passed has one: SMTP names "
	    "nobody before RCPT; name one home, or write mode = \"hold\"" },
	{ "and where none is named, all are meant", CONF_EDGE,
	    "hostname = a.b\nhome alice { }\nhome bob { }\n"
	    "service mail { listen = {\"[::]:587\"} mode = pass }\n",
	    "t.conf:4: service.home: 2 homes, and a connection that is passed has one: SMTP names "
	    "nobody before RCPT; name one home, or write mode = \"hold\"" },
	{ "a default for SMTP", CONF_EDGE,
	    "hostname = a.b\nservice smtp { listen = {\"[::]:25\"}\n default_home = alice }\n",
	    "t.conf:3: service.default_home: SMTP clients name no home before RCPT; write "
	    "home = \"alice\"" },
	{ "a default that is no home of the service", CONF_EDGE,
	    "hostname = a.b\nservice imaps { listen = {\"[::]:993\"} home = {alice, bob}\n"
	    " default_home = carol }\n",
	    "t.conf:3: service.default_home: \"carol\" is none of the homes of this service" },
	{ "private clients and SMTP", CONF_EDGE,
	    "hostname = a.b\nservice x { listen = {\"[::]:2525\"}\n allow_private = yes }\n",
	    "t.conf:3: service.allow_private: never for SMTP: servers relay for private "
	    "addresses; take it away" },
	{ "what auto makes SMTP", CONF_EDGE,
	    "hostname = a.b\nservice x { listen = {\"[::]:99\"} mode = auto\n"
	    " allow_private = yes }\n",
	    "t.conf:3: service.allow_private: never for SMTP: servers relay for private "
	    "addresses; take it away" },
	{ "TLS from the first octet cannot be held", CONF_EDGE,
	    "hostname = a.b\nservice x { listen = {\"[::]:465\"}\n mode = auto }\n",
	    "t.conf:3: service.mode: on port 465 clients begin with TLS, which this edge cannot "
	    "hold in their home's place; write mode = \"pass\"" },
	{ "nor is it by hold", CONF_EDGE,
	    "hostname = a.b\nservice imaps { listen = {\"[::]:993\"}\n mode = hold }\n",
	    "t.conf:3: service.mode: on port 993 clients begin with TLS, which this edge cannot "
	    "hold in their home's place; write mode = \"pass\"" },
	{ "everybody a load balancer", CONF_EDGE,
	    "hostname = a.b\nservice x { listen = {\"[::]:9\"}\nproxy_from = {\"0.0.0.0/0\"} }\n",
	    "t.conf:3: service.proxy_from: 0.0.0.0/0 is wider than /8, and whoever is in it may "
	    "say that he is anybody; write the addresses of your load balancers" },
	{ "everybody with IPv6, where it is held too", CONF_EDGE,
	    "hostname = a.b\nservice x { listen = {\"[::]:9\"} mode = hold\n"
	    "proxy_from = {\"10.0.0.0/8\", \"fc00::/7\", \"2000::/3\"} }\n",
	    "t.conf:3: service.proxy_from: 2000::/3 is wider than /32, and whoever is in it may "
	    "say that he is anybody; write the addresses of your load balancers" },
	{ "a network that is none", CONF_EDGE,
	    "hostname = a.b\nservice x { listen = {\"[::]:9\"} proxy_from = {\"10.0.0\"} }\n",
	    "t.conf:2: service.proxy_from: \"10.0.0\" is no network; write one like "
	    "\"192.0.2.0/24\", or an address" },
	{ "a prefix that is too long", CONF_EDGE,
	    "hostname = a.b\nservice x { listen = {\"[::]:9\"}\nproxy_from = {\"10.0.0.0/33\"} }\n",
	    "t.conf:3: service.proxy_from: \"10.0.0.0/33\" has no right prefix; write 0 to 32 "
	    "behind the \"/\"" },
	{ "bits behind a prefix", CONF_EDGE,
	    "hostname = a.b\nservice x { listen = {\"[::]:9\"} proxy_from = {\"10.1.2.3/8\"} }\n",
	    "t.conf:2: service.proxy_from: \"10.1.2.3/8\" has bits behind its prefix; write "
	    "\"10.0.0.0/8\"" },
	{ "a name where an address belongs", CONF_EDGE,
	    "hostname = a.b\nservice s { listen = {\"mx1:25\"} }\n",
	    "t.conf:2: service.listen: \"mx1:25\" is no address and port; write \"[::]:25\" for "
	    "every "
	    "address, or one like \"192.0.2.1:25\"" },
	{ "an address without port", CONF_EDGE,
	    "hostname = a.b\nservice s { listen = {\"192.0.2.1\"} }\n",
	    "t.conf:2: service.listen: \"192.0.2.1\" is no address and port; write \"[::]:25\" for "
	    "every "
	    "address, or one like \"192.0.2.1:25\"" },
	{ "a login without TLS", CONF_EDGE,
	    "hostname = a.b\nservice x { listen = {\"[::]:587\"}\nauth = true }\n",
	    "t.conf:3: service.auth: no password is taken without TLS, and there is no "
	    "certificate; write tls { cert = ... key = ... }" },
	{ "a login at somebody else's server", CONF_EDGE,
	    "hostname = a.b\nservice x { listen = {\"[::]:587\"} auth = true\nmode = pass }\n",
	    "t.conf:3: service.mode: with auth this edge speaks SMTP itself; write "
	    "mode = \"hold\", or take mode away" },
	{ "a login where strangers come", CONF_EDGE,
	    "hostname = a.b\ntls { cert = /c key = /k }\n"
	    "service x { auth = true\nlisten = {\"[::]:25\"} }\n",
	    "t.conf:4: service.listen: on port 25 strangers bring their mail, and nobody logs in; "
	    "use 587 or 465" },
	{ "two beginnings of TLS in one service", CONF_EDGE,
	    "hostname = a.b\ntls { cert = /c key = /k }\n"
	    "service x { auth = true\nlisten = {\"[::]:465\", \"[::]:587\"} }\n",
	    "t.conf:4: service.listen: on port 465 TLS begins at once, on others with STARTTLS; "
	    "write a service for each" },
	{ "TLS at once behind a balancer", CONF_EDGE,
	    "hostname = a.b\ntls { cert = /c key = /k }\n"
	    "service submissions { auth = true listen = {\"[::]:99\"}\n"
	    "proxy_from = {\"10.0.0.0/24\"} }\n",
	    "t.conf:4: service.proxy_from: behind a load balancer TLS begins with STARTTLS here; "
	    "use port 587" },
	{ "no service", CONF_EDGE, "hostname = a.b\n",
	    "t.conf: no service; write service \"smtp\" { listen = {\"[::]:25\"} }" },
	{ "a service that listens nowhere", CONF_EDGE, "hostname = a.b\n\nservice s { }\n",
	    "t.conf:3: service \"s\" has no listen; write listen = {\"[::]:25\"}" },
	{ "a service with a name of our own", CONF_EDGE,
	    EDGE "service tunnel { listen = {\"[::]:26\"} }\n",
	    "t.conf:3: a service cannot be called \"tunnel\"; use a to z, 0 to 9, - and _, and no "
	    "name of ours" },
	{ "two services with one name", CONF_EDGE, EDGE "service smtp { listen = {\"[::]:26\"} }\n",
	    "t.conf:3: a second section is called \"smtp\"; write what both say into one, or give "
	    "this one another name" },
	{ "two services in one place", CONF_EDGE, EDGE "service b {\n listen = {\"[::]:25\"} }\n",
	    "t.conf:4: service.listen: [::]:25 is taken by service \"smtp\" already" },
	{ "a service in the tunnel's place", CONF_EDGE,
	    EDGE "service b { listen = {\"[::]:7443\"} }\n",
	    "t.conf:3: service.listen: [::]:7443 is where the tunnel listens" },
	{ "a domain has one home", CONF_EDGE,
	    EDGE "home a { domains = {\"x.test\"} }\nhome b {\n domains = {\"y.test\", "
	    "\"X.Test\"}\n}\n",
	    "t.conf:5: home.domains: x.test belongs to home \"a\" already; a domain has one home" },
	{ "a domain named twice", CONF_EDGE,
	    EDGE "home a { domains = {\"x.test\", \"X.TEST.\"} }\n",
	    "t.conf:3: home.domains: \"X.TEST.\" is there twice" },
	{ "a home's name becomes a file's", CONF_EDGE, EDGE "home \"../a\" { }\n",
	    "t.conf:3: home: \"../a\" is no name of a home; use a to z, 0 to 9 and -, at most 63" },
	{ "a pin cut short", CONF_EDGE, EDGE "home a { key = \"sha256:0011\" }\n",
	    "t.conf:3: home.key: \"sha256:0011\" is no pin; write \"sha256:\" and 64 hex digits, "
	    "as "
	    "`posthouse keygen` prints it" },
	{ "a secret key is not repeated in the message", CONF_EDGE,
	    EDGE "home a { recipient = {\"AGE-SECRET-KEY-1QQQ\"} }\n",
	    "t.conf:3: home.recipient: a secret key is no age recipient; write the public key, "
	    "\"age1...\", as `posthouse keygen` prints it" },
	{ "a certificate without its key", CONF_EDGE, EDGE "tls {\n cert = \"/c.pem\"\n}\n",
	    "t.conf:4: tls.cert: a certificate and its key go together; tls.key is missing" },
	{ "a relative path", CONF_EDGE, EDGE "state = \"spool\"\n",
	    "t.conf:3: state: \"spool\" is no absolute path; start it with \"/\"" },
	{ "a longest time that ends before the idle one", CONF_EDGE,
	    EDGE "limits {\n\tpassed_idle_timeout = 2h\n\tpassed_total_timeout = 1h\n}\n",
	    "t.conf:5: limits.passed_total_timeout: shorter than limits.passed_idle_timeout, which "
	    "would never be reached; write a longer one, or a shorter passed_idle_timeout" },
	{ "a message larger than the spool", CONF_EDGE,
	    EDGE "limits { size = 1G }\nhold { quota = 512M }\n",
	    "t.conf:3: limits.size: larger than hold.quota: such a message would be refused for "
	    "ever" },
	{ "a budget that holds no object", CONF_EDGE,
	    EDGE "hold {\n memory = 256K\n threshold = 512K\n}\n",
	    "t.conf:4: hold.memory: smaller than hold.threshold: not one object would fit" },
	{ "a path too long for a socket", CONF_EDGE, EDGE "control = \"/run/"
	    "0123456789012345678901234567890123456789012345678901234567890123456789"
	    "0123456789012345678901234567890123456789\"\n",
	    "t.conf:3: control: too long for a socket; at most 107 characters" },
	{ "a network where the interlock takes addresses", CONF_HOME,
	    HOME "interlock { addresses = {\"198.51.100.0/24\"} }\n",
	    "t.conf:3: interlock.addresses: \"198.51.100.0/24\" is no address; write one without "
	    "a port, like \"198.51.100.7\"" },
	{ "a resolver by name", CONF_EDGE, EDGE "dns { servers = {\"dns.test\"} }\n",
	    "t.conf:3: dns.servers: \"dns.test\" is no address of a resolver; write \"192.0.2.53\" "
	    "or "
	    "\"192.0.2.53@5353\"" },
	{ "neither yes nor no", CONF_EDGE, EDGE "dns { client_names = maybe }\n",
	    "t.conf:3: dns.client_names: \"maybe\" is neither true nor false" },
	{ "an address list that is none", CONF_EDGE, EDGE "hold = 3\n",
	    "t.conf:3: missing opening brace for section 'hold'" },
	{ "the environment is not looked into", CONF_HOME, HOME "\nstate = \"${HOME}/p\"\n",
	    "t.conf:4: ${...} is not filled in here; write the value itself, or a command that "
	    "needs it in "
	    "single quotes" },
	{ "a section left open", CONF_HOME, HOME "hold {\n quota = 1G\n",
	    "t.conf:3: this \"{\" is never closed; add a \"}\"" },
	{ "a brace too many", CONF_HOME, HOME "hold {\n quota = 1G\n} }\n",
	    "t.conf:5: unexpected closing brace" },
	{ "a string left open", CONF_HOME, HOME "state = \"/a\n\n",
	    "t.conf:3: the text that this quote begins has no end; close it with another" },
	{ "a string left open behind a word", CONF_EDGE, EDGE "control = /a//b\"\nlog = x\n",
	    "t.conf:3: the text that this quote begins has no end; close it with another" },
	{ "a star, which libconfuse reads over", CONF_EDGE, EDGE "tunnel { listen = *:7443 }\n",
	    "t.conf:3: \"*\" stands in quotes only; write the whole value in double quotes" },
	{ "no destination", CONF_HOME, "mailboxes { users = {\"a\"} }\n",
	    "t.conf: deliver.maildir: missing; write where held mail goes: "
	    "maildir = \"/var/mail/posthouse\", smtp or lmtp = \"127.0.0.1:24\", or have a "
	    "service \"smtp\"" },
	{ "two destinations", CONF_HOME, "mailboxes { users = {\"a\"} }\n"
	    "deliver { maildir = \"/m\"  lmtp = \"/run/dovecot/lmtp\" }\n",
	    "t.conf:2: deliver.lmtp: more than one destination; keep one of maildir, smtp, "
	    "lmtp and via" },
	{ "a service that is none", CONF_HOME, "mailboxes { users = {\"a\"} }\n"
	    "deliver { via = \"service mx\" }\n",
	    "t.conf:2: deliver.via: it names no service of this file; write one like "
	    "\"service smtp\"" },
	{ "LMTP to nowhere", CONF_HOME, "mailboxes { users = {\"a\"} }\n"
	    "deliver { lmtp = \"dovecot\" }\n",
	    "t.conf:2: deliver.lmtp: write \"127.0.0.1:24\", or a socket like "
	    "\"/run/dovecot/lmtp\"" },
	{ "a password over the network", CONF_HOME, "mailboxes { users = {\"a\"} }\n"
	    "deliver { smtp = \"mail.example.org:25\" user = \"u\" password = \"/p\" }\n",
	    "t.conf: deliver.tls: a password goes to another machine only with "
	    "tls = \"verify\"" },
	{ "authorities that nobody asks", CONF_HOME, "mailboxes { users = {\"a\"} }\n"
	    "deliver { smtp = \"mail.example.org:25\" authorities = \"/ca.pem\" }\n",
	    "t.conf:2: deliver.authorities: only tls = \"verify\" looks at a certificate; write "
	    "it too" },
	{ "a filter by its name", CONF_HOME, HOME "filter { rspamd = \"localhost:11333\" }\n",
	    "t.conf:3: filter.rspamd: write an address with its port, like \"127.0.0.1:11333\", or "
	    "a socket like \"/run/rspamd/normal.sock\"" },
	{ "a filter over the internet", CONF_HOME, HOME "filter { rspamd = \"9.9.9.9:11333\" }\n",
	    "t.conf:3: filter.rspamd: mail would go over the internet in the clear; write an "
	    "address of this machine or of its own network" },
	{ "a password for no filter", CONF_HOME, HOME "filter { password_file = \"/p\" }\n",
	    "t.conf: filter.rspamd: missing; a password needs a filter to be told to" },
	{ "mail of alarms without a relay", CONF_HOME, HOME "alarms { mail = \"me@a.test\" }\n",
	    "t.conf: alarms.relay: missing; mail goes to an address (mail) by a relay: give both" },
	{ "a relay's password in the clear", CONF_HOME,
	    HOME "alarms { mail = \"me@a.test\" relay = \"mx.a.test:587\" user = \"u\" "
	    "password = \"/p\" tls = \"auto\" }\n",
	    "t.conf:3: alarms.tls: a password goes to another machine only with "
	    "tls = \"verify\"" },
	{ "a webhook that is none", CONF_HOME, HOME "alarms { webhook = \"ftp://a.test/\" }\n",
	    "t.conf:3: alarms.webhook: no URL; write one like \"https://example.org/alarm\"" },
	{ "a webhook with a password in it", CONF_HOME,
	    HOME "alarms { webhook = \"https://u:p@a.test/\" }\n",
	    "t.conf:3: alarms.webhook: a name and password in a URL are shown to everybody; use "
	    "a token" },
	{ "a token in the clear", CONF_HOME,
	    HOME "alarms { webhook = \"http://a.test/\" token = \"/t\" }\n",
	    "t.conf:3: alarms.webhook: a token goes to another machine only by https" },
	{ "a command without its end", CONF_HOME, HOME "alarms { command = \"tell 'me\" }\n",
	    "t.conf:3: alarms.command: no command: a quote in it has no end, or it has too many "
	    "words" },
	{ "no mailbox", CONF_HOME, "deliver { maildir = \"/m\" }\n",
	    "t.conf: mailboxes.users: no mailbox at all, every message would be refused; write "
	    "mailboxes "
	    "{ users = {\"alice\"} }, or catch_all, or command or file" },
	{ "somebody reads postmaster's mail", CONF_HOME,
	    "deliver { maildir = \"/m\" }\nmailboxes { command = \"ls /home\" }\n",
	    "t.conf: mailboxes.roles: missing; the mailboxes come from a command or file, so write "
	    "who reads mail to postmaster@, like roles = \"admin\"" },
	{ "a user that climbs", CONF_HOME,
	    "deliver { maildir = \"/m\" }\nmailboxes { users = {\"a\", \"../b\"} }\n",
	    "t.conf:2: mailboxes.users: \"../b\" is no mailbox name; write the part before the "
	    "@, or a whole address, at most 63 octets: letters, digits, _ = + and, not first, . "
	    "and -" },
	{ "a catch-all that the Maildir would not take", CONF_HOME, HOME
	    "mailboxes { catch_all = \"a~b\" }\n",
	    "t.conf:3: mailboxes.catch_all: \"a~b\" is no mailbox name; write the part before the "
	    "@, or a whole address, at most 63 octets: letters, digits, _ = + and, not first, . "
	    "and -" },
	{ "two users whom no address tells apart", CONF_HOME,
	    "deliver { maildir = \"/m\" }\nmailboxes { users = {\"Alice\", \"alice\"} }\n",
	    "t.conf:2: mailboxes.users: \"alice\" is there twice" },
	{ "an alias that leads back to itself", CONF_HOME,
	    "deliver { maildir = \"/m\" }\nmailboxes { users = {\"a\"} }\n"
	    "domain \"a.test\" { aliases = {\"x: y\"} }\n"
	    "domain \"b.test\" {\n\taliases = {\"z: a\", \"x: y@c.test\"}\n}\n"
	    "domain \"c.test\" {\n\taliases = {\"y: X@B.test\"}\n}\n",
	    "t.conf:5: domain.aliases: x leads back to itself, or through more than 16 aliases; "
	    "let it end in a mailbox" },
	{ "a Maildir knows nobody whom it could be asked for", CONF_HOME,
	    "deliver { maildir = \"/m\" }\nmailboxes {\n\tcallout = true\n}\n",
	    "t.conf:3: mailboxes.callout: there is no mail server to ask: mail goes into a "
	    "Maildir" },
	{ "a catch-all leaves nobody to ask for", CONF_HOME,
	    "deliver { lmtp = \"127.0.0.1:24\" }\n"
	    "mailboxes { catch_all = \"a\" callout = true }\n",
	    "t.conf:2: mailboxes.callout: catch_all takes whom the server would be asked for; "
	    "write one of them" },
	{ "an alias without a target", CONF_HOME,
	    "deliver { maildir = \"/m\" }\nmailboxes { users = {\"a\"} }\n"
	    "domain \"a.test\" { aliases = {\"x a\"} }\n",
	    "t.conf:3: domain.aliases: \"x a\" is no alias; write a local part and whose it is, "
	    "mailboxes or addresses of this home, like \"sales: alice, bob\"" },
	{ "a tag that is in every name", CONF_HOME,
	    "deliver { maildir = \"/m\" }\nmailboxes { users = {\"a\"} }\n"
	    "domain \"a.test\" { tags = \"a\" }\n",
	    "t.conf:3: domain.tags: \"a\" cannot part a name from its tag; write one character "
	    "like \"+\" or \"-\", or \"\" for none" },
	{ "refused and caught at once", CONF_HOME,
	    "deliver { maildir = \"/m\" }\nmailboxes { users = {\"a\"} }\n"
	    "domain \"a.test\" {\n catch_all = \"a\"\n refuse = true\n}\n",
	    "t.conf:5: domain.refuse: catch_all takes whom refuse would refuse; write one of "
	    "them" },
	{ "a user twice", CONF_HOME,
	    "deliver { maildir = \"/m\" }\nmailboxes { users = {\"a\", \"a\"} }\n",
	    "t.conf:2: mailboxes.users: \"a\" is there twice" },
	{ "an edge half configured", CONF_HOME,
	    HOME "edge mx1.test { address = \"mx1.test:7443\" }\n",
	    "t.conf:3: edge.address: address and key go together; give both, or neither and pair" },
	{ "an edge without port", CONF_HOME, HOME "edge m { key = \"" PIN "\" address = \"m\" }\n",
	    "t.conf:3: edge.address: \"m\" is no host and port; write \"mx1.example.org:7443\" or "
	    "\"[2001:db8::1]:7443\"" },
	{ "a passed service that leads nowhere", CONF_HOME, HOME "service imaps { }\n",
	    "t.conf:3: service \"imaps\" has no backend; write where its server is, like "
	    "backend = \"127.0.0.1:993\"" },
	{ "a backend by name", CONF_HOME, HOME "service imaps {\n backend = \"localhost:993\"\n}\n",
	    "t.conf:4: service.backend: \"localhost:993\" is no address and port of a server; "
	    "write the address itself, like \"127.0.0.1:993\" or \"[::1]:993\"" },
	{ "a backend without port", CONF_HOME, HOME "service imaps { backend = \"127.0.0.1\" }\n",
	    "t.conf:3: service.backend: \"127.0.0.1\" is no address and port of a server; "
	    "write the address itself, like \"127.0.0.1:993\" or \"[::1]:993\"" },
	{ "a backend everywhere", CONF_HOME, HOME "service imaps { backend = \"[::]:993\" }\n",
	    "t.conf:3: service.backend: \"[::]:993\" is where a server may listen, not where to "
	    "reach it; write one address, like \"127.0.0.1:993\"" },
	{ "a version of PROXY that is none", CONF_HOME,
	    HOME "service imaps { backend = \"[::1]:993\" proxy = v3 }\n",
	    "t.conf:3: service.proxy: \"v3\" is not known; write \"v2\" or \"v1\" or \"none\"" },
	{ "a mail server is told who its client is", CONF_HOME,
	    HOME "service smtp {\n backend = \"127.0.0.1:10025\"\n proxy = none\n}\n",
	    "t.conf:5: service.proxy: \"none\" would show a mail server every stranger as this "
	    "machine, for which it may relay; write \"v2\" or \"v1\", and let the server "
	    "expect it" },
	{ "under whatever name", CONF_HOME,
	    HOME "service post { backend = \"192.168.1.2:587\" proxy = none }\n",
	    "t.conf:3: service.proxy: \"none\" would show a mail server every stranger as this "
	    "machine, for which it may relay; write \"v2\" or \"v1\", and let the server "
	    "expect it" },
	{ "private clients never reach a mail server", CONF_HOME,
	    HOME "service submission {\n backend = \"[::1]:10587\"\n allow_private = yes\n}\n",
	    "t.conf:5: service.allow_private: a mail server may trust private networks and relay "
	    "for them; it cannot be true for SMTP" },
	{ "a service's name goes into a head", CONF_HOME,
	    HOME "service \"im:aps\" { backend = \"[::1]:993\" }\n",
	    "t.conf:3: a service cannot be called \"im:aps\"; use a to z, 0 to 9, _ and -, as at "
	    "the edge" },
	{ "a passed service twice", CONF_HOME,
	    HOME "service a { backend = \"[::1]:1\" }\nservice a { backend = \"[::1]:2\" }\n",
	    "t.conf:4: a second section is called \"a\"; write what both say into one, or give "
	    "this one another name" },
	{ "the other role's key", CONF_HOME, HOME "verdict = 1s\n",
	    "t.conf:3: no key \"verdict\" at top level; it is one of an edge's configuration" },
};

static void *
parse(enum conf_role role, const char *text, struct why *why)
{
	if (role == CONF_EDGE)
		return conf_edge_parse("t.conf", span_str(text), why);
	return conf_home_parse("t.conf", span_str(text), why);
}

static void
refuses_with_words(void **state)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		struct why why = { "" };
		void *c = parse(refusals[i].role, refusals[i].text, &why);

		if (c != NULL || strcmp(why.text, refusals[i].why) != 0)
			fail_msg("%s:\n got  %s\n want %s", refusals[i].name,
			    c != NULL ? "(accepted)" : why.text, refusals[i].why);
	}
}

static void
edge_defaults(void **state)
{
	struct why why = { "" };
	struct conf_edge *c = parse(CONF_EDGE, EDGE "home alice { }\n", &why);

	assert_string_equal(why.text, "");
	assert_non_null(c);
	assert_string_equal(c->common.state, "/var/lib/posthouse/edge");
	assert_string_equal(c->common.control, "/run/posthouse/edge.sock");
	assert_string_equal(c->common.tunnel_key, "/var/lib/posthouse/edge/tunnel.pem");
	assert_string_equal(c->common.user, "posthouse");
	assert_string_equal(c->tunnel_address, "mx1.example.org:7443");
	assert_string_equal(c->postmaster, "alice");
	assert_int_equal(c->ntunnel_listen, 1);
	assert_string_equal(netaddr_hostport(&c->tunnel_listen[0]).s, "[::]:7443");
	assert_int_equal(c->homes[0].quota, UINT64_C(20) << 30);
	assert_false(c->homes[0].has_pin);
	assert_int_equal(c->services[0].nhomes, 0);
	assert_int_equal(c->verdict_ms, 0);
	assert_int_equal(c->timeouts.command_ms, 300000);
	assert_int_equal(c->hold.threshold, 256 << 10);
	assert_int_equal(c->limits.recipients, 500);
	assert_int_equal(c->bare_lf, SMTP_BARE_REFUSE);
	assert_true(c->client_names);
	assert_int_equal(c->common.log_level, 1);
	free(c);
}

static void
services_of_an_edge(void **state)
{
	static const char text[] =
	    "hostname = mx1.example.org\n"
	    "home alice { }\n"
	    "service smtp { listen = {\"[::]:25\"}\n"
	    "proxy_from = {\"10.0.0.1\", \"2001:db8::/32\"} }\n"
	    "service imaps { listen = {\"[::]:993\"} allow_private = true }\n"
	    "service submissions { listen = {\"[::]:465\"} home = {alice, bob}\n"
	    "default_home = bob }\n"
	    "service mx2 { listen = {\"[::]:26\"} home = {alice, bob} mode = hold }\n"
	    "limits { streams = 7 streams_client = 3 connect_timeout = 2s\n"
	    "streams_home = 5\n"
	    "passed_idle_timeout = 3h passed_total_timeout = 2d passed_memory = 16M }\n";
	struct why why = { "" };
	struct conf_edge *c = parse(CONF_EDGE, text, &why);

	assert_string_equal(why.text, "");
	assert_int_equal(c->services[0].mode, CONF_AUTO);
	assert_int_equal(c->services[1].mode, CONF_PASS);
	assert_int_equal(c->services[2].mode, CONF_PASS);
	assert_int_equal(c->services[3].mode, CONF_HOLD);
	assert_int_equal(c->services[0].nproxy_from, 2);
	assert_int_equal(c->services[0].proxy_from[0].bits, 32);
	assert_int_equal(c->services[0].proxy_from[1].bits, 32);
	assert_true(c->services[0].proxy_from[1].net.v6);
	assert_true(c->services[1].allow_private && !c->services[0].allow_private);
	assert_string_equal(c->services[2].default_home, "bob");
	assert_ptr_equal(conf_edge_service(c, "imaps"), &c->services[1]);
	assert_null(conf_edge_service(c, "imap"));
	assert_true(conf_service_smtp(&c->services[0]) && conf_service_smtp(&c->services[2]));
	assert_false(conf_service_smtp(&c->services[1]));
	assert_true(conf_service_tls_first(&c->services[2]));
	assert_false(conf_service_tls_first(&c->services[0]));
	assert_int_equal(c->streams, 7);
	assert_int_equal(c->streams_home, 5);
	assert_int_equal(c->streams_client, 3);
	assert_int_equal(c->connect_ms, 2000);
	assert_int_equal(c->passed_idle_ms, 3 * 3600 * 1000);
	assert_int_equal(c->passed_total_ms, 48 * 3600 * 1000);
	assert_int_equal(c->passed_memory, 16 << 20);
	free(c);
}

static void
edge_values(void **state)
{
	static const char text[] =
	    "# a comment with ${nothing}\n"
	    "hostname = \"MX1.Example.org.\"\n"
	    "state = /srv/edge\n"
	    "log = debug\n"
	    "user = \"\"\n"
	    "verdict = 1500ms\n"
	    "postmaster = bob\n"
	    "tls { cert = '/c.pem' key = '/k.pem' }\n"
	    "tunnel { listen = \"127.0.0.1:9\" address = \"tunnel.example.org:99\" key = /t.pem }\n"
	    "home alice { key = \"" PIN "\" recipient = {\"" AGE "\"} domains = {\"A.test\", "
	    "b.test} }\n"
	    "home bob { quota = 3M }\n"
	    "service smtp { listen = {\"[::]:25\", \"192.0.2.1:26\"} home = alice }\n"
	    "service both { listen = \"[::1]:27\" home = {alice, bob} mode = hold }\n"
	    "limits { size = 1M errors = 3 }\n"
	    "hold { reserve = 0 share = 100 }\n"
	    "dns { servers = {192.0.2.53, \"::1@5353\"} client_names = no timeout = 100ms }\n";
	struct why why = { "" };
	struct conf_edge *c = parse(CONF_EDGE, text, &why);

	assert_string_equal(why.text, "");
	assert_non_null(c);
	assert_string_equal(c->common.hostname, "mx1.example.org");
	assert_string_equal(c->common.control, "/run/posthouse/edge.sock");
	assert_string_equal(c->common.tunnel_key, "/t.pem");
	assert_string_equal(c->common.user, "");
	assert_int_equal(c->common.log_level, 0);
	assert_int_equal(c->verdict_ms, 1500);
	assert_string_equal(c->postmaster, "bob");
	assert_int_equal(c->ntunnel_listen, 1);
	assert_string_equal(netaddr_hostport(&c->tunnel_listen[0]).s, "127.0.0.1:9");
	assert_string_equal(c->tunnel_address, "tunnel.example.org:99");
	assert_int_equal(c->nhomes, 2);
	assert_true(c->homes[0].has_pin);
	assert_int_equal(c->homes[0].pin.b[1], 0x11);
	assert_int_equal(c->homes[0].nrecipients, 1);
	assert_int_equal(c->homes[0].ndomains, 2);
	assert_string_equal(c->homes[0].domains[0], "a.test");
	assert_string_equal(c->homes[0].domains[1], "b.test");
	assert_int_equal(c->homes[1].quota, 3 << 20);
	assert_int_equal(c->services[0].nlisten, 2);
	assert_int_equal(c->services[0].nhomes, 1);
	assert_int_equal(c->services[1].nlisten, 1);
	assert_int_equal(c->services[1].nhomes, 2);
	assert_string_equal(c->services[1].homes[1], "bob");
	assert_int_equal(c->limits.size, 1 << 20);
	assert_int_equal(c->limits.errors, 3);
	assert_int_equal(c->hold.reserve, 0);
	assert_int_equal(c->hold.share, 100);
	assert_int_equal(c->common.nnameservers, 2);
	assert_string_equal(c->common.nameservers[1], "::1@5353");
	assert_false(c->client_names);
	free(c);
}

static void
home_values(void **state)
{
	static const char text[] =
	    "edge mx1.test { address = \"192.0.2.1:7443\" key = \"" PIN "\" }\n"
	    "age { recovery = \"" AGE "\" }\n"
	    "deliver { maildir = /m retry_max = 1s }\n"
	    "service imaps { backend = \"[::1]:993\" }\n"
	    "service smtp { backend = \"127.0.0.1:10025\" proxy = v1 streams = 7 }\n"
	    "service web { proxy = none allow_private = yes backend = \"192.168.1.2:443\" }\n"
	    "mailboxes { command = \"doveadm user '*'\" path = '${x}{' roles = admin catch_all = "
	    "inbox }\n";
	struct why why = { "" };
	struct conf_home *c = parse(CONF_HOME, text, &why);

	assert_string_equal(why.text, "");
	assert_non_null(c);
	assert_string_equal(c->age_key, "/var/lib/posthouse/home/age.key");
	assert_string_equal(c->recovery, AGE);
	assert_string_equal(c->users_command, "doveadm user '*'");
	assert_string_equal(c->roles, "admin");
	assert_string_equal(c->helper_path, "${x}{");
	assert_string_equal(c->catch_all, "inbox");
	assert_int_equal(c->nedges, 1);
	assert_true(c->edges[0].has_pin);
	assert_int_equal(c->retry_max_ms, 1000);
	assert_int_equal(c->nservices, 3);
	assert_string_equal(netaddr_hostport(&c->services[0].backend).s, "[::1]:993");
	assert_int_equal(c->services[0].proxy, CONF_PROXY_V2);
	assert_false(c->services[0].allow_private);
	assert_int_equal(c->services[0].streams, 5000);
	assert_int_equal(c->services[1].proxy, CONF_PROXY_V1);
	assert_int_equal(c->services[1].streams, 7);
	assert_string_equal(c->services[2].name, "web");
	assert_int_equal(c->services[2].proxy, CONF_PROXY_NONE);
	assert_true(c->services[2].allow_private);
	assert_int_equal(c->edge_streams, 10000);
	free(c);
	c = parse(CONF_HOME, HOME, &why);
	assert_non_null(c);
	assert_string_equal(c->roles, "alice");		/* the first of users */
	free(c);
	c = parse(CONF_HOME, HOME "mailboxes { catch_all = bob }\n", &why);
	assert_non_null(c);
	assert_string_equal(c->roles, "bob");		/* catch_all comes before */
	free(c);
}

/* What changes, and what the operator is told; "" means that the reload goes on. */
static void
reload_names_what_needs_a_restart(void **state)
{
	static const struct {
		enum conf_role role;
		const char *from, *to, *names;
	} cases[] = {
		{ CONF_EDGE, EDGE,
		    EDGE "log = debug\nhold { quota = 1G }\nhome a { domains = {a.b} }\n", "" },
		{ CONF_EDGE, EDGE, EDGE "state = \"/var/lib/posthouse/edge\"\n", "" },
		{ CONF_EDGE, EDGE "state = \"/a\"\n", EDGE "state = \"/b\"\nhold { memory = 1M }\n",
		    "f:3: state, f:4: hold.memory" },	/* control has a default of its own */
		{ CONF_EDGE, EDGE "hold { threshold = 8K\nmemory = 1M }\nstate = \"/a\"\n",
		    EDGE "hold { threshold = 8K }\n", "f: state, f: hold.memory" },
		{ CONF_EDGE, EDGE, "hostname = \"mx1.example.org\"\nservice \"smtp\" { listen = "
		    "{\"[::]:26\"} }\n", "f:2: service.listen" },
		{ CONF_EDGE, EDGE "service b { listen = {\"[::]:26\"} }\n", EDGE, "f: service" },
		{ CONF_EDGE, EDGE "service b { listen = {\"[::]:26\"} }\n", EDGE
		    "\nservice b {\n# a comment\nlisten = {\"[::]:27\"} }\n",
		    "f:6: service.listen" },
		{ CONF_EDGE, EDGE, EDGE "service b { listen = {\"[::]:26\"} }\n", "f:3: service" },
		{ CONF_EDGE, EDGE, EDGE "tunnel { listen = {\"[::]:1\"} }\n",
		    "f:3: tunnel.listen" },
		{ CONF_HOME, HOME, HOME "edge m { address = \"m:1\" key = \"" PIN "\" }\n", "" },
		{ CONF_HOME, HOME, HOME "service a { backend = \"[::1]:1\" }\n", "" },
		{ CONF_HOME, HOME "service a { backend = \"[::1]:1\" }\n",
		    HOME "service a { backend = \"[::1]:2\" proxy = none streams = 1 }\n", "" },
		{ CONF_HOME, VIA "service smtp { backend = \"[::1]:1\" }\n",
		    VIA "service smtp { backend = \"[::2]:1\" proxy = v1 }\n", "" },
		{ CONF_HOME, VIA "service smtp { backend = \"[::1]:1\" }\n",
		    VIA "service a { backend = \"[::1]:1\" }\n"
		    "service smtp { backend = \"[::1]:2\" }\n",
		    "f:3: service.backend (its port, as held mail goes there)" },
		{ CONF_HOME, HOME, HOME WORKER, "" },
		{ CONF_HOME, HOME WORKER, HOME WORKER "service push { }\n",
		    "f:4: service \"push\"" },
		{ CONF_HOME, HOME WORKER "service push { }\n", HOME WORKER,
		    "f: service \"push\"" },
		{ CONF_HOME, HOME WORKER "service push { }\n", HOME WORKER
		    "service push { listen = {\"127.0.0.1:1\"} }\n", "f:4: service.listen" },
		{ CONF_HOME, HOME WORKER "service a { backend = \"[::1]:1\" }\nservice push { }\n",
		    HOME WORKER "service push { size = 1M rate = 1 bytes = 1M }\n"
		    "service a { backend = \"[::1]:1\" }\n", "" },
		{ CONF_HOME, HOME, HOME "user = \"\"\ndns { servers = {::1} }\n",
		    "f:3: user, f:4: dns.servers" },
		{ CONF_HOME, HOME, "deliver { maildir = /elsewhere }\n"
		    "mailboxes { users = {alice} }\n", "f:1: deliver.maildir" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct why why = { "" };
		void *a = parse(cases[i].role, cases[i].from, &why), *b = parse(cases[i].role,
		    cases[i].to, &why);
		int n;

		assert_string_equal(why.text, "");
		n = cases[i].role == CONF_EDGE ?
		    conf_edge_reloadable(a, b, "f", span_str(cases[i].to), &why) :
		    conf_home_reloadable(a, b, "f", span_str(cases[i].to), &why);
		assert_string_equal(why.text, cases[i].names);
		assert_int_equal(n > 0, cases[i].names[0] != '\0');
		free(a);
		free(b);
	}
}

static void
a_file_tells_its_role(void **state)
{
	static const struct {
		const char *text;
		enum conf_role role;
	} cases[] = {
		{ EDGE, CONF_EDGE },
		{ HOME, CONF_HOME },
		{ "hostname = a\nservice push { listen = {\"[::]:1\"} }\nmailboxes {", CONF_HOME },
		{ "# service\n/* service */ // service\nhostname = \"service\"\n"
		    "deliver", CONF_HOME },
		{ "hold { service = 1 }\nstate = \"a\\\"service\"\nedge m {}", CONF_HOME },
		{ "state = edge\nhostname = /srv/deliver/x service s { listen", CONF_EDGE },
		{ "state = edge\nhostname = /srv/deliver/x service listen { backend", CONF_HOME },
		{ "service smtp { proxy = listen ", CONF_HOME },
		{ "hostname = x service \"smtp\" { mode = hold }", CONF_EDGE },
		{ "edge home { address = x }", CONF_HOME },
		{ "tunnel { streams = 2 }", CONF_HOME },
		{ "service smtp { proxy = v2 listen = a }", CONF_EDGE },
		{ "service smtp { backend = a proxy = v2 listen = b }", CONF_HOME },
		{ "tls { cert = a } deliver { maildir = b } service smtp { mode = c }", CONF_EDGE },
		{ "user = {deliver} edge.service = 1 tls {", CONF_EDGE },
		{ "hold { quota = 1G }", CONF_NO_ROLE },
		{ "\"service", CONF_NO_ROLE },
		{ "/*/ service", CONF_NO_ROLE },
		{ "", CONF_NO_ROLE },
	};
	struct why why;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(conf_role("f", span_str(cases[i].text), &why), cases[i].role);
}

/*
 * posthouse.conf(5) has each key, as `.It Ic section.key`, and below it the
 * default that the table has.
 */
static void
the_man_page_has_every_key(void **state)
{
	const struct conf_table *tables[] = { &conf_edge_table, &conf_home_table };
	char *page = calloc(1, 1 << 18), want[200];
	FILE *f = fopen(man_page(), "r");
	size_t missing = 0;

	assert_non_null(page);
	assert_non_null(f);
	assert_true(fread(page, 1, (1 << 18) - 1, f) > 0);
	fclose(f);
	for (size_t r = 0; r < 2; r++)
		for (size_t i = 0; i < tables[r]->nkeys; i++) {
			const struct conf_key *k = &tables[r]->keys[i];
			bool found = false, told = k->def == NULL;

			snprintf(want, sizeof(want), ".It Ic %s%s%s ", k->section,
			    k->section[0] != '\0' ? "." : "", k->name);
			for (const char *at = page; (at = strstr(at, want)) != NULL; at++) {
				const char *next = strstr(at + 1, ".It "), *def = k->def == NULL ?
				    NULL :
				    strstr(at, k->def);

				found = true;
				told = told || (def != NULL && (next == NULL || def < next));
			}
			if (!found || !told) {
				print_error("%s: %s %s\n", man_page(), want + 7, found ? k->def :
				    "is missing");
				missing++;
			}
		}
	assert_int_equal(missing, 0);
	free(page);
}

static void
every_key_is_described(void **state)
{
	struct buf b;

	for (int json = 0; json < 2; json++)
		for (enum conf_role r = CONF_EDGE; r <= CONF_HOME; r++) {
			const struct conf_table *t = r == CONF_EDGE ? &conf_edge_table :
			    &conf_home_table;
			size_t lines = 0;

			buf_init(&b, 1 << 20);
			assert_true(conf_describe(r, json == 1, &b));
			for (size_t i = 0; i < b.n; i++)
				lines += json ? b.p[i] == '{' : b.p[i] == '\n';
			assert_int_equal(lines, json ? t->nkeys : 3 * t->nkeys);
			buf_fini(&b);
		}
	for (size_t i = 0; i < conf_edge_table.nkeys; i++) {
		const struct conf_key *k = &conf_edge_table.keys[i];

		assert_true(k->doc[strlen(k->doc) - 1] == '.');
		assert_true(k->def != NULL || k->shown != NULL);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_with_words),
		cmocka_unit_test(edge_defaults),
		cmocka_unit_test(edge_values),
		cmocka_unit_test(services_of_an_edge),
		cmocka_unit_test(home_values),
		cmocka_unit_test(reload_names_what_needs_a_restart),
		cmocka_unit_test(a_file_tells_its_role),
		cmocka_unit_test(the_man_page_has_every_key),
		cmocka_unit_test(every_key_is_described),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
