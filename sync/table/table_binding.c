/* Bindings: a few thousand in a table of millions, each once. A hash table that doubles: with
 * TABLE_BINDINGS_MAX that takes some milliseconds at most. */
#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "sync/table/table_private.h"

static_assert(sizeof(struct binding_key) == 48, "no holes: it is compared and hashed as bytes");
static_assert(sizeof(struct binding) == 64, "a line of the cache");

#define BUCKETS_MIN 256

/* Multilinear hashing (Lemire & Kaser 2014, "Strongly universal string hashing is fast"), with
 * random keys, unknown to anyone who could choose bindings. */
static uint32_t key_hash(const struct table *table, const struct binding_key *key)
{
	const uint8_t *bytes = (const uint8_t *)key;
	uint64_t sum = 0;

	for (size_t i = 0; i < BINDING_WORDS; i++)
		sum += table->binding_keys[i] * load_le32(bytes + 4 * i);
	return (uint32_t)(sum >> 32);
}

int table_bindings_init(struct table *table, uint32_t max)
{
	table->binding_buckets_len = BUCKETS_MIN;
	table->binding_buckets = calloc(BUCKETS_MIN, sizeof(*table->binding_buckets));
	if (!table->binding_buckets || slab_init(&table->bindings, sizeof(struct binding), max))
		return -ENOMEM;
	for (size_t i = 0; i < BINDING_WORDS; i++) {
		uint8_t hash[crypto_shorthash_BYTES], number = (uint8_t)i;

		crypto_shorthash(hash, &number, 1, table->hash_key);
		table->binding_keys[i] = load_le64(hash);
	}
	return 0;
}

void table_bindings_fini(struct table *table)
{
	slab_fini(&table->bindings);
	free(table->binding_buckets);
}

void table_binding_key(const struct entry *entry, struct binding_key *ret_key)
{
	memcpy(ret_key->vaddr, entry->flow.vaddr, 16);
	memcpy(ret_key->daddr, entry->daddr, 16);
	ret_key->vport = entry->flow.vport;
	ret_key->dport = entry->dport;
	ret_key->family = entry->flow.family;
	ret_key->protocol = entry->flow.protocol;
	ret_key->template = entry->flow.template;
	ret_key->zero = 0;
	ret_key->flags = entry->flags;
	ret_key->fwmark = entry->fwmark;
}

static uint32_t *bucket_of(const struct table *table, uint32_t hash)
{
	return &table->binding_buckets[hash & (table->binding_buckets_len - 1)];
}

static void binding_link(struct table *table, uint32_t number)
{
	struct binding *binding = slab_at(&table->bindings, number);
	uint32_t *bucket = bucket_of(table, binding->hash);

	binding->chain = *bucket;
	*bucket = number;
}

/* Without memory, chains get longer. */
static void bindings_grow(struct table *table)
{
	uint32_t len = table->binding_buckets_len;
	uint32_t *buckets;

	if (table->bindings.count <= len)
		return;
	buckets = calloc((size_t)len * 2, sizeof(*buckets));
	if (!buckets)
		return;
	free(table->binding_buckets);
	table->binding_buckets = buckets;
	table->binding_buckets_len = len * 2;
	for (uint32_t i = 1; i <= table->bindings.top; i++) {
		const struct binding *binding = slab_at(&table->bindings, i);

		if (binding->refs)
			binding_link(table, i);
	}
}

uint32_t table_binding_take(struct table *table, const struct binding_key *key)
{
	uint32_t hash = key_hash(table, key);
	uint32_t number = *bucket_of(table, hash);
	struct binding *binding;

	while (number) {
		binding = slab_at(&table->bindings, number);
		if (binding->hash == hash && binding_key_same(&binding->key, key)) {
			binding->refs++;
			return number;
		}
		number = binding->chain;
	}
	number = slab_take(&table->bindings);
	if (!number)
		return 0;
	binding = slab_at(&table->bindings, number);
	binding->refs = 1;
	binding->hash = hash;
	binding->key = *key;
	binding_link(table, number);
	bindings_grow(table);
	return number;
}

void table_binding_give(struct table *table, uint32_t number)
{
	struct binding *binding = slab_at(&table->bindings, number);
	uint32_t *at;

	assert(binding->refs > 0);
	if (--binding->refs)
		return;
	at = bucket_of(table, binding->hash);
	while (*at != number)
		at = &((struct binding *)slab_at(&table->bindings, *at))->chain;
	*at = binding->chain;
	slab_give(&table->bindings, number);
}
