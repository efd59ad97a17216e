#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "director/event/event.h"

static void test_kinds(void **state)
{
	enum event_kind found;

	(void)state;
	for (unsigned int i = 0; i < EVENT_KINDS; i++) {
		const struct event_type *type = event_type((enum event_kind)i);
		const struct event_type *opener = event_type(type->opener);

		assert_true(event_kind_find(type->name, &found));
		assert_int_equal(found, i);
		if (type->role == EVENT_SINGLE || type->role == EVENT_OPENS ||
		    type->role == EVENT_EVIDENCE)
			assert_int_equal(type->opener, i);
		else
			assert_int_equal(opener->role, EVENT_OPENS);
		if (type->role == EVENT_CLOSES || type->role == EVENT_CONCLUDES)
			assert_int_equal(type->severity, EVENT_NOTICE);
	}
	assert_false(event_kind_find("member", &found));
}

/* Every event kind that opens has one that closes it. */
static void test_closers(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < EVENT_KINDS; i++) {
		unsigned int closers = 0;

		for (unsigned int j = 0; j < EVENT_KINDS; j++) {
			const struct event_type *type = event_type((enum event_kind)j);

			closers += type->opener == i && type->role == EVENT_CLOSES;
		}
		assert_int_equal(closers, event_type((enum event_kind)i)->role == EVENT_OPENS);
	}
}

static void check_text(const char *text, const char *expected)
{
	struct event event;

	event_init(&event, EVENT_DRAINED, text, "%s", text);
	assert_string_equal(event.subject, expected);
	assert_string_equal(event.message, expected);
}

static void test_texts(void **state)
{
	char text[300], expected[300];
	struct event event;

	(void)state;
	check_text("", "");
	check_text("d\xc3\xa4 \xe2\x82\xac \xf0\x9d\x84\x9e",
		   "d\xc3\xa4 \xe2\x82\xac \xf0\x9d\x84\x9e");
	check_text("a\nb\x1b[31m\x7f", "a?b?[31m?");
	check_text("\xc3", "?");
	check_text("\xc3(", "?(");
	check_text("\xc0\x80", "??");
	check_text("\xed\xa0\x80", "???");
	check_text("\xf4\x90\x80\x80", "????");
	check_text("\xe2\x82", "??");

	/* a character that does not fit is left out whole */
	memset(text, 'x', sizeof(text));
	memcpy(text + EVENT_SUBJECT_MAX - 2, "\xc3\xa4", 3);
	memcpy(expected, text, sizeof(text));
	expected[EVENT_SUBJECT_MAX - 2] = '\0';
	event_init(&event, EVENT_DRAINED, text, "%s", "");
	assert_string_equal(event.subject, expected);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	event_init(&event, EVENT_DRAINED, "", "%s%s%s", text, text, text);
	assert_int_equal(strlen(event.message), EVENT_MESSAGE_MAX - 1);
}

static void test_fields(void **state)
{
	struct event event;

	(void)state;
	event_init(&event, EVENT_DRAINED, "d1", "x");
	event_text(&event, "a", "b\xff");
	for (int i = 0; i < 2 * EVENT_FIELDS_MAX; i++)
		event_number(&event, "n", -i);
	assert_string_equal(event.fields[0].name, "a");
	assert_string_equal(event.fields[0].text, "b?");
	assert_false(event.fields[0].is_number);
	assert_true(event.fields[EVENT_FIELDS_MAX - 1].is_number);
	assert_int_equal(event.fields[EVENT_FIELDS_MAX - 1].number, 2 - EVENT_FIELDS_MAX);
}

static void test_time(void **state)
{
	static const struct {
		uint64_t msec;
		const char *text;
	} cases[] = {
		{0, "1970-01-01T00:00:00.000Z"},
		{951782399999, "2000-02-28T23:59:59.999Z"},
		{951782400000, "2000-02-29T00:00:00.000Z"},
		{951868800000, "2000-03-01T00:00:00.000Z"},
		{1735689599001, "2024-12-31T23:59:59.001Z"},
		{1800000000000, "2027-01-15T08:00:00.000Z"},
		{4107542400000, "2100-03-01T00:00:00.000Z"},
		{4107456000000, "2100-02-28T00:00:00.000Z"},
		{253402300799999, "9999-12-31T23:59:59.999Z"},
	};
	char text[EVENT_TIME_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(event_time_format(cases[i].msec * USEC_PER_MSEC + 7, text),
				    cases[i].text);
	assert_string_equal(event_time_format(UINT64_MAX, text), "9999-12-31T23:59:59.999Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds), cmocka_unit_test(test_closers),
		cmocka_unit_test(test_texts), cmocka_unit_test(test_fields),
		cmocka_unit_test(test_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
