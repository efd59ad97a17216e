#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/event/notices.h"
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

/* Every notice is an event of its own name, in words. */
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
		struct event event;

		notices_event(world->membership, "d1", &notice, 0, &event);
		assert_string_equal(event_type(event.kind)->name, name);
		assert_int_equal(event_type(event.kind)->role == EVENT_EVIDENCE,
				 type >= MEMBERSHIP_SUSPECTED);
		assert_non_null(strchr(event.message, '.'));
		assert_non_null(strchr(event.message, ' '));
		assert_true(strcmp(event.message, name) != 0);
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

	notices_event(world->membership, "d1", &notice, 0, &event);
	assert_string_equal(event.subject, "d2");
	assert_string_equal(event.message, "Member d2 has failed: host is up, daemon is down; "
					   "2 of 3 members are alive.");
	assert_string_equal(field_text(&event, "id"), "0000000000000abc");
	assert_string_equal(field_text(&event, "evidence"), "connection-refused, witness-answers");
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
	char text[EVENT_MESSAGE_MAX];
	struct event event;

	for (unsigned int i = 0; i < MEMBERSHIP_NOTICE_IDS; i++)
		notice.ids[i] = i + 1;
	notices_event(world->membership, "d1", &notice, 0, &event);
	assert_string_equal(event.subject, "d1");
	assert_string_equal(field_text(&event, "this_side"), "d1");
	assert_memory_equal(field_text(&event, "other_side"), "0000000000000001, 0000000000000002,",
			    35);
	assert_string_equal(field_text(&event, "evidence"), "mutual");

	/* it claims no more than is known */
	notice.id_count = notice.lost = 1;
	notice.roster = 2;
	notice.ids[0] = world->identity.id + 1;
	notice.evidence = EVIDENCE_WITNESS;
	notices_event(world->membership, "d1", &notice, 0, &event);
	snprintf(text, sizeof(text),
		 "The cluster is split: d1 sees 1 of 2 members and the witness, and not %016llx.",
		 (unsigned long long)notice.ids[0]);
	assert_string_equal(event.message, text);
	notice.type = MEMBERSHIP_SPLIT_SUSPECTED;
	notice.evidence = 0;
	notices_event(world->membership, "d1", &notice, 0, &event);
	snprintf(text, sizeof(text),
		 "The cluster is split, or %016llx has crashed: d1 sees 1 of 2 members.",
		 (unsigned long long)notice.ids[0]);
	assert_string_equal(event.message, text);
}

static const char *sentence_of(struct world *world, const struct membership_notice *notice,
			       struct event *event)
{
	notices_event(world->membership, "d1", notice, 3, event);
	return event->message;
}

static void test_evidence(void **state)
{
	struct world *world = *state;
	struct membership_notice notice = {
		.type = MEMBERSHIP_SUSPECTED,
		.member = 2,
		.name = "d2",
		.accuser = world->identity.id,
		.evidence = EVIDENCE_UDP | EVIDENCE_TCP,
		.pings = 4,
		.helpers = 3,
		.nacks = 2,
		.id_count = 2,
		.ids = {0xdef, world->identity.id},
	};
	struct event event;

	assert_string_equal(
		sentence_of(world, &notice, &event),
		"d1 suspects member d2: no answer to 4 pings, none by TCP; 2 of 3 helpers got no "
		"answer either. 2 directors suspect it now.");
	assert_string_equal(event.subject, "d2");
	assert_string_equal(field_text(&event, "accuser"), "d1");
	assert_string_equal(field_text(&event, "accusers"), "0000000000000def, d1");
	assert_string_equal(field_text(&event, "evidence"), "no-udp, no-tcp");
	notice.accuser = 0xdef;
	notice.pings = notice.evidence = 0;
	notice.id_count = 1;
	assert_string_equal(sentence_of(world, &notice, &event),
			    "0000000000000def suspects member d2.");
	notice = (struct membership_notice){.type = MEMBERSHIP_PAUSED,
					    .duration = 2500 * USEC_PER_MSEC};
	assert_string_equal(sentence_of(world, &notice, &event), "d1 did not run for 2.5 s.");
	assert_string_equal(event.subject, "d1");
}

/* An event about our own fault names us only. */
static void test_deaf(void **state)
{
	struct world *world = *state;
	struct membership_notice notice = {.type = MEMBERSHIP_MEMBER_PARTIAL,
					   .evidence = EVIDENCE_UDP};
	struct event event;

	assert_non_null(strstr(sentence_of(world, &notice, &event),
			       "All members answer d1 by TCP and none by UDP"));
	assert_string_equal(event.subject, "d1");
	notice.type = MEMBERSHIP_MEMBER_WHOLE;
	assert_non_null(strstr(sentence_of(world, &notice, &event), "by UDP again"));
	assert_string_equal(event.subject, "d1");
}

/* A partition names the directors that don't reach each other: by groups, or by pairs. */
static void test_cut(void **state)
{
	struct world *world = *state;
	uint64_t id = world->identity.id;
	struct membership_notice notice = {.type = MEMBERSHIP_PARTITION_ENDED,
					   .duration = 2500 * USEC_PER_MSEC};
	struct membership_cut cut = {.pairs = 2, .members = 3, .groups = 2, .id_count = 3};
	struct event event;
	char text[64];

	cut.ids[0] = 1;
	cut.ids[1] = id;
	cut.ids[2] = 2;
	cut.group[2] = 1;
	notices_cut(world->membership, "d1", &cut, text, sizeof(text));
	assert_string_equal(text, "0000000000000001, d1 | 0000000000000002");
	/* cut between two names, where it gets too long */
	notices_cut(world->membership, "d1", &cut, text, 40);
	assert_string_equal(text, "0000000000000001, d1 ...");
	cut.groups = 0;
	cut.id_count = 4;
	cut.ids[2] = 3;
	cut.ids[3] = id;
	notices_cut(world->membership, "d1", &cut, text, sizeof(text));
	assert_string_equal(text, "0000000000000001-d1, 0000000000000003-d1");
	cut.pairs = 5;
	notices_cut(world->membership, "d1", &cut, text, sizeof(text));
	assert_string_equal(text, "0000000000000001-d1, 0000000000000003-d1 ...");
	assert_non_null(strstr(sentence_of(world, &notice, &event), "is over after 2.5 s"));
	assert_string_equal(event.subject, "d1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_split, setup, teardown),
		cmocka_unit_test_setup_teardown(test_evidence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deaf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
