/* Whole clusters of membership cores in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/membership_sim.h"

#define MS USEC_PER_MSEC
#define S USEC_PER_SEC

static void fine(struct sim *sim)
{
	if (sim_broken(sim))
		fail_msg("%s", sim_broken(sim));
}

/* count members that know each other; all join through the first. */
static struct sim *cluster(uint64_t seed, unsigned int count)
{
	struct sim_options options = {.seed = seed, .count = count};
	struct sim *sim = sim_new(&options);

	if (getenv("TRACE"))
		sim_trace(sim, true);
	for (unsigned int i = 0; i < count; i++)
		sim_start(sim, i, SIM_KEEP, i ? 1 : 2);
	if (!sim_until(sim, sim_whole, NULL, 10 * S))
		fail_msg("seed %llu: %u members do not find each other", (unsigned long long)seed,
			 count);
	sim_run(sim, 6 * S);
	fine(sim);
	return sim;
}

static void finish(struct sim *sim)
{
	fine(sim);
	sim_free(sim);
}

static bool someone_failed(struct sim *sim, void *arg)
{
	return sim_count(sim, -1, MEMBERSHIP_MEMBER_FAILED, *(int *)arg, 0) > 0;
}

struct all {
	unsigned int count, n;
	enum member_state state;
};

static bool all_hold(struct sim *sim, void *arg)
{
	const struct all *all = arg;

	for (unsigned int i = 0; i < all->count; i++)
		if (i != all->n && sim_up(sim, i) && sim_state(sim, i, all->n) != all->state)
			return false;
	return true;
}

static int compare_times(const void *a, const void *b)
{
	usec_t x = *(const usec_t *)a, y = *(const usec_t *)b;

	return x < y ? -1 : x > y;
}

static void test_crash_is_found(void **state)
{
	static const unsigned int counts[] = {2, 3, 8, 32};
	enum { RUNS = 15 };
	usec_t first[RUNS], last[RUNS], crash;
	struct sim *sim;

	(void)state;
	for (unsigned int c = 0; c < ARRAY_SIZE(counts); c++) {
		for (unsigned int run = 0; run < RUNS; run++) {
			int n = (int)(run % counts[c]);
			struct all all = {counts[c], (unsigned int)n, STATE_FAILED};

			sim = cluster(100 * c + run, counts[c]);
			sim_run(sim, sim_random(sim, S));
			crash = sim_now(sim);
			sim_crash(sim, (unsigned int)n, run % 2);
			assert_true(sim_until(sim, someone_failed, &n, 10 * S));
			first[run] = sim_now(sim) - crash;
			assert_true(sim_until(sim, all_hold, &all, 10 * S));
			last[run] = sim_now(sim) - crash;
			assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_FAILED, -1, 0),
					 counts[c] - 1);
			finish(sim);
		}
		qsort(first, RUNS, sizeof(*first), compare_times);
		qsort(last, RUNS, sizeof(*last), compare_times);
		print_message("%u members: first %llu ms in the median, %llu at most; all %llu\n",
			      counts[c], (unsigned long long)(first[RUNS / 2] / MS),
			      (unsigned long long)(first[RUNS - 1] / MS),
			      (unsigned long long)(last[RUNS - 1] / MS));
		assert_true(first[RUNS / 2] <= 1500 * MS);
		assert_true(first[RUNS - 1] <= 2000 * MS);
		assert_true(last[RUNS - 1] <= 2000 * MS);
	}
}

/* A stream that ran before the crash is no proof of life after it. */
static void test_crash_right_after_a_join(void **state)
{
	struct sim_options options = {.count = 3};
	struct sim *sim;
	usec_t crash;

	(void)state;
	for (unsigned int run = 0; run < 40; run++) {
		int n = (int)(run % 3);

		options.seed = 300 + run;
		sim = sim_new(&options);
		sim_start(sim, 0, SIM_KEEP, 2);
		sim_start(sim, 1, SIM_KEEP, 1);
		sim_run(sim, 10 * S);
		sim_start(sim, 2, SIM_KEEP, 1);
		assert_true(sim_until(sim, sim_whole, NULL, 5 * S));
		sim_run(sim, sim_random(sim, 2 * S));
		crash = sim_now(sim);
		sim_crash(sim, (unsigned int)n, run % 2);
		assert_true(sim_until(sim, someone_failed, &n, 2 * S));
		if (sim_now(sim) > crash + 1500 * MS)
			fail_msg("seed %u: the crash is found after %llu ms", 300 + run,
				 (unsigned long long)((sim_now(sim) - crash) / MS));
		finish(sim);
	}
}

