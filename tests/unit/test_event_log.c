#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/event/event_log.h"

/* Every test is a list of lines: what is raised when, and then what was reported. */

struct world {
	struct event_log *log;
	uint64_t cursor;
	char text[4096]; /* the events reported since the last call */
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	assert_int_equal(event_log_new("d1", 9, &world->log), 0);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	event_log_free(world->log);
	free(world);
	return 0;
}

static struct now at(unsigned int second)
{
	return (struct now){.mono = (1000 + second) * USEC_PER_SEC, .wall = second};
}

static bool raise_at(struct world *world, unsigned int second, const char *name,
		     const char *subject)
{
	enum event_kind kind;
	struct event event;

	assert_true(event_kind_find(name, &kind));
	event_init(&event, kind, subject, "At %u.", second);
	return event_log_raise(world->log, &event, at(second));
}

/* "KIND ROLE INCIDENT SUPPRESSED@SECOND" each, and a comma behind it. */
static const char *reported(struct world *world)
{
	const struct event *event;
	uint64_t lost = 0;
	size_t len = 0;

	world->text[0] = '\0';
	while ((event = event_log_next(world->log, &world->cursor, &lost))) {
		assert_int_equal(event->id, world->cursor);
		len += (size_t)snprintf(world->text + len, sizeof(world->text) - len,
					"%s %s %u %u@%u,", event_type(event->kind)->name,
					event_role_name(event->role), (unsigned int)event->incident,
					event->suppressed, (unsigned int)event->time.wall);
	}
	assert_int_equal(lost, 0);
	return world->text;
}

static void test_incident(void **state)
{
	struct world *world = *state;
	const struct event *event;
	unsigned int i = 0;
	char id[EVENT_ID_TEXT];

	assert_false(raise_at(world, 0, "member-recovered", "d2"));
	assert_true(raise_at(world, 1, "member-failed", "d2"));
	assert_false(raise_at(world, 2, "member-failed", "d2"));
	assert_true(raise_at(world, 3, "member-failed", "d3"));
	assert_string_equal(reported(world),
			    "member-failed opens 1 0@1,member-failed opens 2 0@3,");
	assert_ptr_equal(event_log_find(world->log, EVENT_MEMBER_FAILED, "d2"),
			 event_log_incident(world->log, &i));
	assert_non_null(event_log_incident(world->log, &i));
	assert_null(event_log_incident(world->log, &i));

	assert_true(raise_at(world, 9, "member-recovered", "d2"));
	assert_false(raise_at(world, 9, "member-recovered", "d2"));
	assert_true(raise_at(world, 10, "member-left", "d3"));
	assert_true(raise_at(world, 11, "member-left", "d4"));
	world->cursor = 2;
	event = event_log_next(world->log, &world->cursor, &(uint64_t){0});
	assert_int_equal(event->lasted, 8 * USEC_PER_SEC);
	world->cursor = 2;
	assert_string_equal(reported(world),
			    "member-recovered closes 1 0@9,"
			    "member-left closes 2 0@10,member-left single 5 0@11,");
	assert_null(event_log_find(world->log, EVENT_MEMBER_FAILED, "d2"));
	assert_string_equal(event_log_id(world->log, 5, id), "d1-9-5");
	assert_int_equal(event_log_timeout(world->log, at(12)), USEC_NEVER);
}

/* A member that comes and goes every few seconds: one opening a minute, and its count. */
static void test_flapping(void **state)
{
	struct world *world = *state;

	for (unsigned int second = 0; second < 120; second += 10) {
		event_log_timeout(world->log, at(second));
		raise_at(world, second, "member-failed", "d2");
		event_log_timeout(world->log, at(second + 5));
		raise_at(world, second + 5, "member-recovered", "d2");
	}
	assert_string_equal(reported(world),
			    "member-failed opens 1 0@0,member-recovered closes 1 0@5,"
			    "member-failed opens 3 5@60,"
			    "member-recovered closes 3 0@65,");
	/* others are not concerned */
	assert_true(raise_at(world, 119, "member-failed", "d3"));
	assert_true(raise_at(world, 119, "forwarder-stalled", "d2"));
}

/* An event that is held back is not forgotten. */
static void test_held_back(void **state)
{
	struct world *world = *state;
	struct event_log_counts counts;

	raise_at(world, 0, "member-failed", "d2");
	raise_at(world, 1, "member-recovered", "d2");
	assert_false(raise_at(world, 2, "member-failed", "d2"));
	assert_false(raise_at(world, 3, "member-recovered", "d2"));
	assert_false(raise_at(world, 4, "member-failed", "d2"));
	assert_null(event_log_find(world->log, EVENT_MEMBER_FAILED, "d2"));
	reported(world);
	assert_int_equal(event_log_timeout(world->log, at(59)), at(60).mono);
	assert_string_equal(reported(world), "");
	assert_int_equal(event_log_timeout(world->log, at(60)), USEC_NEVER);
	assert_string_equal(reported(world), "member-failed opens 3 1@4,");
	assert_string_equal(event_log_find(world->log, EVENT_MEMBER_FAILED, "d2")->message,
			    "At 4. (1 more not reported)");
	assert_true(raise_at(world, 64, "member-recovered", "d2"));
	assert_string_equal(reported(world), "member-recovered closes 3 0@64,");
	event_log_counts(world->log, &counts);
	assert_int_equal(counts.reported, 4);
	assert_int_equal(counts.suppressed, 1);
	assert_int_equal(counts.untracked, 0);
}

