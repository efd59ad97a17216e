#include "director/net/io_datagrams.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/net/io_datagram_filter.h"

/* libuv cuts the buffer into pieces of 64 KiB, one for each datagram of a batch. */
#define PIECE (64 * 1024)
#define BATCH 16
/* To read 300,000 datagrams a second that are dropped takes 10 % of a core. */
#define HOLD_MS 10
#define RECEIVE_BUFFER (4 * 1024 * 1024)

struct socket {
	uv_udp_t udp; /* first: a handle is its socket */
	uv_timer_t hold;
	uint64_t held[IO_DATAGRAM_FILTER_MAX]; /* senders whose datagrams the kernel is to drop */
	unsigned int n_held;
	struct io_datagrams *datagrams;
	unsigned int number;
	uint8_t family;
};

struct io_datagrams {
	struct io_datagrams_options options;
	struct socket *sockets;
	size_t count;
	size_t handles; /* open ones, closing ones included */
	struct io_datagrams_counts counts;
	void (*done)(void *context);
	void *context;
	char input[BATCH * PIECE];
};

static void input_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct socket *socket = (struct socket *)handle;

	(void)suggested;
	buf->base = socket->datagrams->input;
	buf->len = sizeof(socket->datagrams->input);
}

static int descriptor(const struct socket *socket)
{
	uv_os_fd_t fd = -1;

	uv_fileno((const uv_handle_t *)&socket->udp, &fd);
	return fd;
}

static void held_enough(uv_timer_t *timer)
{
	struct socket *socket = container_of(timer, struct socket, hold);

	socket->n_held = 0;
	io_datagram_filter_clear(descriptor(socket));
}

/* A filter that can't be set is no failure: then we drop them. */
static void hold(struct socket *socket, const uint8_t *data, size_t len)
{
	size_t at = socket->datagrams->options.sender_at;
	uint64_t sender;

	if (len < at + sizeof(sender) || socket->n_held == IO_DATAGRAM_FILTER_MAX)
		return;
	sender = (uint64_t)load_be32(data + at) << 32 | load_be32(data + at + 4);
	for (unsigned int i = 0; i < socket->n_held; i++)
		if (socket->held[i] == sender)
			return;
	socket->held[socket->n_held++] = sender;
	socket->datagrams->counts.holds++;
	io_datagram_filter_set(descriptor(socket), socket->held, socket->n_held, (uint32_t)at);
	if (socket->n_held == 1)
		uv_timer_start(&socket->hold, held_enough, HOLD_MS, 0);
}

static void input_received(uv_udp_t *udp, ssize_t len, const uv_buf_t *buf,
			   const struct sockaddr *address, unsigned int flags)
{
	struct socket *socket = (struct socket *)udp;
	struct io_datagrams *datagrams = socket->datagrams;
	struct endpoint remote;

	/* without an address there is nothing more for now, or in this batch */
	if (len == 0 && !address)
		return;
	if (len < 0 || !address || flags & UV_UDP_PARTIAL ||
	    endpoint_from_sockaddr(address, &remote) < 0) {
		datagrams->counts.receive_errors++;
		return;
	}
	datagrams->counts.received++;
	if (!datagrams->options.received(datagrams->options.context, socket->number, &remote,
					 (const uint8_t *)buf->base, (size_t)len))
		hold(socket, (const uint8_t *)buf->base, (size_t)len);
}

/* A burst waits there while the loop does something else; beyond the system's limit with
 * CAP_NET_ADMIN only, and less is no failure. */
static void buffer_set(uv_udp_t *udp)
{
	const int size = RECEIVE_BUFFER;
	uv_os_fd_t fd;

	if (uv_fileno((uv_handle_t *)udp, &fd) < 0)
		return;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)!setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static int socket_open(struct io_datagrams *datagrams, const struct endpoint *endpoint)
{
	struct socket *socket = &datagrams->sockets[datagrams->count];
	struct sockaddr_storage address;
	int r = uv_udp_init_ex(datagrams->options.loop, &socket->udp, AF_UNSPEC | UV_UDP_RECVMMSG);

	if (r < 0)
		return r;
	socket->datagrams = datagrams;
	socket->number = (unsigned int)datagrams->count++;
	socket->family = endpoint->ip.family;
	uv_timer_init(datagrams->options.loop, &socket->hold);
	datagrams->handles += 2;
	endpoint_to_sockaddr(endpoint, &address);
	r = uv_udp_bind(&socket->udp, (struct sockaddr *)&address,
			endpoint->ip.family == AF_INET6 ? UV_UDP_IPV6ONLY : 0);
	if (r < 0)
		return r;
	buffer_set(&socket->udp);
	return uv_udp_recv_start(&socket->udp, input_alloc, input_received);
}

