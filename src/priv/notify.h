#ifndef PRIV_NOTIFY_H
#define PRIV_NOTIFY_H

/*
 * What systemd wants to hear (sd_notify(3)), without its library: one datagram
 * to NOTIFY_SOCKET.  Nothing happens where there is none.
 */
void	notify(const char *state);	/* "READY=1", "STOPPING=1" */
void	notify_reloading(void);		/* with the clock that Type=notify-reload asks for */

#endif
