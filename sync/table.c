#include "sync/table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "sync/table_private.h"

int table_new(const struct table_options *options, struct table **ret_table)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	slab_init(&table->v4, sizeof(struct slot) + 3 * 4);
	slab_init(&table->v6, sizeof(struct slot) + 3 * 16);
	slab_init(&table->options, sizeof(struct entry_options));
	table->buckets_len = table->buckets_cap = 1024;
	table->buckets = calloc(table->buckets_cap, sizeof(*table->buckets));
	if (!table->buckets) {
		table_free(table);
		return -ENOMEM;
	}
	table->entries_max = options->entries_max;
	table->origins[0] = options->self;
	table->origins_len = 1;
	memcpy(table->hash_key, options->hash_key, sizeof(table->hash_key));
	*ret_table = table;
	return 0;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	slab_fini(&table->v4);
	slab_fini(&table->v6);
	slab_fini(&table->options);
	free(table->buckets);
	free(table);
}

/* Lists */

static enum table_list slot_list(const struct slot *slot)
{
	return (enum table_list)(slot->bits & SLOT_LIST);
}

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

static void list_remove(struct table *table, table_ref ref)
{
	struct slot *slot = slot_at(table, ref);
	struct list *list = &table->lists[slot_list(slot)];

	cursors_pass(table, ref);
	*(slot->prev ? &slot_at(table, slot->prev)->next : &list->head) = slot->next;
	*(slot->next ? &slot_at(table, slot->next)->prev : &list->tail) = slot->prev;
	list->count--;
}

static void list_append(struct table *table, table_ref ref, enum table_list to)
{
	struct slot *slot = slot_at(table, ref);
	struct list *list = &table->lists[to];

	slot->bits = (uint8_t)((slot->bits & ~SLOT_LIST) | (unsigned int)to);
	slot->prev = list->tail;
	slot->next = 0;
	*(list->tail ? &slot_at(table, list->tail)->next : &list->head) = ref;
	list->tail = ref;
	list->count++;
	slot->position = to == TABLE_JOURNAL ? ++table->position : 0;
}

