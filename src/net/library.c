#include "net/library.h"

#include <dlfcn.h>
#include <string.h>

int
library_open(const char *soname, const struct library_call *call, size_t n, void *calls,
    struct why *why)
{
	void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);

	if (library == NULL)
		return why_set(why, "library %s", dlerror());
	for (size_t i = 0; i < n; i++) {
		void *found = dlsym(library, call[i].name);

		if (found == NULL) {
			dlclose(library);
			return why_set(why, "library %s: it has no %s, so it is too old", soname,
			    call[i].name);
		}
		/* POSIX: what dlsym says of a function is a pointer to it. */
		memcpy((char *)calls + call[i].at, &found, sizeof(found));
	}
	return 0;
}
