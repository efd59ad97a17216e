/*
 * lagwatch INTERFACE: reports each connection entry in the IPVS sync messages that pass an
 * interface.
 * lagwatch --handshakes INTERFACE: reports the third packet of TCP handshakes that leave it.
 *
 * A measuring instrument for the lab, so it shares no code with what it measures. Writes a JSON
 * line for each entry: the kernel's time stamp of the datagram (`at`, us of CLOCK_REALTIME), its
 * direction (`out` of the kernel's master thread, or `in` to its backup thread), and the entry.
 * For a handshake, a line "handshake" with `at`, `source` and `port` for each packet that may be
 * the third one: the first of a connection is.
 * Ends on SIGTERM with a line of counters; `dropped` is what it missed itself.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SYNC_PORT 8848
#define HEADER_LEN 8u
#define ENTRY_LEN_IPV4 36u
#define ENTRY_LEN_IPV6 72u
#define ENTRY_IPV6 0x01

static volatile sig_atomic_t stopping;

static void on_term(int number)
{
	(void)number;
	stopping = 1;
}

static unsigned int be16_at(const unsigned char *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static unsigned int be32_at(const unsigned char *p)
{
	return be16_at(p) << 16 | be16_at(p + 2);
}

static void entry_print(const unsigned char *e, long long at, bool outgoing)
{
	int family = e[0] & ENTRY_IPV6 ? AF_INET6 : AF_INET;
	size_t address_len = family == AF_INET6 ? 16 : 4;
	char caddr[64], vaddr[64], daddr[64];

	inet_ntop(family, e + 24, caddr, sizeof(caddr));
	inet_ntop(family, e + 24 + address_len, vaddr, sizeof(vaddr));
	inet_ntop(family, e + 24 + 2 * address_len, daddr, sizeof(daddr));
	printf("{\"event\": \"entry\", \"at\": %lld, \"direction\": \"%s\", \"protocol\": %u, "
	       "\"flags\": %u, \"state\": %u, \"timeout\": %u, \"caddr\": \"%s\", \"cport\": %u, "
	       "\"vaddr\": \"%s\", \"vport\": %u, \"daddr\": \"%s\", \"dport\": %u}\n",
	       at, outgoing ? "out" : "in", e[1], be32_at(e + 4), be16_at(e + 8), be32_at(e + 20),
	       caddr, be16_at(e + 10), vaddr, be16_at(e + 12), daddr, be16_at(e + 14));
}

/* False if the message's own lengths don't fit it. */
static bool message_print(const unsigned char *m, size_t len, long long at, bool outgoing)
{
	size_t offset = HEADER_LEN, entry_len;
	unsigned int i;

	if (len < HEADER_LEN || m[0] != 0 || be16_at(m + 2) != len || m[5] != 1)
		return false;
	for (i = 0; i < m[4]; i++) {
		if (offset + ENTRY_LEN_IPV4 > len)
			return false;
		entry_len = be16_at(m + offset + 2) & 0xfff;
		if (entry_len < (m[offset] & ENTRY_IPV6 ? ENTRY_LEN_IPV6 : ENTRY_LEN_IPV4) ||
		    offset + entry_len > len)
			return false;
		entry_print(m + offset, at, outgoing);
		offset += (entry_len + 3) & ~(size_t)3;
	}
	return true;
}

/* 0: not a sync message. */
static size_t payload_find(const unsigned char *packet, size_t len, size_t *ret_offset)
{
	struct iphdr ip;
	struct udphdr udp;
	size_t offset;

	if (len < sizeof(ip) + sizeof(udp))
		return 0;
	memcpy(&ip, packet, sizeof(ip));
	offset = ip.ihl * 4u;
	if (ip.version != 4 || ip.protocol != IPPROTO_UDP || len < offset + sizeof(udp))
		return 0;
	memcpy(&udp, packet + offset, sizeof(udp));
	if (ntohs(udp.dest) != SYNC_PORT || ntohs(udp.len) > len - offset ||
	    ntohs(udp.len) < sizeof(udp))
		return 0;
	*ret_offset = offset + sizeof(udp);
	return ntohs(udp.len) - sizeof(udp);
}

