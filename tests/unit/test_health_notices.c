/* Incidents of the health checks as events: each its own, or many at once as one. */
#include <inttypes.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/event/health_notices.h"

#define REALS 1000
#define SEED 20240607

struct world {
	struct service services[2];
	struct service_set set;
	struct health_notices_context context;
	struct health_notices *notices;
	struct event_log *log;
	struct now now;
	uint64_t cursor; /* of the events that were looked at */
};

static const char *name(void *context, uint64_t id)
{
	(void)context;
	return id == 1 ? "d1" : id == 2 ? "d2" : NULL;
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	for (unsigned int i = 0; i < 2; i++) {
		struct service *service = &world->services[i];

		snprintf(service->name, sizeof(service->name), i ? "api" : "web");
		service->key.vip.ip =
			(struct ip_addr){.family = AF_INET, .bytes = {203, 0, 113, 1}};
		service->key.vip.port = (uint16_t)(80 + i);
		service->key.protocol = IPPROTO_TCP;
		service->health = health_policy_default;
		for (unsigned int j = 0; j < REALS; j++) {
			struct real_server real = {.endpoint = {.port = 80}};

			real.endpoint.ip = (struct ip_addr){
				.family = AF_INET,
				.bytes = {10, 1, (uint8_t)(j / 250), (uint8_t)(j % 250 + 1)}};
			assert_non_null(service_add(service, &real));
		}
	}
	world->set = (struct service_set){world->services, 2};
	world->context = (struct health_notices_context){
		.director = "d1", .services = &world->set, .name = name};
	world->now = (struct now){.mono = 1000 * USEC_PER_SEC, .wall = 1700000000 * USEC_PER_SEC};
	assert_int_equal(health_notices_new(&world->notices), 0);
	assert_int_equal(event_log_new("d1", 1, &world->log), 0);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	health_notices_free(world->notices);
	event_log_free(world->log);
	for (unsigned int i = 0; i < 2; i++)
		service_fini(&world->services[i]);
	free(world);
	return 0;
}

static struct health_notice notice_of(enum health_notice_type type, size_t i, bool active)
{
	struct health_notice notice = {.type = type,
				       .active = active,
				       .target = (uint32_t)i,
				       .real = i,
				       .services = 1,
				       .late = 3456789,
				       .n_votes = 1};

	notice.votes[0] = (struct health_vote){
		.director = 1, .state = active ? HEALTH_DOWN : HEALTH_UP, .counted = true};
	snprintf(notice.votes[0].reason, sizeof(notice.votes[0].reason),
		 active ? "connection refused" : "accepted a connection");
	return notice;
}

static void take(struct world *world, const struct health_notice *notice)
{
	health_notices_take(world->notices, notice, &world->context, world->log, world->now);
}

static void take_real(struct world *world, size_t i, bool active)
{
	struct health_notice notice = notice_of(HEALTH_NOTICE_REAL, i, active);

	take(world, &notice);
}

/* Time passes until nothing waits, second by second, so that no opening is held back. */
static void settle(struct world *world)
{
	usec_t next;

	while ((next = health_notices_tick(world->notices, world->log, world->now)) != USEC_NEVER) {
		assert_in_range(next, world->now.mono + 1, world->now.mono + HEALTH_NOTICES_HOLD);
		world->now.mono = next;
	}
	world->now.mono += EVENT_LOG_QUIET;
	assert_int_equal(event_log_timeout(world->log, world->now), USEC_NEVER);
}

/* The next event, which there must be. */
static const struct event *next_event(struct world *world)
{
	uint64_t lost = 0;
	const struct event *event = event_log_next(world->log, &world->cursor, &lost);

	assert_int_equal(lost, 0);
	assert_non_null(event);
	return event;
}

static void expect(struct world *world, const char *kind, const char *subject, const char *message)
{
	const struct event *event = next_event(world);

	assert_string_equal(event_type(event->kind)->name, kind);
	assert_string_equal(event->subject, subject);
	assert_string_equal(event->message, message);
}

static void expect_no_more(const struct world *world)
{
	assert_int_equal(world->cursor, event_log_end(world->log));
}

