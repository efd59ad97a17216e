/* Paths: a few thousand in a table of millions, each once. A hash table that doubles: with
 * TABLE_PATHS_MAX that takes some milliseconds at most. */
#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "sync/table/table_private.h"

static_assert(sizeof(struct path_key) == 48, "no holes: it is compared and hashed as bytes");
static_assert(sizeof(struct path) == 64, "a line of the cache");

#define BUCKETS_MIN 256

/* Multilinear hashing (Lemire & Kaser 2014, "Strongly universal string hashing is fast"), with
 * random keys, unknown to anyone who could choose paths. */
static uint32_t key_hash(const struct table *table, const struct path_key *key)
{
	const uint8_t *bytes = (const uint8_t *)key;
	uint64_t sum = 0;

	for (size_t i = 0; i < PATH_WORDS; i++)
		sum += table->path_keys[i] * load_le32(bytes + 4 * i);
	return (uint32_t)(sum >> 32);
}

int table_paths_init(struct table *table, uint32_t max)
{
	table->path_buckets_len = BUCKETS_MIN;
	table->path_buckets = calloc(BUCKETS_MIN, sizeof(*table->path_buckets));
	if (!table->path_buckets || slab_init(&table->paths, sizeof(struct path), max))
		return -ENOMEM;
	for (size_t i = 0; i < PATH_WORDS; i++) {
		uint8_t hash[crypto_shorthash_BYTES], number = (uint8_t)i;

		crypto_shorthash(hash, &number, 1, table->hash_key);
		table->path_keys[i] = load_le64(hash);
	}
	return 0;
}

void table_paths_fini(struct table *table)
{
	slab_fini(&table->paths);
	free(table->path_buckets);
}

void table_path_key(const struct entry *entry, struct path_key *ret_key)
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
	return &table->path_buckets[hash & (table->path_buckets_len - 1)];
}

static void path_link(struct table *table, uint32_t number)
{
	struct path *path = slab_at(&table->paths, number);
	uint32_t *bucket = bucket_of(table, path->hash);

	path->chain = *bucket;
	*bucket = number;
}

/* Without memory, chains get longer. */
static void paths_grow(struct table *table)
{
	uint32_t len = table->path_buckets_len;
	uint32_t *buckets;

	if (table->paths.count <= len)
		return;
	buckets = calloc((size_t)len * 2, sizeof(*buckets));
	if (!buckets)
		return;
	free(table->path_buckets);
	table->path_buckets = buckets;
	table->path_buckets_len = len * 2;
	for (uint32_t i = 1; i <= table->paths.top; i++) {
		const struct path *path = slab_at(&table->paths, i);

		if (path->refs)
			path_link(table, i);
	}
}

uint32_t table_path_take(struct table *table, const struct path_key *key)
{
	uint32_t hash = key_hash(table, key);
	uint32_t number = *bucket_of(table, hash);
	struct path *path;

	while (number) {
		path = slab_at(&table->paths, number);
		if (path->hash == hash && path_key_same(&path->key, key)) {
			path->refs++;
			return number;
		}
		number = path->chain;
	}
	number = slab_take(&table->paths);
	if (!number)
		return 0;
	path = slab_at(&table->paths, number);
	path->refs = 1;
	path->hash = hash;
	path->key = *key;
	path_link(table, number);
	paths_grow(table);
	return number;
}

void table_path_give(struct table *table, uint32_t number)
{
	struct path *path = slab_at(&table->paths, number);
	uint32_t *at;

	if (--path->refs)
		return;
	at = bucket_of(table, path->hash);
	while (*at != number)
		at = &((struct path *)slab_at(&table->paths, *at))->chain;
	*at = path->chain;
	slab_give(&table->paths, number);
}
