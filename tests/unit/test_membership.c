/* One core alone: what it refuses, and that everything has a name. Clusters of it: tests/sim. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "membership/membership.h"
#include "tests/identity_fixture.h"

static struct identity us;

static struct membership_options good(void)
{
	return (struct membership_options){
		.identity = &us,
		.epoch = 7,
		.profile = membership_default,
		.addresses = {{.ip = {.family = AF_INET, .bytes = {10, 0, 0, 1}}, .port = 7946}},
		.address_count = 1,
		.versions = VERSION_RANGE,
		.now = {.mono = USEC_PER_SEC, .wall = FIXTURE_WALL},
	};
}

static void expect(const struct membership_options *options, int result)
{
	struct membership *m = NULL;

	assert_int_equal(membership_new(options, &m), result);
	membership_free(m);
}

static void test_refuses_bad_options(void **state)
{
	struct membership_options options = good();

	(void)state;
	expect(&options, 0);
	options.epoch = 0;
	expect(&options, -EINVAL);
	options = good();
	options.address_count = 0;
	expect(&options, -EINVAL);
	options.address_count = MEMBERSHIP_ADDRESSES_MAX + 1;
	expect(&options, -EINVAL);
	options = good();
	options.versions.min = 2;
	expect(&options, -EINVAL);
	options = good();
	options.profile.timeout = 0;
	expect(&options, -EINVAL);
	options = good();
	options.roster = (const uint8_t *)"nonsense";
	options.roster_len = 8;
	expect(&options, -EBADMSG);
}

static void test_everything_has_a_name(void **state)
{
	struct membership_options options = good();
	struct membership_counter counter, other;
	struct membership *m;
	unsigned int i;

	(void)state;
	assert_int_equal(membership_new(&options, &m), 0);
	for (i = 0; membership_counter(m, i, &counter); i++) {
		assert_non_null(counter.name);
		assert_int_equal(counter.value, 0);
		for (unsigned int j = 0; j < i; j++) {
			assert_true(membership_counter(m, j, &other));
			assert_string_not_equal(counter.name, other.name);
		}
	}
	assert_true(i > 20);
	membership_free(m);
	for (int j = 0; j < MEMBERSHIP_NOTICE_MAX; j++)
		assert_string_not_equal(membership_notice_name(j), "unknown");
	for (int j = 0; j < STATE_MAX; j++)
		assert_string_not_equal(member_state_name(j), "unknown");
	for (int j = 0; j < PHASE_MAX; j++)
		assert_string_not_equal(member_phase_name(j), "unknown");
	assert_string_equal(membership_notice_name(MEMBERSHIP_NOTICE_MAX), "unknown");
	assert_string_equal(member_phase_name(-1), "unknown");
}

static void test_dials_its_join_list_for_ever(void **state)
{
	struct endpoint join[2] = {
		{.ip = {.family = AF_INET, .bytes = {10, 0, 0, 2}}, .port = 1},
		{.ip = {.family = AF_INET, .bytes = {10, 0, 0, 1}}, .port = 7946}};
	struct membership_event event = {
		.type = MEMBERSHIP_JOIN, .join = join, .join_count = 2, .now = good().now};
	struct membership_options options = good();
	struct membership_update update;
	struct membership_dialling dial;
	struct membership *m;
	unsigned int dials = 0;

	(void)state;
	assert_int_equal(membership_new(&options, &m), 0);
	while (event.now.mono < 600 * USEC_PER_SEC) {
		membership_step(m, &event, &update);
		assert_true(update.timeout >= event.now.mono);
		event = (struct membership_event){.type = MEMBERSHIP_TICK,
						  .now = {update.timeout, FIXTURE_WALL}};
		if (!membership_dial(m, &dial))
			continue;
		/* Never ourselves, and one at a time. */
		assert_int_equal(endpoint_compare(&dial.remote, &join[0]), 0);
		assert_false(membership_dial(m, &dial));
		event.type = MEMBERSHIP_STREAM_CLOSED;
		event.stream = dial.stream;
		event.refused = true;
		dials++;
	}
	assert_in_range(dials, 20, 30);
	membership_free(m);
}

/* A stranger's stream opens and breaks before the stranger has stated its address: it can't be
 * probed, so it neither is alive nor fails. */
static void test_judges_nobody_whose_address_it_lacks(void **state)
{
	struct identity other;
	struct membership_event event = {.type = MEMBERSHIP_STREAM_OPENED,
					 .stream = MEMBERSHIP_DIALS_MAX,
					 .peer = &other.certificate,
					 .peer_epoch = 7,
					 .now = good().now};
	struct membership_options options = good();
	struct membership_update update;
	struct membership_notice notice;
	struct membership *m;

	(void)state;
	fixture_identity(1, 2, &other);
	assert_int_equal(membership_new(&options, &m), 0);
	membership_step(m, &event, &update);
	event.type = MEMBERSHIP_STREAM_CLOSED;
	while (event.now.mono < 60 * USEC_PER_SEC) {
		membership_step(m, &event, &update);
		while (membership_notice(m, &notice))
			assert_int_not_equal(notice.member, other.id);
		event = (struct membership_event){.type = MEMBERSHIP_TICK,
						  .now = {update.timeout, FIXTURE_WALL}};
	}
	membership_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuses_bad_options),
		cmocka_unit_test(test_everything_has_a_name),
		cmocka_unit_test(test_dials_its_join_list_for_ever),
		cmocka_unit_test(test_judges_nobody_whose_address_it_lacks),
	};

	if (sodium_init() < 0)
		return 1;
	fixture_identity(1, 1, &us);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
