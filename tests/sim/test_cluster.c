#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/event/observer.h"
#include "director/node/peers.h"
#include "tests/sim/cluster.h"

#define ESTABLISHED 1
#define FIN_WAIT 4
#define CLOSE 6

static void assert_same(struct cluster *cluster)
{
	const char *difference = cluster_difference(cluster);

	if (difference)
		fail_msg("%s", difference);
}

/* The streams on which d gives its entries are all at the journal's end. */
static void assert_acknowledged(struct cluster *cluster, unsigned int d, unsigned int sinks)
{
	for (unsigned int i = NODE_DIALLED_MAX; i < NODE_STREAMS_MAX; i++) {
		struct node_stream_status status;

		node_stream_status(cluster_node(cluster, d), i, cluster_now(cluster), &status);
		if (status.phase != NODE_STREAM_READY || !status.for_sync)
			continue;
		assert_true(status.sync.synced);
		assert_int_equal(status.sync.position, cluster_sync_status(cluster, d).position);
		assert_int_equal(status.sync.lag, 0);
		sinks--;
	}
	assert_int_equal(sinks, 0);
}

static void test_replicates(void **state)
{
	struct cluster *cluster = cluster_new(1, 3);

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int i = 0; i < 300; i++) {
		struct entry entry = cluster_entry(i, i % 4, ESTABLISHED, true);

		cluster_carry(cluster, i % 3, &entry);
	}
	/* A batch interval, a step for the network, one to inject; loss-free. */
	cluster_run(cluster, 20 * USEC_PER_MSEC);
	for (unsigned int d = 0; d < 3; d++)
		assert_int_equal(cluster_kernel_count(cluster, d), 300);
	/* The same in a steady flow, where batches have to wait for one another. */
	for (unsigned int i = 300; i < 400; i++) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, true);

		cluster_carry(cluster, 0, &entry);
		cluster_run(cluster, USEC_PER_MSEC);
	}
	cluster_run(cluster, 20 * USEC_PER_MSEC);
	assert_int_equal(cluster_kernel_count(cluster, 2), 400);
	/* And what was sent is acknowledged. */
	cluster_run(cluster, 200 * USEC_PER_MSEC);
	assert_acknowledged(cluster, 0, 2);
	assert_same(cluster);
	cluster_free(cluster);
}

static void test_ready(void **state)
{
	struct cluster *cluster = cluster_new(2, 3);
	struct node_status status;

	(void)state;
	cluster_crash(cluster, 1, true);
	cluster_crash(cluster, 2, true);
	cluster_run(cluster, USEC_PER_SEC);
	node_status(cluster_node(cluster, 0), &status);
	/* No peer answers yet, and the director waits for them. */
	assert_false(status.ready);
	assert_non_null(status.waiting_for);
	cluster_run(cluster, 6 * USEC_PER_SEC);
	node_status(cluster_node(cluster, 0), &status);
	assert_true(status.ready);
	/* A director that reaches one peer does not wait for the others in the list. */
	cluster_start(cluster, 1);
	cluster_run(cluster, 2 * USEC_PER_SEC);
	node_status(cluster_node(cluster, 1), &status);
	assert_true(status.ready);
	/* The third comes, but its kernel takes nothing. */
	for (unsigned int i = 0; i < 2000; i++) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, false);

		cluster_carry(cluster, i % 2, &entry);
	}
	cluster_lossy(cluster, 1);
	cluster_start(cluster, 2);
	cluster_run(cluster, 6 * USEC_PER_SEC);
	node_status(cluster_node(cluster, 2), &status);
	assert_false(status.ready);
	/* It is ready as soon as it has what the others hold. */
	cluster_lossy(cluster, 0);
	for (int i = 0; i < 2000; i++) {
		cluster_run(cluster, USEC_PER_MSEC);
		node_status(cluster_node(cluster, 2), &status);
		if (status.ready)
			break;
	}
	assert_true(status.ready);
	assert_int_equal(cluster_kernel_count(cluster, 2), 2000);
	assert_same(cluster);
	cluster_free(cluster);
}

static bool is_ready(struct cluster *cluster, unsigned int d)
{
	struct node_status status;

	node_status(cluster_node(cluster, d), &status);
	return status.ready;
}

/* A joiner is ready when it has what there was, although more keeps coming. */
static void test_ready_under_traffic(void **state)
{
	struct cluster *cluster = cluster_new(8, 2);
	unsigned int i = 0;

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	cluster_crash(cluster, 1, true);
	cluster_slow(cluster, 4 * USEC_PER_MSEC);
	for (; i < 200; i++) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, false);

		cluster_carry(cluster, 0, &entry);
	}
	cluster_start(cluster, 1);
	for (; i < 1200; i++) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, false);

		cluster_carry(cluster, 0, &entry);
		cluster_run(cluster, USEC_PER_MSEC);
		if (is_ready(cluster, 1))
			break;
	}
	assert_true(is_ready(cluster, 1));
	for (unsigned int j = 0; j < 200; j++) {
		struct entry entry = cluster_entry(j, 1, ESTABLISHED, false), held;

		assert_true(cluster_kernel(cluster, 1, &entry.flow, &held));
	}
	cluster_free(cluster);
}

