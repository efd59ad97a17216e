/* Checks a service against what the kernel and the peers take, and says what to write instead. */
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>

#include "director/service/service.h"

static int __attribute__((format(printf, 4, 5)))
fault(struct service_fault *ret_fault, const char *key, int real, const char *form, ...)
{
	va_list args;

	ret_fault->key = key;
	ret_fault->real = real;
	va_start(args, form);
	vsnprintf(ret_fault->text, sizeof(ret_fault->text), form, args);
	va_end(args);
	return -EINVAL;
}

static int validate_key(const struct service *service, struct service_fault *ret_fault)
{
	const struct service_key *key = &service->key;
	char text[ENDPOINT_TEXT];

	if (key->vip.ip.family != AF_INET && key->vip.ip.family != AF_INET6)
		return fault(ret_fault, "address", SERVICE_FAULT_OWN,
			     "the service has no address family");
	if (service_mark_is_ours(key->fwmark))
		return fault(ret_fault, "fwmark", SERVICE_FAULT_OWN,
			     "marks from 0x%x to 0x%x are lvsmesh's own, for checks through the "
			     "forwarding path; use another mark",
			     SERVICE_MARK_FIRST, SERVICE_MARK_LAST);
	if (key->fwmark != 0)
		return 0;
	if (ip_addr_unusable(&key->vip.ip))
		return fault(ret_fault, "address", SERVICE_FAULT_OWN,
			     "%s cannot be the address of a service: it is %s; write a unicast "
			     "address",
			     ip_addr_format(&key->vip.ip, text), ip_addr_unusable(&key->vip.ip));
	if (key->vip.port == 0 && service->persistence == 0)
		return fault(ret_fault, "address", SERVICE_FAULT_OWN,
			     "a service on every port (port 0) needs persistence, or one client's "
			     "connections go to different real servers; write persistence: 300s");
	return 0;
}

static int validate_scheduling(const struct service *service, struct service_fault *ret_fault)
{
	bool udp = service->key.fwmark != 0 || service->key.protocol == IPPROTO_UDP;
	bool v6 = service->key.vip.ip.family == AF_INET6;

	if ((service->flags & SERVICE_ONE_PACKET) && !udp)
		return fault(ret_fault, "one-packet", SERVICE_FAULT_OWN,
			     "one-packet scheduling is for udp only; write protocol: udp, or leave "
			     "one-packet out");
	if (service->persistence > SERVICE_PERSISTENCE_MAX)
		return fault(ret_fault, "persistence", SERVICE_FAULT_OWN,
			     "persistence is longer than 31 days; write 744h or less");
	if (service->persistence == 0 &&
	    service->netmask != service_netmask_full(service->key.vip.ip.family))
		return fault(ret_fault, "persistence-netmask", SERVICE_FAULT_OWN,
			     "persistence-netmask does nothing without persistence; write "
			     "persistence: 300s as well");
	if (v6 && (service->netmask < 1 || service->netmask > 128))
		return fault(ret_fault, "persistence-netmask", SERVICE_FAULT_OWN,
			     "the prefix length of an IPv6 service is 1 to 128; write 64");
	if (service->engine[0] != '\0' && service->persistence == 0)
		return fault(ret_fault, "persistence-engine", SERVICE_FAULT_OWN,
			     "persistence-engine does nothing without persistence; write "
			     "persistence: 300s as well");
	if (service->engine[0] != '\0' && !udp)
		return fault(ret_fault, "persistence-engine", SERVICE_FAULT_OWN,
			     "the persistence engine %s reads udp only; write protocol: udp",
			     service->engine);
	return 0;
}

