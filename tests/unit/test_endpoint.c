#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/endpoint.h"

static void test_round_trip(void **state)
{
	static const char *const texts[] = {
		"192.0.2.1:80",
		"0.0.0.0:65535",
		"[2001:db8::1]:443",
		"[::]:1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct sockaddr_storage addr;
		struct endpoint a, b;
		char text[ENDPOINT_TEXT];

		assert_int_equal(endpoint_parse(texts[i], &a), 0);
		assert_string_equal(endpoint_format(&a, text), texts[i]);
		endpoint_to_sockaddr(&a, &addr);
		assert_int_equal(endpoint_from_sockaddr((struct sockaddr *)&addr, &b), 0);
		assert_int_equal(endpoint_compare(&a, &b), 0);
	}
}

static void test_refused(void **state)
{
	static const char *const texts[] = {
		"",
		":",
		"192.0.2.1",
		"192.0.2.1:",
		"192.0.2.1:0",
		"192.0.2.1:65536",
		"192.0.2.1:080",
		"192.0.2.1:8o",
		"host:80",
		"2001:db8::1:80",
		"[192.0.2.1]:80",
		"[::1]",
		"[::1:80",
		"[::1]80",
		"192.0.2.1:80 ",
	};
	struct endpoint endpoint = {.port = 7};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(endpoint_parse(texts[i], &endpoint), -EINVAL);
	assert_int_equal(endpoint.port, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
