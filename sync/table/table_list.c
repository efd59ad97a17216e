/* The lists that slots hang in, and the journal's readers. */
#include <assert.h>
#include <errno.h>

#include "sync/table/table_private.h"

/* Stale cells are removed when they outnumber those that hold by more than this. */
#define SLACK 4096u
/* Each appended slot examines this many cells, until all have been. */
#define TIDY_STEPS 8u
/* Slots are prefetched this many cells ahead. */
#define AHEAD 16u

/* Room is committed for this many slots at a time: too much to be populated before it is needed. */
#define ROOM_STEP 131072u

/* While tidying goes on, a cell is appended for each TIDY_STEPS; some behind may be prefetched. */
static size_t cells_max(uint32_t slots)
{
	size_t most = (size_t)slots * 2 + SLACK + 1;

	return most + most / (TIDY_STEPS - 1) + 1 + AHEAD;
}

int table_lists_init(struct table *table)
{
	for (enum table_list id = TABLE_IDLE + 1; id < TABLE_LISTS; id++) {
		struct list *list = &table->lists[id];

		if (region_init(&list->region, cells_max(table->entries_max + table->facts_max) *
						       sizeof(struct list_cell)) < 0)
			return -ENOMEM;
		list->cells = (struct list_cell *)list->region.base;
	}
	return 0;
}

void table_lists_fini(struct table *table)
{
	for (enum table_list id = TABLE_IDLE + 1; id < TABLE_LISTS; id++)
		region_fini(&table->lists[id].region);
}

bool table_lists_room(struct table *table)
{
	uint32_t slots =
		MIN(table->slots[SLOTS_V4].top + table->slots[SLOTS_V6].top, table->entries_max) +
		table->slots[SLOTS_FACT].top;

	if (slots <= table->lists_room)
		return true;
	slots = MIN(slots + ROOM_STEP, table->entries_max + table->facts_max);
	for (enum table_list id = TABLE_IDLE + 1; id < TABLE_LISTS; id++) {
		if (!region_commit(&table->lists[id].region,
				   cells_max(slots) * sizeof(struct list_cell)))
			return false;
	}
	table->lists_room = slots;
	return true;
}

/* Cells */

static bool cell_holds(const struct table *table, enum table_list id, const struct list_cell *cell)
{
	const struct slot *slot = slot_at(table, cell->ref);

	return slot_list(slot) == id && slot->position_low == cell->number;
}

static void tidy_end(struct list *list)
{
	list->from = list->front;
	list->end = list->moved;
	list->front = list->moved = 0;
	list->moving = false;
}

static void tidy(struct table *table, enum table_list id)
{
	struct list *list = &table->lists[id];

	if (!list->moving && list->end <= 2 * list->count + SLACK)
		return;
	list->moving = true;
	for (uint32_t i = 0; i < TIDY_STEPS && list->from < list->end; i++) {
		struct list_cell cell = list->cells[list->from++];

		if (list->from + AHEAD < list->end)
			slot_fetch(table, list->cells[list->from + AHEAD].ref);
		if (cell_holds(table, id, &cell))
			list->cells[list->moved++] = cell;
		assert(list->moved <= list->from);
	}
	if (list->from == list->end)
		tidy_end(list);
}

/* Makes the first cell, if there is any, one that holds. The journal's head is never read. */
static void pass_over(struct table *table, enum table_list id)
{
	struct list *list = &table->lists[id];

	if (id == TABLE_JOURNAL || id == TABLE_IDLE)
		return;
	while (list->front < list->moved && !cell_holds(table, id, &list->cells[list->front]))
		list->front++;
	if (list->front < list->moved)
		return;
	while (list->from < list->end && !cell_holds(table, id, &list->cells[list->from]))
		list->from++;
	if (list->from == list->end) {
		list->front = list->moved = 0;
		tidy_end(list);
	}
}

/* Lists */

void table_list_remove(struct table *table, table_ref ref)
{
	struct slot *slot = slot_at(table, ref);
	enum table_list id = slot_list(slot);

	assert(table->lists[id].count > 0);
	slot->list = TABLE_IDLE;
	table->lists[id].count--;
	if (ref_is_fact(ref))
		table->lists[id].facts--;
	pass_over(table, id);
}

static uint64_t next_number(struct table *table, enum table_list to, uint64_t mark)
{
	switch (to) {
	case TABLE_JOURNAL:
		return ++table->position;
	case TABLE_YOUNG:
		return mark;
	default:
		return ++table->number;
	}
}

