/* A peer holds the entries that it has acknowledged: each test is an order of events in which it
 * did not, or in which something older took their place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/cluster.h"

enum { ESTABLISHED = 1, FIN_WAIT = 4, TIME_WAIT = 5 };

/* A journal that is younger counts as acknowledged by no subscriber. */
#define YOUNG (60 * USEC_PER_SEC)
/* A batch interval, a step for the network, one to inject; as test_cluster has it. */
#define ARRIVES (20 * USEC_PER_MSEC)
/* Streams are dialled again, and what is asked for is answered; no comparison starts so soon. */
#define SETTLES (4 * USEC_PER_SEC)

static struct cluster *make_cluster(uint64_t seed, unsigned int count)
{
	struct cluster *cluster = cluster_new(seed, count);

	cluster_run(cluster, 2 * USEC_PER_SEC);
	return cluster;
}

static void carry(struct cluster *cluster, unsigned int d, unsigned int server, uint16_t state)
{
	struct entry entry = cluster_entry(1, server, state, false);

	cluster_carry(cluster, d, &entry);
	cluster_run(cluster, ARRIVES);
}

/* The state in a director's kernel; -1: it has none. */
static int kernel_state(const struct cluster *cluster, unsigned int d)
{
	struct entry entry = cluster_entry(1, 0, 0, false);

	return cluster_kernel(cluster, d, &entry.flow, &entry) ? entry.state : -1;
}

/* The first director's stream to a peer, which has acknowledged all. */
static void assert_acknowledged(struct cluster *cluster, unsigned int peer)
{
	uint64_t position = cluster_sync_status(cluster, 0).position;
	unsigned int found = 0;

	for (unsigned int i = NODE_DIALLED_MAX; i < NODE_STREAMS_MAX; i++) {
		struct node_stream_status status;

		node_stream_status(cluster_node(cluster, 0), i, cluster_now(cluster), &status);
		if (status.phase != NODE_STREAM_READY || !status.for_sync ||
		    status.id != cluster_identity(cluster, peer)->id)
			continue;
		assert_int_equal(status.sync.position, position);
		found++;
	}
	assert_int_equal(found, 1);
}

/* An entry of the first director's leaves its journal for the third's newer one, while the second
 * reaches neither; then it reaches the first alone, and the others die. */
static void test_gave_way(void **state)
{
	struct cluster *cluster = make_cluster(1, 3);

	(void)state;
	cluster_run(cluster, YOUNG);
	cluster_cut(cluster, 1, 0, true);
	cluster_cut(cluster, 1, 2, true);
	carry(cluster, 0, 1, ESTABLISHED);
	carry(cluster, 2, 1, FIN_WAIT);
	assert_int_equal(kernel_state(cluster, 0), FIN_WAIT);
	assert_int_equal(kernel_state(cluster, 1), -1);
	cluster_cut(cluster, 1, 0, false);
	cluster_run(cluster, SETTLES);
	assert_acknowledged(cluster, 1);
	cluster_crash(cluster, 0, true);
	cluster_crash(cluster, 2, true);
	cluster_run(cluster, SETTLES);
	assert_int_equal(kernel_state(cluster, 1), FIN_WAIT);
	cluster_free(cluster);
}

/* The same on a stream that lives: the second's is slow. */
static void test_gave_way_meanwhile(void **state)
{
	struct cluster *cluster = make_cluster(2, 3);

	(void)state;
	cluster_cut(cluster, 1, 2, true);
	cluster_throttle(cluster, 1, 0, 1);
	for (unsigned int i = 0; i < 20; i++) {
		struct entry entry = cluster_entry(100 + i, 1, ESTABLISHED, false);

		cluster_carry(cluster, 0, &entry);
		cluster_run(cluster, 10 * USEC_PER_MSEC);
	}
	carry(cluster, 0, 1, ESTABLISHED);
	carry(cluster, 2, 1, FIN_WAIT);
	assert_int_equal(kernel_state(cluster, 1), -1);
	cluster_throttle(cluster, 1, 0, 0);
	cluster_run(cluster, SETTLES);
	assert_acknowledged(cluster, 1);
	cluster_crash(cluster, 0, true);
	cluster_crash(cluster, 2, true);
	assert_int_equal(kernel_state(cluster, 1), FIN_WAIT);
	cluster_free(cluster);
}

/* Once all subscribers have acknowledged an entry, it is not published again. */
static void test_gave_way_later(void **state)
{
	struct cluster *cluster = make_cluster(3, 3);
	uint64_t position;

	(void)state;
	cluster_run(cluster, YOUNG);
	carry(cluster, 0, 1, ESTABLISHED);
	cluster_run(cluster, USEC_PER_SEC);
	position = cluster_sync_status(cluster, 0).position;
	carry(cluster, 2, 1, FIN_WAIT);
	assert_int_equal(kernel_state(cluster, 0), FIN_WAIT);
	assert_int_equal(cluster_sync_status(cluster, 0).position, position);
	cluster_free(cluster);
}

