/* Streams on one loop, with real sockets on the loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "director/io_clock.h"
#include "director/net/io_streams.h"
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

static unsigned int accept_next(void *context, const struct endpoint *remote, bool strangers)
{
	struct world *world = context;

	(void)remote;
	(void)strangers;
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

/* Each read makes more work than a turn has time for. */
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

/* However many streams are readable, a turn of the event loop has time for timers and datagrams;
 * and each stream comes to its turn. */
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
	struct fault fault;

	(void)state;
	uv_loop_init(&world.loop);
	uv_timer_init(&world.loop, &world.deadline);
	uv_timer_start(&world.deadline, too_late, DEADLINE_MS, 0);
	uv_prepare_init(&world.loop, &world.turn);
	world.turn.data = &world;
	uv_prepare_start(&world.turn, turn_begins);
	assert_int_equal(io_streams_open(&options, &world.sends, &fault), 0);
	options.listen = &endpoint;
	options.n_listen = 1;
	options.opened = opened;
	options.data = data;
	options.output = silent;
	assert_int_equal(io_streams_open(&options, &world.takes, &fault), 0);
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

/* Strangers: what they may have. */
struct crowd {
	struct world world;
	bool strangers; /* all are */
	usec_t each;    /* takes so long to read */
	unsigned int wanted, unwanted, closed, read;
};

static unsigned int crowd_accept(void *context, const struct endpoint *remote, bool strangers)
{
	struct crowd *crowd = context;

	assert_int_equal(remote->ip.family, AF_INET);
	crowd->world.in_turn++;
	crowd->world.most_in_turn = MAX(crowd->world.most_in_turn, crowd->world.in_turn);
	crowd->wanted += strangers;
	crowd->unwanted += !strangers;
	return strangers ? crowd->wanted % IO_STREAMS_MAX : IO_STREAMS_MAX;
}

static bool crowd_stranger(void *context, unsigned int stream)
{
	struct crowd *crowd = context;

	(void)stream;
	return crowd->strangers;
}

static void crowd_data(void *context, unsigned int stream, const uint8_t *data, size_t len)
{
	struct crowd *crowd = context;
	uint64_t until = clock_cpu_ns() + crowd->each * 1000;

	(void)stream;
	(void)data;
	(void)len;
	while (clock_cpu_ns() < until)
		;
	crowd->read++;
}

static void crowd_closed(void *context, unsigned int stream, bool refused)
{
	struct crowd *crowd = context;

	(void)stream;
	(void)refused;
	crowd->closed++;
}

static struct endpoint crowd_open(struct crowd *crowd)
{
	struct world *world = &crowd->world;
	struct endpoint endpoint = endpoint_free();
	struct io_streams_options options = {
		.loop = &world->loop,
		.context = crowd,
		.listen = &endpoint,
		.n_listen = 1,
		.accept = crowd_accept,
		.stranger = crowd_stranger,
		.opened = opened,
		.data = crowd_data,
		.closed = crowd_closed,
		.output = silent,
	};
	struct fault fault;

	uv_loop_init(&world->loop);
	uv_timer_init(&world->loop, &world->deadline);
	uv_timer_start(&world->deadline, too_late, DEADLINE_MS, 0);
	uv_prepare_init(&world->loop, &world->turn);
	world->turn.data = world;
	uv_prepare_start(&world->turn, turn_begins);
	assert_int_equal(io_streams_open(&options, &world->takes, &fault), 0);
	return endpoint;
}

static void crowd_close(struct crowd *crowd)
{
	struct world *world = &crowd->world;

	io_streams_close(world->takes, gone);
	uv_close((uv_handle_t *)&world->deadline, NULL);
	uv_close((uv_handle_t *)&world->turn, NULL);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
}

static int stranger_dial(const struct endpoint *endpoint)
{
	struct sockaddr_storage address;
	socklen_t len = endpoint_to_sockaddr(endpoint, &address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
	return fd;
}

/* A turn accepts a bounded number of connections, however many wait. */
static void test_accepts(void **state)
{
	struct crowd crowd = {.strangers = true};
	struct endpoint endpoint = crowd_open(&crowd);
	int fds[3 * IO_STREAMS_ACCEPTS];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = stranger_dial(&endpoint);
	while (crowd.wanted + crowd.unwanted < ARRAY_SIZE(fds))
		uv_run(&crowd.world.loop, UV_RUN_ONCE);
	assert_int_equal(crowd.world.most_in_turn, IO_STREAMS_ACCEPTS);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	crowd_close(&crowd);
}

/* Strangers that cost time get their share of each second; then they are refused, and wanted again
 * later. */
static void test_share(void **state)
{
	struct crowd crowd = {.strangers = true, .each = 5 * USEC_PER_MSEC};
	struct endpoint endpoint = crowd_open(&crowd);
	uint64_t began = uv_hrtime(), cpu_began = clock_cpu_ns(), took, cpu;
	char byte = 1;

	(void)state;
	do {
		int fd = stranger_dial(&endpoint);

		(void)!send(fd, &byte, 1, MSG_NOSIGNAL);
		uv_run(&crowd.world.loop, UV_RUN_ONCE);
		uv_run(&crowd.world.loop, UV_RUN_NOWAIT);
		close(fd);
		took = (uv_hrtime() - began) / 1000;
	} while (crowd.unwanted < 100 && took < 2 * USEC_PER_SEC);
	cpu = (clock_cpu_ns() - cpu_began) / 1000;
	assert_true(crowd.read * crowd.each <= IO_STREAMS_STRANGERS_BURST +
						       took / IO_STREAMS_STRANGERS_SHARE +
						       2 * crowd.each);
	/* if other processes leave us less than the share, no stranger is refused */
	if (cpu > took / 2)
		assert_true(crowd.unwanted > 0);
	for (unsigned int before = crowd.wanted; crowd.wanted == before;) {
		int fd = stranger_dial(&endpoint);

		uv_run(&crowd.world.loop, UV_RUN_ONCE);
		close(fd);
	}
	crowd_close(&crowd);
}

/* One that comes byte by byte is closed. */
static void test_drip(void **state)
{
	struct crowd crowd = {.strangers = true};
	struct endpoint endpoint = crowd_open(&crowd);
	int fd = stranger_dial(&endpoint);
	unsigned int sent = 0;
	char byte = 1;

	(void)state;
	while (crowd.closed == 0) {
		sent += send(fd, &byte, 1, MSG_NOSIGNAL) == 1;
		uv_run(&crowd.world.loop, UV_RUN_ONCE);
		assert_in_range(crowd.read, 0, IO_STREAMS_STRANGER_READS);
	}
	assert_in_range(sent, IO_STREAMS_STRANGER_READS, 2 * IO_STREAMS_STRANGER_READS);
	close(fd);
	/* but not a peer that is authenticated */
	crowd.strangers = false;
	crowd.read = 0;
	fd = stranger_dial(&endpoint);
	while (crowd.read < 3 * IO_STREAMS_STRANGER_READS) {
		assert_int_equal(send(fd, &byte, 1, MSG_NOSIGNAL), 1);
		uv_run(&crowd.world.loop, UV_RUN_ONCE);
	}
	assert_int_equal(crowd.closed, 1);
	close(fd);
	crowd_close(&crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_accepts),
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_drip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