static void test_newcomer_is_known(void **state)
{
	static const unsigned int counts[] = {5, 20};
	struct sim_options options = {.seed = 7};
	struct sim *sim;
	usec_t start;

	(void)state;
	for (unsigned int c = 0; c < ARRAY_SIZE(counts); c++) {
		options.count = counts[c];
		sim = sim_new(&options);
		sim_trace(sim, getenv("TRACE") != NULL);
		for (unsigned int i = 0; i + 1 < counts[c]; i++)
			sim_start(sim, i, SIM_KEEP, i ? 1 : 2);
		assert_true(sim_until(sim, sim_whole, NULL, 10 * S));
		sim_run(sim, 10 * S);
		start = sim_now(sim);
		/* Any live member will do. */
		sim_start(sim, counts[c] - 1, SIM_KEEP, 4);
		assert_true(sim_until(sim, sim_whole, NULL, 10 * S));
		print_message("%u members: a new one is known to all after %llu ms\n", counts[c],
			      (unsigned long long)((sim_now(sim) - start) / MS));
		assert_true(sim_now(sim) - start <= 500 * MS);
		finish(sim);
	}
}

static void test_leave_is_no_failure(void **state)
{
	static const unsigned int counts[] = {2, 3, 8, 32};
	struct sim *sim;
	usec_t start;

	(void)state;
	for (unsigned int c = 0; c < ARRAY_SIZE(counts); c++) {
		struct all all = {counts[c], 1, STATE_GONE};

		sim = cluster(20 + c, counts[c]);
		start = sim_now(sim);
		sim_event(sim, 1, (struct membership_event){.type = MEMBERSHIP_LEAVE});
		assert_true(sim_until(sim, all_hold, &all, 5 * S));
		print_message("%u members: a leave is known to all after %llu ms\n", counts[c],
			      (unsigned long long)((sim_now(sim) - start) / MS));
		assert_true(sim_now(sim) - start <= 500 * MS);
		sim_run(sim, S);
		sim_crash(sim, 1, false);
		sim_run(sim, 20 * S);
		assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_LEFT, 1, 0), counts[c] - 1);
		assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_FAILED, -1, 0), 0);
		assert_int_equal(sim_count(sim, -1, MEMBERSHIP_QUORUM_LOST, -1, 0), 0);
		/* And comes back. */
		sim_start(sim, 1, SIM_KEEP, 1);
		assert_true(sim_until(sim, sim_whole, NULL, 5 * S));
		finish(sim);
	}
}

static void test_absence_is_excused(void **state)
{
	struct sim *sim = cluster(31, 5);
	struct membership_event absence = {.type = MEMBERSHIP_ABSENCE, .lease = 30 * S};

	(void)state;
	for (unsigned int n = 0; n < 5; n++) {
		sim_event(sim, n, absence);
		sim_run(sim, 500 * MS);
		sim_crash(sim, n, false);
		sim_run(sim, 10 * S);
		assert_int_equal(sim_state(sim, (n + 1) % 5, n), STATE_AWAY);
		sim_start(sim, n, SIM_KEEP, 0);
		assert_true(sim_until(sim, sim_whole, NULL, 5 * S));
		sim_run(sim, 2 * S);
	}
	for (enum membership_notice_type t = MEMBERSHIP_MEMBER_LEFT; t < MEMBERSHIP_SUSPECTED; t++)
		assert_int_equal(sim_count(sim, -1, t, -1, 0), 0);
	/* A member that overstays its lease is reported as failed. */
	sim_event(sim, 4, absence);
	sim_run(sim, 500 * MS);
	sim_crash(sim, 4, false);
	sim_run(sim, 29 * S);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_FAILED, 4, 0), 0);
	sim_run(sim, 2 * S);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_FAILED, 4, 0), 4);
	finish(sim);
}

/* One member's network passes no ping, but every stream. */
static void test_partly_reachable(void **state)
{
	static const unsigned int counts[] = {3, 8, 32};
	struct sim *sim;
	usec_t start, first;
	const struct sim_notice *notices;

	(void)state;
	for (unsigned int c = 0; c < ARRAY_SIZE(counts); c++) {
		sim = cluster(40 + c, counts[c]);
		sim_forget_notices(sim);
		start = sim_now(sim);
		for (unsigned int i = 0; i < counts[c]; i++) {
			sim_cut(sim, i, 2, SIM_UDP, 2, true);
			sim_cut(sim, 2, i, SIM_UDP, 2, true);
		}
		sim_run(sim, 2 * S);
		assert_true(sim_count(sim, -1, MEMBERSHIP_MEMBER_PARTIAL, 2, 0) > 0);
		sim_run(sim, 20 * S);
		for (unsigned int i = 0; i < counts[c]; i++)
			if (i != 2)
				assert_int_equal(
					sim_count(sim, (int)i, MEMBERSHIP_MEMBER_PARTIAL, 2, 0), 1);
		assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_FAILED, -1, 0), 0);
		/* The member at fault reports that once, and names no other. */
		assert_int_equal(sim_count(sim, 2, MEMBERSHIP_MEMBER_PARTIAL, -1, 0), 1);
		for (size_t i = sim_notices(sim, &notices); i-- > 0;)
			if (notices[i].at == 2)
				assert_int_equal(notices[i].notice.member, 0);
		first = 0;
		for (size_t i = sim_notices(sim, &notices); i-- > 0;)
			if (notices[i].notice.type == MEMBERSHIP_MEMBER_PARTIAL)
				first = notices[i].notice.now.mono - start;
		print_message("%u members: partly reachable is seen after %llu ms\n", counts[c],
			      (unsigned long long)(first / MS));
		sim_heal(sim);
		sim_run(sim, 10 * S);
		assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_WHOLE, -1, 0),
				 sim_count(sim, -1, MEMBERSHIP_MEMBER_PARTIAL, -1, 0));
		finish(sim);
	}
}

