/* The kernel drops datagrams of the senders that a socket's filter has, and no others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "director/net/io_datagram_filter.h"
#include "proto/endpoint.h"

#define AT 6 /* where a datagram has its sender */

struct world {
	int in, out;
};

static int setup(void **state)
{
	static struct world world;
	const struct endpoint any = {.ip = {.family = AF_INET, .bytes = {127, 0, 0, 1}}};
	struct sockaddr_storage address;
	socklen_t len = endpoint_to_sockaddr(&any, &address);

	world.in = socket(AF_INET, SOCK_DGRAM, 0);
	world.out = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(world.in, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(world.in, (struct sockaddr *)&address, &len), 0);
	assert_int_equal(connect(world.out, (struct sockaddr *)&address, len), 0);
	*state = &world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	close(world->in);
	close(world->out);
	return 0;
}

/* Sent to that socket: what comes over the loopback is there when send() returns. */
static bool passes(const struct world *world, uint64_t sender, size_t len)
{
	uint8_t data[64] = {0};

	store_be32(data + AT, (uint32_t)(sender >> 32));
	store_be32(data + AT + 4, (uint32_t)sender);
	assert_int_equal(send(world->out, data, len, 0), len);
	return recv(world->in, data, sizeof(data), MSG_DONTWAIT) == (ssize_t)len;
}

static void test_drops(void **state)
{
	const struct world *world = *state;
	uint64_t senders[IO_DATAGRAM_FILTER_MAX];

	for (unsigned int i = 0; i < IO_DATAGRAM_FILTER_MAX; i++)
		senders[i] = 0xfedcba9800000000 + i;
	for (unsigned int count = 1; count <= IO_DATAGRAM_FILTER_MAX; count++) {
		assert_int_equal(io_datagram_filter_set(world->in, senders, count, AT), 0);
		for (unsigned int i = 0; i < IO_DATAGRAM_FILTER_MAX; i++)
			assert_int_equal(passes(world, senders[i], 64), i >= count);
		assert_true(passes(world, senders[0] ^ 1ull << 63, 64));
		assert_true(passes(world, senders[0] ^ 1ull << 31, 64));
	}
}

/* One that has no sender at all is for its reader to count. */
static void test_short(void **state)
{
	const struct world *world = *state;
	uint64_t sender = 7;

	assert_int_equal(io_datagram_filter_set(world->in, &sender, 1, AT), 0);
	for (size_t len = 0; len < AT + 8; len++)
		assert_true(passes(world, sender, len));
	assert_false(passes(world, sender, AT + 8));
}

static void test_clear(void **state)
{
	const struct world *world = *state;
	uint64_t sender = 7;

	assert_int_equal(io_datagram_filter_set(world->in, &sender, 1, AT), 0);
	assert_false(passes(world, sender, 64));
	io_datagram_filter_clear(world->in);
	assert_true(passes(world, sender, 64));
	io_datagram_filter_clear(world->in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_drops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clear, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
