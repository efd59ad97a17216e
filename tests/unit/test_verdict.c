#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "director/check/effective.h"
#include "tests/health_fixture.h"

#define U HEALTH_UP
#define D HEALTH_DOWN
#define N HEALTH_UNKNOWN

static const uint8_t key[KEY_SIZE] = "a target's key.";

/* Directors 1 to n are alive and current; votes[i] is that of director i + 1. */
static struct verdict_answer count(unsigned int checkers, unsigned int n,
				   const enum health_verdict *states, enum health_verdict view)
{
	struct health_member alive[DIRECTORS_MAX];
	struct vote votes[DIRECTORS_MAX];
	struct verdict_answer answer;

	for (unsigned int i = 0; i < n; i++) {
		alive[i] = (struct health_member){i + 1, 7, true};
		votes[i] = (struct vote){.origin = i + 1,
					 .epoch = 7,
					 .until = 100,
					 .state = states[i],
					 .view = view,
					 .since = i + 1,
					 .weight = -1};
	}
	verdict_count(&(struct verdict_question){key, 1, alive, n, checkers, votes, n, false, 50},
		      &answer);
	return answer;
}

static void test_majority(void **state)
{
	static const struct {
		unsigned int n;
		enum health_verdict votes[5], verdict;
	} cases[] = {
		{1, {D}, D},
		{1, {U}, U},
		{1, {N}, N},
		{2, {D, U}, U},
		{2, {D, D}, D},
		{2, {D, N}, N},
		{2, {U, N}, U},
		{3, {D, D, U}, D},
		{3, {D, U, U}, U},
		{3, {D, D, N}, D},
		{3, {D, N, N}, N},
		{3, {D, U, N}, N},
		{3, {U, U, N}, U},
		{3, {N, N, N}, N},
		{4, {D, D, U, U}, U},
		{4, {D, D, D, U}, D},
		{4, {D, D, U, N}, N},
		{5, {D, D, D, N, N}, D},
		{5, {D, D, U, U, N}, N},
		{5, {U, U, U, N, N}, U},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(count(0, cases[i].n, cases[i].votes, N).verdict, cases[i].verdict);
}

/* The verdict begins with the vote that made it. */
static void test_since(void **state)
{
	(void)state;
	assert_int_equal(count(0, 3, (enum health_verdict[]){D, U, D}, N).since, 3);
	assert_int_equal(count(0, 3, (enum health_verdict[]){U, U, U}, N).since, 2);
}

static void test_views(void **state)
{
	struct verdict_answer answer = count(0, 3, (enum health_verdict[]){D, U, N}, D);

	(void)state;
	assert_int_equal(answer.view, D);
	assert_true(answer.view_holds);
	answer = count(0, 3, (enum health_verdict[]){D, N, N}, D);
	assert_false(answer.view_holds);
	assert_false(answer.others_hold);
}

/* Three of nine count; each director is assigned to about a third of the targets. */
static void test_assignment(void **state)
{
	enum health_verdict states[9] = {U, U, U, U, U, U, U, U, U};
	struct health_member alive[9];
	unsigned int assigned[9] = {0};

	(void)state;
	assert_int_equal(count(3, 9, states, N).n_counted, 3);
	for (unsigned int i = 0; i < 9; i++)
		alive[i] = (struct health_member){i + 1, 7, true};
	for (unsigned int target = 0; target < 3000; target++) {
		uint8_t bytes[KEY_SIZE] = {(uint8_t)target, (uint8_t)(target >> 8)};
		unsigned int sum = 0;

		for (unsigned int i = 0; i < 9; i++) {
			struct verdict_answer answer;

			verdict_count(&(struct verdict_question){bytes, i + 1, alive, 9, 3, NULL, 0,
								 false, 50},
				      &answer);
			assigned[i] += answer.assigned;
			sum += answer.assigned;
		}
		assert_int_equal(sum, 3);
	}
	for (unsigned int i = 0; i < 9; i++)
		assert_in_range(assigned[i], 850, 1150);
}

/* Votes of an earlier boot, of a director that is not current, not alive, or too old. */
static void test_not_counted(void **state)
{
	struct health_member alive[2] = {{1, 7, true}, {2, 7, true}};
	struct vote good = {.origin = 2, .epoch = 7, .until = 100, .state = D, .weight = -1};
	struct verdict_answer answer;

	(void)state;
	for (unsigned int i = 0; i < 5; i++) {
		struct vote vote = good;

		alive[1].current = i != 1;
		vote.epoch -= i == 2;
		vote.origin += i == 3;
		vote.until -= i == 4 ? 50 : 0;
		verdict_count(&(struct verdict_question){key, 1, alive, 2, 0, &vote, 1, false, 50},
			      &answer);
		assert_int_equal(answer.n_counted, i == 0);
	}
}

static void test_fall_rise(void **state)
{
	const struct check check = health_fixture_check();
	struct fall_rise own = {0};

	(void)state;
	assert_true(fall_rise_result(&own, CHECK_DOWN, N, &check)); /* the first decides */
	assert_int_equal(own.state, D);
	own = (struct fall_rise){0};
	assert_false(fall_rise_result(&own, CHECK_DOWN, U, &check));
	assert_true(fall_rise_undecided(&own));
	assert_false(fall_rise_result(&own, CHECK_DOWN, U, &check));
	assert_false(fall_rise_result(&own, CHECK_UNCHANGED, U, &check));
	assert_true(fall_rise_result(&own, CHECK_DOWN, U, &check));
	assert_false(fall_rise_result(&own, CHECK_UP, U, &check));
	assert_false(fall_rise_result(&own, CHECK_DOWN, U, &check)); /* not in a row */
	assert_false(fall_rise_result(&own, CHECK_UP, U, &check));
	assert_true(fall_rise_result(&own, CHECK_DRAIN, U, &check));
	assert_int_equal(own.state, U);
	assert_false(fall_rise_undecided(&own));
}

/* n real servers of weight 100, the first `down` of which are down. */
static struct effective_service decide(struct effective_real *reals, size_t n, size_t down,
				       const struct health_policy *policy, bool sorry)
{
	struct effective_service service = {.policy = policy, .has_sorry = sorry};

	for (size_t i = 0; i < n; i++)
		reals[i] = (struct effective_real){.file_weight = 100,
						   .checked = true,
						   .verdict = i < down ? D : U,
						   .percent = -1};
	effective_decide(&service, reals, n, 50 * USEC_PER_SEC);
	return service;
}

static void test_policies(void **state)
{
	struct health_policy policy = health_policy_default;
	struct effective_real reals[10];
	struct effective_service service;

	(void)state;
	service = decide(reals, 10, 5, &policy, false);
	assert_false(service.panic);
	assert_int_equal(reals[0].weight, 0);
	assert_false(reals[0].removed);
	service = decide(reals, 10, 6, &policy, false);
	assert_true(service.panic);
	assert_int_equal(reals[0].weight, 100);
	assert_true(reals[0].kept);
	policy.panic_threshold = 100;
	policy.on_down = HEALTH_REMOVE;
	decide(reals, 10, 9, &policy, false);
	assert_true(reals[0].removed);
	service = decide(reals, 10, 10, &policy, false);
	assert_true(service.service_down && service.panic && !service.vip_off);
	policy.all_down = HEALTH_FAIL_CLOSED;
	service = decide(reals, 10, 10, &policy, false);
	assert_true(service.service_down && !service.panic && reals[0].removed);
	service = decide(reals, 10, 10, &policy, true);
	assert_true(service.sorry && !service.vip_off);
	policy.quorum = 3;
	policy.quorum_hysteresis = 1;
	service = decide(reals, 10, 8, &policy, false);
	assert_true(service.service_down && service.vip_off);
	reals[0].verdict = U;
	effective_decide(&service, reals, 10, 0);
	assert_true(service.vip_off); /* 3 are up, and 4 are needed */
	reals[1].verdict = U;
	effective_decide(&service, reals, 10, 0);
	assert_false(service.vip_off);
	service = decide(reals, 10, 8, &policy, true);
	assert_true(service.sorry && reals[9].weight == 0 && !reals[9].removed);
}

static void test_weights(void **state)
{
	static const struct {
		struct effective_real real;
		uint32_t weight;
	} cases[] = {
		{{.file_weight = 200, .percent = 50}, 100},
		{{.file_weight = 1, .percent = 1}, 1},
		{{.file_weight = 200, .percent = 0}, 0},
		{{.file_weight = 60000, .percent = 200}, SERVICE_WEIGHT_MAX},
		{{.file_weight = 9,
		  .percent = 50,
		  .setting = HEALTH_SET_WEIGHT,
		  .setting_weight = 7},
		 7},
		{{.file_weight = 9,
		  .checked = true,
		  .verdict = D,
		  .percent = -1,
		  .setting = HEALTH_SET_WEIGHT,
		  .setting_weight = 7},
		 0},
		{{.file_weight = 9,
		  .checked = true,
		  .verdict = D,
		  .percent = -1,
		  .setting = HEALTH_SET_UP},
		 9},
		{{.file_weight = 9, .percent = -1, .setting = HEALTH_SET_DRAIN}, 0},
		{{.file_weight = 9, .percent = -1, .setting = HEALTH_SET_MAINTENANCE}, 0},
		{{.file_weight = 100, .percent = -1, .up_since = 45 * USEC_PER_SEC}, 50},
		{{.file_weight = 100, .percent = -1, .up_since = 50 * USEC_PER_SEC}, 1},
		{{.file_weight = 100, .percent = -1, .up_since = 40 * USEC_PER_SEC}, 100},
		{{.file_weight = 100, .percent = -1, .up_since = 90 * USEC_PER_SEC}, 100},
	};
	struct health_policy policy = health_policy_default;

	(void)state;
	policy.slow_start = 10 * USEC_PER_SEC;
	policy.all_down = HEALTH_FAIL_CLOSED;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct effective_service service = {.policy = &policy};
		struct effective_real real = cases[i].real;

		effective_decide(&service, &real, 1, 50 * USEC_PER_SEC);
		assert_int_equal(real.weight, cases[i].weight);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_majority),    cmocka_unit_test(test_since),
		cmocka_unit_test(test_views),       cmocka_unit_test(test_assignment),
		cmocka_unit_test(test_not_counted), cmocka_unit_test(test_fall_rise),
		cmocka_unit_test(test_policies),    cmocka_unit_test(test_weights),
	};

	return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
