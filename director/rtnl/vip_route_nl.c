#include "director/rtnl/vip_route_nl.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>

static struct rtnl_route *route_new(const struct ip_addr *vip)
{
	size_t size = ip_addr_size(vip->family);
	struct nl_addr *destination = nl_addr_build(vip->family, vip->bytes, size);
	struct rtnl_nexthop *hop = rtnl_route_nh_alloc();
	struct rtnl_route *route = rtnl_route_alloc();

	if (destination && hop && route) {
		nl_addr_set_prefixlen(destination, (int)(8 * size));
		rtnl_route_set_family(route, vip->family);
		rtnl_route_set_table(route, RT_TABLE_LOCAL);
		rtnl_route_set_type(route, RTN_LOCAL);
		rtnl_route_set_scope(route, RT_SCOPE_HOST);
		rtnl_route_set_protocol(route, VIP_ROUTE_PROTOCOL);
		rtnl_route_set_dst(route, destination);
		rtnl_route_nh_set_ifindex(hop, (int)if_nametoindex("lo"));
		rtnl_route_add_nexthop(route, hop);
	} else {
		rtnl_route_put(route);
		route = NULL;
		if (hop)
			rtnl_route_nh_free(hop);
	}
	nl_addr_put(destination);
	return route;
}

int vip_route_add(struct nl_sock *sock, const struct ip_addr *vip)
{
	struct rtnl_route *route = route_new(vip);
	int r = route ? rtnl_route_add(sock, route, NLM_F_CREATE) : -NLE_NOMEM;

	rtnl_route_put(route);
	return r == -NLE_EXIST ? 0 : r;
}

int vip_route_remove(struct nl_sock *sock, const struct ip_addr *vip)
{
	struct rtnl_route *route = route_new(vip);
	int r = route ? rtnl_route_delete(sock, route, 0) : -NLE_NOMEM;

	rtnl_route_put(route);
	return r == -NLE_OBJ_NOTFOUND || r == -NLE_FAILURE ? 0 : r;
}
