/* Facts (sync/fact.h) in the table: slots with their values inside, in a slab of their own, so that
 * connections leave them room and no walk over the connections sees them. */
#include <errno.h>

#include "sync/table/table_private.h"

#define ROW_AT (offsetof(struct slot, caddr) + 16)
#define ALIGN _Alignof(struct slot)
#define SLOT_SIZE ((ROW_AT + sizeof(struct fact_row) + ALIGN - 1) / ALIGN * ALIGN)

static_assert(ROW_AT % _Alignof(struct fact_row) == 0, "alignment");

int table_facts_init(struct table *table, uint32_t max)
{
	table->facts_max = MIN(max, REF_NUMBER);
	return slab_init(&table->slots[SLOTS_FACT], SLOT_SIZE, table->facts_max);
}

struct fact_row *table_fact_row(struct slot *slot)
{
	return (struct fact_row *)(void *)((uint8_t *)slot + ROW_AT);
}

uint32_t table_facts(const struct table *table)
{
	return table->slots[SLOTS_FACT].count;
}

bool table_fact_too_many(const struct table *table, table_ref ref)
{
	const struct slot *slot = slot_at(table, ref);
	const struct binding *binding = slab_at(&table->bindings, slot_binding(table, slot));

	return binding->refs > TABLE_FACTS_OF_ONE_MAX;
}

/* News */

static struct fact_row *row_at(const struct table *table, table_ref ref)
{
	assert(ref_is_fact(ref));
	return table_fact_row(slot_at(table, ref));
}

void table_fact_add_news(struct table *table, table_ref ref)
{
	struct fact_row *row = row_at(table, ref);

	if (row->news)
		return;
	row->news = true;
	row->before = table->news_last;
	row->behind = 0;
	if (table->news_last)
		row_at(table, table->news_last)->behind = ref;
	else
		table->news_first = ref;
	table->news_last = ref;
}

void table_fact_remove_news(struct table *table, table_ref ref)
{
	struct fact_row *row = row_at(table, ref);

	if (!row->news)
		return;
	row->news = false;
	if (row->before)
		row_at(table, row->before)->behind = row->behind;
	else
		table->news_first = row->behind;
	if (row->behind)
		row_at(table, row->behind)->before = row->before;
	else
		table->news_last = row->before;
}

table_ref table_fact_news(const struct table *table)
{
	return table->news_first;
}

void table_fact_told(struct table *table, table_ref ref)
{
	table_fact_remove_news(table, ref);
}

table_ref table_fact_walk(const struct table *table, uint64_t *cursor)
{
	while (*cursor < table->slots[SLOTS_FACT].top) {
		table_ref ref = ((table_ref)(*cursor)++ + 1) | REF_FACT;

		if (slot_at(table, ref)->taken)
			return ref;
	}
	return 0;
}
