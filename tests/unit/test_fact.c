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
	bool old[DIRECTORS]; /* says nothing of facts, as a build without them */
	unsigned int asked;  /* for facts alone */
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

static void cut(struct world *world, unsigned int a, unsigned int b)
{
	sync_close(world->sync[a], SUBSCRIPTION(b));
	sync_close(world->sync[a], SUBSCRIBER(b));
	sync_close(world->sync[b], SUBSCRIPTION(a));
	sync_close(world->sync[b], SUBSCRIBER(a));
}

static void stop(struct world *world, unsigned int d)
{
	for (unsigned int other = 0; other < DIRECTORS; other++)
		if (other != d && world->sync[other])
			cut(world, d, other);
	sync_free(world->sync[d]);
	world->sync[d] = NULL;
}

/* An old build's Begin, and a look at a Want. Returns the length. */
static size_t tamper(struct world *world, unsigned int from, uint8_t kind, size_t len)
{
	Lvsmesh__Pb__Begin *begin;
	Lvsmesh__Pb__Want *want;

	if (kind == SYNC_KIND_WANT) {
		want = lvsmesh__pb__want__unpack(NULL, len, body);
		world->asked += !!want->facts;
		lvsmesh__pb__want__free_unpacked(want, NULL);
	} else if (kind == SYNC_KIND_BEGIN && world->old[from]) {
		begin = lvsmesh__pb__begin__unpack(NULL, len, body);
		begin->facts = false;
		len = lvsmesh__pb__begin__pack(begin, body);
		lvsmesh__pb__begin__free_unpacked(begin, NULL);
	}
	return len;
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
		len = tamper(world, from, kind, len);
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

static void assert_no_news_left(struct world *world, unsigned int d)
{
	struct fact fact;

	assert_false(sync_fact_next(world->sync[d], world->now, &fact));
}

static void assert_no_news(struct world *world, unsigned int d)
{
	assert_false(sync_fact_pending(world->sync[d]));
	assert_no_news_left(world, d);
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

/* Of a fact that changes before it is pulled only the newest is told; none, if we made that. */
static void test_newest(void **state)
{
	struct world world = make_world(2);

	(void)state;
	publish(&world, 0, FACT_RESULT, 1, "down");
	publish(&world, 0, FACT_RESULT, 2, "down");
	settle(&world);
	publish(&world, 0, FACT_RESULT, 1, "up");
	publish(&world, 0, FACT_SETTING, 3, "drain");
	run(&world, 10 * USEC_PER_MSEC);
	publish(&world, 1, FACT_SETTING, 3, "weight 5");
	/* In the order in which they became news. */
	assert_news(&world, 1, FACT_RESULT, 1, 0, "up");
	assert_news(&world, 1, FACT_RESULT, 2, 0, "down");
	assert_no_news(&world, 1);
	run(&world, 10 * USEC_PER_MSEC);
	assert_news(&world, 0, FACT_SETTING, 3, 1, "weight 5");
	assert_no_news(&world, 0);
	end_world(&world);
}

/* However the connections are withheld, a fact leaves with the next batch. */
static void test_never_withheld(void **state)
{
	struct world world = make_world(2);
	struct policy_options policy = {.min_age = 60 * USEC_PER_SEC, .flood_rate = 1};
	uint64_t stamped = world.now.wall / USEC_PER_MSEC;
	struct fact fact;

	(void)state;
	sync_policy(world.sync[0], &policy);
	sync_set_draining(world.sync[0], true);
	sync_set_capture_floor(world.sync[0], world.now.wall - 10 * USEC_PER_SEC);
	publish(&world, 0, FACT_RESULT, 1, "up");
	settle(&world);
	assert_true(sync_fact_next(world.sync[1], world.now, &fact));
	assert_true(fact.hlc >> 16 >= stamped);
	assert_int_equal(status_of(&world, 0).young + status_of(&world, 0).flood_waiting, 0);
	end_world(&world);
}

/* Neither the kernel nor those who list connections see a fact, and the start waits for none. */
static void test_no_connection(void **state)
{
	struct world world = make_world(2);
	struct sync_info info;
	struct entry entry;
	uint64_t cursor = 0, id, entries;

	(void)state;
	publish(&world, 0, FACT_RESULT, 1, "up");
	publish(&world, 0, FACT_SETTING, 1, "drain");
	settle(&world);
	stop(&world, 1);
	start(&world, 1);
	link_both(&world, 0, 1);
	settle(&world);
	sync_join(world.sync[1], world.now);
	settle(&world);
	assert_true(sync_fact_pending(world.sync[1]));
	assert_int_equal(status_of(&world, 1).facts, 2);
	assert_true(status_of(&world, 1).complete);
	for (unsigned int d = 0; d < 2; d++) {
		assert_false(sync_inject_pending(world.sync[d]));
		assert_int_equal(sync_inject(world.sync[d], world.now, body, sizeof(body)), 0);
		assert_false(sync_walk(world.sync[d], &cursor, &entry, &info));
		for (unsigned int i = 0; sync_origin(world.sync[d], i, &id, &entries); i++)
			assert_int_equal(entries, 0);
	}
	end_world(&world);
}

/* Seconds since it was published go with a fact; it ends with its timeout, or never. */
static void test_lifetime(void **state)
{
	struct world world = make_world(2);
	struct fact lasting = make_fact(FACT_SETTING, 1, "maintenance"), fact;
	uint64_t cursor = 0;
	unsigned int n = 0;

	(void)state;
	lasting.timeout = FACT_FOREVER;
	assert_int_equal(sync_publish(world.sync[0], &lasting, world.now), 0);
	publish(&world, 0, FACT_SETTING, 2, "drain");
	settle(&world);
	stop(&world, 1);
	run(&world, 100 * USEC_PER_SEC);
	start(&world, 1);
	link_both(&world, 0, 1);
	settle(&world);
	for (; sync_fact_next(world.sync[1], world.now, &fact); n++) {
		assert_in_range(fact.age, 99, 101);
		assert_int_equal(fact.timeout, fact.key[0] == 1 ? FACT_FOREVER : 300);
	}
	assert_int_equal(n, 2);
	/* A director told nothing of a fact that ended before it was pulled. */
	publish(&world, 0, FACT_RESULT, 3, "up");
	settle(&world);
	cut(&world, 0, 1);
	world.now.mono += 310 * USEC_PER_SEC;
	world.now.wall += 310 * USEC_PER_SEC;
	assert_true(sync_fact_pending(world.sync[1]));
	assert_no_news_left(&world, 1);
	for (n = 0; sync_fact_walk(world.sync[0], world.now, &cursor, &fact); n++)
		assert_int_equal(fact.key[0], 1);
	assert_int_equal(n, 1);
	/* Forty years are no end. */
	for (unsigned int d = 0; d < 2; d++) {
		world.now.mono += 20 * 365 * 86400 * USEC_PER_SEC;
		for (unsigned int i = 0; i < 2; i++, world.now.mono += 5 * USEC_PER_SEC)
			sync_tick(world.sync[d], world.now);
		assert_int_equal(status_of(&world, d).facts, 1);
		cursor = 0;
		assert_true(sync_fact_walk(world.sync[d], world.now, &cursor, &fact));
	}
	end_world(&world);
}

/* An operator's setting comes back to a director that starts, also its own, which that director
 * then publishes again; its own results do not. */
static void test_restart(void **state)
{
	struct world world = make_world(2);

	(void)state;
	publish(&world, 0, FACT_SETTING, 1, "drain");
	publish(&world, 0, FACT_RESULT, 2, "down");
	publish(&world, 1, FACT_SETTING, 3, "weight 7");
	publish(&world, 1, FACT_RESULT, 2, "up");
	run(&world, 10 * USEC_PER_MSEC);
	stop(&world, 0);
	start(&world, 0);
	link_both(&world, 0, 1);
	settle(&world);
	sync_join(world.sync[0], world.now);
	run(&world, USEC_PER_SEC);
	assert_news(&world, 0, FACT_SETTING, 3, 1, "weight 7");
	assert_news(&world, 0, FACT_RESULT, 2, 1, "up");
	assert_news(&world, 0, FACT_SETTING, 1, 0, "drain");
	assert_no_news(&world, 0);
	/* The third has it out of the journal of the director that made it. */
	start(&world, 2);
	link_both(&world, 0, 2);
	settle(&world);
	assert_news(&world, 2, FACT_SETTING, 1, 0, "drain");
	assert_no_news(&world, 2);
	end_world(&world);
}

/* A director whose clock was set back while it was down publishes what is older than that which its
 * peers have of it. A result is taken all the same, out of its journal; a setting gets a version
 * above that which they return. */
static void test_clock_set_back(void **state)
{
	struct world world = make_world(2);

	(void)state;
	publish(&world, 0, FACT_RESULT, 1, "down");
	publish(&world, 0, FACT_SETTING, 1, "drain");
	run(&world, 10 * USEC_PER_MSEC);
	stop(&world, 0);
	world.now.wall -= 60 * USEC_PER_SEC;
	start(&world, 0);
	publish(&world, 0, FACT_RESULT, 1, "up");
	publish(&world, 0, FACT_SETTING, 1, "up");
	link_both(&world, 0, 1);
	settle(&world);
	assert_news(&world, 1, FACT_SETTING, 1, 0, "drain");
	assert_news(&world, 1, FACT_RESULT, 1, 0, "up");
	assert_no_news(&world, 1);
	sync_join(world.sync[0], world.now);
	run(&world, USEC_PER_SEC);
	assert_int_equal(status_of(&world, 0).facts_returned, 1);
	assert_news(&world, 1, FACT_SETTING, 1, 0, "up");
	assert_no_news(&world, 1);
	assert_no_news(&world, 0);
	end_world(&world);
}

/* No stream leads from the first to the third. Sooner or later the second hands on the settings,
 * never the results. */
static void test_handed_on(void **state)
{
	struct world world = make_world(3);
	struct sync_status status;

	(void)state;
	cut(&world, 0, 2);
	publish(&world, 0, FACT_SETTING, 1, "drain");
	publish(&world, 0, FACT_RESULT, 1, "down");
	publish(&world, 1, FACT_RESULT, 1, "up");
	run(&world, USEC_PER_SEC);
	assert_news(&world, 2, FACT_RESULT, 1, 1, "up");
	assert_no_news(&world, 2);
	run(&world, 100 * USEC_PER_SEC);
	assert_news(&world, 2, FACT_SETTING, 1, 0, "drain");
	assert_no_news(&world, 2);
	status = status_of(&world, 2);
	assert_int_equal(status.facts_handed_on, 0); /* not even sent */
	assert_int_equal(status.repaired_from_peers, 1);
	assert_true(status.tables_compared > 0);
	/* All have the same settings by now, and the connections were the same all the while. */
	run(&world, 100 * USEC_PER_SEC);
	for (unsigned int d = 0; d < 3; d++) {
		assert_int_equal(status_of(&world, d).parts_differed, 0);
		assert_in_range(status_of(&world, d).facts_stale, 0, 2);
	}
	/* It starts, and has of the second what that may hand on. */
	stop(&world, 2);
	start(&world, 2);
	link_both(&world, 1, 2);
	settle(&world);
	sync_join(world.sync[2], world.now);
	run(&world, USEC_PER_SEC);
	assert_news(&world, 2, FACT_RESULT, 1, 1, "up");
	assert_news(&world, 2, FACT_SETTING, 1, 0, "drain");
	assert_no_news(&world, 2);
	end_world(&world);
}

/* A director that starts while no stream leads to the first has the journal's connections and
 * settings of the others. When the stream comes, it goes on from there, and the results that the
 * others could not hand on come too, at once. */
static void miss_by_shares(bool old)
{
	struct world world = make_world(3);
	struct entry entry = {.state = 1, .timeout = 900, .flags = 3};
	struct sync_stream_status stream;

	world.old[0] = old;
	entry.flow.family = AF_INET;
	entry.flow.protocol = IPPROTO_TCP;
	for (unsigned int i = 0; i < 100; i++, entry.flow.cport++)
		assert_int_equal(sync_capture(world.sync[0], &entry, world.now), 0);
	publish(&world, 0, FACT_RESULT, 1, "down");
	publish(&world, 0, FACT_SETTING, 1, "drain");
	run(&world, 10 * USEC_PER_MSEC);
	stop(&world, 2);
	start(&world, 2);
	cut(&world, 0, 1);
	link_both(&world, 1, 2);
	settle(&world);
	sync_join(world.sync[2], world.now);
	run(&world, USEC_PER_SEC);
	assert_news(&world, 2, FACT_SETTING, 1, 0, "drain");
	assert_no_news(&world, 2);
	assert_int_equal(status_of(&world, 2).entries, 100);
	publish(&world, 0, FACT_RESULT, 2, "up");
	link_both(&world, 0, 2);
	deliver(&world, 2, 0, false);
	deliver(&world, 0, 2, true);
	sync_stream_status(world.sync[2], SUBSCRIPTION(0), world.now, &stream);
	assert_true(stream.synced);
	assert_int_equal(stream.facts, old);
	run(&world, 50 * USEC_PER_MSEC);
	sync_stream_status(world.sync[2], SUBSCRIPTION(0), world.now, &stream);
	assert_true(stream.facts);
	assert_int_equal(world.asked, !old);
	assert_news(&world, 2, FACT_RESULT, 2, 0, "up");
	if (!old)
		assert_news(&world, 2, FACT_RESULT, 1, 0, "down");
	assert_no_news(&world, 2);
	/* The connections came once, and the results are asked for once. */
	assert_int_equal(status_of(&world, 2).learned, 100);
	assert_int_equal(status_of(&world, 2).stale, 0);
	cut(&world, 0, 2);
	link_both(&world, 0, 2);
	settle(&world);
	assert_int_equal(world.asked, !old);
	assert_int_equal(status_of(&world, 2).repaired_from_peers, 0);
	end_world(&world);
}

static void test_missed_by_shares(void **state)
{
	(void)state;
	miss_by_shares(false);
}

/* A build that has none would answer with all its connections. */
static void test_old_publisher(void **state)
{
	(void)state;
	miss_by_shares(true);
}

/* A setting that gave way to a peer's, before a third director had it, is published in its place.
 */
static void test_superseded(void **state)
{
	struct world world = make_world(3);

	(void)state;
	cut(&world, 0, 2);
	cut(&world, 1, 2);
	publish(&world, 0, FACT_SETTING, 1, "drain");
	run(&world, 10 * USEC_PER_MSEC);
	publish(&world, 1, FACT_SETTING, 1, "weight 3");
	run(&world, 10 * USEC_PER_MSEC);
	link_both(&world, 0, 2);
	settle(&world);
	assert_news(&world, 2, FACT_SETTING, 1, 1, "weight 3");
	assert_no_news(&world, 2);
	end_world(&world);
}

/* One director's results, or all settings, can't take the others' room; the connections neither. */
static void test_full(void **state)
{
	struct world world = make_world(2);
	struct fact fact = make_fact(FACT_SETTING, 0, "drain");
	struct entry entry = {.state = 1, .timeout = 900, .flags = 3};

	(void)state;
	entry.flow.family = AF_INET;
	entry.flow.protocol = IPPROTO_TCP;
	for (unsigned int i = 0; i < 1001; i++) {
		entry.flow.cport = (uint16_t)i;
		assert_int_equal(sync_capture(world.sync[0], &entry, world.now),
				 i < 1000 ? 0 : -ENOSPC);
	}
	for (uint32_t i = 0; i < FACT_OF_ONE_MAX; i++) {
		store_le32(fact.key, i);
		assert_int_equal(sync_publish(world.sync[0], &fact, world.now), 0);
	}
	store_le32(fact.key, FACT_OF_ONE_MAX);
	assert_int_equal(sync_publish(world.sync[0], &fact, world.now), -ENOSPC);
	assert_int_equal(status_of(&world, 0).facts_full, 1);
	assert_int_equal(status_of(&world, 0).facts, FACT_OF_ONE_MAX);
	assert_int_equal(status_of(&world, 0).entries, 1000);
	assert_int_equal(status_of(&world, 0).entries_own, 1000);
	fact.kind = FACT_RESULT;
	assert_int_equal(sync_publish(world.sync[0], &fact, world.now), 0);
	publish(&world, 1, FACT_RESULT, 5, "up");
	settle(&world);
	/* One that is held can be changed. */
	publish(&world, 0, FACT_SETTING, 0, "up");
	for (unsigned int i = 0; i < 600; i++)
		run(&world, 50 * USEC_PER_MSEC);
	assert_int_equal(status_of(&world, 1).facts, FACT_OF_ONE_MAX + 2);
	end_world(&world);
}

static void test_refused(void **state)
{
	struct world world = make_world(2);
	struct fact fact = make_fact(FACT_SETTING, 1, "drain");

	(void)state;
	fact.len = FACT_VALUE_MAX + 1;
	assert_int_equal(sync_publish(world.sync[0], &fact, world.now), -EINVAL);
	fact.len = FACT_VALUE_MAX;
	assert_int_equal(sync_publish(world.sync[0], &fact, world.now), 0);
	fact.kind = 0;
	assert_int_equal(sync_publish(world.sync[0], &fact, world.now), -EINVAL);
	fact.kind = FACT_SETTING + 1;
	assert_int_equal(sync_publish(world.sync[0], &fact, world.now), -EINVAL);
	assert_int_equal(status_of(&world, 0).facts_published, 1);
	end_world(&world);
}

/* A peer that lies */

/* Director 0 is real, with a stream to the entries of director 1, which the test plays. */
static struct world make_lied_to(bool asks)
{
	struct world world = {.now = {.mono = 100 * USEC_PER_SEC, .wall = FIXTURE_WALL}};
	Lvsmesh__Pb__Begin begin = LVSMESH__PB__BEGIN__INIT;
	Lvsmesh__Pb__Heartbeat heartbeat = LVSMESH__PB__HEARTBEAT__INIT;
	uint8_t kind;
	size_t len;

	start(&world, 0);
	world.epoch[1] = 77;
	assert_int_equal(sync_open(world.sync[0], SUBSCRIPTION(1), true, &identities[1].certificate,
				   77, world.now),
			 0);
	assert_int_equal(sync_output(world.sync[0], SUBSCRIPTION(1), world.now, body, &kind, &len),
			 0);
	begin.journal = 5000;
	len = lvsmesh__pb__begin__pack(&begin, body);
	assert_int_equal(
		sync_receive(world.sync[0], SUBSCRIPTION(1), SYNC_KIND_BEGIN, body, len, world.now),
		0);
	heartbeat.complete = true;
	len = lvsmesh__pb__heartbeat__pack(&heartbeat, body);
	assert_int_equal(sync_receive(world.sync[0], SUBSCRIPTION(1), SYNC_KIND_HEARTBEAT, body,
				      len, world.now),
			 0);
	if (asks) {
		sync_join(world.sync[0], world.now);
		assert_int_equal(
			sync_output(world.sync[0], SUBSCRIPTION(1), world.now, body, &kind, &len),
			0);
		assert_int_equal(kind, SYNC_KIND_WANT);
	}
	return world;
}

/* A fact as the peer publishes it, to be made wrong. */
struct forged {
	struct entry entry;
	struct entry_options options;
	struct table_version version;
	uint32_t age;
	bool wanted;
};

static struct forged good(enum fact_kind kind, unsigned int origin)
{
	struct forged forged = {
		.entry = {.timeout = 300},
		.options = {.pe_data_len = 2, .pe_data = "up"},
		.version = {(FIXTURE_WALL / 1000) << 16, id_of(origin)},
	};

	forged.entry.flow.family = AF_INET6;
	forged.entry.flow.protocol = 255;
	forged.entry.flow.caddr[0] = 9;
	forged.entry.flow.vport = (uint16_t)kind;
	if (kind == FACT_RESULT)
		store_le64(forged.entry.flow.vaddr, id_of(origin));
	return forged;
}

static int tell(struct world *world, struct forged *forged, bool options)
{
	struct batch_head head = {.last = forged->wanted ? 0 : 1, .wanted = forged->wanted};
	struct batch *batch;
	size_t len;

	forged->entry.options = options ? &forged->options : NULL;
	assert_int_equal(batch_new(&batch), 0);
	assert_true(batch_add(batch, &forged->entry, forged->version, forged->age));
	len = batch_pack(batch, &head, body + SIGNATURE_SIZE);
	batch_free(batch);
	seal_record_sign(&identities[1], SYNC_KIND_BATCH, 77, head.last, body + SIGNATURE_SIZE, len,
			 body);
	return sync_receive(world->sync[0], SUBSCRIPTION(1), SYNC_KIND_BATCH, body,
			    len + SIGNATURE_SIZE, world->now);
}

/* What the director makes of it, alone: the stream stays open. */
static struct sync_status told(struct forged forged)
{
	struct world world = make_lied_to(forged.wanted);
	struct sync_status status;

	assert_int_equal(tell(&world, &forged, true), 0);
	status = status_of(&world, 0);
	assert_int_equal(status.facts, status.facts_learned);
	assert_int_equal(sync_fact_pending(world.sync[0]), status.facts);
	assert_int_equal(status.entries + status.learned + status.refused_entry, 0);
	end_world(&world);
	return status;
}

/* A peer is believed on its own results and on all settings, in its journal and its answers. */
static void test_believed(void **state)
{
	struct forged forged;

	(void)state;
	assert_int_equal(told(good(FACT_RESULT, 1)).facts_learned, 1);
	assert_int_equal(told(good(FACT_SETTING, 1)).facts_learned, 1);
	assert_int_equal(told(good(FACT_SETTING, 2)).facts_learned, 1);
	assert_int_equal(told(good(FACT_SETTING, 0)).facts_learned, 1);
	assert_int_equal(told(good(FACT_RESULT, 2)).facts_handed_on, 1);
	assert_int_equal(told(good(FACT_RESULT, 0)).facts_handed_on, 1);
	forged = good(FACT_RESULT, 1);
	forged.wanted = true;
	assert_int_equal(told(forged).facts_learned, 1);
	forged = good(FACT_RESULT, 2);
	forged.wanted = true;
	assert_int_equal(told(forged).facts_handed_on, 1);
	forged = good(FACT_SETTING, 2);
	forged.wanted = true;
	assert_int_equal(told(forged).facts_learned, 1);
	/* Another's result under its own name. */
	forged = good(FACT_RESULT, 2);
	forged.version.origin = id_of(1);
	assert_int_equal(told(forged).facts_malformed, 1);
	forged = good(FACT_RESULT, 1);
	forged.age = 400;
	assert_int_equal(told(forged).expired, 1);
	forged.age = UINT32_MAX;
	assert_int_equal(told(forged).expired, 1);
	forged.entry.timeout = UINT32_MAX;
	assert_int_equal(told(forged).facts_learned, 1);
}

static void assert_malformed(struct forged forged)
{
	assert_int_equal(told(forged).facts_malformed, 1);
}

/* Nothing but what fact_pack() makes is a fact, so that there is one entry for each. */
static void test_malformed(void **state)
{
	struct world world = make_lied_to(false);
	struct forged forged = good(FACT_RESULT, 1);

	(void)state;
	assert_int_equal(tell(&world, &forged, false), 0);
	assert_int_equal(status_of(&world, 0).facts_malformed, 1);
	end_world(&world);
	forged.entry.flow.vport = 3;
	assert_malformed(forged);
	forged.entry.flow.vport = 0;
	assert_malformed(forged);
	forged = good(FACT_SETTING, 1);
	forged.entry.flow.vaddr[0] = 1;
	assert_malformed(forged);
	forged = good(FACT_RESULT, 1);
	forged.entry.flow.vaddr[8] = 1;
	assert_malformed(forged);
	forged = good(FACT_RESULT, 1);
	forged.entry.flow.cport = 1;
	assert_malformed(forged);
	forged = good(FACT_RESULT, 1);
	forged.entry.flow.family = AF_INET;
	assert_malformed(forged);
	forged = good(FACT_RESULT, 1);
	forged.entry.flags = ENTRY_TEMPLATE;
	assert_malformed(forged);
	forged.entry.flags = ENTRY_INACTIVE;
	assert_malformed(forged);
	forged = good(FACT_RESULT, 1);
	forged.entry.fwmark = 1;
	assert_malformed(forged);
	forged = good(FACT_RESULT, 1);
	forged.entry.dport = 1;
	assert_malformed(forged);
	forged = good(FACT_RESULT, 1);
	forged.entry.daddr[15] = 1;
	assert_malformed(forged);
	forged = good(FACT_RESULT, 1);
	forged.entry.state = 1;
	assert_malformed(forged);
	forged = good(FACT_RESULT, 1);
	forged.options.has_seq = true;
	assert_malformed(forged);
	forged = good(FACT_RESULT, 1);
	forged.options.pe_name_len = 3;
	assert_malformed(forged);
	forged = good(FACT_RESULT, 1);
	forged.options.pe_data_len = FACT_VALUE_MAX + 1;
	assert_malformed(forged);
	forged = good(FACT_RESULT, 1);
	forged.version.hlc = HLC_TIMES - 1;
	assert_malformed(forged);
	forged = good(FACT_SETTING, 1);
	forged.version.origin = 0;
	assert_malformed(forged);
}

/* A version from far ahead ends the stream; one from less ahead can be set anew all the same. */
static void test_future(void **state)
{
	struct world world = make_lied_to(false);
	struct forged forged = good(FACT_SETTING, 1);
	struct fact fact;
	uint64_t cursor = 0;

	(void)state;
	forged.version.hlc += UINT64_C(3601000) << 16;
	assert_int_equal(tell(&world, &forged, true), -SYNC_E_CLOCK);
	forged.version.hlc -= UINT64_C(2000) << 16;
	assert_int_equal(tell(&world, &forged, true), 0);
	assert_true(sync_fact_next(world.sync[0], world.now, &fact));
	assert_int_equal(sync_publish(world.sync[0], &fact, world.now), 0);
	assert_true(sync_fact_walk(world.sync[0], world.now, &cursor, &fact));
	assert_true(fact.origin == id_of(0) && fact.hlc > forged.version.hlc);
	end_world(&world);
}

/* A replayed batch is out of order; its fact in a new one is no news, and changes nothing. */
static void test_replayed(void **state)
{
	struct world world = make_lied_to(true);
	struct forged forged = good(FACT_SETTING, 2);

	(void)state;
	forged.wanted = true;
	assert_int_equal(tell(&world, &forged, true), 0);
	assert_news(&world, 0, FACT_SETTING, 9, 2, "up");
	assert_int_equal(tell(&world, &forged, true), 0);
	forged.version.hlc--;
	forged.options.pe_data[0] = 'U';
	assert_int_equal(tell(&world, &forged, true), 0);
	assert_no_news(&world, 0);
	assert_int_equal(status_of(&world, 0).facts_stale, 2);
	end_world(&world);
}

/* A build without facts */

/* Subscribes as a build with facts, or without. */
static void subscribe(struct world *world, unsigned int d, bool facts)
{
	Lvsmesh__Pb__Subscribe message = LVSMESH__PB__SUBSCRIBE__INIT;

	message.facts = facts;
	assert_int_equal(sync_open(world->sync[0], SUBSCRIBER(d), false, &identities[d].certificate,
				   77, world->now),
			 0);
	assert_int_equal(sync_receive(world->sync[0], SUBSCRIBER(d), SYNC_KIND_SUBSCRIBE, body,
				      lvsmesh__pb__subscribe__pack(&message, body), world->now),
			 0);
}

/* How many entries come, up to which position. */
static unsigned int entries_sent(struct world *world, unsigned int d, uint64_t *ret_position)
{
	struct batch_reader *reader;
	struct table_version version;
	unsigned int n = 0;
	struct batch_head head;
	struct entry entry;
	uint32_t age;
	uint8_t kind;
	size_t len;

	assert_int_equal(batch_reader_new(&reader), 0);
	while (sync_output(world->sync[0], SUBSCRIBER(d), world->now, body, &kind, &len) == 0) {
		if (kind != SYNC_KIND_BATCH)
			continue;
		assert_int_equal(
			batch_read(reader, body + SIGNATURE_SIZE, len - SIGNATURE_SIZE, &head), 0);
		*ret_position = head.last;
		while (batch_next(reader, &entry, &version, &age))
			n++;
	}
	batch_reader_free(reader);
	return n;
}

/* A build without facts is sent none: it would refuse them, as entries that no kernel would take,
 * and raise an alarm. It follows the journal all the same. */
static void test_old_subscriber(void **state)
{
	struct world world = make_lied_to(false);
	struct entry entry = {.state = 1, .timeout = 900, .flags = 3};
	struct forged forged = good(FACT_RESULT, 1);
	uint64_t position = 0, made;

	(void)state;
	forged.entry.options = &forged.options;
	assert_false(kernel_wire_valid(&forged.entry));
	entry.flow.family = AF_INET;
	entry.flow.protocol = IPPROTO_TCP;
	subscribe(&world, 1, false);
	subscribe(&world, 2, true);
	assert_int_equal(sync_capture(world.sync[0], &entry, world.now), 0);
	publish(&world, 0, FACT_RESULT, 1, "up");
	assert_int_equal(entries_sent(&world, 1, &position), 1);
	assert_int_equal(position, 2);
	assert_int_equal(entries_sent(&world, 2, &position), 2);
	assert_int_equal(position, 2);
	/* A batch without facts is made once for both. */
	world.now.mono += USEC_PER_SEC;
	made = status_of(&world, 0).batches_sent;
	entry.flow.cport++;
	assert_int_equal(sync_capture(world.sync[0], &entry, world.now), 0);
	assert_int_equal(entries_sent(&world, 1, &position), 1);
	assert_int_equal(entries_sent(&world, 2, &position), 1);
	assert_int_equal(status_of(&world, 0).batches_sent, made + 1);
	end_world(&world);
}

/* Takes a director's sums, if it has any to send: whether those of its settings are all zero. */
static void sums_of(struct world *world, bool *ret_zero)
{
	uint8_t kind;
	size_t len;

	while (sync_output(world->sync[0], SUBSCRIBER(1), world->now, body, &kind, &len) == 0) {
		Lvsmesh__Pb__Sums *message;

		if (kind != SYNC_KIND_SUMS)
			continue;
		message = lvsmesh__pb__sums__unpack(NULL, len, body);
		assert_non_null(message);
		assert_int_equal(message->facts.len, 64 * 8);
		*ret_zero = true;
		for (size_t i = 0; i < message->sums.len; i++)
			assert_int_equal(message->sums.data[i], 0);
		for (size_t i = 0; i < message->facts.len; i++)
			*ret_zero &= message->facts.data[i] == 0;
		lvsmesh__pb__sums__free_unpacked(message, NULL);
	}
}

/* Its sums have no settings, and are compared without them; the sums that it takes have no facts
 * among the connections, so that it asks for nothing. */
static void test_old_peer_compares(void **state)
{
	struct world world = make_lied_to(false);
	Lvsmesh__Pb__Sums message = LVSMESH__PB__SUMS__INIT;
	static uint8_t zeros[4096 * 8];
	uint8_t kind;
	size_t len;
	bool zero = true;

	(void)state;
	publish(&world, 0, FACT_SETTING, 1, "drain");
	publish(&world, 0, FACT_RESULT, 1, "up");
	sync_join_end(world.sync[0]);
	subscribe(&world, 1, false);
	sums_of(&world, &zero);
	len = lvsmesh__pb__ack__pack(
		&(Lvsmesh__Pb__Ack){.base = PROTOBUF_C_MESSAGE_INIT(&lvsmesh__pb__ack__descriptor),
				    .position = 2},
		body);
	assert_int_equal(
		sync_receive(world.sync[0], SUBSCRIBER(1), SYNC_KIND_ACK, body, len, world.now), 0);
	for (unsigned int i = 0; i < 1500 && zero; i++) {
		sums_of(&world, &zero);
		world.now.mono += 100 * USEC_PER_MSEC;
		world.now.wall += 100 * USEC_PER_MSEC;
		sync_tick(world.sync[0], world.now);
	}
	assert_false(zero);
	/* The peer's: without the setting of ours in them, and without any. */
	for (unsigned int settings = 0; settings < 2; settings++) {
		bool asked = false;

		message.horizon = (world.now.wall / 1000 << 16) - 1;
		message.sums.data = zeros;
		message.sums.len = sizeof(zeros);
		message.facts.data = zeros;
		message.facts.len = settings ? 64 * 8 : 0;
		len = lvsmesh__pb__sums__pack(&message, body);
		assert_int_equal(sync_receive(world.sync[0], SUBSCRIPTION(1), SYNC_KIND_SUMS, body,
					      len, world.now),
				 0);
		sync_tick(world.sync[0], world.now);
		while (sync_output(world.sync[0], SUBSCRIPTION(1), world.now, body, &kind, &len) ==
		       0)
			asked |= kind == SYNC_KIND_WANT;
		assert_int_equal(asked, settings);
		world.now.mono += 20 * USEC_PER_SEC;
	}
	message.facts.len = 8;
	len = lvsmesh__pb__sums__pack(&message, body);
	assert_int_equal(
		sync_receive(world.sync[0], SUBSCRIPTION(1), SYNC_KIND_SUMS, body, len, world.now),
		-SYNC_E_MALFORMED);
	end_world(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published),         cmocka_unit_test(test_newest),
		cmocka_unit_test(test_never_withheld),    cmocka_unit_test(test_no_connection),
		cmocka_unit_test(test_lifetime),          cmocka_unit_test(test_restart),
		cmocka_unit_test(test_clock_set_back),    cmocka_unit_test(test_handed_on),
		cmocka_unit_test(test_missed_by_shares),  cmocka_unit_test(test_old_publisher),
		cmocka_unit_test(test_superseded),        cmocka_unit_test(test_full),
		cmocka_unit_test(test_refused),           cmocka_unit_test(test_believed),
		cmocka_unit_test(test_malformed),         cmocka_unit_test(test_future),
		cmocka_unit_test(test_replayed),          cmocka_unit_test(test_old_subscriber),
		cmocka_unit_test(test_old_peer_compares),
	};

	if (sodium_init() < 0)
		return 1;
	for (unsigned int d = 0; d < DIRECTORS; d++)
		fixture_identity(1, (uint8_t)(d + 1), &identities[d]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
