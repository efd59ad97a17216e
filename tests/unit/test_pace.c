#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "director/tap/pace.h"

#define CAPACITY 425984u

static unsigned int fill(struct pace *pace, size_t len)
{
	unsigned int n = 0;

	while (pace_allows(pace, len)) {
		pace_wrote(pace, len);
		n++;
	}
	return n;
}

static void test_window(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, CAPACITY, 0);
	assert_false(pace_waiting(&pace));
	assert_in_range(fill(&pace, 9188), 15, 25);
	assert_true(pace_waiting(&pace));
	assert_int_equal(pace_observe(&pace, 9000, 0, 1), PACE_PENDING);
	assert_false(pace_allows(&pace, 9188));
	assert_int_equal(pace_observe(&pace, 0, 0, 2), PACE_CONFIRMED);
	assert_false(pace_waiting(&pace));
	assert_true(pace_allows(&pace, 9188));
	/* No message under way: none to confirm. */
	assert_int_equal(pace_observe(&pace, 0, 0, 3), PACE_PENDING);
}

static void test_small_ones_count_too(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, CAPACITY, 0);
	/* 44 bytes take some 700 of the kernel's. */
	assert_in_range(fill(&pace, 44), 100, CAPACITY / 700);
}

static void test_one_always_goes(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, 2304, 0);
	assert_true(pace_allows(&pace, 60000));
	assert_int_equal(fill(&pace, 60000), 1);
}

static void test_lost(void **state)
{
	struct pace pace;
	unsigned int before, after;

	(void)state;
	pace_init(&pace, CAPACITY, UINT32_MAX);
	before = fill(&pace, 9188);
	/* The counter wraps: 3 drops. */
	assert_int_equal(pace_observe(&pace, 5000, 2, 1), PACE_LOST);
	assert_int_equal(pace.lost, 3);
	/* Messages still queued take up room until they are gone. */
	assert_true(pace_waiting(&pace));
	after = fill(&pace, 9188);
	assert_in_range(after, 1, before / 2);
	/* Those drops are known now. */
	assert_int_equal(pace_observe(&pace, 0, 2, 2), PACE_CONFIRMED);
	for (unsigned int i = 0; i < 40; i++) {
		fill(&pace, 9188);
		assert_int_equal(pace_observe(&pace, 0, 2, 3 + i), PACE_CONFIRMED);
	}
	assert_int_equal(fill(&pace, 9188), before);
}

static void test_lost_again_and_again(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, CAPACITY, 0);
	for (uint32_t i = 1; i < 100; i++) {
		pace_wrote(&pace, 100);
		assert_int_equal(pace_observe(&pace, 0, i, i), PACE_LOST);
	}
	assert_true(pace_allows(&pace, 9188));
}

static void test_drops_of_nobody(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, CAPACITY, 0);
	assert_int_equal(pace_observe(&pace, 0, 5, 1), PACE_PENDING);
	pace_wrote(&pace, 100);
	assert_int_equal(pace_observe(&pace, 0, 5, 2), PACE_CONFIRMED);
	assert_int_equal(pace.lost, 5);
}

static void test_new_socket(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, CAPACITY, 40);
	pace_wrote(&pace, 100);
	/* Another process started the thread anew. */
	assert_int_equal(pace_observe(&pace, 0, 0, 1), PACE_LOST);
	assert_int_equal(pace.lost, 0);
	assert_false(pace_waiting(&pace));
	pace_wrote(&pace, 100);
	assert_int_equal(pace_observe(&pace, 0, 2, 2), PACE_LOST);
	assert_int_equal(pace.lost, 2);
	/* We did. */
	pace_wrote(&pace, 100);
	pace_restart(&pace, 0);
	assert_false(pace_waiting(&pace));
	pace_wrote(&pace, 100);
	assert_int_equal(pace_observe(&pace, 0, 0, 3), PACE_CONFIRMED);
}

static void test_stalled(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, CAPACITY, 0);
	pace_wrote(&pace, 100);
	assert_int_equal(pace_observe(&pace, 800, 0, 1000), PACE_PENDING);
	assert_int_equal(pace_observe(&pace, 800, 0, 1000 + PACE_STALL_AFTER - 1), PACE_PENDING);
	assert_int_equal(pace.stalled_since, 0);
	assert_int_equal(pace_observe(&pace, 800, 0, 1000 + PACE_STALL_AFTER), PACE_PENDING);
	assert_int_equal(pace.stalled_since, 1000);
	assert_int_equal(pace_observe(&pace, 0, 0, 5 * USEC_PER_SEC), PACE_CONFIRMED);
	assert_int_equal(pace.stalled_since, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_small_ones_count_too),
		cmocka_unit_test(test_one_always_goes),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_lost_again_and_again),
		cmocka_unit_test(test_drops_of_nobody),
		cmocka_unit_test(test_new_socket),
		cmocka_unit_test(test_stalled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
