#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "director/tap/metronome.h"

#define TICK (8 * USEC_PER_MSEC)
#define B METRONOME_BURST
#define P METRONOME_PROBE

/* A kernel that counts our beats among its packets, echoes them and sends messages. */
struct world {
	struct metronome metronome;
	usec_t now;
	uint64_t conns, packets;
	bool forwards, syncs, rx_dropped;
};

static void world_init(struct world *world)
{
	*world = (struct world){.now = USEC_PER_SEC, .forwards = true, .syncs = true};
	metronome_init(&world->metronome);
}

static unsigned int tick(struct world *world, usec_t after, unsigned int conns,
			 unsigned int packets, unsigned int captured)
{
	unsigned int beats;

	world->now += after;
	world->conns += conns;
	world->packets += packets;
	beats = metronome_tick(&world->metronome, &(struct metronome_input){
							  .now = world->now,
							  .conns = world->conns,
							  .packets = world->packets,
							  .captured = captured,
							  .rx_dropped = world->rx_dropped,
						  });
	if (world->forwards) {
		world->packets += beats;
		for (unsigned int i = 0; i < beats; i++)
			metronome_echo(&world->metronome);
	}
	if (world->syncs && beats)
		metronome_sync(&world->metronome);
	return beats;
}

struct step {
	usec_t after; /* ms since the step before */
	unsigned int conns, packets, captured;
	unsigned int beats;
};

static void run(const struct step *steps, size_t n)
{
	struct world world;

	world_init(&world);
	for (size_t i = 0; i < n; i++) {
		unsigned int beats = tick(&world, steps[i].after * USEC_PER_MSEC, steps[i].conns,
					  steps[i].packets, steps[i].captured);

		if (beats != steps[i].beats)
			fail_msg("step %zu: %u beats, want %u", i, beats, steps[i].beats);
	}
}

static void test_idle(void **state)
{
	static const struct step steps[] = {
		{0, 0, 0, 0, P}, {8, 0, 0, 0, 0},   {8, 0, 0, 0, 0}, {976, 0, 0, 0, 0},
		{8, 0, 0, 0, P}, {992, 0, 0, 0, 0}, {8, 0, 0, 0, P},
	};

	(void)state;
	run(steps, ARRAY_SIZE(steps));
}

/* Counts from before we started are ignored. */
static void test_first_tick(void **state)
{
	static const struct step steps[] = {{0, 77, 777, 0, P}, {8, 0, 0, 0, 0}};

	(void)state;
	run(steps, ARRAY_SIZE(steps));
}

/* The probe service's own first SYN counts as a new connection, and is no reason to beat. */
static void test_own_connection(void **state)
{
	static const struct step steps[] = {{0, 0, 0, 0, P}, {8, 1, 0, 0, 0}, {8, 0, 0, 0, 0}};

	(void)state;
	run(steps, ARRAY_SIZE(steps));
}

static void test_handshake(void **state)
{
	static const struct step steps[] = {
		{0, 0, 0, 0, P}, {8, 1, 1, 0, B},   /* the SYN */
		{8, 0, 0, 0, 0},                    /* waiting for its third packet */
		{8, 0, 0, 0, 0}, {120, 0, 1, 0, B}, /* here it is, one round trip later */
		{8, 0, 0, 1, 0},                    /* and its entry */
		{8, 0, 3, 0, B},                    /* data, while attentive */
		{8, 0, 1, 1, B}, {8, 0, 0, 1, 0},
	};

	(void)state;
	run(steps, ARRAY_SIZE(steps));
}

static void test_attention_ends(void **state)
{
	static const struct step steps[] = {
		{0, 0, 0, 0, P}, {8, 1, 1, 0, B},  {992, 0, 1, 0, B}, {16, 0, 1, 0, 0},
		{8, 0, 0, 0, 0}, {68, 0, 0, 0, 0}, {8, 0, 0, 0, B},   {8, 0, 0, 0, 0},
	};

	(void)state;
	run(steps, ARRAY_SIZE(steps));
}

/* Packets but no new connections: a burst in 100 ms, and one behind the last. */
static void test_relaxed(void **state)
{
	struct world world;
	unsigned int bursts = 0;

	(void)state;
	world_init(&world);
	tick(&world, 0, 0, 0, 0);
	for (unsigned int i = 0; i < 1000; i++) {
		unsigned int beats = tick(&world, TICK, 0, 5, 0);

		bursts += beats == B;
		assert_true(beats == B || beats == 0);
	}
	assert_in_range(bursts, 75, 80);

	/* Now silence: exactly one more, unless the last packets were still in the last burst. */
	bursts = 0;
	tick(&world, TICK, 0, 5, 0);
	for (unsigned int i = 0; i < 50; i++)
		bursts += tick(&world, TICK, 0, 0, 0) == B;
	assert_int_equal(bursts, 1);
}

static void test_idle_is_said(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	tick(&world, 0, 0, 0, 0);
	assert_true(metronome_idle(&world.metronome, world.now));
	/* A packet, no connection: awake until none came for a while. */
	tick(&world, TICK, 0, 1, 0);
	assert_false(metronome_idle(&world.metronome, world.now));
	tick(&world, METRONOME_ATTENTIVE - 1, 0, 0, 0);
	assert_false(metronome_idle(&world.metronome, world.now));
	tick(&world, 1, 0, 0, 0);
	assert_true(metronome_idle(&world.metronome, world.now));
	/* Entries of their own fill the buffers, and the last ones are still in them. */
	tick(&world, TICK, 1, 20, 20);
	world.now += 2 * METRONOME_ATTENTIVE;
	assert_false(metronome_idle(&world.metronome, world.now));
	tick(&world, 0, 0, 0, 0);
	assert_true(metronome_idle(&world.metronome, world.now));
}

