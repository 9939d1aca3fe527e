/*
 * Configurations of both roles.  What is refused says where; what is accepted
 * reads the same again, needs no restart against itself, and tells its role.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define must(x)	((x) ? (void)0 : abort())

static void
refused(const struct why *why)
{
	must(strncmp(why->text, "f:", 2) == 0 && strlen(why->text) > 3);
	for (const char *p = why->text; *p != '\0'; p++)
		must((unsigned char)*p >= 0x20);
}

static void
edge(struct span text)
{
	struct why why = { "" };
	struct conf_edge *a = conf_edge_parse("f", text, &why), *b;

	if (a == NULL) {
		refused(&why);
		return;
	}
	b = conf_edge_parse("f", text, &why);
	must(b != NULL && memcmp(a, b, sizeof(*a)) == 0 &&
	    conf_edge_reloadable(a, b, "f", text, &why) == 0);
	must(conf_role("f", text, &why) == CONF_EDGE);
	must(a->nservices > 0 && a->hold.memory >= a->hold.threshold &&
	    a->limits.recipients >= 100);
	free(a);
	free(b);
}

static void
home(struct span text)
{
	struct why why = { "" };
	struct conf_home *a = conf_home_parse("f", text, &why), *b;

	if (a == NULL) {
		refused(&why);
		return;
	}
	b = conf_home_parse("f", text, &why);
	must(b != NULL && memcmp(a, b, sizeof(*a)) == 0 &&
	    conf_home_reloadable(a, b, "f", text, &why) == 0);
	must(conf_role("f", text, &why) == CONF_HOME);
	must((a->maildir[0] == '/') == (a->deliver.to == CONF_TO_MAILDIR) && a->roles[0] != '\0');
	for (size_t i = 0; i < a->nusers; i++)
		must(strchr(a->users[i], '/') == NULL && a->users[i][0] != '.');
	free(a);
	free(b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	edge(span_of(data, n));
	home(span_of(data, n));
	return 0;
}
