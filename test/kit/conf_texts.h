#ifndef KIT_CONF_TEXTS_H
#define KIT_CONF_TEXTS_H

/* Configurations of a few lines, and how they are read; a case adds what it is about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "conf/conf.h"

#define EDGE	"hostname = \"mx1.example.org\"\nservice \"smtp\" { listen = {\"[::]:25\"} }\n"
#define HOME	"deliver { maildir = \"/var/mail/p\" }\n" \
	"mailboxes { users = {\"alice\", \"bob\"} }\n"
#define WORKER	"worker \"w.example.org\" { domains = {\"example.org\"} }\n"
#define R2	"\tendpoint = \"https://a.r2.cloudflarestorage.com\"\n"
#define S3	"bucket \"r2\" { endpoint = \"https://s3.example.net\" credentials = \"/k\" }\n"
#define VIA	"mailboxes { users = {\"alice\"} }\n"
#define PIN	"sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define AGE	"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

/* An edge's struct or a home's; NULL with why.  The caller frees it. */
static inline void *
conf_text(enum conf_role role, const char *text, struct why *why)
{
	if (role == CONF_EDGE)
		return conf_edge_parse("t.conf", span_str(text), why);
	return conf_home_parse("t.conf", span_str(text), why);
}

/* A text that is refused, and the words it is refused with, whole. */
struct conf_refusal {
	const char	*name, *text, *why;
};

static inline void
conf_refuses(enum conf_role role, const struct conf_refusal *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct why why = { "" };
		void *c = conf_text(role, list[i].text, &why);

		if (c != NULL || strcmp(why.text, list[i].why) != 0)
			fail_msg("%s:\n got  %s\n want %s", list[i].name,
			    c != NULL ? "(accepted)" : why.text, list[i].why);
	}
}

#endif
