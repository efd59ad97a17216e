/* The table by flow: linear hashing, chained through the slots. */
#include <assert.h>
#include <errno.h>
#include <sodium.h>

#include "sync/table_private.h"

#define BUCKETS_MIN 1024

static_assert(offsetof(struct flow, pe_digest) % 8 == 0, "compared by the 8 bytes");
static_assert(FETCHED == 1 << (64 - 58), "fetched_place()");

int table_index_init(struct table *table)
{
	size_t max = (size_t)table->entries_max * 2 + BUCKETS_MIN;

	if (region_init(&table->bucket_region, max * sizeof(table_ref)) < 0 ||
	    !region_commit(&table->bucket_region, BUCKETS_MIN * sizeof(table_ref)))
		return -ENOMEM;
	table->buckets = (table_ref *)table->bucket_region.base;
	table->buckets_len = BUCKETS_MIN;
	memset(table->fetched, 0xff, sizeof(table->fetched)); /* no flow is like that */
	return 0;
}

void table_index_fini(struct table *table)
{
	region_fini(&table->bucket_region);
}

/* No longer than what tells flows apart: SipHash takes its time by the 8 bytes. */
static uint32_t flow_hash(const struct table *table, const struct flow *flow)
{
	size_t size = flow->family == AF_INET6 ? 16 : 4;
	uint8_t hash[crypto_shorthash_BYTES], key[2 * 16 + 8];

	if (flow->family == AF_INET6) {
		memcpy(key, flow->caddr, 16);
		memcpy(key + 16, flow->vaddr, 16);
	} else {
		memcpy(key, flow->caddr, 4);
		memcpy(key + 4, flow->vaddr, 4);
	}
	store_le32(key + size, load_le32(key + size) ^ flow->pe_digest);
	store_le16(key + 2 * size, flow->cport);
	store_le16(key + 2 * size + 2, flow->vport);
	key[2 * size + 4] = flow->protocol;
	key[2 * size + 5] = flow->template;
	store_le16(key + 2 * size + 6, 0);
	crypto_shorthash(hash, key, 2 * size + 8, table->hash_key);
	return load_le32(hash);
}

static size_t fetched_place(const struct flow *flow)
{
	uint64_t sum = load_le64(flow->caddr) + load_le64(flow->caddr + 8) + flow->cport;

	return (size_t)((sum * 0x9e3779b97f4a7c15u) >> 58);
}

static bool flow_same(const struct flow *a, const struct flow *b)
{
	uint64_t differ = a->pe_digest ^ b->pe_digest;

	for (size_t i = 0; i < offsetof(struct flow, pe_digest); i += 8)
		differ |= load_le64((const uint8_t *)a + i) ^ load_le64((const uint8_t *)b + i);
	return differ == 0;
}

uint32_t table_index_hash(const struct table *table, const struct flow *flow)
{
	const struct fetched *fetched = &table->fetched[fetched_place(flow)];

	return flow_same(&fetched->flow, flow) ? fetched->hash : flow_hash(table, flow);
}

static uint32_t hash_bucket(const struct table *table, uint32_t hash)
{
	uint32_t top = 1u << (31 - __builtin_clz(table->buckets_len));
	uint32_t bucket = hash & (top * 2 - 1);

	return bucket < table->buckets_len ? bucket : hash & (top - 1);
}

/* Only templates are told apart by it. */
static uint32_t slot_pe_digest(const struct table *table, const struct slot *slot,
			       const struct path_key *path)
{
	const struct entry_options *options = slot_options(table, slot);

	return options && path->template ? entry_pe_digest(options->pe_data, options->pe_data_len)
					 : 0;
}

void table_index_flow(const struct table *table, table_ref ref, struct flow *ret_flow)
{
	const struct slot *slot = slot_at(table, ref);
	const struct path_key *path = slot_path_key(table, slot);

	memset(ret_flow, 0, sizeof(*ret_flow));
	if (ref & REF_V6)
		memcpy(ret_flow->caddr, slot->caddr, 16);
	else
		memcpy(ret_flow->caddr, slot->caddr, 4);
	memcpy(ret_flow->vaddr, path->vaddr, 16);
	ret_flow->cport = slot->cport;
	ret_flow->vport = path->vport;
	ret_flow->family = path->family;
	ret_flow->protocol = path->protocol;
	ret_flow->template = path->template;
	ret_flow->pe_digest = slot_pe_digest(table, slot, path);
}

