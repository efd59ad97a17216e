/* Addresses, and addresses with a port, as values. Parsing touches memory only: no name is ever
 * looked up. */
#ifndef PROTO_ENDPOINT_H
#define PROTO_ENDPOINT_H

#include <stdint.h>
#include <sys/socket.h>

#include "proto/base.h"

/* bytes: network order; IPv4 uses the first four and the rest are zero, so memcmp() compares. */
struct ip_addr {
	uint8_t family; /* AF_INET, AF_INET6; 0: none */
	uint8_t bytes[16];
};

struct endpoint {
	struct ip_addr ip;
	uint16_t port; /* host order */
};

/* Longest text, with brackets, port and the final NUL. */
#define ENDPOINT_TEXT 64

/* "192.0.2.1", "2001:db8::1". 0, or -EINVAL and *ret_ip is untouched. */
int ip_addr_parse(const char *text, struct ip_addr *ret_ip);

/* "192.0.2.1:80", "[2001:db8::1]:80"; the port is 1 to 65535. 0, or -EINVAL. */
int endpoint_parse(const char *text, struct endpoint *ret_endpoint);

/* Why no packet of a connection can be for it or from it: "a multicast address", "an IPv4 address
 * in IPv6's form"...; loopback and IPv6's link-local ones among them. NULL: it is good, judged by
 * the address alone. The texts are literals. */
const char *ip_addr_unusable(const struct ip_addr *ip);
/* 127.0.0.0/8 or ::1. */
bool ip_addr_is_loopback(const struct ip_addr *ip);

/* Both write at most ENDPOINT_TEXT bytes, always end with NUL, and return text. */
char *ip_addr_format(const struct ip_addr *ip, char *text);
char *endpoint_format(const struct endpoint *endpoint, char *text);

/* Total orders, as memcmp(). */
int ip_addr_compare(const struct ip_addr *a, const struct ip_addr *b);
int endpoint_compare(const struct endpoint *a, const struct endpoint *b);

/* The kernel's form. Returns the length used. */
socklen_t endpoint_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *ret_addr);
/* 0, or -EAFNOSUPPORT. */
int endpoint_from_sockaddr(const struct sockaddr *addr, struct endpoint *ret_endpoint);

/* Bytes of an address of this family: 4 or 16. */
static inline size_t ip_family_size(uint8_t family)
{
	return family == AF_INET6 ? 16 : 4;
}

#endif
