/* Which connections to the cluster port are taken: a bounded share for each source, and more for
 * the addresses of directors. No cookie is needed for that: TCP's own handshake has proved that the
 * source receives packets at its address.
 *
 * A source is an IPv4 address or an IPv6 /64. Each has a token bucket; thousands of them are
 * remembered. When there are more, those with the most tokens are forgotten, so no source is
 * refused for another's use; the caller bounds the use of all sources together. */
#ifndef DIRECTOR_NODE_ADMISSION_H
#define DIRECTOR_NODE_ADMISSION_H

#include "proto/endpoint.h"

struct admission;

#define ADMISSION_BURST 8               /* connections at once from a source */
#define ADMISSION_INTERVAL USEC_PER_SEC /* and one more each */
#define ADMISSION_DIRECTOR_BURST 128    /* of each director that is known there */
#define ADMISSION_DIRECTOR_INTERVAL (25 * USEC_PER_MSEC)
#define ADMISSION_DIRECTORS_MAX 8192 /* addresses */

/* key: 16 random bytes. 0 or -ENOMEM. */
int admission_new(const uint8_t key[16], struct admission **ret_admission);
void admission_free(struct admission *admission);

/* The addresses of directors: _clear, _add each, as often as it has directors, and _end. Addresses
 * beyond ADMISSION_DIRECTORS_MAX are left out. */
void admission_directors_clear(struct admission *admission);
void admission_directors_add(struct admission *admission, const struct ip_addr *ip);
void admission_directors_end(struct admission *admission);
/* How many are known at that address. */
unsigned int admission_directors(const struct admission *admission, const struct ip_addr *ip);

/* Takes a token of the source's bucket; false: it has none left. directors: how many are known
 * there. */
bool admission_take(struct admission *admission, const struct ip_addr *source,
		    unsigned int directors, usec_t now);
/* The same for the connections of one director, from any address. */
bool admission_take_director(struct admission *admission, uint64_t id, usec_t now);

bool admission_same_source(const struct ip_addr *a, const struct ip_addr *b);

#endif
