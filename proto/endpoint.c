#include "proto/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

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

char *endpoint_format(const struct endpoint *endpoint, char *text)
{
	char host[IP_ADDR_TEXT];
	const char *form = endpoint->ip.family == AF_INET6 ? "[%s]:%u" : "%s:%u";

	snprintf(text, ENDPOINT_TEXT, form, ip_addr_format(&endpoint->ip, host), endpoint->port);
	return text;
}

char *endpoint_format_bare(const struct endpoint *endpoint, char *text)
{
	return endpoint->port ? endpoint_format(endpoint, text)
			      : ip_addr_format(&endpoint->ip, text);
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
