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
int	ctl_status(int argc, char **argv);
int	ctl_queue(int argc, char **argv);
int	ctl_show(int argc, char **argv);
int	ctl_log(int argc, char **argv);
int	ctl_retry(int argc, char **argv);
int	ctl_park(int argc, char **argv);
int	ctl_unpark(int argc, char **argv);
int	ctl_drop(int argc, char **argv);
int	ctl_password(int argc, char **argv);
int	ctl_refile(int argc, char **argv);
int	ctl_backup(int argc, char **argv);
int	ctl_restore(int argc, char **argv);
int	ctl_route(int argc, char **argv);
int	ctl_cat(int argc, char **argv);
int	ctl_open(int argc, char **argv);
int	ctl_pair(int argc, char **argv);
int	ctl_pairings(int argc, char **argv);
int	ctl_unpair(int argc, char **argv);
int	ctl_rotate(int argc, char **argv);
int	ctl_keygen(int argc, char **argv);
int	ctl_ban(int argc, char **argv);
int	ctl_unban(int argc, char **argv);
int	ctl_bans(int argc, char **argv);
int	ctl_config(int argc, char **argv);
int	ctl_interlock(int argc, char **argv);
int	ctl_alarm(int argc, char **argv);
int	ctl_worker_config(int argc, char **argv);
int	ctl_drain(int argc, char **argv);
int	ctl_bucket(int argc, char **argv);
int	ctl_doctor(int argc, char **argv);

#endif
