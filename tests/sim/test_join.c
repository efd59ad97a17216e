/* A director that joins gets every entry, one that dies takes none along, and lost entries are
 * found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/cluster.h"

#define ESTABLISHED 1
#define FIN_WAIT 4

static bool is_ready(struct cluster *cluster, unsigned int d)
{
	struct node_status status;

	node_status(cluster_node(cluster, d), &status);
	return status.ready;
}

static void assert_same(struct cluster *cluster)
{
	const char *difference = cluster_difference(cluster);

	if (difference)
		fail_msg("%s", difference);
}

/* Entries of d1 to d3, of which d3 is gone for good: all that d1 and d2 know of it they learned. */
static struct cluster *with_a_gone(uint64_t seed, unsigned int count, unsigned int entries)
{
	struct cluster *cluster = cluster_new(seed, count);

	for (unsigned int d = 3; d < count; d++)
		cluster_crash(cluster, d, true);
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int i = 0; i < entries; i++) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, true);

		cluster_carry(cluster, i % 3, &entry);
	}
	cluster_run(cluster, 100 * USEC_PER_MSEC);
	cluster_crash(cluster, 2, true);
	cluster_run(cluster, 2 * USEC_PER_SEC);
	return cluster;
}

/* A director that joins gets every entry once: each live director's own from itself, and those of
 * the dead in shares from all. */
static void test_join(void **state)
{
	struct cluster *cluster = with_a_gone(11, 4, 3000);
	struct sync_status joined;
	uint64_t given = 0;

	(void)state;
	cluster_start(cluster, 3);
	cluster_run(cluster, 7 * USEC_PER_SEC);
	joined = cluster_sync_status(cluster, 3);
	assert_int_equal(joined.learned, 3000);
	assert_int_equal(joined.stale, 0);
	assert_int_equal(joined.join_shares, 8);
	assert_int_equal(joined.join_shares_done, 8);
	assert_int_equal(joined.join_entries, 1000);
	assert_true(joined.complete && is_ready(cluster, 3));
	assert_same(cluster);
	for (unsigned int i = 0; i < NODE_SYNC_MAX; i++) {
		struct node_stream_status status;

		node_stream_status(cluster_node(cluster, 3), i, cluster_now(cluster), &status);
		if (status.phase != NODE_STREAM_READY)
			continue;
		/* 1000 of its own, and about half of the others. */
		assert_in_range(status.sync.entries, 1000 + 250, 1000 + 750);
		given += status.sync.entries;
	}
	assert_int_equal(given, 3000);
	cluster_free(cluster);
}

/* A donor dies at any point of a join: the others give what it had not given. */
static void test_join_interrupted(void **state)
{
	unsigned int shares = 0, journals = 0;

	(void)state;
	for (unsigned int at = 0; at < 20; at++) {
		struct cluster *cluster = with_a_gone(100 + at, 5, 1500);
		struct sync_status status;

		cluster_start(cluster, 4);
		cluster_run(cluster, USEC_PER_SEC);
		cluster_narrow(cluster, 400);
		cluster_start(cluster, 3);
		/* While the journals come, or the rest. */
		do {
			cluster_run(cluster, USEC_PER_MSEC);
			status = cluster_sync_status(cluster, 3);
		} while (at % 2 ? status.join_shares == 0 : status.learned == 0);
		cluster_run(cluster, at * 2 * USEC_PER_MSEC);
		status = cluster_sync_status(cluster, 3);
		shares += status.join_shares > 0 && !status.joined;
		journals += status.join_shares == 0;
		cluster_crash(cluster, at / 2 % 2, true);
		cluster_narrow(cluster, 0);
		cluster_run(cluster, 7 * USEC_PER_SEC);
		assert_true(is_ready(cluster, 3));
		assert_int_equal(cluster_sync_status(cluster, 3).entries, 1500);
		assert_same(cluster);
		/* No transfer began from the start again. */
		assert_in_range(cluster_sync_status(cluster, 3).stale, 0, 1000);
		cluster_free(cluster);
	}
	/* The times were not chosen in vain. */
	assert_true(shares > 3 && journals > 3);
}

