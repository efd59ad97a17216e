#include "director/turns.h"

/* Four buckets an octave: by the highest bit and the two below it. */
static unsigned int bucket_of(usec_t took)
{
	unsigned int octave = 63 - (unsigned int)__builtin_clzll(took | 4);

	return MIN(4 * (octave - 2) + (unsigned int)(MAX(took, UINT64_C(4)) >> (octave - 2) & 3),
		   TURNS_BUCKETS - 1u);
}

/* The first duration that is in a later bucket. */
static usec_t bucket_end(unsigned int bucket)
{
	return (usec_t)(5 + bucket % 4) << bucket / 4;
}

void turns_add(struct turns *turns, usec_t now, usec_t took)
{
	struct turns_window *window = &turns->windows[0];

	if (now >= window->began + TURNS_WINDOW) {
		turns->windows[1] = *window;
		*window = (struct turns_window){.began = now};
	}
	turns->longest = MAX(turns->longest, took);
	window->longest = MAX(window->longest, took);
	window->count++;
	window->buckets[bucket_of(took)]++;
}

void turns_status(const struct turns *turns, usec_t now, struct turns_status *ret_status)
{
	const struct turns_window *window = turns->windows;
	/* A loop that waited longer than both has had no turn lately. */
	bool second = now < window[1].began + 3 * TURNS_WINDOW && window[1].count > 0;
	uint64_t count = window[0].count + (second ? window[1].count : 0), beyond = 0;
	unsigned int bucket = TURNS_BUCKETS;

	*ret_status = (struct turns_status){
		.longest = turns->longest,
		.longest_lately = MAX(window[0].longest, second ? window[1].longest : 0),
	};
	while (bucket > 0 && beyond <= count / 1000) {
		bucket--;
		beyond += window[0].buckets[bucket] + (second ? window[1].buckets[bucket] : 0);
	}
	if (count > 0)
		ret_status->p999_lately = MIN(bucket_end(bucket), ret_status->longest_lately);
}
