#ifndef CTL_TEXT_H
#define CTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/why.h"

/*
 * What a person reads: words, sizes, ages, tables.  Everything that a sender or
 * a less trusted process wrote passes through here before it reaches a terminal.
 */
#define SHOWN_MAX 1024
struct shown {
	char	s[SHOWN_MAX];
};

/*
 * One line of text made harmless: printable ASCII and spaces stay and, where the locale is of
 * UTF-8, other printable characters (base/utf8.h); everything else becomes \xHH, a backslash
 * too, so that the original can be told.  Cut with "...".  Returns out->s.
 */
const char *shown(struct span, struct shown *out);

/*
 * A message's octets for a terminal: CRLF becomes LF, well-formed UTF-8 stays,
 * controls other than LF and TAB become \xHH (escape sequences cannot act).
 * Cut anywhere: what is not whole yet waits in the struct.
 */
struct term_filter {
	unsigned char	held[4];
	size_t		nheld;
};
void	term_filter_add(struct term_filter *, struct span, struct buf *out);
void	term_filter_end(struct term_filter *, struct buf *out);

struct brief {
	char	s[32];
};
struct brief	brief_age(int64_t ms);		/* "12 s", "3 min", "5 h", "2 days" */
struct brief	brief_size(uint64_t);		/* "980 B", "18 KB", "2.4 MB": powers of 1024 */

/*
 * A table: rows are collected, then printed with aligned columns.  Cells are
 * made harmless on the way in.  A heading that starts with '>' is set to the right.
 */
#define TABLE_COLUMNS_MAX 10
struct table;
struct table *table_new(const char *const *headings, size_t n);		/* NULL: memory is out */
void	table_cell(struct table *, struct span);
void	table_str(struct table *, const char *);
/* With colour, headings in bold.  False: it did not fit. */
bool	table_print(const struct table *, bool colour, struct buf *out);
void	table_free(struct table **);

/* An answer whole, without the "ok" that all of them have. */
int	text_json(json_t *, struct why *);
/*
 * Whether it failed because whoever read standard output went away, as head(1) does: there is
 * nobody to tell, and nothing to mend.
 */
bool	text_reader_gone(const struct why *);
/* What was gathered, and its end: it is released.  One that did not fit is refused. */
int	text_page(struct buf *, struct why *);

/* Whether to colour: a terminal, and NO_COLOR is not set. */
bool	text_colour(FILE *);
#define TEXT_ALARM	"\033[1;31m"
#define TEXT_BOLD	"\033[1m"
#define TEXT_PLAIN	"\033[0m"

#endif