static void list_change(struct table *table, table_ref ref, enum table_list to)
{
	list_remove(table, ref);
	list_append(table, ref, to);
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
	assert(list != TABLE_JOURNAL && slot_list(slot_at(table, ref)) != TABLE_JOURNAL);
	list_change(table, ref, list);
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

/* Slots */

static void slot_drop_options(struct table *table, struct slot *slot)
{
	if (slot->options)
		slab_give(&table->options, slot->options);
	slot->options = 0;
}

/* What the entry says besides its flow. False: no memory for its options. */
static bool slot_set(struct table *table, table_ref ref, const struct entry *entry)
{
	struct slot *slot = slot_at(table, ref);
	size_t size = ref_address_size(ref);

	if (entry->options) {
		if (!slot->options)
			slot->options = slab_take(&table->options);
		if (!slot->options)
			return false;
		memcpy(slab_at(&table->options, slot->options), entry->options,
		       sizeof(*entry->options));
	} else {
		slot_drop_options(table, slot);
	}
	memcpy(slot->address + 2 * size, entry->daddr, size);
	slot->dport = entry->dport;
	slot->state = (uint8_t)entry->state;
	slot->flags = entry->flags;
	slot->fwmark = entry->fwmark;
	slot->timeout = entry->timeout;
	return true;
}

static void slot_free(struct table *table, table_ref ref)
{
	struct slot *slot = slot_at(table, ref);

	list_remove(table, ref);
	table_index_remove(table, ref);
	slot_drop_options(table, slot);
	slab_give(ref & REF_V6 ? &table->v6 : &table->v4, ref & ~REF_V6);
}

uint32_t table_count(const struct table *table)
{
	return table->v4.count + table->v6.count;
}

/* A slot for a flow that is not held, in the list given. 0: full. */
static table_ref slot_new(struct table *table, const struct entry *entry, uint32_t hash,
			  enum table_list list)
{
	const struct flow *flow = &entry->flow;
	bool v6 = flow->family == AF_INET6;
	size_t size = v6 ? 16 : 4;
	struct slot *slot;
	table_ref ref;

	if (table_count(table) >= table->entries_max)
		return 0;
	ref = slab_take(v6 ? &table->v6 : &table->v4);
	if (!ref)
		return 0;
	ref |= v6 ? REF_V6 : 0;
	slot = slot_at(table, ref);
	if (!slot_set(table, ref, entry)) {
		slab_give(v6 ? &table->v6 : &table->v4, ref & ~REF_V6);
		return 0;
	}
	memcpy(slot->address, flow->caddr, size);
	memcpy(slot->address + size, flow->vaddr, size);
	slot->cport = flow->cport;
	slot->vport = flow->vport;
	slot->protocol = flow->protocol;
	slot->taken = 1;
	table_index_add(table, ref, hash);
	list_append(table, ref, list);
	table_index_grow(table);
	return ref;
}

table_ref table_find(const struct table *table, const struct flow *flow)
{
	return table_index_find(table, flow, table_index_hash(table, flow));
}

void table_get(const struct table *table, table_ref ref, struct entry *ret_entry,
	       struct table_meta *ret_meta)
{
	const struct slot *slot = slot_at(table, ref);
	size_t size = ref_address_size(ref);

	if (ret_entry) {
		memset(ret_entry, 0, sizeof(*ret_entry));
		table_index_flow(table, ref, &ret_entry->flow);
		memcpy(ret_entry->daddr, slot->address + 2 * size, size);
		ret_entry->dport = slot->dport;
		ret_entry->state = slot->state;
		ret_entry->flags = slot->flags;
		ret_entry->fwmark = slot->fwmark;
		ret_entry->timeout = slot->timeout;
		ret_entry->options = slot_options(table, slot);
	}
	if (ret_meta) {
		struct flow flow;

		table_index_flow(table, ref, &flow);
		*ret_meta = (struct table_meta){
			.version = {slot->hlc, table->origins[slot->origin]},
			.position = slot->position,
			.list = slot_list(slot),
			.refreshed = slot->refreshed,
			.adopted = !!(slot->bits & SLOT_ADOPTED),
			.range = flow_range(&flow),
		};
	}
}

table_ref table_walk(const struct table *table, uint64_t *cursor)
{
	while (*cursor < (uint64_t)table->v4.top + table->v6.top) {
		uint64_t at = (*cursor)++;
		table_ref ref = at < table->v4.top ? (table_ref)at + 1
						   : ((table_ref)(at - table->v4.top) + 1) | REF_V6;

		if (slot_at(table, ref)->taken)
			return ref;
	}
	return 0;
}

/* Versions */

static int version_compare(struct table_version a, struct table_version b)
{
	if (a.hlc != b.hlc)
		return a.hlc < b.hlc ? -1 : 1;
	return (a.origin > b.origin) - (a.origin < b.origin);
}

static bool origin_index(struct table *table, uint64_t origin, uint16_t *ret_index)
{
	uint16_t i = 0;

	while (i < table->origins_len && table->origins[i] != origin)
		i++;
	if (i == TABLE_ORIGINS_MAX)
		return false;
	if (i == table->origins_len)
		table->origins[table->origins_len++] = origin;
	*ret_index = i;
	return true;
}

enum table_result table_capture(struct table *table, const struct entry *entry, uint64_t hlc,
				uint32_t now)
{
	uint32_t hash = table_index_hash(table, &entry->flow);
	table_ref ref = table_index_find(table, &entry->flow, hash);
	enum table_result result = ref ? TABLE_CHANGED : TABLE_NEW;
	struct slot *slot;

	if (ref) {
		assert(slot_at(table, ref)->hlc < hlc);
		if (!slot_set(table, ref, entry))
			return TABLE_FULL;
		list_change(table, ref, TABLE_JOURNAL);
	} else {
		ref = slot_new(table, entry, hash, TABLE_JOURNAL);
		if (!ref)
			return TABLE_FULL;
	}
	slot = slot_at(table, ref);
	slot->hlc = hlc;
	slot->origin = 0;
	slot->refreshed = now;
	slot->bits &= (uint8_t)~SLOT_ADOPTED;
	return result;
}

enum table_result table_adopt(struct table *table, const struct entry *entry, uint32_t now)
{
	uint32_t hash = table_index_hash(table, &entry->flow);
	table_ref ref = table_index_find(table, &entry->flow, hash);

	if (ref)
		return TABLE_STALE;
	ref = slot_new(table, entry, hash, TABLE_JOURNAL);
	if (!ref)
		return TABLE_FULL;
	slot_at(table, ref)->refreshed = now;
	slot_at(table, ref)->bits |= SLOT_ADOPTED;
	return TABLE_NEW;
}

static bool slot_same(const struct slot *slot, table_ref ref, const struct entry *entry)
{
	size_t size = ref_address_size(ref);

	return slot->dport == entry->dport && slot->state == entry->state &&
	       memcmp(slot->address + 2 * size, entry->daddr, size) == 0;
}

enum table_result table_merge(struct table *table, const struct entry *entry,
			      struct table_version version, uint32_t refreshed)
{
	uint32_t hash = table_index_hash(table, &entry->flow);
	table_ref ref = table_index_find(table, &entry->flow, hash);
	enum table_result result = ref ? TABLE_CHANGED : TABLE_NEW;
	enum table_list list = TABLE_INJECT;
	struct slot *slot;
	uint16_t origin;

	if (ref) {
		slot = slot_at(table, ref);
		int order = version_compare(
			version, (struct table_version){slot->hlc, table->origins[slot->origin]});

		if (order <= 0)
			return order == 0 ? TABLE_SAME : TABLE_STALE;
		if ((slot->bits & SLOT_ADOPTED) && slot_same(slot, ref, entry))
			list = TABLE_IDLE;
	}
	if (!origin_index(table, version.origin, &origin))
		return TABLE_FULL;
	if (ref) {
		if (!slot_set(table, ref, entry))
			return TABLE_FULL;
		list_change(table, ref, list);
	} else {
		ref = slot_new(table, entry, hash, list);
		if (!ref)
			return TABLE_FULL;
	}
	slot = slot_at(table, ref);
	slot->hlc = version.hlc;
	slot->origin = origin;
	slot->refreshed = refreshed;
	slot->bits &= (uint8_t)~SLOT_ADOPTED;
	return result;
}

/* Expiry */

uint32_t table_lifetime(uint32_t timeout)
{
	uint32_t grace = MIN(TABLE_REFRESH, MAX(timeout / 2, 10u));

	return timeout > UINT32_MAX - grace ? UINT32_MAX : timeout + grace;
}

static bool slot_expired(const struct slot *slot, uint32_t now)
{
	return (uint64_t)slot->refreshed + table_lifetime(slot->timeout) < now;
}

static uint32_t sweep_slab(struct table *table, const struct slab *slab, table_ref bit,
			   uint32_t *at, uint32_t now, uint32_t budget)
{
	uint32_t dropped = 0;

	for (budget = MIN(budget, slab->top); budget > 0; budget--) {
		const struct slot *slot;

		*at = *at >= slab->top ? 1 : *at + 1;
		slot = slab_at(slab, *at);
		if (slot->taken && slot_expired(slot, now)) {
			slot_free(table, *at | bit);
			dropped++;
		}
	}
	return dropped;
}

uint32_t table_sweep(struct table *table, uint32_t now, uint32_t budget)
{
	return sweep_slab(table, &table->v4, 0, &table->sweep_v4, now, budget / 2) +
	       sweep_slab(table, &table->v6, REF_V6, &table->sweep_v6, now, budget / 2);
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
	if (!ref || slot_at(table, ref)->position <= cursor->position) {
		/* The last changes may have left the journal, and nothing is missed in them. */
		cursor->position = table->position;
		return 0;
	}
	/* What was appended since the reader was at the end: it is about to be read anyway. */
	for (;;) {
		table_ref prev = slot_at(table, ref)->prev;

		if (!prev || slot_at(table, prev)->position <= cursor->position)
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
	cursor->position = slot->position;
	cursor->next = slot->next;
	if (slot->next)
		slot_at(table, slot->next)->bits |= SLOT_PINNED;
}
