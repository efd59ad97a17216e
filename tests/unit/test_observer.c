#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/event/observer.h"
#include "proto/session/seal.h"
#include "tests/identity_fixture.h"

#define DAY 86400

struct world {
	struct observer observer;
	struct peers peers;
	struct event_log *log;
	uint64_t cursor;
	struct now now;
	char text[1024];
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_int_equal(event_log_new("d1", 9, &world->log), 0);
	world->now = (struct now){.mono = USEC_PER_SEC, .wall = FIXTURE_WALL};
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	event_log_free(world->log);
	free(world);
	return 0;
}

/* "KIND SUBJECT," each; then a long time passes. */
static const char *reported(struct world *world)
{
	const struct event *event;
	uint64_t lost = 0;
	size_t len = 0;

	world->text[0] = '\0';
	while ((event = event_log_next(world->log, &world->cursor, &lost)))
		len += (size_t)snprintf(world->text + len, sizeof(world->text) - len, "%s %s,",
					event_type(event->kind)->name, event->subject);
	world->now.mono += 2 * EVENT_LOG_QUIET;
	return world->text;
}

static struct peer *peer_add(struct world *world, const char *name, uint64_t id, bool alive)
{
	struct peer *peer = &world->peers.peers[world->peers.count++];

	memset(peer, 0, sizeof(*peer));
	snprintf(peer->name, sizeof(peer->name), "%s", name);
	peer->id = id;
	peer->where.ip.family = AF_INET;
	peer->where.port = (uint16_t)(7946 + world->peers.count);
	peer->connected = alive;
	peer->state = alive ? "ready" : "down";
	peer->close_reason = alive ? NULL : "timeout";
	return peer;
}

