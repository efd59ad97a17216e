/* Streams on one loop, with real sockets on the loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/io_streams.h"
#include "tests/loopback.h"

#define DEADLINE_MS 20000
#define SENDERS 5
#define READS 20 /* of each */

struct world {
	uv_loop_t loop;
	uv_timer_t deadline;
	uv_prepare_t turn;
	struct io_streams *sends, *takes;
	unsigned int accepted;
	unsigned int reads[SENDERS];
	unsigned int in_turn, most_in_turn;
	unsigned int gone;
};

static void too_late(uv_timer_t *timer)
{
	(void)timer;
	fprintf(stderr, "not within %d ms\n", DEADLINE_MS);
	abort(); /* a jump out of the loop would leave it in pieces */
}

static void turn_begins(uv_prepare_t *turn)
{
	struct world *world = turn->data;

	world->in_turn = 0;
}

static unsigned int accept_next(void *context)
{
	struct world *world = context;

	return world->accepted++;
}

static void opened(void *context, unsigned int stream, const struct endpoint *remote)
{
	(void)context;
	(void)stream;
	(void)remote;
}

static void kick(void *context, unsigned int stream, const struct endpoint *remote)
{
	struct world *world = context;

	(void)remote;
	assert_int_equal(io_streams_kick(world->sends, stream), 0);
}

static void closed(void *context, unsigned int stream, bool refused)
{
	(void)context;
	(void)stream;
	(void)refused;
	fail_msg("a stream was closed");
}

/* Without end. */
static size_t output(void *context, unsigned int stream, uint8_t *data, size_t cap)
{
	(void)context;
	(void)stream;
	memset(data, 1, cap);
	return cap;
}

static size_t silent(void *context, unsigned int stream, uint8_t *data, size_t cap)
{
	(void)context;
	(void)stream;
	(void)data;
	(void)cap;
	return 0;
}

static void nothing(void *context, unsigned int stream, const uint8_t *data, size_t len)
{
	(void)context;
	(void)stream;
	(void)data;
	(void)len;
}

/* What is read makes more work than a turn has time for. */
static void data(void *context, unsigned int stream, const uint8_t *data, size_t len)
{
	struct world *world = context;
	uint64_t until = uv_hrtime() + IO_STREAMS_TURN * 1000;

	(void)data;
	(void)len;
	while (uv_hrtime() < until)
		;
	world->reads[stream]++;
	world->in_turn++;
	world->most_in_turn = MAX(world->most_in_turn, world->in_turn);
}

static void gone(void *context)
{
	struct world *world = context;

	world->gone++;
}

static bool all_read(const struct world *world)
{
	for (unsigned int i = 0; i < SENDERS; i++) {
		if (world->reads[i] < READS)
			return false;
	}
	return true;
}

/* However many have something, a turn has time for others: timers and datagrams; and each of them
 * comes to its turn. */
static void test_turns(void **state)
{
	struct world world = {0};
	struct endpoint endpoint = endpoint_free();
	struct io_streams_options options = {
		.loop = &world.loop,
		.context = &world,
		.accept = accept_next,
		.opened = kick,
		.data = nothing,
		.closed = closed,
		.output = output,
	};
	char error[IO_STREAMS_ERROR_MAX];

	(void)state;
	uv_loop_init(&world.loop);
	uv_timer_init(&world.loop, &world.deadline);
	uv_timer_start(&world.deadline, too_late, DEADLINE_MS, 0);
	uv_prepare_init(&world.loop, &world.turn);
	world.turn.data = &world;
	uv_prepare_start(&world.turn, turn_begins);
	assert_int_equal(io_streams_open(&options, &world.sends, error), 0);
	options.listen = &endpoint;
	options.n_listen = 1;
	options.opened = opened;
	options.data = data;
	options.output = silent;
	assert_int_equal(io_streams_open(&options, &world.takes, error), 0);
	for (unsigned int i = 0; i < SENDERS; i++)
		assert_int_equal(io_streams_dial(world.sends, i, &endpoint), 0);
	while (!all_read(&world))
		uv_run(&world.loop, UV_RUN_ONCE);
	assert_int_equal(world.most_in_turn, 1);
	for (unsigned int i = 0; i < SENDERS; i++)
		assert_in_range(world.reads[i], READS, 2 * READS);

	io_streams_close(world.sends, gone);
	io_streams_close(world.takes, gone);
	uv_close((uv_handle_t *)&world.deadline, NULL);
	uv_close((uv_handle_t *)&world.turn, NULL);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(world.gone, 2);
	assert_int_equal(uv_loop_close(&world.loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
