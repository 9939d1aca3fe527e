#ifndef NET_LIBRARY_H
#define NET_LIBRARY_H

#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

/*
 * A shared library that few of the processes need, opened by those alone.  All are one program,
 * and what that is linked with, each of them pays for: libcurl and the 25 libraries that it
 * brings cost 0.4 MB of relocated pages and heap a process, whether it ever makes a request
 * or not.
 *
 * Whoever needs one has a struct of pointers to its functions, typed by the library's own header
 * (net/libcurl.h), and opens it as the process starts: the sandbox lets no library be
 * opened.  It stays open as long as the process lives.
 */
struct library_call {
	const char	*name;		/* of the function */
	size_t		 at;		/* of the pointer to it, in the struct */
};

/*
 * By its soname, which names its ABI: that of the headers we are built with.  All of calls is
 * filled in, or -1: it is not installed, or lacks a function.
 */
int	library_open(const char *soname, const struct library_call *, size_t n, void *calls,
	    struct why *);

/*
 * ldd(1) does not see such a library.  Those who pack this program do, by a note in it: "ELF
 * notes for dlopen metadata" of uapi-group.org, which dh_dlopendeps(1) turns into dependencies
 * and `readelf -n` shows.  Once a library, in the file that opens it.
 */
#define LIBRARY_NOTE(soname, what_for)							\
	LIBRARY_NOTE_OF("[{\"soname\":[\"" soname "\"],\"priority\":\"required\","	\
	    "\"description\":\"" what_for "\"}]")
#define LIBRARY_NOTE_OF(json)								\
	static const struct {								\
		uint32_t	 name_n, json_n, type;					\
		char		 name[sizeof("FDO")];					\
		_Alignas(4) char text[sizeof(json)];					\
	} library_note __attribute__((used, section(".note.dlopen"), aligned(4))) = {	\
		sizeof("FDO"), sizeof(json), 0x407c0c0a, "FDO", json }

#endif
