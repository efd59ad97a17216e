/* Rules of PROTOCOL.md that no story needs, one by one; tests/sim/mutate takes each out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/membership_sim.h"

#define MS USEC_PER_MSEC
#define S USEC_PER_SEC

static struct sim *cluster(uint64_t seed, unsigned int all, unsigned int count)
{
	return sim_new_whole((struct sim_options){.seed = seed, .count = all}, count, 6 * S);
}

static void finish(struct sim *sim)
{
	if (sim_broken(sim))
		fail_msg("%s", sim_broken(sim));
	sim_free(sim);
}

static void test_a_lease_has_an_end(void **state)
{
	struct sim *sim = cluster(1, 3, 3);

	(void)state;
	sim_event(sim, 2,
		  (struct membership_event){.type = MEMBERSHIP_ABSENCE, .lease = 10 * 3600 * S});
	sim_run(sim, S);
	sim_crash(sim, 2, true);
	sim_run(sim, 3500 * S);
	assert_int_equal(sim_state(sim, 0, 2), STATE_AWAY);
	sim_run(sim, 160 * S);
	assert_int_equal(sim_state(sim, 0, 2), STATE_FAILED);
	finish(sim);
}

/* Between the words leaving and left. */
static void test_silence_after_leaving(void **state)
{
	struct sim *sim = cluster(2, 3, 3);

	(void)state;
	sim_event(sim, 2, (struct membership_event){.type = MEMBERSHIP_LEAVE});
	sim_run(sim, 50 * MS);
	sim_crash(sim, 2, true);
	sim_run(sim, 20 * S);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(sim_state(sim, i, 2), STATE_GONE);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_FAILED, 2, 0), 0);
	finish(sim);
}

static unsigned int worst_health(struct sim *sim, unsigned int n, usec_t time)
{
	struct membership_status status;
	unsigned int worst = 0;

	for (usec_t end = sim_now(sim) + time; sim_now(sim) < end;) {
		sim_run(sim, 20 * MS);
		membership_status(sim_core(sim, n), &status);
		worst = MAX(worst, status.health);
	}
	return worst;
}

/* Helpers that nack say that it is not our own network. */
static void test_nacks_and_health(void **state)
{
	struct sim *sim = cluster(3, 8, 8);

	(void)state;
	sim_crash(sim, 7, true);
	assert_int_equal(worst_health(sim, 0, 6 * S), 0);
	assert_int_equal(sim_state(sim, 0, 7), STATE_FAILED);
	sim_partition(sim, 1, true);
	assert_true(worst_health(sim, 0, 2 * S) > 0);
	finish(sim);
}

static void test_expired_certificates(void **state)
{
	struct sim *sim = cluster(4, 3, 3);
	uint64_t before = sim_counter(sim, 0, "expired");

	(void)state;
	sim_clock(sim, 0, 31 * 86400 * (int64_t)S);
	sim_run(sim, 5 * S);
	assert_true(sim_counter(sim, 0, "expired") > before);
	finish(sim);
}

/* No gossip tells of it: only the sums show that a member has another certificate than the known
 * one. */
static void test_sums_cover_certificates(void **state)
{
	struct sim *sim = cluster(5, 3, 3);
	const struct certificate *want;
	struct member_info info;

	(void)state;
	sim_certify(sim, 2, 2, 1000);
	want = &sim_identity(sim, 2)->certificate;
	sim_run(sim, 8 * S);
	for (unsigned int i = 0; i < 2; i++) {
		assert_true(membership_find(sim_core(sim, i), sim_id(sim, 2), &info));
		assert_int_equal(info.certificate_len, want->len);
		assert_memory_equal(info.certificate, want->bytes, want->len);
	}
	finish(sim);
}

static bool lost_quorum(struct sim *sim, void *arg)
{
	(void)arg;
	return sim_count(sim, 0, MEMBERSHIP_QUORUM_LOST, -1, 0) > 0;
}

static bool knows_that_it_is_alone(struct sim *sim, void *arg)
{
	struct membership_status status;

	(void)arg;
	membership_status(sim_core(sim, 0), &status);
	return status.view == 1;
}

/* A member that hears from no other does not probe them one after the other. */
static void test_cut_off_alone(void **state)
{
	static const unsigned int counts[] = {3, 5, 8, 16, 32};

	(void)state;
	for (unsigned int c = 0; c < ARRAY_SIZE(counts); c++) {
		struct sim *sim = cluster(20 + c, counts[c], counts[c]);
		usec_t start = sim_now(sim);

		sim_partition(sim, 1, true);
		assert_true(sim_until(sim, lost_quorum, NULL, 6 * S));
		assert_true(sim_until(sim, knows_that_it_is_alone, NULL, 6 * S));
		print_message("one of %u cut off: alone after %llu ms\n", counts[c],
			      (unsigned long long)((sim_now(sim) - start) / MS));
		assert_true(sim_now(sim) - start < 6 * S);
		finish(sim);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_lease_has_an_end),
		cmocka_unit_test(test_silence_after_leaving),
		cmocka_unit_test(test_nacks_and_health),
		cmocka_unit_test(test_expired_certificates),
		cmocka_unit_test(test_sums_cover_certificates),
		cmocka_unit_test(test_cut_off_alone),
	};

	cmocka_set_test_filter(getenv("TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
