/* A silent route: a VIP stays local, so that IPVS gets its packets, and is no address of any
 * interface, so that no routing daemon announces it. While the router does not know yet that a
 * VIP was withdrawn, its packets would otherwise go back by the default route and loop. */
#ifndef DIRECTOR_RTNL_VIP_ROUTE_NL_H
#define DIRECTOR_RTNL_VIP_ROUTE_NL_H

#include <netlink/netlink.h>

#include "proto/endpoint.h"

/* The protocol number of our routes, as /etc/iproute2/rt_protos names them. */
#define VIP_ROUTE_PROTOCOL 117

/* In the table local, on lo. 0 (also when it is there already), or a negative number of libnl's. */
int vip_route_add(struct nl_sock *sock, const struct ip_addr *vip);
/* 0 (also when there is none), or the same. */
int vip_route_remove(struct nl_sock *sock, const struct ip_addr *vip);

#endif
