/* The table's facade: looks up, captures, adopts and merges entries, with their versions. */
#include "sync/table/table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "sync/table/table_private.h"

#define SLOT_SIZE_V4 32u
#define SLOT_SIZE_V6 48u

static_assert(offsetof(struct slot, caddr) + 4 <= SLOT_SIZE_V4, "IPv4's address");
static_assert(offsetof(struct slot, caddr) + 16 <= SLOT_SIZE_V6, "IPv6's address");
static_assert(SLOT_SIZE_V6 % _Alignof(struct slot) == 0, "alignment");
static_assert(TABLE_BINDINGS_MAX < 1u << BINDING_BITS, "struct slot");
static_assert(TABLE_ORIGINS_MAX <= 1u << ORIGIN_BITS, "struct slot");
static_assert(TABLE_TIMEOUT_MAX < 1u << TIMEOUT_BITS, "struct slot");
static_assert(TABLE_STATES <= 1u << STATE_BITS, "struct slot");
static_assert(TABLE_LISTS <= 1u << LIST_BITS, "struct slot");

int table_new(const struct table_options *options, struct table **ret_table)
{
	struct table *table = calloc(1, sizeof(*table));
	uint32_t max = MIN(options->entries_max, REF_NUMBER);

	if (!table)
		return -ENOMEM;
	table->entries_max = MIN(max, REF_NUMBER);
	table->facts_max = options->facts_max;
	table->adopted = options->adopted;
	table->origins[0].id = options->self;
	table->origins_len = 1;
	memcpy(table->hash_key, options->hash_key, sizeof(table->hash_key));
	if (slab_init(&table->slots[SLOTS_V4], SLOT_SIZE_V4, max) < 0 ||
	    slab_init(&table->slots[SLOTS_V6], SLOT_SIZE_V6, max) < 0 ||
	    table_facts_init(table, options->facts_max) < 0 ||
	    slab_init(&table->options, sizeof(struct option_row), MIN(max, TABLE_BINDINGS_MAX)) <
		    0 ||
	    table_bindings_init(table, MIN(options->bindings_max, TABLE_BINDINGS_MAX)) < 0 ||
	    table_index_init(table) < 0 || table_lists_init(table) < 0) {
		table_free(table);
		return -ENOMEM;
	}
	*ret_table = table;
	return 0;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	for (enum slots i = 0; i < SLOTS; i++)
		slab_fini(&table->slots[i]);
	slab_fini(&table->options);
	table_bindings_fini(table);
	table_index_fini(table);
	table_lists_fini(table);
	free(table);
}

/* Slots */

static void slot_drop_binding(struct table *table, struct slot *slot)
{
	table_binding_give(table, slot_binding(table, slot));
	if (slot->options)
		slab_give(&table->options, slot->binding);
	slot->options = 0;
	slot->binding = 0;
}

/* Takes a binding, and a row of options if the entry has some. 0: no room. */
static uint32_t binding_new(struct table *table, const struct entry_options *options,
			    const struct binding_key *key)
{
	uint32_t binding = table_binding_take(table, key), number = binding;
	struct option_row *row;

	if (!binding || !options)
		return binding;
	number = slab_take(&table->options);
	if (!number) {
		table_binding_give(table, binding);
		return 0;
	}
	row = slab_at(&table->options, number);
	row->binding = binding;
	row->options = *options;
	return number;
}

/* Stores all of the entry but its flow. False: no room, and nothing changed. */
static bool slot_set(struct table *table, struct slot *slot, const struct entry *entry)
{
	bool fact = flow_is_fact(&entry->flow);
	/* A fact has them in its slot. */
	const struct entry_options *options = fact ? NULL : entry->options;
	struct binding_key key;

	table_binding_key(entry, &key);
	/* Most changes are of the state alone. */
	if (slot->binding == 0 || options || slot->options ||
	    !binding_key_same(slot_binding_key(table, slot), &key)) {
		uint32_t binding = binding_new(table, options, &key);

		if (!binding)
			return false;
		if (slot->binding)
			slot_drop_binding(table, slot);
		slot->binding = binding & TABLE_BINDINGS_MAX;
		slot->options = options != NULL;
	}
	if (fact)
		table_fact_row(slot)->options =
			entry->options ? *entry->options : (struct entry_options){0};
	slot->state = entry->state & (TABLE_STATES - 1u);
	slot->timeout = MIN(entry->timeout, TABLE_TIMEOUT_MAX) & TABLE_TIMEOUT_MAX;
	return true;
}

/* Counts one slot more, or less, of that origin. */
static void origin_gain(struct table *table, uint32_t origin, table_ref ref)
{
	if (ref_is_fact(ref))
		table->origins[origin].facts++;
	else
		table->origins[origin].entries++;
}