static uint64_t half_of(unsigned int count, unsigned int from)
{
	return ((UINT64_C(1) << (count / 2)) - 1) << from;
}

static void test_cut_heals(void **state)
{
	static const unsigned int counts[] = {2, 3, 8, 32};
	struct sim *sim;
	usec_t start;

	(void)state;
	for (unsigned int c = 0; c < ARRAY_SIZE(counts); c++) {
		for (unsigned int seed = 0; seed < 3; seed++) {
			sim = cluster(50 + c + 10 * seed, counts[c]);
			sim_partition(sim, half_of(counts[c], 0), true);
			sim_run(sim, 30 * S + sim_random(sim, S));
			assert_int_equal(sim_state(sim, 0, counts[c] - 1), STATE_FAILED);
			sim_heal(sim);
			start = sim_now(sim);
			assert_true(sim_until(sim, sim_whole, NULL, 5 * S));
			print_message("%u members: whole %llu ms after the cut is healed\n",
				      counts[c], (unsigned long long)((sim_now(sim) - start) / MS));
			assert_true(sim_now(sim) - start <= 1500 * MS);
			finish(sim);
		}
	}
}

/* Checks every member's notices of a split. */
static void check_split(struct sim *sim, unsigned int count, unsigned int confirmed,
			unsigned int seed)
{
	unsigned int opened, closed;

	for (unsigned int i = 0; i < count; i++) {
		opened = sim_count(sim, (int)i, MEMBERSHIP_SPLIT_SUSPECTED, -1, 0);
		closed = sim_count(sim, (int)i, MEMBERSHIP_SPLIT_HEALED, -1, 0);
		if (sim_count(sim, (int)i, MEMBERSHIP_SPLIT_CONFIRMED, -1, 0) != confirmed)
			fail_msg("%u members, seed %u: d%u says confirmed %u times", count, seed,
				 i + 1, sim_count(sim, (int)i, MEMBERSHIP_SPLIT_CONFIRMED, -1, 0));
		if (opened > 1 || closed > 1 || (confirmed && closed != 1))
			fail_msg("%u members, seed %u: d%u opens %u, closes %u", count, seed, i + 1,
				 opened, closed);
	}
}

static unsigned int seeds(unsigned int usual)
{
	return getenv("SEEDS") ? (unsigned int)atoi(getenv("SEEDS")) : usual;
}

static void test_split_is_confirmed(void **state)
{
	static const unsigned int counts[] = {4, 5, 8, 32};
	struct sim *sim;

	(void)state;
	for (unsigned int c = 0; c < ARRAY_SIZE(counts); c++)
		for (unsigned int seed = 0; seed < seeds(5); seed++) {
			sim = cluster(1000 + 100 * c + seed, counts[c]);
			sim_partition(sim, half_of(counts[c], seed % 3), true);
			sim_run(sim, 10 * S + sim_random(sim, 50 * S));
			sim_heal(sim);
			sim_run(sim, 15 * S);
			check_split(sim, counts[c], 1, seed);
			finish(sim);
		}
}

/* Members lost some seconds after each other, as packet loss brings about, count as lost
 * together. */
static void test_split_that_comes_bit_by_bit(void **state)
{
	struct sim *sim = cluster(58, 4);

	(void)state;
	sim_partition(sim, 8, true);
	sim_run(sim, 4 * S);
	sim_partition(sim, 12, true);
	sim_cut(sim, 2, 3, SIM_BOTH, 2, false);
	sim_cut(sim, 3, 2, SIM_BOTH, 2, false);
	sim_run(sim, 15 * S);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
			sim_count(sim, i, MEMBERSHIP_SPLIT_SUSPECTED, -1, 0) +
					sim_count(sim, i, MEMBERSHIP_SPLIT_CONFIRMED, -1, 0) >
				0,
			true);
	sim_heal(sim);
	sim_run(sim, 15 * S);
	check_split(sim, 4, 1, 0);
	finish(sim);
}

