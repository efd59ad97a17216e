/* VIPs on an interface, by rtnetlink: each as a host address, without a route of its prefix and,
 * for IPv6, without a wait for duplicates. Routing daemons redistribute them from there. */
#ifndef DIRECTOR_VIP_NL_H
#define DIRECTOR_VIP_NL_H

#include "proto/endpoint.h"

/* Addresses borrowed; in any order. */
struct vip_list {
	const struct ip_addr *vips;
	size_t count;
};

struct vip_changes {
	bool made; /* the interface */
	unsigned int added, removed;
};

struct vip_error {
	char text[320]; /* "what failed: why; what to do" */
};

/* Makes the interface (of type dummy) when it is missing and there is something to put on it, sets
 * it up, adds what is wanted, and takes off what is ours and not wanted. Every other address stays,
 * also on an interface that someone else made. Does nothing when there is nothing to change.
 * Goes on after an address that fails. 0, or -errno of the first. */
int vip_apply(const char *interface, struct vip_list wanted, struct vip_list ours,
	      struct vip_changes *ret_changes, struct vip_error *ret_error);

#endif