/* The second would hand the first's orphaned entry to the third, but holds a newer one of another
 * director instead. That is lost with both; the first still has its own. */
static void test_orphans_less(void **state)
{
	struct cluster *cluster = make_cluster(4, 4);

	(void)state;
	cluster_cut(cluster, 2, 0, true);
	cluster_cut(cluster, 2, 3, true);
	cluster_cut(cluster, 0, 3, true);
	carry(cluster, 0, 1, ESTABLISHED);
	carry(cluster, 3, 1, FIN_WAIT);
	assert_int_equal(kernel_state(cluster, 0), ESTABLISHED);
	assert_int_equal(kernel_state(cluster, 1), FIN_WAIT);
	cluster_cut(cluster, 1, 0, true);
	cluster_run(cluster, SETTLES);
	cluster_crash(cluster, 1, true);
	cluster_crash(cluster, 3, true);
	assert_int_equal(kernel_state(cluster, 2), -1);
	cluster_cut(cluster, 2, 0, false);
	cluster_run(cluster, SETTLES);
	assert_int_equal(kernel_state(cluster, 2), ESTABLISHED);
	cluster_free(cluster);
}

/* The first has been away, and its kernel holds an entry that the second had published then. It is
 * newer than the one that the first itself had published before, and older than the one that the
 * second published meanwhile. */
static void test_found_is_not_newest(void **state)
{
	struct cluster *cluster = make_cluster(5, 4);

	(void)state;
	carry(cluster, 0, 1, ESTABLISHED);
	for (unsigned int d = 0; d < 4; d++)
		cluster_cut(cluster, 2, d, d != 2);
	carry(cluster, 1, 1, FIN_WAIT);
	assert_int_equal(kernel_state(cluster, 0), FIN_WAIT);
	cluster_crash(cluster, 0, false);
	carry(cluster, 1, 1, TIME_WAIT);
	assert_int_equal(kernel_state(cluster, 3), TIME_WAIT);
	cluster_crash(cluster, 1, true);
	cluster_cut(cluster, 0, 3, true);
	cluster_cut(cluster, 0, 2, false);
	cluster_start(cluster, 0);
	cluster_run(cluster, 4 * SETTLES);
	assert_int_equal(kernel_state(cluster, 2), FIN_WAIT);
	for (unsigned int d = 0; d < 4; d++) {
		cluster_cut(cluster, 2, d, false);
		cluster_cut(cluster, 0, d, false);
	}
	cluster_start(cluster, 1);
	cluster_run(cluster, 2 * SETTLES);
	for (unsigned int d = 0; d < 4; d++)
		assert_int_equal(kernel_state(cluster, d), TIME_WAIT);
	cluster_free(cluster);
}

/* The first has published a newer entry than the third has; the third sets the first's kernel back
 * at its start. After one more start, the entry in the first's kernel does not pass for newer than
 * the published one, even if it is an end. */
static void set_back_between(uint16_t older, uint16_t newer)
{
	struct cluster *cluster = make_cluster(6, 3);
	struct entry another = cluster_entry(2, 1, ESTABLISHED, false);

	carry(cluster, 1, 1, older);
	cluster_cut(cluster, 2, 0, true);
	cluster_cut(cluster, 2, 1, true);
	carry(cluster, 0, 1, newer);
	assert_int_equal(kernel_state(cluster, 1), newer);
	cluster_carry(cluster, 2, &another);
	cluster_crash(cluster, 0, false);
	cluster_cut(cluster, 0, 1, true);
	cluster_cut(cluster, 0, 2, false);
	cluster_start(cluster, 0);
	cluster_run(cluster, 4 * SETTLES);
	assert_int_equal(kernel_state(cluster, 0), older);
	cluster_crash(cluster, 0, false);
	cluster_cut(cluster, 0, 1, false);
	cluster_cut(cluster, 0, 2, true);
	cluster_start(cluster, 0);
	cluster_run(cluster, 4 * SETTLES);
	cluster_cut(cluster, 0, 2, false);
	cluster_cut(cluster, 2, 1, false);
	cluster_run(cluster, 4 * SETTLES);
	for (unsigned int d = 0; d < 3; d++)
		assert_int_equal(kernel_state(cluster, d), newer);
	cluster_free(cluster);
}

static void test_set_back_between(void **state)
{
	(void)state;
	set_back_between(ESTABLISHED, FIN_WAIT);
	set_back_between(FIN_WAIT, ESTABLISHED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gave_way),
		cmocka_unit_test(test_gave_way_meanwhile),
		cmocka_unit_test(test_gave_way_later),
		cmocka_unit_test(test_orphans_less),
		cmocka_unit_test(test_found_is_not_newest),
		cmocka_unit_test(test_set_back_between),
	};

	cmocka_set_test_filter(getenv("TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