static const char *field_of(const struct event *event, const char *field)
{
	for (unsigned int i = 0; i < EVENT_FIELDS_MAX && event->fields[i].name; i++)
		if (strcmp(event->fields[i].name, field) == 0)
			return event->fields[i].text;
	return NULL;
}

static int64_t number_of(const struct event *event, const char *field)
{
	for (unsigned int i = 0; i < EVENT_FIELDS_MAX && event->fields[i].name; i++)
		if (strcmp(event->fields[i].name, field) == 0 && event->fields[i].is_number)
			return event->fields[i].number;
	return -1;
}

static void test_one(void **state)
{
	struct world *world = *state;
	struct health_notice notice = notice_of(HEALTH_NOTICE_REAL, 20, true);
	const struct event *event;

	notice.services = 3;
	notice.n_votes = 3;
	notice.votes[1] = (struct health_vote){
		.director = 0xabc, .state = HEALTH_DOWN, .reason = "no answer within 500 ms"};
	notice.votes[2] = (struct health_vote){.director = 2, .state = HEALTH_UP, .reason = "ok"};
	take(world, &notice);
	expect_no_more(world);
	settle(world);
	event = next_event(world);
	assert_string_equal(event->message,
			    "Real server 10.1.0.21:80 of web and 2 other services is down: d1: "
			    "connection refused; 0000000000000abc: no answer within 500 ms.");
	assert_string_equal(event_type(event->kind)->name, "real-server-down");
	assert_string_equal(field_of(event, "address"), "10.1.0.21:80");
	assert_string_equal(field_of(event, "service"), "web");
	assert_int_equal(number_of(event, "services"), 3);
	assert_string_equal(field_of(event, "checker_1"), "d1 down: connection refused");
	assert_string_equal(field_of(event, "checker_2"),
			    "0000000000000abc down: no answer within 500 ms");
	assert_string_equal(field_of(event, "checker_3"), "d2 up: ok");
	/* It is told once. */
	take(world, &notice);
	settle(world);
	expect_no_more(world);
	take_real(world, 20, false);
	expect(world, "real-server-up", "10.1.0.21:80",
	       "Real server 10.1.0.21:80 of web is up again: d1: accepted a connection.");
	take_real(world, 20, false);
	settle(world);
	expect_no_more(world);
}

static void test_few_and_many(void **state)
{
	struct world *world = *state;
	const struct event *event;
	unsigned int i = 0;

	for (size_t real = 0; real < HEALTH_NOTICES_SINGLE; real++)
		take_real(world, real, true);
	settle(world);
	for (size_t real = 0; real < HEALTH_NOTICES_SINGLE; real++)
		assert_int_equal(next_event(world)->kind, EVENT_REAL_SERVER_DOWN);
	expect_no_more(world);

	for (size_t real = 100; real < 200; real++)
		take_real(world, real, true);
	settle(world);
	event = next_event(world);
	assert_string_equal(event->subject, "10.1.0.101:80 and 99 more");
	assert_memory_equal(event->message,
			    "100 real servers are down at once: 10.1.0.101:80, 10.1.0.102:80, "
			    "10.1.0.103:80, 10.1.0.104:80, 10.1.0.105:80 and 95 more. `lvsmesh "
			    "services` lists them.",
			    100);
	assert_int_equal(number_of(event, "count"), 100);
	assert_string_equal(field_of(event, "first"), "Real server 10.1.0.101:80 of web is down: "
						      "d1: connection refused.");
	expect_no_more(world);

	/* Another hundred is another incident; half of them come back unreported, five are left. */
	for (size_t real = 300; real < 400; real++)
		take_real(world, real, true);
	settle(world);
	assert_string_equal(next_event(world)->subject, "10.1.1.51:80 and 99 more");
	for (size_t real = 300; real < 350; real++)
		take_real(world, real, false);
	settle(world);
	expect_no_more(world);
	for (size_t real = 350; real < 395; real++)
		take_real(world, real, false);
	settle(world);
	expect(world, "real-server-up", "10.1.1.51:80 and 99 more",
	       "95 of the 100 real servers that went down together are up again; each of the "
	       "others is an incident of its own now.");
	for (size_t real = 395; real < 400; real++)
		assert_int_equal(number_of(next_event(world), "count"), 1);
	expect_no_more(world);
	take_real(world, 395, false);
	expect(world, "real-server-up", "10.1.1.146:80",
	       "Real server 10.1.1.146:80 of web is up again: d1: accepted a connection.");

	/* The first hundred comes back at once. */
	for (size_t real = 100; real < 200; real++)
		take_real(world, real, false);
	settle(world);
	expect(world, "real-server-up", "10.1.0.101:80 and 99 more",
	       "All 100 real servers that went down together are up again.");
	expect_no_more(world);
	while (event_log_incident(world->log, &i))
		assert_in_range(i, 1, 100);
}

