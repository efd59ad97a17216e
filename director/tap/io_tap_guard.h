/* Keeps the other users of this host away from the wire tap. Multicast is looped back to every
 * listener on the host (net/ipv4/ip_output.c: ip_mc_output()), so that a socket of any user could
 * reach the backup thread through our interface. Packets that arrive on it must therefore have the
 * source that only we use, behind the descriptor: an address that is not this host's can't be
 * bound. The filter goes with the interface. */
#ifndef DIRECTOR_TAP_IO_TAP_GUARD_H
#define DIRECTOR_TAP_IO_TAP_GUARD_H

#include "proto/base.h"

/* Replaces the present filters. peer: our address behind the descriptor, host order. 0, or a
 * negative errno: the kernel lacks traffic control (sch_ingress, cls_u32, act_gact), or we lack
 * CAP_NET_ADMIN. */
int io_tap_guard(const char *interface, uint32_t peer);

/* How many filters are on it: a number other than right after io_tap_guard() means that another
 * process has changed them. Negative errno: not known. */
int io_tap_guard_count(const char *interface);

#endif
