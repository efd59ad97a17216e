#include "director/rtnl/vip_nl.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <stdio.h>

#include "director/rtnl/vip_route_nl.h"

struct work {
	const char *interface;
	struct nl_sock *socket;
	struct nl_cache *present; /* all addresses of the host */
	int ifindex;
	struct vip_changes changes;
	struct fault *error;
	int first_error;
};

/* nle: libnl's, which are fewer than errno's. vip: NULL when it is about the interface. */
static void blame(struct work *work, int nle, const char *what, const struct ip_addr *vip)
{
	const char *why = nl_geterror(nle), *remedy = "see ip address";
	char text[ENDPOINT_TEXT + 8] = "";
	int error = -EIO;

	if (work->first_error < 0)
		return;
	if (vip) {
		ip_addr_format(vip, text);
		strcat(text, " on ");
	}
	switch (-nle) {
	case NLE_PERM:
	case NLE_NOACCESS:
		error = -EPERM;
		why = "not permitted";
		remedy = "run lvsmeshd as root or with CAP_NET_ADMIN";
		break;
	case NLE_OPNOTSUPP:
		error = -EOPNOTSUPP;
		if (!vip) {
			why = "this kernel has no dummy interfaces";
			remedy = "run modprobe dummy";
		}
		break;
	case NLE_NOMEM:
		error = -ENOMEM;
		break;
	}
	work->first_error = fault_set(work->error, error, "%s %s%s: %s; %s", what, text,
				      work->interface, why, remedy);
}

/* The interface's number in work, or 0: there is none. */
static int find_interface(struct work *work, bool *ret_up)
{
	struct rtnl_link *link = NULL;
	int r = rtnl_link_get_kernel(work->socket, 0, work->interface, &link);

	if (r == -NLE_NODEV || r == -NLE_OBJ_NOTFOUND) {
		work->ifindex = 0;
		return 0;
	}
	if (r < 0)
		return r;
	work->ifindex = rtnl_link_get_ifindex(link);
	*ret_up = (rtnl_link_get_flags(link) & IFF_UP) != 0;
	rtnl_link_put(link);
	return 0;
}

static int make_interface(struct work *work)
{
	struct rtnl_link *link = rtnl_link_alloc();
	int r;

	if (!link)
		return -NLE_NOMEM;
	rtnl_link_set_name(link, work->interface);
	r = rtnl_link_set_type(link, "dummy");
	if (r == 0)
		r = rtnl_link_add(work->socket, link, NLM_F_CREATE | NLM_F_EXCL);
	rtnl_link_put(link);
	work->changes.made = r == 0;
	return r;
}

static int set_up(struct work *work)
{
	struct rtnl_link *old = rtnl_link_alloc(), *new = rtnl_link_alloc();
	int r = -NLE_NOMEM;

	if (old && new) {
		rtnl_link_set_ifindex(old, work->ifindex);
		rtnl_link_set_flags(new, IFF_UP);
		r = rtnl_link_change(work->socket, old, new, 0);
	}
	rtnl_link_put(old);
	rtnl_link_put(new);
	return r;
}

static int open_interface(struct work *work, bool wanted)
{
	bool up = false;
	int r = find_interface(work, &up);

	if (r == 0 && work->ifindex == 0 && wanted) {
		r = make_interface(work);
		if (r == 0)
			r = find_interface(work, &up);
	}
	if (r == 0 && work->ifindex != 0 && wanted && !up)
		r = set_up(work);
	return r;
}

static struct rtnl_addr *new_addr(const struct work *work, const struct ip_addr *vip)
{
	size_t size = ip_addr_size(vip->family);
	struct nl_addr *local = nl_addr_build(vip->family, vip->bytes, size);
	struct rtnl_addr *addr = rtnl_addr_alloc();

	if (!local || !addr || rtnl_addr_set_local(addr, local) < 0) {
		rtnl_addr_put(addr);
		addr = NULL;
	} else {
		rtnl_addr_set_ifindex(addr, work->ifindex);
		rtnl_addr_set_prefixlen(addr, (int)(8 * size));
	}
	nl_addr_put(local);
	return addr;
}

static bool is_address(struct rtnl_addr *addr, const struct ip_addr *vip)
{
	struct nl_addr *local = rtnl_addr_get_local(addr);

	return local && nl_addr_get_family(local) == vip->family &&
	       memcmp(nl_addr_get_binary_addr(local), vip->bytes, ip_addr_size(vip->family)) == 0;
}

static bool is_present(const struct work *work, const struct ip_addr *vip)
{
	struct nl_object *object = nl_cache_get_first(work->present);

	for (; object; object = nl_cache_get_next(object)) {
		struct rtnl_addr *addr = (struct rtnl_addr *)object;

		if (rtnl_addr_get_ifindex(addr) == work->ifindex &&
		    rtnl_addr_get_prefixlen(addr) == (int)(8 * ip_addr_size(vip->family)) &&
		    is_address(addr, vip))
			return true;
	}
	return false;
}

