/* Shared by both loads, so that conntrackd and lvsmesh get the same flows in the same order, at the
 * same rate, in bursts of the same size. */
#ifndef TESTS_BESIDE_LOAD_H
#define TESTS_BESIDE_LOAD_H

#include <time.h>

#include "proto/base.h"

#define LOAD_VIP 0xcb00710a  /* 203.0.113.10 */
#define LOAD_REAL 0x0a010015 /* 10.1.0.21, and three more */
#define LOAD_PORT 80
#define LOAD_MAX (UINT32_C(1) << 24)

/* The clients are spread over 10.0.0.0/8, each with one connection: the numbers' low 24 bits times
 * an odd number are another order of the same. */
#define LOAD_SPREAD UINT32_C(0x9e3779b1)
#define LOAD_GATHER UINT32_C(0x0e8b2f51) /* its inverse modulo 2^32 */

static inline uint32_t load_client(uint32_t number)
{
	return 0x0a000000 | ((number * LOAD_SPREAD) & (LOAD_MAX - 1));
}

static inline uint16_t load_client_port(uint32_t number)
{
	return (uint16_t)(1024 + number % 60000);
}

static inline uint32_t load_real(uint32_t number)
{
	return LOAD_REAL + number % 4;
}

/* The number of a client's flow. */
static inline uint32_t load_number(uint32_t client)
{
	return (client * LOAD_GATHER) & (LOAD_MAX - 1);
}

static inline usec_t load_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (usec_t)time.tv_sec * USEC_PER_SEC + (usec_t)time.tv_nsec / 1000;
}

struct load {
	usec_t start;
	uint32_t first, count;
	uint32_t rate;  /* a second */
	uint32_t burst; /* come at once */
	uint32_t sent;
};

/* How many are to be sent now: whole bursts. */
static inline uint32_t load_due(const struct load *load, usec_t now)
{
	uint64_t bursts = (now - load->start) * load->rate / USEC_PER_SEC / load->burst;

	return (uint32_t)MIN(bursts * load->burst, (uint64_t)load->count) - load->sent;
}

/* When the next burst is due. */
static inline usec_t load_time(const struct load *load)
{
	return load->start + ((uint64_t)load->sent + load->burst) * USEC_PER_SEC / load->rate;
}

#endif
