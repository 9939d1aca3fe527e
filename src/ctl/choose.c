#include "ctl/choose.h"

#include <stdio.h>
#include <unistd.h>

#include "base/uuid.h"

#define PATIENCE_MS	2000
#define AGAIN_MS	500

static void
text(json_t *question, const char *key, const char *value)
{
	if (value != NULL)
		json_object_set_new(question, key, json_string(value));
}

void
choose_question(const struct opts *o, json_t *question)
{
	text(question, "state", o->state);
	text(question, "home", o->of);
	text(question, "from", o->from);
	text(question, "class", o->class);
	text(question, "recipient", o->recipient);
	if (o->parked)
		json_object_set_new(question, "parked", json_true());
	if (o->older != NULL)
		json_object_set_new(question, "older_ms", json_integer(o->older_ms));
	if (o->size != NULL)
		json_object_set_new(question, "size", json_integer((json_int_t)o->octets));
}

bool
choose_any(const struct opts *o)
{
	return o->state != NULL || o->of != NULL || o->from != NULL || o->class != NULL ||
	    o->recipient != NULL || o->older != NULL || o->size != NULL;
}

int
choose_ids(const struct opts_use *use, const struct opts *o)
{
	unsigned long long row;
	struct uuid id;

	for (size_t i = 0; i < o->nargs; i++)
		if (!uuid_parse(span_str(o->args[i]), &id) &&
		    !span_u64(span_str(o->args[i]), INT64_MAX, &row))
			return opts_misused(use, "an ID is as queue shows it, or the number of a "
			    "row, not", o->args[i]);
	return -1;
}

void
progress_begin(struct progress *p)
{
	*p = (struct progress){ .began = instant_now() };
}

void
progress_tell(struct progress *p, const char *what, unsigned long long n)
{
	struct instant now = instant_now();

	if (instant_ms_since(p->began, now) < PATIENCE_MS || !isatty(STDERR_FILENO) ||
	    (p->shown && instant_ms_since(p->said, now) < AGAIN_MS))
		return;
	p->said = now;
	p->shown = true;
	fprintf(stderr, "\r%s %llu ...", what, n);
	fflush(stderr);
}

void
progress_end(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
