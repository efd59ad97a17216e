/* Shared by the table's files, and private to them. */
#ifndef SYNC_TABLE_TABLE_PRIVATE_H
#define SYNC_TABLE_TABLE_PRIVATE_H

#include <assert.h>

#include "sync/table/slab.h"
#include "sync/table/table.h"

/* Slabs of slots: IPv4's, the facts' and IPv6's. A slot's number carries that of its slab in the
 * upper two bits. */
enum slots { SLOTS_V4, SLOTS_FACT, SLOTS_V6, SLOTS };
#define REF_SHIFT 30
#define REF_NUMBER ((1u << REF_SHIFT) - 1)
#define REF_FACT ((uint32_t)SLOTS_FACT << REF_SHIFT)
#define REF_V6 ((uint32_t)SLOTS_V6 << REF_SHIFT)

/* The widths of a slot's fields; limits follow from them. */
#define TIMEOUT_BITS 22
#define ORIGIN_BITS 10
#define BINDING_BITS 20
#define STATE_BITS 4
#define LIST_BITS 4

/* An entry: 32 bytes with IPv4's address, so that none straddles a cache line, 48 with IPv6's. */
struct slot {
	uint64_t hlc; /* its first half is the slab's while the slot is free */
	uint32_t refreshed;
	uint32_t position_low;
	uint16_t position_high;
	uint16_t cport;
	uint32_t timeout : TIMEOUT_BITS;
	uint32_t origin : ORIGIN_BITS;   /* index in table->origins; 0: ourselves */
	uint32_t binding : BINDING_BITS; /* or, with options, a number in table.options */
	uint32_t state : STATE_BITS;
	uint32_t list : LIST_BITS; /* enum table_list */
	uint32_t taken : 1;
	uint32_t options : 1;
	uint32_t adopted : 1;
	uint32_t returned : 1;
	uint8_t caddr[];
};

/* Behind the address in the slot of a fact. */
struct fact_row {
	/* The list of facts that are news to sync's caller. */
	table_ref before, behind;
	bool news;
	struct entry_options options; /* zeros, if it has none */
};

/* A binding: the fields that all entries of one service, real server and state of flags share. It
 * is held as long as one of these entries is; key tells one binding from another. */
struct binding_key {
	uint8_t vaddr[16], daddr[16];
	uint16_t vport, dport;
	uint8_t family, protocol, template, zero;
	uint32_t flags, fwmark;
};

/* Inlined, which a memcmp() of that length is not. */
static inline bool binding_key_same(const struct binding_key *a, const struct binding_key *b)
{
	uint64_t differ = 0;

	for (size_t i = 0; i < sizeof(*a); i += 8)
		differ |= load_le64((const uint8_t *)a + i) ^ load_le64((const uint8_t *)b + i);
	return differ == 0;
}

#define BINDING_WORDS (sizeof(struct binding_key) / 4)

struct binding {
	uint32_t chain; /* next in the bucket; the slab's while free */
	uint32_t refs;
	uint32_t hash;
	uint32_t zero;
	struct binding_key key;
};

/* A slot with options refers to one of these in binding's place. */
struct option_row {
	uint32_t free; /* the slab's */
	uint32_t binding;
	struct entry_options options;
};

/* A hash that table_fetch() computed ahead. */
struct fetched {
	struct flow flow;
	uint32_t hash;
};

#define FETCHED 128

/* A place in a list, as long as the slot is in that list with that number. */
struct list_cell {
	table_ref ref;
	uint32_t number; /* the lower half of the slot's position */
};

/* A list is an array of cells in order. A slot that leaves or moves touches neither its cell nor
 * others': readers skip a cell that holds no longer. When stale cells outnumber those that hold,
 * the latter are moved to the front of the array, some with each appended slot. [front, moved) are
 * there already, [from, end) are still to be examined, and come behind. */
struct list {
	struct region region;
	struct list_cell *cells;
	uint32_t front, moved, from, end;
	bool moving;
	uint32_t count; /* cells that hold */
	uint32_t facts; /* of them, facts */
};

/* A cache line of the index: each slot's number, with a part of its flow's hash. */
#define LINE_SLOTS 10

struct index_line {
	uint16_t tags[LINE_SLOTS];
	table_ref refs[LINE_SLOTS]; /* those that are taken come first */
	uint32_t next;              /* the overflow line, in table.spill; 0: none */
};

struct sweep {
	uint32_t at;   /* the slot that was examined last */
	uint32_t seen; /* slots examined since time */
	uint32_t time; /* s */
};

