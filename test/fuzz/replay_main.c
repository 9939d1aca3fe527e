/*
 * Stands in for libFuzzer where there is none: gives every file of the
 * directories named to the target, and fails if that was no file at all.
 */
#include <dirent.h>
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
replay(const char *path, size_t size)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p = malloc(size > 0 ? size : 1);	/* no larger: a sanitizer sees more */

	if (f == NULL || p == NULL || fread(p, 1, size, f) != size)
		err(1, "%s", path);
	fclose(f);
	LLVMFuzzerTestOneInput(p, size);
	free(p);
}

int
main(int argc, char **argv)
{
	unsigned replayed = 0;

	for (int i = 1; i < argc; i++) {
		DIR *d = opendir(argv[i]);
		struct dirent *e;

		if (d == NULL)
			err(1, "%s", argv[i]);
		while ((e = readdir(d)) != NULL) {
			char path[4096];
			struct stat st;

			snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
			if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
				replay(path, (size_t)st.st_size);
				replayed++;
			}
		}
		closedir(d);
	}
	printf("%u replayed\n", replayed);
	return replayed == 0;
}