static void origin_lose(struct table *table, uint32_t origin, table_ref ref)
{
	struct table_origin *of = &table->origins[origin];

	assert((ref_is_fact(ref) ? of->facts : of->entries) > 0);
	if (ref_is_fact(ref))
		of->facts--;
	else
		of->entries--;
}

static void slot_free(struct table *table, table_ref ref)
{
	struct slot *slot = slot_at(table, ref);

	assert(slot->taken);
	if (ref_is_fact(ref))
		table_fact_remove_news(table, ref);
	table_list_remove(table, ref);
	table_index_remove(table, ref);
	slot_drop_binding(table, slot);
	origin_lose(table, slot->origin, ref);
	slab_give(&table->slots[ref >> REF_SHIFT], ref & REF_NUMBER);
}

void table_publish(struct table *table, table_ref ref, uint64_t hlc)
{
	struct slot *slot = slot_at(table, ref);

	assert(!table_list_shared(slot_list(slot)));
	if (!slot->adopted)
		slot->hlc = hlc;
	table_list_change(table, ref, TABLE_JOURNAL, 0);
}

void table_mark_injected(struct table *table, table_ref ref)
{
	const struct slot *slot = slot_at(table, ref);

	assert(slot_list(slot) != TABLE_JOURNAL && table_list_shared(slot_list(slot)));
	table_list_change(table, ref, slot->origin == 0 ? TABLE_JOURNAL : TABLE_IDLE, 0);
}

void table_drop(struct table *table, table_ref ref)
{
	assert(slot_list(slot_at(table, ref)) != TABLE_JOURNAL);
	slot_free(table, ref);
}

uint32_t table_count(const struct table *table)
{
	return table->slots[SLOTS_V4].count + table->slots[SLOTS_V6].count;
}

bool table_origin(const struct table *table, unsigned int i, struct table_origin *ret_origin)
{
	if (i >= table->origins_len)
		return false;
	*ret_origin = table->origins[i];
	return true;
}

/* A slot for a flow that is not held, in the list given; ours until slot_set_origin(). 0: full. */
static table_ref slot_new(struct table *table, const struct entry *entry, uint32_t hash,
			  enum table_list list, uint64_t mark)
{
	enum slots slots = flow_is_fact(&entry->flow)       ? SLOTS_FACT
			   : entry->flow.family == AF_INET6 ? SLOTS_V6
							    : SLOTS_V4;
	struct slab *slab = &table->slots[slots];
	struct slot *slot;
	uint32_t number;
	table_ref ref;

	if (slots != SLOTS_FACT && table_count(table) >= table->entries_max)
		return 0;
	number = slab_take(slab);
	if (!number)
		return 0;
	slot = slab_at(slab, number);
	if (!table_lists_room(table) || !slot_set(table, slot, entry)) {
		slab_give(slab, number);
		return 0;
	}
	ref = number | (uint32_t)slots << REF_SHIFT;
	memcpy(slot->caddr, entry->flow.caddr, ref_address_size(ref));
	slot->cport = entry->flow.cport;
	slot->taken = 1;
	if ((slots == SLOTS_FACT && table_fact_too_many(table, ref)) ||
	    !table_index_add(table, ref, hash)) {
		slot_drop_binding(table, slot);
		slab_give(slab, number);
		return 0;
	}
	origin_gain(table, slot->origin, ref);
	table_list_append(table, ref, list, mark);
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

	assert(slot->taken);
	if (ret_entry) {
		const struct binding_key *binding = slot_binding_key(table, slot);

		table_index_flow(table, ref, &ret_entry->flow);
		memcpy(ret_entry->daddr, binding->daddr, 16);
		ret_entry->dport = binding->dport;
		ret_entry->state = slot->state;
		ret_entry->flags = binding->flags;
		ret_entry->fwmark = binding->fwmark;
		ret_entry->timeout = slot->timeout;
		ret_entry->options = ref_is_fact(ref)
					     ? &table_fact_row(slot_at(table, ref))->options
					     : slot_options(table, slot);
	}
	if (ret_meta) {
		struct flow flow;

		if (ret_entry)
			flow = ret_entry->flow;
		else
			table_index_flow(table, ref, &flow);
		*ret_meta = (struct table_meta){
			.version = {slot->hlc, table->origins[slot->origin].id},
			.position = slot_position(slot),
			.list = slot_list(slot),
			.refreshed = slot->refreshed,
			.adopted = slot->adopted,
			.returned = slot->returned,
			.range = entry_flow_range(&flow),
		};
	}
}

