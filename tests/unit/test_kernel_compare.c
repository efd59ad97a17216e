#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "director/node/kernel_compare.h"

#define SERVERS 3

struct world {
	struct kernel_compare *compare;
	struct service_set kernel;
	struct kernel_compare_verdict verdict;
	uint8_t protocol;
	uint16_t port;
	/* The counts of the next rounds, for each real server. */
	unsigned int sure[SERVERS], unsure[SERVERS], templates[SERVERS];
};

static struct entry entry_of(const struct world *world, unsigned int server, bool template)
{
	struct entry entry = {.dport = world->port, .daddr = {192, 0, 2, (uint8_t)server}};

	entry.flow = (struct flow){.family = AF_INET,
				   .protocol = world->protocol,
				   .vaddr = {203, 0, 113, 10},
				   .vport = world->port,
				   .cport = template ? 0 : 1024,
				   .template = template};
	return entry;
}

static void judge(struct world *world)
{
	assert_int_equal(kernel_compare_add(world->compare, &world->kernel), 0);
	kernel_compare_judge(world->compare, false, &world->verdict);
}

static struct world world_new(uint8_t protocol, uint16_t port, unsigned int connections)
{
	struct world world = {.compare = kernel_compare_new(), .protocol = protocol, .port = port};
	struct service service = {.key = {.protocol = protocol}};
	struct entry entry = entry_of(&world, 0, false);

	service.key.vip.ip.family = AF_INET;
	memcpy(service.key.vip.ip.bytes, entry.flow.vaddr, 4);
	service.key.vip.port = port;
	assert_non_null(world.compare);
	assert_non_null(service_set_add(&world.kernel, &service));
	for (unsigned int i = 0; i < SERVERS; i++) {
		struct real_server real = {.active = connections};

		entry = entry_of(&world, i, false);
		real.endpoint.ip.family = AF_INET;
		memcpy(real.endpoint.ip.bytes, entry.daddr, 4);
		real.endpoint.port = port;
		assert_non_null(service_add(&world.kernel.services[0], &real));
		world.sure[i] = connections;
	}
	judge(&world);
	return world;
}

static void world_fini(struct world *world)
{
	kernel_compare_free(world->compare);
	service_set_fini(&world->kernel);
}

static struct real_server *real(struct world *world, unsigned int i)
{
	return &world->kernel.services[0].real_servers[i];
}

static void count_all(struct world *world)
{
	for (unsigned int i = 0; i < SERVERS; i++) {
		struct entry entry = entry_of(world, i, false);
		struct entry template = entry_of(world, i, true);

		for (unsigned int n = 0; n < world->sure[i] + world->unsure[i]; n++)
			kernel_compare_count(world->compare, &entry, n < world->sure[i]);
		for (unsigned int n = 0; n < world->templates[i]; n++)
			kernel_compare_count(world->compare, &template, true);
	}
}

/* The number of rounds until there is a verdict; 0: none within 100. */
static unsigned int rounds(struct world *world)
{
	for (unsigned int i = 1; i <= 100; i++) {
		count_all(world);
		judge(world);
		if (world->verdict.lost || world->verdict.unknown)
			return i;
	}
	return 0;
}

static bool lost(struct world *world, unsigned int i, bool template)
{
	struct entry entry = entry_of(world, i, template);

	return kernel_compare_lost(world->compare, &entry);
}

static void test_agree(void **state)
{
	struct world world = world_new(IPPROTO_TCP, 80, 100);

	(void)state;
	assert_int_equal(rounds(&world), 0);
	/* Some that are half open, or on their way out. */
	real(&world, 0)->active = 110;
	real(&world, 1)->inactive = 100000;
	assert_int_equal(rounds(&world), 0);
	/* Those that may have ended are not missed. */
	world.unsure[0] = 1000;
	assert_int_equal(rounds(&world), 0);
	world_fini(&world);
}

