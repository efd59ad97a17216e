#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/table/entry.h"

static struct flow make_flow(bool v6)
{
	struct flow flow = {
		.family = v6 ? AF_INET6 : AF_INET,
		.protocol = IPPROTO_TCP,
		.cport = 40000,
		.vport = 443,
	};

	for (uint8_t i = 0; i < (v6 ? 16 : 4); i++) {
		flow.caddr[i] = (uint8_t)(10 + i);
		flow.vaddr[i] = (uint8_t)(192 + i);
	}
	return flow;
}

static uint64_t digest(const struct flow *flow)
{
	return entry_digest(flow, (struct table_version){0x0123456789abcdef, 0xfedcba9876543210});
}

/* Written down from PROTOCOL.md by another program: all directors must agree on them. */
static void test_vectors(void **state)
{
	struct flow v4 = make_flow(false), v6 = make_flow(true), template = v4;

	(void)state;
	template.template = 1;
	template.cport = 0;
	template.protocol = IPPROTO_UDP;
	template.pe_digest = 0xdeadbeef;
	assert_int_equal(entry_flow_range(&v4), 0xada6);
	assert_int_equal(entry_flow_range(&v6), 0x9c63);
	assert_int_equal(entry_flow_range(&template), 0x7db3);
	assert_true(digest(&v4) == 0x0360916fec8d3492);
	assert_true(digest(&v6) == 0x016364e074460756);
	assert_true(digest(&template) == 0xb7dad9ae7ccbdb3d);
}

/* Every bit of a flow and of a version changes the digest, and about half of its bits. */
static void test_bits(void **state)
{
	(void)state;
	for (unsigned int bit = 0; bit < 44 * 8; bit++) {
		struct flow a = make_flow(true), b = a;
		int differ;

		if ((bit / 8 == 36 || bit / 8 == 39) || (bit / 8 == 38 && bit % 8))
			continue; /* family, zero; template is one bit */
		((uint8_t *)&b)[bit / 8] ^= (uint8_t)(1u << bit % 8);
		differ = __builtin_popcountll(digest(&a) ^ digest(&b));
		assert_in_range(differ, 10, 54);
	}
	for (unsigned int bit = 0; bit < 128; bit++) {
		struct flow flow = make_flow(false);
		struct table_version a = {5, 6}, b = a;

		*(bit < 64 ? &b.hlc : &b.origin) ^= 1ull << bit % 64;
		assert_in_range(
			__builtin_popcountll(entry_digest(&flow, a) ^ entry_digest(&flow, b)), 10,
			54);
	}
}

/* Clients as they are, ports and addresses in rows, spread over the whole space. */
static void test_spread(void **state)
{
	unsigned int count[256] = {0};
	struct flow flow = make_flow(false);

	(void)state;
	for (unsigned int i = 0; i < 256 * 400; i++) {
		flow.caddr[3] = (uint8_t)i;
		flow.cport = (uint16_t)(1024 + i / 256);
		count[entry_flow_range(&flow) >> 8]++;
	}
	for (unsigned int i = 0; i < 256; i++)
		assert_in_range(count[i], 400 - 120, 400 + 120);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_bits),
		cmocka_unit_test(test_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