/* A peer that is lost before its entries are complete, for much longer than one that is not there
 * is waited for, has not given its entries. */
static void test_ready_interrupted(void **state)
{
	struct cluster *cluster = cluster_new(9, 2);
	struct node_stream_status status;
	unsigned int cuts = 0;

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	cluster_crash(cluster, 1, true);
	for (unsigned int i = 0; i < 500; i++) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, false);

		cluster_carry(cluster, 0, &entry);
	}
	cluster_start(cluster, 1);
	for (int i = 0; i < 20000; i++) {
		cluster_run(cluster, USEC_PER_MSEC);
		node_stream_status(cluster_node(cluster, 1), 0, cluster_now(cluster), &status);
		if (status.phase != NODE_STREAM_READY || !status.for_sync)
			continue;
		cluster_cut(cluster, 0, 1, true);
		cluster_cut(cluster, 0, 1, false);
		cuts++;
	}
	assert_false(is_ready(cluster, 1));
	/* And it is not dialled as fast as can be. */
	assert_in_range(cuts, 8, 20);
	cluster_run(cluster, 4 * USEC_PER_SEC);
	assert_true(is_ready(cluster, 1));
	assert_int_equal(cluster_kernel_count(cluster, 1), 500);

	/* But the wait ends. */
	cluster_crash(cluster, 1, true);
	cluster_start(cluster, 1);
	for (int i = 0; i < 70000 && !is_ready(cluster, 1); i++) {
		cluster_run(cluster, USEC_PER_MSEC);
		node_stream_status(cluster_node(cluster, 1), 0, cluster_now(cluster), &status);
		if (status.phase != NODE_STREAM_READY || !status.for_sync)
			continue;
		cluster_cut(cluster, 0, 1, true);
		cluster_cut(cluster, 0, 1, false);
	}
	assert_true(is_ready(cluster, 1));
	cluster_free(cluster);
}

/* A flow that moves: all take the entry of the director that carried it last. */
static void test_moves(void **state)
{
	struct cluster *cluster = cluster_new(3, 3);
	struct entry entry = cluster_entry(1, 1, ESTABLISHED, false), held;

	(void)state;
	/* d2's clock is a minute behind: what it carries after d1 is newer all the same. */
	cluster_clock(cluster, 1, -60 * (int64_t)USEC_PER_SEC);
	cluster_run(cluster, USEC_PER_SEC);
	cluster_carry(cluster, 0, &entry);
	cluster_run(cluster, 20 * USEC_PER_MSEC);
	entry.state = FIN_WAIT;
	cluster_carry(cluster, 1, &entry);
	cluster_run(cluster, 20 * USEC_PER_MSEC);
	for (unsigned int d = 0; d < 3; d++) {
		assert_true(cluster_kernel(cluster, d, &entry.flow, &held));
		assert_int_equal(held.state, FIN_WAIT);
	}
	assert_int_equal(cluster_sync_status(cluster, 0).entries_own, 0);
	assert_int_equal(cluster_sync_status(cluster, 1).entries_own, 1);
	assert_same(cluster);
	cluster_free(cluster);
}

static bool announces_after(struct cluster *cluster, usec_t time)
{
	cluster_run(cluster, time);
	return cluster_update(cluster, 0)->announce;
}

static void forwarder(struct cluster *cluster, bool ok)
{
	cluster_tell(cluster, 0, (struct node_event){.type = NODE_FORWARDER, .ok = ok});
	if (!ok)
		assert_false(cluster_update(cluster, 0)->announce);
}

/* A forwarder that stalls again and again is trusted later each time, and at once after a calm. */
static void test_forwarder(void **state)
{
	struct cluster *cluster = cluster_new(10, 2);

	(void)state;
	assert_true(announces_after(cluster, 70 * USEC_PER_SEC));
	forwarder(cluster, false);
	forwarder(cluster, true);
	assert_true(cluster_update(cluster, 0)->announce);
	for (unsigned int hold = 2; hold <= 8; hold *= 2) {
		forwarder(cluster, false);
		forwarder(cluster, true);
		assert_false(announces_after(cluster, hold * USEC_PER_SEC - 200 * USEC_PER_MSEC));
		assert_true(announces_after(cluster, 400 * USEC_PER_MSEC));
	}
	for (unsigned int i = 0; i < 40; i++) {
		forwarder(cluster, false);
		forwarder(cluster, true);
	}
	assert_true(announces_after(cluster, 61 * USEC_PER_SEC));
	assert_true(announces_after(cluster, 60 * USEC_PER_SEC));
	forwarder(cluster, false);
	forwarder(cluster, true);
	assert_true(cluster_update(cluster, 0)->announce);
	cluster_free(cluster);
}

