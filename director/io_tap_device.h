/* The TUN interface itself. It goes when its descriptor is closed. */
#ifndef DIRECTOR_IO_TAP_DEVICE_H
#define DIRECTOR_IO_TAP_DEVICE_H

#include "proto/base.h"

#define IO_TAP_DEVICE_ERROR 256

struct io_tap_device_options {
	const char *interface;
	uint32_t address;     /* host order */
	unsigned int prefix;  /* length of its subnet's */
	unsigned int mtu;     /* bytes */
	unsigned int backlog; /* packets that wait for us to read them; more are dropped */
};

/* Makes it: multicast, address, up, without IPv6. The descriptor does not block. 0, or a negative
 * errno and a sentence for the operator in error[IO_TAP_DEVICE_ERROR]. */
int io_tap_device_open(const struct io_tap_device_options *options, int *ret_fd, char *error);

#endif
