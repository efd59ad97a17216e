/* Clusters with more directors than a word has bits; DIRECTORS=256 in the environment: as many as
 * there may be, in some minutes. Real signatures would take most of the time, and test no more
 * (stub_crypto.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/cluster.h"

#define MANY 72 /* more than a word has bits */

/* False: not within so many seconds. */
static bool until(struct cluster *cluster, unsigned int seconds,
		  bool (*is)(struct cluster *cluster))
{
	for (unsigned int i = 0; i < 10 * seconds; i++) {
		if (is(cluster))
			return true;
		cluster_run(cluster, USEC_PER_SEC / 10);
	}
	return false;
}

static unsigned int directors = MANY;

static bool all_ready(struct cluster *cluster)
{
	struct node_status status;

	for (unsigned int d = 0; d < directors; d++) {
		node_status(cluster_node(cluster, d), &status);
		if (!status.ready)
			return false;
	}
	return true;
}

static bool all_hold(struct cluster *cluster)
{
	for (unsigned int d = 0; d < directors; d++)
		if (cluster_kernel_count(cluster, d) < directors)
			return false;
	return true;
}

/* Each carries a flow, and all get all of them. */
static void test_many(void **state)
{
	struct cluster *cluster = cluster_new(1, directors);

	(void)state;
	assert_true(until(cluster, 30, all_ready));
	for (unsigned int d = 0; d < directors; d++) {
		struct entry entry = cluster_entry(2 * d, 1, 1, false);

		cluster_carry(cluster, d, &entry);
	}
	assert_true(until(cluster, 10, all_hold));
	cluster_free(cluster);
}

/* All three have both streams with both others. */
static bool all_linked(struct cluster *cluster)
{
	struct node_stream_status status;
	unsigned int n = 0;

	for (unsigned int d = 0; d < 3; d++) {
		for (unsigned int i = 0; i < NODE_STREAMS_MAX; i++) {
			node_stream_status(cluster_node(cluster, d), i, cluster_now(cluster),
					   &status);
			n += status.phase == NODE_STREAM_READY && status.for_sync;
		}
	}
	return n == 12;
}

/* A director that was killed, however often: the others dial it as soon as it is back. */
static void test_killed(void **state)
{
	struct cluster *cluster = cluster_new(1, 3);

	(void)state;
	assert_true(until(cluster, 30, all_linked));
	for (unsigned int i = 0; i < 20; i++) {
		cluster_crash(cluster, 0, false);
		cluster_run(cluster, (1 + i % 4) * USEC_PER_SEC / 2);
		cluster_start(cluster, 0);
		cluster_run(cluster, 500 * USEC_PER_MSEC);
		assert_true(all_linked(cluster));
	}
	cluster_free(cluster);
}

#define LIMIT 4
#define COUNT 6

/* All that run agree on whether it has a place. */
static bool is_beyond(struct cluster *cluster, unsigned int d)
{
	uint64_t id = cluster_identity(cluster, d)->id;
	unsigned int beyond = 0, asked = 0;
	struct membership_status own;
	struct member_info info;

	for (unsigned int i = 0; i < COUNT; i++) {
		const struct membership *membership;

		if (!cluster_up(cluster, i))
			continue;
		membership = node_membership(cluster_node(cluster, i));
		asked++;
		if (i == d) {
			membership_status(membership, &own);
			beyond += own.beyond;
		} else {
			assert_true(membership_find(membership, id, &info));
			beyond += info.beyond;
		}
	}
	assert_true(beyond == 0 || beyond == asked);
	return beyond > 0;
}

static unsigned int streams_with(struct cluster *cluster, unsigned int d)
{
	struct node_stream_status status;
	unsigned int n = 0;

	for (unsigned int i = 0; i < NODE_STREAMS_MAX; i++) {
		node_stream_status(cluster_node(cluster, d), i, cluster_now(cluster), &status);
		n += status.phase == NODE_STREAM_READY && status.for_sync;
	}
	return n;
}

/* It takes no part: no traffic, no entries, and it says why. */
static void assert_left_out(struct cluster *cluster, unsigned int d)
{
	struct node_status status;

	assert_true(is_beyond(cluster, d));
	node_status(cluster_node(cluster, d), &status);
	assert_true(status.beyond);
	assert_false(status.ready);
	assert_string_equal(status.waiting_for, "a place in the cluster, which is full");
	assert_false(cluster_update(cluster, d)->announce);
	assert_true(cluster_update(cluster, d)->refuse);
	assert_int_equal(streams_with(cluster, d), 0);
	assert_int_equal(cluster_kernel_count(cluster, d), 0);
}

static void assert_takes_part(struct cluster *cluster, unsigned int d)
{
	struct node_status status;

	assert_false(is_beyond(cluster, d));
	node_status(cluster_node(cluster, d), &status);
	assert_true(status.ready);
	assert_false(status.beyond);
	assert_true(cluster_update(cluster, d)->announce);
	assert_int_equal(streams_with(cluster, d), 2 * (LIMIT - 1));
	assert_int_equal(cluster_kernel_count(cluster, d), 1);
}

/* A director that comes when the cluster is full, even with a slow clock, takes no other's place,
 * and gets one when one is free: the first that came. */
static void test_full(void **state)
{
	struct cluster *cluster = cluster_new_limited(1, COUNT, LIMIT);
	struct entry entry = cluster_entry(1, 1, 1, false);

	(void)state;
	cluster_run(cluster, 10 * USEC_PER_SEC);
	cluster_carry(cluster, 0, &entry);
	cluster_start(cluster, 5);
	cluster_run(cluster, 5 * USEC_PER_SEC);
	cluster_clock(cluster, 4, -(int64_t)(1000 * USEC_PER_SEC));
	cluster_start(cluster, 4);
	cluster_run(cluster, 20 * USEC_PER_SEC);
	for (unsigned int d = 0; d < LIMIT; d++)
		assert_takes_part(cluster, d);
	assert_left_out(cluster, 4);
	assert_left_out(cluster, 5);

	cluster_tell(cluster, 1, (struct node_event){.type = NODE_LEAVE});
	cluster_run(cluster, 5 * USEC_PER_SEC);
	assert_true(cluster_update(cluster, 1)->done);
	cluster_crash(cluster, 1, true);
	cluster_run(cluster, 20 * USEC_PER_SEC);
	assert_takes_part(cluster, 0);
	assert_takes_part(cluster, 2);
	assert_takes_part(cluster, 3);
	assert_takes_part(cluster, 5);
	assert_left_out(cluster, 4);

	/* One that left comes back as the last; one that failed keeps its place. */
	cluster_start(cluster, 1);
	cluster_crash(cluster, 2, true);
	cluster_run(cluster, 30 * USEC_PER_SEC);
	assert_left_out(cluster, 1);
	assert_left_out(cluster, 4);
	cluster_free(cluster);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_full),
	};

	if (getenv("DIRECTORS"))
		directors = (unsigned int)atoi(getenv("DIRECTORS"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
