/* The table by flow: linear hashing, chained through the slots. */
#include <sodium.h>
#include <stdlib.h>

#include "sync/table_private.h"

uint32_t table_index_hash(const struct table *table, const struct flow *flow)
{
	uint8_t hash[crypto_shorthash_BYTES];

	crypto_shorthash(hash, (const uint8_t *)flow, sizeof(*flow), table->hash_key);
	return load_le32(hash);
}

static uint32_t hash_bucket(const struct table *table, uint32_t hash)
{
	uint32_t top = 1u << (31 - __builtin_clz(table->buckets_len));
	uint32_t bucket = hash & (top * 2 - 1);

	return bucket < table->buckets_len ? bucket : hash & (top - 1);
}

void table_index_flow(const struct table *table, table_ref ref, struct flow *ret_flow)
{
	const struct slot *slot = slot_at(table, ref);
	const struct entry_options *options = slot_options(table, slot);
	size_t size = ref_address_size(ref);

	memset(ret_flow, 0, sizeof(*ret_flow));
	memcpy(ret_flow->caddr, slot->address, size);
	memcpy(ret_flow->vaddr, slot->address + size, size);
	ret_flow->cport = slot->cport;
	ret_flow->vport = slot->vport;
	ret_flow->family = ref & REF_V6 ? AF_INET6 : AF_INET;
	ret_flow->protocol = slot->protocol;
	ret_flow->template = !!(slot->flags & ENTRY_TEMPLATE);
	if (options && ret_flow->template)
		ret_flow->pe_digest = entry_pe_digest(options->pe_data, options->pe_data_len);
}

static bool slot_is(const struct table *table, table_ref ref, const struct flow *flow)
{
	const struct slot *slot = slot_at(table, ref);
	size_t size = ref_address_size(ref);
	struct flow held;

	if (slot->cport != flow->cport || memcmp(slot->address, flow->caddr, size) != 0)
		return false;
	table_index_flow(table, ref, &held);
	return memcmp(&held, flow, sizeof(held)) == 0;
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

void table_index_grow(struct table *table)
{
	uint32_t bucket;
	table_ref ref;

	if (table->v4.count + table->v6.count <= table->buckets_len)
		return;
	if (table->buckets_len == table->buckets_cap) {
		size_t cap = (size_t)table->buckets_cap * 2;
		table_ref *buckets = realloc(table->buckets, cap * sizeof(*buckets));

		if (!buckets)
			return;
		table->buckets = buckets;
		table->buckets_cap = (uint32_t)cap;
	}
	bucket = table->buckets_len - (1u << (31 - __builtin_clz(table->buckets_len)));
	ref = table->buckets[bucket];
	table->buckets[bucket] = 0;
	table->buckets[table->buckets_len++] = 0;
	while (ref) {
		table_ref next = slot_at(table, ref)->chain;
		struct flow flow;

		table_index_flow(table, ref, &flow);
		table_index_add(table, ref, table_index_hash(table, &flow));
		ref = next;
	}
}
