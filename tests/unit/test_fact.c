/* Facts beside the connections: of directors that talk, and of a peer that lies. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sodium.h>

#include "proto/session/seal.h"
#include "proto/sync.pb-c.h"
#include "sync/batch.h"
#include "sync/fact.h"
#include "sync/kernel_wire.h"
#include "sync/sync.h"
#include "sync/table/hlc.h"
#include "tests/identity_fixture.h"

#define DIRECTORS 3
#define SUBSCRIPTION(d) (d)           /* to director d's entries */
#define SUBSCRIBER(d) (DIRECTORS + d) /* director d to ours */

static struct identity identities[DIRECTORS];
static uint8_t body[SYNC_BODY_MAX];

/* Directors that are up, with a stream each way between those that are linked. */
struct world {
	struct now now;
	unsigned int lives;
	struct sync *sync[DIRECTORS];
	uint64_t epoch[DIRECTORS];
};

static uint64_t id_of(unsigned int d)
{
	return certificate_id(&identities[d].certificate);
}

static void start(struct world *world, unsigned int d)
{
	struct sync_options options = {
		.identity = &identities[d],
		.epoch = ++world->lives,
		.journal = 1000 + world->lives,
		.entries_max = 1000,
	};

	assert_int_equal(sync_new(&options, &world->sync[d]), 0);
	world->epoch[d] = options.epoch;
}

static void link_one_way(struct world *world, unsigned int publisher, unsigned int subscriber)
{
	assert_int_equal(sync_open(world->sync[subscriber], SUBSCRIPTION(publisher), true,
				   &identities[publisher].certificate, world->epoch[publisher],
				   world->now),
			 0);
	assert_int_equal(sync_open(world->sync[publisher], SUBSCRIBER(subscriber), false,
				   &identities[subscriber].certificate, world->epoch[subscriber],
				   world->now),
			 0);
}

static void link_both(struct world *world, unsigned int a, unsigned int b)
{
	link_one_way(world, a, b);
	link_one_way(world, b, a);
}

/* Brings what a stream has to its other end. */
static bool deliver(struct world *world, unsigned int from, unsigned int to, bool published)
{
	unsigned int out = published ? SUBSCRIBER(to) : SUBSCRIPTION(to);
	unsigned int in = published ? SUBSCRIPTION(from) : SUBSCRIBER(from);
	bool any = false;
	uint8_t kind;
	size_t len;

	while (sync_output(world->sync[from], out, world->now, body, &kind, &len) == 0) {
		assert_int_equal(sync_receive(world->sync[to], in, kind, body, len, world->now), 0);
		any = true;
	}
	return any;
}

static void settle(struct world *world)
{
	bool any = true;

	while (any) {
		any = false;
		for (unsigned int a = 0; a < DIRECTORS; a++)
			for (unsigned int b = 0; b < DIRECTORS; b++) {
				if (a == b || !world->sync[a] || !world->sync[b])
					continue;
				any |= deliver(world, a, b, true);
				any |= deliver(world, a, b, false);
			}
	}
}

static void run(struct world *world, usec_t time)
{
	for (usec_t end = world->now.mono + time; world->now.mono < end;) {
		world->now.mono += 50 * USEC_PER_MSEC;
		world->now.wall += 50 * USEC_PER_MSEC;
		for (unsigned int d = 0; d < DIRECTORS; d++)
			if (world->sync[d])
				sync_tick(world->sync[d], world->now);
		settle(world);
	}
}

/* Two directors, or three, linked and complete. */
static struct world make_world(unsigned int count)
{
	struct world world = {.now = {.mono = 100 * USEC_PER_SEC, .wall = FIXTURE_WALL}};

	for (unsigned int d = 0; d < count; d++)
		start(&world, d);
	for (unsigned int a = 0; a < count; a++)
		for (unsigned int b = 0; b < a; b++)
			link_both(&world, a, b);
	settle(&world);
	for (unsigned int d = 0; d < count; d++)
		sync_join(world.sync[d], world.now);
	run(&world, USEC_PER_SEC);
	return world;
}

static void end_world(struct world *world)
{
	for (unsigned int d = 0; d < DIRECTORS; d++)
		sync_free(world->sync[d]);
}

static struct fact make_fact(enum fact_kind kind, unsigned int key, const char *value)
{
	struct fact fact = {.kind = kind, .timeout = 300, .len = strlen(value)};

	fact.key[0] = (uint8_t)key;
	fact.key[15] = (uint8_t)(key >> 8);
	memcpy(fact.value, value, fact.len);
	return fact;
}

static void publish(struct world *world, unsigned int d, enum fact_kind kind, unsigned int key,
		    const char *value)
{
	struct fact fact = make_fact(kind, key, value);

	assert_int_equal(sync_publish(world->sync[d], &fact, world->now), 0);
}

/* The next that is news at a director is this, and nothing else. */
static void assert_news(struct world *world, unsigned int d, enum fact_kind kind, unsigned int key,
			unsigned int origin, const char *value)
{
	struct fact fact = {0}, expected = make_fact(kind, key, value);

	assert_true(sync_fact_pending(world->sync[d]));
	assert_true(sync_fact_next(world->sync[d], world->now, &fact));
	assert_int_equal(fact.kind, kind);
	assert_memory_equal(fact.key, expected.key, FACT_KEY);
	assert_true(fact.origin == id_of(origin));
	assert_int_equal(fact.len, expected.len);
	assert_memory_equal(fact.value, expected.value, expected.len);
}

static void assert_no_news(struct world *world, unsigned int d)
{
	struct fact fact;

	assert_false(sync_fact_pending(world->sync[d]));
	assert_false(sync_fact_next(world->sync[d], world->now, &fact));
}

static struct sync_status status_of(const struct world *world, unsigned int d)
{
	struct sync_status status;

	sync_status(world->sync[d], &status);
	return status;
}

/* A fact gets to the others at once, is told once each time it changes, and the newest holds. */
static void test_published(void **state)
{
	struct world world = make_world(2);
	struct sync_status status;

	(void)state;
	publish(&world, 0, FACT_RESULT, 1, "down: refused");
	settle(&world);
	assert_news(&world, 1, FACT_RESULT, 1, 0, "down: refused");
	assert_no_news(&world, 1);
	assert_no_news(&world, 0);
	/* Each has a result of its own, and both have one setting. */
	publish(&world, 1, FACT_RESULT, 1, "up");
	publish(&world, 1, FACT_SETTING, 1, "drain");
	publish(&world, 0, FACT_RESULT, 1, "up");
	run(&world, 10 * USEC_PER_MSEC);
	assert_news(&world, 0, FACT_RESULT, 1, 1, "up");
	assert_news(&world, 0, FACT_SETTING, 1, 1, "drain");
	assert_news(&world, 1, FACT_RESULT, 1, 0, "up");
	publish(&world, 0, FACT_SETTING, 1, "");
	run(&world, 10 * USEC_PER_MSEC);
	assert_news(&world, 1, FACT_SETTING, 1, 0, "");
	assert_no_news(&world, 0);
	assert_no_news(&world, 1);
	for (unsigned int d = 0; d < 2; d++) {
		status = status_of(&world, d);
		assert_int_equal(status.facts, 3);
		assert_int_equal(status.entries + status.entries_own + status.learned, 0);
		assert_int_equal(status.concurrent_updates + status.conflicts, 0);
	}
	end_world(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published),
	};

	if (sodium_init() < 0)
		return 1;
	for (unsigned int d = 0; d < DIRECTORS; d++)
		fixture_identity(1, (uint8_t)(d + 1), &identities[d]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