static void test_drain(void **state)
{
	struct world *world = *state;
	const struct {
		bool draining, drained;
		const char *expected;
	} steps[] = {
		{false, true, ""},
		{true, false, "draining d1,"},
		{true, false, ""},
		{true, true, "drained d1,"},
		{true, false, ""}, /* a subscriber came that has not all of it yet */
		{true, true, ""},
		{false, true, "undrained d1,"},
		{true, true, "draining d1,drained d1,"},
		{false, false, "undrained d1,"},
		{true, false, "draining d1,"},
		{false, false, "undrained d1,"},
		{false, false, ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		const struct node_status status = {.draining = steps[i].draining,
						   .drained = steps[i].drained};

		observer_drain(&world->observer, "d1", &status, world->log, world->now);
		assert_string_equal(reported(world), steps[i].expected);
	}
	assert_null(event_log_find(world->log, EVENT_DRAINING, "d1"));
}

static void test_alone(void **state)
{
	struct world *world = *state;

	observer_alone("d1", true, OBSERVER_ALONE - 1, world->log, world->now);
	assert_string_equal(reported(world), "");
	observer_alone("d1", true, OBSERVER_ALONE, world->log, world->now);
	observer_alone("d1", true, 2 * OBSERVER_ALONE, world->log, world->now);
	assert_string_equal(reported(world), "peers-not-found d1,");
	observer_alone("d1", false, 2 * OBSERVER_ALONE, world->log, world->now);
	observer_alone("d1", false, 2 * OBSERVER_ALONE, world->log, world->now);
	assert_string_equal(reported(world), "peers-found d1,");
}

static void test_conn_max(void **state)
{
	struct world *world = *state;

	observer_conn_max("d1", 1000000, 0, world->log, world->now);
	observer_conn_max("d1", 1000, 1000, world->log, world->now);
	assert_string_equal(reported(world), "");
	observer_conn_max("d1", 1001, 1000, world->log, world->now);
	observer_conn_max("d1", 1002, 1000, world->log, world->now);
	assert_string_equal(reported(world), "kernel-table-full d1,");
	observer_conn_max("d1", 1002, 2000, world->log, world->now);
	assert_string_equal(reported(world), "kernel-table-has-room d1,");
}

static void test_injection(void **state)
{
	struct world *world = *state;

	observer_injection("d1", "lvsmesh-tap", 0, world->log, world->now);
	assert_string_equal(reported(world), "");
	observer_injection("d1", "lvsmesh-tap", USEC_PER_SEC, world->log, world->now);
	observer_injection("d1", "lvsmesh-tap", USEC_PER_SEC, world->log, world->now);
	assert_string_equal(reported(world), "injection-failing d1,");
	observer_injection("d1", "lvsmesh-tap", 0, world->log, world->now);
	assert_string_equal(reported(world), "injection-recovered d1,");
}

static void test_kernel_changed(void **state)
{
	struct world *world = *state;
	struct observer *observer = &world->observer;
	struct now now = world->now;
	unsigned int i = 0;

	for (unsigned int n = 0; n < OBSERVER_CONTESTED; n++) {
		i = 0;
		assert_null(observer_contested(observer, &i, now));
		observer_kernel_changed(observer, "d1", "net.ipv4.vs.sync_version", "was set to 0",
					0, world->log, now);
		now.mono += USEC_PER_SEC;
	}
	i = 0;
	assert_string_equal(observer_contested(observer, &i, now)->what,
			    "net.ipv4.vs.sync_version");
	assert_null(observer_contested(observer, &i, now));
	assert_string_equal(reported(world), "kernel-changed net.ipv4.vs.sync_version,");
	/* The contest has stopped; another change can't be put back. */
	now.mono += 2 * OBSERVER_CONTEST;
	observer_kernel_changed(observer, "d1", "lvsmesh-tap", "was deleted", -EBUSY, world->log,
				now);
	i = 0;
	assert_int_equal(observer_contested(observer, &i, now)->error, -EBUSY);
	assert_null(observer_contested(observer, &i, now));
	assert_string_equal(reported(world), "kernel-changed lvsmesh-tap,");
}

static const char *diverged(struct world *world, unsigned int count, usec_t later)
{
	world->now.mono += later;
	observer_config(&world->observer, "d1", "d2, d3", count, world->log, world->now);
	later = world->now.mono;
	reported(world);
	world->now.mono = later;
	return world->text;
}

static void test_config(void **state)
{
	struct world *world = *state;

	assert_string_equal(diverged(world, 2, 0), "");
	assert_string_equal(diverged(world, 1, OBSERVER_DIVERGENCE - 1), "");
	assert_string_equal(diverged(world, 0, 1), "");
	assert_string_equal(diverged(world, 2, 0), "");
	assert_string_equal(diverged(world, 2, OBSERVER_DIVERGENCE), "config-divergence d1,");
	assert_string_equal(diverged(world, 2, OBSERVER_DIVERGENCE), "");
	assert_string_equal(diverged(world, 0, 1), "config-converged d1,");
	assert_string_equal(diverged(world, 0, 1), "");
}

static void test_replication(void **state)
{
	struct world *world = *state;
	struct peer *d2 = peer_add(world, "d2", 2, true);
	struct sync_stream_status *sync = &d2->out.sync;
	const struct {
		enum node_stream_phase phase;
		bool joining;
		usec_t lag;
		const char *expected;
	} steps[] = {
		{NODE_STREAM_READY, false, OBSERVER_LAG, ""},
		{NODE_STREAM_HANDSHAKE, false, OBSERVER_LAG + 1, ""},
		{NODE_STREAM_READY, false, OBSERVER_LAG + 1, "replication-lagging d2,"},
		{NODE_STREAM_READY, false, OBSERVER_LAG * 2, ""},
		{NODE_STREAM_READY, false, PEER_LAG, ""},
		{NODE_STREAM_HANDSHAKE, true, 0, ""},
		{NODE_STREAM_READY, true, 0, ""},
		{NODE_STREAM_READY, false, PEER_LAG - 1, "replication-caught-up d2,"},
		{NODE_STREAM_READY, true, PEER_LAG_JOINING, ""},
		{NODE_STREAM_READY, true, PEER_LAG_JOINING + 1, "replication-lagging d2,"},
		{NODE_STREAM_READY, false, 0, "replication-caught-up d2,"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		d2->out.phase = steps[i].phase;
		sync->joining = steps[i].joining;
		sync->lag = steps[i].lag;
		observer_replication(&world->peers, world->log, world->now);
		assert_string_equal(reported(world), steps[i].expected);
	}
}

/* The event lasts until the member has kept to its share for a minute. */
static void test_throttled(void **state)
{
	struct world *world = *state;
	usec_t began = world->now.mono;
	const struct {
		usec_t last, now;
		const char *expected;
	} steps[] = {
		{0, began, ""},
		{began, began, "member-throttled d2,"},
		{began, began + OBSERVER_THROTTLED - 1, ""},
		{began + 1, began + OBSERVER_THROTTLED, ""},
		{began + 1, began + OBSERVER_THROTTLED + 1, "member-unthrottled d2,"},
		{began + 1, began + 2 * OBSERVER_THROTTLED, ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		world->now.mono = steps[i].now;
		observer_throttled("d2", steps[i].last, world->log, world->now);
		assert_string_equal(reported(world), steps[i].expected);
	}
}

/* One event for each member that has no place, by itself and by the others. */
static void test_place(void **state)
{
	struct world *world = *state;
	static const struct {
		const char *who;
		bool self, beyond;
		const char *expected;
	} steps[] = {
		{"d1", true, false, ""},  {"d1", true, true, "cluster-full d1,"},
		{"d1", true, true, ""},   {"d2", false, true, "cluster-full d2,"},
		{"d2", false, true, ""},  {"d2", false, false, "cluster-has-room d2,"},
		{"d2", false, false, ""}, {"d1", true, false, "cluster-has-room d1,"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		observer_place(steps[i].who, steps[i].self, steps[i].beyond, 256, world->log,
			       world->now);
		assert_string_equal(reported(world), steps[i].expected);
	}
}

static void test_forwarder(void **state)
{
	struct world *world = *state;
	static const usec_t stalled[] = {0, 5, 5, 0, 0};
	static const char *const expected[] = {"", "forwarder-stalled d1,", "",
					       "forwarder-recovered d1,", ""};

	for (size_t i = 0; i < ARRAY_SIZE(stalled); i++) {
		observer_forwarder("d1", stalled[i], world->log, world->now);
		assert_string_equal(reported(world), expected[i]);
	}
}

/* The first conflicts are reported at once, those soon after together, when a minute has passed. */
static void test_conflicts(void **state)
{
	struct world *world = *state;
	struct observer observer = {0};
	static const uint64_t conflicts[] = {0, 2, 3, 9};

	for (size_t i = 0; i < ARRAY_SIZE(conflicts); i++) {
		observer_conflicts(&observer, "d1", conflicts[i], world->log, world->now);
		assert_int_equal(observer.conflicts, i ? 2 : 0);
		world->now.mono += USEC_PER_SEC;
	}
	assert_string_equal(reported(world), "connection-conflict d1,");
	observer_conflicts(&observer, "d1", 9, world->log, world->now);
	assert_int_equal(observer.conflicts, 9);
	assert_string_equal(reported(world), "connection-conflict d1,");
	observer_conflicts(&observer, "d1", 9, world->log, world->now);
	assert_string_equal(reported(world), "");
}

static void test_identity(void **state)
{
	struct world *world = *state;
	struct certificate certificate = {.name = "d1", .not_after = FIXTURE_SECONDS};
	const struct {
		uint64_t left;
		const char *message; /* NULL: none */
	} steps[] = {
		{30 * DAY + 1, NULL},
		{30 * DAY, "in less than 31 days"},
		{29 * DAY, NULL},
		{7 * DAY, "in less than 8 days"},
		{6 * DAY, NULL},
		{DAY - 1, "in less than 1 day:"},
		{1, NULL},
		{0, "has expired"},
		{90 * DAY, NULL},
		{3 * DAY, "in less than 4 days"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		uint64_t cursor = world->cursor, lost = 0;

		world->now.wall = (FIXTURE_SECONDS - steps[i].left) * USEC_PER_SEC;
		observer_identity(&world->observer, &certificate, world->log, world->now);
		assert_string_equal(reported(world),
				    steps[i].message ? "identity-expiring d1," : "");
		if (steps[i].message)
			assert_non_null(strstr(event_log_next(world->log, &cursor, &lost)->message,
					       steps[i].message));
	}
}

static const struct endpoint own = {{AF_INET, {192, 0, 2, 1}}, 7946};

static struct node *make_node(struct identity *identity)
{
	struct node_options options = {.identity = identity,
				       .epoch = 1,
				       .versions = VERSION_RANGE,
				       .entries_max = 10,
				       .addresses = &own,
				       .address_count = 1,
				       .profile = membership_default};
	struct node *node;

	fixture_identity(1, 1, identity);
	assert_int_equal(node_new(&options, &node), 0);
	return node;
}

static void test_refused(void **state)
{
	struct world *world = *state;
	struct identity identity;
	static const uint8_t garbage[64] = "GET / HTTP/1.0\r\n\r\n";
	struct node_event event = {
		.type = NODE_STREAM_OPENED, .stream = NODE_DIALLED_MAX, .now = world->now};
	struct node_update update;
	struct counter counter;
	struct node *node = make_node(&identity);
	unsigned int count = 0;

	while (node_counter(node, count, &counter))
		count++;
	assert_in_range(count, 1, OBSERVER_COUNTERS);
	observer_refused(&world->observer, node, world->log, world->now);
	assert_string_equal(reported(world), "");

	event.remote.ip.family = AF_INET;
	event.stream = node_accept(node, &event.remote, true, world->now);
	node_step(node, &event, &update);
	event.type = NODE_STREAM_DATA;
	event.data = garbage;
	event.len = sizeof(garbage);
	node_step(node, &event, &update);
	observer_refused(&world->observer, node, world->log, world->now);
	assert_string_equal(reported(world), "message-refused session/magic,");
	observer_refused(&world->observer, node, world->log, world->now);
	assert_string_equal(reported(world), "");
	node_free(node);
}

static const char *named(struct world *world, bool failed, uint64_t id)
{
	struct observer_named all[] = {{"d3", 7, failed}, {"d1", 1, false}, {"d3", id, false}};

	observer_names(all, id ? 3 : 2, world->log, world->now);
	return reported(world);
}

/* A director that was installed anew, and two that were named by mistake. */
static void test_names(void **state)
{
	struct world *world = *state;

	assert_string_equal(named(world, false, 0), "");
	assert_string_equal(named(world, true, 5), "duplicate-name d3,");
	assert_non_null(strstr(event_log_find(world->log, EVENT_DUPLICATE_NAME, "d3")->message,
			       "`lvsmesh remove 0000000000000007`"));
	assert_string_equal(named(world, true, 5), "");
	assert_string_equal(named(world, true, 0), "duplicate-name-resolved d3,");
	assert_string_equal(named(world, false, 5), "duplicate-name d3,");
	assert_non_null(
		strstr(event_log_find(world->log, EVENT_DUPLICATE_NAME, "d3")->message, "keygen"));
	assert_string_equal(named(world, false, 0), "duplicate-name-resolved d3,");
}

/* Refusals that a network causes too are reported only when they are too many for that. */
static void test_flood(void **state)
{
	struct world *world = *state;
	struct identity identity, stranger;
	struct packet packet = {.version = VERSION_WIRE, .kind = 1, .epoch = 1};
	struct packet_key key;
	struct node_event event = {.type = NODE_DATAGRAM, .now = world->now, .remote = own};
	struct node_update update;
	struct node *node = make_node(&identity);
	uint8_t data[128];

	fixture_identity(1, 2, &stranger);
	assert_int_equal(seal_packet_key_init(&stranger, &identity.certificate, &key), 0);
	packet.sender = stranger.id;
	assert_int_equal(seal_packet_pack(&key, identity.certificate.cluster, &packet, data,
					  sizeof(data), &event.len),
			 0);
	event.data = data;
	for (unsigned int i = 1; i <= OBSERVER_FLOOD; i++) {
		node_step(node, &event, &update);
		observer_refused(&world->observer, node, world->log, world->now);
		assert_true((event_log_end(world->log) == 1) == (i == OBSERVER_FLOOD));
	}
	assert_string_equal(reported(world), "message-refused membership/unknown-sender,");
	/* Another cluster's are never ordinary. */
	data[3] ^= 1;
	node_step(node, &event, &update);
	observer_refused(&world->observer, node, world->log, world->now);
	assert_string_equal(reported(world), "message-refused membership/cluster,");
	node_free(node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_drain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kernel_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_injection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_conn_max, setup, teardown),
		cmocka_unit_test_setup_teardown(test_config, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replication, setup, teardown),
		cmocka_unit_test_setup_teardown(test_throttled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forwarder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_conflicts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
