#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/notices.h"
#include "tests/identity_fixture.h"

struct world {
	struct identity identity;
	struct membership *membership;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct membership_options options = {
		.identity = &world->identity,
		.epoch = 9,
		.profile = membership_default,
		.addresses = {{.ip = {.family = AF_INET, .bytes = {192, 0, 2, 1}}, .port = 7946}},
		.address_count = 1,
		.versions = VERSION_RANGE,
		.now = {.mono = USEC_PER_SEC, .wall = FIXTURE_WALL},
	};

	fixture_identity(1, 1, &world->identity);
	assert_int_equal(membership_new(&options, &world->membership), 0);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	membership_free(world->membership);
	free(world);
	return 0;
}

static const char *field_text(const struct event *event, const char *name)
{
	for (unsigned int i = 0; i < EVENT_FIELDS_MAX && event->fields[i].name; i++)
		if (strcmp(event->fields[i].name, name) == 0)
			return event->fields[i].text;
	return "";
}

/* Every notice is an event of its own name, or a line of the log that says more than its name. */
static void test_all(void **state)
{
	struct world *world = *state;

	for (int type = 0; type < MEMBERSHIP_NOTICE_MAX; type++) {
		struct membership_notice notice = {
			.type = (enum membership_notice_type)type,
			.member = 2,
			.name = "d2",
			.accuser = world->identity.id,
		};
		const char *name = membership_notice_name(type);
		char line[NOTICE_LINE_MAX];
		struct event event;

		if (type < MEMBERSHIP_SUSPECTED) {
			assert_true(notice_event(world->membership, "d1", &notice, &event));
			assert_string_equal(event_type(event.kind)->name, name);
			assert_non_null(strchr(event.sentence, '.'));
			assert_null(strstr(event.sentence, name));
		} else {
			assert_false(notice_event(world->membership, "d1", &notice, &event));
			notice_line(world->membership, "d1", &notice, line);
			assert_non_null(strchr(line, ' '));
		}
	}
}

static void test_failed(void **state)
{
	struct world *world = *state;
	struct membership_notice notice = {
		.type = MEMBERSHIP_MEMBER_FAILED,
		.member = 0xabc,
		.name = "d2",
		.evidence = EVIDENCE_REFUSED | EVIDENCE_WITNESS,
		.view = 2,
		.roster = 3,
		.id_count = 2,
		.ids = {world->identity.id, 0xdef},
	};
	struct event event;

	assert_true(notice_event(world->membership, "d1", &notice, &event));
	assert_string_equal(event.subject, "d2");
	assert_string_equal(event.sentence, "Member d2 has failed: its host answers, the daemon "
					    "does not run; 2 of 3 are alive.");
	assert_string_equal(field_text(&event, "id"), "0000000000000abc");
	assert_string_equal(field_text(&event, "evidence"), "refused, witness");
	assert_string_equal(field_text(&event, "accusers"), "d1, 0000000000000def");
}

static void test_split(void **state)
{
	struct world *world = *state;
	struct membership_notice notice = {
		.type = MEMBERSHIP_SPLIT_CONFIRMED,
		.evidence = EVIDENCE_MUTUAL,
		.view = 1,
		.roster = MEMBERSHIP_NOTICE_IDS + 1,
		.id_count = MEMBERSHIP_NOTICE_IDS,
	};
	struct event event;

	for (unsigned int i = 0; i < MEMBERSHIP_NOTICE_IDS; i++)
		notice.ids[i] = i + 1;
	assert_true(notice_event(world->membership, "d1", &notice, &event));
	assert_string_equal(event.subject, "d1");
	assert_string_equal(field_text(&event, "here"), "d1");
	assert_memory_equal(field_text(&event, "there"), "0000000000000001, 0000000000000002,", 35);
	assert_string_equal(field_text(&event, "evidence"), "mutual");
}

static void test_line(void **state)
{
	struct world *world = *state;
	struct membership_notice notice = {
		.type = MEMBERSHIP_SUSPECTED,
		.member = 2,
		.name = "d2",
		.accuser = world->identity.id,
		.evidence = EVIDENCE_UDP,
		.duration = 2500 * USEC_PER_MSEC,
	};
	char line[NOTICE_LINE_MAX];

	assert_string_equal(notice_line(world->membership, "d1", &notice, line),
			    "d2 is suspected by d1 (udp)");
	notice.type = MEMBERSHIP_PAUSED;
	notice.evidence = 0;
	notice.name[0] = '\0';
	assert_string_equal(notice_line(world->membership, "d1", &notice, line),
			    "d1 did not run for 2500 ms");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_split, setup, teardown),
		cmocka_unit_test_setup_teardown(test_line, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
