/* Identities for tests, the same in every run: cluster is a small number, so is the director's. */
#ifndef TESTS_IDENTITY_FIXTURE_H
#define TESTS_IDENTITY_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proto/identity/identity.h"

/* In the middle of the certificates' validity. */
#define FIXTURE_SECONDS ((uint64_t)1800000000)
#define FIXTURE_WALL (FIXTURE_SECONDS * USEC_PER_SEC)
#define FIXTURE_VALID 86400 /* seconds to either side */

static inline void fixture_cluster(uint8_t cluster, struct cluster_key *ret_cluster)
{
	uint8_t seed[KEYGEN_CLUSTER_SEED];

	memset(seed, cluster, sizeof(seed));
	identity_keygen_cluster(seed, ret_cluster);
}

/* Its keys come from its number alone, not from its name; valid a day before and after that time,
 * in seconds. */
static inline void fixture_at(uint64_t seconds, uint8_t cluster, uint8_t node, const char *name,
			      struct identity *ret_identity)
{
	struct ip_addr address = {.family = AF_INET, .bytes = {192, 0, 2, node}};
	struct keygen_options options = {
		.name = name,
		.addresses = &address,
		.address_count = 1,
		.not_before = seconds - FIXTURE_VALID,
		.not_after = seconds + FIXTURE_VALID,
		.serial = node,
	};
	uint8_t seed[KEYGEN_NODE_SEED];
	struct cluster_key key;

	fixture_cluster(cluster, &key);
	memset(seed, node, sizeof(seed));
	memset(seed + KEYGEN_NODE_SEED / 2, node + 100, KEYGEN_NODE_SEED / 2);
	if (identity_keygen_node(&key, &options, seed, ret_identity) != 0)
		abort();
}

static inline void fixture_named(uint8_t cluster, uint8_t node, const char *name,
				 struct identity *ret_identity)
{
	fixture_at(FIXTURE_SECONDS, cluster, node, name, ret_identity);
}

/* Node 1 is d1, ... */
static inline void fixture_identity(uint8_t cluster, uint8_t node, struct identity *ret_identity)
{
	char name[8];

	snprintf(name, sizeof(name), "d%u", node);
	fixture_named(cluster, node, name, ret_identity);
}

/* Valid now, by the clock: the only one that is not the same in every run. */
static inline void fixture_now(uint8_t node, struct identity *ret_identity)
{
	char name[8];

	snprintf(name, sizeof(name), "d%u", node);
	fixture_at((uint64_t)time(NULL), 1, node, name, ret_identity);
}

#endif
