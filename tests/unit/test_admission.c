/* Rate limits of sources, on the test's own clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/node/admission.h"

static const uint8_t key[16] = "key";

static int setup(void **state)
{
	return admission_new(key, (struct admission **)state);
}

static int teardown(void **state)
{
	admission_free(*state);
	return 0;
}

static struct ip_addr ip(const char *text)
{
	struct ip_addr ip;

	assert_int_equal(ip_addr_parse(text, &ip), 0);
	return ip;
}

static unsigned int take(struct admission *admission, const char *text, unsigned int directors,
			 unsigned int count, usec_t now)
{
	struct ip_addr source = ip(text);
	unsigned int taken = 0;

	for (unsigned int i = 0; i < count; i++)
		taken += admission_take(admission, &source, directors, now);
	return taken;
}

static void test_bucket(void **state)
{
	usec_t now = 100 * USEC_PER_SEC;

	assert_int_equal(take(*state, "192.0.2.1", 0, 100, now), ADMISSION_BURST);
	/* another source has its own */
	assert_int_equal(take(*state, "192.0.2.2", 0, 100, now), ADMISSION_BURST);
	now += 3 * ADMISSION_INTERVAL;
	assert_int_equal(take(*state, "192.0.2.1", 0, 100, now), 3);
	now += 1000 * ADMISSION_INTERVAL;
	assert_int_equal(take(*state, "192.0.2.1", 0, 100, now), ADMISSION_BURST);
	/* directors have more, and those behind one address each */
	assert_int_equal(take(*state, "192.0.2.3", 1, 1000, now), ADMISSION_DIRECTOR_BURST);
	assert_int_equal(take(*state, "192.0.2.4", 3, 1000, now), 3 * ADMISSION_DIRECTOR_BURST);
}

static void test_prefix(void **state)
{
	usec_t now = 100 * USEC_PER_SEC;

	assert_int_equal(take(*state, "2001:db8::1", 0, 6, now) +
				 take(*state, "2001:db8::ffff:1:2:3", 0, 6, now),
			 ADMISSION_BURST);
	assert_int_equal(take(*state, "2001:db8:0:1::1", 0, 100, now), ADMISSION_BURST);
	/* strangers in its network take no tokens from a director */
	assert_int_equal(take(*state, "2001:db8::7", 1, 50, now), 50);
}

static void test_directors(void **state)
{
	struct ip_addr a = ip("192.0.2.1"), b = ip("2001:db8::1"), c = ip("192.0.2.3");

	admission_directors_add(*state, &b);
	admission_directors_add(*state, &a);
	admission_directors_add(*state, &(struct ip_addr){0});
	admission_directors_add(*state, &b);
	admission_directors_end(*state);
	assert_int_equal(admission_directors(*state, &a), 1);
	assert_int_equal(admission_directors(*state, &b), 2);
	assert_int_equal(admission_directors(*state, &c), 0);
	admission_directors_clear(*state);
	admission_directors_end(*state);
	assert_int_equal(admission_directors(*state, &a), 0);
}

/* However many sources there are, one that has taken nothing is never refused. */
static void test_many(void **state)
{
	usec_t now = 100 * USEC_PER_SEC;

	for (unsigned int i = 0; i < 100000; i++) {
		char text[ENDPOINT_TEXT];

		snprintf(text, sizeof(text), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		assert_int_equal(take(*state, text, 0, 9, now), ADMISSION_BURST);
	}
}

static void test_director(void **state)
{
	usec_t now = 100 * USEC_PER_SEC;
	unsigned int taken[2] = {0};

	for (unsigned int i = 0; i < 1000; i++)
		for (unsigned int id = 0; id < 2; id++)
			taken[id] += admission_take_director(*state, id, now);
	assert_int_equal(taken[0], ADMISSION_DIRECTOR_BURST);
	assert_int_equal(taken[1], ADMISSION_DIRECTOR_BURST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bucket, setup, teardown),
		cmocka_unit_test_setup_teardown(test_prefix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_directors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_director, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
