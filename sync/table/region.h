/* An array that grows in place: address space is reserved for all of it, memory comes as it is
 * committed, zeroed, in huge pages where the kernel has them, as what is looked up at random in
 * gigabytes of small pages waits for the page tables. What was touched stays until the end. */
#ifndef SYNC_REGION_H
#define SYNC_REGION_H

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
