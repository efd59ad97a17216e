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

/* This thread's: other work of the machine does not count. */
static inline usec_t clock_cpu(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (usec_t)time.tv_sec * USEC_PER_SEC + (usec_t)time.tv_nsec / 1000;
}

#endif
