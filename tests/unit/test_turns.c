#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "director/turns.h"

#define START (1000 * USEC_PER_SEC)

static void test_longest(void **state)
{
	struct turns turns = {0};
	struct turns_status status;

	(void)state;
	turns_status(&turns, START, &status);
	assert_int_equal(status.longest + status.longest_lately + status.p999_lately, 0);
	turns_add(&turns, START, 70000);
	turns_add(&turns, START + 1, 3);
	turns_status(&turns, START + 1, &status);
	assert_int_equal(status.longest, 70000);
	assert_int_equal(status.longest_lately, 70000);
	/* the longest counts as recent for one window more, and then no longer */
	turns_add(&turns, START + TURNS_WINDOW, 40);
	turns_status(&turns, START + TURNS_WINDOW, &status);
	assert_int_equal(status.longest_lately, 70000);
	turns_add(&turns, START + 2 * TURNS_WINDOW, 50);
	turns_status(&turns, START + 2 * TURNS_WINDOW, &status);
	assert_int_equal(status.longest, 70000);
	assert_int_equal(status.longest_lately, 50);
}

static void test_tail(void **state)
{
	static const usec_t tails[] = {7, 100, 999, 5000, 123456, 50 * USEC_PER_SEC};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
		struct turns turns = {0};
		struct turns_status status;

		for (unsigned int n = 0; n < 10000; n++)
			turns_add(&turns, START + n, n % 500 == 0 ? tails[i] : 2);
		turns_add(&turns, START + 10000, 90 * USEC_PER_SEC);
		turns_status(&turns, START + 10000, &status);
		assert_in_range(status.p999_lately, tails[i], MAX(tails[i] + tails[i] / 4, 8));
		assert_int_equal(status.longest, 90 * USEC_PER_SEC);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_tail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
