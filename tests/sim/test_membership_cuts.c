/* Some pairs reach each other only through a third, and it stays so: the views stand still all the
 * same, and cost little. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/membership.pb-c.h"
#include "proto/session/seal.h"
#include "tests/sim/membership_sim.h"

#define S USEC_PER_SEC
#define SETTLED (15 * S)
#define HEALED (15 * S)
#define WATCHED (60 * S)

struct shape {
	const char *name;
	/* Do a and b, which is greater, reach each other? */
	bool (*reach)(unsigned int a, unsigned int b, unsigned int n);
	unsigned int groups; /* of the cut's report; 0: by its pairs; UINT_MAX: all but one */
};

/* Two halves, and the first, which both reach. */
static bool bridge(unsigned int a, unsigned int b, unsigned int n)
{
	return a == 0 || (a <= n / 2) == (b <= n / 2);
}

static bool star(unsigned int a, unsigned int b, unsigned int n)
{
	(void)b;
	(void)n;
	return a == 0;
}

static bool ring(unsigned int a, unsigned int b, unsigned int n)
{
	return b - a == 1 || (a == 0 && b == n - 1);
}

static bool chain(unsigned int a, unsigned int b, unsigned int n)
{
	(void)n;
	return b - a == 1;
}

/* One pair alone. */
static bool pair(unsigned int a, unsigned int b, unsigned int n)
{
	(void)n;
	return a != 1 || b != 2;
}

static const struct shape shapes[] = {
	{"pair", pair, 2}, {"bridge", bridge, 2}, {"star", star, UINT_MAX},
	{"ring", ring, 0}, {"chain", chain, 0},
};

static struct sim *cluster(uint64_t seed, unsigned int count)
{
	return sim_new_whole(
		(struct sim_options){.seed = seed, .count = count, .quick_check = true}, count,
		12 * S);
}

static void finish(struct sim *sim)
{
	if (sim_broken(sim))
		fail_msg("%s", sim_broken(sim));
	sim_free(sim);
}

/* How many pairs that is. */
static unsigned int cut(struct sim *sim, const struct shape *shape, unsigned int n)
{
	unsigned int pairs = 0;

	for (unsigned int b = 1; b < n; b++)
		for (unsigned int a = 0; a < b; a++)
			if (!shape->reach(a, b, n)) {
				sim_cut(sim, a, b, SIM_BOTH, 2, true);
				sim_cut(sim, b, a, SIM_BOTH, 2, true);
				pairs++;
			}
	return pairs;
}

/* Bytes a second and member. */
static uint64_t gossip(struct sim *sim, unsigned int count, usec_t time)
{
	struct sim_status before, after;

	sim_status(sim, &before);
	sim_run(sim, time);
	sim_status(sim, &after);
	return (after.bytes - before.bytes) * S / time / count;
}

/* Statements made so far: a member that is accused makes one. */
static uint64_t statements(struct sim *sim, unsigned int n)
{
	struct membership_status status;
	uint64_t all = 0;

	for (unsigned int i = 0; i < n; i++) {
		membership_status(sim_core(sim, i), &status);
		all += status.incarnation;
	}
	return all;
}

/* No notices for the operator, but these. */
static void only(struct sim *sim, const char *name, unsigned int n, unsigned int allowed,
		 usec_t since)
{
	for (int type = 0; type < MEMBERSHIP_SUSPECTED; type++)
		if (!(allowed >> type & 1) &&
		    sim_count(sim, -1, (enum membership_notice_type)type, -1, since) > 0)
			fail_msg("%s of %u: %s", name, n, membership_notice_name(type));
}

static void one_each(struct sim *sim, const char *name, unsigned int n,
		     enum membership_notice_type type, usec_t since)
{
	for (unsigned int i = 0; i < n; i++)
		if (sim_up(sim, i) && sim_count(sim, (int)i, type, -1, since) != 1)
			fail_msg("%s of %u: d%u tells %u times of %s", name, n, i + 1,
				 sim_count(sim, (int)i, type, -1, since),
				 membership_notice_name((int)type));
}

