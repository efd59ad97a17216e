#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/session/replay.h"

#define SPAN 6000

/* Takes it if it may be taken. */
static int take(struct replay_window *window, uint64_t epoch, uint64_t sequence)
{
	int r = replay_window_check(window, epoch, sequence);

	if (r == 0)
		replay_window_commit(window, epoch, sequence);
	return r;
}

static void test_once_each(void **state)
{
	struct replay_window window = {0};

	(void)state;
	for (uint64_t i = 0; i < SPAN; i++) {
		assert_int_equal(take(&window, 1, i), 0);
		assert_int_equal(take(&window, 1, i), REPLAY_E_REPEATED);
	}
	assert_int_equal(take(&window, 1, 0), REPLAY_E_STALE);
}

static void test_checking_moves_nothing(void **state)
{
	struct replay_window window = {0}, before;

	(void)state;
	assert_int_equal(take(&window, 5, 100), 0);
	before = window;
	assert_int_equal(replay_window_check(&window, 9, UINT64_MAX), 0);
	assert_int_equal(replay_window_check(&window, 5, 200), 0);
	assert_memory_equal(&window, &before, sizeof(window));
	assert_int_equal(take(&window, 5, 99), 0);
}

static void test_window_edges(void **state)
{
	struct replay_window window = {0};
	uint64_t top = (uint64_t)1 << 40;

	(void)state;
	/* The least that is promised, and the most. */
	assert_int_equal(take(&window, 1, top), 0);
	assert_int_equal(take(&window, 1, top - (REPLAY_WINDOW - 64)), 0);
	assert_int_equal(take(&window, 1, top - (REPLAY_WINDOW - 63)), REPLAY_E_STALE);
	assert_int_equal(take(&window, 1, top + 63), 0);
	assert_int_equal(take(&window, 1, top + 63 - (REPLAY_WINDOW - 1)), REPLAY_E_REPEATED);
	assert_int_equal(take(&window, 1, top + 63 - REPLAY_WINDOW), REPLAY_E_STALE);
}

static void test_epochs(void **state)
{
	struct replay_window window = {0};

	(void)state;
	assert_int_equal(take(&window, 7, UINT64_MAX), 0);
	assert_int_equal(take(&window, 6, UINT64_MAX), REPLAY_E_STALE);
	assert_int_equal(take(&window, 8, 0), 0);
	assert_int_equal(take(&window, 7, UINT64_MAX - 1), REPLAY_E_STALE);
	assert_int_equal(take(&window, 8, 0), REPLAY_E_REPEATED);
	assert_int_equal(take(&window, 8, UINT64_MAX), 0);
	assert_int_equal(take(&window, 8, UINT64_MAX), REPLAY_E_REPEATED);
	assert_int_equal(take(&window, 8, 1), REPLAY_E_STALE);
}

/* Against the plain statement of the rule: no packet twice, and none within the window lost. */
static void test_any_order(void **state)
{
	static bool seen[SPAN + 3000];
	struct replay_window window = {0};
	uint64_t highest = 0, base = 0;
	unsigned short seed[3] = {1, 2, 3};

	(void)state;
	while (base < SPAN) {
		uint64_t sequence = base + (uint64_t)nrand48(seed) % 2500;
		int r = take(&window, 1, sequence);

		assert_false(r == 0 && seen[sequence]);
		if (!seen[sequence] && sequence + REPLAY_WINDOW - 64 >= highest)
			assert_int_equal(r, 0);
		if (r == 0)
			seen[sequence] = true;
		highest = MAX(highest, r == 0 ? sequence : 0);
		base += (uint64_t)nrand48(seed) % 8 == 0;
	}
}

/* A closed window takes no old packet any more, and refuses no new one, in any order. */
static void test_closed(void **state)
{
	static const uint64_t highest[] = {0, 1, 62, 63, 64, 100, 4095, 4096};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(highest); i++) {
		struct replay_window window = {0};

		assert_int_equal(take(&window, 5, highest[i]), 0);
		replay_window_close(&window);
		for (uint64_t back = 0; back <= MIN(highest[i], (uint64_t)900); back++)
			assert_int_equal(take(&window, 5, highest[i] - back), REPLAY_E_REPEATED);
		for (uint64_t ahead = 70; ahead > 0; ahead--)
			assert_int_equal(take(&window, 5, highest[i] + ahead), 0);
	}
}

static void test_error_names(void **state)
{
	(void)state;
	assert_string_equal(replay_error_name(REPLAY_E_STALE), "stale");
	assert_string_equal(replay_error_name(REPLAY_E_REPEATED), "replayed");
	assert_string_equal(replay_error_name(0), "unknown");
	assert_string_equal(replay_error_name(REPLAY_E_MAX), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_once_each),    cmocka_unit_test(test_checking_moves_nothing),
		cmocka_unit_test(test_window_edges), cmocka_unit_test(test_epochs),
		cmocka_unit_test(test_any_order),    cmocka_unit_test(test_closed),
		cmocka_unit_test(test_error_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
