/* A peer that is no director: it has a certificate, dials a director of a simulated cluster
 * (tests/sim/cluster.h) and sends whatever a test wants. */
#ifndef TESTS_SIM_GUEST_H
#define TESTS_SIM_GUEST_H

#include "tests/sim/cluster.h"

struct guest;

/* Dials director d with the identity of another, which does not run. */
struct guest *guest_new(struct cluster *cluster, unsigned int d, unsigned int as);
void guest_free(struct guest *guest);

/* True until the director closes the stream. */
bool guest_connected(const struct guest *guest);
/* The director's number for the stream. */
unsigned int guest_stream(const struct guest *guest);

void guest_say(struct guest *guest, uint8_t kind, const uint8_t *body, size_t len);
void guest_subscribe(struct guest *guest, uint64_t journal, uint64_t position);
void guest_ack(struct guest *guest, uint64_t position);
/* Takes what the director has to say now, at most so many bytes of its frames; how many there were.
 * Frames are looked at and forgotten; *ret_position: the end of the last batch of its journal, left
 * as it is where there was none. */
size_t guest_read(struct guest *guest, size_t max, uint64_t *ret_position);

#endif
