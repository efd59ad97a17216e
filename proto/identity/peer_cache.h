/* The certificates whose signature was verified before, with the X25519 secret shared with each
 * peer: verifying and agreeing again would cost 0.1 ms each time, and anyone can replay a recorded
 * Hello as often as it likes. Only certificates that the cluster key has signed get in, so
 * strangers can't displace them with others. Holds secrets. */
#ifndef PROTO_IDENTITY_PEER_CACHE_H
#define PROTO_IDENTITY_PEER_CACHE_H

#include "proto/identity/certificate.h"

struct peer_cache;

#define PEER_CACHE_SECRET 32

struct identity;

/* A cache serves one identity: all calls below must pass the same. 0 or -ENOMEM. */
int peer_cache_new(struct peer_cache **ret_cache);
void peer_cache_free(struct peer_cache *cache);

/* As certificate_verify() with our cluster's key; dates are checked each time. cache may be NULL:
 * everything is computed anew. */
int peer_cache_verify(struct peer_cache *cache, const struct identity *identity,
		      const struct certificate *certificate, usec_t wall);

/* The secret shared with the holder of a verified certificate. 0, or -EBADMSG: its key is one of
 * the few that make no secret. cache may be NULL. */
int peer_cache_secret(struct peer_cache *cache, const struct identity *identity,
		      const struct certificate *certificate, uint8_t ret_secret[PEER_CACHE_SECRET]);

#endif
