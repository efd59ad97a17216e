/* CHECK_PING: an ICMP or ICMPv6 echo, by an unprivileged datagram socket where
 * net.ipv4.ping_group_range allows it, else by a raw one. */
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "director/checker/io_checker_private.h"
#include "director/icmp_echo.h"

#define READS 16 /* of one turn: a raw socket gets other processes' replies of that host, too */
#define PACKET_MAX 256

struct ping_run {
	struct checker_run run;
	bool raw;
	uint16_t sequence;
	uint64_t cookie;
};

static void reply_ready(struct io_watch *watch, uint32_t events)
{
	struct ping_run *ping = container_of(watch, struct ping_run, run.watch);
	uint8_t packet[PACKET_MAX];
	ssize_t len;

	(void)events;
	for (unsigned int i = 0; i < READS; i++) {
		len = recv(watch->fd, packet, sizeof(packet), 0);
		if (len < 0) {
			if (errno != EAGAIN && errno != EINTR)
				run_decide_errno(&ping->run, errno);
			return;
		}
		if (icmp_echo_is_reply(ping->run.what.endpoint.ip.family, ping->raw, ping->sequence,
				       ping->cookie, packet, (size_t)len)) {
			run_up(&ping->run, "replied");
			return;
		}
	}
}

/* A descriptor, or the run is decided. */
static int socket_make(struct ping_run *ping)
{
	uint8_t family = ping->run.what.endpoint.ip.family;
	int protocol = family == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

	if (fd < 0 && (errno == EACCES || errno == EPERM)) {
		ping->raw = true;
		fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	}
	if (fd >= 0)
		return fd;
	if (errno == EACCES || errno == EPERM)
		run_local(&ping->run,
			  "not checked: give lvsmeshd CAP_NET_RAW, or its group a place "
			  "in net.ipv4.ping_group_range");
	else
		run_decide_errno(&ping->run, errno);
	return -1;
}

static void begin(struct checker_run *run)
{
	struct ping_run *ping = container_of(run, struct ping_run, run);
	uint8_t packet[ICMP_ECHO_SIZE];
	uint16_t numbers[2];
	int fd;

	run->awaited = "reply";
	run->what.endpoint.port = 0;
	if (getrandom(&ping->cookie, sizeof(ping->cookie), 0) < 0 ||
	    getrandom(numbers, sizeof(numbers), 0) < 0) {
		run_decide_errno(run, errno);
		return;
	}
	ping->sequence = numbers[0];
	fd = socket_make(ping);
	if (fd < 0 || !run_connect_socket(run, fd, SOCK_DGRAM, EPOLLIN, reply_ready))
		return;
	icmp_echo_request(run->what.endpoint.ip.family, numbers[1], ping->sequence, ping->cookie,
			  packet);
	if (send(run->watch.fd, packet, sizeof(packet), MSG_NOSIGNAL) < 0)
		run_decide_errno(run, errno);
}

const struct checker_type checker_ping = {sizeof(struct ping_run), begin, NULL};