static void test_crash_is_no_split(void **state)
{
	static const unsigned int counts[] = {4, 5, 8, 32};
	struct sim *sim;

	(void)state;
	for (unsigned int c = 0; c < ARRAY_SIZE(counts); c++)
		for (unsigned int seed = 0; seed < seeds(5); seed++) {
			unsigned int third = (counts[c] + 2) / 3, at = seed % counts[c];

			sim = cluster(2000 + 100 * c + seed, counts[c]);
			for (unsigned int i = 0; i < third; i++)
				sim_crash(sim, (at + i) % counts[c], seed % 2);
			sim_run(sim, 10 * S + sim_random(sim, 50 * S));
			for (unsigned int i = 0; i < third; i++)
				sim_start(sim, (at + i) % counts[c], SIM_KEEP, 0);
			assert_true(sim_until(sim, sim_whole, NULL, 10 * S));
			sim_run(sim, 10 * S);
			check_split(sim, counts[c], 0, seed);
			/* A daemon that died on a host that lives is not even suspected of it. */
			if (seed % 2 == 0)
				assert_int_equal(
					sim_count(sim, -1, MEMBERSHIP_SPLIT_SUSPECTED, -1, 0), 0);
			finish(sim);
		}
}

/* The paused members held no member failed meanwhile, but for one that all held failed. */
static void test_pause_is_no_split(void **state)
{
	struct sim *sim = cluster(57, 6);

	(void)state;
	sim_crash(sim, 5, true);
	sim_run(sim, 20 * S);
	sim_stall(sim, 0, 20 * S);
	sim_stall(sim, 1, 20 * S);
	sim_run(sim, 60 * S);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_SPLIT_SUSPECTED, -1, 0), 3);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_SPLIT_CONFIRMED, -1, 0), 0);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_SPLIT_HEALED, -1, 0), 3);
	finish(sim);
}

static void test_no_false_failure(void **state)
{
	struct sim *sim = cluster(60, 32);
	struct sim_status status;

	(void)state;
	sim_forget_notices(sim);
	sim_loss(sim, 100, 20, 0);
	sim_run(sim, 60 * S);
	sim_status(sim, &status);
	assert_int_equal(status.false_failures, 0);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_FAILED, -1, 0), 0);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_PARTIAL, -1, 0), 0);
	finish(sim);
}

static void test_stalled_members(void **state)
{
	struct sim *sim = cluster(61, 32);
	struct sim_status status;
	const struct sim_notice *notices;
	unsigned int most = 0, count;

	(void)state;
	sim_forget_notices(sim);
	for (unsigned int i = 0; i < 20; i++) {
		for (unsigned int n = 0; n < 4; n++)
			sim_stall(sim, 3 + 7 * n, 8 * S);
		sim_run(sim, 8100 * MS);
	}
	sim_status(sim, &status);
	assert_int_equal(status.false_failures, 0);
	for (int a = 0; a < 32; a++)
		for (int b = 0; b < 32; b++) {
			count = sim_count(sim, a, MEMBERSHIP_MEMBER_FAILED, b, 0);
			if ((b - 3) % 7 != 0 || b > 24)
				assert_int_equal(count, 0);
			most = MAX(most, count);
		}
	for (size_t i = 0; i < sim_notices(sim, &notices); i++)
		for (size_t j = 0; j < i; j++)
			if (notices[i].notice.type == MEMBERSHIP_MEMBER_FAILED &&
			    notices[j].notice.type == MEMBERSHIP_MEMBER_FAILED &&
			    notices[i].at == notices[j].at &&
			    notices[i].notice.member == notices[j].notice.member)
				assert_true(notices[i].notice.now.mono >=
					    notices[j].notice.now.mono + 60 * S);
	print_message("stalled: each reported at most %u times in 162 s\n", most);
	assert_true(most >= 1 && most <= 3);
	finish(sim);
}

/* A member is stopped while it suspects all others, and woken long after all could have
 * answered. */
static void test_a_paused_one_accuses_nobody(void **state)
{
	struct sim *sim = cluster(62, 8);

	(void)state;
	sim_partition(sim, 1, true);
	while (sim_count(sim, 0, MEMBERSHIP_SUSPECTED, -1, 0) < 2)
		sim_run(sim, 10 * MS);
	sim_stall(sim, 0, 8 * S);
	sim_run(sim, S);
	sim_heal(sim);
	sim_run(sim, 20 * S);
	assert_int_equal(sim_count(sim, 0, MEMBERSHIP_MEMBER_FAILED, -1, 0), 0);
	assert_int_equal(sim_count(sim, 0, MEMBERSHIP_PAUSED, -1, 0), 1);
	assert_true(sim_whole(sim, NULL));
	finish(sim);
}

static void test_duplicate_identity(void **state)
{
	struct sim *sim;

	(void)state;
	for (unsigned int same = 0; same < 2; same++) {
		sim = cluster(70 + same, 4);
		sim_clone(sim, 1, same);
		sim_run(sim, 40 * S);
		assert_int_equal(sim_count(sim, 1, MEMBERSHIP_DUPLICATE_IDENTITY, -1, 0), 1);
		/* A process that is not let in tries a higher epoch before it reports the
		 * duplicate. */
		assert_int_equal(sim_count(sim, 5, MEMBERSHIP_DUPLICATE_IDENTITY, -1, 0), 1);
		assert_true(sim_counter(sim, 0, "rollback") + sim_counter(sim, 2, "rollback") > 0);
		finish(sim);
	}
}

