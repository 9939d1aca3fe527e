#ifndef CONF_PARSE_IN_H
#define CONF_PARSE_IN_H

/*
 * Shared by parse.c (from text to struct, by libconfuse), plain.c (what must be seen
 * before libconfuse sees the text) and near.c (what was meant by a word that is no key).
 */
#include "conf/table.h"

#define CONF_WORD_MAX	64	/* with NUL; a longer word is near to nothing */

/*
 * What libconfuse would let through and we do not want: ${NAME} would be taken
 * from the environment, which differs between our processes (in single quotes it
 * is left alone); of an escape that it does not know it drops the backslash and keeps the
 * rest, as another value; a NUL would end the text; a section, a comment or quoted text at the
 * end need not be closed; a "*" outside of quotes is left out.
 */
int	conf_plain_text(const char *file, struct span text, struct why *);
/*
 * Comments become spaces, their line ends stay: libconfuse 3.3 counts a comment's line
 * three times, so that every line that it names below would be wrong, and takes none
 * between a key and its value or within a list.
 */
void	conf_blank_comments(char *text, size_t n);

/* The key or section that was most likely meant; NULL if none is near. */
const char *conf_near_key(const struct conf_table *, const char *section, const char *word);
/* A key or section there in the other role's configuration. */
bool	conf_key_of_the_other(const struct conf_table *, const char *section, const char *word);
/* A key that is right, but stands in another section: where it belongs.  NULL: nowhere. */
const char *conf_key_elsewhere(const struct conf_table *, const char *word);

#endif
