/* The work that other directors may cause here, on the test's own clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/node/account.h"

#define ONE 1
#define OTHER 2

static int setup(void **state)
{
	return account_new((struct accounts **)state);
}

static int teardown(void **state)
{
	account_free(*state);
	return 0;
}

/* Works for the director whenever its account allows, a millisecond at a time, until `until`.
 * Returns how long in all. */
static usec_t work(struct accounts *accounts, uint64_t id, usec_t *now, usec_t until)
{
	usec_t worked = 0, over;

	while (*now < until) {
		over = account_over(accounts, id, *now);
		if (over) {
			assert_in_range(over, *now + 1, *now + ACCOUNT_DEBT);
			*now = over;
			continue;
		}
		*now += USEC_PER_MSEC;
		worked += USEC_PER_MSEC;
		account_charge(accounts, id, USEC_PER_MSEC, *now);
	}
	return worked;
}

/* At full speed for a join of a full table, then its share; after a pause all of it again. */
static void test_share(void **state)
{
	const usec_t second = USEC_PER_SEC, minute = 60 * second;
	usec_t now = 1000 * second, began = now, burst;

	burst = ACCOUNT_BURST * ACCOUNT_SHARE / (ACCOUNT_SHARE - 1);
	assert_int_equal(work(*state, ONE, &now, began + ACCOUNT_BURST), ACCOUNT_BURST);
	assert_int_equal(account_over_last(*state, ONE), 0);
	assert_in_range(work(*state, ONE, &now, began + burst + minute),
			burst - ACCOUNT_BURST + minute / ACCOUNT_SHARE - second / 10,
			burst - ACCOUNT_BURST + minute / ACCOUNT_SHARE + second / 10);
	assert_in_range(account_over_last(*state, ONE), now - second, now);
	now += ACCOUNT_BURST * ACCOUNT_SHARE + second;
	began = now;
	assert_int_equal(account_any_over(*state, now), 0);
	assert_int_equal(work(*state, ONE, &now, began + ACCOUNT_BURST), ACCOUNT_BURST);
}

/* One director's use takes no budget from another. */
static void test_apart(void **state)
{
	usec_t now = 1000 * USEC_PER_SEC;

	account_charge(*state, ONE, ACCOUNT_BURST + 1000, now);
	assert_int_equal(account_over(*state, ONE, now), now + 1000 * ACCOUNT_SHARE);
	assert_int_equal(account_any_over(*state, now), now + 1000 * ACCOUNT_SHARE);
	assert_int_equal(account_over(*state, OTHER, now), 0);
	account_charge(*state, OTHER, ACCOUNT_BURST - 1, now);
	assert_int_equal(account_over(*state, OTHER, now), 0);
	assert_int_equal(account_over(*state, ONE, now + 1000 * ACCOUNT_SHARE), 0);
}

/* However much a single event took, its director is heard again before it is given up. */
static void test_debt(void **state)
{
	usec_t now = 1000 * USEC_PER_SEC;

	account_charge(*state, ONE, 1000 * USEC_PER_SEC, now);
	assert_int_equal(account_over(*state, ONE, now), now + ACCOUNT_DEBT);
}

/* However many others there are, one that has used up its share is not forgotten. */
static void test_crowd(void **state)
{
	usec_t now = 1000 * USEC_PER_SEC;

	account_charge(*state, ONE, ACCOUNT_BURST + USEC_PER_SEC / 10, now);
	for (uint64_t id = 2; id < 100000; id++)
		account_charge(*state, id, USEC_PER_MSEC, now);
	assert_int_not_equal(account_over(*state, ONE, now), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_share, setup, teardown),
		cmocka_unit_test_setup_teardown(test_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_debt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crowd, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