static void test_rolled_back_state(void **state)
{
	struct sim *sim = cluster(80, 4);

	(void)state;
	sim_crash(sim, 2, false);
	sim_run(sim, 5 * S);
	sim_start(sim, 2, SIM_KEEP, 0);
	assert_true(sim_until(sim, sim_whole, NULL, 5 * S));
	sim_crash(sim, 2, false);
	sim_crash(sim, 0, false);
	sim_run(sim, 5 * S);
	/* One director knows the member's newest boot by hearsay only. */
	sim_start(sim, 0, SIM_LOST, 2);
	sim_run(sim, 3 * S);
	sim_start(sim, 2, SIM_ROLLBACK, 0);
	assert_true(sim_until(sim, sim_whole, NULL, 15 * S));
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_DUPLICATE_IDENTITY, -1, 0), 0);
	finish(sim);
}

/* Each holds the other's newer boot, and refuses the other's records of all other members. */
static void test_two_rolled_back(void **state)
{
	struct sim *sim = cluster(81, 2);

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		sim_crash(sim, i, false);
		sim_start(sim, i, SIM_KEEP, 0);
		sim_run(sim, 5 * S);
	}
	for (unsigned int i = 0; i < 2; i++)
		sim_crash(sim, i, false);
	for (unsigned int i = 0; i < 2; i++)
		sim_start(sim, i, SIM_ROLLBACK, 3);
	/* Until then each believes its roster. */
	sim_run(sim, 6 * S);
	assert_true(sim_until(sim, sim_whole, NULL, 10 * S));
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_DUPLICATE_IDENTITY, -1, 0), 0);
	finish(sim);
}

static void test_idle_traffic(void **state)
{
	static const unsigned int counts[] = {3, 8, 32, 64};
	struct sim_status before, after;
	struct sim *sim;
	uint64_t rate;

	(void)state;
	for (unsigned int c = 0; c < ARRAY_SIZE(counts); c++) {
		sim = cluster(90 + c, counts[c]);
		sim_run(sim, 10 * S);
		sim_status(sim, &before);
		sim_run(sim, 60 * S);
		sim_status(sim, &after);
		rate = (after.bytes - before.bytes + after.stream_bytes - before.stream_bytes) /
		       60 / counts[c];
		print_message("%u members: %llu bytes/s a member\n", counts[c],
			      (unsigned long long)rate);
		assert_true(rate <= 1500);
		finish(sim);
	}
}

static void test_same_seed_same_run(void **state)
{
	uint64_t hash[2];

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct sim *sim = cluster(99, 8);

		sim_loss(sim, 100, 50, 20);
		sim_run(sim, 10 * S);
		hash[i] = sim_hash(sim);
		finish(sim);
	}
	assert_true(hash[0] == hash[1]);
}

static void test_quorum(void **state)
{
	struct sim *sim = cluster(110, 5);
	struct membership_status status;

	(void)state;
	sim_partition(sim, 3, true);
	sim_run(sim, 15 * S);
	membership_status(sim_core(sim, 0), &status);
	assert_int_equal(status.quorum, QUORUM_MINORITY);
	membership_status(sim_core(sim, 4), &status);
	assert_int_equal(status.quorum, QUORUM_MAJORITY);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_QUORUM_LOST, -1, 0), 2);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_QUORUM_REGAINED, -1, 0), 0);
	sim_heal(sim);
	sim_run(sim, 5 * S);
	assert_int_equal(sim_count(sim, 0, MEMBERSHIP_QUORUM_REGAINED, -1, 0), 1);
	assert_int_equal(sim_count(sim, 1, MEMBERSHIP_QUORUM_REGAINED, -1, 0), 1);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_QUORUM_LOST, -1, 0), 2);
	finish(sim);
}

/* The evidence of the only notice of that type. */
static unsigned int evidence_of(const struct sim *sim, unsigned int n,
				enum membership_notice_type type)
{
	const struct sim_notice *notices;
	size_t count = sim_notices(sim, &notices);

	assert_int_equal(sim_count(sim, (int)n, type, -1, 0), 1);
	while (count-- > 0)
		if (notices[count].at == n && notices[count].notice.type == type)
			return notices[count].notice.evidence;
	return 0;
}

/* A sync stream that still runs confirms before the cut heals. A witness that answers where quorum
 * is gone does not, for the others may have lost their power. Both reach the core as events of its
 * driver. */
