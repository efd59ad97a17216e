/* The TUN interface itself. It goes when its descriptor is closed. */
#ifndef DIRECTOR_TAP_IO_TAP_DEVICE_H
#define DIRECTOR_TAP_IO_TAP_DEVICE_H

#include "proto/base.h"
#include "proto/fault.h"

/* Makes it: multicast, up, without IPv6, with that address (host order, and the length of its
 * subnet's prefix). The descriptor does not block. 0, or a negative errno and a sentence for the
 * operator in *fault. */
int io_tap_device_open(const char *interface, uint32_t address, unsigned int prefix, int *ret_fd,
		       struct fault *fault);

/* A foreign change of the interface. */
struct io_tap_device_change {
	const char *what, *was; /* "link", "was down"; what is NULL: nothing */
};

/* Sets it again. 0, or a negative errno: -ENODEV: there is no interface of that name and index any
 * more; another: it could not be set. peer: behind the descriptor, to be reached through it. */
int io_tap_device_keep(const char *interface, unsigned int index, uint32_t address, uint32_t peer,
		       unsigned int prefix, struct io_tap_device_change *ret_change);

#endif
