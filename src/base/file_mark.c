#include "base/file_mark.h"

struct file_mark
file_mark_of(const struct stat *st)
{
	return (struct file_mark){ true, st->st_dev, st->st_ino, st->st_size, st->st_mtim };
}

struct file_mark
file_mark_at(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? file_mark_of(&st) : (struct file_mark){ 0 };
}

bool
file_mark_same(const struct file_mark *a, const struct file_mark *b)
{
	return a->there == b->there && (!a->there || (a->dev == b->dev && a->ino == b->ino &&
	    a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec &&
	    a->mtime.tv_nsec == b->mtime.tv_nsec));
}
