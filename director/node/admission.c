#include "director/node/admission.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "proto/rate.h"

#define SETS 1024
#define WAYS 4
#define PREFIX 8 /* bytes of an IPv6 address */

struct bucket {
	struct ip_addr source;
	struct rate rate;
};

struct admission {
	uint8_t key[crypto_shorthash_KEYBYTES];
	struct bucket buckets[SETS][WAYS];
	struct ip_addr directors[ADMISSION_DIRECTORS_MAX]; /* sorted, once for each director */
	unsigned int director_count;
};

static_assert(crypto_shorthash_KEYBYTES == 16, "the key");

int admission_new(const uint8_t key[16], struct admission **ret_admission)
{
	struct admission *admission = calloc(1, sizeof(*admission));

	if (!admission)
		return -ENOMEM;
	memcpy(admission->key, key, sizeof(admission->key));
	*ret_admission = admission;
	return 0;
}

void admission_free(struct admission *admission)
{
	free(admission);
}

void admission_directors_clear(struct admission *admission)
{
	admission->director_count = 0;
}

void admission_directors_add(struct admission *admission, const struct ip_addr *ip)
{
	if (ip->family && admission->director_count < ADMISSION_DIRECTORS_MAX)
		admission->directors[admission->director_count++] = *ip;
}

static int compare(const void *a, const void *b)
{
	return ip_addr_compare(a, b);
}

void admission_directors_end(struct admission *admission)
{
	qsort(admission->directors, admission->director_count, sizeof(*admission->directors),
	      compare);
}

/* How many come before it, or with_equal, up to it. */
static unsigned int rank(const struct admission *admission, const struct ip_addr *ip,
			 bool with_equal)
{
	unsigned int low = 0, high = admission->director_count;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;
		int order = ip_addr_compare(&admission->directors[middle], ip);

		if (order < 0 || (order == 0 && with_equal))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

unsigned int admission_directors(const struct admission *admission, const struct ip_addr *ip)
{
	return rank(admission, ip, true) - rank(admission, ip, false);
}

static struct ip_addr source_of(const struct ip_addr *ip)
{
	struct ip_addr source = *ip;

	if (ip->family == AF_INET6)
		memset(source.bytes + PREFIX, 0, sizeof(source.bytes) - PREFIX);
	return source;
}

bool admission_same_source(const struct ip_addr *a, const struct ip_addr *b)
{
	struct ip_addr sources[] = {source_of(a), source_of(b)};

	return ip_addr_compare(&sources[0], &sources[1]) == 0;
}

/* If the source has none, it takes over the fullest of its set. */
static struct bucket *bucket_get(struct admission *admission, const struct ip_addr *source)
{
	uint8_t hash[crypto_shorthash_BYTES], bytes[1 + sizeof(source->bytes)];
	struct bucket *set, *fullest;

	bytes[0] = source->family;
	memcpy(bytes + 1, source->bytes, sizeof(source->bytes));
	crypto_shorthash(hash, bytes, sizeof(bytes), admission->key);
	set = fullest = admission->buckets[load_le64(hash) % SETS];
	for (unsigned int i = 0; i < WAYS; i++) {
		if (ip_addr_compare(&set[i].source, source) == 0)
			return &set[i];
		if (set[i].rate.full_at < fullest->rate.full_at)
			fullest = &set[i];
	}
	*fullest = (struct bucket){.source = *source};
	return fullest;
}

static bool take(struct admission *admission, const struct ip_addr *source, usec_t interval,
		 unsigned int burst, usec_t now)
{
	return rate_take(&bucket_get(admission, source)->rate, interval, burst, now);
}

bool admission_take(struct admission *admission, const struct ip_addr *source,
		    unsigned int directors, usec_t now)
{
	struct ip_addr of = source_of(source);

	if (directors == 0)
		return take(admission, &of, ADMISSION_INTERVAL, ADMISSION_BURST, now);
	/* An IPv6 director has a bucket of its own, apart from the rest of its network. */
	return take(admission, source, ADMISSION_DIRECTOR_INTERVAL / directors,
		    ADMISSION_DIRECTOR_BURST * directors, now);
}

bool admission_take_director(struct admission *admission, uint64_t id, usec_t now)
{
	struct ip_addr source = {.family = AF_UNSPEC};

	store_le64(source.bytes, id);
	return take(admission, &source, ADMISSION_DIRECTOR_INTERVAL, ADMISSION_DIRECTOR_BURST, now);
}