static void test_split_is_confirmed_by_others(void **state)
{
	struct sim_options options = {.seed = 120, .count = 4, .witness = true};
	struct sim *sim = sim_new(&options);
	struct membership_event event = {.type = MEMBERSHIP_WITNESS, .ok = true};

	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		sim_start(sim, i, SIM_KEEP, i ? 1 : 2);
	sim_run(sim, 10 * S);
	sim_event(sim, 0, event);
	sim_partition(sim, 3, true);
	sim_run(sim, 20 * S);
	event.type = MEMBERSHIP_SYNC;
	event.member = sim_id(sim, 3);
	sim_event(sim, 1, event);
	sim_run(sim, S);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(sim_count(sim, i, MEMBERSHIP_SPLIT_SUSPECTED, -1, 0) +
					 sim_count(sim, i, MEMBERSHIP_SPLIT_CONFIRMED, -1, 0),
				 i == 1 ? 2 : 1);
		assert_int_equal(sim_count(sim, i, MEMBERSHIP_SPLIT_CONFIRMED, -1, 0), i == 1);
	}
	assert_int_equal(evidence_of(sim, 0, MEMBERSHIP_SPLIT_SUSPECTED), EVIDENCE_WITNESS);
	sim_heal(sim);
	sim_run(sim, 15 * S);
	check_split(sim, 4, 1, 0);
	finish(sim);
}

/* On a host that is busy the view does not stand still any shorter. */
static void test_split_seen_from_a_busy_host(void **state)
{
	struct sim *sim = cluster(131, 4);

	(void)state;
	sim_partition(sim, 3, true);
	for (unsigned int i = 0; i < 12; i++) {
		sim_stall(sim, 0, 250 * MS);
		sim_run(sim, 2 * S);
	}
	assert_int_equal(sim_count(sim, 0, MEMBERSHIP_SPLIT_SUSPECTED, -1, 0), 1);
	sim_heal(sim);
	sim_run(sim, 15 * S);
	check_split(sim, 4, 1, 0);
	finish(sim);
}

static void test_pair_says_split_or_crash(void **state)
{
	struct sim *sim = cluster(130, 2);

	(void)state;
	sim_partition(sim, 1, true);
	sim_run(sim, 15 * S);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_SPLIT_SUSPECTED, -1, 0), 2);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_SPLIT_CONFIRMED, -1, 0), 0);
	sim_heal(sim);
	sim_run(sim, 10 * S);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_SPLIT_CONFIRMED, -1, 0), 2);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_SPLIT_HEALED, -1, 0), 2);
	finish(sim);
}

/* A majority loses its power: no witness makes a split of that, nor does their return. */
static void test_power_of_a_majority(void **state)
{
	struct sim_options options = {.seed = 133, .count = 5, .witness = true};
	struct sim *sim = sim_new(&options);

	(void)state;
	for (unsigned int i = 0; i < 5; i++)
		sim_start(sim, i, SIM_KEEP, i ? 1 : 2);
	sim_run(sim, 10 * S);
	sim_event(sim, 0, (struct membership_event){.type = MEMBERSHIP_WITNESS, .ok = true});
	for (unsigned int i = 2; i < 5; i++)
		sim_crash(sim, i, true);
	sim_run(sim, 30 * S);
	assert_int_equal(evidence_of(sim, 0, MEMBERSHIP_SPLIT_SUSPECTED), EVIDENCE_WITNESS);
	for (unsigned int i = 2; i < 5; i++)
		sim_start(sim, i, SIM_KEEP, 1);
	sim_run(sim, 20 * S);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_SPLIT_CONFIRMED, -1, 0), 0);
	assert_int_equal(sim_count(sim, 0, MEMBERSHIP_SPLIT_HEALED, -1, 0), 1);
	finish(sim);
}

/* One of five is lost: a crash, as far as the others can know, until it is back. */
static void test_cut_of_one(void **state)
{
	(void)state;
	for (unsigned int cut = 0; cut < 2; cut++) {
		struct sim *sim = cluster(134, 5);

		if (cut)
			sim_partition(sim, 16, true);
		else
			sim_crash(sim, 4, true);
		sim_run(sim, 20 * S);
		for (int i = 0; i < 4; i++)
			assert_int_equal(
				sim_count(sim, i, MEMBERSHIP_SPLIT_SUSPECTED, -1, 0) +
					sim_count(sim, i, MEMBERSHIP_SPLIT_CONFIRMED, -1, 0),
				0);
		if (cut)
			sim_heal(sim);
		else
			sim_start(sim, 4, SIM_KEEP, 1);
		sim_run(sim, 15 * S);
		check_split(sim, 5, cut, 0);
		if (cut)
			assert_int_equal(evidence_of(sim, 0, MEMBERSHIP_SPLIT_CONFIRMED),
					 EVIDENCE_MUTUAL);
		finish(sim);
	}
}

/* A witness says which side is cut off; that the other one of a pair has lost its power it can't.
 */
