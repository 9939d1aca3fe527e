#include "ctl/choose.h"

#include <stdio.h>
#include <unistd.h>

#include "conf/table.h"

#define PATIENCE_MS	2000
#define AGAIN_MS	500

/* As in a configuration, so that 1h is an hour and 5M five times 1,048,576 here too. */
static int
read_time(const char *text, int64_t *ms, struct why *why)
{
	static const struct conf_key key = { .name = "--older", .type = CT_TIME,
	    .size = sizeof(int64_t), .most = 36500 * (uint64_t)CONF_DAY };

	return conf_value_store(&key, ms, span_str(text), why);
}

static int
read_size(const char *text, uint64_t *octets, struct why *why)
{
	static const struct conf_key key = { .name = "--size", .type = CT_SIZE,
	    .size = sizeof(uint64_t), .most = CONF_T };

	return conf_value_store(&key, octets, span_str(text), why);
}

static void
text(json_t *question, const char *key, const char *value)
{
	if (value != NULL)
		json_object_set_new(question, key, json_string(value));
}

int
choose_question(const struct opts *o, json_t *question, struct why *why)
{
	uint64_t octets;
	int64_t ms;

	/* Of what is parked as something, the rest may wait for its next try. */
	text(question, "state", o->state == NULL && o->parked && o->class == NULL ? "parked" :
	    o->state);
	text(question, "home", o->of);
	text(question, "from", o->from);
	text(question, "class", o->class);
	text(question, "recipient", o->recipient);
	if (o->older != NULL) {
		if (read_time(o->older, &ms, why) == -1)
			return -1;
		json_object_set_new(question, "older_ms", json_integer(ms));
	}
	if (o->size != NULL) {
		if (read_size(o->size, &octets, why) == -1)
			return -1;
		json_object_set_new(question, "size", json_integer((json_int_t)octets));
	}
	return 0;
}

bool
choose_any(const struct opts *o)
{
	return o->state != NULL || o->of != NULL || o->from != NULL || o->class != NULL ||
	    o->recipient != NULL || o->older != NULL || o->size != NULL;
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
