#include "proto/ip_addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

int ip_addr_parse(const char *text, struct ip_addr *ret_ip)
{
	struct ip_addr ip = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};

	if (inet_pton(ip.family, text, ip.bytes) != 1)
		return -EINVAL;
	*ret_ip = ip;
	return 0;
}

bool ip_addr_is_loopback(const struct ip_addr *ip)
{
	static const uint8_t v6[16] = {[15] = 1};

	return ip->family == AF_INET6 ? memcmp(ip->bytes, v6, 16) == 0 : ip->bytes[0] == 127;
}

static const char *v4_unusable(const uint8_t *bytes)
{
	static const uint8_t broadcast[4] = {255, 255, 255, 255};

	if (bytes[0] == 0)
		return "not a host's address (0.0.0.0/8)";
	if ((bytes[0] & 0xf0) == 0xe0)
		return "a multicast address";
	return memcmp(bytes, broadcast, 4) == 0 ? "the broadcast address" : NULL;
}

static const char *v6_unusable(const uint8_t *bytes)
{
	static const uint8_t zero[16], mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (memcmp(bytes, zero, 16) == 0)
		return "not a host's address (::)";
	if (bytes[0] == 0xff)
		return "a multicast address";
	if (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80)
		return "a link-local address";
	return memcmp(bytes, mapped, 12) == 0 ? "an IPv4 address in IPv6's form" : NULL;
}

const char *ip_addr_unusable(const struct ip_addr *ip)
{
	if (ip_addr_is_loopback(ip))
		return "a loopback address";
	return ip->family == AF_INET6 ? v6_unusable(ip->bytes) : v4_unusable(ip->bytes);
}

char *ip_addr_format(const struct ip_addr *ip, char *text)
{
	if (ip->family == 0 || !inet_ntop(ip->family, ip->bytes, text, IP_ADDR_TEXT))
		snprintf(text, IP_ADDR_TEXT, "-");
	return text;
}

int ip_addr_compare(const struct ip_addr *a, const struct ip_addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}
