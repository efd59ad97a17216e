/* Addresses with a port, as values. Parsing touches memory only: no name is ever looked up. */
#ifndef PROTO_ENDPOINT_H
#define PROTO_ENDPOINT_H

#include "proto/ip_addr.h"

struct endpoint {
	struct ip_addr ip;
	uint16_t port; /* host order */
};

/* Longest text, with brackets, port and the final NUL. */
#define ENDPOINT_TEXT 64

/* "192.0.2.1:80", "[2001:db8::1]:80"; the port is 1 to 65535. 0, or -EINVAL. */
int endpoint_parse(const char *text, struct endpoint *ret_endpoint);

/* Writes at most ENDPOINT_TEXT bytes, always ends with NUL, and returns text. */
char *endpoint_format(const struct endpoint *endpoint, char *text);
/* The same; port 0: the address alone. */
char *endpoint_format_bare(const struct endpoint *endpoint, char *text);

/* A total order, as memcmp(). */
int endpoint_compare(const struct endpoint *a, const struct endpoint *b);

/* The kernel's form. Returns the length used. */
socklen_t endpoint_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *ret_addr);
/* 0, or -EAFNOSUPPORT. */
int endpoint_from_sockaddr(const struct sockaddr *addr, struct endpoint *ret_endpoint);

#endif
