/* The results of seeds, for comparing builds: a seed means the same run under every compiler. */
#ifndef TESTS_SIM_TRANSCRIPT_H
#define TESTS_SIM_TRANSCRIPT_H

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Adds a line to the file that the environment's TRANSCRIPT names, if it names one (tests/run
 * seeds). */
static inline void transcript_add(const char *test, uint64_t seed, uint64_t hash)
{
	const char *path = getenv("TRANSCRIPT");
	FILE *file = path ? fopen(path, "a") : NULL;

	if (!path)
		return;
	assert(file);
	fprintf(file, "%s %lu %016lx\n", test, (unsigned long)seed, (unsigned long)hash);
	fclose(file);
}

#endif
