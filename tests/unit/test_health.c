#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "director/check/health.h"
#include "tests/health_fixture.h"

#define SEC USEC_PER_SEC
#define WALL0 (1700000000 * SEC)

struct fixture {
	struct service_set set;
	struct check check;
	struct health *health;
	struct now now;
};

static void advance(struct fixture *f, usec_t by)
{
	f->now.mono += by;
	f->now.wall += by;
	do {
		health_tick(f->health, f->now);
	} while (health_timeout(f->health) == 0);
}

/* text: of its state file. */
static void start_from(struct fixture *f, uint8_t reals, const char *text, size_t len)
{
	const struct health_options options = {.self = 1, .now = {SEC, WALL0}};

	*f = (struct fixture){.check = health_fixture_check(), .now = options.now};
	health_fixture_add(&f->set, 1, reals, &f->check);
	f->set.services[0].health.end_connections = true;
	assert_int_equal(health_new(&options, &f->health), 0);
	assert_int_equal(health_unpack(f->health, text, len, f->now), 0);
	assert_int_equal(health_config(f->health, &f->set, f->now), 0);
}

static void start(struct fixture *f, uint8_t reals)
{
	start_from(f, reals, "", 0);
}

static void stop(struct fixture *f)
{
	health_free(f->health);
	service_set_fini(&f->set);
}

static const struct check_result up = {.state = CHECK_UP, .weight = -1, .reason = "connected"};
static const struct check_result down = {
	.state = CHECK_DOWN, .cause = CHECK_CAUSE_REFUSED, .weight = -1, .reason = "refused"};

/* Runs every check that is due for so long; the real servers of `dead` are down. */
static void run(struct fixture *f, usec_t duration, uint64_t dead)
{
	struct health_run run;

	for (usec_t end = f->now.mono + duration; f->now.mono < end;) {
		advance(f, 10 * USEC_PER_MSEC);
		while (health_due(f->health, f->now, &run)) {
			unsigned int number = run.endpoint.ip.bytes[3];

			health_result(f->health, run.target, run.run,
				      dead >> number & 1 ? &down : &up, f->now);
		}
	}
	advance(f, 0);
}

static void test_alone(void **state)
{
	struct fixture f;
	struct health_change change;
	struct health_notice notice;

	(void)state;
	start(&f, 10);
	run(&f, 2 * SEC, 0);
	assert_true(health_settled(f.health, f.now));
	assert_false(health_change(f.health, &change));
	run(&f, 5 * SEC, 1 << 3);
	assert_true(health_change(f.health, &change));
	assert_int_equal(change.type, HEALTH_CHANGE_REAL);
	assert_int_equal(change.real, 2);
	assert_int_equal(change.weight, 0);
	assert_false(change.removed);
	assert_false(health_change(f.health, &change));
	assert_true(health_notice(f.health, f.now, &notice));
	assert_int_equal(notice.type, HEALTH_NOTICE_REAL);
	assert_true(notice.active);
	assert_int_equal(notice.n_votes, 1);
	assert_string_equal(notice.votes[0].reason, "refused");
	run(&f, 5 * SEC, 0);
	assert_true(health_change(f.health, &change));
	assert_int_equal(change.weight, 100);
	assert_true(health_notice(f.health, f.now, &notice));
	assert_false(notice.active);
	stop(&f);
}

/* A setting comes from the state file: the driver, which ticks until there is no more to do, comes
 * to an end all the same, and the setting is published later. */
static void test_unpacked_setting(void **state)
{
	struct fixture f, again;
	struct health_change change;
	struct fact fact;
	char *text;
	size_t len;

	(void)state;
	start(&f, 1);
	assert_int_equal(health_set(f.health, 0, 0, HEALTH_SET_WEIGHT, 7, f.now), 0);
	assert_true(health_state_changed(f.health));
	assert_int_equal(health_pack(f.health, &text, &len), 0);
	assert_false(health_state_changed(f.health));
	start_from(&again, 1, text, len);
	advance(&again, 0);
	assert_true(health_change(again.health, &change));
	assert_int_equal(change.weight, 7);
	assert_false(health_publish(again.health, again.now, &fact));
	run(&again, 300 * SEC, 0);
	assert_true(health_publish(again.health, again.now, &fact));
	free(text);
	stop(&f);
	stop(&again);
}

