/* A digest over values: each director makes the same of the same values, whatever its compiler's
 * layout of structs. */
#ifndef DIRECTOR_SERVICE_DIGEST_H
#define DIRECTOR_SERVICE_DIGEST_H

#include <sodium.h>

#include "proto/endpoint.h"

struct digest {
	crypto_generichash_state state;
};

void digest_begin(struct digest *digest, size_t size);
void digest_bytes(struct digest *digest, const void *data, size_t len);
void digest_number(struct digest *digest, uint64_t number);
/* A text of no bytes differs from NULL, and both from no call. */
void digest_text(struct digest *digest, const char *text);
void digest_address(struct digest *digest, const struct ip_addr *ip);
void digest_endpoint(struct digest *digest, const struct endpoint *endpoint);
/* size: as in digest_begin(). */
void digest_end(struct digest *digest, uint8_t *ret_bytes, size_t size);

#endif
