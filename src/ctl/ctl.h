#ifndef CTL_CTL_H
#define CTL_CTL_H

/*
 * The operator's commands, one file each.  argv[0] is the command's own name;
 * what each returns is the program's exit code.
 */
enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED,		/* said on standard error why */
	CTL_USAGE,		/* nothing was done */
};

int	ctl_seal(int argc, char **argv);
int	ctl_unseal(int argc, char **argv);

#endif