/* The clock was two hours ahead when the setting was made: the other directors would refuse a newer
 * one, so it is refused here too. */
static void test_set_with_clock_ahead(void **state)
{
	struct fixture f;
	struct now right;

	(void)state;
	start(&f, 1);
	right = f.now;
	right.mono += SEC;
	f.now.wall += 7200 * SEC;
	assert_int_equal(health_set(f.health, 0, 0, HEALTH_SET_WEIGHT, 7, f.now), 0);
	assert_int_equal(health_set(f.health, 0, 0, HEALTH_SET_RESET, 0, right), HEALTH_E_FUTURE);
	right.wall += 3600 * SEC + SEC;
	assert_int_equal(health_set(f.health, 0, 0, HEALTH_SET_RESET, 0, right), 0);
	stop(&f);
}

static void reload(struct fixture *f, uint8_t reals, const struct check *check)
{
	struct service_set set = {0};

	health_fixture_add(&set, 1, reals, check);
	assert_int_equal(health_config(f->health, &set, f->now), 0);
	service_set_fini(&f->set);
	f->set = set;
	advance(f, 0);
}

static void published_key(struct fixture *f, uint8_t key[FACT_KEY])
{
	struct fact fact;
	bool any = false;

	while (health_publish(f->health, f->now, &fact)) {
		if (fact.len == 0)
			continue;
		memcpy(key, fact.key, FACT_KEY);
		any = true;
	}
	assert_true(any);
}

/* A result is published again before the others believe it no longer. A tick comes to its end, also
 * while nothing is pulled. */
static void test_refresh(void **state)
{
	struct fixture f;
	uint8_t key[FACT_KEY];

	(void)state;
	start(&f, 1);
	run(&f, 2 * SEC, 0);
	published_key(&f, key);
	for (unsigned int i = 0; i < 3; i++) {
		run(&f, 101 * SEC, 0);
		published_key(&f, key);
	}
	stop(&f);
}

/* The source address is each director's own: the others, and we ourselves after a start, have the
 * same key for the target, whatever the source was before a reload. */
static void test_new_source(void **state)
{
	struct fixture f;
	struct check check = health_fixture_check();
	uint8_t before[FACT_KEY], after[FACT_KEY];

	(void)state;
	start(&f, 1);
	run(&f, 2 * SEC, 0);
	published_key(&f, before);
	assert_int_equal(ip_addr_parse("10.0.0.99", &check.source), 0);
	reload(&f, 1, &check);
	run(&f, 200 * SEC, 0);
	published_key(&f, after);
	assert_memory_equal(before, after, FACT_KEY);
	stop(&f);
}

/* Director 2 says that it is down, starts again with its clock set back, and says that it is up:
 * sync gives out facts of a director in the order in which they were sent. */
static void test_clock_set_back(void **state)
{
	struct fixture f;
	struct health_vote vote;
	struct fact fact = {.kind = FACT_RESULT, .origin = 2, .hlc = 2000, .timeout = 300};
	struct vote its = {.state = HEALTH_DOWN, .weight = -1};

	(void)state;
	start(&f, 1);
	run(&f, 2 * SEC, 0);
	published_key(&f, fact.key);
	fact.len = value_pack_vote(&its, fact.value, sizeof(fact.value));
	assert_int_equal(health_fact(f.health, &fact, f.now), 0);
	fact.hlc = 1000;
	its.state = HEALTH_UP;
	fact.len = value_pack_vote(&its, fact.value, sizeof(fact.value));
	assert_int_equal(health_fact(f.health, &fact, f.now), 0);
	for (unsigned int i = 0; health_vote(f.health, 0, 0, i, &vote); i++)
		assert_int_equal(vote.state, HEALTH_UP);
	stop(&f);
}

