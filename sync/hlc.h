/* A hybrid logical clock (Kulkarni et al. 2014, "Logical Physical Clocks", section 3): versions
 * that order causally related changes and stay close to UTC. A version is milliseconds of UTC in
 * the upper 48 bits and a counter in the lower 16; a counter that overflows runs into the
 * milliseconds, which keeps the order. */
#ifndef SYNC_HLC_H
#define SYNC_HLC_H

#include "proto/base.h"

/* Below this a version is no time, but the boot epoch of who found the entry in its kernel: older
 * than all that was reported, and what is found later is newer. */
#define HLC_TIMES (UINT64_C(1) << 40)

struct hlc {
	uint64_t last; /* the highest version given out or seen */
};

/* The lowest version of that UTC time. */
static inline uint64_t hlc_version(usec_t wall)
{
	return (wall / USEC_PER_MSEC) << 16;
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

#endif