static int validate_tunnel(const struct real_server *real, int index,
			   struct service_fault *ret_fault)
{
	if (real->forwarding != FORWARDING_TUNNEL) {
		if (real->tunnel != TUNNEL_IPIP || real->tunnel_port || real->tunnel_flags)
			return fault(ret_fault, "tunnel", index,
				     "the tunnel's settings do nothing with forwarding %s; write "
				     "forwarding: tunnel",
				     service_forwarding_name(real->forwarding));
		return 0;
	}
	if (real->tunnel == TUNNEL_GUE && real->tunnel_port == 0)
		return fault(ret_fault, "tunnel", index,
			     "a gue tunnel needs the port of the real server's gue socket; write "
			     "tunnel: {type: gue, port: 6080}");
	if (real->tunnel != TUNNEL_GUE && real->tunnel_port != 0)
		return fault(ret_fault, "tunnel", index,
			     "a tunnel of type %s has no port; leave it out, or write type: gue",
			     service_tunnel_name(real->tunnel));
	if (real->tunnel == TUNNEL_IPIP && real->tunnel_flags != 0)
		return fault(
			ret_fault, "tunnel", index,
			"a tunnel of type ipip has no checksum; leave it out, or write type: gue "
			"or type: gre");
	if (real->tunnel == TUNNEL_GRE && (real->tunnel_flags & TUNNEL_REMCSUM))
		return fault(ret_fault, "tunnel", index,
			     "a tunnel of type gre cannot do remcsum; write checksum: csum");
	if (real->tunnel_flags == (TUNNEL_CSUM | TUNNEL_REMCSUM))
		return fault(ret_fault, "tunnel", index,
			     "a tunnel has one kind of checksum; write checksum: csum");
	return 0;
}

static int validate_real(const struct service *service, const struct real_server *real, int index,
			 struct service_fault *ret_fault)
{
	const struct endpoint *vip = &service->key.vip;
	char text[ENDPOINT_TEXT], host[ENDPOINT_TEXT];
	struct endpoint wanted = real->endpoint;

	wanted.port = vip->port;
	ip_addr_format(&real->endpoint.ip, host);
	if (real->endpoint.ip.family != vip->ip.family)
		return fault(ret_fault, "address", index,
			     "%s is IPv%d in an IPv%d service: its connections could not be "
			     "replicated; write an IPv%d address",
			     host, real->endpoint.ip.family == AF_INET6 ? 6 : 4,
			     vip->ip.family == AF_INET6 ? 6 : 4,
			     vip->ip.family == AF_INET6 ? 6 : 4);
	/* The director itself may be one. */
	if (!ip_addr_is_loopback(&real->endpoint.ip) && ip_addr_unusable(&real->endpoint.ip))
		return fault(ret_fault, "address", index,
			     "%s cannot be a real server: it is %s; write a unicast address", host,
			     ip_addr_unusable(&real->endpoint.ip));
	if (vip->port != 0 && real->endpoint.port == 0)
		return fault(ret_fault, "address", index, "real server %s has no port; write %s",
			     host, endpoint_format(&wanted, text));
	if (real->forwarding != FORWARDING_NAT && real->endpoint.port != vip->port)
		return fault(ret_fault, "address", index,
			     "forwarding %s keeps the service's port, so the real server can't use "
			     "port %u; write %s, or forwarding: nat",
			     service_forwarding_name(real->forwarding), real->endpoint.port,
			     vip->port ? endpoint_format(&wanted, text) : host);
	if (real->weight > SERVICE_WEIGHT_MAX)
		return fault(ret_fault, "weight", index, "weight %u is too much; write 0 to %u",
			     real->weight, SERVICE_WEIGHT_MAX);
	/* Since 6.1.192 and 6.12.117 at the latest the kernel takes no more, and says EINVAL. */
	if (real->upper_threshold > INT32_MAX)
		return fault(ret_fault, "upper-threshold", index,
			     "upper-threshold %u is more than the kernel takes; write %d or less",
			     real->upper_threshold, INT32_MAX);
	if (real->lower_threshold > real->upper_threshold)
		return fault(ret_fault, "lower-threshold", index,
			     "lower-threshold %u is above upper-threshold %u; write %u or less",
			     real->lower_threshold, real->upper_threshold, real->upper_threshold);
	return validate_tunnel(real, index, ret_fault);
}

int service_validate(const struct service *service, struct service_fault *ret_fault)
{
	int r = validate_key(service, ret_fault);

	if (r == 0)
		r = validate_scheduling(service, ret_fault);
	for (size_t i = 0; r == 0 && i < service->n_real_servers; i++)
		r = validate_real(service, &service->real_servers[i], (int)i, ret_fault);
	if (r == 0 && service->sorry.endpoint.ip.family != 0)
		r = validate_real(service, &service->sorry, SERVICE_FAULT_SORRY, ret_fault);
	return r;
}