/* A director dies when its last batch has reached one of three others. */
static void test_half_delivered(void **state)
{
	struct cluster *cluster = cluster_new(12, 4);
	unsigned int i = 0;

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	for (; i < 1000; i++) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, true);

		cluster_carry(cluster, 0, &entry);
	}
	cluster_run(cluster, 100 * USEC_PER_MSEC);
	cluster_hole(cluster, 0, 1, true);
	cluster_hole(cluster, 0, 2, true);
	for (; i < 1200; i++) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, true);

		cluster_carry(cluster, 0, &entry);
	}
	cluster_run(cluster, 100 * USEC_PER_MSEC);
	assert_int_equal(cluster_sync_status(cluster, 3).entries, 1200);
	assert_int_equal(cluster_sync_status(cluster, 1).entries, 1000);
	cluster_hole(cluster, 0, 1, false);
	cluster_hole(cluster, 0, 2, false);
	cluster_crash(cluster, 0, true);
	cluster_run(cluster, 200 * USEC_PER_MSEC);
	for (unsigned int d = 1; d < 3; d++) {
		assert_int_equal(cluster_sync_status(cluster, d).entries, 1200);
		assert_int_equal(cluster_sync_status(cluster, d).orphans_learned, 200);
		assert_int_equal(cluster_sync_status(cluster, d).stale, 0);
	}
	assert_int_equal(cluster_sync_status(cluster, 3).orphans_learned, 0);
	assert_same(cluster);
	/* A director that starts later gets them too, and asks no peer a second time. */
	cluster_start(cluster, 0);
	cluster_run(cluster, 2 * USEC_PER_SEC);
	assert_int_equal(cluster_sync_status(cluster, 0).join_entries, 1200);
	assert_int_equal(cluster_sync_status(cluster, 0).orphans_learned, 0);
	assert_int_equal(cluster_sync_status(cluster, 0).stale, 0);
	assert_same(cluster);
	cluster_free(cluster);
}

/* Two halves of which one loses a member: what only that half knew of it reaches the other later.
 */
static void test_lost_behind_a_cut(void **state)
{
	struct cluster *cluster = cluster_new(13, 4);
	struct entry entry;

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int d = 0; d < 2; d++) {
		cluster_cut(cluster, d, 2, true);
		cluster_cut(cluster, d, 3, true);
	}
	for (unsigned int i = 0; i < 100; i++) {
		entry = cluster_entry(i, 1, ESTABLISHED, true);
		cluster_carry(cluster, 3, &entry);
	}
	cluster_run(cluster, 100 * USEC_PER_MSEC);
	cluster_crash(cluster, 3, true);
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int d = 0; d < 2; d++) {
		assert_int_equal(cluster_sync_status(cluster, d).entries, 0);
		cluster_cut(cluster, d, 2, false);
	}
	cluster_run(cluster, 5 * USEC_PER_SEC);
	for (unsigned int d = 0; d < 2; d++)
		assert_int_equal(cluster_sync_status(cluster, d).orphans_learned, 100);
	assert_same(cluster);
	cluster_free(cluster);
}

/* Entries that a director stamped in an earlier life are its own: one that joins later gets them
 * from it. */
static void test_earlier_life(void **state)
{
	struct cluster *cluster = cluster_new(14, 4);

	(void)state;
	cluster_crash(cluster, 3, true);
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int i = 0; i < 300; i++) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, true);

		cluster_carry(cluster, i % 3, &entry);
	}
	cluster_run(cluster, 100 * USEC_PER_MSEC);
	cluster_crash(cluster, 0, false);
	cluster_start(cluster, 0);
	cluster_run(cluster, 2 * USEC_PER_SEC);
	cluster_crash(cluster, 1, true);
	cluster_start(cluster, 1);
	cluster_run(cluster, 3 * USEC_PER_SEC);
	for (unsigned int d = 0; d < 3; d++)
		assert_int_equal(cluster_sync_status(cluster, d).entries_own, 100);
	assert_same(cluster);
	cluster_start(cluster, 3);
	cluster_run(cluster, 3 * USEC_PER_SEC);
	assert_int_equal(cluster_sync_status(cluster, 3).learned, 300);
	assert_int_equal(cluster_sync_status(cluster, 3).stale, 0);
	assert_int_equal(cluster_sync_status(cluster, 3).join_entries, 0);
	assert_same(cluster);
	cluster_free(cluster);
}