static void names_the_cut(struct sim *sim, const struct shape *shape, unsigned int n,
			  unsigned int pairs)
{
	unsigned int groups = shape->groups == UINT_MAX ? n - 1 : shape->groups;
	struct membership_cut told;

	for (unsigned int i = 0; i < n; i++) {
		membership_cut(sim_core(sim, i), &told);
		assert_int_equal(told.pairs, pairs);
		assert_int_equal(told.groups, groups);
		for (unsigned int a = 0; groups && a < told.id_count; a++)
			for (unsigned int b = 0; b < a; b++) {
				unsigned int x = 0, y = 0;

				while (sim_id(sim, x) != told.ids[a])
					x++;
				while (sim_id(sim, y) != told.ids[b])
					y++;
				assert_int_equal(shape->reach(MIN(x, y), MAX(x, y), n),
						 told.group[a] == told.group[b]);
			}
	}
}

#define BIT(_type) (1u << (_type))

static void settles(const struct shape *shape, unsigned int n, uint64_t seed)
{
	struct sim *sim = cluster(seed, n);
	uint64_t idle = gossip(sim, n, 10 * S), said, bytes;
	unsigned int pairs = cut(sim, shape, n);
	usec_t since = sim_now(sim);
	struct membership_cut told;

	sim_run(sim, SETTLED);
	only(sim, shape->name, n, BIT(MEMBERSHIP_PARTIAL_PARTITION), since);
	one_each(sim, shape->name, n, MEMBERSHIP_PARTIAL_PARTITION, since);
	names_the_cut(sim, shape, n, pairs);
	since = sim_now(sim);
	said = statements(sim, n);
	bytes = gossip(sim, n, WATCHED);
	only(sim, shape->name, n, 0, since);
	assert_true(sim_whole(sim, NULL));
	assert_int_equal(statements(sim, n), said);
	if (bytes > 2 * idle)
		fail_msg("%s of %u: %llu B/s a member, idle %llu", shape->name, n,
			 (unsigned long long)bytes, (unsigned long long)idle);
	since = sim_now(sim);
	sim_heal(sim);
	sim_run(sim, HEALED);
	only(sim, shape->name, n, BIT(MEMBERSHIP_PARTITION_ENDED), since);
	one_each(sim, shape->name, n, MEMBERSHIP_PARTITION_ENDED, since);
	membership_cut(sim_core(sim, 0), &told);
	assert_int_equal(told.pairs, 0);
	/* Its lists are gone, too. */
	bytes = gossip(sim, n, 30 * S);
	if (10 * bytes > 11 * idle)
		fail_msg("%s of %u: healed, %llu B/s a member, idle %llu", shape->name, n,
			 (unsigned long long)bytes, (unsigned long long)idle);
	finish(sim);
}

static void test_settles(void **state)
{
	static const unsigned int counts[] = {5, 8, 16, 32};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(shapes); i++)
		for (unsigned int c = 0; c < ARRAY_SIZE(counts); c++)
			settles(&shapes[i], counts[c], 1);
}

/* Two that ping each other through the same others in the same moment, as the ends of a chain do
 * that stood still together: neither ping is taken for the other's answer. */
static void test_crossing_pings(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 16; seed++) {
		struct sim *sim = cluster(seed, 4);
		uint64_t said;

		cut(sim, &shapes[4], 4);
		sim_run(sim, SETTLED);
		said = statements(sim, 4);
		for (int i = 0; i < 8; i++) {
			sim_stall(sim, 0, 250 * USEC_PER_MSEC);
			sim_stall(sim, 3, 250 * USEC_PER_MSEC);
			sim_run(sim, 8 * S);
		}
		assert_int_equal(statements(sim, 4), said);
		finish(sim);
	}
}

static bool all_told(struct sim *sim, void *arg)
{
	for (int i = 0; i < 32; i++)
		if (sim_count(sim, i, MEMBERSHIP_PARTIAL_PARTITION, -1, *(usec_t *)arg) == 0)
			return false;
	return true;
}

/* The first of two that finds out is enough: the other need not wait for its own round. */
static void test_the_first_that_finds_out(void **state)
{
	usec_t all = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct sim *sim = cluster(seed, 32);
		usec_t since = sim_now(sim);

		cut(sim, &shapes[0], 32);
		assert_true(sim_until(sim, all_told, &since, 30 * S));
		all += sim_now(sim) - since;
		finish(sim);
	}
	printf("one pair of 32: known to all after %llu ms in the mean\n",
	       (unsigned long long)(all / 6 / 1000));
	assert_true(all / 6 < 8500 * USEC_PER_MSEC);
}

struct seen {
	unsigned int first, last, of;
};

