#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/checker/deadlines.h"

#define COUNT 2000

static unsigned int draw(unsigned int *seed, unsigned int below)
{
	*seed = *seed * 1103515245 + 12345;
	return (*seed >> 8) % below;
}

static void test_order(void **state)
{
	static struct deadline all[COUNT];
	struct deadlines deadlines = {0};
	unsigned int seed = 7, left = 0;
	usec_t before = 0;

	(void)state;
	assert_null(deadlines_first(&deadlines));
	for (unsigned int i = 0; i < COUNT; i++)
		assert_int_equal(deadlines_set(&deadlines, &all[i], draw(&seed, 500)), 0);
	for (unsigned int i = 0; i < COUNT; i += 3)
		assert_int_equal(deadlines_set(&deadlines, &all[i], draw(&seed, 500)), 0);
	for (unsigned int i = 0; i < COUNT; i += 5) {
		deadlines_remove(&deadlines, &all[i]);
		deadlines_remove(&deadlines, &all[i]);
	}
	for (struct deadline *first; (first = deadlines_first(&deadlines)); left++) {
		assert_true(first->at >= before);
		before = first->at;
		assert_int_not_equal((first - all) % 5, 0);
		deadlines_remove(&deadlines, first);
	}
	assert_int_equal(left, COUNT - COUNT / 5);
	deadlines_fini(&deadlines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
