#ifndef BASE_WHY_H
#define BASE_WHY_H

/*
 * Why something failed, in words for the operator: outermost noun first, then
 * what is wrong, then what to do.  Fixed size; a longer text is cut.  Never
 * holds a secret or a message's text.
 */
struct why {
	char	text[512];
};

/* Both return -1, so that a failure is said and returned in one line. */
int	why_set(struct why *, const char *, ...) __attribute__((format(printf, 2, 3)));
/* The same, followed by ": " and the text of errno; of a disk also what to do. */
int	why_sys(struct why *, const char *, ...) __attribute__((format(printf, 2, 3)));

#endif
