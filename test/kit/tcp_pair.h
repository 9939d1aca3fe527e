#ifndef KIT_TCP_PAIR_H
#define KIT_TCP_PAIR_H

/* One connection over loopback: fds[0] dialled fds[1].  Neither blocks; the caller closes both. */
void	tcp_pair(int fds[2]);

#endif
