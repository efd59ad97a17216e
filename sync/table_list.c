/* The lists that slots hang in, and the readers of the journal. */
#include <assert.h>

#include "sync/table_private.h"

/* A reader that was about to read this slot goes on with the one after it. */
static void cursors_pass(struct table *table, table_ref ref)
{
	struct slot *slot = slot_at(table, ref);

	if (!(slot->bits & SLOT_PINNED))
		return;
	for (struct table_cursor *cursor = table->cursors; cursor; cursor = cursor->link) {
		if (cursor->next == ref)
			cursor->next = slot->next;
	}
	if (slot->next)
		slot_at(table, slot->next)->bits |= SLOT_PINNED;
	slot->bits &= (uint8_t)~SLOT_PINNED;
}

void table_list_remove(struct table *table, table_ref ref)
{
	struct slot *slot = slot_at(table, ref);
	struct list *list = &table->lists[slot_list(slot)];

	cursors_pass(table, ref);
	*(slot->prev ? &slot_at(table, slot->prev)->next : &list->head) = slot->next;
	*(slot->next ? &slot_at(table, slot->next)->prev : &list->tail) = slot->prev;
	list->count--;
}

/* Readers that had read everything go on with this slot. */
static void readers_meet(struct table *table, table_ref ref)
{
	struct slot *slot = slot_at(table, ref);

	for (struct table_cursor *cursor = table->cursors; cursor; cursor = cursor->link) {
		if (cursor->next || cursor->position != table->position - 1)
			continue;
		cursor->next = ref;
		slot->bits |= SLOT_PINNED;
	}
	table->readers_wait = false;
}

void table_list_append(struct table *table, table_ref ref, enum table_list to)
{
	struct slot *slot = slot_at(table, ref);
	struct list *list = &table->lists[to];

	slot->bits = (uint8_t)((slot->bits & ~SLOT_LIST) | (unsigned int)to);
	slot->prev = list->tail;
	slot->next = 0;
	*(list->tail ? &slot_at(table, list->tail)->next : &list->head) = ref;
	list->tail = ref;
	list->count++;
	slot_set_position(slot, to == TABLE_JOURNAL ? ++table->position : 0);
	if (to == TABLE_JOURNAL && table->readers_wait)
		readers_meet(table, ref);
}

void table_list_change(struct table *table, table_ref ref, enum table_list to)
{
	table_list_remove(table, ref);
	table_list_append(table, ref, to);
}

uint32_t table_list_count(const struct table *table, enum table_list list)
{
	return table->lists[list].count;
}

table_ref table_list_head(const struct table *table, enum table_list list)
{
	return table->lists[list].head;
}

void table_list_move(struct table *table, table_ref ref, enum table_list list)
{
	const struct slot *slot = slot_at(table, ref);

	assert(list != TABLE_JOURNAL && slot_list(slot) != TABLE_JOURNAL);
	/* Whoever empties a list from its head comes there next but one. */
	if (!slot->prev && slot->next)
		slot_fetch(table, slot_at(table, slot->next)->next);
	table_list_change(table, ref, list);
}

void table_list_splice(struct table *table, enum table_list from, enum table_list to)
{
	struct list *a = &table->lists[from], *b = &table->lists[to];

	assert(from != TABLE_JOURNAL && to != TABLE_JOURNAL && from != to);
	if (!a->head)
		return;
	for (table_ref ref = a->head; ref; ref = slot_at(table, ref)->next) {
		struct slot *slot = slot_at(table, ref);

		slot->bits = (uint8_t)((slot->bits & ~SLOT_LIST) | (unsigned int)to);
	}
	slot_at(table, a->tail)->next = b->head;
	*(b->head ? &slot_at(table, b->head)->prev : &b->tail) = a->tail;
	b->head = a->head;
	b->count += a->count;
	*a = (struct list){0};
}

/* The journal */

uint64_t table_position(const struct table *table)
{
	return table->position;
}

void table_cursor_open(struct table *table, struct table_cursor *cursor, uint64_t position)
{
	*cursor = (struct table_cursor){.position = position, .link = table->cursors};
	table->cursors = cursor;
}

void table_cursor_close(struct table *table, struct table_cursor *cursor)
{
	struct table_cursor **at = &table->cursors;

	while (*at != cursor)
		at = &(*at)->link;
	*at = cursor->link;
}

void table_cursor_copy(struct table_cursor *cursor, const struct table_cursor *from)
{
	cursor->position = from->position;
	cursor->next = from->next;
}

table_ref table_cursor_peek(struct table *table, struct table_cursor *cursor)
{
	table_ref ref = table->lists[TABLE_JOURNAL].tail;

	if (cursor->next)
		return cursor->next;
	if (!ref || slot_position(slot_at(table, ref)) <= cursor->position) {
		/* The last changes may have left the journal, and nothing is missed in them. */
		cursor->position = table->position;
		table->readers_wait = true;
		return 0;
	}
	/* From the start, or near the end: it is about to be read anyway. */
	if (slot_position(slot_at(table, table->lists[TABLE_JOURNAL].head)) > cursor->position)
		ref = table->lists[TABLE_JOURNAL].head;
	for (;;) {
		table_ref prev = slot_at(table, ref)->prev;

		if (!prev || slot_position(slot_at(table, prev)) <= cursor->position)
			break;
		ref = prev;
	}
	cursor->next = ref;
	slot_at(table, ref)->bits |= SLOT_PINNED;
	return ref;
}

void table_cursor_advance(struct table *table, struct table_cursor *cursor)
{
	struct slot *slot = slot_at(table, cursor->next);

	/* Other readers may stand here too: the pin stays, it only costs a look. */
	cursor->position = slot_position(slot);
	cursor->next = slot->next;
	if (!slot->next) {
		table->readers_wait = true;
		return;
	}
	slot = slot_at(table, slot->next);
	slot->bits |= SLOT_PINNED;
	slot_fetch(table, slot->next);
}
