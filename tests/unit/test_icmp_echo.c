#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "director/icmp_echo.h"

#define COOKIE UINT64_C(0x1122334455667788)

/* The sum over all of it, the checksum included. */
static uint16_t sum_of(const uint8_t *packet)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < ICMP_ECHO_SIZE; i += 2)
		sum += load_be16(packet + i);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

static void test_request(void **state)
{
	uint8_t packet[ICMP_ECHO_SIZE];

	(void)state;
	icmp_echo_request(AF_INET, 0x1234, 7, COOKIE, packet);
	assert_int_equal(packet[0], 8);
	assert_int_equal(packet[1], 0);
	assert_int_equal(load_be16(packet + 4), 0x1234);
	assert_int_equal(load_be16(packet + 6), 7);
	assert_int_equal(sum_of(packet), 0xffff);
	icmp_echo_request(AF_INET6, 0x1234, 7, COOKIE, packet);
	assert_int_equal(packet[0], 128);
	assert_int_equal(load_be16(packet + 2), 0);
}

static void check_replies(uint8_t family, bool header)
{
	uint8_t whole[20 + ICMP_ECHO_SIZE] = {0x45}, *packet = header ? whole + 20 : whole;
	size_t len = header ? sizeof(whole) : ICMP_ECHO_SIZE;

	icmp_echo_request(family, 1, 7, COOKIE, packet);
	/* our own question, which a raw socket on this host sees too */
	assert_false(icmp_echo_is_reply(family, header, 7, COOKIE, whole, len));
	packet[0] = family == AF_INET6 ? 129 : 0;
	assert_true(icmp_echo_is_reply(family, header, 7, COOKIE, whole, len));
	assert_false(icmp_echo_is_reply(family, header, 8, COOKIE, whole, len));
	assert_false(icmp_echo_is_reply(family, header, 7, COOKIE + 1, whole, len));
	for (size_t i = 0; i < len; i++)
		assert_false(icmp_echo_is_reply(family, header, 7, COOKIE, whole, i));
	packet[1] = 1;
	assert_false(icmp_echo_is_reply(family, header, 7, COOKIE, whole, len));
}

static void test_reply(void **state)
{
	uint8_t longest[20 + ICMP_ECHO_SIZE] = {0x4f}, shortest[20 + ICMP_ECHO_SIZE] = {0x44};

	(void)state;
	check_replies(AF_INET, false);
	check_replies(AF_INET, true);
	check_replies(AF_INET6, false);
	assert_false(icmp_echo_is_reply(AF_INET, true, 0, 0, longest, sizeof(longest)));
	assert_false(icmp_echo_is_reply(AF_INET, true, 0, 0, shortest, sizeof(shortest)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_reply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
