#include "director/icmp_echo.h"

#include <sys/socket.h>

#define ECHO_REQUEST 8
#define ECHO_REPLY 0
#define ECHO6_REQUEST 128
#define ECHO6_REPLY 129
#define SEQUENCE 6
#define COOKIE 8

static uint16_t checksum(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += load_be16(data + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void icmp_echo_request(uint8_t family, uint16_t identifier, uint16_t sequence, uint64_t cookie,
		       uint8_t packet[ICMP_ECHO_SIZE])
{
	memset(packet, 0, ICMP_ECHO_SIZE);
	packet[0] = family == AF_INET6 ? ECHO6_REQUEST : ECHO_REQUEST;
	store_be16(packet + 4, identifier);
	store_be16(packet + SEQUENCE, sequence);
	store_le64(packet + COOKIE, cookie);
	if (family != AF_INET6)
		store_be16(packet + 2, checksum(packet, ICMP_ECHO_SIZE));
}

bool icmp_echo_is_reply(uint8_t family, bool header, uint16_t sequence, uint64_t cookie,
			const uint8_t *data, size_t len)
{
	if (header && family == AF_INET) {
		size_t skip = len > 0 ? (size_t)(data[0] & 15) * 4 : 0;

		if (skip < 20 || skip > len)
			return false;
		data += skip;
		len -= skip;
	}
	return len == ICMP_ECHO_SIZE &&
	       data[0] == (family == AF_INET6 ? ECHO6_REPLY : ECHO_REPLY) && data[1] == 0 &&
	       load_be16(data + SEQUENCE) == sequence && load_le64(data + COOKIE) == cookie;
}
