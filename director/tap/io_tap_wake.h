/* Wakes the loop when a packet comes in that may be a new connection's first, so that an idle tap
 * need not look every few milliseconds. A packet socket for each family, with a filter in the
 * kernel; while it is not armed the filter lets nothing pass. */
#ifndef DIRECTOR_TAP_IO_TAP_WAKE_H
#define DIRECTOR_TAP_IO_TAP_WAKE_H

#include <uv.h>

#include "proto/base.h"

struct io_tap_wake {
	uv_poll_t polls[2];
	int fds[2]; /* -1: not open */
	unsigned int ifindex;
	uint16_t port;
	bool armed;
	void (*woken)(void *ctx);
	void *ctx;
};

/* Passes a TCP SYN, an SCTP INIT, UDP, and protocols that we don't know; not ICMP and IGMP, not
 * from the interface ifindex, not to the port (our own, of TCP and UDP; 0: none). Only incoming
 * packets. 0, or a negative errno (-EPERM: CAP_NET_RAW is missing), and nothing is open. */
int io_tap_wake_open(struct io_tap_wake *wake, uv_loop_t *loop, unsigned int ifindex, uint16_t port,
		     void (*woken)(void *ctx), void *ctx);
/* Closes; done is called for each of the two polls. Does nothing on one that is not open. */
void io_tap_wake_close(struct io_tap_wake *wake, uv_close_cb done);

/* Arms it: the next such packet calls woken() from the loop, once. */
void io_tap_wake_arm(struct io_tap_wake *wake);
void io_tap_wake_disarm(struct io_tap_wake *wake);

#endif
