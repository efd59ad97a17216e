/* What a single director does about a peer that is none; tests/sim has whole clusters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "director/node.h"
#include "proto/session.h"
#include "tests/identity_fixture.h"

static struct identity d1, d2;
static uint8_t data[NODE_OUTPUT_MIN];

static int set_up(void **state)
{
	(void)state;
	fixture_identity(1, 1, &d1);
	fixture_identity(1, 2, &d2);
	return 0;
}

static struct node *make_node(void)
{
	static const struct endpoint join = {{AF_INET, {192, 0, 2, 9}}, 7946};
	struct node_options options = {
		.identity = &d1,
		.epoch = 1,
		.join = &join,
		.join_count = 1,
		.entries_max = 100,
	};
	struct node *node;

	assert_int_equal(node_new(&options, &node), 0);
	return node;
}

static void step(struct node *node, struct node_event event, usec_t time,
		 struct node_update *ret_update)
{
	event.now = (struct now){.mono = time, .wall = FIXTURE_WALL + time};
	node_step(node, &event, ret_update);
}

/* Lets whoever is there answer the dial, as far as the node has heard who that is. */
static void answer(struct node *node, const struct identity *identity, usec_t time)
{
	struct session_options options = {.identity = identity, .nonce = {(uint8_t)time}};
	struct now now = {.mono = time, .wall = FIXTURE_WALL + time};
	struct node_update update;
	struct session_frame frame;
	struct session *session;
	size_t len, used;

	assert_int_equal(session_new(&options, &session), 0);
	step(node, (struct node_event){.type = NODE_STREAM_OPENED}, time, &update);
	len = node_output(node, 0, now, data, sizeof(data));
	assert_int_equal(session_feed(session, data, len, now.wall, &used, &frame), 0);
	len = session_output(session, data, sizeof(data));
	step(node, (struct node_event){.type = NODE_STREAM_DATA, .data = data, .len = len}, time,
	     &update);
	session_free(session);
}

static struct node_stream_status status_of(struct node *node, usec_t time)
{
	struct node_stream_status status;

	node_stream_status(node, 0, (struct now){.mono = time, .wall = FIXTURE_WALL}, &status);
	return status;
}

/* An address that is ours is left alone, and not for ever: who turns a peer's connection back to us
 * must not part us from it for longer than he does it. */
static void test_self(void **state)
{
	usec_t time = USEC_PER_SEC;
	struct node *node = make_node();
	struct node_update update;

	(void)state;
	step(node, (struct node_event){.type = NODE_TICK}, time, &update);
	assert_int_equal(update.dial, 1);
	answer(node, &d1, time);
	assert_true(status_of(node, time).self);
	assert_int_equal(status_of(node, time).phase, NODE_STREAM_NONE);

	for (usec_t end = time + 20 * USEC_PER_SEC; time < end; time += USEC_PER_SEC) {
		step(node, (struct node_event){.type = NODE_TICK}, time, &update);
		assert_int_equal(update.dial, 0);
	}
	time += 40 * USEC_PER_SEC;
	step(node, (struct node_event){.type = NODE_TICK}, time, &update);
	assert_int_equal(update.dial, 1);
	answer(node, &d2, time);
	assert_false(status_of(node, time).self);
	assert_int_equal(status_of(node, time).phase, NODE_STREAM_READY);
	assert_string_equal(status_of(node, time).name, "d2");
	node_free(node);
}

/* A changed join list: the old stream ends, and nothing of that peer is said of the new one. */
static void test_join(void **state)
{
	static const struct endpoint other = {{AF_INET, {192, 0, 2, 10}}, 7946};
	usec_t time = USEC_PER_SEC;
	struct node *node = make_node();
	struct node_update update;
	struct endpoint remote;

	(void)state;
	step(node, (struct node_event){.type = NODE_TICK}, time, &update);
	answer(node, &d2, time);
	step(node, (struct node_event){.type = NODE_JOIN, .join = &other, .join_count = 1}, time,
	     &update);
	assert_int_equal(update.close.bits[0], 1);
	assert_string_equal(status_of(node, time).name, "");
	step(node, (struct node_event){.type = NODE_TICK}, time, &update);
	assert_int_equal(update.dial, 1);
	remote = status_of(node, time).remote;
	assert_int_equal(endpoint_compare(&remote, &other), 0);
	/* The same list again changes nothing. */
	answer(node, &d2, time);
	step(node, (struct node_event){.type = NODE_JOIN, .join = &other, .join_count = 1}, time,
	     &update);
	assert_int_equal(update.close.bits[0], 0);
	assert_int_equal(status_of(node, time).phase, NODE_STREAM_READY);
	node_free(node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_self),
		cmocka_unit_test(test_join),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, set_up, NULL);
}
