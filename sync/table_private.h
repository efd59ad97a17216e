/* What table.c and table_index.c share, and nobody else. */
#ifndef SYNC_TABLE_PRIVATE_H
#define SYNC_TABLE_PRIVATE_H

#include "sync/slab.h"
#include "sync/table.h"

/* Two slabs, one a family: the numbers of IPv6 slots carry this bit. */
#define REF_V6 0x80000000u

/* slot.bits */
#define SLOT_LIST 0x03u   /* enum table_list */
#define SLOT_PINNED 0x04u /* some cursor's next */
#define SLOT_ADOPTED 0x08u

/* An entry as it is held; the three addresses follow, 4 or 16 bytes each. */
struct slot {
	uint32_t chain; /* next in the bucket; the slab's while free */
	table_ref prev, next;
	uint32_t refreshed;
	uint64_t hlc;
	uint64_t position;
	uint32_t timeout;
	uint32_t flags;
	uint32_t fwmark;
	uint32_t options; /* number in the options slab */
	uint16_t origin;  /* index in table->origins; 0: ourselves */
	uint16_t cport, vport, dport;
	uint8_t protocol;
	uint8_t state;
	uint8_t bits;
	uint8_t taken;
	uint8_t address[];
};

struct list {
	table_ref head, tail;
	uint32_t count;
};

struct table {
	struct slab v4, v6, options;
	struct list lists[TABLE_LISTS];
	struct table_cursor *cursors;
	uint64_t position;
	/* Linear hashing: buckets grow one by one, so that no insertion pays for all. */
	table_ref *buckets;
	uint32_t buckets_len, buckets_cap;
	uint32_t entries_max;
	uint32_t sweep_v4, sweep_v6;
	uint16_t origins_len;
	uint64_t origins[TABLE_ORIGINS_MAX];
	uint8_t hash_key[16];
};

static inline struct slot *slot_at(const struct table *table, table_ref ref)
{
	return slab_at(ref & REF_V6 ? &table->v6 : &table->v4, ref & ~REF_V6);
}

static inline size_t ref_address_size(table_ref ref)
{
	return ref & REF_V6 ? 16 : 4;
}

static inline const struct entry_options *slot_options(const struct table *table,
						       const struct slot *slot)
{
	return slot->options ? slab_at(&table->options, slot->options) : NULL;
}

/* The slot's flow, as it was put in. */
void table_index_flow(const struct table *table, table_ref ref, struct flow *ret_flow);

uint32_t table_index_hash(const struct table *table, const struct flow *flow);
/* 0: no slot has the flow. */
table_ref table_index_find(const struct table *table, const struct flow *flow, uint32_t hash);
/* The slot has its flow by now, and no other slot has the same. */
void table_index_add(struct table *table, table_ref ref, uint32_t hash);
void table_index_remove(struct table *table, table_ref ref);
/* One bucket more, when there are more slots than buckets. Without memory chains get longer. */
void table_index_grow(struct table *table);

#endif
