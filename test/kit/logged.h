#ifndef KIT_LOGGED_H
#define KIT_LOGGED_H

/* What is logged between the two: lines of text, good until the next time. */
void	logged_begin(void);
const char *logged_end(void);
/* How often words stand in it. */
unsigned logged_times(const char *logged, const char *words);

#endif
