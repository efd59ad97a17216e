/* The tables of counters, and lvsmesh(1), which has to say of each what the table says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "director/check/health.h"
#include "director/checker/io_checker.h"
#include "director/control/status.h"
#include "director/event/io_alert.h"
#include "director/net/io_datagrams.h"
#include "director/tap/io_tap.h"

#define MANUAL_MAX (1 << 17)

static const char *reason(int error)
{
	return error == 1 ? "first" : "second";
}

static void test_get(void **state)
{
	static const struct counter_row rows[] = {
		COUNTER_ROW(struct sync_status, learned, "learned", COUNTER_TOTAL, "Learned."),
		COUNTER_ROW(struct sync_status, join_shares, "shares", COUNTER_NOW, "Shares."),
	};
	static const struct counter_table table = COUNTER_ROWS("rows", rows),
					  reasons = COUNTER_REASONS("reasons", reason, 1, 3);
	const struct sync_status sync = {.learned = 1ULL << 40, .join_shares = 7};
	const uint64_t refused[] = {5, 6, 8};
	static const struct counter wanted[] = {
		{"rows", "learned", 1ULL << 40},
		{"rows", "shares", 7},
		{"reasons", "first", 6},
		{"reasons", "second", 8},
	};

	(void)state;
	for (unsigned int i = 0; i < 5; i++) {
		unsigned int number = i;
		struct counter counter;
		bool found = counter_get(&table, &sync, &number, &counter) ||
			     counter_get(&reasons, refused, &number, &counter);

		assert_int_equal(found, i < 4);
		if (!found)
			break;
		assert_string_equal(counter.group, wanted[i].group);
		assert_string_equal(counter.name, wanted[i].name);
		assert_int_equal(counter.value, wanted[i].value);
	}
}

/* Takes the escapes of hyphens out. */
static void hyphens_unescape(char *text)
{
	char *to = text;

	for (; *text; text++)
		if (*text != '\\' || text[1] != '-')
			*to++ = *text;
	*to = '\0';
}

/* A table as the list of lvsmesh(1) that describes it. */
static size_t manual_format(const struct counter_table *table, char *text)
{
	size_t len = (size_t)sprintf(text, ".TP\n.I %s\n.RS\n", table->group);

	for (unsigned int i = 0; i < table->end; i++) {
		const struct counter_row *row = &table->rows[i];

		len += (size_t)sprintf(text + len,
				       row->type == COUNTER_NOW ? ".TP\n.IR %s \" (now)\"\n%s\n"
								: ".TP\n.I %s\n%s\n",
				       row->name, row->help);
	}
	return len + (size_t)sprintf(text + len, ".RE\n");
}

static void test_manual(void **state)
{
	const struct counter_table *const tables[] = {
		&status_entries_counters, &io_tap_counters,      &io_datagrams_counters,
		&node_counter_account,    &node_counter_facts,   &io_alert_counters[0],
		&io_alert_counters[1],    &io_alert_counters[2], &io_checker_counters,
		&health_counter_checks,
	};
	char path[4096], wanted[MANUAL_MAX], *manual = calloc(1, MANUAL_MAX);
	size_t len = 0;
	FILE *file;

	(void)state;
	snprintf(path, sizeof(path), "%s/lvsmesh.1", getenv("MANUAL"));
	file = fopen(path, "r");
	assert_non_null(file);
	fread(manual, 1, MANUAL_MAX - 1, file);
	fclose(file);
	hyphens_unescape(manual);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		len += manual_format(tables[i], wanted + len);
	if (!strstr(manual, wanted)) {
		fputs(wanted, stderr);
		fail_msg("lvsmesh.1 does not describe the counters like that");
	}
	free(manual);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_manual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
