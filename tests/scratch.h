/* A directory of a test's own, and a few words about the files in it. */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct scratch {
	char dir[64];
	char path[PATH_MAX]; /* of scratch_path() */
};

static inline void scratch_init(struct scratch *scratch)
{
	/* In memory where that is possible: every write is synced. */
	strcpy(scratch->dir, "/dev/shm/lvsmesh-test-XXXXXX");
	if (mkdtemp(scratch->dir))
		return;
	strcpy(scratch->dir, "/tmp/lvsmesh-test-XXXXXX");
	if (!mkdtemp(scratch->dir))
		abort();
}

static inline int scratch_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void scratch_fini(struct scratch *scratch)
{
	nftw(scratch->dir, scratch_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static inline const char *scratch_path(struct scratch *scratch, const char *name)
{
	snprintf(scratch->path, sizeof(scratch->path), "%s/%s", scratch->dir, name);
	return scratch->path;
}

static inline void scratch_write(struct scratch *scratch, const char *name, const void *data,
				 size_t len)
{
	FILE *file = fopen(scratch_path(scratch, name), "wb");

	if (!file || fwrite(data, 1, len, file) != len || fclose(file) != 0)
		abort();
}

static inline size_t scratch_read(struct scratch *scratch, const char *name, void *data, size_t cap)
{
	FILE *file = fopen(scratch_path(scratch, name), "rb");
	size_t len;

	if (!file)
		abort();
	len = fread(data, 1, cap, file);
	fclose(file);
	return len;
}

#endif
