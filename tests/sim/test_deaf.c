/* Peers that subscribe and do not take what they are sent: the other peers are not affected, the
 * operator gets an event, and the stream is closed in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/event/observer.h"
#include "tests/sim/guest.h"

#define FLOWS 300
#define DEAF 2 /* the guest has this director's identity */

struct world {
	struct cluster *cluster;
	struct event_log *log; /* the events of d1 */
	uint64_t cursor;
	unsigned int lagging, caught_up;
	unsigned int seconds;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	world->cluster = cluster_new(1, 3);
	assert_int_equal(event_log_new("d1", 9, &world->log), 0);
	cluster_run(world->cluster, 2 * USEC_PER_SEC);
	cluster_crash(world->cluster, DEAF, true);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	event_log_free(world->log);
	cluster_free(world->cluster);
	free(world);
	return 0;
}

static uint64_t closed(struct world *world, const char *why)
{
	struct counter counter;

	for (unsigned int i = 0; node_counter(cluster_node(world->cluster, 0), i, &counter); i++)
		if (strcmp(counter.group, "stream") == 0 && strcmp(counter.name, why) == 0)
			return counter.value;
	fail_msg("no counter stream %s", why);
	return 0;
}

static void observe(struct world *world)
{
	struct now now = cluster_now(world->cluster);
	const struct event *event;
	struct peers peers;
	uint64_t lost = 0;

	peers_collect(cluster_node(world->cluster, 0), now, &peers);
	observer_replication(&peers, world->log, now);
	while ((event = event_log_next(world->log, &world->cursor, &lost))) {
		assert_string_equal(event->subject, "d3");
		world->lagging += event->kind == EVENT_REPLICATION_LAGGING;
		world->caught_up += event->kind == EVENT_REPLICATION_CAUGHT_UP;
	}
}

/* A second in which all flows change, and after which the other director has that. */
static void second_passes(struct world *world)
{
	struct entry is;

	world->seconds++;
	for (unsigned int i = 0; i < FLOWS; i++) {
		struct entry entry = cluster_entry(i, i % 4, world->seconds % 2 ? 1 : 4, false);

		cluster_carry(world->cluster, 0, &entry);
	}
	cluster_run(world->cluster, USEC_PER_SEC);
	for (unsigned int i = 0; i < FLOWS; i++) {
		struct entry entry = cluster_entry(i, 0, 0, false);

		assert_true(cluster_kernel(world->cluster, 1, &entry.flow, &is));
		assert_int_equal(is.state, world->seconds % 2 ? 1 : 4);
	}
	observe(world);
}

static struct guest *subscriber(struct world *world)
{
	struct guest *guest = guest_new(world->cluster, 0, DEAF);

	guest_subscribe(guest, 0, 0);
	return guest;
}

/* A subscriber that reads so many bytes a second, and acknowledges none. Returns the seconds until
 * its stream was closed. */
static unsigned int deaf_until(struct world *world, size_t bytes)
{
	struct guest *guest = subscriber(world);
	uint64_t position = 0;
	unsigned int n = 0;

	for (; guest_connected(guest); n++) {
		guest_read(guest, MAX(bytes, 200 * !n), &position);
		guest_ack(guest, 0);
		second_passes(world);
		assert_true(n < 2 * SYNC_STALL / USEC_PER_SEC);
	}
	guest_free(guest);
	return n;
}

static void test_deaf(void **state)
{
	struct world *world = *state;

	for (unsigned int i = 0; i < 5; i++)
		second_passes(world);
	for (unsigned int i = 1; i <= 3; i++) {
		unsigned int n = deaf_until(world, i == 2);

		assert_in_range(n, SYNC_STALL / USEC_PER_SEC, SYNC_STALL / USEC_PER_SEC + 1);
		assert_int_equal(closed(world, "stalled"), i);
		/* It comes back, and is still lagging. */
		assert_int_equal(world->lagging, 1);
		assert_int_equal(world->caught_up, 0);
	}
}

/* A subscriber that is slow and gets on is reported, and not cut off. */
static void test_slow(void **state)
{
	struct world *world = *state;
	struct guest *guest = subscriber(world);
	uint64_t position = 0, acked = 0;

	guest_read(guest, SIZE_MAX, &position);
	for (unsigned int i = 0; i < 3 * SYNC_STALL / USEC_PER_SEC; i++) {
		guest_read(guest, 2000, &position);
		guest_ack(guest, position);
		second_passes(world);
		assert_true(guest_connected(guest));
		assert_true(position >= acked);
		acked = position;
	}
	assert_true(acked > FLOWS);
	assert_int_equal(world->lagging, 1);
	assert_int_equal(world->caught_up, 0);
	for (unsigned int i = 0; i < 3; i++) {
		while (guest_read(guest, SIZE_MAX, &position) > 0)
			;
		guest_ack(guest, position);
		second_passes(world);
	}
	assert_int_equal(world->caught_up, 1);
	assert_int_equal(closed(world, "stalled"), 0);
	guest_free(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_deaf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