/* Apart, two directors carry the same connections; some with different real servers. */
static void test_concurrent_updates(void **state)
{
	struct cluster *cluster = cluster_new(11, 2);
	struct sync_status a, b;

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int i = 0; i < 20; i++) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, false);

		cluster_carry(cluster, 0, &entry);
	}
	cluster_run(cluster, USEC_PER_SEC);
	cluster_cut(cluster, 0, 1, true);
	cluster_run(cluster, USEC_PER_SEC);
	/* 0 to 3: with the real server they had, ended by both; 4 to 6: to another one by d2; 7 to
	 * 9 by one side only. */
	for (unsigned int i = 0; i < 10; i++) {
		struct entry entry = cluster_entry(i, 1, i < 4 ? FIN_WAIT : ESTABLISHED, false);

		if (i <= 7)
			cluster_carry(cluster, 0, &entry);
		cluster_run(cluster, 10 * USEC_PER_MSEC);
		entry = cluster_entry(i, i >= 4 && i < 7 ? 2 : 1, i < 4 ? FIN_WAIT : ESTABLISHED,
				      false);
		if (i != 7)
			cluster_carry(cluster, 1, &entry);
	}
	assert_int_equal(cluster_sync_status(cluster, 0).concurrent_updates, 0);
	cluster_cut(cluster, 0, 1, false);
	cluster_run(cluster, 10 * USEC_PER_SEC);
	assert_same(cluster);
	a = cluster_sync_status(cluster, 0);
	b = cluster_sync_status(cluster, 1);
	assert_int_equal(a.concurrent_updates, 7);
	assert_int_equal(a.conflicts, 3);
	assert_int_equal(b.concurrent_updates, 0);
	assert_int_equal(b.conflicts, 0);
	/* While the two are connected, a flow that comes another way with its own real server is no
	 * conflict. */
	for (unsigned int i = 10; i < 20; i++) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, false);

		cluster_carry(cluster, 1, &entry);
	}
	cluster_run(cluster, USEC_PER_SEC);
	assert_int_equal(cluster_sync_status(cluster, 0).conflicts, 3);
	assert_int_equal(cluster_sync_status(cluster, 0).concurrent_updates, 7);
	cluster_free(cluster);
}

/* A connection has two real servers at two directors, and the later one has ended: a kernel does
 * not take that by itself. */
static void test_ended_elsewhere(void **state)
{
	enum { FLOWS = 50 };
	struct cluster *cluster = cluster_new(13, 3);
	uint64_t captured = 0, learned = 0;
	struct entry is;

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int i = 0; i < FLOWS; i++) {
		struct entry lives = cluster_entry(i, 1, ESTABLISHED, true);
		struct entry ends = cluster_entry(i, 2, FIN_WAIT, true);

		ends.flags |= ENTRY_INACTIVE;
		cluster_carry(cluster, 0, &lives);
		/* By then all directors know the connection, or only the first. */
		cluster_run(cluster, (1 + i % 2 * 50) * USEC_PER_MSEC);
		if (i % 3 == 0)
			cluster_lossy(cluster, 2);
		cluster_carry(cluster, 1, &ends);
		cluster_run(cluster, 50 * USEC_PER_MSEC);
		cluster_lossy(cluster, 0);
	}
	cluster_run(cluster, 2 * USEC_PER_SEC);
	assert_same(cluster);
	for (unsigned int d = 0; d < 3; d++) {
		struct sync_status status = cluster_sync_status(cluster, d);

		for (unsigned int i = 0; i < FLOWS; i++) {
			struct entry entry = cluster_entry(i, 2, FIN_WAIT, true);

			assert_true(cluster_kernel(cluster, d, &entry.flow, &is));
			assert_true(entry_agrees(&is, &entry));
			assert_true(is.flags & ENTRY_INACTIVE);
		}
		captured += status.captured;
		learned += status.learned;
		assert_int_equal(status.conflicts, 0); /* no director's choice was taken away */
	}
	/* The directors have sent the kernels' reports once to each peer, and nothing else. */
	assert_int_equal(captured, 2 * FLOWS);
	assert_true(learned <= 2 * captured);
	cluster_free(cluster);
}

/* Packets of each flow reach all directors in turn, and each kernel has chosen a real server of its
 * own: what is said of that does not grow beyond what the kernels say. */
static void test_no_storm(void **state)
{
	enum { FLOWS = 20, ROUNDS = 50, DIRECTORS = 3 };
	struct cluster *cluster = cluster_new(12, DIRECTORS);
	uint64_t captured = 0, learned = 0, conflicts = 0;

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		for (unsigned int i = 0; i < FLOWS; i++) {
			unsigned int d = (round + i) % DIRECTORS;
			struct entry entry = cluster_entry(i, 1 + d, ESTABLISHED, false);

			cluster_carry(cluster, d, &entry);
		}
		cluster_run(cluster, 3 * USEC_PER_MSEC);
	}
	cluster_run(cluster, 5 * USEC_PER_SEC);
	assert_same(cluster);
	for (unsigned int d = 0; d < DIRECTORS; d++) {
		struct sync_status status = cluster_sync_status(cluster, d);

		captured += status.captured;
		learned += status.learned;
		conflicts += status.conflicts;
	}
	assert_true(captured <= FLOWS * ROUNDS);
	assert_true(learned <= captured * (DIRECTORS - 1));
	assert_in_range(conflicts, FLOWS, learned);
	cluster_free(cluster);
}

