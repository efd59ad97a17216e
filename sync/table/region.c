/* Memory in one piece that grows in place (region.h). */
#include "sync/table/region.h"

#include <errno.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)
/* This much stays in small pages, enough for a million entries: where the host has yet to find
 * memory for a huge page, clearing it can take milliseconds in which we answer no probe. */
#define SMALL ((size_t)36 << 20)
/* Small growth populates this much at once: a page fault for each page, and another one where a
 * page is read before it is written, would be a good part of an entry's cost. */
#define SMALL_STEP ((size_t)64 << 10)

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
	/* A kernel without huge pages only returns an error. */
	madvise(region->base, MIN(size, SMALL), MADV_NOHUGEPAGE);
	if (size > SMALL)
		madvise(region->base + SMALL, size - SMALL, MADV_HUGEPAGE);
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
	size_t step = len <= SMALL ? SMALL_STEP : HUGE_PAGE;
	size_t to = (len + step - 1) / step * step, from = region->committed;

	if (len <= from)
		return true;
	if (to > region->reserved ||
	    mprotect(region->base + from, to - from, PROT_READ | PROT_WRITE) < 0)
		return false;
	if (to - from <= SMALL_STEP) /* else, and with an older kernel, as it is touched */
		madvise(region->base + from, to - from, MADV_POPULATE_WRITE);
	region->committed = to;
	return true;
}
