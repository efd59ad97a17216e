/* Shared by every part: units of time, byte order, small arithmetic. Header only, no state. */
#ifndef PROTO_BASE_H
#define PROTO_BASE_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The one unit of time. A core never reads a clock: its caller passes the time. */
typedef uint64_t usec_t;

#define USEC_PER_MSEC ((usec_t)1000)
#define USEC_PER_SEC ((usec_t)1000000)
#define USEC_NEVER UINT64_MAX

/* The time of an event: mono never jumps and orders timers; wall is UTC since 1970 and only
 * stamps versions and validity. */
struct now {
	usec_t mono;
	usec_t wall;
};

/* The largest cluster, with ourselves. Every limit that grows with directors follows it. */
#define DIRECTORS_MAX 256

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#ifndef MIN /* sys/param.h has them too */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#endif
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* After a call that failed: -errno, and the compiler knows that it is negative. */
static inline int negative_errno(void)
{
	int error = errno;

	assert(error > 0);
	return -error;
}

/* Unaligned loads and stores; be: network byte order, le: little endian. */
static inline uint16_t load_be16(const void *p)
{
	const uint8_t *b = p;

	return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t load_be32(const void *p)
{
	const uint8_t *b = p;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline void store_be16(void *p, uint16_t v)
{
	uint8_t *b = p;

	b[0] = (uint8_t)(v >> 8);
	b[1] = (uint8_t)v;
}

static inline void store_be32(void *p, uint32_t v)
{
	store_be16(p, (uint16_t)(v >> 16));
	store_be16((uint8_t *)p + 2, (uint16_t)v);
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "lvsmesh is built for little-endian machines only"
#endif

static inline uint16_t load_le16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t load_le32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t load_le64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void store_le16(void *p, uint16_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void store_le32(void *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static inline void store_le64(void *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

#endif