static void test_single(void **state)
{
	struct world *world = *state;

	for (unsigned int second = 0; second < 50; second++)
		raise_at(world, second, "message-refused", "session/mac");
	assert_string_equal(reported(world), "message-refused single 1 0@0,");
	event_log_timeout(world->log, at(60));
	/* the last one, and the 48 before it */
	assert_string_equal(reported(world), "message-refused single 2 48@49,");
	assert_int_equal(event_log_timeout(world->log, at(200)), USEC_NEVER);
	assert_string_equal(reported(world), "");
	assert_true(raise_at(world, 200, "message-refused", "session/mac"));
	assert_string_equal(reported(world), "message-refused single 3 0@200,");
}

static void test_worsens(void **state)
{
	struct world *world = *state;

	raise_at(world, 0, "split-brain-suspected", "");
	assert_true(raise_at(world, 5, "split-brain-confirmed", ""));
	assert_false(raise_at(world, 6, "split-brain-confirmed", ""));
	assert_false(raise_at(world, 7, "split-brain-suspected", ""));
	assert_true(raise_at(world, 8, "split-brain-healed", ""));
	assert_string_equal(reported(world),
			    "split-brain-suspected opens 1 0@0,split-brain-confirmed worsens 1 0@5,"
			    "split-brain-healed closes 1 0@8,");
	/* of the events held back the worse one is reported, once */
	assert_false(raise_at(world, 10, "split-brain-suspected", ""));
	assert_false(raise_at(world, 11, "split-brain-confirmed", ""));
	assert_false(raise_at(world, 12, "split-brain-suspected", ""));
	event_log_timeout(world->log, at(60));
	assert_string_equal(reported(world), "split-brain-confirmed opens 4 0@11,");
	assert_false(raise_at(world, 61, "split-brain-confirmed", ""));
	assert_true(raise_at(world, 62, "split-brain-healed", ""));
	/* without a suspicion it opens */
	assert_true(raise_at(world, 200, "split-brain-confirmed", ""));
	assert_string_equal(reported(world), "split-brain-healed closes 4 0@62,"
					     "split-brain-confirmed opens 6 0@200,");
}

static void test_kept(void **state)
{
	struct world *world = *state;
	uint64_t cursor = 0, lost = 0;
	unsigned int count = 0;
	char name[16];

	for (unsigned int i = 0; i < EVENT_LOG_KEPT + 7; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		assert_true(raise_at(world, i, "member-joined", name));
	}
	while (event_log_next(world->log, &cursor, &lost))
		count++;
	assert_int_equal(count, EVENT_LOG_KEPT);
	assert_int_equal(lost, 7);
	assert_int_equal(event_log_begin(world->log), 7);
	assert_int_equal(event_log_end(world->log), cursor);
}

/* Evidence is never held back, has a place of its own, and opens no event. */
static void test_evidence(void **state)
{
	struct world *world = *state;
	uint64_t cursor = 0, lost = 0;
	const struct event *event;
	unsigned int count = 0;

	assert_true(raise_at(world, 0, "member-failed", "d2"));
	for (unsigned int i = 0; i < EVENT_LOG_KEPT + 3; i++)
		assert_true(raise_at(world, 1, "suspected", "d2"));
	while ((event = event_log_evidence(world->log, &cursor, &lost))) {
		assert_int_equal(event->kind, EVENT_SUSPECTED);
		assert_int_equal(event->role, EVENT_EVIDENCE);
		assert_int_equal(event->id, cursor);
		count++;
	}
	assert_int_equal(count, EVENT_LOG_KEPT);
	assert_int_equal(lost, 3);
	assert_int_equal(event_log_evidence_begin(world->log), 3);
	assert_int_equal(event_log_evidence_end(world->log), cursor);
	assert_string_equal(reported(world), "member-failed opens 1 0@0,");
	assert_non_null(event_log_find(world->log, EVENT_MEMBER_FAILED, "d2"));
	assert_null(event_log_find(world->log, EVENT_SUSPECTED, "d2"));
}

/* More subjects than are kept: they are counted, and open incidents stay. */
static void test_subjects(void **state)
{
	struct world *world = *state;
	struct event_log_counts counts;
	char name[16];

	for (unsigned int i = 0; i < EVENT_LOG_SUBJECTS + 5; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		assert_int_equal(raise_at(world, 0, "member-failed", name), i < EVENT_LOG_SUBJECTS);
	}
	assert_false(raise_at(world, 0, "message-refused", "x"));
	event_log_counts(world->log, &counts);
	assert_int_equal(counts.untracked, 6);
	assert_true(raise_at(world, 1, "member-recovered", "d0"));
	/* its place is free when its minute is over */
	assert_false(raise_at(world, 2, "message-refused", "x"));
	assert_true(raise_at(world, 60, "message-refused", "x"));
	assert_true(raise_at(world, 61, "member-recovered", "d1023"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_incident, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flapping, setup, teardown),
		cmocka_unit_test_setup_teardown(test_held_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_single, setup, teardown),
		cmocka_unit_test_setup_teardown(test_worsens, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_evidence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_subjects, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
