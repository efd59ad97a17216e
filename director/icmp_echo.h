/* ICMP echo, as packets: made and recognised. Memory only. */
#ifndef DIRECTOR_ICMP_ECHO_H
#define DIRECTOR_ICMP_ECHO_H

#include "proto/base.h"

/* Type, code, checksum, identifier, sequence number; and a cookie that only the request's receiver
 * can return. */
#define ICMP_ECHO_SIZE 16

/* The checksum of ICMP for IPv4; for IPv6 the kernel makes it, which knows the addresses. The
 * identifier is the kernel's to choose on an unprivileged socket. */
void icmp_echo_request(uint8_t family, uint16_t identifier, uint16_t sequence, uint64_t cookie,
		       uint8_t packet[ICMP_ECHO_SIZE]);

/* Whether the packet is the answer to that one. header: an IPv4 header is before it, as on a raw
 * socket. */
bool icmp_echo_is_reply(uint8_t family, bool header, uint16_t sequence, uint64_t cookie,
			const uint8_t *data, size_t len);

#endif
