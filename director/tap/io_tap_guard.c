#include "director/tap/io_tap_guard.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netlink/route/act/gact.h>
#include <netlink/route/classifier.h>
#include <netlink/route/cls/u32.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/tc.h>

#define INGRESS 0xffff0000u /* the qdisc's handle */
#define SOURCE_AT 12        /* of the IPv4 header */

static int add_ingress(struct nl_sock *sock, int interface)
{
	struct rtnl_qdisc *qdisc = rtnl_qdisc_alloc();
	int r = -NLE_NOMEM;

	if (!qdisc)
		return r;
	rtnl_tc_set_ifindex(TC_CAST(qdisc), interface);
	rtnl_tc_set_parent(TC_CAST(qdisc), TC_H_INGRESS);
	rtnl_tc_set_handle(TC_CAST(qdisc), INGRESS);
	r = rtnl_tc_set_kind(TC_CAST(qdisc), "ingress");
	if (r == 0)
		r = rtnl_qdisc_add(sock, qdisc, NLM_F_CREATE);
	rtnl_qdisc_put(qdisc);
	return r;
}

static int set_action(struct rtnl_cls *filter, int action)
{
	struct rtnl_act *act = rtnl_act_alloc();
	int r = -NLE_NOMEM;

	if (!act)
		return r;
	r = rtnl_tc_set_kind(TC_CAST(act), "gact");
	if (r == 0)
		r = rtnl_gact_set_action(act, action);
	if (r == 0)
		r = rtnl_u32_add_action(filter, act);
	rtnl_act_put(act);
	return r;
}

/* Filters are asked in the order of their priorities; the first that matches decides. */
static int add_filter(struct nl_sock *sock, int interface, uint16_t priority, uint32_t source,
		      uint32_t mask, int action)
{
	struct rtnl_cls *filter = rtnl_cls_alloc();
	int r = -NLE_NOMEM;

	if (!filter)
		return r;
	rtnl_tc_set_ifindex(TC_CAST(filter), interface);
	rtnl_tc_set_parent(TC_CAST(filter), INGRESS);
	rtnl_cls_set_prio(filter, priority);
	rtnl_cls_set_protocol(filter, ETH_P_IP);
	r = rtnl_tc_set_kind(TC_CAST(filter), "u32");
	if (r == 0)
		r = rtnl_u32_add_key_uint32(filter, source, mask, SOURCE_AT, 0);
	if (r == 0)
		r = set_action(filter, action);
	if (r == 0)
		r = rtnl_u32_set_cls_terminal(filter);
	if (r == 0)
		r = rtnl_cls_add(sock, filter, NLM_F_CREATE);
	rtnl_cls_put(filter);
	return r;
}

static void delete_ingress(struct nl_sock *sock, int interface)
{
	struct rtnl_qdisc *qdisc = rtnl_qdisc_alloc();

	if (!qdisc)
		return;
	rtnl_tc_set_ifindex(TC_CAST(qdisc), interface);
	rtnl_tc_set_parent(TC_CAST(qdisc), TC_H_INGRESS);
	/* That there was none is no fault. */
	rtnl_qdisc_delete(sock, qdisc);
	rtnl_qdisc_put(qdisc);
}

int io_tap_guard_count(const char *interface)
{
	struct nl_sock *sock = nl_socket_alloc();
	struct nl_cache *filters = NULL;
	int index = (int)if_nametoindex(interface), count = -EIO;

	if (sock && nl_connect(sock, NETLINK_ROUTE) == 0 &&
	    rtnl_cls_alloc_cache(sock, index, INGRESS, &filters) == 0)
		count = nl_cache_nitems(filters);
	nl_cache_free(filters);
	nl_socket_free(sock);
	return count;
}

int io_tap_guard(const char *interface, uint32_t peer)
{
	struct nl_sock *sock = nl_socket_alloc();
	int index = (int)if_nametoindex(interface);
	int r = sock ? nl_connect(sock, NETLINK_ROUTE) : -NLE_NOMEM;

	if (r == 0) {
		delete_ingress(sock, index);
		r = add_ingress(sock, index);
	}
	if (r == 0)
		r = add_filter(sock, index, 1, peer, UINT32_MAX, TC_ACT_OK);
	if (r == 0)
		r = add_filter(sock, index, 2, 0, 0, TC_ACT_SHOT);
	nl_socket_free(sock);
	return r == 0 ? 0 : -EOPNOTSUPP;
}
