/* Sets of small numbers, a bit each in an array of words. Header only, no state. */
#ifndef PROTO_BITS_H
#define PROTO_BITS_H

#include <stdbool.h>
#include <stdint.h>

#define BITS_WORDS(count) (((count) + 63) / 64)

static inline bool bits_have(const uint64_t *words, unsigned int i)
{
	return words[i / 64] >> (i % 64) & 1;
}

static inline void bits_add(uint64_t *words, unsigned int i)
{
	words[i / 64] |= UINT64_C(1) << (i % 64);
}

static inline void bits_remove(uint64_t *words, unsigned int i)
{
	words[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

/* The least member that is not below `from`; count when there is none. The set may change between
 * two calls. */
static inline unsigned int bits_next(const uint64_t *words, unsigned int count, unsigned int from)
{
	for (unsigned int i = from; i < count; i = (i / 64 + 1) * 64) {
		uint64_t word = words[i / 64] >> (i % 64);

		if (word)
			return i + (unsigned int)__builtin_ctzll(word);
	}
	return count;
}

/* Members must be below count, a multiple of 64 or not. */
#define BITS_EACH(i, words, count)                                                                 \
	for (unsigned int i = bits_next(words, count, 0); i < (count);                             \
	     i = bits_next(words, count, i + 1))

#endif