static void test_resumes(void **state)
{
	struct cluster *cluster = cluster_new(4, 2);
	struct sync_status before, after;

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int i = 0; i < 1000; i++) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, false);

		cluster_carry(cluster, 0, &entry);
	}
	cluster_run(cluster, 100 * USEC_PER_MSEC);
	cluster_cut(cluster, 0, 1, true);
	/* The same entry changes often while no peer is connected: it is sent once. */
	for (unsigned int i = 0; i < 100; i++) {
		struct entry entry = cluster_entry(7, 1, i % 2 ? FIN_WAIT : ESTABLISHED, false);

		cluster_carry(cluster, 0, &entry);
	}
	before = cluster_sync_status(cluster, 1);
	cluster_cut(cluster, 0, 1, false);
	cluster_run(cluster, 5 * USEC_PER_SEC);
	after = cluster_sync_status(cluster, 1);
	assert_int_equal(after.learned - before.learned, 1);
	assert_int_equal(after.stale - before.stale, 0);
	assert_same(cluster);
	cluster_free(cluster);
}

/* The daemon restarts, the kernel does not: no entry is rewound, all are known again. */
static void test_restart(void **state)
{
	struct cluster *cluster = cluster_new(5, 3);
	struct entry entry, held;

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int i = 0; i < 500; i++) {
		entry = cluster_entry(i, 1, ESTABLISHED, true);
		cluster_carry(cluster, i % 3, &entry);
	}
	cluster_run(cluster, USEC_PER_SEC);
	cluster_crash(cluster, 0, false);
	/* Meanwhile its kernel and another director's went on. */
	entry = cluster_entry(0, 1, FIN_WAIT, true);
	cluster_start(cluster, 0);
	cluster_crash(cluster, 0, false);
	cluster_run(cluster, USEC_PER_SEC);
	cluster_start(cluster, 0);
	cluster_carry(cluster, 1, &entry);
	cluster_run(cluster, 3 * USEC_PER_SEC);
	for (unsigned int d = 0; d < 3; d++) {
		assert_int_equal(cluster_kernel_count(cluster, d), 500);
		assert_true(cluster_kernel(cluster, d, &entry.flow, &held));
		assert_int_equal(held.state, FIN_WAIT);
	}
	assert_same(cluster);

	/* A connection ends while the daemon is away: the kernel knows better than the peers. */
	cluster_crash(cluster, 0, false);
	entry = cluster_entry(3, 1, FIN_WAIT, true);
	cluster_carry(cluster, 0, &entry);
	cluster_start(cluster, 0);
	cluster_run(cluster, 3 * USEC_PER_SEC);
	for (unsigned int d = 0; d < 3; d++) {
		assert_true(cluster_kernel(cluster, d, &entry.flow, &held));
		assert_int_equal(held.state, FIN_WAIT);
	}
	assert_same(cluster);

	/* The whole machine: its share comes back from the others. */
	cluster_crash(cluster, 0, true);
	cluster_start(cluster, 0);
	cluster_run(cluster, 3 * USEC_PER_SEC);
	assert_int_equal(cluster_kernel_count(cluster, 0), 500);
	assert_same(cluster);
	cluster_free(cluster);
}

static unsigned int streams_ready(struct cluster *cluster, unsigned int d)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < NODE_STREAMS_MAX; i++) {
		struct node_stream_status status;

		node_stream_status(cluster_node(cluster, d), i, cluster_now(cluster), &status);
		n += status.phase == NODE_STREAM_READY && status.for_sync;
	}
	return n;
}

/* A kernel that lost entries gets them again, no matter which director carried them, and the daemon
 * reads those that a kernel did not report; it does nothing else. */
static void test_kernel_differs(void **state)
{
	struct cluster *cluster = cluster_new(11, 3);

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int i = 0; i < 300; i++) {
		struct entry entry = cluster_entry(i, i % 4, ESTABLISHED, true);

		cluster_carry(cluster, i % 3, &entry);
	}
	cluster_run(cluster, 60 * USEC_PER_SEC);
	for (unsigned int d = 0; d < 3; d++) {
		assert_int_equal(cluster_sync_status(cluster, d).reinjected, 0);
		assert_int_equal(cluster_sync_status(cluster, d).adopted, 0);
	}
	cluster_lose(cluster, 1, 2);
	assert_in_range(cluster_kernel_count(cluster, 1), 100, 200);
	cluster_run(cluster, 8 * USEC_PER_SEC);
	assert_same(cluster);
	assert_int_equal(cluster_kernel_count(cluster, 1), 300);
	assert_in_range(cluster_sync_status(cluster, 1).reinjected, 100, 300);
	assert_int_equal(cluster_sync_status(cluster, 0).reinjected +
				 cluster_sync_status(cluster, 2).reinjected,
			 0);

	for (unsigned int i = 300; i < 500; i++) {
		struct entry entry = cluster_entry(i, i % 4, ESTABLISHED, true);

		cluster_unreported(cluster, 2, &entry);
	}
	cluster_run(cluster, 10 * USEC_PER_SEC);
	assert_same(cluster);
	assert_int_equal(cluster_kernel_count(cluster, 0), 500);
	assert_int_equal(cluster_sync_status(cluster, 2).adopted, 200);
	cluster_free(cluster);
}