static bool all_miss(struct sim *sim, void *arg)
{
	const struct seen *seen = arg;

	for (unsigned int i = seen->first; i <= seen->last; i++)
		if (sim_up(sim, i) && sim_state(sim, i, seen->of) != STATE_FAILED)
			return false;
	return true;
}

/* Also those that reached it only through the bridge find out, and no other member is missed. */
static void test_death_behind_the_bridge(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct sim *sim = cluster(seed, 8);
		usec_t since;

		cut(sim, &shapes[1], 8);
		sim_run(sim, SETTLED);
		since = sim_now(sim);
		sim_crash(sim, 7, true);
		assert_true(sim_until(sim, all_miss, &(struct seen){0, 6, 7}, 4 * S));
		sim_run(sim, 20 * S);
		assert_int_equal(sim_count(sim, -1, MEMBERSHIP_MEMBER_FAILED, -1, since), 7);
		only(sim, "death", 8, BIT(MEMBERSHIP_MEMBER_FAILED), since);
		/* It comes back, though half of the others hear of it only through the bridge. */
		sim_start(sim, 7, SIM_KEEP, 1);
		assert_true(sim_until(sim, sim_whole, NULL, 10 * S));
		finish(sim);
	}
}

/* Then the halves are a real split, and it is reported as one. */
static void test_death_of_the_bridge(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct sim *sim = cluster(seed, 9);
		usec_t since;

		cut(sim, &shapes[1], 9);
		sim_run(sim, SETTLED);
		since = sim_now(sim);
		sim_crash(sim, 0, true);
		for (unsigned int i = 1; i < 9; i++)
			assert_true(sim_until(sim, all_miss,
					      &(struct seen){i <= 4 ? 5 : 1, i <= 4 ? 8 : 4, i},
					      10 * S));
		sim_run(sim, 25 * S);
		for (unsigned int i = 1; i < 9; i++) {
			assert_int_equal(
				sim_count(sim, (int)i, MEMBERSHIP_MEMBER_FAILED, -1, since), 5);
			assert_int_equal(
				sim_count(sim, (int)i, MEMBERSHIP_SPLIT_SUSPECTED, -1, since), 1);
			assert_int_equal(
				sim_count(sim, (int)i, MEMBERSHIP_PARTITION_ENDED, -1, since), 1);
		}
		finish(sim);
	}
}

/* Lost packets are no cut, and those of a cut cluster no deaths. */
static void test_loss(void **state)
{
	static const unsigned int losses[] = {10, 20, 50}; /* of 1000 */

	(void)state;
	for (unsigned int i = 0; i < ARRAY_SIZE(losses); i++) {
		for (unsigned int n = 8; n <= 32; n += 24) {
			struct sim *sim = cluster(7 + i, n);
			usec_t since = sim_now(sim);

			sim_loss(sim, losses[i], 0, 0);
			sim_run(sim, 120 * S);
			only(sim, "loss", n, 0, since);
			finish(sim);
		}
	}
	for (unsigned int i = 0; i < 2; i++) {
		struct sim *sim = cluster(7 + i, 8);
		usec_t since = sim_now(sim);

		sim_loss(sim, losses[i], 0, 0);
		cut(sim, &shapes[1], 8);
		sim_run(sim, 120 * S);
		only(sim, "cut and loss", 8, BIT(MEMBERSHIP_PARTIAL_PARTITION), since);
		one_each(sim, "cut and loss", 8, MEMBERSHIP_PARTIAL_PARTITION, since);
		finish(sim);
	}
}

static bool two_missed(struct sim *sim, void *arg)
{
	return all_miss(sim, &(struct seen){2, *(unsigned int *)arg - 1, 0}) &&
	       all_miss(sim, &(struct seen){2, *(unsigned int *)arg - 1, 1});
}

/* Two that die at once might be a cut: that costs no time. Before there were lists of links it took
 * 1.3 s in the mean. */
static void test_two_deaths(void **state)
{
	(void)state;
	for (unsigned int n = 8; n <= 32; n *= 2) {
		usec_t all = 0;

		for (uint64_t seed = 1; seed <= 10; seed++) {
			struct sim *sim = cluster(seed, n);
			usec_t since;

			sim_run(sim, sim_random(sim, S));
			since = sim_now(sim);
			sim_crash(sim, 0, true);
			sim_crash(sim, 1, true);
			assert_true(sim_until(sim, two_missed, &n, 4 * S));
			all += sim_now(sim) - since;
			finish(sim);
		}
		printf("%u members, two die at once: known to all after %llu ms in the mean\n", n,
		       (unsigned long long)(all / 10 / 1000));
		assert_true(all / 10 < 1500 * USEC_PER_MSEC);
	}
}