static void test_lost(void **state)
{
	struct world world = world_new(IPPROTO_TCP, 80, 100);

	(void)state;
	/* Missing for one round only: no verdict. */
	real(&world, 1)->active = 50;
	count_all(&world);
	judge(&world);
	assert_int_equal(world.verdict.lost, 0);
	real(&world, 1)->active = 100;
	assert_int_equal(rounds(&world), 0);

	real(&world, 1)->active = 50;
	real(&world, 1)->inactive = 10;
	assert_int_equal(rounds(&world), 2);
	assert_int_equal(world.verdict.lost, 40);
	assert_false(world.verdict.unknown);
	assert_true(lost(&world, 1, false));
	assert_false(lost(&world, 1, true));
	assert_false(lost(&world, 0, false) || lost(&world, 2, false));
	/* A repair that does not help is done more and more seldom, */
	assert_int_equal(rounds(&world), 4);
	assert_int_equal(rounds(&world), 8);
	assert_true(lost(&world, 1, false));
	/* and at once again when it did. */
	real(&world, 1)->active = 100;
	assert_int_equal(rounds(&world), 0);
	assert_false(lost(&world, 1, false));
	real(&world, 1)->active = 0;
	assert_int_equal(rounds(&world), 2);
	real(&world, 1)->active = 100;
	assert_int_equal(rounds(&world), 0);
	/* A few that are missing are believed later. */
	real(&world, 2)->active = 99;
	assert_int_equal(rounds(&world), 16);
	assert_int_equal(world.verdict.lost, 1);
	world_fini(&world);
}

static void test_templates(void **state)
{
	struct world world = world_new(IPPROTO_TCP, 80, 10);

	(void)state;
	world.templates[2] = 20;
	real(&world, 2)->persistent = 20;
	assert_int_equal(rounds(&world), 0);
	real(&world, 2)->persistent = 0;
	assert_int_equal(rounds(&world), 2);
	assert_int_equal(world.verdict.lost, 20);
	assert_true(lost(&world, 2, true));
	assert_false(lost(&world, 2, false));
	world_fini(&world);
}

static void test_unknown(void **state)
{
	struct world world = world_new(IPPROTO_TCP, 80, 100);

	(void)state;
	real(&world, 0)->active = 200;
	assert_int_equal(rounds(&world), 3);
	assert_true(world.verdict.unknown);
	assert_int_equal(world.verdict.lost, 0);
	/* A flood of half open ones is no reason to read again and again. */
	assert_int_equal(rounds(&world), 6);
	assert_int_equal(rounds(&world), 12);
	real(&world, 0)->active = 100;
	assert_int_equal(rounds(&world), 0);
	world_fini(&world);

	/* UDP's are not counted as active. */
	world = world_new(IPPROTO_UDP, 53, 0);
	real(&world, 0)->inactive = 100;
	assert_int_equal(rounds(&world), 3);
	world.unsure[0] = 100;
	assert_int_equal(rounds(&world), 0);
	world_fini(&world);
	/* FTP's data connections have other ports. */
	world = world_new(IPPROTO_TCP, 21, 0);
	real(&world, 0)->active = 100;
	assert_int_equal(rounds(&world), 0);
	world_fini(&world);
}

/* Services come and go, and real servers change places. */
static void test_services_change(void **state)
{
	struct world world = world_new(IPPROTO_TCP, 80, 100);
	struct real_server first = *real(&world, 0);

	(void)state;
	real(&world, 1)->active = 0;
	count_all(&world);
	judge(&world);
	*real(&world, 0) = *real(&world, 1);
	*real(&world, 1) = first;
	assert_int_equal(rounds(&world), 1);
	assert_true(lost(&world, 1, false));
	/* A service that is gone has lost no connection; when it is back it starts anew. */
	world.kernel.count = 0;
	assert_int_equal(rounds(&world), 0);
	assert_false(lost(&world, 1, false));
	world.kernel.count = 1;
	assert_int_equal(rounds(&world), 3);
	world_fini(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agree),           cmocka_unit_test(test_lost),
		cmocka_unit_test(test_templates),       cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_services_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
