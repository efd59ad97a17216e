/* A member that is gone stays gone, even if others were away meanwhile, and is forgotten in the
 * end; a member that comes back under another certificate is one member. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/membership_sim.h"

#define MS USEC_PER_MSEC
#define S USEC_PER_SEC
#define HOUR (3600 * S)
#define ALL 8

/* All of them; the first count are started, and join through the first. */
static struct sim *cluster(uint64_t seed, unsigned int all, unsigned int count)
{
	return sim_new_whole((struct sim_options){.seed = seed, .count = all}, count, 12 * S);
}

static void finish(struct sim *sim)
{
	if (sim_broken(sim))
		fail_msg("%s", sim_broken(sim));
	sim_free(sim);
}

static unsigned int roster(struct sim *sim, unsigned int n)
{
	struct membership_status status;

	membership_status(sim_core(sim, n), &status);
	return status.roster;
}

static void leave(struct sim *sim, unsigned int n)
{
	sim_event(sim, n, (struct membership_event){.type = MEMBERSHIP_LEAVE});
	sim_run(sim, S);
	sim_crash(sim, n, false);
}

/* It dies, and an operator takes it off the roster. */
static void removed(struct sim *sim, unsigned int at, unsigned int n)
{
	sim_crash(sim, n, true);
	sim_run(sim, 75 * S);
	sim_event(sim, at,
		  (struct membership_event){.type = MEMBERSHIP_REMOVE, .member = sim_id(sim, n)});
	sim_run(sim, 5 * S);
}

/* Counts the seconds, of so many, in which a running member shows it, and not as gone. */
static unsigned int haunted(struct sim *sim, unsigned int n, unsigned int seconds)
{
	unsigned int count = 0;

	while (seconds-- > 0) {
		bool seen = false;

		sim_run(sim, S);
		for (unsigned int i = 0; i < ALL; i++)
			if (i != n && sim_up(sim, i) && sim_state(sim, i, n) < STATE_GONE)
				seen = true;
		count += seen;
	}
	return count;
}

static bool forgotten(struct sim *sim, void *arg)
{
	unsigned int n = *(unsigned int *)arg;

	for (unsigned int i = 0; i < ALL; i++)
		if (i != n && sim_up(sim, i) && sim_state(sim, i, n) != STATE_MAX)
			return false;
	return true;
}

static void test_who_left_while_one_was_off(void **state)
{
	struct sim *sim = cluster(1, ALL, 4);
	unsigned int left = 3;

	(void)state;
	sim_crash(sim, 2, true);
	sim_run(sim, 30 * S);
	leave(sim, left);
	sim_run(sim, 2 * HOUR);
	/* The others restart while it is away. */
	for (unsigned int i = 0; i < 2; i++) {
		sim_crash(sim, i, false);
		sim_start(sim, i, SIM_KEEP, i ? 1 : 2);
		sim_run(sim, HOUR);
	}
	assert_int_equal(sim_state(sim, 0, left), STATE_GONE);
	sim_start(sim, 2, SIM_KEEP, 1);
	assert_true(sim_until(sim, sim_whole, NULL, 10 * S));
	sim_run(sim, 60 * S);
	assert_int_equal(haunted(sim, left, 600), 0);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(roster(sim, i), 3);
	assert_true(sim_until(sim, forgotten, &left, 3 * HOUR));
	assert_int_equal(haunted(sim, left, 600), 0);
	finish(sim);
}

static void test_who_was_removed_while_one_was_off(void **state)
{
	struct sim *sim = cluster(2, ALL, 4);

	(void)state;
	sim_crash(sim, 2, true);
	sim_run(sim, 30 * S);
	removed(sim, 0, 3);
	/* The director that removed it is not there either by then. */
	leave(sim, 0);
	sim_run(sim, 2 * HOUR);
	sim_start(sim, 2, SIM_KEEP, 2);
	sim_run(sim, 30 * S);
	assert_int_equal(haunted(sim, 3, 600), 0);
	assert_int_equal(roster(sim, 1), 2);
	assert_int_equal(roster(sim, 2), 2);
	finish(sim);
}

static void test_a_newcomer_and_a_removed_one(void **state)
{
	struct sim *sim = cluster(4, ALL, 5);

	(void)state;
	removed(sim, 0, 4);
	assert_int_equal(roster(sim, 2), 4);
	sim_start(sim, 5, SIM_KEEP, 1);
	assert_true(sim_until(sim, sim_whole, NULL, 10 * S));
	assert_int_equal(sim_state(sim, 5, 4), STATE_MAX);
	assert_int_equal(haunted(sim, 4, 1800), 0);
	assert_int_equal(sim_state(sim, 5, 4), STATE_MAX);
	finish(sim);
}

