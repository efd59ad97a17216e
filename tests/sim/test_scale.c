/* Clusters with more directors than a word has bits; DIRECTORS=256 in the environment: as many as
 * there may be, in some minutes. Real signatures would take most of the time, and say nothing more
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_killed),
	};

	if (getenv("DIRECTORS"))
		directors = (unsigned int)atoi(getenv("DIRECTORS"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