static unsigned int count_server(struct cluster *cluster, unsigned int d, unsigned int entries,
				 unsigned int server, bool closed)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < entries; i++) {
		struct entry entry = cluster_entry(i, 0, ESTABLISHED, true), is;

		n += cluster_kernel(cluster, d, &entry.flow, &is) && is.daddr[3] == server &&
		     (is.state == CLOSE) == closed;
	}
	return n;
}

/* A real server is down, and its connections are to end: they do on all directors, also those of a
 * director that died before; all others, and those of another service, go on. */
static void test_ends(void **state)
{
	struct cluster *cluster = cluster_new(12, 4);
	unsigned int down = 0;

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int i = 0; i < 400; i++) {
		struct entry entry = cluster_entry(i, i % 5, ESTABLISHED, true);

		cluster_carry(cluster, i % 4, &entry);
		down += i % 5 == 2 && i % 2 == 0;
	}
	cluster_run(cluster, 10 * USEC_PER_SEC);
	cluster_crash(cluster, 3, true);
	cluster_run(cluster, 10 * USEC_PER_SEC);
	for (unsigned int d = 0; d < 3; d++) {
		/* the server of IPv4 only */
		struct entry entry = cluster_entry(2, 2, ESTABLISHED, true);

		cluster_end(cluster, d, &entry, true);
		/* and one that came back before anything was done */
		entry = cluster_entry(4, 4, ESTABLISHED, true);
		cluster_end(cluster, d, &entry, true);
		cluster_end(cluster, d, &entry, false);
	}
	cluster_run(cluster, 2 * USEC_PER_SEC);
	for (unsigned int d = 0; d < 3; d++) {
		unsigned int closed = 0;

		assert_int_equal(cluster_kernel_count(cluster, d), 400);
		assert_int_equal(count_server(cluster, d, 400, 2, false), 80 - down);
		for (unsigned int server = 0; server < 5; server++)
			closed += count_server(cluster, d, 400, server, true);
		assert_int_equal(closed, down);
		assert_int_equal(count_server(cluster, d, 400, 4, false), 80);
	}
	cluster_run(cluster, 120 * USEC_PER_SEC);
	for (unsigned int d = 0; d < 3; d++) {
		assert_int_equal(cluster_kernel_count(cluster, d), 400 - down);
		assert_int_equal(cluster_sync_status(cluster, d).conflicts, 0);
	}
	assert_int_equal(cluster_sync_status(cluster, 0).ended +
				 cluster_sync_status(cluster, 1).ended +
				 cluster_sync_status(cluster, 2).ended,
			 down);
	cluster_free(cluster);
}

/* The same right after the service was configured: no director has seen it in its kernel yet. */
static void test_ends_of_new_service(void **state)
{
	struct entry old = cluster_entry(0, 1, ESTABLISHED, false);
	struct entry entry = cluster_entry(1, 2, ESTABLISHED, false);

	(void)state;
	entry.flow.vaddr[3]++;
	/* at any time between two looks at the kernel */
	for (unsigned int i = 0; i < 30; i++) {
		struct cluster *cluster = cluster_new(13, 2);

		cluster_run(cluster, USEC_PER_SEC);
		cluster_carry(cluster, 0, &old);
		cluster_run(cluster, 10 * USEC_PER_SEC + i * 100 * USEC_PER_MSEC);
		cluster_carry(cluster, 0, &entry);
		cluster_run(cluster, 50 * USEC_PER_MSEC);
		for (unsigned int d = 0; d < 2; d++)
			cluster_end(cluster, d, &entry, true);
		cluster_run(cluster, 20 * USEC_PER_SEC);
		assert_int_equal(cluster_sync_status(cluster, 0).ended, 1);
		cluster_free(cluster);
	}
}

