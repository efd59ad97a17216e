/* VIPs on an interface, by rtnetlink: each as a host address, without a route of its prefix and,
 * for IPv6, without a wait for duplicates. Routing daemons redistribute them from there. */
#ifndef DIRECTOR_RTNL_VIP_NL_H
#define DIRECTOR_RTNL_VIP_NL_H

#include "proto/endpoint.h"
#include "proto/fault.h"

/* Addresses borrowed; in any order. */
struct vip_list {
	const struct ip_addr *vips;
	size_t count;
};

struct vip_changes {
	bool made; /* the interface */
	unsigned int added, removed;
};

/* Makes the interface (of type dummy) when it is missing and an address is wanted on it, sets it
 * up, and adds the wanted addresses. An address of ours that is not wanted is taken off: there, and
 * off every dummy and loopback interface, regardless of who put it there and of its prefix; on
 * another interface it is reported (-EADDRINUSE) and left alone. Every other address stays.
 * keep_local: an address that is taken off stays local by a route that is never announced, until
 * vip_release(). Does nothing when there is nothing to change. Goes on after an address that fails.
 * 0, or -errno of the first. */
int vip_apply(const char *interface, struct vip_list wanted, struct vip_list ours, bool keep_local,
	      struct vip_changes *ret_changes, struct fault *ret_error);

/* Their packets are no longer ours, unless they are on an interface. 0, or -errno of the first. */
int vip_release(struct vip_list vips, struct fault *ret_error);

#endif
