#include "ctl/text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TABLE_OCTETS_MAX	(64u << 20)

const char *
shown(struct span s, struct shown *out)
{
	size_t o = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (o + 4 + 4 > sizeof(out->s)) {	/* an escape, and "..." with its NUL */
			memcpy(out->s + o, "...", 3);
			o += 3;
			break;
		}
		if (c >= 0x20 && c < 0x7f && c != '\\')
			out->s[o++] = (char)c;
		else
			o += (size_t)snprintf(out->s + o, sizeof(out->s) - o, "\\x%02x", c);
	}
	out->s[o] = '\0';
	return out->s;
}

/* How long the sequence that starts with c is; 0: none starts so. */
static size_t
utf8_length(unsigned char c)
{
	if (c >= 0xc2 && c <= 0xdf)
		return 2;
	if (c >= 0xe0 && c <= 0xef)
		return 3;
	return c >= 0xf0 && c <= 0xf4 ? 4 : 0;
}

/* Whether the held octets, not all there yet, may still become a printable character. */
static bool
utf8_possible(const unsigned char *p, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return false;
	if (n < 2)
		return true;
	switch (p[0]) {
	case 0xc2:
		return p[1] >= 0xa0;	/* below are the C1 controls: 0x9b is as good as ESC [ */
	case 0xe0:
		return p[1] >= 0xa0;
	case 0xed:
		return p[1] <= 0x9f;
	case 0xf0:
		return p[1] >= 0x90;
	case 0xf4:
		return p[1] <= 0x8f;
	default:
		return true;
	}
}

static void
filter_escape(struct term_filter *f, struct buf *out)
{
	for (size_t i = 0; i < f->nheld; i++)
		buf_addf(out, "\\x%02x", f->held[i]);
	f->nheld = 0;
}

static void
filter_octet(struct term_filter *f, unsigned char c, struct buf *out)
{
	if (f->nheld > 0 && f->held[0] == '\r') {
		f->nheld = 0;
		if (c != '\n')
			buf_add_str(out, "\\x0d");
	}
	if (f->nheld > 0) {
		f->held[f->nheld] = c;
		if (utf8_possible(f->held, f->nheld + 1)) {
			if (++f->nheld == utf8_length(f->held[0])) {
				buf_add(out, f->held, f->nheld);
				f->nheld = 0;
			}
			return;
		}
		filter_escape(f, out);
	}
	if (c == '\r' || utf8_length(c) > 0)
		f->held[f->nheld++] = c;
	else if ((c >= 0x20 && c < 0x7f) || c == '\n' || c == '\t')
		buf_add(out, &c, 1);
	else
		buf_addf(out, "\\x%02x", c);
}

void
term_filter_add(struct term_filter *f, struct span s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++)
		filter_octet(f, (unsigned char)s.p[i], out);
}

void
term_filter_end(struct term_filter *f, struct buf *out)
{
	filter_escape(f, out);
}

struct brief
brief_age(int64_t ms)
{
	static const struct {
		int64_t least_s, unit_s;
		const char *word;
	} units[] = {
		{ 2 * 86400, 86400, "days" },
		{ 2 * 3600, 3600, "h" },
		{ 2 * 60, 60, "min" },
		{ 0, 1, "s" },
	};
	struct brief b;
	int64_t s = ms < 0 ? 0 : ms / 1000;
	size_t i = 0;

	while (s < units[i].least_s)
		i++;
	snprintf(b.s, sizeof(b.s), "%lld %s", (long long)(s / units[i].unit_s), units[i].word);
	return b;
}

struct brief
brief_size(uint64_t n)
{
	static const char *const units[] = { "B", "KB", "MB", "GB", "TB", "PB" };
	struct brief b;
	double v = (double)n;
	size_t i = 0;

	/* 1023.5 would be shown as 1024 of the smaller unit. */
	while (i < sizeof(units) / sizeof(units[0]) - 1 && v >= (i == 0 ? 1024 : 1023.5)) {
		v /= 1024;
		i++;
	}
	snprintf(b.s, sizeof(b.s), i > 0 && v < 9.95 ? "%.1f %s" : "%.0f %s", v, units[i]);
	return b;
}

struct table {
	const char	*headings[TABLE_COLUMNS_MAX];
	size_t		 columns;
	size_t		 width[TABLE_COLUMNS_MAX];
	size_t		 cells;
	struct buf	 text;			/* each cell with its NUL */
};

static const char *
heading(const struct table *t, size_t i)
{
	return t->headings[i] + (t->headings[i][0] == '>');
}

struct table *
table_new(const char *const *headings, size_t n)
{
	struct table *t;

	if (n > TABLE_COLUMNS_MAX || (t = calloc(1, sizeof(*t))) == NULL)
		return NULL;
	t->columns = n;
	buf_init(&t->text, TABLE_OCTETS_MAX);
	for (size_t i = 0; i < n; i++) {
		t->headings[i] = headings[i];
		t->width[i] = strlen(heading(t, i));
	}
	return t;
}

void
table_cell(struct table *t, struct span s)
{
	struct shown text;
	size_t n = strlen(shown(s, &text)), column = t->cells++ % t->columns;

	buf_add(&t->text, text.s, n + 1);
	if (n > t->width[column])
		t->width[column] = n;
}

void
table_str(struct table *t, const char *s)
{
	table_cell(t, span_str(s != NULL ? s : ""));
}

static void
print_cell(const struct table *t, size_t column, const char *s, struct buf *out)
{
	bool right = t->headings[column][0] == '>', last = column == t->columns - 1;
	int width = (int)t->width[column];

	if (right)
		buf_addf(out, "%*s%s", width, s, last ? "\n" : "  ");
	else if (last)
		buf_addf(out, "%s\n", s);
	else
		buf_addf(out, "%-*s  ", width, s);
}

bool
table_print(const struct table *t, bool colour, struct buf *out)
{
	const char *p = t->text.p;

	if (t->text.failed)
		return false;
	if (colour)
		buf_add_str(out, TEXT_BOLD);
	for (size_t i = 0; i < t->columns; i++)
		print_cell(t, i, heading(t, i), out);
	if (colour)
		buf_add_str(out, TEXT_PLAIN);
	for (size_t i = 0; i < t->cells; i++) {
		print_cell(t, i % t->columns, p, out);
		p += strlen(p) + 1;
	}
	return !out->failed;
}

void
table_free(struct table **tp)
{
	struct table *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	buf_fini(&t->text);
	free(t);
}

int
text_json(json_t *answer, struct why *why)
{
	json_object_del(answer, "ok");
	return json_dumpf(answer, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII) == -1 ||
	    putchar('\n') == EOF ? why_sys(why, "standard output") : 0;
}

int
text_page(struct buf *page, struct why *why)
{
	int rc = 0;

	if (page->failed)
		rc = why_set(why, "it is too long to show; --json shows it");
	else if (fwrite(page->p, 1, page->n, stdout) != page->n)
		rc = why_sys(why, "standard output");
	buf_fini(page);
	return rc;
}

bool
text_colour(FILE *f)
{
	const char *no = getenv("NO_COLOR");

	return isatty(fileno(f)) && (no == NULL || no[0] == '\0');
}
