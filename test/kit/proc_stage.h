#ifndef KIT_PROC_STAGE_H
#define KIT_PROC_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <cmocka.h>

/*
 * The parent of an edge, its processes and their sandboxes, for real: the test's program is its
 * own `posthouse`.  The processes are puppets that log what they are given; what they shall do
 * beside that is told by the host name in the configuration (proc_stage.c).  A test reads the log
 * as an operator would.
 */
struct stage {				/* one parent in a directory of its own */
	char	dir[64], conf[128];
	char	address[32];
	pid_t	pid;
	int	log;
	char	text[1 << 17];		/* all that was logged */
	size_t	n, read_to;		/* expect() goes on from here */
};

/* main of such a program: argv says whether it is the test, a parent or a puppet. */
int	stage_main(int argc, char **argv, int (*tests)(void));

struct stage *stage_new(const char *host);	/* its files; not started */
void	stage_start(struct stage *);
struct stage *stage_up(const char *host);	/* both, and it serves */
/* A second one beside it, with the same files: nothing logged, not started. */
struct stage stage_beside(const struct stage *);
/* To the end of the log; how the parent ended. */
int	stage_wait(struct stage *);
void	stage_free(struct stage *);		/* ends a parent that runs, well */

void	write_file(const char *dir, const char *name, mode_t, const char *text, size_t n);
void	write_conf(struct stage *, const char *host, const char *more);
/* A key and a certificate of it, as PEM in two texts that the caller frees. */
void	make_pair(char **key, char **cert);

/* Waits for a line with these words, after those found before.  Returns where it stands. */
const char *expect(struct stage *, const char *words);
/* Somewhere in all that was logged, before or after. */
void	logged(struct stage *, const char *words, bool wanted);
pid_t	pid_after(const char *line);
pid_t	pid_of(struct stage *, const char *who);

#endif