/* Entries found in the kernel at a start are newer than those found at the start before. */
static void test_found_again(void **state)
{
	struct cluster *cluster = cluster_new(17, 2);
	struct entry entry;

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int life = 1; life <= 3; life++) {
		entry = cluster_entry(1, life, ESTABLISHED, false);
		cluster_crash(cluster, 0, false);
		cluster_unreported(cluster, 0, &entry);
		cluster_start(cluster, 0);
		cluster_run(cluster, 3 * USEC_PER_SEC);
		assert_int_equal(cluster_sync_status(cluster, 1).entries, 1);
		assert_same(cluster);
	}
	assert_true(cluster_kernel(cluster, 1, &entry.flow, &entry));
	assert_int_equal(entry.daddr[3], 3);
	cluster_free(cluster);
}

/* How long a director that starts takes to be ready; 0: longer than the time given. */
static usec_t start_takes(struct cluster *cluster, unsigned int d, usec_t most)
{
	usec_t began = cluster_now(cluster).mono;

	cluster_start(cluster, d);
	while (cluster_now(cluster).mono < began + most) {
		cluster_run(cluster, USEC_PER_MSEC);
		if (is_ready(cluster, d))
			return cluster_now(cluster).mono - began;
	}
	return 0;
}

/* No step of a start waits for a clock: neither the journals, the shares nor the kernel. */
static void test_ready_at_once(void **state)
{
	struct cluster *cluster = cluster_new(19, 3);
	usec_t takes;

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int i = 0; i < 1000; i++) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, true);

		cluster_carry(cluster, i % 3, &entry);
	}
	cluster_run(cluster, 100 * USEC_PER_MSEC);
	for (unsigned int d = 0; d < 3; d++) {
		cluster_crash(cluster, d, true);
		takes = start_takes(cluster, d, USEC_PER_SEC);
		assert_in_range(takes, USEC_PER_MSEC, 60 * USEC_PER_MSEC);
		assert_int_equal(cluster_kernel_count(cluster, d), 1000);
		assert_same(cluster);
		cluster_run(cluster, USEC_PER_SEC);
	}
	cluster_free(cluster);
}

/* A director that starts reads its kernel's own connections before it takes traffic, unless that
 * takes 5 s. */
static void test_reads_first(void **state)
{
	struct cluster *cluster = cluster_new(20, 2);
	struct entry entry = cluster_entry(1, 1, ESTABLISHED, false);
	struct node_status status;

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int life = 0; life < 2; life++) {
		cluster_crash(cluster, 0, false);
		cluster_unreported(cluster, 0, &entry);
		cluster_unread(cluster, 0);
		cluster_start(cluster, 0);
		cluster_run(cluster, 4900 * USEC_PER_MSEC);
		node_status(cluster_node(cluster, 0), &status);
		assert_false(status.ready);
		assert_string_equal(status.waiting_for,
				    "lvsmeshd to read the connections of its kernel");
		assert_true(status.sync.complete);
		assert_false(cluster_update(cluster, 0)->announce);
		if (life == 0) {
			cluster_read(cluster, 0);
			assert_true(is_ready(cluster, 0));
		}
		cluster_run(cluster, 200 * USEC_PER_MSEC);
		assert_true(is_ready(cluster, 0));
		assert_true(cluster_update(cluster, 0)->announce);
	}
	/* Its own connections are published all the same if they are read later. */
	cluster_read(cluster, 0);
	cluster_run(cluster, USEC_PER_SEC);
	assert_int_equal(cluster_sync_status(cluster, 1).entries, 1);
	assert_same(cluster);
	cluster_free(cluster);
}

/* A director that can't get everything goes without after the configured time, and reports it. */
static void test_join_timeout(void **state)
{
	struct cluster *cluster = with_a_gone(18, 4, 90);

	(void)state;
	cluster_start(cluster, 3);
	cluster_lossy(cluster, 1);
	cluster_run(cluster, (CLUSTER_JOIN_TIMEOUT - 1) * USEC_PER_SEC);
	assert_false(is_ready(cluster, 3));
	assert_false(cluster_sync_status(cluster, 3).join_timed_out);
	cluster_run(cluster, 2 * USEC_PER_SEC);
	assert_true(is_ready(cluster, 3));
	assert_true(cluster_sync_status(cluster, 3).join_timed_out);
	/* And gets the rest all the same. */
	cluster_lossy(cluster, 0);
	cluster_run(cluster, 5 * USEC_PER_SEC);
	assert_same(cluster);
	cluster_free(cluster);
}

