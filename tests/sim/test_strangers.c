/* Whole directors, and strangers who open streams without a key: silent, with a byte, with garbage,
 * with a recorded Hello. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/node/admission.h"
#include "proto/session/session.h"
#include "tests/sim/guest.h"

struct flood {
	struct cluster *cluster;
	unsigned int sources;
	uint8_t hello[2048], garbage[2048];
	size_t len;
	unsigned int sent;
};

static struct session *dials(const struct identity *identity, uint8_t nonce)
{
	struct session_options options = {
		.identity = identity,
		.dialer = true,
		.nonce = {nonce},
		.epoch = 1,
		.versions = VERSION_RANGE,
	};
	struct session *session;

	assert_int_equal(session_new(&options, &session), 0);
	return session;
}

/* Any director's Hello may have been recorded. */
static void flood_init(struct flood *flood, struct cluster *cluster, unsigned int sources)
{
	struct session *session = dials(cluster_identity(cluster, 1), 77);

	*flood = (struct flood){.cluster = cluster, .sources = sources};
	flood->len = session_output(session, flood->hello, sizeof(flood->hello));
	for (size_t i = 0; i < sizeof(flood->garbage); i++)
		flood->garbage[i] = (uint8_t)cluster_random(cluster);
	session_free(session);
}

static struct endpoint source(unsigned int i)
{
	return (struct endpoint){
		.ip = {.family = AF_INET, .bytes = {198, 51, (uint8_t)(i >> 8), (uint8_t)i}},
		.port = (uint16_t)(1024 + i)};
}

static void flood_once(struct flood *flood, unsigned int d)
{
	unsigned int i = flood->sent++;
	struct endpoint remote = source(i % flood->sources);
	const size_t lens[] = {0, 1, sizeof(flood->garbage), flood->len};

	/* each source does each in turn */
	cluster_stranger(flood->cluster, d, &remote,
			 (i / flood->sources + i) % 4 == 2 ? flood->garbage : flood->hello,
			 lens[(i / flood->sources + i) % 4]);
}

static void run(struct flood *flood, unsigned int d, unsigned int each_ms, usec_t time)
{
	for (usec_t t = 0; t < time; t += USEC_PER_MSEC) {
		for (unsigned int i = 0; i < each_ms; i++)
			flood_once(flood, d);
		cluster_run(flood->cluster, USEC_PER_MSEC);
	}
}

static bool ready(struct cluster *cluster, unsigned int d)
{
	struct node_status status;

	node_status(cluster_node(cluster, d), &status);
	return status.ready;
}

static unsigned int handshakes(struct cluster *cluster, unsigned int d)
{
	unsigned int count = 0;

	for (unsigned int i = NODE_DIALLED_MAX; i < NODE_STREAMS_MAX; i++) {
		struct node_stream_status status;

		node_stream_status(cluster_node(cluster, d), i, cluster_now(cluster), &status);
		count += status.phase == NODE_STREAM_HANDSHAKE;
	}
	return count;
}

/* A director that restarts in a flood is ready as soon as ever, and no member is reported as
 * failed. */
static void test_restart(void **state)
{
	struct cluster *cluster = cluster_new(3, 3);
	struct flood flood;

	(void)state;
	cluster_run(cluster, 2 * USEC_PER_SEC);
	for (unsigned int i = 0; i < 300; i++) {
		struct entry entry = cluster_entry(i, i % 4, 1, true);

		cluster_carry(cluster, i % 2, &entry);
	}
	cluster_crash(cluster, 2, true);
	cluster_run(cluster, 5 * USEC_PER_SEC);
	flood_init(&flood, cluster, 60000);
	run(&flood, 0, 200, USEC_PER_SEC);
	assert_in_range(handshakes(cluster, 0), 1, NODE_STRANGERS_MAX);
	cluster_start(cluster, 2);
	run(&flood, 0, 200, USEC_PER_SEC);
	assert_true(ready(cluster, 2));
	run(&flood, 0, 200, USEC_PER_SEC);
	assert_int_equal(cluster_kernel_count(cluster, 2), 300);
	for (unsigned int d = 0; d < 3; d++) {
		assert_int_equal(cluster_noticed(cluster, d, MEMBERSHIP_MEMBER_FAILED), d < 2);
		assert_int_equal(cluster_noticed(cluster, d, MEMBERSHIP_SPLIT_SUSPECTED), 0);
	}
	/* and all of theirs end */
	cluster_run(cluster, 4 * USEC_PER_SEC);
	assert_int_equal(handshakes(cluster, 0), 0);
	assert_null(cluster_difference(cluster));
	cluster_free(cluster);
}

/* Gives what a node has to say on a stream to the session at its other end. */
static void hears(struct cluster *cluster, unsigned int d, unsigned int stream,
		  struct session *session)
{
	static uint8_t data[NODE_OUTPUT_MIN];
	size_t len = node_output(cluster_node(cluster, d), stream, cluster_now(cluster), data,
				 sizeof(data));

	for (size_t at = 0, used; at < len; at += used) {
		struct session_frame frame;

		assert_true(session_feed(session, data + at, len - at, cluster_now(cluster).wall,
					 &used, &frame) >= 0);
	}
}

static void says(struct cluster *cluster, unsigned int d, unsigned int stream,
		 struct session *session)
{
	uint8_t data[4096];
	size_t len = session_output(session, data, sizeof(data));

