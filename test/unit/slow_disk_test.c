/*
 * A disk that takes its time, or fails, while it makes a large object durable: who waits
 * for it, who does not, and what is left when somebody goes meanwhile.
 */
#include "kit/store_play.h"

/* Files are synced when the test says so, and with what it says. */
static struct {
	struct sys	 sys;
	uv_sem_t	 go;
	_Atomic bool	 armed;
	_Atomic int	 error;		/* 0: it works */
	_Atomic unsigned asked;
} disk;

static int
slow_fsync(int fd)
{
	if (!disk.armed)
		return fsync(fd);
	disk.asked++;
	uv_sem_wait(&disk.go);
	if (disk.error == 0)
		return fsync(fd);
	errno = disk.error;
	return -1;
}

static void
slow_begin(struct play *p)
{
	play_begin(p, CONF_EDGE);
	writer_free(&p->writer);
	disk.sys = sys_real;
	disk.sys.fsync = slow_fsync;
	disk.armed = false;
	disk.error = 0;
	disk.asked = 0;
	assert_int_equal(uv_sem_init(&disk.go, 0), 0);
	p->conf.sys = &disk.sys;
	play_writer(p);
}

/* The disk answers everything from now on. */
static void
slow_over(void)
{
	disk.armed = false;
	uv_sem_post(&disk.go);
}

static void
slow_end(struct play *p)
{
	play_end(p);
	uv_sem_destroy(&disk.go);
}

static void
put_large(struct play *p, struct spool *s, unsigned n, struct put_told *told)
{
	struct spool_meta m = a_meta(p, n);
	unsigned asked = disk.asked;

	disk.armed = true;
	put_one(s, &m, n, 1 << 20, told);
	for (int i = 0; i < 1000 && disk.asked == asked; i++)
		play_for(p, 5);
	assert_int_equal(disk.asked, asked + 1);
}

static unsigned
files_in_large(const struct play *p)
{
	DIR *d = fdopendir(openat(p->large, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *e;
	unsigned n = 0;

	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void
small_ones_do_not_wait_for_a_large_ones_disk(void **state)
{
	struct put_told large = { 0 }, second = { 0 }, small = { 0 };
	struct spool_meta m;
	struct play p;
	struct spool *s;

	slow_begin(&p);
	s = play_client(&p);
	play_attach(&p, s);
	put_large(&p, s, 1, &large);
	m = a_meta(&p, 2);
	put_one(s, &m, 2, 1 << 20, &second);	/* waits its turn */
	for (unsigned n = 3; n < 103; n++) {
		m = a_meta(&p, n);
		put_one(s, &m, n, 5000, &small);
	}
	play_until(&p, &small.told, 100);
	assert_int_equal(small.kept, 100);
	assert_int_equal(large.told + second.told, 0);
	slow_over();
	play_until(&p, &second.told, 1);
	assert_int_equal(large.kept, 1);
	assert_int_equal(second.kept, 1);
	assert_true(large.row > small.row);	/* no row before its file is durable */
	spool_free(&s);
	slow_end(&p);
}

static void
a_file_that_cannot_be_synced_fails_alone(void **state)
{
	static const struct {
		int error;
		enum kept kept;
	} disks[] = { { EIO, NOT_KEPT }, { ENOSPC, KEPT_FULL }, { EDQUOT, KEPT_FULL } };

	for (size_t i = 0; i < sizeof(disks) / sizeof(disks[0]); i++) {
		struct put_told large = { 0 }, small = { 0 };
		struct spool_meta m;
		struct play p;
		struct spool *s;

		slow_begin(&p);
		s = play_client(&p);
		play_attach(&p, s);
		put_large(&p, s, 1, &large);
		m = a_meta(&p, 2);
		put_one(s, &m, 2, 5000, &small);
		disk.error = disks[i].error;
		slow_over();
		play_until(&p, &large.told, 1);
		assert_int_equal(large.last, disks[i].kept);
		assert_non_null(strstr(large.why, "durable"));
		play_until(&p, &small.told, 1);
		assert_int_equal(small.kept, 1);
		assert_int_equal(files_in_large(&p), 0);
		disk.error = 0;
		m = a_meta(&p, 1);
		put_one(s, &m, 1, 1 << 20, &large);
		play_until(&p, &large.told, 2);
		assert_int_equal(large.last, KEPT);
		spool_free(&s);
		slow_end(&p);
	}
}

static void
on_drained(void *arg)
{
	(*(unsigned *)arg)++;
}

static void
a_drain_waits_for_the_disk(void **state)
{
	struct put_told large = { 0 }, next = { 0 };
	struct spool_meta m;
	unsigned drained = 0;
	struct play p;
	struct spool *s;

	slow_begin(&p);
	s = play_client(&p);
	play_attach(&p, s);
	put_large(&p, s, 1, &large);
	m = a_meta(&p, 2);
	put_one(s, &m, 2, 1 << 20, &next);
	play_for(&p, 50);
	writer_drain(p.writer, on_drained, &drained);
	play_for(&p, 50);
	assert_int_equal(drained, 0);
	slow_over();
	play_until(&p, &drained, 1);
	play_until(&p, &next.told, 1);
	assert_int_equal(large.kept, 1);
	assert_int_equal(next.kept, 1);
	spool_free(&s);
	slow_end(&p);
}

/* Who put it is gone before the disk answered: nobody was told anything, so nothing stays. */
static void
a_large_put_goes_with_its_client(void **state)
{
	struct put_told large = { 0 };
	struct listed l = { 0 };
	struct play p;
	struct spool *s;

	slow_begin(&p);
	s = play_client(&p);
	play_attach(&p, s);
	put_large(&p, s, 1, &large);
	spool_attach(s, NULL);
	play_until(&p, &large.told, 1);
	assert_int_equal(large.last, NOT_KEPT);
	slow_over();
	for (int i = 0; i < 1000 && files_in_large(&p) > 0; i++)
		play_for(&p, 5);
	assert_int_equal(files_in_large(&p), 0);
	play_attach(&p, s);
	spool_list(s, "alice", 0, 10, on_listed, &l);
	play_until(&p, &l.told, 1);
	assert_int_equal(l.n, 0);
	spool_free(&s);
	slow_end(&p);
}

static void
a_writer_goes_while_the_disk_is_busy(void **state)
{
	struct put_told large = { 0 }, again = { 0 };
	struct spool_meta m;
	struct play p;
	struct spool *s;

	slow_begin(&p);
	s = play_client(&p);
	play_attach(&p, s);
	put_large(&p, s, 1, &large);
	writer_free(&p.writer);
	play_until(&p, &large.told, 1);
	assert_int_equal(large.last, NOT_KEPT);
	slow_over();
	play_writer(&p);
	play_attach(&p, s);
	m = a_meta(&p, 1);
	put_one(s, &m, 1, 1 << 20, &again);
	play_until(&p, &again.told, 1);
	assert_int_equal(again.last, KEPT);
	spool_free(&s);
	slow_end(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_ones_do_not_wait_for_a_large_ones_disk),
		cmocka_unit_test(a_file_that_cannot_be_synced_fails_alone),
		cmocka_unit_test(a_drain_waits_for_the_disk),
		cmocka_unit_test(a_large_put_goes_with_its_client),
		cmocka_unit_test(a_writer_goes_while_the_disk_is_busy),
	};

	log_init("test.slow_disk", LOG_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