table_ref table_walk(const struct table *table, uint64_t *cursor)
{
	uint64_t v4 = table->slots[SLOTS_V4].top;

	while (*cursor < v4 + table->slots[SLOTS_V6].top) {
		uint64_t at = (*cursor)++;
		table_ref ref = at < v4 ? (table_ref)at + 1 : ((table_ref)(at - v4) + 1) | REF_V6;

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

	while (i < table->origins_len && table->origins[i].id != origin)
		i++;
	if (i == table->origins_len) {
		i = 1;
		while (i < table->origins_len &&
		       (table->origins[i].entries > 0 || table->origins[i].facts > 0))
			i++;
		if (i == TABLE_ORIGINS_MAX)
			return false;
		table->origins[i].id = origin;
		table->origins_len = MAX(table->origins_len, (uint16_t)(i + 1));
	}
	*ret_index = i;
	return true;
}

static void slot_set_origin(struct table *table, table_ref ref, uint16_t origin)
{
	struct slot *slot = slot_at(table, ref);

	assert(origin < table->origins_len);
	origin_lose(table, slot->origin, ref);
	origin_gain(table, origin, ref);
	slot->origin = origin & (TABLE_ORIGINS_MAX - 1u);
}

static enum table_result take(struct table *table, const struct entry *entry, uint64_t hlc,
			      uint32_t now, enum table_list list, uint64_t mark)
{
	uint32_t hash = table_index_hash(table, &entry->flow);
	table_ref ref = table_index_find(table, &entry->flow, hash);
	enum table_result result = ref ? TABLE_CHANGED : TABLE_NEW;
	struct slot *slot;

	if (ref) {
		assert(slot_at(table, ref)->hlc < hlc);
		assert(table_list_shared(list) ||
		       !table_list_shared(slot_list(slot_at(table, ref))));
		if (!slot_set(table, slot_at(table, ref), entry))
			return TABLE_FULL;
		if (list != slot_list(slot_at(table, ref)) || list == TABLE_JOURNAL)
			table_list_change(table, ref, list, mark);
	} else {
		ref = slot_new(table, entry, hash, list, mark);
		if (!ref)
			return TABLE_FULL;
	}
	slot = slot_at(table, ref);
	slot->hlc = hlc;
	slot_set_origin(table, ref, 0);
	if (ref_is_fact(ref))
		table_fact_remove_news(table, ref);
	slot->refreshed = now;
	slot->adopted = slot->returned = 0;
	return result;
}

enum table_result table_capture(struct table *table, const struct entry *entry, uint64_t hlc,
				uint32_t now)
{
	return take(table, entry, hlc, now, TABLE_JOURNAL, 0);
}

enum table_result table_withhold(struct table *table, const struct entry *entry, uint64_t hlc,
				 uint32_t now, enum table_list list, uint64_t mark)
{
	assert(!table_list_shared(list));
	return take(table, entry, hlc, now, list, mark);
}

enum table_result table_adopt(struct table *table, const struct entry *entry, uint32_t now,
			      enum table_list list)
{
	uint32_t hash = table_index_hash(table, &entry->flow);
	table_ref ref = table_index_find(table, &entry->flow, hash);

	if (ref)
		return TABLE_STALE;
	ref = slot_new(table, entry, hash, list, 0);
	if (!ref)
		return TABLE_FULL;
	slot_at(table, ref)->refreshed = now;
	slot_at(table, ref)->hlc = table->adopted;
	slot_at(table, ref)->adopted = 1;
	return TABLE_NEW;
}

static bool slot_agrees(const struct table *table, table_ref ref, const struct entry *entry)
{
	struct entry held;

	table_get(table, ref, &held, NULL);
	return entry_agrees(&held, entry);
}

static bool is_elsewhere(const struct table *table, table_ref ref, const struct entry *entry)
{
	const struct binding_key *binding = slot_binding_key(table, slot_at(table, ref));

	return binding->dport != entry->dport ||
	       memcmp(binding->daddr, entry->daddr, sizeof(binding->daddr)) != 0;
}

/* The kernel does not replace a template's real server. A template that was never written to the
 * kernel only has to be injected. */
static enum table_list inject_list_of_template(enum table_list list, bool elsewhere)
{
	if (elsewhere && list != TABLE_INJECT)
		return TABLE_EVICT;
	return table_list_differs(list) ? list : TABLE_INJECT;
}

/* The list for a merged entry. A write that is not confirmed proves neither that the kernel has the
 * entry nor that it has no other one. */
static enum table_list inject_list(const struct table *table, table_ref ref,
				   const struct entry *entry)
{
	enum table_list list;

	if (flow_is_fact(&entry->flow))
		return TABLE_IDLE;
	if (!ref)
		return TABLE_INJECT;
	list = slot_list(slot_at(table, ref));
	/* We can't tell which connections a template of a persistence engine controls. */
	if (entry->flow.template && entry->flow.pe_digest == 0)
		return inject_list_of_template(list, is_elsewhere(table, ref, entry));
	return list == TABLE_REPLACE || list == TABLE_UNCONFIRMED || is_elsewhere(table, ref, entry)
		       ? TABLE_REPLACE
		       : TABLE_INJECT;
}

static struct table_displaced displace(const struct table *table, table_ref ref,
				       const struct entry *entry)
{
	struct table_meta meta;
	struct entry held;

	table_get(table, ref, &held, &meta);
	if (meta.list != TABLE_JOURNAL || meta.returned || meta.adopted)
		return (struct table_displaced){0};
	return (struct table_displaced){
		.hlc = meta.version.hlc,
		.position = meta.position,
		.state = held.state,
		.elsewhere = is_elsewhere(table, ref, entry),
	};
}

enum table_result table_merge(struct table *table, const struct entry *entry,
			      struct table_version version, uint32_t refreshed,
			      struct table_displaced *ret_displaced)
{
	uint32_t hash = table_index_hash(table, &entry->flow);
	table_ref ref = table_index_find(table, &entry->flow, hash);
	enum table_result result = ref ? TABLE_CHANGED : TABLE_NEW;
	struct table_displaced displaced = {0};
	bool injected = false;
	enum table_list list;
	struct slot *slot;
	uint16_t origin;

	if (ref) {
		slot = slot_at(table, ref);
		if (slot_list(slot) == TABLE_JOURNAL)
			displaced = displace(table, ref, entry);
		int order = version_compare(
			version,
			(struct table_version){slot->hlc, table->origins[slot->origin].id});

		if (order <= 0)
			return order == 0 ? TABLE_SAME : TABLE_STALE;
		injected = slot->adopted && slot_agrees(table, ref, entry);
	}
	if (!origin_index(table, version.origin, &origin))
		return TABLE_FULL;
	list = inject_list(table, ref, entry);
	if (ref) {
		if (!slot_set(table, slot_at(table, ref), entry))
			return TABLE_FULL;
		table_list_change(table, ref, list, 0);
	} else {
		ref = slot_new(table, entry, hash, list, 0);
		if (!ref)
			return TABLE_FULL;
	}
	slot = slot_at(table, ref);
	slot->hlc = version.hlc;
	slot_set_origin(table, ref, origin);
	slot->refreshed = refreshed;
	slot->adopted = 0;
	slot->returned = origin == 0;
	if (ref_is_fact(ref))
		table_fact_add_news(table, ref);
	/* A setting of ours of an earlier life. */
	injected |= ref_is_fact(ref) && origin == 0;
	if (injected)
		table_mark_injected(table, ref);
	*ret_displaced = displaced;
	return result;
}

/* Expiry */

/* s: examining an entry more often would find nothing, and be most of a small table's cost. */
#define SWEEP_EVERY 4u

uint32_t table_lifetime(uint32_t timeout)
{
	uint32_t grace = MIN(TABLE_REFRESH, MAX(timeout / 2, 10u));

	return timeout > UINT32_MAX - grace ? UINT32_MAX : timeout + grace;
}

static bool slot_expired(const struct slot *slot, enum slots slots, uint32_t now)
{
	if (slots == SLOTS_FACT && slot->timeout == TABLE_TIMEOUT_MAX)
		return false;
	return (uint64_t)slot->refreshed + table_lifetime(slot->timeout) < now;
}

static uint32_t sweep_slab(struct table *table, enum slots slots, uint32_t now, uint32_t budget)
{
	const struct slab *slab = &table->slots[slots];
	struct sweep *sweep = &table->sweep[slots];
	uint32_t dropped = 0;

	if (now / SWEEP_EVERY != sweep->time / SWEEP_EVERY)
		*sweep = (struct sweep){.time = now, .at = sweep->at};
	budget = MIN(budget, slab->top - MIN(sweep->seen, slab->top));
	sweep->seen += budget;
	for (; budget > 0; budget--) {
		const struct slot *slot;

		sweep->at = sweep->at >= slab->top ? 1 : sweep->at + 1;
		slot = slab_at(slab, sweep->at);
		if (slot->taken && slot_expired(slot, slots, now)) {
			slot_free(table, sweep->at | (uint32_t)slots << REF_SHIFT);
			dropped++;
		}
	}
	return dropped;
}

uint32_t table_sweep(struct table *table, uint32_t now, uint32_t budget)
{
	return sweep_slab(table, SLOTS_V4, now, budget / 2) +
	       sweep_slab(table, SLOTS_V6, now, budget / 2) +
	       sweep_slab(table, SLOTS_FACT, now, budget / 2);
}
