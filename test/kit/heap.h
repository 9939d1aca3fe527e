#ifndef KIT_HEAP_H
#define KIT_HEAP_H

#include <malloc.h>
#include <stddef.h>

/* Octets that malloc has given out; 0 under a sanitizer, whose allocator counts elsewhere. */
static inline size_t
heap_in_use(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

#endif