/* Restarts do not make it younger than an hour for ever, nor does one director tell it to another
 * again. */
static void test_a_tombstone_ends(void **state)
{
	struct sim *sim = cluster(2, ALL, 5);
	unsigned int left = 4;

	(void)state;
	leave(sim, left);
	for (unsigned int i = 0; i < 12; i++) {
		sim_run(sim, HOUR / 2);
		assert_true(i > 0 || sim_state(sim, 0, left) == STATE_GONE);
		sim_crash(sim, 1 + i % 3, false);
		sim_run(sim, 300 * MS);
		sim_start(sim, 1 + i % 3, SIM_KEEP, 1);
	}
	assert_true(sim_until(sim, forgotten, &left, 2 * HOUR));
	assert_int_equal(haunted(sim, left, 600), 0);
	finish(sim);
}

/* A removed member still has its roster: it would bring back members that others forgot
 * meanwhile. */
static void test_who_was_removed_returns(void **state)
{
	struct sim *sim = cluster(5, ALL, 5);

	(void)state;
	removed(sim, 0, 4);
	leave(sim, 3);
	sim_run(sim, 4 * HOUR);
	sim_start(sim, 4, SIM_KEEP, 1);
	assert_true(sim_until(sim, sim_whole, NULL, 10 * S));
	sim_run(sim, 60 * S);
	assert_int_equal(haunted(sim, 3, 600), 0);
	for (unsigned int i = 0; i < 5; i++)
		assert_true(i == 3 || roster(sim, i) == 4);
	finish(sim);
}

/* A member that left has thrown its roster away. */
static void test_who_left_returns(void **state)
{
	struct sim *sim = cluster(6, ALL, 5);
	unsigned int left = 3;

	(void)state;
	leave(sim, 4);
	leave(sim, left);
	assert_true(sim_until(sim, forgotten, &left, 3 * HOUR));
	sim_start(sim, 4, SIM_KEEP, 1);
	assert_true(sim_until(sim, sim_whole, NULL, 10 * S));
	assert_int_equal(haunted(sim, left, 600), 0);
	assert_int_equal(roster(sim, 4), 4);
	finish(sim);
}

/* A tombstone whose certificate has expired is of no use any more. */
static void test_an_expired_one_ends(void **state)
{
	struct sim *sim = cluster(7, ALL, 3);
	unsigned int gone = 2;

	(void)state;
	removed(sim, 0, gone);
	sim_run(sim, 3 * HOUR);
	assert_int_equal(sim_state(sim, 0, gone), STATE_GONE);
	for (unsigned int i = 0; i < 2; i++)
		sim_clock(sim, i, 31 * 86400 * (int64_t)S);
	sim_run(sim, 130 * S);
	assert_int_equal(sim_state(sim, 0, gone), STATE_MAX);
	finish(sim);
}

static bool has_certificate(struct sim *sim, unsigned int at, unsigned int of)
{
	const struct certificate *want = &sim_identity(sim, of)->certificate;
	struct member_info info;

	return membership_find(sim_core(sim, at), sim_id(sim, of), &info) &&
	       info.certificate_len == want->len &&
	       memcmp(info.certificate, want->bytes, want->len) == 0;
}

/* arg: how many there are. The third is the one that has a new one. */
static bool all_have_certificate(struct sim *sim, void *arg)
{
	for (unsigned int i = 0; i < *(unsigned int *)arg; i++)
		if (i != 2 && !has_certificate(sim, i, 2))
			return false;
	return true;
}

static void renew(struct sim *sim)
{
	sim_event(sim, 2, (struct membership_event){.type = MEMBERSHIP_ABSENCE, .lease = 30 * S});
	sim_run(sim, 500 * MS);
	sim_crash(sim, 2, false);
	sim_certify(sim, 2, 2, 1000);
	sim_start(sim, 2, SIM_KEEP, 2);
	assert_true(sim_until(sim, sim_whole, NULL, 5 * S));
}

/* A renewed certificate spreads by gossip: to members without a stream to its director, too, and at
 * once. */