static void test_witness_of_a_pair(void **state)
{
	struct sim_options options = {.seed = 132, .count = 2, .witness = true};
	struct sim *sim = sim_new(&options);

	(void)state;
	sim_start(sim, 0, SIM_KEEP, 2);
	sim_start(sim, 1, SIM_KEEP, 1);
	sim_run(sim, 10 * S);
	sim_event(sim, 0, (struct membership_event){.type = MEMBERSHIP_WITNESS, .ok = true});
	sim_crash(sim, 1, true);
	sim_run(sim, 15 * S);
	assert_int_equal(sim_count(sim, 0, MEMBERSHIP_SPLIT_SUSPECTED, -1, 0), 1);
	assert_int_equal(sim_count(sim, 0, MEMBERSHIP_SPLIT_CONFIRMED, -1, 0), 0);
	finish(sim);
}

static void test_operator_removes(void **state)
{
	struct sim *sim = cluster(140, 5);
	struct membership_event event = {.type = MEMBERSHIP_REMOVE, .member = sim_id(sim, 4)};
	struct membership_status status;
	struct all all = {5, 4, STATE_GONE};

	(void)state;
	/* Not one that answers. */
	sim_event(sim, 0, event);
	sim_run(sim, S);
	assert_true(sim_whole(sim, NULL));
	sim_crash(sim, 4, true);
	sim_run(sim, 70 * S);
	sim_event(sim, 0, event);
	assert_true(sim_until(sim, all_hold, &all, 5 * S));
	membership_status(sim_core(sim, 2), &status);
	assert_int_equal(status.roster, 4);
	/* Its certificate is still good: it may come again. */
	sim_start(sim, 4, SIM_KEEP, 1);
	assert_true(sim_until(sim, sim_whole, NULL, 10 * S));
	finish(sim);
}

static void test_second_network_carries_on(void **state)
{
	struct sim_options options = {.seed = 150, .count = 4, .addresses = 2};
	struct sim *sim = sim_new(&options);
	struct member_info info;

	(void)state;
	for (unsigned int i = 0; i < 4; i++)
		sim_start(sim, i, SIM_KEEP, i ? 1 : 2);
	sim_run(sim, 10 * S);
	for (unsigned int a = 0; a < 4; a++)
		for (unsigned int b = 0; b < 4; b++)
			if ((a < 2) != (b < 2))
				sim_cut(sim, a, b, SIM_BOTH, 0, true);
	sim_run(sim, 2 * S);
	assert_true(sim_count(sim, -1, MEMBERSHIP_MEMBER_PARTIAL, -1, 0) > 0);
	sim_run(sim, 30 * S);
	assert_true(sim_whole(sim, NULL));
	for (enum membership_notice_type t = MEMBERSHIP_QUORUM_LOST; t < MEMBERSHIP_SUSPECTED; t++)
		assert_int_equal(sim_count(sim, -1, t, -1, 0), 0);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_FAILED, -1, 0), 0);
	assert_true(membership_find(sim_core(sim, 0), sim_id(sim, 3), &info));
	assert_true(info.partial && !info.addresses[0].udp && info.addresses[1].udp);
	sim_heal(sim);
	sim_run(sim, 15 * S);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_WHOLE, -1, 0),
			 sim_count(sim, -1, MEMBERSHIP_MEMBER_PARTIAL, -1, 0));
	finish(sim);
}

/* Neither has heard of the other in this boot, and no member has a join list any more. */
static void test_roster_survives(void **state)
{
	struct sim *sim = cluster(160, 5);
	struct membership_status status;
	uint8_t bytes[64 * 1024];
	size_t len;

	(void)state;
	for (unsigned int i = 0; i < 5; i++)
		sim_crash(sim, i, false);
	sim_run(sim, S);
	for (unsigned int i = 0; i < 5; i++)
		sim_start(sim, i, SIM_KEEP, 0);
	assert_true(sim_until(sim, sim_whole, NULL, 5 * S));
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_QUORUM_LOST, -1, 0), 0);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_FAILED, -1, 0), 0);
	membership_status(sim_core(sim, 0), &status);
	assert_int_equal(status.roster, 5);
	/* A single director knows that it is alone. */
	for (unsigned int i = 0; i < 5; i++)
		sim_crash(sim, i, false);
	sim_start(sim, 0, SIM_KEEP, 0);
	sim_run(sim, 70 * S);
	membership_status(sim_core(sim, 0), &status);
	assert_int_equal(status.roster, 5);
	assert_int_equal(status.quorum, QUORUM_MINORITY);
	assert_int_equal(sim_count(sim, 0, MEMBERSHIP_QUORUM_LOST, -1, 0), 1);
	len = membership_roster(sim_core(sim, 0), bytes, sizeof(bytes));
	assert_int_equal(len, membership_roster_size(sim_core(sim, 0)));
	assert_int_equal(membership_roster(sim_core(sim, 0), bytes, len - 1), 0);
	finish(sim);
}

