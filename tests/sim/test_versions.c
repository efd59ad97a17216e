/* Directors of different versions of the protocol in one cluster. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/sim/cluster.h"

#define ESTABLISHED 1

static const struct version_range old = {1, 1}, next = {1, 2}, later = {2, 3};

static uint64_t counted(struct cluster *cluster, unsigned int d, const char *group,
			const char *name)
{
	struct counter counter;

	for (unsigned int i = 0; node_counter(cluster_node(cluster, d), i, &counter); i++)
		if (strcmp(counter.group, group) == 0 && strcmp(counter.name, name) == 0)
			return counter.value;
	fail_msg("there is no counter %s/%s", group, name);
	return 0;
}

static uint64_t refused(struct cluster *cluster, unsigned int d)
{
	return counted(cluster, d, "session", "version") +
	       counted(cluster, d, "membership", "version") +
	       counted(cluster, d, "membership", "no-common-version");
}

/* The version of the streams between the two, both ways; 0: they do not agree, or there are
 * none. */
static uint32_t streams_version(struct cluster *cluster, unsigned int a, unsigned int b)
{
	uint64_t id = cluster_identity(cluster, b)->id;
	uint32_t in = 0, out = 0;

	for (unsigned int i = 0; i < NODE_STREAMS_MAX; i++) {
		struct node_stream_status status;

		node_stream_status(cluster_node(cluster, a), i, cluster_now(cluster), &status);
		if (status.id != id || status.phase != NODE_STREAM_READY || !status.for_sync)
			continue;
		if (status.dialled)
			in = status.version;
		else
			out = status.version;
	}
	return in == out ? in : 0;
}

static void assert_versions(struct cluster *cluster, unsigned int count,
			    const struct version_range *spoken)
{
	for (unsigned int a = 0; a < count; a++) {
		for (unsigned int b = 0; b < count; b++) {
			uint32_t version = version_common(spoken[a], spoken[b]);
			struct member_info info;

			if (a == b)
				continue;
			assert_int_equal(streams_version(cluster, a, b), version);
			assert_int_equal(cluster_version(cluster, a, b), version);
			assert_true(membership_find(node_membership(cluster_node(cluster, a)),
						    cluster_identity(cluster, b)->id, &info));
			assert_int_equal(info.state, STATE_ALIVE);
			assert_int_equal(info.versions.min, spoken[b].min);
			assert_int_equal(info.versions.max, spoken[b].max);
		}
		assert_int_equal(refused(cluster, a), 0);
		for (int type = MEMBERSHIP_MEMBER_LEFT;
		     type <= MEMBERSHIP_DUPLICATE_IDENTITY_RESOLVED; type++)
			assert_int_equal(
				cluster_noticed(cluster, a, (enum membership_notice_type)type), 0);
	}
}

/* One entry of each director; all kernels get them. */
static void carry(struct cluster *cluster, unsigned int count, unsigned int number)
{
	for (unsigned int d = 0; d < count; d++) {
		struct entry entry = cluster_entry(number * count + d, d, ESTABLISHED, true);

		cluster_carry(cluster, d, &entry);
	}
	cluster_run(cluster, USEC_PER_SEC);
	for (unsigned int d = 0; d < count; d++)
		assert_int_equal(cluster_kernel_count(cluster, d), (number + 1) * count);
	assert_null(cluster_difference(cluster));
}

static void replace(struct cluster *cluster, unsigned int d, struct version_range versions,
		    bool announced)
{
	if (announced) {
		cluster_tell(cluster, d,
			     (struct node_event){.type = NODE_ABSENCE, .lease = 60 * USEC_PER_SEC});
		cluster_run(cluster, USEC_PER_SEC);
		assert_true(cluster_update(cluster, d)->done);
	}
	cluster_crash(cluster, d, false);
	cluster_versions(cluster, d, versions);
	/* No packet that was sent to the old program meets the new one. */
	cluster_run(cluster, 2 * USEC_PER_MSEC);
	cluster_start(cluster, d);
	cluster_run(cluster, 5 * USEC_PER_SEC);
}

/* Upgrades to the next version, and back again: no member is missed, none refused, no entry
 * lost. */
static void test_one_by_one(void **state)
{
	struct cluster *cluster = cluster_new(1, 3);
	struct version_range spoken[3] = {old, old, old};

	(void)state;
	cluster_run(cluster, 2 * USEC_PER_SEC);
	carry(cluster, 3, 0);
	assert_versions(cluster, 3, spoken);
	for (unsigned int i = 0; i < 6; i++) {
		unsigned int d = i % 3;

		spoken[d] = i < 3 ? next : old;
		replace(cluster, d, spoken[d], true);
		carry(cluster, 3, i + 1);
		assert_versions(cluster, 3, spoken);
	}
	cluster_free(cluster);
}

/* Killed and started again within the time in which it would be missed, with another version: what
 * it no longer reads must not make it fail. */
static void test_back_unannounced(void **state)
{
	struct cluster *cluster = cluster_new(2, 3);
	struct version_range spoken[3] = {next, next, next};

	(void)state;
	for (unsigned int d = 0; d < 3; d++) {
		cluster_crash(cluster, d, false);
		cluster_versions(cluster, d, next);
		cluster_start(cluster, d);
	}
	cluster_run(cluster, 2 * USEC_PER_SEC);
	carry(cluster, 3, 0);
	assert_versions(cluster, 3, spoken);
	spoken[1] = old;
	replace(cluster, 1, old, false);
	carry(cluster, 3, 1);
	for (unsigned int d = 0; d < 3; d++) {
		assert_int_equal(cluster_noticed(cluster, d, MEMBERSHIP_MEMBER_FAILED), 0);
		assert_int_equal(refused(cluster, d), 0);
	}
	assert_int_equal(streams_version(cluster, 0, 1), 1);
	assert_int_equal(cluster_version(cluster, 0, 1), 1);
	assert_int_equal(cluster_version(cluster, 0, 2), 2);
	cluster_free(cluster);
}

/* Two steps at once: refused and counted, and the others go on. */
static void test_no_common(void **state)
{
	struct cluster *cluster = cluster_new(3, 3);
	struct membership_status status;

	(void)state;
	cluster_crash(cluster, 2, false);
	cluster_versions(cluster, 2, later);
	cluster_start(cluster, 2);
	cluster_run(cluster, 10 * USEC_PER_SEC);
	for (unsigned int d = 0; d < 2; d++) {
		assert_true(counted(cluster, d, "session", "version") > 0);
		assert_int_equal(streams_version(cluster, d, 2), 0);
		membership_status(node_membership(cluster_node(cluster, d)), &status);
		assert_int_equal(status.view, 2);
	}
	assert_int_equal(streams_version(cluster, 0, 1), 1);
	/* A step back, and it is one of them. */
	replace(cluster, 2, next, false);
	assert_int_equal(streams_version(cluster, 0, 2), 1);
	carry(cluster, 3, 0);
	cluster_free(cluster);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_by_one),
		cmocka_unit_test(test_back_unannounced),
		cmocka_unit_test(test_no_common),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
