#ifndef KIT_CONN_ENDS_H
#define KIT_CONN_ENDS_H

/* Two connections of net/conn.h that talk to each other over loopback, on the kit's loop. */
#include "kit/loop.h"
#include "net/conn.h"

struct conn_end {
	struct conn	*c;		/* NULL once closed */
	char		*in;		/* what came */
	size_t		 n, cap;
	size_t		 take;		/* use at most so much a call; 0: all */
	bool		 deaf;		/* uses nothing */
	bool		 more;		/* takes: there is something */
	unsigned	 reads, drained, secured, eofs, closed;
	bool		 well;		/* closed without a reason */
	char		 why[512];
	void		(*said)(struct conn_end *);	/* after each read */
};

enum ends_kind {
	ENDS_PLAIN = 0,
	ENDS_TLS,
	ENDS_TUNNEL,		/* TLS, that reads much at a time, as a tunnel's does */
	ENDS_KINDS
};

extern struct conn_ends {
	struct conn_end	 a, b;		/* a dialled b */
	SSL_CTX		*server, *client;
} ends;

/* half: hears one side's end; takes: notes that something came, and leaves it there. */
extern const struct conn_ops conn_end_ops, conn_end_half, conn_end_takes;

int	ends_setup(void **state);
int	ends_teardown(void **state);
void	ends_meet(const struct conn_ops *);
/* Returns when both have their TLS, if it is of such a kind; after ends_meet. */
void	ends_secure(enum ends_kind);
/* Anew from the beginning, for what must hold of each kind alike. */
void	ends_again(void **state, enum ends_kind, const struct conn_ops *);

/* Octets whose place can be told from their value. */
void	octets_fill(char *, size_t from, size_t n);
void	octets_check(const struct conn_end *, size_t n);	/* it has had just these, from 0 */
bool	octets_write(struct conn *, size_t from, size_t n);

#endif