	cluster_tell(cluster, d,
		     (struct node_event){
			     .type = NODE_STREAM_DATA, .stream = stream, .data = data, .len = len});
}

/* A newcomer with a key, from an unknown address, gets in as a stranger in a flood of 2,000 a
 * second over a network of 20 ms. */
static void test_newcomer(void **state)
{
	struct cluster *cluster = cluster_new(4, 3);
	struct endpoint remote = source(60001);
	struct node_stream_status status;
	struct session *session;
	struct flood flood;
	unsigned int stream;

	(void)state;
	cluster_crash(cluster, 2, true);
	cluster_run(cluster, 2 * USEC_PER_SEC);
	flood_init(&flood, cluster, 1000);
	run(&flood, 0, 2, 2 * USEC_PER_SEC);
	session = dials(cluster_identity(cluster, 2), 1);
	stream = node_accept(cluster_node(cluster, 0), &remote, true, cluster_now(cluster));
	assert_true(stream < NODE_STREAMS_MAX);
	cluster_tell(cluster, 0,
		     (struct node_event){
			     .type = NODE_STREAM_OPENED, .stream = stream, .remote = remote});
	assert_true(node_stranger(cluster_node(cluster, 0), stream));
	run(&flood, 0, 2, 10 * USEC_PER_MSEC);
	says(cluster, 0, stream, session);
	run(&flood, 0, 2, 10 * USEC_PER_MSEC);
	hears(cluster, 0, stream, session);
	assert_true(session_ready(session));
	run(&flood, 0, 2, 10 * USEC_PER_MSEC);
	says(cluster, 0, stream, session);
	node_stream_status(cluster_node(cluster, 0), stream, cluster_now(cluster), &status);
	assert_int_equal(status.phase, NODE_STREAM_READY);
	assert_string_equal(status.name, "d3");
	assert_false(node_stranger(cluster_node(cluster, 0), stream));
	session_free(session);
	cluster_free(cluster);
}

/* One source holds only so many places, and takes only so many new ones. */
static void test_one_source(void **state)
{
	struct cluster *cluster = cluster_new(5, 2);
	struct endpoint remote = source(1);
	unsigned int taken = 0;

	(void)state;
	cluster_run(cluster, 2 * USEC_PER_SEC);
	for (unsigned int i = 0; i < 100; i++)
		taken += cluster_stranger(cluster, 0, &remote, NULL, 0);
	assert_int_equal(taken, 4);
	assert_int_equal(handshakes(cluster, 0), 4);
	for (unsigned int i = 0; i < 10000; i++) {
		taken += cluster_stranger(cluster, 0, &remote, (const uint8_t *)"xxxxxxxxxxxx", 12);
		cluster_run(cluster, USEC_PER_MSEC);
	}
	assert_in_range(taken, 4, ADMISSION_BURST + 10);
	cluster_free(cluster);
}

/* Streams that a director has with one of that name. */
static unsigned int streams_with(struct cluster *cluster, unsigned int d, const char *name)
{
	unsigned int count = 0;

	for (unsigned int i = NODE_DIALLED_MAX; i < NODE_STREAMS_MAX; i++) {
		struct node_stream_status status;

		node_stream_status(cluster_node(cluster, d), i, cluster_now(cluster), &status);
		count += status.phase == NODE_STREAM_READY && strcmp(status.name, name) == 0;
	}
	return count;
}

/* One valid key can't keep others out with streams that it never ends, silent ones or
 * membership's. */
static void one_key(uint8_t kind)
{
	struct cluster *cluster = cluster_new(6, 4);
	struct guest *thief[100], *newcomer;

	cluster_run(cluster, 2 * USEC_PER_SEC);
	cluster_crash(cluster, 2, true);
	cluster_crash(cluster, 3, true);
	cluster_run(cluster, 10 * USEC_PER_SEC);
	for (unsigned int i = 0; i < ARRAY_SIZE(thief); i++) {
		thief[i] = guest_new(cluster, 0, 2);
		if (kind)
			guest_say(thief[i], kind, NULL, 0);
		cluster_run(cluster, USEC_PER_MSEC);
	}
	assert_in_range(streams_with(cluster, 0, "d3"), 1, 8);
	/* its own newest stay, and another's place is free */
	assert_true(guest_connected(thief[ARRAY_SIZE(thief) - 1]));
	newcomer = guest_new(cluster, 0, 3);
	guest_say(newcomer, MEMBERSHIP_KIND_DIGEST, NULL, 0);
	cluster_run(cluster, 100 * USEC_PER_MSEC);
	assert_true(guest_connected(newcomer));
	assert_int_equal(streams_with(cluster, 0, "d4"), 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(thief); i++)
		guest_free(thief[i]);
	guest_free(newcomer);
	/* it waits 5 s for the member that is away */
	cluster_start(cluster, 3);
	cluster_run(cluster, 6 * USEC_PER_SEC);
	assert_true(ready(cluster, 3));
	cluster_free(cluster);
}

static void test_silent_key(void **state)
{
	(void)state;
	one_key(0);
}

static void test_member_key(void **state)
{
	(void)state;
	one_key(MEMBERSHIP_KIND_DIGEST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restart),    cmocka_unit_test(test_newcomer),
		cmocka_unit_test(test_one_source), cmocka_unit_test(test_silent_key),
		cmocka_unit_test(test_member_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
