#ifndef PRIV_SYSCALLS_IN_H
#define PRIV_SYSCALLS_IN_H

#include <seccomp.h>
#include <stdint.h>

#include "priv/syscalls.h"

/*
 * What syscalls_enter loads, on this or another architecture (SCMP_ARCH_...), as a table is right
 * only if it is so on all; names that this one has not are in no filter.  The caller's, by
 * seccomp_release; NULL with why.
 */
scmp_filter_ctx	syscalls_filter(uint32_t arch, enum proc_kind, enum syscalls_courier,
	    struct why *);

#endif