/* Up again before the event was due; and so many that a few are left to be told. */
static void test_short(void **state)
{
	struct world *world = *state;

	take_real(world, 0, true);
	take_real(world, 0, false);
	settle(world);
	expect_no_more(world);

	for (size_t real = 0; real < 8; real++)
		take_real(world, real, true);
	for (size_t real = 0; real < 6; real++)
		take_real(world, real, false);
	settle(world);
	/* Their own texts were not kept: the first ones' were. */
	for (size_t i = 0; i < 2; i++) {
		const struct event *event = next_event(world);

		assert_int_equal(event->kind, EVENT_REAL_SERVER_DOWN);
		assert_memory_equal(event->subject, "10.1.0.", 7);
	}
	expect_no_more(world);
	take_real(world, 6, false);
	take_real(world, 7, false);
	assert_int_equal(next_event(world)->kind, EVENT_REAL_SERVER_UP);
	assert_int_equal(next_event(world)->kind, EVENT_REAL_SERVER_UP);
	settle(world);
	expect_no_more(world);
}

static void test_types(void **state)
{
	struct world *world = *state;
	struct health_notice notice = notice_of(HEALTH_NOTICE_UNREACHABLE, 0, true);

	take(world, &notice);
	notice = notice_of(HEALTH_NOTICE_LATE, 0, true);
	take(world, &notice);
	settle(world);
	expect(world, "real-server-unreachable-here", "10.1.0.1:80",
	       "d1 can't reach real server 10.1.0.1:80 of web, which is up for the other "
	       "directors, and still sends traffic there: d1: connection refused.");
	expect(world, "check-late", "10.1.0.1:80",
	       "The checks of real server 10.1.0.1:80 of web are late on d1: none has ended for "
	       "3456 ms; look at the load of this director.");
	notice = notice_of(HEALTH_NOTICE_UNREACHABLE, 0, false);
	take(world, &notice);
	notice = notice_of(HEALTH_NOTICE_LATE, 0, false);
	take(world, &notice);
	expect(world, "real-server-reachable-here", "10.1.0.1:80",
	       "d1 no longer differs from the others about real server 10.1.0.1:80 of web.");
	expect(world, "check-on-time", "10.1.0.1:80",
	       "The checks of real server 10.1.0.1:80 of web are in time again.");
	expect_no_more(world);

	/* Taken out of the configuration while it is down. */
	take_real(world, 5, true);
	settle(world);
	next_event(world);
	notice = notice_of(HEALTH_NOTICE_REAL, 5, false);
	notice.gone = true;
	notice.service = notice.real = SIZE_MAX;
	take(world, &notice);
	expect(world, "real-server-up", "10.1.0.6:80",
	       "Real server 10.1.0.6:80 was taken out of the configuration.");
	expect_no_more(world);
}

static struct health_notice service_notice(const struct world *world, enum health_notice_type type,
					   size_t service, bool active)
{
	return (struct health_notice){.type = type,
				      .active = active,
				      .service = service,
				      .service_key = world->services[service].key,
				      .total = REALS};
}

