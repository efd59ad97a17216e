#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "director/service/inject_method.h"
#include "sync/kernel_wire.h"

static struct entry entry_to(uint8_t family, uint16_t vport, uint8_t real, uint32_t fwmark)
{
	struct entry e = {
		.flow = {.family = family, .protocol = IPPROTO_TCP, .vport = vport, .cport = 4000},
		.state = 1,
		.timeout = 60,
		.fwmark = fwmark,
		.dport = 80,
		.flags = FORWARDING_DIRECT | ENTRY_INACTIVE,
	};

	e.flow.caddr[0] = e.flow.vaddr[0] = e.daddr[0] = 10;
	e.flow.vaddr[3] = 9;
	e.daddr[3] = real;
	return e;
}

static void add(struct service_set *set, struct service *service, uint8_t family, uint16_t vport,
		uint32_t fwmark, struct real_server *real, uint8_t forwarding)
{
	const struct entry e = entry_to(family, vport, 1, 0);

	*real = (struct real_server){.weight = 1, .forwarding = forwarding};
	real->endpoint.ip.family = service->key.vip.ip.family = family;
	memcpy(real->endpoint.ip.bytes, e.daddr, sizeof(e.daddr));
	real->endpoint.port = 80;
	service->key.fwmark = fwmark;
	if (!fwmark) {
		memcpy(service->key.vip.ip.bytes, e.flow.vaddr, sizeof(e.flow.vaddr));
		service->key.vip.port = vport;
		service->key.protocol = IPPROTO_TCP;
	}
	service->real_servers = real;
	service->n_real_servers = 1;
	set->count++;
}

/* A real server that a peer has configured as direct is otherwise here. */
static void test_own_method(void **state)
{
	static const struct {
		uint8_t family;
		uint16_t vport;
		uint8_t real;
		uint32_t fwmark;
		uint32_t forwarding;
	} cases[] = {
		{AF_INET, 80, 1, 0, FORWARDING_TUNNEL},
		{AF_INET, 80, 2, 0, FORWARDING_DIRECT}, /* no real server here */
		{AF_INET6, 80, 1, 0, FORWARDING_NAT},
		{AF_INET, 80, 1, 9, FORWARDING_TUNNEL}, /* a mark of no service */
		{AF_INET, 81, 1, 0, FORWARDING_DIRECT}, /* no service, */
		{AF_INET, 81, 1, 7, FORWARDING_NAT},    /* but that of the mark */
		{AF_INET, 82, 1, 0, FORWARDING_DIRECT}, /* the same here */
	};
	struct service services[4] = {0};
	struct real_server reals[4];
	struct service_set set = {.services = services};
	struct kernel_wire_writer writer;
	struct kernel_wire_reader reader;
	uint8_t message[1024];
	size_t len;

	(void)state;
	add(&set, &services[0], AF_INET, 80, 0, &reals[0], FORWARDING_TUNNEL);
	add(&set, &services[1], AF_INET6, 80, 0, &reals[1], FORWARDING_NAT);
	add(&set, &services[2], AF_INET, 0, 7, &reals[2], FORWARDING_NAT);
	add(&set, &services[3], AF_INET, 82, 0, &reals[3], FORWARDING_DIRECT);
	service_set_sort(&set);
	kernel_wire_write(&writer, message, sizeof(message), 117);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct entry e =
			entry_to(cases[i].family, cases[i].vport, cases[i].real, cases[i].fwmark);

		assert_int_equal(kernel_wire_add(&writer, &e), 0);
	}
	len = kernel_wire_finish(&writer);
	assert_int_equal(inject_method_set(&set, message, len), 4);
	assert_int_equal(inject_method_set(&set, message, len), 0);
	assert_int_equal(kernel_wire_read(&reader, message, len, 117), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct entry e;

		assert_int_equal(kernel_wire_next(&reader, &e), 1);
		assert_int_equal(e.flags & ENTRY_FWD_MASK, cases[i].forwarding);
		assert_true(e.flags & ENTRY_INACTIVE);
	}
	assert_int_equal(inject_method_set(&set, message, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_own_method)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
