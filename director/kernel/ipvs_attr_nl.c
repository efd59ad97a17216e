#include "director/kernel/ipvs_attr_nl.h"

#include <assert.h>
#include <errno.h>
#include <linux/ip_vs.h>
#include <netinet/in.h>
#include <netlink/genl/genl.h>

static_assert(FORWARDING_NAT == IP_VS_CONN_F_MASQ, "the kernel's numbers");
static_assert(FORWARDING_LOCAL == IP_VS_CONN_F_LOCALNODE, "the kernel's numbers");
static_assert(FORWARDING_TUNNEL == IP_VS_CONN_F_TUNNEL, "the kernel's numbers");
static_assert(FORWARDING_DIRECT == IP_VS_CONN_F_DROUTE, "the kernel's numbers");
static_assert(FORWARDING_BYPASS == IP_VS_CONN_F_BYPASS, "the kernel's numbers");
static_assert((int)TUNNEL_IPIP == (int)IP_VS_CONN_F_TUNNEL_TYPE_IPIP, "the kernel's numbers");
static_assert((int)TUNNEL_GUE == (int)IP_VS_CONN_F_TUNNEL_TYPE_GUE, "the kernel's numbers");
static_assert((int)TUNNEL_GRE == (int)IP_VS_CONN_F_TUNNEL_TYPE_GRE, "the kernel's numbers");
static_assert(TUNNEL_CSUM == IP_VS_TUNNEL_ENCAP_FLAG_CSUM, "the kernel's numbers");
static_assert(TUNNEL_REMCSUM == IP_VS_TUNNEL_ENCAP_FLAG_REMCSUM, "the kernel's numbers");
static_assert(SERVICE_ONE_PACKET == IP_VS_SVC_F_ONEPACKET, "the kernel's numbers");
static_assert(SERVICE_FLAG_1 == IP_VS_SVC_F_SCHED1, "the kernel's numbers");
static_assert(SERVICE_FLAG_2 == IP_VS_SVC_F_SCHED2, "the kernel's numbers");
static_assert(SERVICE_FLAG_3 == IP_VS_SVC_F_SCHED3, "the kernel's numbers");

static int get_address(const struct nlattr *attr, uint8_t family, struct ip_addr *ret_ip)
{
	struct ip_addr ip = {.family = family};

	if ((family != AF_INET && family != AF_INET6) ||
	    (size_t)nla_len(attr) < ip_addr_size(family))
		return -EPROTO;
	memcpy(ip.bytes, nla_data(attr), ip_addr_size(family));
	*ret_ip = ip;
	return 0;
}

static void get_name(const struct nlattr *attr, char *ret_name, size_t size)
{
	if (attr)
		nla_strlcpy(ret_name, attr, size);
}

static uint64_t get_u64(const struct nlattr *attr)
{
	return attr ? nla_get_u64(attr) : 0;
}

static uint32_t get_u32(const struct nlattr *attr)
{
	return attr ? nla_get_u32(attr) : 0;
}

static uint16_t get_be16(const struct nlattr *attr)
{
	return attr ? ntohs(nla_get_u16(attr)) : 0;
}

static void get_counters(struct nlattr *attr, struct service_counters *ret_counters)
{
	struct nlattr *attrs[IPVS_STATS_ATTR_MAX + 1];

	if (!attr || nla_parse_nested(attrs, IPVS_STATS_ATTR_MAX, attr, NULL) < 0)
		return;
	ret_counters->connections = get_u64(attrs[IPVS_STATS_ATTR_CONNS]);
	ret_counters->in_packets = get_u64(attrs[IPVS_STATS_ATTR_INPKTS]);
	ret_counters->out_packets = get_u64(attrs[IPVS_STATS_ATTR_OUTPKTS]);
	ret_counters->in_bytes = get_u64(attrs[IPVS_STATS_ATTR_INBYTES]);
	ret_counters->out_bytes = get_u64(attrs[IPVS_STATS_ATTR_OUTBYTES]);
}

