/* A hybrid logical clock (Kulkarni et al. 2014, "Logical Physical Clocks", section 3): versions
 * that order causally related changes and stay close to UTC. A version is milliseconds of UTC in
 * the upper 48 bits and a counter in the lower 16; a counter that overflows runs into the
 * milliseconds, which keeps the order. */
#ifndef SYNC_TABLE_HLC_H
#define SYNC_TABLE_HLC_H

#include "proto/base.h"

/* A version below this is that of an entry found in the kernel, and says when its director started,
 * in units of 4 ms: older than the version of any reported entry, and newer than one found at an
 * earlier start. */
#define HLC_TIMES (UINT64_C(1) << 40)
#define HLC_FOUND_SHIFT 18

struct hlc {
	uint64_t last; /* the highest version given out or seen */
};

/* The lowest version of that UTC time. */
static inline uint64_t hlc_version(usec_t wall)
{
	return (wall / USEC_PER_MSEC) << 16;
}

/* The version of entries that a director starting at `wall` finds in the kernel. */
static inline uint64_t hlc_found(usec_t wall)
{
	return MIN(hlc_version(wall) >> HLC_FOUND_SHIFT, HLC_TIMES - 1);
}

/* A version above every one given out or seen before. */
static inline uint64_t hlc_stamp(struct hlc *hlc, usec_t wall)
{
	hlc->last = MAX(hlc->last + 1, hlc_version(wall));
	return hlc->last;
}

static inline void hlc_observe(struct hlc *hlc, uint64_t version)
{
	hlc->last = MAX(hlc->last, version);
}

/* The UTC time in a version. */
static inline usec_t hlc_wall(uint64_t version)
{
	return (version >> 16) * USEC_PER_MSEC;
}

/* True if the version's time, or its director's start, is before `wall`. */
static inline bool hlc_before(uint64_t version, usec_t wall)
{
	return version < (version < HLC_TIMES ? hlc_found(wall) : hlc_version(wall));
}

/* The UTC time in a version; for a found entry, the time at which its director had started. */
static inline usec_t hlc_since(uint64_t version)
{
	return hlc_wall(version < HLC_TIMES ? version << HLC_FOUND_SHIFT : version);
}

#endif