static void test_one_way_cut(void **state)
{
	struct sim *sim = cluster(170, 5);

	(void)state;
	/* All packets from the first to the last are lost, so neither has an answer of the other;
	 * the others see both. */
	sim_cut(sim, 0, 4, SIM_BOTH, 2, true);
	sim_run(sim, 60 * S);
	assert_true(sim_whole(sim, NULL));
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_FAILED, -1, 0), 0);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_PARTIAL, -1, 0), 0);
	for (unsigned int i = 0; i < 5; i++) {
		struct membership_cut cut;

		assert_int_equal(sim_count(sim, (int)i, MEMBERSHIP_PARTIAL_PARTITION, -1, 0), 1);
		membership_cut(sim_core(sim, i), &cut);
		assert_int_equal(cut.pairs, 1);
		assert_true(cut.ids[0] == sim_id(sim, 0) && cut.ids[1] == sim_id(sim, 4));
	}
	finish(sim);
}

/* An upgrade to the next version, director by director: none is missed. */
static void test_two_versions(void **state)
{
	struct sim_options options = {.seed = 190, .count = 6, .newer = 0x15};
	struct sim *sim = sim_new(&options);
	struct member_info info;

	(void)state;
	for (unsigned int i = 0; i < 6; i++)
		sim_start(sim, i, SIM_KEEP, i ? 1 : 2);
	assert_true(sim_until(sim, sim_whole, NULL, 5 * S));
	sim_run(sim, 30 * S);
	assert_true(membership_find(sim_core(sim, 1), sim_id(sim, 2), &info));
	assert_int_equal(info.versions.min, 1);
	assert_int_equal(info.versions.max, 2);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_FAILED, -1, 0), 0);
	assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_PARTIAL, -1, 0), 0);
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(sim_counter(sim, i, "version"), 0);
	finish(sim);
}

/* Anti-entropy repairs what gossip did not bring. */
static void test_missed_gossip_is_repaired(void **state)
{
	struct sim *sim = cluster(195, 3);
	struct membership_event event = {
		.type = MEMBERSHIP_META, .phase = PHASE_READY, .config = 42};
	struct member_info info;

	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		sim_cut(sim, 2, i, SIM_BOTH, 2, true);
	sim_event(sim, 2, event);
	/* Long enough to gossip it often enough, too short for a suspicion. */
	sim_run(sim, 120 * MS);
	sim_heal(sim);
	sim_run(sim, 4 * S);
	for (unsigned int i = 0; i < 3; i++) {
		if (i == 2)
			continue;
		assert_true(membership_find(sim_core(sim, i), sim_id(sim, 2), &info));
		assert_int_equal(info.phase, PHASE_READY);
		assert_int_equal(info.config, 42);
	}
	finish(sim);
}

static void test_fast_profile(void **state)
{
	struct sim_options options = {.seed = 180, .count = 8, .profile = membership_fast};
	struct sim *sim = sim_new(&options);
	struct all all = {8, 3, STATE_FAILED};
	usec_t crash;

	(void)state;
	for (unsigned int i = 0; i < 8; i++)
		sim_start(sim, i, SIM_KEEP, i ? 1 : 2);
	sim_run(sim, 10 * S);
	crash = sim_now(sim);
	sim_crash(sim, 3, true);
	assert_true(sim_until(sim, all_hold, &all, 5 * S));
	assert_true(sim_now(sim) - crash <= 1000 * MS);
	finish(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crash_is_found),
		cmocka_unit_test(test_crash_right_after_a_join),
		cmocka_unit_test(test_newcomer_is_known),
		cmocka_unit_test(test_leave_is_no_failure),
		cmocka_unit_test(test_absence_is_excused),
		cmocka_unit_test(test_partly_reachable),
		cmocka_unit_test(test_cut_heals),
		cmocka_unit_test(test_split_is_confirmed),
		cmocka_unit_test(test_split_that_comes_bit_by_bit),
		cmocka_unit_test(test_crash_is_no_split),
		cmocka_unit_test(test_pause_is_no_split),
		cmocka_unit_test(test_no_false_failure),
		cmocka_unit_test(test_stalled_members),
		cmocka_unit_test(test_a_paused_one_accuses_nobody),
		cmocka_unit_test(test_duplicate_identity),
		cmocka_unit_test(test_rolled_back_state),
		cmocka_unit_test(test_two_rolled_back),
		cmocka_unit_test(test_idle_traffic),
		cmocka_unit_test(test_same_seed_same_run),
		cmocka_unit_test(test_quorum),
		cmocka_unit_test(test_split_is_confirmed_by_others),
		cmocka_unit_test(test_split_seen_from_a_busy_host),
		cmocka_unit_test(test_pair_says_split_or_crash),
		cmocka_unit_test(test_power_of_a_majority),
		cmocka_unit_test(test_cut_of_one),
		cmocka_unit_test(test_witness_of_a_pair),
		cmocka_unit_test(test_operator_removes),
		cmocka_unit_test(test_second_network_carries_on),
		cmocka_unit_test(test_roster_survives),
		cmocka_unit_test(test_one_way_cut),
		cmocka_unit_test(test_two_versions),
		cmocka_unit_test(test_missed_gossip_is_repaired),
		cmocka_unit_test(test_fast_profile),
	};

	cmocka_set_test_filter(getenv("TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