/* No stream is closed when the peer is gone: only its silence shows it. */
static void test_silence(void **state)
{
	struct cluster *cluster = cluster_new(6, 2);
	struct entry entry = cluster_entry(1, 1, ESTABLISHED, false);

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	assert_int_equal(streams_ready(cluster, 0), 2);
	cluster_hole(cluster, 0, 1, true);
	cluster_carry(cluster, 0, &entry);
	cluster_run(cluster, 7 * USEC_PER_SEC);
	assert_int_equal(streams_ready(cluster, 0), 0);
	assert_int_equal(streams_ready(cluster, 1), 0);
	/* Dials get no answer either, and are given up. */
	cluster_run(cluster, 10 * USEC_PER_SEC);
	cluster_hole(cluster, 0, 1, false);
	cluster_run(cluster, 6 * USEC_PER_SEC);
	assert_int_equal(streams_ready(cluster, 0), 2);
	assert_same(cluster);

	/* A peer that comes back before it was missed: its old streams give way at once. */
	cluster_hole(cluster, 0, 1, true);
	cluster_crash(cluster, 1, true);
	cluster_hole(cluster, 0, 1, false);
	cluster_start(cluster, 1);
	cluster_run(cluster, USEC_PER_SEC);
	assert_int_equal(streams_ready(cluster, 1), 1);
	assert_int_equal(cluster_kernel_count(cluster, 1), 1);
	assert_int_equal(streams_ready(cluster, 0), 2);
	cluster_run(cluster, 7 * USEC_PER_SEC);
	assert_int_equal(streams_ready(cluster, 0), 2);
	assert_same(cluster);
	cluster_free(cluster);
}

static void test_metronome(void **state)
{
	struct cluster *cluster = cluster_new(7, 2);
	struct entry entry = cluster_entry(1, 1, ESTABLISHED, false);
	static const uint8_t tap[] = {169, 254, 117, 1};

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	memcpy(entry.flow.vaddr, tap, sizeof(tap));
	cluster_carry(cluster, 0, &entry);
	cluster_run(cluster, USEC_PER_SEC);
	assert_int_equal(cluster_sync_status(cluster, 0).entries, 0);
	assert_int_equal(cluster_kernel_count(cluster, 1), 0);
	cluster_free(cluster);
}

/* A crash is a failure, and the streams open again when it is back. */
static void test_crash(void **state)
{
	struct cluster *cluster = cluster_new(8, 3);

	(void)state;
	cluster_run(cluster, 2 * USEC_PER_SEC);
	assert_int_equal(cluster_noticed(cluster, 0, MEMBERSHIP_MEMBER_JOINED), 2);
	cluster_crash(cluster, 2, true);
	cluster_run(cluster, 3 * USEC_PER_SEC);
	assert_int_equal(cluster_noticed(cluster, 0, MEMBERSHIP_MEMBER_FAILED), 1);
	assert_int_equal(cluster_noticed(cluster, 1, MEMBERSHIP_MEMBER_FAILED), 1);
	assert_int_equal(streams_ready(cluster, 0), 2);
	cluster_start(cluster, 2);
	cluster_run(cluster, 3 * USEC_PER_SEC);
	assert_int_equal(cluster_noticed(cluster, 0, MEMBERSHIP_MEMBER_RECOVERED), 1);
	assert_int_equal(streams_ready(cluster, 0), 4);
	assert_int_equal(streams_ready(cluster, 2), 4);
	cluster_free(cluster);
}

/* Draining takes no traffic, and says when all that it holds is with the others. */
static void test_drain(void **state)
{
	struct cluster *cluster = cluster_new(9, 3);
	struct entry entry = cluster_entry(1, 1, ESTABLISHED, false);
	struct node_status status;

	(void)state;
	cluster_run(cluster, 2 * USEC_PER_SEC);
	assert_true(cluster_update(cluster, 0)->announce);
	cluster_hole(cluster, 0, 2, true);
	cluster_carry(cluster, 0, &entry);
	cluster_tell(cluster, 0, (struct node_event){.type = NODE_DRAIN, .ok = true});
	assert_false(cluster_update(cluster, 0)->announce);
	/* d3 has not acknowledged the last entry. */
	cluster_run(cluster, 500 * USEC_PER_MSEC);
	node_status(cluster_node(cluster, 0), &status);
	assert_true(status.draining && !status.drained);
	cluster_hole(cluster, 0, 2, false);
	cluster_run(cluster, USEC_PER_SEC);
	node_status(cluster_node(cluster, 0), &status);
	assert_true(status.drained);
	cluster_tell(cluster, 0, (struct node_event){.type = NODE_DRAIN, .ok = false});
	assert_true(cluster_update(cluster, 0)->announce);
	cluster_free(cluster);
}

/* A director that leaves, or stops for an announced absence, has not failed. */
static void test_leave(void **state)
{
	struct cluster *cluster = cluster_new(10, 4);
	struct membership_status status;

	(void)state;
	cluster_run(cluster, 2 * USEC_PER_SEC);
	cluster_tell(cluster, 3, (struct node_event){.type = NODE_LEAVE});
	cluster_run(cluster, 2 * USEC_PER_SEC);
	assert_true(cluster_update(cluster, 3)->done);
	cluster_crash(cluster, 3, false);
	cluster_tell(cluster, 2,
		     (struct node_event){.type = NODE_ABSENCE, .lease = 60 * USEC_PER_SEC});
	cluster_run(cluster, USEC_PER_SEC);
	assert_true(cluster_update(cluster, 2)->done);
	cluster_crash(cluster, 2, false);
	cluster_run(cluster, 10 * USEC_PER_SEC);
	for (unsigned int d = 0; d < 2; d++) {
		assert_int_equal(cluster_noticed(cluster, d, MEMBERSHIP_MEMBER_LEFT), 1);
		assert_int_equal(cluster_noticed(cluster, d, MEMBERSHIP_MEMBER_FAILED), 0);
		assert_int_equal(cluster_noticed(cluster, d, MEMBERSHIP_QUORUM_LOST), 0);
		membership_status(node_membership(cluster_node(cluster, d)), &status);
		assert_int_equal(status.roster, 3);
		assert_int_equal(streams_ready(cluster, d), 2);
	}
	cluster_start(cluster, 2);
	cluster_run(cluster, 3 * USEC_PER_SEC);
	assert_int_equal(streams_ready(cluster, 0), 4);
	assert_int_equal(cluster_noticed(cluster, 0, MEMBERSHIP_MEMBER_FAILED), 0);
	cluster_free(cluster);
}