/* Traffic as it is: connections come, move and end, on all directors. */
static void traffic(struct cluster *cluster, unsigned int count, usec_t time)
{
	for (usec_t end = cluster_now(cluster).mono + time; cluster_now(cluster).mono < end;) {
		unsigned int d = (unsigned int)(cluster_random(cluster) % count);
		unsigned int i = (unsigned int)(cluster_random(cluster) % 3000);
		struct entry entry = cluster_entry(i, 1, i % 7 ? ESTABLISHED : FIN_WAIT, true);

		entry.timeout = i % 3 ? 900 : 10 + i % 300;
		cluster_carry(cluster, d, &entry);
		cluster_run(cluster, 20 * USEC_PER_MSEC);
	}
}

/* Anti-entropy finds no entry missing if there was no fault, whatever moves meanwhile. */
/* A director that no peer answers reports that, and waits if it is configured to: until one does,
 * or for join_timeout. */
static void test_waits_alone(void **state)
{
	struct cluster *cluster = cluster_new(18, 2);
	struct node_status status;

	(void)state;
	cluster_wait_alone(cluster);
	cluster_crash(cluster, 0, true);
	cluster_crash(cluster, 1, true);
	cluster_start(cluster, 0);
	cluster_run(cluster, 20 * USEC_PER_SEC);
	node_status(cluster_node(cluster, 0), &status);
	assert_true(status.alone);
	assert_string_equal(status.waiting_for, "another director to answer");
	cluster_start(cluster, 1);
	cluster_run(cluster, 2 * USEC_PER_SEC);
	for (unsigned int d = 0; d < 2; d++) {
		node_status(cluster_node(cluster, d), &status);
		assert_true(status.ready);
		assert_false(status.alone);
	}

	cluster_crash(cluster, 0, true);
	cluster_crash(cluster, 1, true);
	cluster_start(cluster, 0);
	cluster_run(cluster, (CLUSTER_JOIN_TIMEOUT - 1) * USEC_PER_SEC);
	assert_false(is_ready(cluster, 0));
	cluster_run(cluster, 2 * USEC_PER_SEC);
	node_status(cluster_node(cluster, 0), &status);
	assert_true(status.ready);
	assert_true(status.alone);
	assert_false(status.sync.join_timed_out);
	cluster_free(cluster);
}

/* A clock that was two hours ahead is set right, in a director that started with it and in one that
 * ran: what they carried meanwhile the others refused, and get it now. */
static void test_clock_set_back(void **state)
{
	(void)state;
	for (unsigned int at_start = 0; at_start < 2; at_start++) {
		struct cluster *cluster = cluster_new(19, 3);
		uint64_t epoch;

		cluster_run(cluster, 2 * USEC_PER_SEC);
		if (at_start)
			cluster_crash(cluster, 1, true);
		cluster_clock(cluster, 1, 7200 * (int64_t)USEC_PER_SEC);
		if (at_start)
			cluster_start(cluster, 1);
		cluster_run(cluster, 10 * USEC_PER_SEC);
		epoch = cluster_epoch(cluster, 1);
		for (unsigned int i = 0; i < 300; i++) {
			struct entry entry = cluster_entry(i, 1, ESTABLISHED, true);

			cluster_carry(cluster, i % 3, &entry);
		}
		cluster_run(cluster, 5 * USEC_PER_SEC);
		assert_true(cluster_kernel_count(cluster, 0) < 300);

		cluster_clock(cluster, 1, 0);
		cluster_run(cluster, 30 * USEC_PER_SEC);
		assert_true(cluster_epoch(cluster, 1) > epoch);
		for (unsigned int d = 0; d < 3; d++) {
			assert_true(is_ready(cluster, d));
			assert_int_equal(cluster_kernel_count(cluster, d), 300);
		}
		assert_same(cluster);
		/* Once is enough. */
		epoch = cluster_epoch(cluster, 1);
		cluster_run(cluster, 60 * USEC_PER_SEC);
		assert_int_equal(cluster_epoch(cluster, 1), epoch);
		cluster_free(cluster);
	}
}

static void test_nothing_to_mend(void **state)
{
	struct cluster *cluster = cluster_new(15, 3);

	(void)state;
	traffic(cluster, 3, 150 * USEC_PER_SEC);
	for (unsigned int d = 0; d < 3; d++) {
		struct sync_status status = cluster_sync_status(cluster, d);

		assert_true(status.tables_compared >= 2);
		assert_int_equal(status.repaired_from_peers, 0);
	}
	cluster_run(cluster, USEC_PER_SEC);
	cluster_free(cluster);
}

