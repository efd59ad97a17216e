#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "director/checker/agent_line.h"

static void test_lines(void **state)
{
	static const struct {
		const char *line;
		enum check_state state;
		int weight;
	} cases[] = {
		{"up", CHECK_UP, -1},
		{"ready", CHECK_UP, -1},
		{"ready,up", CHECK_UP, -1},
		{" UP\t75% \r", CHECK_UP, 75},
		{"75%", CHECK_UP, 75},
		{"0%", CHECK_UP, 0},
		{"256%", CHECK_UP, 256},
		{"up maxconn:30 50%", CHECK_UP, 50},
		{"drain", CHECK_DRAIN, -1},
		{"up drain 10%", CHECK_DRAIN, 10},
		{"down", CHECK_DOWN, -1},
		{"failed", CHECK_DOWN, -1},
		{"Stopped", CHECK_DOWN, -1},
		{"down#disk full, 100%", CHECK_DOWN, -1},
		{"down #disk full", CHECK_DOWN, -1},
		{"up,down,drain", CHECK_DOWN, -1},
		{"maint", CHECK_MAINT, -1},
		{"maint down up", CHECK_MAINT, -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct check_result result = {.state = CHECK_UNCHANGED, .weight = -2};

		assert_int_equal(agent_line_parse(cases[i].line, strlen(cases[i].line), &result),
				 0);
		assert_int_equal(result.state, cases[i].state);
		assert_int_equal(result.weight, cases[i].weight);
	}
}

static void test_refused(void **state)
{
	static const char *const lines[] = {
		"",
		" ",
		",",
		"#up",
		"upp",
		"u",
		"HTTP/1.1 200 OK",
		"%",
		"-5%",
		"257%",
		"1000000000%",
		"4294967296%",
		"50",
		"5 0 %",
		"up 50%%",
		"maxconn:",
		"maxconn:x",
		"up \x01",
		"\xff\xfe",
		"nonsense up",
	};
	static const char zero[] = {'u', 'p', 0, 'u', 'p'};
	struct check_result result = {.state = CHECK_UNCHANGED, .weight = -2};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		assert_int_equal(agent_line_parse(lines[i], strlen(lines[i]), &result), -EINVAL);
	assert_int_equal(agent_line_parse(zero, sizeof(zero), &result), -EINVAL);
	assert_int_equal(result.state, CHECK_UNCHANGED);
	assert_int_equal(result.weight, -2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
