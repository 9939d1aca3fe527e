#include "kit/conf_texts.h"

#include "conf/table.h"

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

static void
edge_defaults(void **state)
{
	struct why why = { "" };
	struct conf_edge *c = conf_text(CONF_EDGE, EDGE "home alice { }\n", &why);

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
	struct conf_edge *c = conf_text(CONF_EDGE, text, &why);

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
	struct conf_edge *c = conf_text(CONF_EDGE, text, &why);

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
	struct conf_home *c = conf_text(CONF_HOME, text, &why);

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
	c = conf_text(CONF_HOME, HOME, &why);
	assert_non_null(c);
	assert_string_equal(c->roles, "alice");		/* the first of users */
	free(c);
	c = conf_text(CONF_HOME, HOME "mailboxes { catch_all = bob }\n", &why);
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
		void *a = conf_text(cases[i].role, cases[i].from, &why);
		void *b = conf_text(cases[i].role, cases[i].to, &why);
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

static char *
man_text(void)
{
	char *page = calloc(1, 1 << 18);
	FILE *f = fopen(man_page(), "r");

	assert_non_null(page);
	assert_non_null(f);
	assert_true(fread(page, 1, (1 << 18) - 1, f) > 0);
	fclose(f);
	return page;
}

/*
 * posthouse.conf(5) has each key, as `.It Ic section.key`, and below it the
 * default that the table has.
 */
static void
the_man_page_has_every_key(void **state)
{
	const struct conf_table *tables[] = { &conf_edge_table, &conf_home_table };
	char *page = man_text(), want[200];
	size_t missing = 0;

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

/* What keeps its old value until a restart is marked so below its `.It`, and nothing else is. */
static void
the_man_page_marks_what_a_restart_changes(void **state)
{
	const struct conf_table *tables[] = { &conf_edge_table, &conf_home_table };
	char *page = man_text(), want[200];
	size_t wrong = 0;

	for (size_t r = 0; r < 2; r++)
		for (size_t i = 0; i < tables[r]->nkeys; i++) {
			const struct conf_key *k = &tables[r]->keys[i];

			snprintf(want, sizeof(want), ".It Ic %s%s%s ", k->section,
			    k->section[0] != '\0' ? "." : "", k->name);
			for (const char *at = page; (at = strstr(at, want)) != NULL; at++) {
				const char *next = strstr(at + 1, "\n.It "),
				    *said = strstr(at, "\n.Em Restart ");

				if ((said != NULL && (next == NULL || said < next)) == k->fixed)
					continue;
				print_error("%s: %sis%s changed by a restart only\n", man_page(),
				    want + 7, k->fixed ? "" : " not");
				wrong++;
			}
		}
	assert_int_equal(wrong, 0);
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
		cmocka_unit_test(edge_defaults),
		cmocka_unit_test(edge_values),
		cmocka_unit_test(services_of_an_edge),
		cmocka_unit_test(home_values),
		cmocka_unit_test(reload_names_what_needs_a_restart),
		cmocka_unit_test(a_file_tells_its_role),
		cmocka_unit_test(the_man_page_has_every_key),
		cmocka_unit_test(the_man_page_marks_what_a_restart_changes),
		cmocka_unit_test(every_key_is_described),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