/* Inlined, which a memcmp() is not. */
static inline bool address_same(const uint8_t *a, const uint8_t *b)
{
	return load_le64(a) == load_le64(b) && load_le64(a + 8) == load_le64(b + 8);
}

static bool slot_is(const struct table *table, table_ref ref, const struct flow *flow)
{
	const struct slot *slot = slot_at(table, ref);
	const struct path_key *path;

	if (slot->cport != flow->cport || load_le32(slot->caddr) != load_le32(flow->caddr))
		return false;
	path = slot_path_key(table, slot);
	return path->family == flow->family && path->vport == flow->vport &&
	       path->protocol == flow->protocol && path->template == flow->template &&
	       (!(ref & REF_V6) || address_same(slot->caddr, flow->caddr)) &&
	       address_same(path->vaddr, flow->vaddr) &&
	       slot_pe_digest(table, slot, path) == flow->pe_digest;
}

table_ref table_index_find(const struct table *table, const struct flow *flow, uint32_t hash)
{
	table_ref ref = table->buckets[hash_bucket(table, hash)];

	while (ref && !slot_is(table, ref, flow))
		ref = slot_at(table, ref)->chain;
	return ref;
}

void table_index_add(struct table *table, table_ref ref, uint32_t hash)
{
	table_ref *bucket = &table->buckets[hash_bucket(table, hash)];

	slot_at(table, ref)->chain = *bucket;
	*bucket = ref;
}

void table_index_remove(struct table *table, table_ref ref)
{
	struct flow flow;
	table_ref *at;

	table_index_flow(table, ref, &flow);
	at = &table->buckets[hash_bucket(table, table_index_hash(table, &flow))];
	while (*at != ref)
		at = &slot_at(table, *at)->chain;
	*at = slot_at(table, ref)->chain;
}

/* What the splits after this one will need: slots, and those behind them in their chains. */
FETCHING void fetch_splits(const struct table *table, uint32_t bucket)
{
	uint32_t last = table->buckets_len - 1;
	table_ref ref = table->buckets[MIN(bucket + 12, last)];

	slot_fetch(table, table->buckets[MIN(bucket + 24, last)]);
	if (ref)
		slot_fetch(table, slot_at(table, ref)->chain);
}

static bool split_bucket(struct table *table)
{
	uint32_t bucket = table->buckets_len - (1u << (31 - __builtin_clz(table->buckets_len)));
	table_ref ref = table->buckets[bucket];

	if (!region_commit(&table->bucket_region,
			   ((size_t)table->buckets_len + 1) * sizeof(table_ref)))
		return false;
	fetch_splits(table, bucket);
	table->buckets[bucket] = 0;
	table->buckets[table->buckets_len++] = 0;
	while (ref) {
		table_ref next = slot_at(table, ref)->chain;
		struct flow flow;

		table_index_flow(table, ref, &flow);
		table_index_add(table, ref, table_index_hash(table, &flow));
		ref = next;
	}
	return true;
}

void table_index_grow(struct table *table)
{
	for (int i = 0; i < 2 && table->buckets_len / 2 < table_count(table); i++) {
		if (!split_bucket(table))
			return;
	}
}

/* The head of what hangs beside the slot in its lists is all that a change of it touches. */
FETCHING void fetch_beside(const struct table *table, table_ref ref, const struct flow *flow)
{
	const struct slot *slot = slot_at(table, ref);

	if (slot->cport != flow->cport || load_le32(slot->caddr) != load_le32(flow->caddr))
		slot_fetch(table, slot->chain);
	__builtin_prefetch(slot_at(table, slot->prev), 1);
	__builtin_prefetch(slot_at(table, slot->next), 1);
}

void table_fetch(struct table *table, const struct entry *entries, unsigned int count)
{
	const table_ref *buckets[TABLE_FETCH_MAX];

	assert(count <= TABLE_FETCH_MAX);
	for (unsigned int i = 0; i < count; i++) {
		const struct flow *flow = &entries[i].flow;
		struct fetched *fetched = &table->fetched[fetched_place(flow)];

		fetched->hash = flow_hash(table, flow);
		fetched->flow = *flow;
		buckets[i] = &table->buckets[hash_bucket(table, fetched->hash)];
		__builtin_prefetch(buckets[i], 1);
	}
	for (unsigned int i = 0; i < count; i++)
		slot_fetch(table, *buckets[i]);
	for (unsigned int i = 0; i < count; i++) {
		if (*buckets[i])
			fetch_beside(table, *buckets[i], &entries[i].flow);
	}
}