static void explain(struct fault *fault, const struct endpoint *endpoint, int r)
{
	char text[ENDPOINT_TEXT];
	const char *remedy = r == -EADDRNOTAVAIL ? ": give this host the address, or change "
						   "cluster.listen"
			     : r == -EADDRINUSE  ? ": another program listens there, see `ss -lunp`"
						 : "";

	fault_set(fault, r, "can't listen on %s by UDP: %s%s", endpoint_format(endpoint, text),
		  uv_strerror(r), remedy);
}

int io_datagrams_open(const struct io_datagrams_options *options,
		      struct io_datagrams **ret_datagrams, struct fault *fault)
{
	struct io_datagrams *datagrams = calloc(1, sizeof(*datagrams));
	int r = -ENOMEM;

	fault_set(fault, r, "%s", uv_strerror(r));
	if (!datagrams)
		return r;
	datagrams->options = *options;
	datagrams->sockets = calloc(options->n_listen, sizeof(*datagrams->sockets));
	if (!datagrams->sockets) {
		free(datagrams);
		return r;
	}
	for (size_t i = 0; i < options->n_listen; i++) {
		r = socket_open(datagrams, &options->listen[i]);
		if (r < 0) {
			explain(fault, &options->listen[i], r);
			io_datagrams_close(datagrams, NULL, NULL);
			return r;
		}
	}
	*ret_datagrams = datagrams;
	return 0;
}

static const struct socket *socket_find(const struct io_datagrams *datagrams, unsigned int local,
					uint8_t family)
{
	if (local < datagrams->count && datagrams->sockets[local].family == family)
		return &datagrams->sockets[local];
	for (size_t i = 0; i < datagrams->count; i++)
		if (datagrams->sockets[i].family == family)
			return &datagrams->sockets[i];
	return NULL;
}

void io_datagrams_send(struct io_datagrams *datagrams, unsigned int local,
		       const struct endpoint *remote, const uint8_t *data, size_t len)
{
	const struct socket *socket = socket_find(datagrams, local, remote->ip.family);
	uv_buf_t buf = uv_buf_init((char *)data, (unsigned int)len);
	struct sockaddr_storage address;
	int r = -EAFNOSUPPORT;

	endpoint_to_sockaddr(remote, &address);
	if (socket)
		r = uv_udp_try_send((uv_udp_t *)&socket->udp, &buf, 1,
				    (const struct sockaddr *)&address);
	if (r >= 0)
		datagrams->counts.sent++;
	else if (r == UV_EAGAIN || r == UV_ENOBUFS)
		datagrams->counts.send_drops++;
	else
		datagrams->counts.send_errors++;
}

static const struct counter_row counter_rows[] = {
	COUNTER_ROW(struct io_datagrams_counts, received, "received", COUNTER_TOTAL, "Datagrams."),
	COUNTER_ROW(struct io_datagrams_counts, sent, "sent", COUNTER_TOTAL, "Datagrams."),
	COUNTER_ROW(struct io_datagrams_counts, receive_errors, "receive_errors", COUNTER_TOTAL,
		    "Errors that the kernel reported, and datagrams longer than any of lvsmeshd."),
	COUNTER_ROW(struct io_datagrams_counts, send_errors, "send_errors", COUNTER_TOTAL,
		    "Datagrams that had no route."),
	COUNTER_ROW(struct io_datagrams_counts, send_drops, "send_drops", COUNTER_TOTAL,
		    "Datagrams dropped because the socket's buffer was full."),
	COUNTER_ROW(struct io_datagrams_counts, holds, "holds", COUNTER_TOTAL,
		    "Times that the kernel was to drop a director's datagrams for 10 ms, since it "
		    "sent too many."),
};

const struct counter_table io_datagrams_counters = COUNTER_ROWS("datagram", counter_rows);

void io_datagrams_counts(const struct io_datagrams *datagrams,
			 struct io_datagrams_counts *ret_counts)
{
	*ret_counts = datagrams->counts;
}

static void finish(struct io_datagrams *datagrams)
{
	void (*done)(void *context) = datagrams->done;
	void *context = datagrams->context;

	free(datagrams->sockets);
	free(datagrams);
	if (done)
		done(context);
}

static void handle_freed(struct io_datagrams *datagrams)
{
	if (--datagrams->handles == 0)
		finish(datagrams);
}

static void socket_freed(uv_handle_t *handle)
{
	handle_freed(((struct socket *)handle)->datagrams);
}

static void hold_freed(uv_handle_t *handle)
{
	handle_freed(container_of(handle, struct socket, hold)->datagrams);
}

void io_datagrams_close(struct io_datagrams *datagrams, void (*done)(void *context), void *context)
{
	datagrams->done = done;
	datagrams->context = context;
	for (size_t i = 0; i < datagrams->count; i++) {
		uv_close((uv_handle_t *)&datagrams->sockets[i].udp, socket_freed);
		uv_close((uv_handle_t *)&datagrams->sockets[i].hold, hold_freed);
	}
	if (datagrams->count == 0)
		finish(datagrams);
}
