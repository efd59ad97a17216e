/* Replication by policy, in whole directors: no entry that the policy keeps back, none later than
 * it says, and the same everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/cluster.h"

enum { ESTABLISHED = 1, FIN_WAIT = 4 };

/* A batch interval, a step for the network, one to inject; as test_cluster has it. */
#define ARRIVES (20 * USEC_PER_MSEC)
/* The share of waiting entries in the model kernel's room, by sync/sync_policy.c. */
#define WAITING_MAX 1024

static void tell_policy(struct cluster *cluster, unsigned int d, struct policy_options policy)
{
	if (!cluster_up(cluster, d))
		free(policy.services);
	else
		cluster_tell(
			cluster, d,
			(struct node_event){.type = NODE_CONFIG, .config = 1, .policy = &policy});
}

static struct policy_options off(bool is)
{
	struct entry entry = cluster_entry(0, 0, ESTABLISHED, false);
	struct policy_service *service = calloc(1, sizeof(*service));

	memcpy(service->address, entry.flow.vaddr, sizeof(service->address));
	service->port = entry.flow.vport;
	service->protocol = entry.flow.protocol;
	service->family = entry.flow.family;
	service->off = is;
	return (struct policy_options){.services = service, .n_services = 1};
}

static struct cluster *make_cluster(uint64_t seed)
{
	struct cluster *cluster = cluster_new(seed, 3);

	cluster_run(cluster, 2 * USEC_PER_SEC);
	return cluster;
}

static void carry(struct cluster *cluster, unsigned int d, unsigned int i, uint16_t state)
{
	struct entry entry = cluster_entry(i, i % 4, state, false);

	cluster_carry(cluster, d, &entry);
}

static void assert_kernels(struct cluster *cluster, unsigned int others)
{
	assert_int_equal(cluster_kernel_count(cluster, 1), others);
	assert_int_equal(cluster_kernel_count(cluster, 2), others);
}

/* A flow comes to the others when it has its age, as soon as one without would; one that ends
 * sooner never does, and no joiner hears of it. */
static void test_min_age(void **state)
{
	struct cluster *cluster = make_cluster(1);

	(void)state;
	tell_policy(cluster, 0, (struct policy_options){.min_age = 1234567});
	for (unsigned int i = 0; i < 20; i++)
		carry(cluster, 0, i, ESTABLISHED);
	cluster_run(cluster, 600 * USEC_PER_MSEC);
	for (unsigned int i = 0; i < 5; i++)
		carry(cluster, 0, i, FIN_WAIT);
	carry(cluster, 0, 19, ESTABLISHED);
	cluster_run(cluster, 634 * USEC_PER_MSEC);
	assert_kernels(cluster, 0);
	cluster_run(cluster, ARRIVES);
	assert_kernels(cluster, 15);
	/* Changes of entries that the peers hold are published at once. */
	carry(cluster, 0, 19, FIN_WAIT);
	carry(cluster, 1, 18, FIN_WAIT);
	cluster_run(cluster, ARRIVES);
	for (unsigned int i = 18; i < 20; i++) {
		struct entry entry = cluster_entry(i, 0, 0, false);

		assert_true(cluster_kernel(cluster, 2, &entry.flow, &entry));
		assert_int_equal(entry.state, FIN_WAIT);
	}
	carry(cluster, 0, 99, ESTABLISHED);
	cluster_crash(cluster, 2, true);
	cluster_start(cluster, 2);
	cluster_run(cluster, USEC_PER_SEC);
	assert_kernels(cluster, 15);
	assert_int_equal(cluster_sync_status(cluster, 0).young_ended, 5);
	assert_int_equal(cluster_sync_status(cluster, 0).young, 1);
	assert_null(cluster_difference(cluster));
	cluster_free(cluster);
}

