/* The versions of the protocol that we speak: one number for streams, datagrams and their messages.
 * A director speaks its program's version and the one before, so that a cluster is upgraded one by
 * one; PROTOCOL.md, "Versions", says which to speak with which peer. Header only, no state. */
#ifndef PROTO_VERSION_H
#define PROTO_VERSION_H

#include "proto/base.h"

/* The program's, defined here only; 1 to 255. Tests build with another one. */
#ifndef VERSION_WIRE
#define VERSION_WIRE 1
#endif

struct version_range {
	uint32_t min, max;
};

#define VERSION_RANGE ((struct version_range){.min = MAX(VERSION_WIRE - 1, 1), .max = VERSION_WIRE})

/* True if the versions can be spoken: none is zero, and all fit into a packet's byte. */
static inline bool version_range_valid(struct version_range range)
{
	return range.min > 0 && range.min <= range.max && range.max <= UINT8_MAX;
}

/* The highest version that both speak; 0: there is none. */
static inline uint32_t version_common(struct version_range a, struct version_range b)
{
	uint32_t version = MIN(a.max, b.max);

	return version >= MAX(a.min, b.min) ? version : 0;
}

#endif
