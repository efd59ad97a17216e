#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sync/table/conn_state.h"

static enum conn_phase phase(uint8_t protocol, bool template, uint16_t state)
{
	struct entry entry = {.flow = {.protocol = protocol, .template = template}, .state = state};

	return conn_state_phase(&entry);
}

static void test_phases(void **state)
{
	(void)state;
	for (uint16_t s = 0; s < 11; s++)
		assert_int_equal(phase(IPPROTO_TCP, false, s),
				 s == CONN_STATE_TCP_ESTABLISHED ? CONN_PHASE_ESTABLISHED
				 : s >= 4 && s <= 8              ? CONN_PHASE_CLOSING
								 : CONN_PHASE_OPENING);
	for (uint16_t s = 0; s < 14; s++)
		assert_int_equal(phase(IPPROTO_SCTP, false, s), s == 8  ? CONN_PHASE_ESTABLISHED
								: s > 8 ? CONN_PHASE_CLOSING
									: CONN_PHASE_OPENING);
	assert_int_equal(phase(IPPROTO_UDP, false, 0), CONN_PHASE_NONE);
	assert_int_equal(phase(IPPROTO_TCP, true, 1), CONN_PHASE_NONE);
	assert_int_equal(phase(IPPROTO_TCP, false, 11), CONN_PHASE_NONE);
}

static void test_count(void **state)
{
	static const struct {
		uint8_t protocol;
		bool template;
		unsigned int count;
	} cases[] = {
		{IPPROTO_TCP, false, 11}, {IPPROTO_UDP, false, 1},  {IPPROTO_SCTP, false, 14},
		{IPPROTO_IP, false, 0},   {IPPROTO_ICMP, false, 0}, {IPPROTO_TCP, true, 2},
		{IPPROTO_IP, true, 2},    {IPPROTO_ICMP, true, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(conn_state_count(cases[i].protocol, cases[i].template),
				 cases[i].count);
}

static void test_names(void **state)
{
	struct entry entry = {.flow.protocol = IPPROTO_TCP, .state = CONN_STATE_TCP_LISTEN};

	(void)state;
	assert_string_equal(conn_state_name(&entry), "LISTEN");
	assert_string_equal(conn_state_protocol_name(&entry), "TCP");
	entry.state = 11;
	entry.flow.template = 1;
	assert_string_equal(conn_state_name(&entry), "?");
	entry.flow.protocol = IPPROTO_ICMP;
	assert_string_equal(conn_state_protocol_name(&entry), "?");
	assert_int_equal(conn_state_parse(IPPROTO_TCP, false, "CLOSE_WAIT", 5), 6);
	assert_int_equal(conn_state_parse(IPPROTO_TCP, false, "ASSURED", 7), -1);
	assert_int_equal(conn_state_parse(IPPROTO_IP, true, "ASSURED", 7), 1);
	assert_int_equal(conn_state_protocol_parse("SCTP ", 4), IPPROTO_SCTP);
	assert_int_equal(conn_state_protocol_parse("ICMP", 4), -1);
	assert_true(conn_state_is_name("s-ack-sent") && conn_state_is_name("Assured"));
	assert_false(conn_state_is_name("?"));
	assert_true(conn_state_is_protocol_name("udp"));
	assert_false(conn_state_is_protocol_name("udp6"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_phases),
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