/* Stopped while it drains in order to leave, it leaves all the same. */
static void test_stopped_while_leaving(void **state)
{
	struct cluster *cluster = cluster_new(11, 3);
	struct entry entry = cluster_entry(1, 1, ESTABLISHED, false);

	(void)state;
	cluster_run(cluster, 2 * USEC_PER_SEC);
	cluster_hole(cluster, 0, 2, true);
	cluster_carry(cluster, 0, &entry);
	cluster_tell(cluster, 0, (struct node_event){.type = NODE_LEAVE});
	cluster_run(cluster, 500 * USEC_PER_MSEC);
	assert_false(cluster_update(cluster, 0)->done);
	cluster_tell(cluster, 0,
		     (struct node_event){.type = NODE_ABSENCE, .lease = 60 * USEC_PER_SEC});
	cluster_run(cluster, USEC_PER_SEC);
	assert_true(cluster_update(cluster, 0)->done);
	assert_int_equal(cluster_noticed(cluster, 1, MEMBERSHIP_MEMBER_LEFT), 1);
	cluster_free(cluster);
}

static void chaos_step(struct cluster *cluster, unsigned int count)
{
	unsigned int d = (unsigned int)(cluster_random(cluster) % count);
	unsigned int e = (unsigned int)(cluster_random(cluster) % count);
	unsigned int flow = (unsigned int)(cluster_random(cluster) % 2000);

	switch (cluster_random(cluster) % 16) {
	case 0:
		if (d != e)
			cluster_cut(cluster, d, e, cluster_random(cluster) % 2);
		break;
	case 1:
		if (cluster_up(cluster, d))
			cluster_crash(cluster, d, false);
		break;
	case 2:
	case 3:
		if (!cluster_up(cluster, d))
			cluster_start(cluster, d);
		break;
	case 4:
		cluster_clock(cluster, d, (int64_t)(cluster_random(cluster) % 20000000) - 10000000);
		break;
	default:
		for (unsigned int i = 0; i < 10 && cluster_up(cluster, d); i++) {
			struct entry entry = cluster_entry(
				flow + i, flow % 4,
				cluster_random(cluster) % 2 ? FIN_WAIT : ESTABLISHED, true);

			cluster_carry(cluster, d, &entry);
		}
	}
	cluster_run(cluster, (1 + cluster_random(cluster) % 50) * USEC_PER_MSEC);
}

/* Nothing that would alarm an operator is refused because directors come and go. */
static void assert_nothing_alarming(struct cluster *cluster, unsigned int d)
{
	struct counter counter;

	for (unsigned int i = 0; node_counter(cluster_node(cluster, d), i, &counter); i++)
		if (counter.value &&
		    observer_refusal(counter.group, counter.name) == OBSERVER_ALARMING)
			fail_msg("d%u: %s/%s %llu", d + 1, counter.group, counter.name,
				 (unsigned long long)counter.value);
}

static void chaos(uint64_t seed)
{
	unsigned int count = 2 + (unsigned int)(seed % 4);
	struct cluster *cluster = cluster_new(seed, count);
	const char *difference;

	/* Every other director speaks the next version too, from its next start on. */
	for (unsigned int d = 1; d < count; d += 2)
		cluster_versions(cluster, d, (struct version_range){1, 2});
	cluster_lossy(cluster, 5);
	for (int i = 0; i < 150; i++)
		chaos_step(cluster, count);
	cluster_lossy(cluster, 0);
	for (unsigned int d = 0; d < count; d++) {
		for (unsigned int e = 0; e < count; e++)
			cluster_cut(cluster, d, e, false);
		if (!cluster_up(cluster, d))
			cluster_start(cluster, d);
	}
	cluster_run(cluster, 10 * USEC_PER_SEC);
	difference = cluster_difference(cluster);
	/* Anti-entropy finds the entries that only one director holds, without knowing where it has
	 * them from. */
	if (difference)
		cluster_run(cluster, 200 * USEC_PER_SEC);
	difference = cluster_difference(cluster);
	if (difference)
		fail_msg("seed %lu: %s", (unsigned long)seed, difference);
	for (unsigned int d = 0; d < count; d++)
		assert_nothing_alarming(cluster, d);
	cluster_free(cluster);
}

