/* What directors do when one joins, dies, is cut off, or drains, line by line: compared with the
 * texts of tests/sim/transcripts. `tests/run transcripts` writes these anew; read the difference.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/cluster.h"

#define S USEC_PER_SEC
#define MS USEC_PER_MSEC
#define ESTABLISHED 1 /* of IPVS, TCP */
#define TEXT_MAX (64 * 1024)

/* One transcript: its lines so far, and the time from which they count. */
struct scene {
	struct cluster *cluster;
	char text[TEXT_MAX];
	size_t len;
	usec_t start;
};

static struct scene scene;

__attribute__((format(printf, 1, 2))) static void add(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	scene.len += (size_t)vsnprintf(scene.text + scene.len, TEXT_MAX - scene.len, format, args);
	va_end(args);
	assert_true(scene.len < TEXT_MAX);
}

static void line(void *context, unsigned int d, const char *text)
{
	usec_t at = cluster_now(scene.cluster).mono - scene.start;

	(void)context;
	add("[%5llu] d%u: %s\n", (unsigned long long)(at / MS), d + 1, text);
}

/* The cluster runs until all is calm; its lines begin then. */
static void begin(const char *what)
{
	cluster_run(scene.cluster, 10 * S);
	scene.len = 0;
	scene.start = cluster_now(scene.cluster).mono;
	add("%s Times are in ms.\n", what);
	cluster_trace(scene.cluster, line, NULL);
}

static void happens(const char *what)
{
	add("\n# %s\n", what);
}

static char *read_file(const char *path)
{
	char *text = calloc(1, TEXT_MAX);
	FILE *file = fopen(path, "r");

	assert_non_null(text);
	if (file) {
		assert_true(fread(text, 1, TEXT_MAX - 1, file) < TEXT_MAX - 1);
		fclose(file);
	}
	return text;
}

static void compare(const char *name, const char *want)
{
	unsigned int number = 1;
	size_t i = 0;

	while (want[i] && want[i] == scene.text[i])
		number += want[i++] == '\n';
	if (want[i] == scene.text[i])
		return;
	while (i > 0 && want[i - 1] != '\n')
		i--;
	fail_msg("%s, line %u:\n  was %.*s\n  is  %.*s\nIf that is meant: tests/run transcripts",
		 name, number, (int)strcspn(want + i, "\n"), want + i,
		 (int)strcspn(scene.text + i, "\n"), scene.text + i);
}

static void end(const char *name)
{
	char path[512], *want;
	FILE *file;

	cluster_free(scene.cluster);
	snprintf(path, sizeof(path), TRANSCRIPTS "/%s.txt", name);
	if (getenv("REMAKE")) {
		file = fopen(path, "w");
		assert_non_null(file);
		assert_int_equal(fwrite(scene.text, 1, scene.len, file), scene.len);
		assert_int_equal(fclose(file), 0);
	}
	want = read_file(path);
	compare(name, want);
	free(want);
}

static void test_join(void **state)
{
	(void)state;
	scene.cluster = cluster_new(1, 3);
	cluster_crash(scene.cluster, 2, true);
	begin("A director joins two others.");
	happens("d3 starts");
	cluster_start(scene.cluster, 2);
	cluster_run(scene.cluster, 3 * S);
	end("join");
}

static void test_death(void **state)
{
	(void)state;
	scene.cluster = cluster_new(1, 3);
	begin("A director dies, and comes back.");
	happens("d1's machine loses its power");
	cluster_crash(scene.cluster, 0, true);
	cluster_run(scene.cluster, 5 * S);
	happens("d1 boots");
	cluster_start(scene.cluster, 0);
	cluster_run(scene.cluster, 3 * S);
	end("death");
}

static void cut_off(bool hole)
{
	cluster_hole(scene.cluster, 0, 2, hole);
	cluster_hole(scene.cluster, 1, 2, hole);
}

static void test_split(void **state)
{
	(void)state;
	scene.cluster = cluster_new(1, 3);
	begin("The network between a director and the two others breaks, and is mended.");
	happens("d3 is cut off");
	cut_off(true);
	cluster_run(scene.cluster, 12 * S);
	happens("the network is mended");
	cut_off(false);
	cluster_run(scene.cluster, 12 * S);
	end("split");
}

static void test_drain(void **state)
{
	struct entry entry = cluster_entry(1, 1, ESTABLISHED, false);

	(void)state;
	scene.cluster = cluster_new(1, 3);
	begin("A director drains, and is told to take traffic again.");
	happens("d1 drains, and its last entry does not reach d3");
	cluster_hole(scene.cluster, 0, 2, true);
	cluster_carry(scene.cluster, 0, &entry);
	cluster_tell(scene.cluster, 0, (struct node_event){.type = NODE_DRAIN, .ok = true});
	cluster_run(scene.cluster, 500 * MS);
	happens("it reaches d3");
	cluster_hole(scene.cluster, 0, 2, false);
	cluster_run(scene.cluster, S);
	happens("d1 is to take traffic again");
	cluster_tell(scene.cluster, 0, (struct node_event){.type = NODE_DRAIN, .ok = false});
	cluster_run(scene.cluster, S);
	end("drain");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_death),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_drain),
	};

	cmocka_set_test_filter(getenv("TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
