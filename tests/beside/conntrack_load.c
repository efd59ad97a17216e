/*
 * conntrack_load FIRST COUNT RATE BURST: established TCP connections into the connection tracking
 * of this network namespace, by ctnetlink: the kernel reports each to conntrackd as if it had come
 * by.
 */
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/beside/load.h"

#define TIMEOUT 900
#define MESSAGE_MAX 512
#define MESSAGES 64

static void put_tuple(struct nl_msg *msg, int type, uint32_t source, uint32_t target,
		      uint16_t source_port, uint16_t target_port)
{
	struct nlattr *tuple = nla_nest_start(msg, type), *nest = nla_nest_start(msg, CTA_TUPLE_IP);

	nla_put_u32(msg, CTA_IP_V4_SRC, htonl(source));
	nla_put_u32(msg, CTA_IP_V4_DST, htonl(target));
	nla_nest_end(msg, nest);
	nest = nla_nest_start(msg, CTA_TUPLE_PROTO);
	nla_put_u8(msg, CTA_PROTO_NUM, IPPROTO_TCP);
	nla_put_u16(msg, CTA_PROTO_SRC_PORT, htons(source_port));
	nla_put_u16(msg, CTA_PROTO_DST_PORT, htons(target_port));
	nla_nest_end(msg, nest);
	nla_nest_end(msg, tuple);
}

static void put_state(struct nl_msg *msg)
{
	struct nlattr *info = nla_nest_start(msg, CTA_PROTOINFO);
	struct nlattr *tcp = nla_nest_start(msg, CTA_PROTOINFO_TCP);

	nla_put_u8(msg, CTA_PROTOINFO_TCP_STATE, TCP_CONNTRACK_ESTABLISHED);
	nla_nest_end(msg, tcp);
	nla_nest_end(msg, info);
}

/* Its length; data takes MESSAGE_MAX. */
static size_t message_make(uint32_t number, uint8_t *data)
{
	const struct nfgenmsg head = {.nfgen_family = AF_INET, .version = NFNETLINK_V0};
	uint32_t client = load_client(number), real = load_real(number);
	uint16_t port = load_client_port(number);
	struct nl_msg *msg = nlmsg_alloc_size(MESSAGE_MAX);
	size_t len;

	nlmsg_put(msg, 0, number, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW, 0,
		  NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL);
	nlmsg_append(msg, (void *)&head, sizeof(head), NLMSG_ALIGNTO);
	put_tuple(msg, CTA_TUPLE_ORIG, client, LOAD_VIP, port, LOAD_PORT);
	put_tuple(msg, CTA_TUPLE_REPLY, real, client, LOAD_PORT, port);
	nla_put_u32(msg, CTA_STATUS, htonl(IPS_CONFIRMED | IPS_ASSURED | IPS_SEEN_REPLY));
	nla_put_u32(msg, CTA_TIMEOUT, htonl(TIMEOUT));
	put_state(msg);
	len = nlmsg_hdr(msg)->nlmsg_len;
	memcpy(data, nlmsg_hdr(msg), len);
	nlmsg_free(msg);
	return NLMSG_ALIGN(len);
}

static void send_messages(int fd, struct load *load, uint32_t count)
{
	static uint8_t data[MESSAGES * MESSAGE_MAX];
	uint8_t answer[MESSAGE_MAX];
	size_t len = 0;

	for (uint32_t i = MIN(count, MESSAGES); i > 0; i--)
		len += message_make(load->first + load->sent++, data + len);
	/* an answer comes only to what was refused */
	if (send(fd, data, len, 0) != (ssize_t)len ||
	    recv(fd, answer, sizeof(answer), MSG_DONTWAIT) >= 0) {
		fprintf(stderr, "the kernel refused a connection\n");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
	struct load load = {.start = load_now()};

	if (argc == 5) {
		load.first = (uint32_t)strtoul(argv[1], NULL, 10);
		load.count = (uint32_t)strtoul(argv[2], NULL, 10);
		load.rate = (uint32_t)strtoul(argv[3], NULL, 10);
		load.burst = (uint32_t)strtoul(argv[4], NULL, 10);
	}
	if (load.rate == 0 || load.burst == 0 || load.count % load.burst) {
		fprintf(stderr, "conntrack_load FIRST COUNT RATE BURST\n");
		return 2;
	}
	if (fd < 0 || connect(fd, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
		perror("netlink");
		return 1;
	}
	while (load.sent < load.count) {
		uint32_t due = load_due(&load, load_now());
		usec_t next = load_time(&load), now = load_now();

		if (due > 0)
			send_messages(fd, &load, due);
		else if (next > now)
			usleep((useconds_t)(next - now));
	}
	printf("{\"event\": \"sent\", \"entries\": %u, \"seconds\": %.6f}\n", load.count,
	       (double)(load_now() - load.start) / 1e6);
	return 0;
}
