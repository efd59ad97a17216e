/* The two messages that open a stream, as memory: what session.c sends first and judges first. All
 * their fields are untrusted until hello_check() has passed, and even then only a MAC with the
 * session's key proves that they are from the key's holder. */
#ifndef PROTO_SESSION_HELLO_H
#define PROTO_SESSION_HELLO_H

#include "proto/session/session.h"

#define HELLO_NONCE_SIZE 32
/* Bytes of the longest that we send: a certificate, two keys' worth of fields, tags. */
#define HELLO_MAX (CERTIFICATE_MAX + 128)
#define CONFIRM_MAX 16

struct hello {
	struct version_range versions; /* an acceptor: min and max are the one chosen */
	uint8_t nonce[HELLO_NONCE_SIZE];
	uint64_t epoch; /* the acceptor's; a dialer sends 0 */
	struct certificate certificate;
};

/* Packs our hello; certificate and cluster are the identity's. Returns the length. */
size_t hello_pack(const struct identity *identity, struct version_range versions,
		  const uint8_t nonce[HELLO_NONCE_SIZE], uint64_t epoch, uint8_t data[HELLO_MAX]);

/* ours: the versions that we speak must overlap with the peer's, and the cluster must be ours, or
 * nothing more is decoded. 0, or SESSION_E_{VERSION,CLUSTER,MALFORMED}. */
int hello_parse(const struct identity *identity, struct version_range ours, const uint8_t *data,
		size_t len, struct hello *ret_hello);

/* cache: as peer_cache_verify() takes it. 0, or SESSION_E_{CLUSTER,CERTIFICATE,EXPIRED}. */
int hello_check(const struct identity *identity, struct peer_cache *cache,
		const struct hello *hello, usec_t wall);

size_t hello_confirm_pack(uint64_t epoch, uint8_t data[CONFIRM_MAX]);
/* 0, or SESSION_E_MALFORMED. */
int hello_confirm_parse(const uint8_t *data, size_t len, uint64_t *ret_epoch);

#endif
