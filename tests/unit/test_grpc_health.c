#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "director/checker/grpc_health.h"

static void test_request(void **state)
{
	static const uint8_t wanted[] = {0, 0, 0, 0, 6, 0x0a, 4, 's', 'h', 'o', 'p'};
	uint8_t request[GRPC_HEALTH_REQUEST_MAX];
	char name[GRPC_HEALTH_SERVICE_MAX + 2];

	(void)state;
	assert_int_equal(grpc_health_request("shop", request), sizeof(wanted));
	assert_memory_equal(request, wanted, sizeof(wanted));
	assert_int_equal(grpc_health_request(NULL, request), 5);
	assert_int_equal(grpc_health_request("", request), 5);
	assert_memory_equal(request, "\0\0\0\0\0", 5);
	memset(name, 'a', sizeof(name));
	name[GRPC_HEALTH_SERVICE_MAX + 1] = '\0';
	assert_int_equal(grpc_health_request(name, request), -EINVAL);
	name[GRPC_HEALTH_SERVICE_MAX] = '\0';
	assert_int_equal(grpc_health_request(name, request), GRPC_HEALTH_REQUEST_MAX);
	assert_memory_equal(request,
			    "\0\0\0\1\x02\x0a\xff\x01"
			    "a",
			    9);
	name[128] = '\0';
	assert_int_equal(grpc_health_request(name, request), 5 + 3 + 128);
	assert_memory_equal(request + 5,
			    "\x0a\x80\x01"
			    "a",
			    4);
}

static void test_response(void **state)
{
	static const struct {
		const char *data;
		size_t len;
		int status;
	} cases[] = {
		{"\0\0\0\0\2\x08\1", 7, 1},
		{"\0\0\0\0\2\x08\2", 7, 2},
		{"\0\0\0\0\0", 5, 0},
		{"\0\0\0\0\3\x08\x80\1", 8, 128},
		/* unknown fields of each kind are passed over */
		{"\0\0\0\0\x17\x10\5\x19"
		 "12345678"
		 "\x22\3abc\x2d"
		 "1234"
		 "\x08\1",
		 28, 1},
		{"\1\0\0\0\2\x08\1", 7, -EINVAL}, /* compressed */
		{"\0\0\0\0\3\x08\1", 7, -EINVAL}, /* cut */
		{"\0\0\0\0\1\x08\1", 7, -EINVAL}, /* more than one */
		{"\0\0\0\0\1\x08", 6, -EINVAL},   /* a tag without its value */
		{"\0\0\0\0\2\x08\x80", 7, -EINVAL},
		{"\0\0\0\0\2\x12\5", 7, -EINVAL}, /* longer than the message */
		{"\0\0\0\0\2\x0b\1", 7, -EINVAL}, /* a group */
		{"\0\0\0\0\2\0\1", 7, -EINVAL},   /* field 0 */
		{"\0\0\0\0\x0c\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 17, -EINVAL},
		{"\0\0\0\0\6\x08\xff\xff\xff\xff\xf", 11, -EINVAL},
		{"\0\0\0\0", 4, -EINVAL},
		{"", 0, -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(grpc_health_response((const uint8_t *)cases[i].data, cases[i].len),
				 cases[i].status);
	assert_string_equal(grpc_health_status_name(2), "NOT_SERVING");
	assert_string_equal(grpc_health_status_name(128), "another status");
	assert_string_equal(grpc_health_status_name(-1), "another status");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_response),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
