#include "director/tap/tap_packet.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "sync/kernel_wire.h"

#define IP_HEADER 20
#define UDP_HEADER 8
#define TCP_HEADER 20
#define IP_DONT_FRAGMENT 0x4000
/* More fragments, or an offset. */
#define IP_FRAGMENT_MASK 0x3fff

/* More than one: IPVS decrements it, and refuses a TTL of 0. */
#define TTL 64

/* The client's port of the beats' one connection: any would do. */
#define BEAT_CLIENT_PORT 8848

enum { AT_LENGTH = 2, AT_FRAGMENT = 6, AT_TTL = 8, AT_PROTOCOL = 9, AT_SUM = 10 };
enum { AT_SOURCE = 12, AT_TARGET = 16 };

const char *tap_packet_error_name(int error)
{
	static const char *const names[TAP_E_MAX] = {
		[TAP_E_SHORT] = "short",
		[TAP_E_LENGTH] = "length",
		[TAP_E_FRAGMENT] = "fragment",
		[TAP_E_STRANGER] = "unknown-sender",
	};

	return error > 0 && error < TAP_E_MAX ? names[error] : "unknown";
}

static int parse_sync(const struct tap_net *net, const uint8_t *udp, size_t len,
		      struct tap_packet *ret_packet)
{
	if (len < UDP_HEADER)
		return TAP_E_SHORT;
	if (load_be16(udp) != net->master_port)
		return TAP_E_STRANGER;
	if (load_be16(udp + 4) != len)
		return TAP_E_LENGTH;
	*ret_packet = (struct tap_packet){
		.kind = TAP_SYNC,
		.payload = udp + UDP_HEADER,
		.payload_len = len - UDP_HEADER,
	};
	return 0;
}

static int parse_echo(const uint8_t *tcp, size_t len, struct tap_packet *ret_packet)
{
	if (len < TCP_HEADER)
		return TAP_E_SHORT;
	*ret_packet = (struct tap_packet){.kind = TAP_ECHO, .beat = load_be32(tcp + 4)};
	return 0;
}

static bool is_sync(const struct tap_net *net, const uint8_t *ip, const uint8_t *udp)
{
	return ip[AT_PROTOCOL] == IPPROTO_UDP && load_be32(ip + AT_SOURCE) == net->own &&
	       load_be32(ip + AT_TARGET) == net->group && load_be16(udp + 2) == net->port;
}

/* Direct routing changes only the packet's next hop. */
static bool is_echo(const struct tap_net *net, const uint8_t *ip, const uint8_t *tcp)
{
	return ip[AT_PROTOCOL] == IPPROTO_TCP && load_be32(ip + AT_SOURCE) == net->peer &&
	       load_be32(ip + AT_TARGET) == net->own && load_be16(tcp) == BEAT_CLIENT_PORT &&
	       load_be16(tcp + 2) == net->beat_port;
}

int tap_packet_parse(const struct tap_net *net, const uint8_t *data, size_t len,
		     struct tap_packet *ret_packet)
{
	size_t header;

	if (len < 1)
		return TAP_E_SHORT;
	if (data[0] >> 4 != 4) {
		*ret_packet = (struct tap_packet){.kind = TAP_FOREIGN};
		return 0;
	}
	header = (size_t)(data[0] & 15) * 4;
	if (len < IP_HEADER)
		return TAP_E_SHORT;
	if (header < IP_HEADER || load_be16(data + AT_LENGTH) != len)
		return TAP_E_LENGTH;
	if (header + 4 > len) {
		*ret_packet = (struct tap_packet){.kind = TAP_FOREIGN};
		return 0;
	}
	if (is_sync(net, data, data + header) || is_echo(net, data, data + header)) {
		if (load_be16(data + AT_FRAGMENT) & IP_FRAGMENT_MASK)
			return TAP_E_FRAGMENT;
		return data[AT_PROTOCOL] == IPPROTO_UDP
			       ? parse_sync(net, data + header, len - header, ret_packet)
			       : parse_echo(data + header, len - header, ret_packet);
	}
	*ret_packet = (struct tap_packet){.kind = TAP_FOREIGN};
	return 0;
}

bool tap_packet_is_own(const struct tap_net *net, const uint8_t *payload, size_t len)
{
	/* IPv4, TCP, the service's address and port; see kernel_wire.c for the fields. */
	const uint8_t *entry = payload + KERNEL_WIRE_HEADER;

	return len == KERNEL_WIRE_HEADER + KERNEL_WIRE_V4 && entry[0] == 0 &&
	       entry[1] == IPPROTO_TCP && load_be16(entry + 12) == net->beat_port &&
	       load_be32(entry + 28) == net->own;
}

static uint32_t sum16(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += load_be16(p + i);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put_ip(uint8_t *p, uint8_t protocol, uint32_t source, uint32_t target, size_t len)
{
	memset(p, 0, IP_HEADER);
	p[0] = 4 << 4 | IP_HEADER / 4;
	store_be16(p + AT_LENGTH, (uint16_t)len);
	store_be16(p + AT_FRAGMENT, IP_DONT_FRAGMENT);
	p[AT_TTL] = TTL;
	p[AT_PROTOCOL] = protocol;
	store_be32(p + AT_SOURCE, source);
	store_be32(p + AT_TARGET, target);
	store_be16(p + AT_SUM, fold(sum16(p, IP_HEADER, 0)));
}

void tap_packet_sync_header(const struct tap_net *net, uint8_t *header, size_t payload_len)
{
	uint8_t *udp = header + IP_HEADER;

	put_ip(header, IPPROTO_UDP, net->peer, net->group, TAP_SYNC_HEADER + payload_len);
	store_be16(udp, net->port);
	store_be16(udp + 2, net->port);
	store_be16(udp + 4, (uint16_t)(UDP_HEADER + payload_len));
	store_be16(udp + 6, 0); /* no checksum */
}

void tap_packet_beat(const struct tap_net *net, uint8_t *packet, uint32_t beat)
{
	static const uint8_t cycle[TAP_BEAT_CYCLE] = {TH_SYN, TH_ACK, TH_FIN | TH_ACK};
	uint8_t *tcp = packet + IP_HEADER;
	uint32_t sum;

	put_ip(packet, IPPROTO_TCP, net->peer, net->own, TAP_BEAT_SIZE);
	memset(tcp, 0, TCP_HEADER);
	store_be16(tcp, BEAT_CLIENT_PORT);
	store_be16(tcp + 2, net->beat_port);
	store_be32(tcp + 4, beat);
	tcp[12] = TCP_HEADER / 4 << 4;
	tcp[13] = cycle[beat % TAP_BEAT_CYCLE];
	store_be16(tcp + 14, UINT16_MAX);
	sum = sum16(packet + AT_SOURCE, 8, IPPROTO_TCP + TCP_HEADER);
	store_be16(tcp + 16, fold(sum16(tcp, TCP_HEADER, sum)));
}
