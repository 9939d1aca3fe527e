#ifndef CTL_OCTETS_H
#define CTL_OCTETS_H

#include <sys/types.h>

#include "base/span.h"
#include "base/why.h"

/*
 * All of it, from and to descriptors that block: files, pipes, terminals.  Signals and short
 * counts are no news.
 */
int	octets_write(int fd, struct span);		/* -1 with errno: some of it may be out */
int	octets_print(struct span, struct why *);	/* to standard output; -1 with why */
/* As many octets as there are room or input; -1 with errno. */
ssize_t	octets_read(int fd, char *, size_t max);

#endif
