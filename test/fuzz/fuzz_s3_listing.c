/*
 * A store's XML, its first octet the kind: whatever it is and however it is cut, it means one
 * thing, within its limits; and a walk through such pages comes to an end.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "proto/s3_listing.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct s3_doc *
fed(enum s3_doc_kind kind, struct span s, size_t piece)
{
	struct s3_doc *d = s3_doc_new(kind);
	struct why why;

	assert(d != NULL);
	while (s.n > 0) {
		size_t n = piece < s.n ? piece : s.n;
		int rc = s3_doc_feed(d, span_of(s.p, n), &why);

		assert(rc == 0 || why.text[0] != '\0');
		s = span_from(s, n);
	}
	return d;
}

static void
pages(struct span s, size_t piece)
{
	struct s3_doc *a = fed(S3_DOC_PAGE, s, s.n), *b = fed(S3_DOC_PAGE, s, piece);
	struct s3_walk w = { .pages = 0 };
	struct s3_page p, q;
	struct why why;
	int rc = s3_doc_page(a, &p, &why);

	assert(s3_doc_page(b, &q, &why) == rc);
	assert(p.n == q.n && p.unnamed == q.unnamed && p.n + p.unnamed <= S3_PAGE_MAX);
	assert((p.next != NULL) == (q.next != NULL));
	for (size_t i = 0; i < p.n; i++) {
		assert(strcmp(p.objects[i].key, q.objects[i].key) == 0);
		assert(p.objects[i].key[0] != '\0' && strlen(p.objects[i].key) <= S3_KEY_MAX);
		assert(p.objects[i].size == q.objects[i].size && p.objects[i].modified_ms >= 0);
	}
	if (rc == 0 && s3_walk_on(&w, &p, &why) == 0) {
		assert(w.over == (p.next == NULL));
		assert(w.over || s3_walk_on(&w, &p, &why) == -1);	/* the same again */
	}
	s3_doc_free(&a);
	s3_doc_free(&b);
}

static void
rules(struct span s, size_t piece)
{
	struct s3_doc *a = fed(S3_DOC_LIFECYCLE, s, s.n), *b = fed(S3_DOC_LIFECYCLE, s, piece);
	struct s3_lifecycle l, m;
	struct why why;

	assert(s3_doc_lifecycle(a, &l, &why) == s3_doc_lifecycle(b, &m, &why));
	assert(l.n == m.n && l.n <= S3_RULES_MAX);
	assert(s3_lifecycle_age(&l, "pending/", 1) == s3_lifecycle_age(&m, "pending/", 1));
	assert(s3_lifecycle_age(&l, "pending/", 1) >= 0);
	s3_doc_free(&a);
	s3_doc_free(&b);
}

static void
errors(enum s3_doc_kind kind, struct span s, size_t piece)
{
	struct s3_doc *a = fed(kind, s, s.n), *b = fed(kind, s, piece);
	struct s3_error e, f;
	struct why why;

	assert(s3_doc_error(a, &e, &why) == s3_doc_error(b, &f, &why));
	assert(memcmp(&e, &f, sizeof(e)) == 0);
	s3_doc_free(&a);
	s3_doc_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct span s = span_of(data, n);
	size_t piece = 1 + n % 13;

	if (n == 0)
		return 0;
	s = span_from(s, 1);
	if (data[0] == 'P')
		pages(s, piece);
	else if (data[0] == 'R')
		rules(s, piece);
	else
		errors(data[0] == 'C' ? S3_DOC_COPY : S3_DOC_ERROR, s, piece);
	return 0;
}
