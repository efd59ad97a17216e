#include "director/tap/io_tap_wake.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define SYN 0x02
#define SYN_ACK 0x12
#define SCTP_INIT 1

#define ACCEPT 1 /* byte: that it came is all we want to know */
#define REJECT 0

/* A filter sees a packet from its IP header on; X is the transport header's offset. A load beyond
 * the packet's end rejects it. Jumps are relative: IF_EQUAL(value, yes, no) skips so many
 * instructions. */
#define LOAD(size, at) BPF_STMT(BPF_LD | size | BPF_ABS, (at))
#define LOAD_TRANSPORT(size, at) BPF_STMT(BPF_LD | size | BPF_IND, (at))
#define IFINDEX ((__u32)(SKF_AD_OFF + SKF_AD_IFINDEX))
#define IF_EQUAL(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define REJECT_IF(value) IF_EQUAL(value, 0, 1), RETURN(REJECT)
#define REJECT_UNLESS(value) IF_EQUAL(value, 1, 0), RETURN(REJECT)

/* Runs with the protocol's number loaded: the same for both families. */
#define DECIDE(port)                                                                               \
	REJECT_IF(IPPROTO_ICMP), REJECT_IF(IPPROTO_IGMP), REJECT_IF(IPPROTO_ICMPV6),               \
		REJECT_IF(IPPROTO_HOPOPTS), /* IPv6's own IGMP */                                  \
		IF_EQUAL(IPPROTO_TCP, 0, 8), LOAD_TRANSPORT(BPF_B, 13),                            \
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SYN_ACK), REJECT_UNLESS(SYN),                  \
		LOAD_TRANSPORT(BPF_H, 2), REJECT_IF(port), RETURN(ACCEPT),                         \
		IF_EQUAL(IPPROTO_UDP, 0, 4), LOAD_TRANSPORT(BPF_H, 2), REJECT_IF(port),            \
		RETURN(ACCEPT), IF_EQUAL(IPPROTO_SCTP, 0, 3), LOAD_TRANSPORT(BPF_B, 12),           \
		REJECT_UNLESS(SCTP_INIT), RETURN(ACCEPT)

static void filter_set(int fd, struct sock_filter *code, size_t n)
{
	struct sock_fprog program = {.len = (unsigned short)n, .filter = code};

	/* Fails only for want of memory, and then the former filter stays: slow, not wrong. */
	setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static void filter_nothing(int fd)
{
	struct sock_filter code[] = {RETURN(REJECT)};

	filter_set(fd, code, ARRAY_SIZE(code));
}

static void filter_ipv4(const struct io_tap_wake *wake, int fd)
{
	struct sock_filter code[] = {
		LOAD(BPF_W, IFINDEX),
		REJECT_IF(wake->ifindex),
		/* Only a first fragment has ports, and it is enough. */
		LOAD(BPF_H, 6),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, 0, 1),
		RETURN(REJECT),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		LOAD(BPF_B, 9),
		DECIDE(wake->port),
	};

	filter_set(fd, code, ARRAY_SIZE(code));
}

static void filter_ipv6(const struct io_tap_wake *wake, int fd)
{
	struct sock_filter code[] = {
		LOAD(BPF_W, IFINDEX), REJECT_IF(wake->ifindex), BPF_STMT(BPF_LDX | BPF_IMM, 40),
		LOAD(BPF_B, 6),       DECIDE(wake->port),
	};

	filter_set(fd, code, ARRAY_SIZE(code));
}

static int packet_socket(uint16_t protocol)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol)};
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	/* Before it is bound no packet reaches it. */
	filter_nothing(fd);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* Closes the filter, and discards the packets that had passed. */
static void silence(struct io_tap_wake *wake)
{
	wake->armed = false;
	for (size_t i = 0; i < ARRAY_SIZE(wake->fds); i++) {
		uint8_t byte;

		filter_nothing(wake->fds[i]);
		while (recv(wake->fds[i], &byte, 1, 0) >= 0)
			;
	}
}

/* Also when not armed: a packet may have passed while the filter was changed. */
static void on_packet(uv_poll_t *poll, int status, int events)
{
	struct io_tap_wake *wake = poll->data;

	(void)status;
	(void)events;
	silence(wake);
	wake->woken(wake->ctx);
}

int io_tap_wake_open(struct io_tap_wake *wake, uv_loop_t *loop, unsigned int ifindex, uint16_t port,
		     void (*woken)(void *ctx), void *ctx)
{
	static const uint16_t protocols[] = {ETH_P_IP, ETH_P_IPV6};
	int fds[2];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = packet_socket(protocols[i]);
		if (fds[i] < 0) {
			if (i > 0)
				close(fds[0]);
			return fds[i];
		}
	}
	*wake = (struct io_tap_wake){
		.fds = {fds[0], fds[1]},
		.ifindex = ifindex,
		.port = port,
		.woken = woken,
		.ctx = ctx,
	};
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		uv_poll_init(loop, &wake->polls[i], fds[i]);
		wake->polls[i].data = wake;
		uv_poll_start(&wake->polls[i], UV_READABLE, on_packet);
	}
	return 0;
}

void io_tap_wake_close(struct io_tap_wake *wake, uv_close_cb done)
{
	for (size_t i = 0; i < ARRAY_SIZE(wake->fds); i++) {
		if (wake->fds[i] < 0)
			continue;
		uv_close((uv_handle_t *)&wake->polls[i], done);
		close(wake->fds[i]);
		wake->fds[i] = -1;
	}
}

void io_tap_wake_arm(struct io_tap_wake *wake)
{
	if (wake->armed || wake->fds[0] < 0)
		return;
	wake->armed = true;
	filter_ipv4(wake, wake->fds[0]);
	filter_ipv6(wake, wake->fds[1]);
}

void io_tap_wake_disarm(struct io_tap_wake *wake)
{
	if (wake->armed)
		silence(wake);
}
