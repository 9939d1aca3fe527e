/* Peers and pairing lines on disk, and through the writer. */
#include "kit/store_play.h"
#include "store/wire.h"

static const char *const domains[] = { "example.org", "example.net" };
static const char *const twice[] = { "example.com", "Example.COM" };
static const int64_t now = 1795232400000;
static const int64_t minute = 60000;

static struct peers *
open_peers(const char *dir)
{
	struct why why = { "" };
	struct peers *ps = peers_open(&sys_real, dir, CONF_EDGE, &why);

	if (ps == NULL)
		fail_msg("%s", why.text);
	return ps;
}

static void
make_dir(char dir[64])
{
	snprintf(dir, 64, "/tmp/peers-XXXXXX");
	assert_non_null(mkdtemp(dir));
}

static struct peer *
a_peer(const char *name)
{
	struct peer *p = calloc(1, sizeof(*p));

	snprintf(p->name, sizeof(p->name), "%s", name);
	p->pins[0].b[0] = 7;
	p->npins = 1;
	secret_set(&p->mac[0], (const unsigned char *)"0123456789abcdef0123456789abcdef");
	p->nmac = 1;
	return p;
}

static void
a_line_is_good_for_its_name_its_time_and_five_tries(void **state)
{
	unsigned char token[PAIRING_TOKEN_LEN], wrong[PAIRING_TOKEN_LEN] = { 1 };
	struct peer *grant = calloc(1, sizeof(*grant)), *p = a_peer("alice");
	struct pairing_pending pending[PEERS_PENDING_MAX];
	struct why why = { "" };
	struct peers *ps;
	char dir[64], path[100];
	struct stat st;
	unsigned i;

	make_dir(dir);
	ps = open_peers(dir);
	assert_false(peers_pairing_open(ps, now));
	assert_int_equal(peers_pairing_new(ps, "Alice/..", domains, 2, now, token, &why), -1);
	assert_int_equal(peers_pairing_new(ps, "alice", domains, 0, now, token, &why), -1);
	assert_int_equal(peers_pairing_new(ps, "alice", domains, 2, now, token, &why), 0);
	assert_true(peers_pairing_open(ps, now));
	assert_int_equal(peers_pairing_check(ps, "bob", token, now, grant, &why), -1);
	for (i = 0; i < PAIRING_TRIES - 1; i++)
		assert_int_equal(peers_pairing_check(ps, "alice", wrong, now, grant, &why), -1);
	peers_free(&ps);			/* tries are counted on disk */
	ps = open_peers(dir);
	assert_int_equal(peers_pairings(ps, now, pending, PEERS_PENDING_MAX), 1);
	assert_int_equal(pending[0].tries, 1);
	assert_int_equal(peers_pairing_check(ps, "alice", token, now, grant, &why), 0);
	assert_string_equal(grant->name, "alice");
	assert_int_equal(grant->ndomains, 2);
	assert_string_equal(grant->domains[1], "example.net");
	assert_int_equal(peers_pairing_check(ps, "alice", wrong, now, grant, &why), -1);
	/* used up */
	assert_int_equal(peers_pairing_check(ps, "alice", token, now, grant, &why), -1);
	assert_false(peers_pairing_open(ps, now));

	assert_int_equal(peers_pairing_new(ps, "alice", domains, 2, now, token, &why), 0);
	assert_int_equal(peers_pairing_check(ps, "alice", token, now + 15 * minute, grant, &why),
	    -1);
	assert_int_equal(peers_pairing_new(ps, "alice", domains, 2, now, token, &why), 0);
	/* the clock went back */
	assert_int_equal(peers_pairing_check(ps, "alice", token, now - minute, grant, &why), -1);

	assert_int_equal(peers_pairing_new(ps, "alice", domains, 1, now, token, &why), 0);
	p->ndomains = 1;
	snprintf(p->domains[0], sizeof(p->domains[0]), "not-granted.example");
	assert_int_equal(peers_pairing_finish(ps, p, token, now, &why), 0);
	assert_int_equal(peers_count(ps), 1);
	assert_int_equal(peers_find(ps, "alice")->ndomains, 1);
	assert_string_equal(peers_find(ps, "alice")->domains[0], "example.org");
	assert_int_equal(peers_pairing_finish(ps, p, token, now, &why), -1);		/* once */
	snprintf(path, sizeof(path), "%s/homes/alice", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	/* alice's domain */
	assert_int_equal(peers_pairing_new(ps, "bob", domains, 1, now, token, &why), -1);
	assert_non_null(strstr(why.text, "example.org belongs to home alice"));
	/* nor twice, nor of a line that carol may redeem, for as long as it is open */
	assert_int_equal(peers_pairing_new(ps, "bob", twice, 2, now, token, &why), -1);
	assert_non_null(strstr(why.text, "named twice"));
	assert_int_equal(peers_pairing_new(ps, "carol", twice, 1, now, token, &why), 0);
	assert_int_equal(peers_pairing_new(ps, "bob", twice, 1, now, token, &why), -1);
	assert_non_null(strstr(why.text, "open for home carol"));
	assert_int_equal(peers_pairing_new(ps, "bob", twice, 1, now + 15 * minute, token, &why), 0);
	assert_int_equal(peers_pairing_end(ps, "bob", &why), 0);
	peers_free(&ps);
	ps = open_peers(dir);
	assert_int_equal(peers_count(ps), 1);
	assert_int_equal(peers_find(ps, "alice")->mac[0].b[0], '0');
	assert_int_equal(peers_remove(ps, "../alice", &why), -1);
	assert_int_equal(peers_remove(ps, "alice", &why), 0);
	assert_int_equal(peers_remove(ps, "alice", &why), 0);
	assert_int_equal(peers_count(ps), 0);
	peers_free(&ps);
	remove_tree(dir);
	free(grant);
	free(p);
}

static void
a_bad_file_is_named_and_left_alone(void **state)
{
	struct why why = { "" };
	struct peer *p = a_peer("alice");
	char dir[64], path[100], other[100];
	const char *file, *words;
	struct peers *ps;
	FILE *f;

	make_dir(dir);
	ps = open_peers(dir);
	assert_int_equal(peers_put(ps, p, &why), 0);
	snprintf(path, sizeof(path), "%s/homes/bob", dir);
	assert_non_null(f = fopen(path, "w"));
	fputs("{\"name\":", f);
	fclose(f);
	assert_int_equal(peers_unread(ps, &file, &words), 0);
	assert_int_equal(peers_reload(ps, &why), 0);
	assert_int_equal(peers_count(ps), 1);
	assert_int_equal(peers_unread(ps, &file, &words), 1);
	assert_string_equal(file, "bob");
	assert_string_equal(words, "not JSON");
	assert_int_equal(access(path, F_OK), 0);
	snprintf(other, sizeof(other), "%s/homes/alice", dir);
	assert_int_equal(rename(other, path), 0);	/* a name inside that is not the file's */
	assert_int_equal(peers_reload(ps, &why), 0);
	assert_int_equal(peers_count(ps), 0);
	assert_int_equal(peers_unread(ps, &file, &words), 1);
	snprintf(p->name, sizeof(p->name), "bob");
	assert_int_equal(peers_put(ps, p, &why), 0);		/* paired anew */
	assert_int_equal(peers_unread(ps, &file, &words), 0);
	peers_free(&ps);
	remove_tree(dir);
	free(p);
}

/* Opening one waits for its other end, which nobody ever opens. */
static void
a_pipe_where_a_file_should_be_holds_up_nobody(void **state)
{
	struct why why = { "" };
	struct peer *p = a_peer("alice");
	char dir[64], path[100];
	struct peers *ps;

	make_dir(dir);
	ps = open_peers(dir);
	snprintf(path, sizeof(path), "%s/homes/bob", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/homes/.alice.new", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	alarm(20);
	assert_int_equal(peers_reload(ps, &why), 0);
	assert_int_equal(peers_count(ps), 0);
	assert_int_equal(peers_put(ps, p, &why), -1);
	assert_non_null(strstr(why.text, "alice: cannot be written"));
	alarm(0);
	peers_free(&ps);
	remove_tree(dir);
	free(p);
}

struct paired {
	unsigned	told;
	char		error[200];
	size_t		ndomains;
};

static void
on_paired(void *arg, const char *error, const struct peer *peer)
{
	struct paired *t = arg;

	t->told++;
	snprintf(t->error, sizeof(t->error), "%.190s", error);
	t->ndomains = peer != NULL ? peer->ndomains : 0;
}

static void
everybody_hears_of_a_pairing(void **state)
{
	unsigned char token[PAIRING_TOKEN_LEN], wrong[PAIRING_TOKEN_LEN] = { 1 };
	struct peer *peer = a_peer("alice");
	struct paired t = { 0 };
	struct mark_told mark = { 0 };
	struct done d = { 0 };
	struct why why = { "" };
	struct play p;
	struct spool *s;

	play_begin(&p, CONF_EDGE);
	s = play_client(&p);
	play_attach(&p, s);
	play_until(&p, &p.known, 1);
	assert_int_equal(p.peers, 0);
	assert_false(p.pairing);
	spool_mark(s, "alice", (struct ledger_mark){ .epoch = 5, .counter = 100 }, on_marked,
	    &mark);
	play_until(&p, &mark.told, 1);
	assert_int_equal(peers_pairing_new(writer_peers(p.writer), "alice", domains, 2, wall_ms(),
	    token, &why), 0);
	spool_pair_check(s, "alice", wrong, on_paired, &t);
	play_until(&p, &t.told, 1);
	assert_true(p.pairing);
	assert_non_null(strstr(t.error, "wrong"));
	spool_pair_check(s, "alice", token, on_paired, &t);
	play_until(&p, &t.told, 2);
	assert_string_equal(t.error, "");
	assert_int_equal(t.ndomains, 2);
	spool_pair_finish(s, peer, token, on_paired, &t);
	play_until(&p, &t.told, 3);
	assert_string_equal(t.error, "");
	play_until(&p, &p.peers, 1);
	play_for(&p, 10);
	assert_false(p.pairing);
	/* paired anew: an old ledger is meant */
	spool_mark(s, "alice", (struct ledger_mark){ .epoch = 5, .counter = 3 }, on_marked, &mark);
	play_until(&p, &mark.told, 2);
	assert_int_equal(mark.last, MARKED);
	peer->npins = 2;
	peer->ndomains = 0;
	spool_peer_update(s, peer, on_done, &d);
	play_until(&p, &d.told, 1);
	assert_true(d.ok);
	assert_int_equal(peers_find(writer_peers(p.writer), "alice")->npins, 2);
	/* granted by pairing alone */
	assert_int_equal(peers_find(writer_peers(p.writer), "alice")->ndomains, 2);
	snprintf(peer->name, sizeof(peer->name), "mallory");
	spool_peer_update(s, peer, on_done, &d);
	play_until(&p, &d.told, 2);
	assert_false(d.ok);
	assert_int_equal(peers_remove(writer_peers(p.writer), "alice", &why), 0);
	play_until(&p, &p.gone, 1);
	spool_free(&s);
	play_end(&p);
	free(peer);
}

/* As `posthouse pair` does at home: the file first, then a word to the writer. */
static void
write_pairing(const struct play *p, const struct peer *peer)
{
	char path[400];
	struct buf text;
	FILE *f;

	buf_init(&text, WIRE_PEER_MAX);
	assert_true(peer_print(peer, &text));
	snprintf(path, sizeof(path), "%s/edges/%s", p->dir, peer->name);
	assert_non_null(f = fopen(path, "w"));
	assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
	assert_int_equal(fclose(f), 0);
	buf_wipe(&text);
}

static void
what_was_learned_before_a_pairing_does_not_undo_it(void **state)
{
	const enum conf_role roles[] = { CONF_EDGE, CONF_HOME };
	unsigned char token[PAIRING_TOKEN_LEN];

	for (int i = 0; i < 2; i++) {
		struct peer *old = a_peer("alice"), *anew = a_peer("alice");
		struct paired t = { 0 };
		struct done d = { 0 };
		struct why why = { "" };
		const struct peer *now_known;
		struct play p;
		struct spool *s;

		play_begin(&p, roles[i]);
		s = play_client(&p);
		play_attach(&p, s);
		play_until(&p, &p.known, 1);
		assert_int_equal(peers_put(writer_peers(p.writer), old, &why), 0);
		secret_set(&anew->mac[0],
		    (const unsigned char *)"fedcba9876543210fedcba9876543210");
		anew->pins[0].b[0] = 8;
		if (roles[i] == CONF_EDGE) {
			assert_int_equal(peers_pairing_new(writer_peers(p.writer), "alice", domains,
			    2, wall_ms(), token, &why), 0);
			spool_pair_finish(s, anew, token, on_paired, &t);
		} else {
			write_pairing(&p, anew);
		}
		old->npins = 2;				/* the process has not heard of it */
		spool_peer_update(s, old, on_done, &d);
		play_until(&p, &d.told, 1);
		assert_false(d.ok);
		assert_int_equal(peers_reload(writer_peers(p.writer), &why), 0);
		now_known = peers_find(writer_peers(p.writer), "alice");
		assert_int_equal(now_known->npins, 1);
		assert_int_equal(now_known->pins[0].b[0], 8);
		assert_memory_equal(now_known->mac[0].b, anew->mac[0].b, SECRET_LEN);
		anew->npins = 2;			/* and now it has */
		spool_peer_update(s, anew, on_done, &d);
		play_until(&p, &d.told, 2);
		assert_true(d.ok);
		assert_int_equal(peers_find(writer_peers(p.writer), "alice")->npins, 2);
		spool_free(&s);
		play_end(&p);
		free(old);
		free(anew);
	}
}

/* --- what a process knows of peers, over the lives of writers ------------------------------- */

static char heard[400];		/* +NAME: a peer, -NAME: gone, !: all are known */

static void
hear(char sign, const char *name)
{
	size_t n = strlen(heard);

	snprintf(heard + n, sizeof(heard) - n, "%c%s ", sign, name);
}

static void hear_peer(void *arg, const struct peer *p) { hear('+', p->name); }
static void hear_gone(void *arg, const char *name) { hear('-', name); }
static void hear_known(void *arg) { hear('!', ""); }

static const struct spool_events ears = {
	.peer = hear_peer, .peer_gone = hear_gone, .peers_known = hear_known,
};

/* h: a writer's first word, +NAME and -NAME: what it tells of a peer, !: that was all. */
static void
say(struct chan *to, const char *word)
{
	struct wire_out w = { .n = 0 };
	struct peer *peer = a_peer(word + 1);
	struct span parts[2];
	enum wire_type type = WE_PEERS_KNOWN;
	struct buf json;

	buf_init(&json, WIRE_PEER_MAX);
	if (word[0] == 'h') {
		type = WE_HELLO;
	} else if (word[0] == '+') {
		type = WE_PEER;
		assert_true(peer_print(peer, &json));
	} else if (word[0] == '-') {
		type = WE_PEER_GONE;
		wire_text(&w, word + 1);
	}
	parts[0] = wire_span(&w);
	parts[1] = buf_span(&json);
	assert_true(chan_send(to, type, 0, parts, 2, -1));
	buf_wipe(&json);
	free(peer);
}

/* Each life of the writer between bars. */
static void
a_peer_that_the_next_writer_does_not_name_is_gone(void **state)
{
	static const struct {
		const char	*writers, *heard;
	} lives[] = {
		{ "h +alice +bob ! | h +bob !", "+alice +bob ! +bob -alice ! " },
		{ "h +alice +bob ! | h !", "+alice +bob ! -alice -bob ! " },
		{ "h +alice ! | h +alice ! | h +alice !", "+alice ! +alice ! +alice ! " },
		/* paired after the rest was told, changed, told twice */
		{ "h ! +alice +alice | h !", "! +alice +alice -alice ! " },
		/* once: who heard it does not hear it again */
		{ "h +alice ! -alice | h !", "+alice ! -alice ! " },
		{ "h +alice ! | h ! | h !", "+alice ! -alice ! ! " },
		{ "h +alice ! | h ! +alice | h !", "+alice ! -alice ! +alice -alice ! " },
		/* what a writer did not come to say says nothing */
		{ "h +alice +bob ! | h +bob | | h +alice !",
		    "+alice +bob ! +bob +alice -bob ! " },
		{ "h +alice | h +bob !", "+alice +bob -alice ! " },
	};

	for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
		char words[100], *rest = words, *word;
		struct chan *writer = NULL;
		struct why why = { "" };
		struct play p = { 0 };
		struct spool *s;
		int sv[2];

		uv_loop_init(&p.loop);
		assert_non_null(s = spool_new(&ears, NULL, -1, 1 << 20, 1 << 20));
		snprintf(words, sizeof(words), "| %s", lives[i].writers);
		heard[0] = '\0';
		while ((word = strsep(&rest, " ")) != NULL)
			if (word[0] != '|')
				say(writer, word);
			else {
				play_for(&p, 1);
				chan_free(&writer);
				play_for(&p, 1);
				assert_int_equal(socketpair(AF_UNIX,
				    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
				assert_non_null(writer = chan_new(&p.loop, sv[0], &why));
				spool_attach(s, chan_new(&p.loop, sv[1], &why));
			}
		play_for(&p, 1);
		if (strcmp(heard, lives[i].heard) != 0)
			fail_msg("%s: heard %s", lives[i].writers, heard);
		spool_free(&s);
		chan_free(&writer);
		while (uv_run(&p.loop, UV_RUN_NOWAIT) != 0)
			;
		assert_int_equal(uv_loop_close(&p.loop), 0);
	}
}

/* The command takes the file away while there is no writer to say so. */
static void
who_is_unpaired_while_the_writer_is_away_is_gone_when_it_is_back(void **state)
{
	struct peer *alice = a_peer("alice"), *bob = a_peer("bob");
	struct why why = { "" };
	char path[100];
	struct play p;
	struct spool *s;

	play_begin(&p, CONF_EDGE);
	assert_int_equal(peers_put(writer_peers(p.writer), alice, &why), 0);
	assert_int_equal(peers_put(writer_peers(p.writer), bob, &why), 0);
	s = play_client(&p);
	play_attach(&p, s);
	play_until(&p, &p.known, 1);
	assert_int_equal(p.peers, 2);
	writer_free(&p.writer);
	play_for(&p, 10);
	snprintf(path, sizeof(path), "%s/homes/alice", p.dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(p.gone, 0);
	play_writer(&p);
	play_attach(&p, s);
	play_until(&p, &p.known, 2);
	assert_int_equal(p.gone, 1);
	spool_free(&s);
	play_end(&p);
	free(alice);
	free(bob);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_good_for_its_name_its_time_and_five_tries),
		cmocka_unit_test(a_bad_file_is_named_and_left_alone),
		cmocka_unit_test(a_pipe_where_a_file_should_be_holds_up_nobody),
		cmocka_unit_test(everybody_hears_of_a_pairing),
		cmocka_unit_test(what_was_learned_before_a_pairing_does_not_undo_it),
		cmocka_unit_test(a_peer_that_the_next_writer_does_not_name_is_gone),
		cmocka_unit_test(who_is_unpaired_while_the_writer_is_away_is_gone_when_it_is_back),
	};

	log_init("test.peers", LOG_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
