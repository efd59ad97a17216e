/* A socket's filter that lets the kernel drop datagrams of some senders, before they cost us a
 * wake-up and a copy. */
#ifndef DIRECTOR_NET_IO_DATAGRAM_FILTER_H
#define DIRECTOR_NET_IO_DATAGRAM_FILTER_H

#include <stddef.h>
#include <stdint.h>

#define IO_DATAGRAM_FILTER_MAX 16 /* senders */

/* Drops what has one of these senders in its 8 bytes (big-endian) at `at`; replaces the
 * filter that was there. What waits in the socket already is not dropped. 0 or a negative errno. */
int io_datagram_filter_set(int fd, const uint64_t *senders, unsigned int count, uint32_t at);
void io_datagram_filter_clear(int fd);

#endif
