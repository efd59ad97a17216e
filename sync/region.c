#include "sync/region.h"

#include <errno.h>
#include <sys/mman.h>

/* The first of these stays of small pages: most tables never need more. */
#define HUGE_PAGE ((size_t)2 << 20)

int region_init(struct region *region, size_t max)
{
	size_t size = (max + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	uint8_t *start = mmap(NULL, size + HUGE_PAGE, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before;

	*region = (struct region){0};
	if (start == MAP_FAILED)
		return -ENOMEM;
	before = -(uintptr_t)start & (HUGE_PAGE - 1);
	if (before)
		munmap(start, before);
	munmap(start + before + size, HUGE_PAGE - before);
	region->base = start + before;
	region->reserved = size;
	if (size > HUGE_PAGE) /* a kernel without them only says so */
		madvise(region->base + HUGE_PAGE, size - HUGE_PAGE, MADV_HUGEPAGE);
	return 0;
}

void region_fini(struct region *region)
{
	if (region->base)
		munmap(region->base, region->reserved);
	*region = (struct region){0};
}

bool region_commit(struct region *region, size_t len)
{
	size_t to = (len + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;

	if (len <= region->committed)
		return true;
	if (to > region->reserved || mprotect(region->base + region->committed,
					      to - region->committed, PROT_READ | PROT_WRITE) < 0)
		return false;
	region->committed = to;
	return true;
}
