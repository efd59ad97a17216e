/* The only code by which the daemon reads the time. */
#ifndef DIRECTOR_IO_CLOCK_H
#define DIRECTOR_IO_CLOCK_H

#include <time.h>
#include <uv.h>

#include "proto/base.h"

static inline struct now clock_now(void)
{
	struct timespec wall;

	clock_gettime(CLOCK_REALTIME, &wall);
	return (struct now){
		.mono = uv_hrtime() / 1000,
		.wall = (usec_t)wall.tv_sec * USEC_PER_SEC + (usec_t)wall.tv_nsec / 1000,
	};
}

/* This thread's CPU time in ns: other work of the machine does not count. */
static inline uint64_t clock_cpu_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static inline usec_t clock_cpu(void)
{
	return clock_cpu_ns() / 1000;
}

#endif