/* A draining director hands over the young entries too, and is not drained before. */
static void test_drain(void **state)
{
	struct cluster *cluster = make_cluster(2);
	struct node_status status;

	(void)state;
	tell_policy(cluster, 0, (struct policy_options){.min_age = 60 * USEC_PER_SEC});
	for (unsigned int i = 0; i < 100; i++)
		carry(cluster, 0, i, ESTABLISHED);
	cluster_run(cluster, USEC_PER_SEC);
	assert_kernels(cluster, 0);
	cluster_tell(cluster, 0, (struct node_event){.type = NODE_DRAIN, .ok = true});
	do {
		cluster_run(cluster, USEC_PER_MSEC);
		node_status(cluster_node(cluster, 0), &status);
	} while (!status.drained);
	cluster_run(cluster, ARRIVES);
	assert_kernels(cluster, 100);
	/* The director goes on as before when it takes traffic again. */
	cluster_tell(cluster, 0, (struct node_event){.type = NODE_DRAIN, .ok = false});
	cluster_run(cluster, 200 * USEC_PER_MSEC);
	carry(cluster, 0, 100, ESTABLISHED);
	cluster_run(cluster, USEC_PER_SEC);
	assert_kernels(cluster, 100);
	cluster_free(cluster);
}

static void test_off(void **state)
{
	struct cluster *cluster = make_cluster(3);

	(void)state;
	tell_policy(cluster, 0, off(true));
	for (unsigned int i = 0; i < 100; i++)
		carry(cluster, 0, i, ESTABLISHED);
	for (unsigned int i = 100; i < 200; i++)
		carry(cluster, 1, i, ESTABLISHED);
	cluster_run(cluster, USEC_PER_SEC);
	/* It merges the others' entries. */
	assert_int_equal(cluster_kernel_count(cluster, 0), 200);
	assert_kernels(cluster, 100);
	assert_null(cluster_difference(cluster));
	/* Its next life finds them in the kernel, and does not publish them either. */
	cluster_crash(cluster, 0, false);
	cluster_start(cluster, 0);
	tell_policy(cluster, 0, off(true));
	carry(cluster, 0, 0, FIN_WAIT);
	cluster_run(cluster, 2 * USEC_PER_SEC);
	carry(cluster, 0, 200, ESTABLISHED);
	cluster_run(cluster, USEC_PER_SEC);
	assert_int_equal(cluster_sync_status(cluster, 0).local_total, 1);
	tell_policy(cluster, 0, off(false));
	cluster_run(cluster, USEC_PER_SEC);
	assert_kernels(cluster, 201);
	assert_null(cluster_difference(cluster));
	cluster_free(cluster);
}

static uint64_t learned(struct cluster *cluster, unsigned int d)
{
	return cluster_sync_status(cluster, d).learned;
}

/* A flood on one director costs the others what the rate says, and those that are established come
 * through as if there were none. */
static void test_flood(void **state)
{
	struct cluster *cluster = make_cluster(4);
	unsigned int flows = 0, established = 0;
	struct sync_status flooded;

	(void)state;
	tell_policy(cluster, 0, (struct policy_options){.flood_rate = 1000});
	for (unsigned int ms = 0; ms < 500; ms++) {
		for (unsigned int n = 0; n < 20; n++) {
			struct entry entry = cluster_entry(100000 + flows++, 1, 0, false);

			entry.flow.protocol = IPPROTO_UDP;
			cluster_carry(cluster, 0, &entry);
		}
		if (ms % 10 == 0)
			carry(cluster, 0, established++, ESTABLISHED);
		cluster_run(cluster, USEC_PER_MSEC);
		assert_true(learned(cluster, 1) <= 100 + ms + established);
	}
	cluster_run(cluster, ARRIVES);
	for (unsigned int i = 0; i < established; i++) {
		struct entry entry = cluster_entry(i, 0, 0, false);

		for (unsigned int d = 1; d < 3; d++)
			assert_true(cluster_kernel(cluster, d, &entry.flow, &entry));
	}
	flooded = cluster_sync_status(cluster, 0);
	assert_int_equal(flooded.flood_shed + flooded.flood_waiting + flooded.position,
			 flows + established);
	assert_in_range(flooded.flood_waiting, WAITING_MAX - 30, WAITING_MAX);
	/* The flood ends, and the waiting entries arrive in their turn. */
	cluster_run(cluster, 1200 * USEC_PER_MSEC);
	assert_int_equal(cluster_sync_status(cluster, 0).flood_waiting, 0);
	assert_kernels(cluster, (unsigned int)(flows + established - flooded.flood_shed));
	assert_null(cluster_difference(cluster));
	cluster_free(cluster);
}

