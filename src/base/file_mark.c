#include "base/file_mark.h"

struct file_mark
file_mark_of(const struct stat *st)
{
	return (struct file_mark){ true, st->st_dev, st->st_ino, st->st_size, st->st_mtim };
}

bool
file_mark_same(const struct file_mark *a, const struct file_mark *b)
{
	return a->there == b->there && (!a->there || (a->dev == b->dev && a->ino == b->ino &&
	    a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec &&
	    a->mtime.tv_nsec == b->mtime.tv_nsec));
}
