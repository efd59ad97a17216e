#include "director/counter.h"

static uint64_t value_of(const struct counter_row *row, const void *values)
{
	const void *at = (const char *)values + row->offset;

	return row->size == sizeof(uint32_t) ? *(const uint32_t *)at : *(const uint64_t *)at;
}

bool counter_get(const struct counter_table *table, const void *values, unsigned int *i,
		 struct counter *ret_counter)
{
	unsigned int number = table->begin + *i;

	if (number >= table->end) {
		*i -= table->end - table->begin;
		return false;
	}
	ret_counter->group = table->group;
	if (table->rows) {
		const struct counter_row *row = &table->rows[number];

		ret_counter->name = row->name;
		ret_counter->value = value_of(row, values);
	} else {
		ret_counter->name = table->reason((int)number);
		ret_counter->value = ((const uint64_t *)values)[number];
	}
	return true;
}