static uint64_t held_of(struct cluster *cluster, const struct peers *peers, unsigned int d)
{
	for (unsigned int i = 0; i < peers->count; i++)
		if (peers->peers[i].id == cluster_identity(cluster, d)->id)
			return peers->peers[i].entries;
	fail_msg("d%u is no peer", d + 1);
	return 0;
}

/* Every entry is counted where it was carried last, also when that director is gone. */
static void test_peers(void **state)
{
	struct cluster *cluster = cluster_new(31, 3);
	struct node *node = cluster_node(cluster, 0);
	static struct peers peers;
	unsigned int cursor = 0;
	struct peer gone;

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int i = 0; i < 90; i++) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, true);

		cluster_carry(cluster, i < 20 ? 0 : i < 50 ? 1 : 2, &entry);
	}
	cluster_run(cluster, 100 * USEC_PER_MSEC);
	peers_collect(node, cluster_now(cluster), &peers);
	assert_int_equal(peers.count, 2);
	assert_int_equal(held_of(cluster, &peers, 1), 30);
	assert_int_equal(held_of(cluster, &peers, 2), 40);
	assert_false(peers_gone(node, &peers, &cursor, &gone));
	for (unsigned int i = 20; i < 25; i++) {
		struct entry entry = cluster_entry(i, 1, FIN_WAIT, true);

		cluster_carry(cluster, 2, &entry);
	}
	cluster_run(cluster, 100 * USEC_PER_MSEC);
	peers_collect(node, cluster_now(cluster), &peers);
	assert_int_equal(held_of(cluster, &peers, 1), 25);
	assert_int_equal(held_of(cluster, &peers, 2), 45);

	cluster_tell(cluster, 2, (struct node_event){.type = NODE_LEAVE});
	cluster_run(cluster, 2 * USEC_PER_SEC);
	cluster_crash(cluster, 2, true);
	cluster_run(cluster, 2 * USEC_PER_SEC);
	peers_collect(node, cluster_now(cluster), &peers);
	assert_int_equal(peers.count, 1);
	assert_int_equal(peers.lagging, 0);
	cursor = 0;
	assert_true(peers_gone(node, &peers, &cursor, &gone));
	assert_string_equal(gone.name, "d3");
	assert_string_equal(gone.state, "gone");
	assert_int_equal(gone.id, cluster_identity(cluster, 2)->id);
	assert_int_equal(gone.entries, 45);
	assert_false(peers_gone(node, &peers, &cursor, &gone));
	cluster_free(cluster);
}

/* A peer on a narrow line is behind as long as it has not acknowledged what is older. */
static void test_peer_lags(void **state)
{
	struct cluster *cluster = cluster_new(32, 2);
	static struct peers peers;

	(void)state;
	cluster_run(cluster, USEC_PER_SEC);
	cluster_throttle(cluster, 0, 1, 1);
	for (unsigned int i = 0; i < 100; i++) {
		struct entry entry = cluster_entry(i, 1, ESTABLISHED, true);

		cluster_carry(cluster, 0, &entry);
	}
	cluster_run(cluster, PEER_LAG - 100 * USEC_PER_MSEC);
	peers_collect(cluster_node(cluster, 0), cluster_now(cluster), &peers);
	assert_int_equal(peers.connected, 1);
	assert_int_equal(peers.lagging, 0);
	cluster_run(cluster, 200 * USEC_PER_MSEC);
	peers_collect(cluster_node(cluster, 0), cluster_now(cluster), &peers);
	assert_int_equal(peers.connected, 1);
	assert_int_equal(peers.lagging, 1);
	assert_true(peers.peers[0].lags && peers.lag > PEER_LAG);
	cluster_throttle(cluster, 0, 1, 0);
	cluster_run(cluster, 200 * USEC_PER_MSEC);
	peers_collect(cluster_node(cluster, 0), cluster_now(cluster), &peers);
	assert_int_equal(peers.lagging, 0);
	cluster_free(cluster);
}

/* Crashes of daemons, cuts, lost injections, jumping clocks: once it stops, all are equal. */
static void test_chaos(void **state)
{
	(void)state;
	cluster_seeds(20, chaos);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replicates),
		cmocka_unit_test(test_ready),
		cmocka_unit_test(test_ready_under_traffic),
		cmocka_unit_test(test_ready_interrupted),
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_forwarder),
		cmocka_unit_test(test_concurrent_updates),
		cmocka_unit_test(test_no_storm),
		cmocka_unit_test(test_ended_elsewhere),
		cmocka_unit_test(test_resumes),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_kernel_differs),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_ends_of_new_service),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_metronome),
		cmocka_unit_test(test_crash),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_leave),
		cmocka_unit_test(test_stopped_while_leaving),
		cmocka_unit_test(test_peers),
		cmocka_unit_test(test_peer_lags),
		cmocka_unit_test(test_chaos),
	};

	cmocka_set_test_filter(getenv("TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