static void test_busy_needs_no_beats(void **state)
{
	static const struct step steps[] = {
		{0, 0, 0, 0, P},   {8, 10, 40, 8, 0}, {8, 10, 40, 20, 0},
		{8, 10, 40, 9, 0}, {8, 0, 0, 7, B}, /* entries left in the buffers */
		{8, 0, 0, 0, 0},
	};

	(void)state;
	run(steps, ARRAY_SIZE(steps));
}

/* A busy forwarder is probed all the same. */
static void test_busy_is_probed(void **state)
{
	struct world world;
	unsigned int probes = 0;

	(void)state;
	world_init(&world);
	tick(&world, 0, 0, 0, 0);
	for (unsigned int i = 0; i < 1250; i++) {
		unsigned int beats = tick(&world, TICK, 10, 40, 10);

		assert_true(beats == 0 || beats == P);
		probes += beats == P;
	}
	assert_int_equal(probes, 10);
}

static void test_counters_set_back(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	world.packets = world.conns = 100;
	tick(&world, 0, 0, 0, 0);
	world.packets = world.conns = 0;
	assert_int_equal(tick(&world, TICK, 0, 0, 0), B);
	assert_int_equal(tick(&world, TICK, 0, 0, 0), 0);
}

static void test_stall(void **state)
{
	struct world world;
	usec_t broken;

	(void)state;
	world_init(&world);
	for (unsigned int i = 0; i < 300; i++)
		tick(&world, TICK, 0, 0, 0);
	world.forwards = false;
	broken = world.now;
	while (!world.metronome.echo.silent_since) {
		tick(&world, TICK, 0, 0, 0);
		assert_true(world.now - broken < 5 * USEC_PER_SEC);
	}
	assert_true(world.now - broken >= METRONOME_SILENCE_AFTER);
	assert_in_range(world.metronome.echo.silent_since, broken, broken + USEC_PER_SEC);
	assert_int_equal(world.metronome.sync.silent_since, 0);

	/* Beats that IPVS does not see must not hide other packets from us. */
	assert_int_equal(tick(&world, 2 * USEC_PER_SEC, 0, 0, 0), P);
	assert_int_equal(tick(&world, TICK, 1, 1, 0), B);

	world.forwards = true;
	tick(&world, USEC_PER_SEC, 0, 0, 0);
	assert_int_equal(world.metronome.echo.silent_since, 0);
}

static void test_sync_silence(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	world.syncs = false;
	for (unsigned int i = 0; i < 500; i++)
		tick(&world, TICK, 0, 0, 0);
	assert_int_not_equal(world.metronome.sync.silent_since, 0);
	assert_int_equal(world.metronome.echo.silent_since, 0);
	world.syncs = true;
	tick(&world, USEC_PER_SEC, 0, 0, 0);
	assert_int_equal(world.metronome.sync.silent_since, 0);
}

/* We were stopped for a minute, with the echo of one probe still unread. */
static void test_pause_is_no_stall(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	world.forwards = world.syncs = false;
	tick(&world, 0, 0, 0, 0);
	tick(&world, 60 * USEC_PER_SEC, 0, 0, 0);
	tick(&world, TICK, 0, 0, 0);
	assert_int_equal(world.metronome.echo.silent_since, 0);
	assert_int_equal(world.metronome.sync.silent_since, 0);
}

/* Answers that are dropped before we read them, or that we had no time to read, are no silence of
 * the kernel; a kernel that is silent already stays so until it answers. */
static void test_overload_is_no_stall(void **state)
{
	struct world world;

	(void)state;
	world_init(&world);
	world.forwards = world.syncs = false;
	for (unsigned int i = 0; i < 3000; i++) {
		world.rx_dropped = i % 200 == 0;
		tick(&world, TICK, 0, 100, 100);
		assert_int_equal(world.metronome.echo.silent_since, 0);
		assert_int_equal(world.metronome.sync.silent_since, 0);
	}
	world.rx_dropped = false;
	for (unsigned int i = 0; i < 1000; i++)
		tick(&world, TICK, 0, 100, 100);
	assert_int_not_equal(world.metronome.echo.silent_since, 0);
	world.rx_dropped = true;
	tick(&world, TICK, 0, 100, 100);
	assert_int_not_equal(world.metronome.echo.silent_since, 0);
}

/* Beats are numbered through, and any burst's worth of them has 8 that make an entry. */
static void test_numbers(void **state)
{
	struct world world;
	uint64_t sum = 0;

	(void)state;
	world_init(&world);
	for (unsigned int i = 0; i < 1000; i++)
		sum += tick(&world, TICK, i % 7 == 0, 1, i % 12);
	assert_int_equal(world.metronome.sent, sum);
	assert_int_equal(world.metronome.echo.answers, sum);
	assert_int_equal(METRONOME_BURST / 3 * 2, 8);
	assert_int_equal(METRONOME_BURST % 3, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_first_tick),
		cmocka_unit_test(test_own_connection),
		cmocka_unit_test(test_handshake),
		cmocka_unit_test(test_attention_ends),
		cmocka_unit_test(test_relaxed),
		cmocka_unit_test(test_idle_is_said),
		cmocka_unit_test(test_busy_needs_no_beats),
		cmocka_unit_test(test_busy_is_probed),
		cmocka_unit_test(test_counters_set_back),
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_sync_silence),
		cmocka_unit_test(test_pause_is_no_stall),
		cmocka_unit_test(test_overload_is_no_stall),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
