/* IPv4 and IPv6 addresses as values. Parsing touches memory only: no name is ever looked up. */
#ifndef PROTO_IP_ADDR_H
#define PROTO_IP_ADDR_H

#include <stdint.h>
#include <sys/socket.h>

#include "proto/base.h"

/* bytes: network order; IPv4 uses the first four and the rest are zero, so memcmp() compares. */
struct ip_addr {
	uint8_t family; /* AF_INET, AF_INET6; 0: none */
	uint8_t bytes[16];
};

/* Longest text, with the final NUL. */
#define IP_ADDR_TEXT 46

/* "192.0.2.1", "2001:db8::1". 0, or -EINVAL and *ret_ip is untouched. */
int ip_addr_parse(const char *text, struct ip_addr *ret_ip);

/* Writes at most IP_ADDR_TEXT bytes, always ends with NUL, and returns text. */
char *ip_addr_format(const struct ip_addr *ip, char *text);

/* Why no packet of a connection can be for it or from it: "a multicast address", "an IPv4 address
 * in IPv6's form"...; loopback and IPv6's link-local ones among them. NULL: it is good, judged by
 * the address alone. The texts are literals. */
const char *ip_addr_unusable(const struct ip_addr *ip);
/* 127.0.0.0/8 or ::1. */
bool ip_addr_is_loopback(const struct ip_addr *ip);

/* A total order, as memcmp(). */
int ip_addr_compare(const struct ip_addr *a, const struct ip_addr *b);

/* Bytes of an address of this family: 4 or 16. */
static inline size_t ip_addr_size(uint8_t family)
{
	return family == AF_INET6 ? 16 : 4;
}

#endif