/* n, which has crashed, ran an older program: its newest statement has no size that it takes. */
static void make_old(struct sim *sim, unsigned int n, struct membership_status last)
{
	Lvsmesh__Pb__Statement statement = LVSMESH__PB__STATEMENT__INIT;
	Lvsmesh__Pb__Record record = LVSMESH__PB__RECORD__INIT, *records = &record;
	Lvsmesh__Pb__Datagram datagram = LVSMESH__PB__DATAGRAM__INIT;
	const struct identity *identity = sim_identity(sim, n);
	struct endpoint at = sim_endpoint(n, 0);
	uint8_t endpoint[6], body[128], signature[64], bytes[512], data[1024];
	ProtobufCBinaryData endpoints = {sizeof(endpoint), endpoint};
	struct packet packet = {.version = VERSION_WIRE,
				.kind = 3,
				.sender = identity->id,
				.epoch = last.epoch,
				.sequence = 100000,
				.body = bytes};
	struct packet_key key;
	size_t len;

	memcpy(endpoint, at.ip.bytes, 4);
	store_be16(endpoint + 4, at.port);
	statement.phase = PHASE_READY;
	statement.n_endpoints = 1;
	statement.endpoints = &endpoints;
	statement.version_min = statement.version_max = 1;
	record.kind = 32;
	record.origin = identity->id;
	record.epoch = last.epoch;
	record.sequence = last.incarnation + 1;
	record.body = (ProtobufCBinaryData){lvsmesh__pb__statement__pack(&statement, body), body};
	seal_record_sign(identity, 32, record.epoch, record.sequence, body, record.body.len,
			 signature);
	record.signature = (ProtobufCBinaryData){sizeof(signature), signature};
	datagram.n_records = 1;
	datagram.records = &records;
	packet.len = lvsmesh__pb__datagram__pack(&datagram, bytes);
	assert_int_equal(seal_packet_key_init(identity, &sim_identity(sim, 0)->certificate, &key),
			 0);
	assert_int_equal(seal_packet_pack(&key, identity->certificate.cluster, &packet, data,
					  sizeof(data), &len),
			 0);
	sim_inject(sim, 0, data, len);
}

/* Bytes, of all that the first knows. */
static size_t longest_statement(struct sim *sim)
{
	size_t size = membership_roster_size(sim_core(sim, 0)), longest = 0;
	uint8_t *roster = malloc(size);
	Lvsmesh__Pb__State *state;

	assert_int_equal(membership_roster(sim_core(sim, 0), roster, size), size);
	state = lvsmesh__pb__state__unpack(NULL, size, roster);
	assert_non_null(state);
	for (size_t i = 0; i < state->n_records; i++)
		longest = MAX(longest, state->records[i]->body.len);
	lvsmesh__pb__state__free_unpacked(state, NULL);
	free(roster);
	return longest;
}

/* Statements stay as short as the oldest program of the cluster takes them, and are longer when it
 * is gone. */
static void test_an_older_build(void **state)
{
	struct sim *sim = cluster(1, 72);
	struct membership_status last;

	(void)state;
	membership_status(sim_core(sim, 71), &last);
	sim_crash(sim, 71, true);
	sim_run(sim, 5 * S);
	make_old(sim, 71, last);
	cut(sim, &shapes[1], 72);
	for (int i = 0; i < 20; i++) {
		sim_run(sim, S);
		assert_in_range(longest_statement(sim), 1, 160);
	}
	sim_run(sim, 50 * S);
	sim_event(sim, 0,
		  (struct membership_event){.type = MEMBERSHIP_REMOVE, .member = sim_id(sim, 71)});
	sim_run(sim, 10 * S);
	assert_in_range(longest_statement(sim), 161, 680);
	finish(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settles),
		cmocka_unit_test(test_crossing_pings),
		cmocka_unit_test(test_the_first_that_finds_out),
		cmocka_unit_test(test_death_behind_the_bridge),
		cmocka_unit_test(test_death_of_the_bridge),
		cmocka_unit_test(test_loss),
		cmocka_unit_test(test_two_deaths),
		cmocka_unit_test(test_an_older_build),
	};

	cmocka_set_test_filter(getenv("TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
