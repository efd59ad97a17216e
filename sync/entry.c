#include "sync/entry.h"

#include <sodium.h>

uint32_t entry_pe_digest(const uint8_t *data, size_t len)
{
	static const uint8_t key[crypto_shorthash_KEYBYTES] = "lvsmesh-pe-data";
	uint8_t hash[crypto_shorthash_BYTES];

	if (len == 0)
		return 0;
	crypto_shorthash(hash, data, len, key);
	return load_le32(hash) | 1;
}
