#include "proto/identity/peer_cache.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "proto/identity/identity.h"

#define WAYS 4
#define SETS (DIRECTORS_MAX / 2) /* twice as many certificates as directors: renewed ones */

_Static_assert(PEER_CACHE_SECRET == crypto_scalarmult_BYTES, "X25519");

struct entry {
	uint8_t hash[crypto_generichash_BYTES]; /* of the certificate's bytes, signature included */
	uint8_t secret[PEER_CACHE_SECRET];
	bool verified, agreed;
};

struct peer_cache {
	struct entry entries[SETS][WAYS];
	uint8_t next[SETS]; /* the way that is displaced next */
};

int peer_cache_new(struct peer_cache **ret_cache)
{
	struct peer_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	*ret_cache = cache;
	return 0;
}

void peer_cache_free(struct peer_cache *cache)
{
	if (!cache)
		return;
	sodium_memzero(cache, sizeof(*cache));
	free(cache);
}

/* add: make an entry where there is none. NULL: none. */
static struct entry *find(struct peer_cache *cache, const struct certificate *certificate, bool add)
{
	uint8_t hash[crypto_generichash_BYTES];
	struct entry *entry;
	unsigned int set;

	crypto_generichash(hash, sizeof(hash), certificate->bytes, certificate->len, NULL, 0);
	set = load_le32(hash) % SETS;
	for (unsigned int i = 0; i < WAYS; i++) {
		entry = &cache->entries[set][i];
		if (entry->verified && memcmp(entry->hash, hash, sizeof(hash)) == 0)
			return entry;
	}
	if (!add)
		return NULL;
	entry = &cache->entries[set][cache->next[set]];
	cache->next[set] = (uint8_t)((cache->next[set] + 1) % WAYS);
	*entry = (struct entry){.verified = true};
	memcpy(entry->hash, hash, sizeof(hash));
	return entry;
}

int peer_cache_verify(struct peer_cache *cache, const struct identity *identity,
		      const struct certificate *certificate, usec_t wall)
{
	int r;

	if (cache && find(cache, certificate, false))
		return certificate_check_time(certificate, wall);
	r = certificate_verify(certificate, identity->cluster_key, wall);
	if (cache && r == 0)
		find(cache, certificate, true);
	return r;
}

int peer_cache_secret(struct peer_cache *cache, const struct identity *identity,
		      const struct certificate *certificate, uint8_t ret_secret[PEER_CACHE_SECRET])
{
	struct entry *entry = cache ? find(cache, certificate, false) : NULL;

	if (entry && entry->agreed) {
		memcpy(ret_secret, entry->secret, PEER_CACHE_SECRET);
		return 0;
	}
	if (crypto_scalarmult(ret_secret, identity->box_secret, certificate->box_key) != 0)
		return -EBADMSG;
	if (entry) {
		memcpy(entry->secret, ret_secret, PEER_CACHE_SECRET);
		entry->agreed = true;
	}
	return 0;
}