static int get_key(struct nlattr **attrs, struct service_key *ret_key)
{
	struct service_key key = {0};
	uint8_t family;

	if (!attrs[IPVS_SVC_ATTR_AF])
		return -EPROTO;
	family = (uint8_t)nla_get_u16(attrs[IPVS_SVC_ATTR_AF]);
	key.vip.ip.family = family;
	key.fwmark = get_u32(attrs[IPVS_SVC_ATTR_FWMARK]);
	if (key.fwmark == 0) {
		if (!attrs[IPVS_SVC_ATTR_PROTOCOL] || !attrs[IPVS_SVC_ATTR_ADDR] ||
		    get_address(attrs[IPVS_SVC_ATTR_ADDR], family, &key.vip.ip) < 0)
			return -EPROTO;
		key.protocol = (uint8_t)nla_get_u16(attrs[IPVS_SVC_ATTR_PROTOCOL]);
		key.vip.port = get_be16(attrs[IPVS_SVC_ATTR_PORT]);
	}
	*ret_key = key;
	return 0;
}

int ipvs_attr_get_service(struct nlmsghdr *header, struct service *ret_service)
{
	struct nlattr *top[IPVS_CMD_ATTR_MAX + 1], *attrs[IPVS_SVC_ATTR_MAX + 1];
	struct service service = {0};
	struct ip_vs_flags flags = {0};
	uint32_t netmask;

	if (genlmsg_parse(header, 0, top, IPVS_CMD_ATTR_MAX, NULL) < 0 ||
	    !top[IPVS_CMD_ATTR_SERVICE] ||
	    nla_parse_nested(attrs, IPVS_SVC_ATTR_MAX, top[IPVS_CMD_ATTR_SERVICE], NULL) < 0 ||
	    get_key(attrs, &service.key) < 0 || !attrs[IPVS_SVC_ATTR_FLAGS] ||
	    (size_t)nla_len(attrs[IPVS_SVC_ATTR_FLAGS]) < sizeof(flags))
		return -EPROTO;
	memcpy(&flags, nla_data(attrs[IPVS_SVC_ATTR_FLAGS]), sizeof(flags));
	service.flags = flags.flags & SERVICE_FLAGS;
	get_name(attrs[IPVS_SVC_ATTR_SCHED_NAME], service.scheduler, sizeof(service.scheduler));
	get_name(attrs[IPVS_SVC_ATTR_PE_NAME], service.engine, sizeof(service.engine));
	if (flags.flags & IP_VS_SVC_F_PERSISTENT)
		service.persistence = get_u32(attrs[IPVS_SVC_ATTR_TIMEOUT]);
	netmask = get_u32(attrs[IPVS_SVC_ATTR_NETMASK]);
	service.netmask = service.key.vip.ip.family == AF_INET ? ntohl(netmask) : netmask;
	get_counters(attrs[IPVS_SVC_ATTR_STATS64], &service.counters);
	*ret_service = service;
	return 0;
}

int ipvs_attr_get_real(struct nlmsghdr *header, uint8_t family, struct real_server *ret_real)
{
	struct nlattr *top[IPVS_CMD_ATTR_MAX + 1], *attrs[IPVS_DEST_ATTR_MAX + 1];
	struct real_server real = {0};

	if (genlmsg_parse(header, 0, top, IPVS_CMD_ATTR_MAX, NULL) < 0 ||
	    !top[IPVS_CMD_ATTR_DEST] ||
	    nla_parse_nested(attrs, IPVS_DEST_ATTR_MAX, top[IPVS_CMD_ATTR_DEST], NULL) < 0 ||
	    !attrs[IPVS_DEST_ATTR_ADDR])
		return -EPROTO;
	if (attrs[IPVS_DEST_ATTR_ADDR_FAMILY])
		family = (uint8_t)nla_get_u16(attrs[IPVS_DEST_ATTR_ADDR_FAMILY]);
	if (get_address(attrs[IPVS_DEST_ATTR_ADDR], family, &real.endpoint.ip) < 0)
		return -EPROTO;
	real.endpoint.port = get_be16(attrs[IPVS_DEST_ATTR_PORT]);
	real.weight = get_u32(attrs[IPVS_DEST_ATTR_WEIGHT]);
	real.forwarding =
		(uint8_t)(get_u32(attrs[IPVS_DEST_ATTR_FWD_METHOD]) & IP_VS_CONN_F_FWD_MASK);
	real.upper_threshold = get_u32(attrs[IPVS_DEST_ATTR_U_THRESH]);
	real.lower_threshold = get_u32(attrs[IPVS_DEST_ATTR_L_THRESH]);
	real.active = get_u32(attrs[IPVS_DEST_ATTR_ACTIVE_CONNS]);
	real.inactive = get_u32(attrs[IPVS_DEST_ATTR_INACT_CONNS]);
	real.persistent = get_u32(attrs[IPVS_DEST_ATTR_PERSIST_CONNS]);
	/* Kernels before 5.3 have ipip only, and send none of these. */
	if (attrs[IPVS_DEST_ATTR_TUN_TYPE])
		real.tunnel = nla_get_u8(attrs[IPVS_DEST_ATTR_TUN_TYPE]);
	real.tunnel_port = get_be16(attrs[IPVS_DEST_ATTR_TUN_PORT]);
	if (attrs[IPVS_DEST_ATTR_TUN_FLAGS])
		real.tunnel_flags = (uint8_t)nla_get_u16(attrs[IPVS_DEST_ATTR_TUN_FLAGS]);
	get_counters(attrs[IPVS_DEST_ATTR_STATS64], &real.counters);
	*ret_real = real;
	return 0;
}

