/* Runs a fuzz target over every file of a corpus, and over each file's truncations and single-byte
 * changes: libFuzzer's first steps, in an ordinary build. An empty corpus is a failure. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of its exact size, so that the sanitizer sees one byte too many. */
static void run(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		abort();
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void run_variants(uint8_t *data, size_t size)
{
	size_t step = size > 4096 ? size / 4096 : 1;

	run(data, size);
	for (size_t i = 0; i < size; i += step) {
		uint8_t was = data[i];

		run(data, i);
		data[i] = (uint8_t)~was;
		run(data, size);
		data[i] = (uint8_t)(was + 1);
		run(data, size);
		data[i] = was;
	}
}

int main(int argc, char **argv)
{
	static uint8_t data[1 << 20];
	struct dirent *file;
	unsigned int files = 0;
	DIR *dir;

	if (argc != 2 || !(dir = opendir(argv[1]))) {
		fprintf(stderr, "usage: replay CORPUS-DIRECTORY\n");
		return 2;
	}
	while ((file = readdir(dir))) {
		char path[4096];
		FILE *in;

		if (file->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], file->d_name);
		in = fopen(path, "rb");
		if (!in) {
			perror(path);
			return 1;
		}
		run_variants(data, fread(data, 1, sizeof(data), in));
		fclose(in);
		files++;
	}
	closedir(dir);
	printf("%u corpus files\n", files);
	return files ? 0 : 1;
}