/* It was down before the start, came up, left the configuration, and is put back. */
static void test_put_back(void **state)
{
	struct fixture f, again;
	struct health_real_status status;
	char *text;
	size_t len;

	(void)state;
	start(&f, 2);
	run(&f, 10 * SEC, 1 << 2);
	assert_int_equal(health_pack(f.health, &text, &len), 0);
	stop(&f);
	start_from(&again, 2, text, len);
	free(text);
	assert_true(health_real_status(again.health, 0, 1, &status));
	assert_int_equal(status.weight, 0);
	run(&again, 10 * SEC, 0);
	reload(&again, 1, &again.check);
	reload(&again, 2, &again.check);
	assert_true(health_real_status(again.health, 0, 1, &status));
	assert_int_equal(status.weight, 100);
	stop(&again);
}

/* A real server that was down before the start is out until a vote decides; its connections are
 * ended only then: it may have come back while this director was away. */
static void test_end_of_connections(void **state)
{
	struct fixture f, again;
	struct health_change change;
	char *text;
	size_t len;

	(void)state;
	start(&f, 3);
	run(&f, 10 * SEC, 1 << 2);
	assert_int_equal(health_pack(f.health, &text, &len), 0);
	stop(&f);
	for (unsigned int back = 0; back < 2; back++) {
		start_from(&again, 3, text, len);
		assert_true(health_change(again.health, &change));
		assert_int_equal(change.weight, 0);
		assert_false(change.end_connections);
		run(&again, 10 * SEC, back ? 0 : 1 << 2);
		assert_true(health_change(again.health, &change));
		assert_int_equal(change.real, 1);
		assert_int_equal(change.end_connections, !back);
		assert_int_equal(change.weight, back ? 100 : 0);
		stop(&again);
	}
	free(text);
}

/* After a stall all checks are due at once: a tick takes a share of them. */
static void test_turns(void **state)
{
	enum { SERVICES = 20, REALS = 200 };
	const struct health_options options = {.self = 1, .now = {SEC, WALL0}};
	struct fixture f = {.now = options.now};
	struct check checks[SERVICES];
	struct health_run due;
	unsigned int ticks = 0, all = 0;

	(void)state;
	for (uint8_t i = 0; i < SERVICES; i++) {
		checks[i] = health_fixture_check();
		checks[i].port = i + 1u;
		check_digest_make(&checks[i]);
		health_fixture_add(&f.set, i, REALS, &checks[i]);
	}
	assert_int_equal(health_new(&options, &f.health), 0);
	assert_int_equal(health_config(f.health, &f.set, f.now), 0);
	f.now.mono += 60 * SEC;
	for (; all < SERVICES * REALS; ticks++) {
		unsigned int here = 0;

		health_tick(f.health, f.now);
		while (health_due(f.health, f.now, &due))
			here++;
		assert_in_range(here, 1, 1024);
		all += here;
		assert_true(health_timeout(f.health) <= f.now.mono || all == SERVICES * REALS);
	}
	assert_in_range(ticks, 4, 8);
	stop(&f);
}

/* A check is due, and before it is pulled the real server goes into maintenance and out of it. */
static void test_not_pulled(void **state)
{
	struct fixture f;
	struct health_run due;
	struct health_real_status status;

	(void)state;
	start(&f, 1);
	run(&f, 5 * SEC, 0);
	advance(&f, 2 * SEC);
	assert_int_equal(health_set(f.health, 0, 0, HEALTH_SET_MAINTENANCE, 0, f.now), 0);
	advance(&f, 0);
	assert_int_equal(health_set(f.health, 0, 0, HEALTH_SET_RESET, 0, f.now), 0);
	advance(&f, 0);
	while (health_due(f.health, f.now, &due))
		health_result(f.health, due.target, due.run, &up, f.now);
	run(&f, f.check.interval, 0);
	assert_true(health_real_status(f.health, 0, 0, &status));
	assert_true(f.now.mono - status.last_end <= f.check.interval);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_unpacked_setting),
		cmocka_unit_test(test_set_with_clock_ahead),
		cmocka_unit_test(test_refresh),
		cmocka_unit_test(test_new_source),
		cmocka_unit_test(test_clock_set_back),
		cmocka_unit_test(test_put_back),
		cmocka_unit_test(test_end_of_connections),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_not_pulled),
	};

	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
