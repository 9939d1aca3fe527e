#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* 256 secret bytes' worth of key.  The one type that holds a key; _fini wipes it. */
#define SECRET_LEN 32

struct secret {
	unsigned char	b[SECRET_LEN];
	bool		set;
};

void	secret_set(struct secret *, const unsigned char b[SECRET_LEN]);
void	secret_fini(struct secret *);
/* Constant time. */
bool	secret_eq(const void *, const void *, size_t);
/*
 * From the kernel; cannot fail (it aborts where getrandom does, as
 * nothing can be done safely then).
 */
void	random_bytes(void *, size_t);

#endif
