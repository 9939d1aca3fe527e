#include "ctl/bucket_list.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/bucket_door.h"

#define NAMES_MAX	(256u << 20)

static bool
add(struct bucket_list *l, const struct bucket_door *d, const struct s3_object *o)
{
	struct waiting *more;

	if (l->n == BUCKET_LIST_MAX)
		return false;
	if (l->n == l->room) {
		l->room = l->room == 0 ? 1024 : 2 * l->room;
		if ((more = reallocarray(l->list, l->room, sizeof(*more))) == NULL)
			return false;
		l->list = more;
	}
	l->list[l->n] = (struct waiting){ l->names.n, d->conf, o->size,
		o->modified_ms + d->skew_ms };
	if (!buf_add(&l->names, o->key, strlen(o->key) + 1))
		return false;
	l->octets += o->size;
	l->n++;
	return true;
}

static void
on_page(void *door, const struct s3_page *page)
{
	struct bucket_door *d = door;
	struct bucket_list *l = d->of;

	for (size_t i = 0; i < page->n && !l->failed; i++)
		l->failed = !add(l, d, &page->objects[i]);
	progress_tell(&l->progress, "listed", l->n);
}

static const struct s3_ops ops = { .page = on_page, .done = bucket_door_done };

static struct s3_call *
ask_page(struct bucket_door *d, struct why *why)
{
	struct bucket_list *l = d->of;

	return s3_list(d->s3, d->conf->prefix, S3_PAGE_MAX, &l->walk, &ops, d, why);
}

int
bucket_list_add(struct bucket_list *l, const struct conf_common *common,
    const struct conf_bucket *b, struct why *why)
{
	struct why words = { "" };
	struct bucket_door d;
	int rc = bucket_door_open(&d, common, b, &words);

	d.of = l;
	l->walk = (struct s3_walk){ .pages = 0 };
	progress_begin(&l->progress);
	while (rc == 0 && !l->walk.over && !l->failed)
		if (bucket_ask(&d, ask_page) != S3_DONE)
			rc = why_set(&words, "%.450s", d.answer.why.text);
	if (rc == 0 && l->failed)
		rc = why_set(&words, "more waits than can be listed here: only the first %zu "
		    "objects are", l->n);
	progress_end(&l->progress);
	bucket_door_close(&d);
	return rc == 0 ? 0 : why_set(why, "%s: %.440s", b->name, words.text);
}

static int
by_age(const void *a, const void *b, void *names)
{
	const struct waiting *x = a, *y = b;

	if (x->modified_ms != y->modified_ms)
		return x->modified_ms < y->modified_ms ? -1 : 1;
	return strcmp((const char *)names + x->name, (const char *)names + y->name);
}

void
bucket_list_sort(struct bucket_list *l)
{
	if (l->n > 0)
		qsort_r(l->list, l->n, sizeof(l->list[0]), by_age, l->names.p);
}

const char *
waiting_name(const struct bucket_list *l, const struct waiting *w)
{
	return l->names.p + w->name;
}

void
bucket_list_init(struct bucket_list *l)
{
	*l = (struct bucket_list){ .n = 0 };
	buf_init(&l->names, NAMES_MAX);
}

void
bucket_list_fini(struct bucket_list *l)
{
	free(l->list);
	buf_fini(&l->names);
}
