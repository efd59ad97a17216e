/* An array that grows in place: it reserves address space for its maximum and commits zeroed memory
 * on demand, in huge pages where available, because random look-ups in gigabytes of 4 KiB pages are
 * bound by TLB misses. Committed memory is not given back before region_fini(). */
#ifndef SYNC_TABLE_REGION_H
#define SYNC_TABLE_REGION_H

#include "proto/base.h"

struct region {
	uint8_t *base; /* stays; NULL: none */
	size_t reserved, committed;
};

/* max: bytes. 0 or -ENOMEM: no such address space. */
int region_init(struct region *region, size_t max);
void region_fini(struct region *region);

/* The first len bytes can be used. False: no memory, or beyond max. */
bool region_commit(struct region *region, size_t len);

#endif