/* A director compares with one peer at a time, and its peers, which started together, do not all
 * send their sums at the same moment. */
static void test_compares_with_all(void **state)
{
	struct cluster *cluster = cluster_new(17, 5);

	(void)state;
	cluster_run(cluster, 20 * 60 * USEC_PER_SEC);
	for (unsigned int d = 0; d < 5; d++)
		assert_in_range(cluster_sync_status(cluster, d).tables_compared, 30, 50);
	cluster_free(cluster);
}

/* Anti-entropy finds and repairs entries that a table lost without knowing, and sends only
 * those. */
static void test_mends(void **state)
{
	struct cluster *cluster = cluster_new(16, 3);
	struct sync_status status;

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int i = 0; i < 600; i++) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, true);

		cluster_carry(cluster, i % 3, &entry);
	}
	cluster_run(cluster, 40 * USEC_PER_SEC);
	for (unsigned int i = 0; i < 50; i += 5) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, true);

		if (i % 3 != 1)
			cluster_forget(cluster, 1, &entry.flow);
	}
	assert_int_equal(cluster_sync_status(cluster, 1).entries, 593);
	cluster_run(cluster, 90 * USEC_PER_SEC);
	status = cluster_sync_status(cluster, 1);
	assert_int_equal(status.repaired_from_peers, 7);
	assert_in_range(status.parts_differed, 7, 20);
	assert_in_range(status.stale, 0, 20);
	for (unsigned int d = 0; d < 3; d += 2)
		assert_int_equal(cluster_sync_status(cluster, d).repaired_from_peers, 0);
	assert_same(cluster);
	cluster_free(cluster);
}

/* The same for an entry that a director found in its kernel, and that was never reported. */
static void test_mends_found(void **state)
{
	struct cluster *cluster = cluster_new(18, 3);
	struct entry entry = cluster_entry(1, 1, ESTABLISHED, true), held;

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	cluster_crash(cluster, 0, false);
	cluster_unreported(cluster, 0, &entry);
	cluster_start(cluster, 0);
	cluster_run(cluster, 40 * USEC_PER_SEC);
	assert_true(cluster_kernel(cluster, 1, &entry.flow, &held));
	cluster_forget(cluster, 1, &entry.flow);
	cluster_run(cluster, 90 * USEC_PER_SEC);
	assert_int_equal(cluster_sync_status(cluster, 1).repaired_from_peers, 1);
	assert_same(cluster);
	cluster_free(cluster);
}

/* However many parts differ: as long as asking helps, the next are asked for at once. */
static void test_mends_all(void **state)
{
	struct cluster *cluster = cluster_new(17, 2);

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int i = 0; i < 600; i++) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, true);

		cluster_carry(cluster, 0, &entry);
	}
	cluster_run(cluster, 40 * USEC_PER_SEC);
	for (unsigned int i = 0; i < 600; i++) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, true);

		cluster_forget(cluster, 1, &entry.flow);
	}
	for (unsigned int i = 0; i < 60 && cluster_sync_status(cluster, 1).repaired_from_peers == 0;
	     i++)
		cluster_run(cluster, USEC_PER_SEC);
	cluster_run(cluster, USEC_PER_SEC);
	assert_int_equal(cluster_sync_status(cluster, 1).repaired_from_peers, 600);
	assert_same(cluster);
	cluster_free(cluster);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_join_interrupted),
		cmocka_unit_test(test_half_delivered),
		cmocka_unit_test(test_lost_behind_a_cut),
		cmocka_unit_test(test_earlier_life),
		cmocka_unit_test(test_found_again),
		cmocka_unit_test(test_ready_at_once),
		cmocka_unit_test(test_reads_first),
		cmocka_unit_test(test_join_timeout),
		cmocka_unit_test(test_nothing_to_mend),
		cmocka_unit_test(test_compares_with_all),
		cmocka_unit_test(test_mends),
		cmocka_unit_test(test_mends_all),
		cmocka_unit_test(test_mends_found),
		cmocka_unit_test(test_waits_alone),
		cmocka_unit_test(test_clock_set_back),
	};

	cmocka_set_test_filter(getenv("TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