static void test_a_renewed_certificate_spreads(void **state)
{
	static const unsigned int counts[] = {3, 32};

	(void)state;
	for (unsigned int c = 0; c < ARRAY_SIZE(counts); c++) {
		unsigned int count = counts[c];
		struct sim *sim = cluster(30 + c, count, count);

		sim_cut(sim, 0, 2, SIM_TCP, 2, true);
		sim_cut(sim, 2, 0, SIM_TCP, 2, true);
		renew(sim);
		assert_true(sim_until(sim, all_have_certificate, &count, S));
		finish(sim);
	}
}

/* New keys, one after the other, each in the state directory of its former self: three are three.
 */
static void test_new_keys_under_old_names(void **state)
{
	struct sim *sim = cluster(8, ALL, 3);
	struct membership_status status;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		sim_event(sim, i,
			  (struct membership_event){.type = MEMBERSHIP_ABSENCE, .lease = 5 * S});
		sim_run(sim, 500 * MS);
		sim_crash(sim, i, false);
		sim_certify(sim, 3 + i, i, 1000 + i);
		sim_inherit(sim, 3 + i, i);
		sim_start(sim, 3 + i, SIM_KEEP, i ? 8 : 2);
		assert_true(sim_until(sim, sim_whole, NULL, 10 * S));
		sim_run(sim, 10 * S);
	}
	for (unsigned int i = 3; i < 6; i++)
		assert_int_equal(roster(sim, i), 3);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(haunted(sim, i, 300), 0);
	sim_crash(sim, 5, true);
	sim_run(sim, 30 * S);
	for (unsigned int i = 3; i < 5; i++) {
		membership_status(sim_core(sim, i), &status);
		assert_int_equal(status.quorum, QUORUM_MAJORITY);
	}
	finish(sim);
}

/* The former one crashes, and one with its name is started elsewhere. */
static void test_a_crashed_one_is_replaced(void **state)
{
	struct sim *sim = cluster(9, ALL, 3);

	(void)state;
	sim_crash(sim, 2, true);
	sim_certify(sim, 3, 2, 1000);
	sim_run(sim, 5 * S);
	assert_int_equal(sim_state(sim, 0, 2), STATE_FAILED);
	sim_start(sim, 3, SIM_KEEP, 1);
	sim_run(sim, 100 * MS);
	assert_int_equal(sim_state(sim, 0, 3), STATE_ALIVE);
	assert_int_equal(sim_state(sim, 0, 2), STATE_GONE);
	/* The newcomer has heard of it, for a minute. */
	sim_run(sim, 75 * S);
	for (unsigned int i = 0; i < 4; i++)
		assert_true(i == 2 || roster(sim, i) == 3);
	assert_int_equal(haunted(sim, 2, 600), 0);
	finish(sim);
}

/* Both answer: both are members. The older identity does not supersede the younger. */
static void test_two_of_one_name_that_answer(void **state)
{
	struct sim *sim = cluster(10, ALL, 3);

	(void)state;
	sim_certify(sim, 3, 2, 1000);
	sim_start(sim, 3, SIM_KEEP, 1);
	assert_true(sim_until(sim, sim_whole, NULL, 10 * S));
	sim_run(sim, 60 * S);
	assert_int_equal(roster(sim, 0), 4);
	sim_crash(sim, 3, true);
	sim_run(sim, 60 * S);
	assert_int_equal(roster(sim, 0), 4);
	assert_int_equal(sim_state(sim, 0, 3), STATE_FAILED);
	/* The other way round it does. */
	sim_start(sim, 3, SIM_KEEP, 1);
	sim_run(sim, 30 * S);
	sim_crash(sim, 2, true);
	sim_run(sim, 60 * S);
	assert_int_equal(roster(sim, 0), 3);
	assert_int_equal(sim_state(sim, 0, 2), STATE_GONE);
	finish(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_left_while_one_was_off),
		cmocka_unit_test(test_who_was_removed_while_one_was_off),
		cmocka_unit_test(test_a_newcomer_and_a_removed_one),
		cmocka_unit_test(test_a_tombstone_ends),
		cmocka_unit_test(test_who_was_removed_returns),
		cmocka_unit_test(test_who_left_returns),
		cmocka_unit_test(test_an_expired_one_ends),
		cmocka_unit_test(test_a_renewed_certificate_spreads),
		cmocka_unit_test(test_new_keys_under_old_names),
		cmocka_unit_test(test_a_crashed_one_is_replaced),
		cmocka_unit_test(test_two_of_one_name_that_answer),
	};

	cmocka_set_test_filter(getenv("TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