struct table {
	struct slab slots[SLOTS];
	struct slab bindings, options;
	struct list lists[TABLE_LISTS]; /* that of TABLE_IDLE has only its count */
	uint64_t position;
	uint32_t number; /* the last given out in lists other than the journal and TABLE_YOUNG */
	uint32_t lists_room; /* slots */
	/* Linear hashing: lines are added one by one, so that no insertion pays for all. */
	struct region line_region;
	struct index_line *lines;
	uint32_t lines_len;
	struct slab spill;
	uint64_t adopted;
	uint32_t entries_max, facts_max;
	table_ref news_first, news_last; /* facts that are news; 0: none */
	struct sweep sweep[SLOTS];
	struct fetched fetched[FETCHED];
	uint32_t *binding_buckets;
	uint32_t binding_buckets_len; /* a power of 2 */
	uint64_t binding_keys[BINDING_WORDS];
	/* An origin without entries may be replaced, but for the first, which is ours. */
	struct table_origin origins[TABLE_ORIGINS_MAX];
	uint16_t origins_len;
	uint8_t hash_key[16];
};

static inline struct slot *slot_at(const struct table *table, table_ref ref)
{
	return slab_at(&table->slots[ref >> REF_SHIFT], ref & REF_NUMBER);
}

static inline bool ref_is_fact(table_ref ref)
{
	return ref >> REF_SHIFT == SLOTS_FACT;
}

static inline size_t ref_address_size(table_ref ref)
{
	return ref >> REF_SHIFT ? 16 : 4;
}

static inline struct option_row *slot_option_row(const struct table *table, const struct slot *slot)
{
	return slot->options ? slab_at(&table->options, slot->binding) : NULL;
}

static inline const struct entry_options *slot_options(const struct table *table,
						       const struct slot *slot)
{
	const struct option_row *row = slot_option_row(table, slot);

	return row ? &row->options : NULL;
}

static inline uint32_t slot_binding(const struct table *table, const struct slot *slot)
{
	const struct option_row *row = slot_option_row(table, slot);

	return row ? row->binding : slot->binding;
}

static inline const struct binding_key *slot_binding_key(const struct table *table,
							 const struct slot *slot)
{
	const struct binding *binding = slab_at(&table->bindings, slot_binding(table, slot));

	return &binding->key;
}

/* gcc removes calls of a function that only prefetches. */
#define FETCHING static inline __attribute__((always_inline))

/* Into the cache; it may straddle two lines. */
FETCHING void slot_fetch(const struct table *table, table_ref ref)
{
	const struct slot *slot = slot_at(table, ref);

	__builtin_prefetch(slot, 1);
	if (ref >> REF_SHIFT) /* it may lie across two lines */
		__builtin_prefetch(slot->caddr + 15, 1);
}

static inline uint64_t slot_position(const struct slot *slot)
{
	return slot->position_low | (uint64_t)slot->position_high << 32;
}

/* Positions are below 2^48: a million changes a second for nine years. */
static inline void slot_set_position(struct slot *slot, uint64_t position)
{
	assert(position >> 48 == 0);
	slot->position_low = (uint32_t)position;
	slot->position_high = (uint16_t)(position >> 32);
}

static inline enum table_list slot_list(const struct slot *slot)
{
	return (enum table_list)slot->list;
}

/* table_list.c */

int table_lists_init(struct table *table); /* 0, -ENOMEM */
void table_lists_fini(struct table *table);
/* True if every list has room for all slots ever taken; call it before appending a new one. */
bool table_lists_room(struct table *table);
/* Appends the slot, which is in no list. mark: TABLE_YOUNG only. */
void table_list_append(struct table *table, table_ref ref, enum table_list to, uint64_t mark);
void table_list_remove(struct table *table, table_ref ref);
void table_list_change(struct table *table, table_ref ref, enum table_list to, uint64_t mark);

/* table_fact.c */

/* The facts' slab: 0, -ENOMEM. */
int table_facts_init(struct table *table, uint32_t max);
struct fact_row *table_fact_row(struct slot *slot);
/* Appends it to the news, or takes it out; it may be in or out already. */
void table_fact_add_news(struct table *table, table_ref ref);
void table_fact_remove_news(struct table *table, table_ref ref);
/* True if more facts have this one's binding than may. */
bool table_fact_too_many(const struct table *table, table_ref ref);

/* table_binding.c */

/* 0, -ENOMEM; uses table->hash_key. */
int table_bindings_init(struct table *table, uint32_t max);
void table_bindings_fini(struct table *table);
void table_binding_key(const struct entry *entry, struct binding_key *ret_key);
/* One more reference to the binding; 0: too many, or no memory. */
uint32_t table_binding_take(struct table *table, const struct binding_key *key);
void table_binding_give(struct table *table, uint32_t number);

/* table_index.c */

int table_index_init(struct table *table); /* 0, -ENOMEM */
void table_index_fini(struct table *table);
/* The slot's flow, as it was put in. */
void table_index_flow(const struct table *table, table_ref ref, struct flow *ret_flow);
uint32_t table_index_hash(const struct table *table, const struct flow *flow);
/* 0: no slot has the flow. */
table_ref table_index_find(const struct table *table, const struct flow *flow, uint32_t hash);
/* The slot has its flow by now, and no other slot has the same. False: no memory. */
bool table_index_add(struct table *table, table_ref ref, uint32_t hash);
void table_index_remove(struct table *table, table_ref ref);
/* Adds lines when there are few for so many slots. Without memory, chains get longer. */
void table_index_grow(struct table *table);

#endif
