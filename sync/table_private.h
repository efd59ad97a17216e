/* What the files of the table share, and nobody else. */
#ifndef SYNC_TABLE_PRIVATE_H
#define SYNC_TABLE_PRIVATE_H

#include "sync/slab.h"
#include "sync/table.h"

/* Two slabs, one a family: the numbers of IPv6 slots carry this bit. */
#define REF_V6 0x80000000u

/* slot.bits */
#define SLOT_LIST 0x07u   /* enum table_list */
#define SLOT_PINNED 0x08u /* some cursor's next */
#define SLOT_ADOPTED 0x10u
#define SLOT_TAKEN 0x20u
#define SLOT_OPTIONS 0x40u /* slot.path is a number in table.options */
#define SLOT_RETURNED 0x80u

/* An entry as it is held: 48 bytes with IPv4's address, 64 with IPv6's. */
struct slot {
	uint32_t chain; /* next in the bucket; the slab's while free */
	table_ref prev, next;
	uint32_t path;
	uint64_t hlc;
	uint32_t refreshed;
	uint32_t timeout;
	uint32_t position_low;
	uint16_t position_high;
	uint16_t cport;
	uint16_t origin; /* index in table->origins; 0: ourselves */
	uint8_t state;
	uint8_t bits;
	uint8_t caddr[];
};

/* What entries of one service, real server and state of flags share. Held as long as one of them
 * is; key is what tells one path from another. */
struct path_key {
	uint8_t vaddr[16], daddr[16];
	uint16_t vport, dport;
	uint8_t family, protocol, template, zero;
	uint32_t flags, fwmark;
};

/* Inlined, which a memcmp() of that length is not. */
static inline bool path_key_same(const struct path_key *a, const struct path_key *b)
{
	uint64_t differ = 0;

	for (size_t i = 0; i < sizeof(*a); i += 8)
		differ |= load_le64((const uint8_t *)a + i) ^ load_le64((const uint8_t *)b + i);
	return differ == 0;
}

#define PATH_WORDS (sizeof(struct path_key) / 4)

struct path {
	uint32_t chain; /* next in the bucket; the slab's while free */
	uint32_t refs;
	uint32_t hash;
	uint32_t zero;
	struct path_key key;
};

/* What a slot with options has in path's place. */
struct options {
	uint32_t free; /* the slab's */
	uint32_t path;
	struct entry_options options;
};

/* A hash made ahead. */
struct fetched {
	struct flow flow;
	uint32_t hash;
};

#define FETCHED 64

struct list {
	table_ref head, tail;
	uint32_t count;
};

struct sweep {
	uint32_t at;   /* the slot that was looked at last */
	uint32_t seen; /* slots looked at since time */
	uint32_t time; /* s */
};

struct table {
	struct slab v4, v6, paths, options;
	struct list lists[TABLE_LISTS];
	struct table_cursor *cursors;
	bool readers_wait; /* some cursor has read everything */
	uint64_t position;
	/* Linear hashing: buckets grow one by one, so that no insertion pays for all. */
	struct region bucket_region;
	table_ref *buckets;
	uint32_t buckets_len;
	uint64_t adopted;
	uint32_t entries_max;
	struct sweep sweep_v4, sweep_v6;
	struct fetched fetched[FETCHED];
	uint32_t *path_buckets;
	uint32_t path_buckets_len; /* a power of 2 */
	uint64_t path_keys[PATH_WORDS];
	/* A place without slots is anybody's, but for the first, which is ours. */
	struct table_origin origins[TABLE_ORIGINS_MAX];
	uint16_t origins_len;
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

static inline struct options *slot_option_row(const struct table *table, const struct slot *slot)
{
	return slot->bits & SLOT_OPTIONS ? slab_at(&table->options, slot->path) : NULL;
}

static inline const struct entry_options *slot_options(const struct table *table,
						       const struct slot *slot)
{
	const struct options *row = slot_option_row(table, slot);

	return row ? &row->options : NULL;
}

static inline uint32_t slot_path(const struct table *table, const struct slot *slot)
{
	const struct options *row = slot_option_row(table, slot);

	return row ? row->path : slot->path;
}

static inline const struct path_key *slot_path_key(const struct table *table,
						   const struct slot *slot)
{
	const struct path *path = slab_at(&table->paths, slot_path(table, slot));

	return &path->key;
}

/* gcc removes calls of a function that does nothing but fetch. */
#define FETCHING static inline __attribute__((always_inline))

/* Into the cache; it may straddle two lines. */
FETCHING void slot_fetch(const struct table *table, table_ref ref)
{
	const struct slot *slot = slot_at(table, ref);

	__builtin_prefetch(slot, 1);
	__builtin_prefetch(slot->caddr, 1);
}

static inline uint64_t slot_position(const struct slot *slot)
{
	return slot->position_low | (uint64_t)slot->position_high << 32;
}

/* Positions are below 2^48: a million changes a second for nine years. */
static inline void slot_set_position(struct slot *slot, uint64_t position)
{
	slot->position_low = (uint32_t)position;
	slot->position_high = (uint16_t)(position >> 32);
}

/* table_list.c: the lists and the readers of the journal. */

static inline enum table_list slot_list(const struct slot *slot)
{
	return (enum table_list)(slot->bits & SLOT_LIST);
}

void table_list_append(struct table *table, table_ref ref, enum table_list to);
void table_list_remove(struct table *table, table_ref ref);
void table_list_change(struct table *table, table_ref ref, enum table_list to);

/* table_path.c */

/* 0, -ENOMEM; uses table->hash_key. */
int table_paths_init(struct table *table, uint32_t max);
void table_paths_fini(struct table *table);
void table_path_key(const struct entry *entry, struct path_key *ret_key);
/* One more reference to the path; 0: too many, or no memory. */
uint32_t table_path_take(struct table *table, const struct path_key *key);
void table_path_give(struct table *table, uint32_t number);

/* table_index.c */

int table_index_init(struct table *table); /* 0, -ENOMEM */
void table_index_fini(struct table *table);
/* The slot's flow, as it was put in. */
void table_index_flow(const struct table *table, table_ref ref, struct flow *ret_flow);
uint32_t table_index_hash(const struct table *table, const struct flow *flow);
/* 0: no slot has the flow. */
table_ref table_index_find(const struct table *table, const struct flow *flow, uint32_t hash);
/* The slot has its flow by now, and no other slot has the same. */
void table_index_add(struct table *table, table_ref ref, uint32_t hash);
void table_index_remove(struct table *table, table_ref ref);
/* Two buckets more, when there are fewer than two a slot. Without memory chains get longer. */
void table_index_grow(struct table *table);

#endif
