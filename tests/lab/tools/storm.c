/*
 * storm --interface NAME --to-mac MAC --to ADDRESS --port PORT --count N [--rate N] [--udp]
 *	[--again N]
 *
 * Sends N first packets, TCP's SYN or a datagram of UDP, from as many clients that do not exist
 * (198.18.0.0/15), straight to a neighbour: no route or bridge is in the way. IPv4 only. rate: a
 * second; 0: as fast as can be. again: the clients begin anew after so many.
 *
 * Writes the JSON lines {"event": "began"} and {"event": "sent", "packets", "seconds"}.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64u
#define CLIENTS UINT32_C(0xc6120000) /* 198.18.0.0/15 */
#define SPREAD UINT32_C(0x9e3779b1)

struct packet {
	struct ether_header ether;
	struct iphdr ip;
	union {
		struct tcphdr tcp;
		struct udphdr udp;
	};
} __attribute__((packed));

struct options {
	int interface;
	uint8_t mac[6];
	uint32_t to; /* network order */
	uint16_t port;
	uint64_t count, rate, again;
	bool udp;
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* len must be even. */
static uint32_t sum(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	return sum;
}

static uint16_t checksum(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* The number-th client's; no two of 2^32 in a row are of one address and port, if ports allow. */
static size_t packet_make(struct packet *p, const struct options *options, uint64_t number)
{
	uint32_t client = (uint32_t)number * SPREAD;
	uint16_t port = (uint16_t)(1024 + (number >> 17) % 64000);
	size_t len = options->udp ? sizeof(p->udp) : sizeof(p->tcp);
	uint32_t pseudo;

	memset(p, 0, sizeof(*p));
	memcpy(p->ether.ether_dhost, options->mac, sizeof(options->mac));
	p->ether.ether_type = htons(ETHERTYPE_IP);
	p->ip.version = 4;
	p->ip.ihl = 5;
	p->ip.tot_len = htons((uint16_t)(sizeof(p->ip) + len));
	p->ip.ttl = 64;
	p->ip.protocol = options->udp ? IPPROTO_UDP : IPPROTO_TCP;
	p->ip.saddr = htonl(CLIENTS | (client & 0x1ffff));
	p->ip.daddr = options->to;
	p->ip.check = checksum(sum(0, &p->ip, sizeof(p->ip)));
	if (options->udp) {
		p->udp.source = htons(port);
		p->udp.dest = htons(options->port);
		p->udp.len = htons((uint16_t)len);
		return sizeof(p->ether) + sizeof(p->ip) + len;
	}
	p->tcp.source = htons(port);
	p->tcp.dest = htons(options->port);
	p->tcp.seq = htonl(client);
	p->tcp.doff = sizeof(p->tcp) / 4;
	p->tcp.syn = 1;
	p->tcp.window = htons(8192);
	pseudo = sum(sum(0, &p->ip.saddr, 8), &p->tcp, sizeof(p->tcp));
	p->tcp.check = checksum(pseudo + IPPROTO_TCP + (uint32_t)len);
	return sizeof(p->ether) + sizeof(p->ip) + len;
}

/* Returns how many were sent. */
static unsigned int batch_send(int fd, const struct options *options, uint64_t first,
			       unsigned int count)
{
	static struct packet packets[BATCH];
	static struct mmsghdr messages[BATCH];
	static struct iovec pieces[BATCH];
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_IP),
				 .sll_ifindex = options->interface,
				 .sll_halen = 6};
	int sent;

	memcpy(to.sll_addr, options->mac, sizeof(options->mac));
	for (unsigned int i = 0; i < count; i++) {
		uint64_t number = options->again ? (first + i) % options->again : first + i;

		pieces[i].iov_base = &packets[i];
		pieces[i].iov_len = packet_make(&packets[i], options, number);
		messages[i].msg_hdr = (struct msghdr){.msg_name = &to,
						      .msg_namelen = sizeof(to),
						      .msg_iov = &pieces[i],
						      .msg_iovlen = 1};
	}
	sent = sendmmsg(fd, messages, count, 0);
	if (sent < 0 && errno != ENOBUFS && errno != EAGAIN) {
		perror("storm: sendmmsg");
		exit(1);
	}
	return sent < 0 ? 0 : (unsigned int)sent;
}

static void storm(int fd, const struct options *options)
{
	uint64_t start = now_us(), sent = 0;

	puts("{\"event\": \"began\"}");
	while (sent < options->count) {
		uint64_t due = options->count;

		if (options->rate)
			due = (now_us() - start) * options->rate / 1000000u;
		if (due > options->count)
			due = options->count;
		if (due <= sent) {
			usleep(1000);
			continue;
		}
		sent += batch_send(fd, options, sent,
				   due - sent < BATCH ? (unsigned int)(due - sent) : BATCH);
	}
	printf("{\"event\": \"sent\", \"packets\": %llu, \"seconds\": %.3f}\n",
	       (unsigned long long)sent, (double)(now_us() - start) / 1e6);
}

static bool mac_parse(const char *text, uint8_t *mac)
{
	return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3],
		      &mac[4], &mac[5]) == 6;
}

static bool option_read(struct options *options, int option)
{
	switch (option) {
	case 'i':
		options->interface = (int)if_nametoindex(optarg);
		return options->interface > 0;
	case 'm':
		return mac_parse(optarg, options->mac);
	case 't':
		return inet_pton(AF_INET, optarg, &options->to) == 1;
	case 'p':
		options->port = (uint16_t)atoi(optarg);
		return options->port > 0;
	case 'n':
		options->count = strtoull(optarg, NULL, 10);
		return options->count > 0;
	case 'r':
		options->rate = strtoull(optarg, NULL, 10);
		return true;
	case 'a':
		options->again = strtoull(optarg, NULL, 10);
		return true;
	case 'u':
		options->udp = true;
		return true;
	default:
		return false;
	}
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{"interface", required_argument, NULL, 'i'},
		{"to-mac", required_argument, NULL, 'm'},
		{"to", required_argument, NULL, 't'},
		{"port", required_argument, NULL, 'p'},
		{"count", required_argument, NULL, 'n'},
		{"rate", required_argument, NULL, 'r'},
		{"again", required_argument, NULL, 'a'},
		{"udp", no_argument, NULL, 'u'},
		{0},
	};
	struct options options = {0};
	int option, fd, bypass = 1;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (!option_read(&options, option)) {
			fprintf(stderr, "storm: %s\n", argv[optind - 1]);
			return 2;
		}
	}
	if (!options.interface || !options.to || !options.port || !options.count) {
		fprintf(stderr, "storm --interface NAME --to-mac MAC --to ADDRESS --port PORT "
				"--count N [--rate N] [--udp] [--again N]\n");
		return 2;
	}
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		perror("storm: socket");
		return 1;
	}
	setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof(bypass));
	setvbuf(stdout, NULL, _IOLBF, 0);
	storm(fd, &options);
	return 0;
}
