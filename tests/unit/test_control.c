#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "director/control/control.h"

static int parse(const char *line, struct control_request *ret_request)
{
	return control_request_parse(line, strlen(line), ret_request);
}

static void test_commands(void **state)
{
	struct control_request request;
	char line[128];

	(void)state;
	for (int i = 0; i < CONTROL_COMMANDS; i++) {
		const struct control_command_spec *spec =
			control_command_spec((enum control_command)i);

		snprintf(line, sizeof(line), "{\"command\": \"%s\"%s%s}", spec->name,
			 spec->required & CONTROL_MEMBER ? ", \"member\": \"d2\"" : "",
			 spec->required & CONTROL_SETTING
				 ? ", \"real\": \"10.1.0.1\", \"setting\": \"up\""
				 : "");
		assert_int_equal(parse(line, &request), 0);
		assert_int_equal(request.command, i);
	}
}

static void test_refused(void **state)
{
	static const struct {
		int error;
		const char *line;
	} cases[] = {
		{CONTROL_E_JSON, ""},
		{CONTROL_E_JSON, "status"},
		{CONTROL_E_JSON, "[]"},
		{CONTROL_E_JSON, "{\"command\": \"status\"} {}"},
		{CONTROL_E_JSON, "{\"command\": \"status\", \"command\": \"peers\"}"},
		{CONTROL_E_COMMAND, "{}"},
		{CONTROL_E_COMMAND, "{\"command\": 1}"},
		{CONTROL_E_COMMAND, "{\"command\": \"stat\"}"},
		{CONTROL_E_FIELD, "{\"command\": \"status\", \"filter\": \"\"}"},
		{CONTROL_E_FIELD, "{\"command\": \"connections\", \"sort\": \"state\"}"},
		{CONTROL_E_FIELD, "{\"command\": \"drain\", \"member\": \"d2\"}"},
		{CONTROL_E_MEMBER, "{\"command\": \"remove\"}"},
		{CONTROL_E_MEMBER, "{\"command\": \"remove\", \"member\": \"\"}"},
		{CONTROL_E_MEMBER, "{\"command\": \"remove\", \"member\": 7}"},
		{CONTROL_E_REAL, "{\"command\": \"set\", \"setting\": \"up\"}"},
		{CONTROL_E_REAL, "{\"command\": \"set\", \"real\": \"web\", \"setting\": \"up\"}"},
		{CONTROL_E_REAL, "{\"command\": \"services\", \"real\": 7}"},
		{CONTROL_E_REAL, "{\"command\": \"drain\", \"real\": \"\"}"},
		{CONTROL_E_SERVICE, "{\"command\": \"services\", \"service\": \"\"}"},
		{CONTROL_E_SERVICE, "{\"command\": \"services\", \"service\": []}"},
		{CONTROL_E_FIELD, "{\"command\": \"drain\", \"service\": \"web\"}"},
		{CONTROL_E_SETTING, "{\"command\": \"set\", \"real\": \"10.1.0.1\"}"},
		{CONTROL_E_SETTING,
		 "{\"command\": \"set\", \"real\": \"10.1.0.1\", \"setting\": \"off\"}"},
		{CONTROL_E_SETTING,
		 "{\"command\": \"set\", \"real\": \"10.1.0.1\", \"setting\": \"weight\"}"},
		{CONTROL_E_SETTING, "{\"command\": \"set\", \"real\": \"10.1.0.1\", \"setting\": "
				    "\"drain\", \"weight\": 0}"},
		{CONTROL_E_SETTING, "{\"command\": \"set\", \"real\": \"10.1.0.1\", \"setting\": "
				    "\"weight\", \"weight\": 65536}"},
		{CONTROL_E_SETTING, "{\"command\": \"set\", \"real\": \"10.1.0.1\", \"setting\": "
				    "\"weight\", \"weight\": -1}"},
		{CONTROL_E_SETTING, "{\"command\": \"set\", \"real\": \"10.1.0.1\", \"setting\": "
				    "\"weight\", \"weight\": \"5\"}"},
		{CONTROL_E_FILTER, "{\"command\": \"connections\", \"filter\": {}}"},
		{CONTROL_E_FILTER, "{\"command\": \"connections\", \"filter\": \"client=\"}"},
		{CONTROL_E_FILTER, "{\"command\": \"connections\", \"filter\": \"state=\"}"},
		{CONTROL_E_FILTER, "{\"command\": \"connections\", \"filter\": \"age=5\"}"},
		{CONTROL_E_FILTER, "{\"command\": \"connections\", \"filter\": \"state=ESTAB\"}"},
		{CONTROL_E_FILTER, "{\"command\": \"connections\", \"filter\": \"protocol=icmp\"}"},
		{CONTROL_E_FILTER, "{\"command\": \"connections\", \"filter\": \"service=\"}"},
		{CONTROL_E_FILTER, "{\"command\": \"connections\", \"filter\": \"web\"}"},
		{CONTROL_E_FILTER, "{\"command\": \"connections\", \"filter\": \"origin="
				   "0123456789012345678901234567890123456789012345678901234567\"}"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct control_request request = {.command = CONTROL_RELOAD};

		assert_int_equal(parse(cases[i].line, &request), -cases[i].error);
		assert_int_equal(request.command, CONTROL_RELOAD);
		assert_string_not_equal(control_error_text(cases[i].error), "?");
		assert_string_not_equal(control_error_name(cases[i].error), "?");
	}
}

static const struct entry entry = {
	.flow = {.caddr = {192, 0, 2, 1},
		 .vaddr = {203, 0, 113, 10},
		 .cport = 4711,
		 .vport = 80,
		 .family = AF_INET,
		 .protocol = IPPROTO_TCP},
	.daddr = {10, 1, 0, 21},
	.dport = 8080,
	.state = 1,
	.fwmark = 7,
};

static struct service configured[] = {
	{.name = "web",
	 .key = {.vip = {.ip = {.family = AF_INET, .bytes = {203, 0, 113, 10}}, .port = 80},
		 .protocol = IPPROTO_TCP}},
	{.name = "all",
	 .key = {.vip = {.ip = {.family = AF_INET, .bytes = {203, 0, 113, 10}}},
		 .protocol = IPPROTO_TCP}},
	{.name = "quic",
	 .key = {.vip = {.ip = {.family = AF_INET, .bytes = {203, 0, 113, 10}}, .port = 80},
		 .protocol = IPPROTO_UDP}},
	{.name = "tls",
	 .key = {.vip = {.ip = {.family = AF_INET, .bytes = {203, 0, 113, 10}}, .port = 443},
		 .protocol = IPPROTO_TCP}},
	{.name = "seven", .key = {.vip.ip.family = AF_INET, .fwmark = 7}},
	{.name = "seven6", .key = {.vip.ip.family = AF_INET6, .fwmark = 7}},
	{.name = "eight", .key = {.vip.ip.family = AF_INET, .fwmark = 8}},
};
static const struct service_set services = {configured, ARRAY_SIZE(configured)};

static bool matches(const char *text)
{
	struct control_filter filter;

	assert_int_equal(control_filter_parse(text, &filter), 0);
	assert_true(control_filter_service(&filter, &services));
	return control_filter_match(&filter, &entry, "d1", "00000000000000ff", true);
}

static void test_filter(void **state)
{
	(void)state;
	assert_true(matches(""));
	assert_true(matches("192.0.2.1"));
	assert_true(matches("203.0.113.10"));
	assert_true(matches("10.1.0.21:8080"));
	assert_false(matches("10.1.0.21:80"));
	assert_false(matches("10.1.0.22"));
	assert_false(matches("::"));
	assert_true(matches("client=192.0.2.1"));
	assert_true(matches("client=192.0.2.1:4711"));
	assert_false(matches("client=203.0.113.10"));
	assert_true(matches("vip=203.0.113.10:80"));
	assert_false(matches("vip=203.0.113.10:443"));
	assert_true(matches("real=10.1.0.21"));
	assert_false(matches("real=192.0.2.1"));
	assert_true(matches("state=established"));
	assert_false(matches("state=CLOSE"));
	assert_true(matches("origin=d1"));
	assert_true(matches("origin=00000000000000ff"));
	assert_false(matches("origin=d2"));
	assert_true(matches("service=web") && matches("service=all") && matches("service=seven"));
	assert_false(matches("service=quic") || matches("service=tls"));
	assert_false(matches("service=seven6") || matches("service=eight"));
	assert_true(matches("protocol=tcp") && !matches("protocol=UDP"));
	assert_true(matches("own") && !matches("learned"));
	assert_true(matches(" client=192.0.2.1   state=ESTABLISHED origin=d1 "));
	assert_false(matches("client=192.0.2.1 state=CLOSE"));
}

static void test_real_servers(void **state)
{
	const struct real_server real = {
		.endpoint = {.ip = {.family = AF_INET, .bytes = {10, 1, 0, 21}}, .port = 443}};
	const struct service web = {.name = "web"};
	struct control_request request;

	(void)state;
	assert_int_equal(parse("{\"command\": \"set\", \"service\": \"web\", \"real\": "
			       "\"10.1.0.21:443\", \"setting\": \"weight\", \"weight\": 65535}",
			       &request),
			 0);
	assert_int_equal(request.setting, HEALTH_SET_WEIGHT);
	assert_int_equal(request.weight, 65535);
	assert_true(control_request_has_service(&request, &web));
	assert_true(control_request_has_real(&request, &real));
	assert_int_equal(parse("{\"command\": \"drain\", \"real\": \"10.1.0.21\"}", &request), 0);
	assert_true(control_request_has_service(&request, &web));
	assert_true(control_request_has_real(&request, &real));
	assert_int_equal(parse("{\"command\": \"services\", \"service\": \"api\", \"real\": "
			       "\"10.1.0.21:80\"}",
			       &request),
			 0);
	assert_false(control_request_has_service(&request, &web));
	assert_false(control_request_has_real(&request, &real));
	assert_int_equal(parse("{\"command\": \"services\"}", &request), 0);
	assert_true(control_request_has_real(&request, &real));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_real_servers),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_filter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