static bool has(struct vip_list list, const struct ip_addr *vip)
{
	for (size_t i = 0; i < list.count; i++)
		if (ip_addr_compare(&list.vips[i], vip) == 0)
			return true;
	return false;
}

static void add(struct work *work, const struct ip_addr *vip)
{
	struct rtnl_addr *addr = new_addr(work, vip);
	int r = -NLE_NOMEM;

	if (addr) {
		rtnl_addr_set_flags(addr, IFA_F_NOPREFIXROUTE |
						  (vip->family == AF_INET6 ? IFA_F_NODAD : 0u));
		r = rtnl_addr_add(work->socket, addr, 0);
	}
	rtnl_addr_put(addr);
	if (r < 0 && r != -NLE_EXIST)
		blame(work, r, "add", vip);
	else
		work->changes.added++;
}

/* True for ours, or an interface without a network: there an address only draws traffic. */
static bool may_take_off(struct work *work, int ifindex)
{
	struct rtnl_link *link = NULL;
	const char *type;
	bool may;

	if (ifindex == work->ifindex)
		return true;
	if (rtnl_link_get_kernel(work->socket, ifindex, NULL, &link) < 0)
		return false;
	type = rtnl_link_get_type(link);
	may = (rtnl_link_get_flags(link) & IFF_LOOPBACK) || (type && strcmp(type, "dummy") == 0);
	rtnl_link_put(link);
	return may;
}

/* Reports the address and leaves it alone: this host may be reached by it. */
static void elsewhere(struct work *work, const struct ip_addr *vip, int ifindex)
{
	char text[ENDPOINT_TEXT], name[IFNAMSIZ] = "?";

	if (work->first_error < 0)
		return;
	if_indextoname((unsigned int)ifindex, name);
	work->first_error = fault_set(
		work->error, -EADDRINUSE,
		"%s is on %s too, where it still draws traffic; to remove it: ip address del %s "
		"dev %s",
		ip_addr_format(vip, text), name, text, name);
}

/* Takes off any process's address, with any prefix. */
static void take_off(struct work *work, const struct ip_addr *vip, bool keep_local)
{
	struct nl_object *object = nl_cache_get_first(work->present);
	int r = 0;

	for (; object; object = nl_cache_get_next(object)) {
		struct rtnl_addr *addr = (struct rtnl_addr *)object;
		int ifindex = rtnl_addr_get_ifindex(addr);

		if (!is_address(addr, vip))
			continue;
		if (!may_take_off(work, ifindex)) {
			elsewhere(work, vip, ifindex);
			continue;
		}
		if (keep_local)
			r = vip_route_add(work->socket, vip);
		if (r < 0)
			blame(work, r, "keep local", vip);
		r = rtnl_addr_delete(work->socket, addr, 0);
		if (r < 0 && r != -NLE_NOADDR)
			blame(work, r, "take off", vip);
		else
			work->changes.removed++;
		r = 0;
	}
}

static int open_socket(struct nl_sock **ret_socket, struct fault *ret_error)
{
	struct nl_sock *socket = nl_socket_alloc();
	int r;

	ret_error->text[0] = '\0';
	errno = ENOBUFS;
	if (socket && nl_connect(socket, NETLINK_ROUTE) == 0) {
		*ret_socket = socket;
		return 0;
	}
	r = negative_errno(); /* libnl's own number keeps less */
	fault_set(ret_error, r, "netlink socket: %s; see the limits of lvsmeshd", strerror(-r));
	nl_socket_free(socket);
	return r;
}

int vip_apply(const char *interface, struct vip_list wanted, struct vip_list ours, bool keep_local,
	      struct vip_changes *ret_changes, struct fault *ret_error)
{
	struct work work = {.interface = interface, .error = ret_error};
	int r = open_socket(&work.socket, ret_error);

	*ret_changes = work.changes;
	if (r < 0)
		return r;
	r = open_interface(&work, wanted.count > 0);
	if (r == 0)
		r = rtnl_addr_alloc_cache(work.socket, &work.present);
	if (r < 0)
		blame(&work, r, "prepare the interface", NULL);
	for (size_t i = 0; r == 0 && i < wanted.count; i++)
		if (!is_present(&work, &wanted.vips[i]))
			add(&work, &wanted.vips[i]);
	for (size_t i = 0; r == 0 && i < ours.count; i++)
		if (!has(wanted, &ours.vips[i]))
			take_off(&work, &ours.vips[i], keep_local);
	nl_cache_free(work.present);
	nl_socket_free(work.socket);
	*ret_changes = work.changes;
	return work.first_error;
}

int vip_release(struct vip_list vips, struct fault *ret_error)
{
	struct nl_sock *socket;
	int r = open_socket(&socket, ret_error), first = 0;

	if (r < 0)
		return r;
	for (size_t i = 0; i < vips.count; i++) {
		r = vip_route_remove(socket, &vips.vips[i]);
		if (r < 0 && first == 0)
			first = r;
	}
	nl_socket_free(socket);
	if (first == 0)
		return 0;
	return fault_set(ret_error, -EIO,
			 "routes of withdrawn VIPs: %s; see ip route show table local",
			 nl_geterror(first));
}
