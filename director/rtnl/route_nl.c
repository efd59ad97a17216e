#include "director/rtnl/route_nl.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdlib.h>

struct routes {
	struct nl_sock *socket;
	struct route found;
	int result; /* 1: none yet */
};

static int take(struct nl_msg *msg, void *context)
{
	struct routes *routes = context;
	const struct rtmsg *header = nlmsg_data(nlmsg_hdr(msg));
	struct nlattr *attrs[RTA_MAX + 1];
	struct route found = {.interface = ""};

	if (nlmsg_hdr(msg)->nlmsg_type != RTM_NEWROUTE ||
	    nlmsg_parse(nlmsg_hdr(msg), sizeof(*header), attrs, RTA_MAX, NULL) < 0 ||
	    !attrs[RTA_OIF] || !if_indextoname(nla_get_u32(attrs[RTA_OIF]), found.interface))
		return NL_OK;
	if (attrs[RTA_PREFSRC] &&
	    (size_t)nla_len(attrs[RTA_PREFSRC]) == ip_addr_size(header->rtm_family)) {
		found.source.family = header->rtm_family;
		memcpy(found.source.bytes, nla_data(attrs[RTA_PREFSRC]),
		       ip_addr_size(header->rtm_family));
	}
	routes->found = found;
	routes->result = 0;
	return NL_OK;
}

int routes_open(struct routes **ret_routes)
{
	struct routes *routes = calloc(1, sizeof(*routes));
	int r = -ENOMEM;

	if (!routes)
		return r;
	routes->socket = nl_socket_alloc();
	if (routes->socket && nl_connect(routes->socket, NETLINK_ROUTE) < 0)
		r = -errno; /* libnl's own number keeps less */
	else if (routes->socket)
		r = nl_socket_modify_cb(routes->socket, NL_CB_VALID, NL_CB_CUSTOM, take, routes);
	if (r < 0) {
		routes_close(routes);
		return r;
	}
	*ret_routes = routes;
	return 0;
}

void routes_close(struct routes *routes)
{
	if (!routes)
		return;
	nl_socket_free(routes->socket);
	free(routes);
}

int routes_find(struct routes *routes, const struct ip_addr *to, struct route *ret_route)
{
	size_t size = ip_addr_size(to->family);
	const struct rtmsg header = {.rtm_family = to->family,
				     .rtm_dst_len = (unsigned char)(8 * size)};
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_ACK);
	int r = msg ? nlmsg_append(msg, (void *)(uintptr_t)&header, sizeof(header), NLMSG_ALIGNTO)
		    : -NLE_NOMEM;

	if (r == 0)
		r = nla_put(msg, RTA_DST, (int)size, to->bytes);
	routes->result = 1;
	if (r == 0)
		r = nl_send_auto(routes->socket, msg);
	nlmsg_free(msg);
	if (r >= 0)
		r = nl_recvmsgs_default(routes->socket);
	if (r >= 0 && routes->result == 1)
		r = nl_wait_for_ack(routes->socket);
	if (r < 0 || routes->result != 0)
		return r == -NLE_NOMEM ? -ENOMEM : -ENETUNREACH;
	*ret_route = routes->found;
	return 0;
}
