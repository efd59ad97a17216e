#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "proto/epoch.h"
#include "proto/state_file.h"
#include "tests/scratch.h"

#define WALL ((usec_t)1800000000 * USEC_PER_SEC)

static int set_up(void **state)
{
	static struct scratch scratch;

	scratch_init(&scratch);
	*state = &scratch;
	return 0;
}

static int tear_down(void **state)
{
	scratch_fini(*state);
	return 0;
}

static void test_rises(void **state)
{
	struct scratch *scratch = *state;
	char text[64];
	struct fault fault;
	uint64_t first, epoch;
	size_t len;

	assert_int_equal(epoch_taken(scratch->dir), 0);
	assert_int_equal(epoch_next(scratch->dir, WALL, &first, &fault), 0);
	assert_int_equal(first, 1800000001);
	assert_in_range(epoch_taken(scratch->dir) / USEC_PER_SEC, time(NULL) - 2, time(NULL));
	assert_int_equal(epoch_returned(scratch->dir), 0);
	assert_int_equal(epoch_set_returned(scratch->dir, WALL + 1234), 0);
	assert_int_equal(epoch_returned(scratch->dir), WALL + 1234);
	assert_int_equal(epoch_set_returned(scratch->dir, 2 * WALL), 0);
	assert_int_equal(epoch_returned(scratch->dir), 2 * WALL);
	assert_int_equal(epoch_set_returned("/nowhere", WALL), -ENOENT);
	/* Even with a clock that went back. */
	for (uint64_t i = 1; i < 5; i++) {
		assert_int_equal(epoch_next(scratch->dir, 0, &epoch, &fault), 0);
		assert_int_equal(epoch, first + i);
	}
	len = scratch_read(scratch, "epoch", text, sizeof(text));
	assert_int_equal(state_file_check((uint8_t *)text, len, &len), 0);
	assert_int_equal(epoch_parse(text, len, &epoch), 0);
	assert_int_equal(epoch, first + 4);
	assert_int_not_equal(access(scratch_path(scratch, "epoch.new"), F_OK), 0);
}

static void test_makes_directory(void **state)
{
	struct scratch *scratch = *state;
	struct fault fault;
	uint64_t epoch;

	assert_int_equal(epoch_next(scratch_path(scratch, "state"), 0, &epoch, &fault), 0);
	assert_int_equal(epoch, 1);
}

static void test_left_by_a_crash(void **state)
{
	struct scratch *scratch = *state;
	struct fault fault;
	uint64_t epoch;

	scratch_write(scratch, "epoch", "41\n", 3);
	scratch_write(scratch, "epoch.new", "4", 1);
	assert_int_equal(epoch_next(scratch->dir, WALL, &epoch, &fault), 0);
	assert_int_equal(epoch, 42);
}

static void test_damaged(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"41",
		"0\n",
		"041\n",
		"-1\n",
		"4 1\n",
		"41\n\n",
		"18446744073709551615\n",
		"18446744073709551616\n",
		"99999999999999999999\n",
		"1111111111111111111111111111\n",
	};
	struct scratch *scratch = *state;
	char text[64];
	struct fault fault;
	uint64_t epoch = 7;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		scratch_write(scratch, "epoch", texts[i], strlen(texts[i]));
		assert_int_equal(epoch_next(scratch->dir, WALL, &epoch, &fault), -EBADMSG);
		assert_non_null(strstr(fault.text, scratch_path(scratch, "epoch is damaged")));
		assert_non_null(strstr(fault.text, "remove it"));
		assert_int_equal(scratch_read(scratch, "epoch", text, sizeof(text)),
				 strlen(texts[i]));
	}
	assert_int_equal(epoch, 7);
}

static void test_raise(void **state)
{
	struct scratch *scratch = *state;
	struct fault fault;
	uint64_t epoch = 0;

	assert_int_equal(epoch_raise(scratch->dir, 50, &fault), 0);
	assert_int_equal(epoch_next(scratch->dir, WALL, &epoch, &fault), 0);
	assert_int_equal(epoch, 50);
	assert_int_equal(epoch_raise(scratch->dir, 51, &fault), 0);
	assert_int_equal(epoch_raise(scratch->dir, 7, &fault), 0);
	assert_int_equal(epoch_next(scratch->dir, WALL, &epoch, &fault), 0);
	assert_int_equal(epoch, 51);
	scratch_write(scratch, "epoch", "x", 1);
	assert_int_equal(epoch_raise(scratch->dir, 100, &fault), -EBADMSG);
	assert_non_null(strstr(fault.text, "epoch is damaged"));
}

static void test_cannot_write(void **state)
{
	struct scratch *scratch = *state;
	struct fault fault;
	uint64_t epoch = 7;

	scratch_write(scratch, "file", "", 0);
	assert_int_equal(epoch_next(scratch_path(scratch, "file"), WALL, &epoch, &fault), -ENOTDIR);
	assert_non_null(strstr(fault.text, "file/epoch: Not a directory"));
	assert_int_equal(epoch_next(scratch_path(scratch, "no/dir"), WALL, &epoch, &fault),
			 -ENOENT);
	assert_non_null(strstr(fault.text, "no/dir"));
	assert_int_equal(mkdir(scratch_path(scratch, "epoch"), 0700), 0);
	assert_int_equal(epoch_next(scratch->dir, WALL, &epoch, &fault), -EINVAL);
	assert_non_null(strstr(fault.text, "not a regular file"));
	assert_int_equal(mkdir(scratch_path(scratch, "blocked"), 0700), 0);
	assert_int_equal(mkdir(scratch_path(scratch, "blocked/epoch.new"), 0700), 0);
	assert_true(epoch_next(scratch_path(scratch, "blocked"), WALL, &epoch, &fault) < 0);
	assert_non_null(strstr(fault.text, "epoch.new"));
	assert_int_equal(epoch, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rises, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_makes_directory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_left_by_a_crash, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_raise, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cannot_write, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