/* A bare acknowledgement: neither SYN, FIN nor RST, and without data. */
static bool handshake_print(const unsigned char *packet, size_t len, long long at)
{
	bool v6 = len && packet[0] >> 4 == 6;
	size_t header = v6 ? 40 : len ? (packet[0] & 15) * 4u : 0;
	size_t size = len < 20 ? 0 : v6 ? 40u + be16_at(packet + 4) : be16_at(packet + 2);
	char source[INET6_ADDRSTRLEN];

	if (len < header + 20 || packet[v6 ? 6 : 9] != IPPROTO_TCP ||
	    (packet[header + 13] & 0x17) != 0x10 ||
	    size != header + (packet[header + 12] >> 4) * 4u)
		return false;
	inet_ntop(v6 ? AF_INET6 : AF_INET, packet + (v6 ? 8 : 12), source, sizeof(source));
	printf("{\"event\": \"handshake\", \"at\": %lld, \"source\": \"%s\", \"port\": %u}\n", at,
	       source, be16_at(packet + header));
	return true;
}

static long long stamp_us(struct msghdr *message)
{
	struct cmsghdr *c;
	struct timespec t = {0};

	for (c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS)
			memcpy(&t, CMSG_DATA(c), sizeof(t));
	return (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int interface_open(const char *name)
{
	struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL));
	int on = 1, size = 64 << 20;
	struct timeval wait = {.tv_usec = 100000}; /* a signal is noticed at the latest then */

	where.sll_ifindex = (int)if_nametoindex(name);
	if (fd < 0 || !where.sll_ifindex)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&where, sizeof(where)))
		return -1;
	return fd;
}

static void interface_watch(int fd, bool handshakes, unsigned long *ret_messages,
			    unsigned long *ret_malformed)
{
	static unsigned char packet[65536];
	char control[256];
	struct sockaddr_ll from;
	struct iovec io = {packet, sizeof(packet)};
	struct msghdr message;
	size_t offset, len;
	ssize_t n;

	*ret_messages = *ret_malformed = 0;
	while (!stopping) {
		message = (struct msghdr){.msg_name = &from,
					  .msg_namelen = sizeof(from),
					  .msg_iov = &io,
					  .msg_iovlen = 1,
					  .msg_control = control,
					  .msg_controllen = sizeof(control)};
		n = recvmsg(fd, &message, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN) {
			fflush(stdout);
			n = recvmsg(fd, &message, 0);
		}
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return;
		if (handshakes) {
			if (from.sll_pkttype == PACKET_OUTGOING)
				*ret_messages +=
					handshake_print(packet, (size_t)n, stamp_us(&message));
			continue;
		}
		len = payload_find(packet, (size_t)n, &offset);
		if (!len)
			continue;
		++*ret_messages;
		*ret_malformed += !message_print(packet + offset, len, stamp_us(&message),
						 from.sll_pkttype == PACKET_OUTGOING);
	}
}

int main(int argc, char **argv)
{
	struct sigaction term = {.sa_handler = on_term};
	unsigned long messages, malformed;
	struct tpacket_stats stats = {0};
	socklen_t len = sizeof(stats);
	bool handshakes = argc == 3 && !strcmp(argv[1], "--handshakes");
	int fd;

	if (argc != 2 && !handshakes) {
		fprintf(stderr, "usage: lagwatch [--handshakes] INTERFACE\n");
		return 2;
	}
	sigaction(SIGTERM, &term, NULL);
	sigaction(SIGINT, &term, NULL);
	fd = interface_open(argv[argc - 1]);
	if (fd < 0) {
		fprintf(stderr, "lagwatch: %s: %s\n", argv[argc - 1], strerror(errno));
		return 1;
	}
	puts("{\"event\": \"ready\"}");
	fflush(stdout);
	interface_watch(fd, handshakes, &messages, &malformed);
	getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len);
	printf("{\"event\": \"end\", \"messages\": %lu, \"malformed\": %lu, \"dropped\": %u}\n",
	       messages, malformed, stats.tp_drops);
	return 0;
}
