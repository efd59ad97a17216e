#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/service/forwarding.h"

static const struct check through = {.via = CHECK_VIA_FORWARDING}, direct = {.type = CHECK_TCP};

static struct real_server real_of(uint32_t address, const struct check *check)
{
	struct real_server real = {.weight = 7, .forwarding = FORWARDING_DIRECT, .check = check};

	real.endpoint.ip.family = AF_INET;
	store_be32(real.endpoint.ip.bytes, address);
	real.endpoint.port = 443;
	return real;
}

static struct service *service_new(struct service_set *set, uint16_t port)
{
	struct service service = {.key = {.protocol = 6}};

	service.key.vip.ip.family = AF_INET;
	service.key.vip.port = port;
	return service_set_add(set, &service);
}

static uint32_t mark_of(const struct forwarding_paths *paths, const struct service *service,
			const struct real_server *real)
{
	const struct forwarding_path *path = forwarding_path_find(paths, service, real);

	return path ? path->mark : 0;
}

/* A path for each way of forwarding to an address, whatever the services; the port is a part of it
 * only where the kernel changes it. */
static void test_paths(void **state)
{
	struct service_set set = {0}, hidden;
	struct real_server real = real_of(0x0a000001, &through);
	struct service *a = service_new(&set, 443), *b;
	struct forwarding_paths paths;
	uint32_t mark;

	(void)state;
	service_add(a, &real);
	real.forwarding = FORWARDING_TUNNEL;
	service_add(a, &real);
	real.tunnel = TUNNEL_GRE;
	service_add(a, &real);
	real = real_of(0x0a000002, &direct);
	service_add(a, &real);
	real.check = NULL;
	service_add(a, &real);
	b = service_new(&set, 80);
	a = &set.services[0];
	real = real_of(0x0a000001, &through);
	real.endpoint.port = 80;
	service_add(b, &real);
	real.forwarding = FORWARDING_NAT;
	service_add(b, &real);
	real.endpoint.port = 81;
	service_add(b, &real);

	assert_int_equal(forwarding_paths_new(&set, &paths), 0);
	assert_int_equal(paths.count, 5);
	mark = mark_of(&paths, a, &a->real_servers[0]);
	assert_true(service_mark_is_ours(mark));
	assert_int_equal(mark_of(&paths, b, &b->real_servers[0]), mark);
	assert_int_not_equal(mark_of(&paths, a, &a->real_servers[1]), mark);
	assert_int_not_equal(mark_of(&paths, a, &a->real_servers[2]),
			     mark_of(&paths, a, &a->real_servers[1]));
	assert_int_equal(mark_of(&paths, a, &a->real_servers[3]), 0);
	assert_int_equal(mark_of(&paths, a, &a->real_servers[4]), 0);
	assert_int_not_equal(mark_of(&paths, b, &b->real_servers[1]),
			     mark_of(&paths, b, &b->real_servers[2]));

	assert_int_equal(forwarding_services(&paths, &hidden), 0);
	assert_int_equal(hidden.count, 5);
	for (size_t i = 0; i < hidden.count; i++) {
		const struct service *service = &hidden.services[i];

		assert_true(i == 0 || service[-1].key.fwmark < service->key.fwmark);
		assert_int_equal(service->n_real_servers, 1);
		assert_int_equal(service->real_servers[0].weight, 1);
		if (service->key.fwmark == mark)
			assert_int_equal(service->real_servers[0].endpoint.port, 0);
	}
	service_set_fini(&hidden);
	forwarding_paths_fini(&paths);
	service_set_fini(&set);
}

#define MANY 20000

/* Marks are different, and stay when half of the real servers go, but for the few whose hash is
 * that of another one. */
static void test_marks_stay(void **state)
{
	struct service_set all = {0}, some = {0};
	struct forwarding_paths paths, fewer;
	struct service *a = service_new(&all, 80), *b = service_new(&some, 80);
	unsigned int moved = 0;

	(void)state;
	for (uint32_t i = 0; i < MANY; i++) {
		struct real_server real = real_of(0x0a000000 + i, &through);

		service_add(a, &real);
		if (i % 2)
			service_add(b, &real);
	}
	assert_int_equal(forwarding_paths_new(&all, &paths), 0);
	assert_int_equal(forwarding_paths_new(&some, &fewer), 0);
	assert_int_equal(paths.count, MANY);
	for (size_t i = 0; i < paths.count; i++) {
		assert_true(service_mark_is_ours(paths.paths[i].mark));
		assert_true(i == 0 || paths.paths[i - 1].mark < paths.paths[i].mark);
	}
	for (size_t i = 0; i < b->n_real_servers; i++)
		moved += mark_of(&paths, a, &b->real_servers[i]) !=
			 mark_of(&fewer, b, &b->real_servers[i]);
	print_message("%u of %u marks moved\n", moved, MANY / 2);
	assert_in_range(moved, 0, MANY / 500);
	forwarding_paths_fini(&paths);
	forwarding_paths_fini(&fewer);
	service_set_fini(&all);
	service_set_fini(&some);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_marks_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
