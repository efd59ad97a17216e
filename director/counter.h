/* Counters: each is described once, in the table of the module that counts. `lvsmesh status --json`
 * is made from these tables, and a unit test compares lvsmesh(1) with them. A table has a row for
 * each number of a struct, or one number for each reason by which something was refused. */
#ifndef DIRECTOR_COUNTER_H
#define DIRECTOR_COUNTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum counter_type {
	COUNTER_TOTAL, /* since the start */
	COUNTER_NOW,   /* grows and shrinks */
};

struct counter_row {
	const char *name;
	enum counter_type type;
	const char *help;    /* as lvsmesh(1) says it */
	size_t offset, size; /* of an unsigned integer in the struct: 4 or 8 */
};

#define COUNTER_ROW(strukt, field, name, type, help)                                               \
	{                                                                                          \
		name, type, help, offsetof(strukt, field), sizeof(((strukt *)NULL)->field)         \
	}

struct counter_table {
	const char *group;
	const struct counter_row *rows; /* NULL: a table of reasons: */
	const char *(*reason)(int reason);
	unsigned int begin, end; /* rows, or reasons, whose values are an array from reason 0 on */
};

#define COUNTER_ROWS(group, rows)                                                                  \
	{                                                                                          \
		group, rows, NULL, 0, sizeof(rows) / sizeof((rows)[0])                             \
	}
#define COUNTER_REASONS(group, reason, begin, end)                                                 \
	{                                                                                          \
		group, NULL, reason, begin, end                                                    \
	}

struct counter {
	const char *group, *name;
	uint64_t value;
};

/* Counter number *i of the table, whose values lie there: true. Else it subtracts the table's
 * length from *i, so that counters of several tables are counter_get(a, ...) || counter_get(b,
 * ...). */
bool counter_get(const struct counter_table *table, const void *values, unsigned int *i,
		 struct counter *ret_counter);

#endif
