#include "director/net/io_witness.h"

#include <errno.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "director/icmp_echo.h"

#define READS 64 /* of one turn: a raw socket gets other processes' replies, too */

struct io_witness {
	struct io_witness_options options;
	uv_poll_t poll;
	uv_timer_t timer;
	int fd;
	bool raw, ok;
	bool answered; /* the last one asked */
	unsigned int losses;
	uint16_t identifier, sequence;
	uint64_t cookie;
	unsigned int handles;
	void (*done)(void *context);
	void *context;
};

static void ok_set(struct io_witness *witness, bool ok)
{
	if (witness->ok == ok)
		return;
	witness->ok = ok;
	witness->options.changed(witness->options.context, ok);
}

static void readable(uv_poll_t *poll, int status, int events)
{
	struct io_witness *witness = container_of(poll, struct io_witness, poll);
	uint8_t packet[512];

	(void)status;
	(void)events;
	for (unsigned int i = 0; i < READS; i++) {
		ssize_t len = recv(witness->fd, packet, sizeof(packet), MSG_DONTWAIT);

		/* recv() has taken off the error that it reports */
		if (len < 0 && errno != EAGAIN)
			continue;
		if (len < 0)
			return;
		if (!icmp_echo_is_reply(witness->options.address.family, witness->raw,
					witness->sequence, witness->cookie, packet, (size_t)len))
			continue;
		witness->answered = true;
		witness->losses = 0;
		ok_set(witness, true);
		return;
	}
}

static void ask(uv_timer_t *timer)
{
	struct io_witness *witness = container_of(timer, struct io_witness, timer);
	uint8_t packet[ICMP_ECHO_SIZE];

	if (!witness->answered && ++witness->losses >= IO_WITNESS_LOSSES)
		ok_set(witness, false);
	witness->answered = false;
	witness->sequence++;
	randombytes_buf(&witness->cookie, sizeof(witness->cookie));
	icmp_echo_request(witness->options.address.family, witness->identifier, witness->sequence,
			  witness->cookie, packet);
	/* a request that is not sent counts as not answered */
	(void)!send(witness->fd, packet, sizeof(packet), MSG_DONTWAIT);
}

/* Connected, so that only packets from there are read. */
static int socket_open(const struct ip_addr *address, bool *ret_raw)
{
	const struct endpoint endpoint = {.ip = *address};
	int protocol = address->family == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	struct sockaddr_storage to;
	socklen_t len = endpoint_to_sockaddr(&endpoint, &to);
	int fd = socket(address->family, SOCK_DGRAM | SOCK_CLOEXEC, protocol);

	*ret_raw = fd < 0;
	if (fd < 0)
		fd = socket(address->family, SOCK_RAW | SOCK_CLOEXEC, protocol);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, len) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd < 0 ? -errno : fd;
}

int io_witness_open(const struct io_witness_options *options, struct io_witness **ret_witness,
		    struct fault *fault)
{
	struct io_witness *witness = calloc(1, sizeof(*witness));
	char text[ENDPOINT_TEXT];
	int r = -ENOMEM;

	if (witness) {
		witness->options = *options;
		r = witness->fd = socket_open(&options->address, &witness->raw);
	}
	if (r >= 0) {
		r = uv_poll_init(options->loop, &witness->poll, witness->fd);
		if (r < 0)
			close(witness->fd);
	}
	if (r < 0) {
		fault_set(fault, r, "the witness %s can't be asked: %s%s",
			  ip_addr_format(&options->address, text), uv_strerror(r),
			  r == -EPERM || r == -EACCES
				  ? ": give lvsmeshd CAP_NET_RAW, or its group a place in "
				    "net.ipv4.ping_group_range"
				  : "");
		free(witness);
		return r;
	}
	witness->identifier = (uint16_t)randombytes_random();
	witness->answered = true; /* nothing has been asked */
	uv_poll_start(&witness->poll, UV_READABLE, readable);
	uv_timer_init(options->loop, &witness->timer);
	uv_timer_start(&witness->timer, ask, 0, options->interval_ms);
	witness->handles = 2;
	*ret_witness = witness;
	return 0;
}

static void handle_closed(struct io_witness *witness)
{
	if (--witness->handles > 0)
		return;
	close(witness->fd);
	if (witness->done)
		witness->done(witness->context);
	free(witness);
}

static void poll_closed(uv_handle_t *handle)
{
	handle_closed(container_of(handle, struct io_witness, poll));
}

static void timer_closed(uv_handle_t *handle)
{
	handle_closed(container_of(handle, struct io_witness, timer));
}

void io_witness_close(struct io_witness *witness, void (*done)(void *context), void *context)
{
	witness->done = done;
	witness->context = context;
	uv_close((uv_handle_t *)&witness->poll, poll_closed);
	uv_close((uv_handle_t *)&witness->timer, timer_closed);
}
