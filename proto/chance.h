/* Random numbers that follow from a seed: a keyed hash of a counter. They can't be foretold without
 * the seed, so they may be nonces. */
#ifndef PROTO_CHANCE_H
#define PROTO_CHANCE_H

#include <sodium.h>

#include "proto/base.h"

struct chance {
	uint8_t key[crypto_shorthash_KEYBYTES];
	uint64_t count;
};

static inline uint64_t chance_next(struct chance *chance)
{
	uint8_t in[8], out[crypto_shorthash_BYTES];

	store_le64(in, chance->count++);
	crypto_shorthash(out, in, sizeof(in), chance->key);
	return load_le64(out);
}

/* 0 to below n; 0 of 0. The bias is of no matter here. */
static inline uint64_t chance_below(struct chance *chance, uint64_t n)
{
	return n ? chance_next(chance) % n : 0;
}

#endif