static int put_address(struct nl_msg *msg, int type, const struct ip_addr *ip)
{
	return nla_put(msg, type, 16, ip->bytes);
}

/* Netlink attributes fill a page at most and ours are far from it: a failure is out of memory. */
int ipvs_attr_put_service(struct nl_msg *msg, const struct service *service, bool whole)
{
	const struct service_key *key = &service->key;
	struct ip_vs_flags flags = {.flags = service->flags, .mask = UINT32_MAX};
	struct nlattr *nest = nla_nest_start(msg, IPVS_CMD_ATTR_SERVICE);
	bool v6 = key->vip.ip.family == AF_INET6;

	if (!nest)
		return -ENOMEM;
	NLA_PUT_U16(msg, IPVS_SVC_ATTR_AF, key->vip.ip.family);
	if (key->fwmark != 0) {
		NLA_PUT_U32(msg, IPVS_SVC_ATTR_FWMARK, key->fwmark);
	} else {
		NLA_PUT_U16(msg, IPVS_SVC_ATTR_PROTOCOL, key->protocol);
		if (put_address(msg, IPVS_SVC_ATTR_ADDR, &key->vip.ip) < 0)
			return -ENOMEM;
		NLA_PUT_U16(msg, IPVS_SVC_ATTR_PORT, htons(key->vip.port));
	}
	if (whole) {
		if (service->persistence != 0)
			flags.flags |= IP_VS_SVC_F_PERSISTENT;
		NLA_PUT_STRING(msg, IPVS_SVC_ATTR_SCHED_NAME, service->scheduler);
		if (service->engine[0] != '\0')
			NLA_PUT_STRING(msg, IPVS_SVC_ATTR_PE_NAME, service->engine);
		NLA_PUT(msg, IPVS_SVC_ATTR_FLAGS, sizeof(flags), &flags);
		NLA_PUT_U32(msg, IPVS_SVC_ATTR_TIMEOUT, service->persistence);
		NLA_PUT_U32(msg, IPVS_SVC_ATTR_NETMASK,
			    v6 ? service->netmask : htonl(service->netmask));
	}
	nla_nest_end(msg, nest);
	return 0;

nla_put_failure:
	return -ENOMEM;
}

int ipvs_attr_put_real(struct nl_msg *msg, const struct real_server *real, bool whole)
{
	struct nlattr *nest = nla_nest_start(msg, IPVS_CMD_ATTR_DEST);

	if (!nest || put_address(msg, IPVS_DEST_ATTR_ADDR, &real->endpoint.ip) < 0)
		return -ENOMEM;
	NLA_PUT_U16(msg, IPVS_DEST_ATTR_ADDR_FAMILY, real->endpoint.ip.family);
	NLA_PUT_U16(msg, IPVS_DEST_ATTR_PORT, htons(real->endpoint.port));
	if (whole) {
		NLA_PUT_U32(msg, IPVS_DEST_ATTR_FWD_METHOD, real->forwarding);
		NLA_PUT_U32(msg, IPVS_DEST_ATTR_WEIGHT, real->weight);
		NLA_PUT_U32(msg, IPVS_DEST_ATTR_U_THRESH, real->upper_threshold);
		NLA_PUT_U32(msg, IPVS_DEST_ATTR_L_THRESH, real->lower_threshold);
		NLA_PUT_U8(msg, IPVS_DEST_ATTR_TUN_TYPE, real->tunnel);
		NLA_PUT_U16(msg, IPVS_DEST_ATTR_TUN_PORT, htons(real->tunnel_port));
		NLA_PUT_U16(msg, IPVS_DEST_ATTR_TUN_FLAGS, real->tunnel_flags);
	}
	nla_nest_end(msg, nest);
	return 0;

nla_put_failure:
	return -ENOMEM;
}
