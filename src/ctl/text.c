#include "ctl/text.h"

#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"

#define TABLE_OCTETS_MAX	(64u << 20)

/* Whether what is written in UTF-8 is read as such: elsewhere its octets may be C1 controls. */
static bool
text_utf8(void)
{
	static int is = -1;
	locale_t here;

	if (is == -1) {
		here = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
		is = here != (locale_t)0 && strcmp(nl_langinfo_l(CODESET, here), "UTF-8") == 0;
		if (here != (locale_t)0)
			freelocale(here);
	}
	return is == 1;
}

const char *
shown(struct span s, struct shown *out)
{
	size_t o = 0, n;

	for (size_t i = 0; i < s.n; i += n > 0 ? n : 1) {
		unsigned char c = (unsigned char)s.p[i];

		n = c == '\\' || (c >= 0x80 && !text_utf8()) ? 0 : utf8_printable(span_from(s, i));
		if (o + 4 + 4 > sizeof(out->s)) {	/* one of them, and "..." with its NUL */
			memcpy(out->s + o, "...", 3);
			o += 3;
			break;
		}
		if (n > 0)
			memcpy(out->s + o, s.p + i, n);
		o += n > 0 ? n : (size_t)snprintf(out->s + o, sizeof(out->s) - o, "\\x%02x", c);
	}
	out->s[o] = '\0';
	return out->s;
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
	if (c == '\r' || utf8_length(c) > 1)
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

/* Characters, of which we take each for one column. */
static size_t
columns(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void
table_cell(struct table *t, struct span s)
{
	struct shown text;
	size_t n = columns(shown(s, &text)), column = t->cells++ % t->columns;

	buf_add(&t->text, text.s, strlen(text.s) + 1);
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
	int pad = (int)(t->width[column] - columns(s));

	if (right)
		buf_addf(out, "%*s%s%s", pad, "", s, last ? "\n" : "  ");
	else if (last)
		buf_addf(out, "%s\n", s);
	else
		buf_addf(out, "%s%*s  ", s, pad, "");
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

bool
text_reader_gone(const struct why *why)
{
	static const char words[] = "standard output: ";
	struct pollfd p = { .fd = STDOUT_FILENO };

	return strncmp(why->text, words, sizeof(words) - 1) == 0 && poll(&p, 1, 0) == 1 &&
	    (p.revents & POLLERR) != 0;
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