void table_list_append(struct table *table, table_ref ref, enum table_list to, uint64_t mark)
{
	struct slot *slot = slot_at(table, ref);
	struct list *list = &table->lists[to];

	assert(to < TABLE_LISTS && slot_list(slot) == TABLE_IDLE);
	slot->list = (uint32_t)to & ((1u << LIST_BITS) - 1);
	list->count++;
	if (ref_is_fact(ref))
		list->facts++;
	if (to == TABLE_IDLE)
		return;
	slot_set_position(slot, next_number(table, to, mark));
	assert((list->end + (size_t)1) * sizeof(struct list_cell) <= list->region.committed);
	list->cells[list->end++] = (struct list_cell){ref, slot->position_low};
	tidy(table, to);
}

void table_list_change(struct table *table, table_ref ref, enum table_list to, uint64_t mark)
{
	table_list_remove(table, ref);
	table_list_append(table, ref, to, mark);
}

uint32_t table_list_count(const struct table *table, enum table_list list)
{
	return table->lists[list].count;
}

uint32_t table_list_facts(const struct table *table, enum table_list list)
{
	return table->lists[list].facts;
}

static const struct list_cell *list_first(const struct list *list)
{
	if (list->front < list->moved)
		return &list->cells[list->front];
	return list->from < list->end ? &list->cells[list->from] : NULL;
}

table_ref table_list_head(const struct table *table, enum table_list list)
{
	const struct list_cell *cell = list_first(&table->lists[list]);

	return cell ? cell->ref : 0;
}

void table_list_move(struct table *table, table_ref ref, enum table_list list)
{
	const struct list_cell *cell = list_first(&table->lists[slot_list(slot_at(table, ref))]);

	assert(list != TABLE_JOURNAL && list != TABLE_YOUNG &&
	       slot_list(slot_at(table, ref)) != TABLE_JOURNAL);
	/* A caller that empties a list from its head reaches that cell later. Memory behind the end
	 * holds a former cell, or 0. */
	if (cell && cell->ref == ref)
		slot_fetch(table, cell[AHEAD].ref);
	table_list_change(table, ref, list, 0);
}

void table_list_splice(struct table *table, enum table_list from, enum table_list to)
{
	table_ref ref;

	assert(from != TABLE_JOURNAL && to != TABLE_JOURNAL && from != to);
	while ((ref = table_list_head(table, from)))
		table_list_change(table, ref, to, 0);
}

/* The journal */

uint64_t table_position(const struct table *table)
{
	return table->position;
}

uint64_t table_pass(struct table *table)
{
	return ++table->position;
}

uint64_t table_ref_position(const struct table *table, table_ref ref)
{
	return slot_position(slot_at(table, ref));
}

/* The place behind a cell's, which is the next one or lies behind the gap. */
static uint32_t place_after(const struct list *list, uint32_t at)
{
	return at + 1 == list->moved ? list->from : at + 1;
}

/* Places counted without the gap. */
static uint32_t place_of(const struct list *list, uint32_t n)
{
	uint32_t moved = list->moved - list->front;

	return n < moved ? list->front + n : list->from + (n - moved);
}

/* Binary search: the first place such that no earlier entry has changed since `position`. */
static uint32_t search(const struct table *table, uint64_t position)
{
	const struct list *list = &table->lists[TABLE_JOURNAL];
	uint32_t low = 0, high = list->moved - list->front + list->end - list->from;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2, at = middle;

		while (at < high &&
		       !cell_holds(table, TABLE_JOURNAL, &list->cells[place_of(list, at)]))
			at++;
		if (at == high ||
		    table_ref_position(table, list->cells[place_of(list, at)].ref) > position)
			high = middle;
		else
			low = at + 1;
	}
	return place_of(list, low);
}

void table_read(const struct table *table, uint64_t position, struct table_reader *ret_reader)
{
	const struct list *list = &table->lists[TABLE_JOURNAL];
	uint64_t behind = table->position - MIN(position, table->position);

	ret_reader->after = position;
	/* No position has two cells, and most readers are only few cells behind. */
	if (behind <= list->end - list->from)
		ret_reader->at = list->end - (uint32_t)behind;
	else
		ret_reader->at = search(table, position);
}

table_ref table_read_next(const struct table *table, struct table_reader *reader)
{
	const struct list *list = &table->lists[TABLE_JOURNAL];

	while (reader->at < list->end) {
		const struct list_cell *cell = &list->cells[reader->at];

		if (reader->at + AHEAD < list->end)
			slot_fetch(table, cell[AHEAD].ref);
		reader->at = place_after(list, reader->at);
		if (cell_holds(table, TABLE_JOURNAL, cell) &&
		    table_ref_position(table, cell->ref) > reader->after) {
			reader->after = table_ref_position(table, cell->ref);
			return cell->ref;
		}
	}
	return 0;
}
