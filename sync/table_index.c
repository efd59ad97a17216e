/* The table by flow: linear hashing, chained through the slots. */
#include <errno.h>
#include <sodium.h>

#include "sync/table_private.h"

#define BUCKETS_MIN 1024

int table_index_init(struct table *table)
{
	size_t max = (size_t)table->entries_max * 2 + BUCKETS_MIN;

	if (region_init(&table->bucket_region, max * sizeof(table_ref)) < 0 ||
	    !region_commit(&table->bucket_region, BUCKETS_MIN * sizeof(table_ref)))
		return -ENOMEM;
	table->buckets = (table_ref *)table->bucket_region.base;
	table->buckets_len = BUCKETS_MIN;
	return 0;
}

void table_index_fini(struct table *table)
{
	region_fini(&table->bucket_region);
}

/* No longer than what tells flows apart: SipHash takes its time by the 8 bytes. */
uint32_t table_index_hash(const struct table *table, const struct flow *flow)
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

static bool slot_is(const struct table *table, table_ref ref, const struct flow *flow)
{
	const struct slot *slot = slot_at(table, ref);
	const struct path_key *path;

	if (slot->cport != flow->cport || load_le32(slot->caddr) != load_le32(flow->caddr))
		return false;
	path = slot_path_key(table, slot);
	return path->family == flow->family && path->vport == flow->vport &&
	       path->protocol == flow->protocol && path->template == flow->template &&
	       memcmp(slot->caddr, flow->caddr, ref_address_size(ref)) == 0 &&
	       memcmp(path->vaddr, flow->vaddr, 16) == 0 &&
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

static void slot_fetch(const struct table *table, table_ref ref)
{
	const struct slot *slot = slot_at(table, ref);

	__builtin_prefetch(slot, 1);
	__builtin_prefetch(slot->caddr, 1);
}

static bool split_bucket(struct table *table)
{
	uint32_t bucket = table->buckets_len - (1u << (31 - __builtin_clz(table->buckets_len)));
	table_ref ref = table->buckets[bucket];

	if (!region_commit(&table->bucket_region,
			   ((size_t)table->buckets_len + 1) * sizeof(table_ref)))
		return false;
	/* What the splits after this one need. */
	slot_fetch(table, table->buckets[MIN(bucket + 16, table->buckets_len - 1)]);
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