static void random_policy(struct cluster *cluster, unsigned int d)
{
	struct policy_options policy = off(cluster_random(cluster) % 2);

	policy.min_age = cluster_random(cluster) % 4 * 200 * USEC_PER_MSEC;
	policy.flood_rate = cluster_random(cluster) % 2 ? 100 : 0;
	tell_policy(cluster, d, policy);
}

static void chaos_step(struct cluster *cluster, unsigned int count)
{
	unsigned int d = (unsigned int)(cluster_random(cluster) % count);
	unsigned int e = (unsigned int)(cluster_random(cluster) % count);
	unsigned int flow = (unsigned int)(cluster_random(cluster) % 500);

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
		if (!cluster_up(cluster, d))
			cluster_start(cluster, d);
		break;
	case 3:
		random_policy(cluster, d);
		break;
	default:
		for (unsigned int i = 0; i < 10 && cluster_up(cluster, d); i++) {
			struct entry entry = cluster_entry(
				flow + i, flow % 4, (uint16_t)(cluster_random(cluster) % 6), true);

			cluster_carry(cluster, d, &entry);
		}
	}
	cluster_run(cluster, (1 + cluster_random(cluster) % 50) * USEC_PER_MSEC);
}

/* A director that starts while it is cut off from those that hold what it captured in its last life
 * gets that back by a comparison: every 30 s, with one of three peers. */
#define PATIENCE 120

/* Policies differ and change at random: the shared entries are the same everywhere; and when no
 * entry is kept back any more, all that live are shared. */
static void chaos(uint64_t seed)
{
	unsigned int count = 2 + (unsigned int)(seed % 3);
	struct cluster *cluster = cluster_new(seed, count);
	const char *difference = "not looked at";

	for (unsigned int d = 0; d < count; d++)
		random_policy(cluster, d);
	for (int i = 0; i < 150; i++)
		chaos_step(cluster, count);
	for (unsigned int d = 0; d < count; d++) {
		for (unsigned int e = 0; e < count; e++)
			cluster_cut(cluster, d, e, false);
		if (!cluster_up(cluster, d))
			cluster_start(cluster, d);
	}
	for (unsigned int i = 0; i < PATIENCE && difference; i++) {
		cluster_run(cluster, USEC_PER_SEC);
		difference = cluster_difference(cluster);
	}
	if (difference)
		fail_msg("seed %lu: %s", (unsigned long)seed, difference);
	for (unsigned int d = 0; d < count; d++)
		tell_policy(cluster, d, (struct policy_options){0});
	cluster_run(cluster, USEC_PER_SEC);
	difference = cluster_difference(cluster);
	if (difference)
		fail_msg("seed %lu, all shared: %s", (unsigned long)seed, difference);
	for (unsigned int d = 0; d < count; d++) {
		assert_int_equal(cluster_sync_status(cluster, d).young, 0);
		assert_int_equal(cluster_sync_status(cluster, d).flood_waiting, 0);
	}
	cluster_free(cluster);
}

static void test_chaos(void **state)
{
	(void)state;
	cluster_seeds(20, chaos);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_min_age), cmocka_unit_test(test_drain),
		cmocka_unit_test(test_off),     cmocka_unit_test(test_flood),
		cmocka_unit_test(test_chaos),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
