#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "director/checker/dns_message.h"

#define QR 0x80
#define NXDOMAIN 3
#define REFUSED 5

struct message {
	uint8_t data[DNS_QUERY_MAX];
	size_t len;
};

static struct message query(void)
{
	struct message message;

	message.len = (size_t)dns_message_query("www.Example.org", 28, 0x1234, message.data);
	return message;
}

/* Its answer without records: the query with QR and the rcode set. */
static struct message answer(uint8_t rcode)
{
	struct message message = query();

	message.data[2] |= QR;
	message.data[3] = rcode;
	return message;
}

static int judged(const struct message *message)
{
	struct message asked = query();

	return dns_message_answer(asked.data, asked.len, message->data, message->len);
}

static void test_query(void **state)
{
	static const uint8_t wanted[] = "\x12\x34\x01\0\0\1\0\0\0\0\0\0"
					"\3www\7Example\3org\0\0\x1c\0\1";
	struct message made = query();
	char longest[256];

	(void)state;
	assert_int_equal(made.len, sizeof(wanted) - 1);
	assert_memory_equal(made.data, wanted, made.len);
	assert_int_equal(dns_message_query(".", 6, 1, made.data), 17);
	assert_int_equal(dns_message_query("a..b", 1, 1, made.data), -EINVAL);
	memset(longest, 'a', sizeof(longest));
	longest[64] = '\0';
	assert_int_equal(dns_message_query(longest, 1, 1, made.data), -EINVAL);
}

static void test_answers(void **state)
{
	struct message message = answer(0);

	(void)state;
	assert_int_equal(judged(&message), 0);
	message = answer(NXDOMAIN);
	message.data[13] = 'W'; /* letters of the question in any case */
	assert_int_equal(judged(&message), NXDOMAIN);
	message.data[2] |= 2;
	assert_int_equal(judged(&message), DNS_ANSWER_CUT);
	message = answer(REFUSED);
	message.data[5] = 0; /* without the question */
	message.len = 12;
	assert_int_equal(judged(&message), REFUSED);
}

static void test_others(void **state)
{
	struct message message = query();

	(void)state;
	assert_int_equal(judged(&message), DNS_ANSWER_OTHER); /* a query */
	message = answer(0);
	message.data[1] ^= 1; /* another id */
	assert_int_equal(judged(&message), DNS_ANSWER_OTHER);
	message = answer(0);
	message.data[14] = 'x'; /* another name */
	assert_int_equal(judged(&message), DNS_ANSWER_OTHER);
	message = answer(0);
	message.data[5] = 0; /* success, and no question */
	assert_int_equal(judged(&message), DNS_ANSWER_OTHER);
	for (message = answer(0); message.len > 0;)
		if (message.len-- > 0)
			assert_int_equal(judged(&message), DNS_ANSWER_OTHER);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(dns_message_rcode(0), "NOERROR");
	assert_string_equal(dns_message_rcode(NXDOMAIN), "NXDOMAIN");
	assert_string_equal(dns_message_rcode(15), "another rcode");
	assert_string_equal(dns_message_rcode(-1), "another rcode");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
