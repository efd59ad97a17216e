#include "proto/endpoint.h"

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

/* Decimal digits only, 1 to 65535; 0 when it is anything else. */
static uint16_t parse_port(const char *text)
{
	uint32_t port = 0;
	size_t n = strspn(text, "0123456789");

	if (n == 0 || n > 5 || text[n] != '\0' || text[0] == '0')
		return 0;
	for (size_t i = 0; i < n; i++)
		port = port * 10 + (uint32_t)(text[i] - '0');
	return port <= UINT16_MAX ? (uint16_t)port : 0;
}

int endpoint_parse(const char *text, struct endpoint *ret_endpoint)
{
	struct endpoint endpoint = {0};
	char host[ENDPOINT_TEXT];
	const char *end, *colon;
	bool bracket = text[0] == '[';

	if (bracket) {
		text++;
		end = strchr(text, ']');
		colon = end ? end + 1 : NULL;
	} else {
		end = colon = strrchr(text, ':');
	}
	if (!end || *colon != ':' || (size_t)(end - text) >= sizeof(host))
		return -EINVAL;
	memcpy(host, text, (size_t)(end - text));
	host[end - text] = '\0';

	endpoint.port = parse_port(colon + 1);
	if (endpoint.port == 0 || ip_addr_parse(host, &endpoint.ip) < 0)
		return -EINVAL;
	if (bracket != (endpoint.ip.family == AF_INET6))
		return -EINVAL;
	*ret_endpoint = endpoint;
	return 0;
}

char *ip_addr_format(const struct ip_addr *ip, char *text)
{
	if (ip->family == 0 || !inet_ntop(ip->family, ip->bytes, text, ENDPOINT_TEXT))
		snprintf(text, ENDPOINT_TEXT, "-");
	return text;
}

char *endpoint_format(const struct endpoint *endpoint, char *text)
{
	char host[INET6_ADDRSTRLEN + 1];
	const char *form = endpoint->ip.family == AF_INET6 ? "[%s]:%u" : "%s:%u";

	if (endpoint->ip.family == 0 ||
	    !inet_ntop(endpoint->ip.family, endpoint->ip.bytes, host, sizeof(host)))
		snprintf(host, sizeof(host), "-");
	snprintf(text, ENDPOINT_TEXT, form, host, endpoint->port);
	return text;
}

int ip_addr_compare(const struct ip_addr *a, const struct ip_addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

int endpoint_compare(const struct endpoint *a, const struct endpoint *b)
{
	int order = ip_addr_compare(&a->ip, &b->ip);

	if (order != 0)
		return order;
	return (a->port > b->port) - (a->port < b->port);
}

socklen_t endpoint_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *ret_addr)
{
	memset(ret_addr, 0, sizeof(*ret_addr));
	if (endpoint->ip.family == AF_INET6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_addr;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(endpoint->port);
		memcpy(&in6->sin6_addr, endpoint->ip.bytes, 16);
		return sizeof(*in6);
	}

	struct sockaddr_in *in = (struct sockaddr_in *)ret_addr;

	in->sin_family = AF_INET;
	in->sin_port = htons(endpoint->port);
	memcpy(&in->sin_addr, endpoint->ip.bytes, 4);
	return sizeof(*in);
}

int endpoint_from_sockaddr(const struct sockaddr *addr, struct endpoint *ret_endpoint)
{
	struct endpoint endpoint = {0};

	if (addr->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)addr;

		endpoint.port = ntohs(in->sin_port);
		memcpy(endpoint.ip.bytes, &in->sin_addr, 4);
	} else if (addr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;

		endpoint.port = ntohs(in6->sin6_port);
		memcpy(endpoint.ip.bytes, &in6->sin6_addr, 16);
	} else {
		return -EAFNOSUPPORT;
	}
	endpoint.ip.family = (uint8_t)addr->sa_family;
	*ret_endpoint = endpoint;
	return 0;
}
