#include "kit/conf_texts.h"

/* What home does not start with, and what its operator reads instead. */
static const struct conf_refusal refusals[] = {
	{ "an escape of other languages",
	    "deliver { maildir = \"/m\" }\nmailboxes { users = {\"a\\\\b\",\n\"j\\u00fcrgen\"} }\n",
	    "t.conf:3: \"\\u\" is no escape here; write the character itself, in UTF-8" },
	{ "a worker without domains", HOME "worker \"w.example.org\" { }\n",
	    "t.conf:3: worker.domains: missing; write whose mail this Worker may bring, like "
	    "domains = {\"example.org\"}" },
	{ "a worker with an edge's name", HOME
	    "edge \"w.example.org\" { }\n"
	    "worker \"w.example.org\" { domains = {\"example.org\"} }\n",
	    "t.conf:4: an edge is called \"w.example.org\" too; give the Worker a name of its "
	    "own" },
	{ "a push service that nobody may use", HOME "service \"push\" { }\n",
	    "t.conf:3: nobody may push; write worker \"NAME\" { domains = {...} } for each "
	    "Worker that may" },
	{ "a push service on the internet, in the clear", HOME WORKER
	    "service \"push\" { listen = {\"127.0.0.1:1\", \"9.9.9.9:80\"} }\n",
	    "t.conf:4: service.listen: 9.9.9.9:80 is an address of the internet, and tokens would "
	    "go over it in the clear; listen on \"127.0.0.1:7480\" and put an HTTPS tunnel or "
	    "proxy in front" },
	{ "a push service whose outside is no https", HOME WORKER
	    "service \"push\" {\nurl = \"http://push.example.org\" }\n",
	    "t.conf:5: service.url: write the address at which the tunnel or proxy in front of it "
	    "is reached, like \"https://push.example.org\"" },
	{ "a passed service that listens", HOME
	    "service \"imaps\" { listen = {\"[::]:993\"} }\n",
	    "t.conf:3: service.listen: home listens for Workers alone, in service \"push\"; what "
	    "edges pass has a backend" },
	{ "SMTP at home itself", HOME "service \"submission\" { listen = {\"[::]:587\"} }\n",
	    "t.conf:3: service.listen: home listens for HTTP alone, in service \"push\"; a "
	    "Worker's SMTP is for an edge, which may run beside home (edge-at-home.conf)" },
	{ "a worker that is given to no edge, by SMTP", HOME
	    "worker \"w.example.org\" { domains = {\"example.org\"}\n"
	    "smtp = \"mx.example.org:587\" }\n",
	    "t.conf:4: worker.smtp: no edge takes mail from it; write edges = "
	    "{\"mail.example.org\"}, its hostname" },
	{ "a port that Cloudflare does not connect to", HOME
	    "worker \"w.example.org\" { domains = {\"example.org\"} edges = {\"mx.example.org\"}\n"
	    "smtp = \"mx.example.org:25\" }\n",
	    "t.conf:4: worker.smtp: Cloudflare opens no connection to port 25; let the edge listen "
	    "on 587, or on any other" },
	{ "an address, for which there is no certificate", HOME
	    "worker \"w.example.org\" { domains = {\"example.org\"} edges = {\"mx.example.org\"}\n"
	    "smtp = \"9.9.9.9:587\" }\n",
	    "t.conf:4: worker.smtp: a Worker connects by the name in the certificate, as "
	    "\"mail.example.org:587\"" },
	{ "a probe that nobody is asked for", HOME "probe {\n"
	    "targets = {\"mail.example.org:587\"} }\n",
	    "t.conf:4: probe.targets: there is nobody to ask; write the Worker's address, like "
	    "url = \"https://probe.example.org\"" },
	{ "a probe whose token others would hear", HOME "probe {\n"
	    "url = \"http://probe.example.org\" targets = {\"mail.example.org:587\"} }\n",
	    "t.conf:4: probe.url: a token goes to another machine only by https" },
	{ "a probe's address with the path", HOME "probe {\n"
	    "url = \"https://probe.example.org/probe\" targets = {\"mail.example.org:587\"} }\n",
	    "t.conf:4: probe.url: write it without what follows the name: the path is the Worker's "
	    "own" },
	{ "a probe and nothing to look at", HOME "probe {\n"
	    "url = \"https://probe.example.org/\" }\n",
	    "t.conf:4: probe.url: there is nothing to look at, as no worker comes by SMTP; write "
	    "targets = {\"mail.example.org:587\"}" },
	{ "a probe of a port that Cloudflare does not connect to", HOME "probe {\n"
	    "url = \"https://probe.example.org\"\ntargets = {\"mail.example.org:25\"} }\n",
	    "t.conf:5: probe.targets: Cloudflare opens no connection to port 25; write another "
	    "port of mail.example.org" },
	{ "a probe of an address", HOME "probe {\n"
	    "url = \"https://probe.example.org\"\ntargets = {\"[2001:db8::1]:587\"} }\n",
	    "t.conf:5: probe.targets: [2001:db8::1]:587 is an address; write the name that others "
	    "know it by, like \"mail.example.org:587\"" },
	{ "a push service that is passed, too", HOME WORKER "service \"push\" {\n"
	    "backend = \"127.0.0.1:1\" listen = {\"127.0.0.1:2\"} }\n",
	    "t.conf:5: service.listen: it is either passed to a backend or listened for; write "
	    "one of them" },
	{ "a worker's key by a path that depends on where we stand", HOME
	    "worker \"w.example.org\" { domains = {\"example.org\"}\nmac_key = \"key\" }\n",
	    "t.conf:4: worker.mac_key: \"key\" is no absolute path; start it with \"/\"" },
	{ "a bucket without its store", HOME "bucket \"r2\" { }\n",
	    "t.conf:3: bucket.endpoint: missing; write the store's URL, like "
	    "\"https://ACCOUNT.r2.cloudflarestorage.com\"" },
	{ "a bucket's name in the URL", HOME
	    "bucket \"r2\" {\n\tendpoint = \"https://s3.example.net/mail\"\n}\n",
	    "t.conf:4: bucket.endpoint: \"/mail\" does not belong to it; a bucket's name is "
	    "written as bucket = \"...\"" },
	{ "a store over the internet in the clear", HOME
	    "bucket \"r2\" {\n\tendpoint = \"http://s3.example.net\"\n}\n",
	    "t.conf:4: bucket.endpoint: it is not encrypted; write https://, or plain = true "
	    "if the way there is your own" },
	{ "what is no name of a bucket", HOME "bucket \"r2\" {\n" R2
	    "\tbucket = \"a/b\"\n}\n",
	    "t.conf:5: bucket.bucket: no bucket is called so; it has 3 to 63 letters, digits, "
	    "dots, hyphens and underscores" },
	{ "a bucket without credentials", HOME "bucket \"r2\" {\n" R2
	    "\tbucket = \"mail\"\n}\n",
	    "t.conf:4: bucket.credentials: missing; write the file that has the access key id on "
	    "its first line and the secret on its second" },
	{ "a region with a space", HOME "bucket \"r2\" {\n" R2
	    "\tbucket = \"mail\"\n\tregion = \"eu central\"\n}\n",
	    "t.conf:6: bucket.region: no region; write one like \"eu-central-1\", or \"auto\" for "
	    "R2" },
	{ "a prefix that is none", HOME "bucket \"r2\" {\n" R2
	    "\tbucket = \"mail\"\n\tcredentials = \"/k\"\n\tprefix = \"pending\"\n}\n",
	    "t.conf:7: bucket.prefix: write one that ends in a slash and does not begin with one, "
	    "like \"pending/\"; processed/ is taken" },
	{ "an older layout of nobody", HOME "bucket \"r2\" {\n" R2
	    "\tbucket = \"mail\"\n\tcredentials = \"/k\"\n\told = \"w.example.org\"\n}\n",
	    "t.conf:7: bucket.old: no worker here has that name; write the one whose domains that "
	    "mail may be for" },
	{ "a word that others use", HOME "service web {\n\tto = \"127.0.0.1:80\"\n}\n",
	    "t.conf:4: no key \"to\" in service; did you mean \"backend\"?" },
	{ "an edge's key at home", HOME "tunnel { listen = {\"[::]:7443\"} }\n",
	    "t.conf:3: no key \"listen\" in tunnel; it is one of an edge's configuration" },
	{ "an edge's section at home", HOME "tls { cert = \"/a\" }\n",
	    "t.conf:3: no key \"tls\" at top level; it is one of an edge's configuration" },
	{ "an unknown key", HOME "frobnicate = 3\n",
	    "t.conf:3: no key \"frobnicate\" at top level; posthouse.conf(5) lists them all" },
	{ "a list given twice", HOME "mailboxes { users = {\"carol\"} }\n",
	    "t.conf:3: mailboxes.users: it was given before; keep one of the two" },
	{ "more tunnels than an edge takes", HOME "tunnel {\n connections = 9\n}\n",
	    "t.conf:4: tunnel.connections: \"9\" is out of range; write 1 to 8" },
	{ "a network where the interlock takes addresses",
	    HOME "interlock { addresses = {\"198.51.100.0/24\"} }\n",
	    "t.conf:3: interlock.addresses: \"198.51.100.0/24\" is no address; write one without "
	    "a port, like \"198.51.100.7\"" },
	{ "the environment is not looked into", HOME "\nstate = \"${HOME}/p\"\n",
	    "t.conf:4: ${...} is not filled in here; write the value itself, or a command that "
	    "needs it in "
	    "single quotes" },
	{ "a section left open", HOME "hold {\n quota = 1G\n",
	    "t.conf:3: this \"{\" is never closed; add a \"}\"" },
	{ "a brace too many", HOME "hold {\n quota = 1G\n} }\n",
	    "t.conf:5: unexpected closing brace" },
	{ "a string left open", HOME "state = \"/a\n\n",
	    "t.conf:3: the text that this quote begins has no end; close it with another" },
	{ "no destination", "mailboxes { users = {\"a\"} }\n",
	    "t.conf: deliver.maildir: missing; write where held mail goes: "
	    "maildir = \"/var/mail/posthouse\", smtp or lmtp = \"127.0.0.1:24\", or have a "
	    "service \"smtp\"" },
	{ "two destinations", "mailboxes { users = {\"a\"} }\n"
	    "deliver { maildir = \"/m\"  lmtp = \"/run/dovecot/lmtp\" }\n",
	    "t.conf:2: deliver.lmtp: more than one destination; keep one of maildir, smtp, "
	    "lmtp and via" },
	{ "a service that is none", "mailboxes { users = {\"a\"} }\n"
	    "deliver { via = \"service mx\" }\n",
	    "t.conf:2: deliver.via: it names no service of this file; write one like "
	    "\"service smtp\"" },
	{ "LMTP to nowhere", "mailboxes { users = {\"a\"} }\n"
	    "deliver { lmtp = \"dovecot\" }\n",
	    "t.conf:2: deliver.lmtp: write \"127.0.0.1:24\", or a socket like "
	    "\"/run/dovecot/lmtp\"" },
	{ "a password over the network", "mailboxes { users = {\"a\"} }\n"
	    "deliver { smtp = \"mail.example.org:25\" user = \"u\" password = \"/p\" }\n",
	    "t.conf: deliver.tls: a password goes to another machine only with "
	    "tls = \"verify\"" },
	{ "authorities that nobody asks", "mailboxes { users = {\"a\"} }\n"
	    "deliver { smtp = \"mail.example.org:25\" authorities = \"/ca.pem\" }\n",
	    "t.conf:2: deliver.authorities: only tls = \"verify\" looks at a certificate; write "
	    "it too" },
	{ "a filter by its name", HOME "filter { rspamd = \"localhost:11333\" }\n",
	    "t.conf:3: filter.rspamd: write an address with its port, like \"127.0.0.1:11333\", or "
	    "a socket like \"/run/rspamd/normal.sock\"" },
	{ "a filter over the internet", HOME "filter { rspamd = \"9.9.9.9:11333\" }\n",
	    "t.conf:3: filter.rspamd: mail would go over the internet in the clear; write an "
	    "address of this machine or of its own network" },
	{ "a password for no filter", HOME "filter { password_file = \"/p\" }\n",
	    "t.conf: filter.rspamd: missing; a password needs a filter to be told to" },
	{ "mail of alarms without a relay", HOME "alarms { mail = \"me@a.test\" }\n",
	    "t.conf: alarms.relay: missing; mail goes to an address (mail) by a relay: give both" },
	{ "a relay that begins with TLS, without it",
	    HOME "alarms { mail = \"me@a.test\" relay = \"mx.a.test:465\"\ntls = off }\n",
	    "t.conf:4: alarms.tls: on port 465 TLS begins at once; write \"verify\", or a relay "
	    "that begins in the clear, at 587 or 25" },
	{ "a relay's password in the clear",
	    HOME "alarms { mail = \"me@a.test\" relay = \"mx.a.test:587\" user = \"u\" "
	    "password = \"/p\" tls = \"auto\" }\n",
	    "t.conf:3: alarms.tls: a password goes to another machine only with "
	    "tls = \"verify\"" },
	{ "a webhook that is none", HOME "alarms { webhook = \"ftp://a.test/\" }\n",
	    "t.conf:3: alarms.webhook: no URL; write one like \"https://example.org/alarm\"" },
	{ "a webhook with a password in it",
	    HOME "alarms { webhook = \"https://u:p@a.test/\" }\n",
	    "t.conf:3: alarms.webhook: a name and password in a URL are shown to everybody; use "
	    "a token" },
	{ "a token in the clear",
	    HOME "alarms { webhook = \"http://a.test/\" token = \"/t\" }\n",
	    "t.conf:3: alarms.webhook: a token goes to another machine only by https" },
	{ "a command without its end", HOME "alarms { command = \"tell 'me\" }\n",
	    "t.conf:3: alarms.command: no command: a quote in it has no end, or it has too many "
	    "words" },
	{ "no mailbox", "deliver { maildir = \"/m\" }\n",
	    "t.conf: mailboxes.users: no mailbox at all, every message would be refused; write "
	    "mailboxes "
	    "{ users = {\"alice\"} }, or catch_all, or command or file" },
	{ "somebody reads postmaster's mail",
	    "deliver { maildir = \"/m\" }\nmailboxes { command = \"ls /home\" }\n",
	    "t.conf: mailboxes.roles: missing; the mailboxes come from a command or file, so write "
	    "who reads mail to postmaster@, like roles = \"admin\"" },
	{ "a command of mailboxes without its end",
	    "deliver { maildir = \"/m\" }\nmailboxes { command = \"echo 'b\" }\n",
	    "t.conf:2: mailboxes.command: no command: a quote in it has no end, or it has too many "
	    "words" },
	{ "a command for a shell",
	    "deliver { maildir = \"/m\" }\nmailboxes { command = \"cat /x | sort\" }\n",
	    "t.conf:2: mailboxes.command: | > & and ; are for a shell, and there is none; write "
	    "sh -c '...', or quote them" },
	{ "an alarm for a shell", HOME "alarms { command = \"a && b\" }\n",
	    "t.conf:3: alarms.command: | > & and ; are for a shell, and there is none; write "
	    "sh -c '...', or quote them" },
	{ "a user that climbs",
	    "deliver { maildir = \"/m\" }\nmailboxes { users = {\"a\", \"../b\"} }\n",
	    "t.conf:2: mailboxes.users: \"../b\" is no mailbox name; write the part before the "
	    "@, or a whole address, at most 63 octets: letters, digits, _ = + and, not first, . "
	    "and -" },
	{ "a catch-all that the Maildir would not take", HOME
	    "mailboxes { catch_all = \"a~b\" }\n",
	    "t.conf:3: mailboxes.catch_all: \"a~b\" is no mailbox name; write the part before the "
	    "@, or a whole address, at most 63 octets: letters, digits, _ = + and, not first, . "
	    "and -" },
	{ "two users whom no address tells apart",
	    "deliver { maildir = \"/m\" }\nmailboxes { users = {\"Alice\", \"alice\"} }\n",
	    "t.conf:2: mailboxes.users: \"alice\" is there twice" },
	{ "an alias that leads back to itself",
	    "deliver { maildir = \"/m\" }\nmailboxes { users = {\"a\"} }\n"
	    "domain \"a.test\" { aliases = {\"x: y\"} }\n"
	    "domain \"b.test\" {\n\taliases = {\"z: a\", \"x: y@c.test\"}\n}\n"
	    "domain \"c.test\" {\n\taliases = {\"y: X@B.test\"}\n}\n",
	    "t.conf:5: domain.aliases: x leads back to itself, or through more than 16 aliases; "
	    "let it end in a mailbox" },
	{ "a Maildir knows nobody whom it could be asked for",
	    "deliver { maildir = \"/m\" }\nmailboxes {\n\tcallout = true\n}\n",
	    "t.conf:3: mailboxes.callout: there is no mail server to ask: mail goes into a "
	    "Maildir" },
	{ "a catch-all leaves nobody to ask for",
	    "deliver { lmtp = \"127.0.0.1:24\" }\n"
	    "mailboxes { catch_all = \"a\" callout = true }\n",
	    "t.conf:2: mailboxes.callout: catch_all takes whom the server would be asked for; "
	    "write one of them" },
	{ "an alias without a target",
	    "deliver { maildir = \"/m\" }\nmailboxes { users = {\"a\"} }\n"
	    "domain \"a.test\" { aliases = {\"x a\"} }\n",
	    "t.conf:3: domain.aliases: \"x a\" is no alias; write a local part and whose it is, "
	    "mailboxes or addresses of this home, like \"sales: alice, bob\"" },
	{ "a tag that is in every name",
	    "deliver { maildir = \"/m\" }\nmailboxes { users = {\"a\"} }\n"
	    "domain \"a.test\" { tags = \"a\" }\n",
	    "t.conf:3: domain.tags: \"a\" cannot part a name from its tag; write one character "
	    "like \"+\" or \"-\", or \"\" for none" },
	{ "refused and caught at once",
	    "deliver { maildir = \"/m\" }\nmailboxes { users = {\"a\"} }\n"
	    "domain \"a.test\" {\n catch_all = \"a\"\n refuse = true\n}\n",
	    "t.conf:5: domain.refuse: catch_all takes whom refuse would refuse; write one of "
	    "them" },
	{ "a user twice",
	    "deliver { maildir = \"/m\" }\nmailboxes { users = {\"a\", \"a\"} }\n",
	    "t.conf:2: mailboxes.users: \"a\" is there twice" },
	{ "an edge half configured",
	    HOME "edge mx1.test { address = \"mx1.test:7443\" }\n",
	    "t.conf:3: edge.address: address and key go together; give both, or neither and pair" },
	{ "an edge without port", HOME "edge m { key = \"" PIN "\" address = \"m\" }\n",
	    "t.conf:3: edge.address: \"m\" is no host and port; write \"mx1.example.org:7443\" or "
	    "\"[2001:db8::1]:7443\"" },
	{ "a passed service that leads nowhere", HOME "service imaps { }\n",
	    "t.conf:3: service \"imaps\" has no backend; write where its server is, like "
	    "backend = \"127.0.0.1:993\"" },
	{ "a backend by name", HOME "service imaps {\n backend = \"localhost:993\"\n}\n",
	    "t.conf:4: service.backend: \"localhost:993\" is no address and port of a server; "
	    "write the address itself, like \"127.0.0.1:993\" or \"[::1]:993\"" },
	{ "a backend without port", HOME "service imaps { backend = \"127.0.0.1\" }\n",
	    "t.conf:3: service.backend: \"127.0.0.1\" is no address and port of a server; "
	    "write the address itself, like \"127.0.0.1:993\" or \"[::1]:993\"" },
	{ "a backend everywhere", HOME "service imaps { backend = \"[::]:993\" }\n",
	    "t.conf:3: service.backend: \"[::]:993\" is where a server may listen, not where to "
	    "reach it; write one address, like \"127.0.0.1:993\"" },
	{ "a version of PROXY that is none",
	    HOME "service imaps { backend = \"[::1]:993\" proxy = v3 }\n",
	    "t.conf:3: service.proxy: \"v3\" is not known; write \"v2\" or \"v1\" or \"none\"" },
	{ "a mail server is told who its client is",
	    HOME "service smtp {\n backend = \"127.0.0.1:10025\"\n proxy = none\n}\n",
	    "t.conf:5: service.proxy: \"none\" would show a mail server every stranger as this "
	    "machine, for which it may relay; write \"v2\" or \"v1\", and let the server "
	    "expect it" },
	{ "under whatever name",
	    HOME "service post { backend = \"192.168.1.2:587\" proxy = none }\n",
	    "t.conf:3: service.proxy: \"none\" would show a mail server every stranger as this "
	    "machine, for which it may relay; write \"v2\" or \"v1\", and let the server "
	    "expect it" },
	{ "private clients never reach a mail server",
	    HOME "service submission {\n backend = \"[::1]:10587\"\n allow_private = yes\n}\n",
	    "t.conf:5: service.allow_private: a mail server may trust private networks and relay "
	    "for them; it cannot be true for SMTP" },
	{ "a service's name goes into a head",
	    HOME "service \"im:aps\" { backend = \"[::1]:993\" }\n",
	    "t.conf:3: a service cannot be called \"im:aps\"; use a to z, 0 to 9, _ and -, as at "
	    "the edge" },
	{ "a passed service twice",
	    HOME "service a { backend = \"[::1]:1\" }\nservice a { backend = \"[::1]:2\" }\n",
	    "t.conf:4: a second section is called \"a\"; write what both say into one, or give "
	    "this one another name" },
	{ "the other role's key", HOME "verdict = 1s\n",
	    "t.conf:3: no key \"verdict\" at top level; it is one of an edge's configuration" },
};

static void
refused_with_words(void **state)
{
	conf_refuses(CONF_HOME, refusals, sizeof(refusals) / sizeof(refusals[0]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_with_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