static void test_services(void **state)
{
	struct world *world = *state;
	struct health_notice notice = service_notice(world, HEALTH_NOTICE_SERVICE, 0, true);

	notice.down = REALS;
	take(world, &notice);
	notice = service_notice(world, HEALTH_NOTICE_SERVICE, 1, true);
	world->services[1].health.quorum = 3;
	notice.up = 2;
	notice.vip_off = true;
	take(world, &notice);
	notice = service_notice(world, HEALTH_NOTICE_PANIC, 1, true);
	notice.down = 600;
	take(world, &notice);
	settle(world);
	expect(world, "service-down", "web",
	       "Service web is down: 0 of its 1000 real servers are up; all are kept as if they "
	       "were up.");
	expect(world, "service-down", "api",
	       "Service api is down: 2 of its 1000 real servers are up, and its quorum is 3; its "
	       "VIP is withdrawn.");
	expect(world, "panic", "api",
	       "Service api: 600 of its 1000 real servers are down at once, more than 50 %: all "
	       "are kept, as the checks may be at fault.");

	/* A reload that numbers them anew. */
	notice = service_notice(world, HEALTH_NOTICE_SERVICE, 1, false);
	notice.service = 0;
	notice.up = 7;
	take(world, &notice);
	expect(world, "service-up", "api",
	       "Service api is up again: 7 of its 1000 real servers are up.");
	notice = service_notice(world, HEALTH_NOTICE_PANIC, 1, false);
	notice.gone = true;
	take(world, &notice);
	expect(world, "panic-ended", "api", "Service api is no longer watched.");
	notice = service_notice(world, HEALTH_NOTICE_SERVICE, 0, false);
	take(world, &notice);
	expect(world, "service-up", "web",
	       "Service web is up again: 0 of its 1000 real servers are up.");
	expect_no_more(world);
}

static void test_consequences(void **state)
{
	struct world *world = *state;
	struct health_notice notice = service_notice(world, HEALTH_NOTICE_SERVICE, 0, true);

	notice.sorry = true;
	take(world, &notice);
	notice = service_notice(world, HEALTH_NOTICE_SERVICE, 1, true);
	world->services[1].health.all_down = HEALTH_FAIL_CLOSED;
	take(world, &notice);
	settle(world);
	expect(world, "service-down", "web",
	       "Service web is down: 0 of its 1000 real servers are up; its sorry server "
	       "answers.");
	expect(world, "service-down", "api",
	       "Service api is down: 0 of its 1000 real servers are up; clients are refused.");
}

static void test_setting(void **state)
{
	struct world *world = *state;
	const struct real_server *real = &world->services[0].real_servers[0];
	struct event event;

	health_notices_setting("d1", &world->services[0], real, HEALTH_SET_WEIGHT, 7, &event);
	assert_string_equal(event.message, "The operator of d1 set real server 10.1.0.1:80 of web "
					   "to weight 7, on all directors.");
	assert_int_equal(number_of(&event, "weight"), 7);
	health_notices_setting("d1", &world->services[0], real, HEALTH_SET_DRAIN, 0, &event);
	assert_string_equal(field_of(&event, "setting"), "drain");
	assert_int_equal(number_of(&event, "weight"), -1);
}

static uint64_t draw(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 33;
}

/* Any order of downs and ups: in the end no incident is open, and none was left out. */
static void test_random(void **state)
{
	struct world *world = *state;
	uint64_t seed = SEED;
	bool down[REALS] = {0};
	unsigned int i = 0;
	struct event_log_counts counts;

	for (unsigned int round = 0; round < 300; round++) {
		size_t first = draw(&seed) % REALS;
		size_t changes = draw(&seed) % 40;
		bool to = draw(&seed) % 2;

		for (size_t j = 0; j < changes; j++) {
			size_t real = (first + j) % REALS;

			down[real] = to;
			take_real(world, real, to);
		}
		if (draw(&seed) % 3 == 0)
			settle(world);
	}
	for (size_t real = 0; real < REALS; real++)
		if (down[real])
			take_real(world, real, false);
	settle(world);
	assert_null(event_log_incident(world->log, &i));
	event_log_counts(world->log, &counts);
	assert_int_equal(counts.untracked, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_few_and_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short, setup, teardown),
		cmocka_unit_test_setup_teardown(test_types, setup, teardown),
		cmocka_unit_test_setup_teardown(test_services, setup, teardown),
		cmocka_unit_test_setup_teardown(test_consequences, setup, teardown),
		cmocka_unit_test_setup_teardown(test_setting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
