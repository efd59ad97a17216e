/* The TUN interface itself. It goes when its descriptor is closed. */
#ifndef DIRECTOR_IO_TAP_DEVICE_H
#define DIRECTOR_IO_TAP_DEVICE_H

#include "proto/base.h"

#define IO_TAP_DEVICE_ERROR 256

/* Makes it: multicast, up, without IPv6, with that address (host order, and the length of its
 * subnet's prefix). The descriptor does not block. 0, or a negative errno and a sentence for the
 * operator in error[IO_TAP_DEVICE_ERROR]. */
int io_tap_device_open(const char *interface, uint32_t address, unsigned int prefix, int *ret_fd,
		       char *error);

#endif
