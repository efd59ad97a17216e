#include "director/net/io_streams.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "director/io_clock.h"
#include "proto/bits.h"

#define READ_SIZE ((size_t)32 * 1024)
#define READ_SIZE_MIN ((size_t)1024)
#define BACKLOG (4 * DIRECTORS_MAX) /* all may dial at once, in a flood of others */
/* Without an acknowledgement for so long the kernel gives the connection up. */
#define USER_TIMEOUT_MS 10000
/* Backpressure: batches wait with us, and not in the kernel, so that newer ones can still replace
 * them. */
#define NOT_SENT_MAX (512 * 1024)

struct buffer {
	struct buffer *next; /* in the pool */
	uint8_t data[IO_STREAMS_BUFFER];
};

struct io_stream {
	uv_tcp_t tcp; /* first: a handle is its stream */
	struct io_streams *streams;
	unsigned int number;
	bool open;             /* connected */
	bool served;           /* in this turn */
	bool paused;           /* not read, until those are that wait */
	bool throttled;        /* nor, until its director may cause work again */
	size_t piece;          /* at most so much is read at once */
	uint64_t director;     /* the sender of the bytes being read */
	usec_t since;          /* CPU time when that began */
	unsigned int reads;    /* as a stranger */
	struct buffer *buffer; /* on its way to the socket */
	uv_connect_t connect;
	uv_write_t write;
};

struct listener {
	uv_poll_t poll;
	struct io_streams *streams;
	int fd;
};

struct io_streams {
	struct io_streams_options options;
	struct io_stream *streams[IO_STREAMS_MAX];
	uint64_t used[BITS_WORDS(IO_STREAMS_MAX)];
	struct listener *listeners;
	size_t n_listeners;
	int spare;            /* a descriptor given up to refuse a connection when there is none */
	unsigned int accepts; /* in this turn */
	uint64_t strangers_turn;  /* ns of CPU, for which strangers were read in this turn */
	uint64_t strangers_until; /* ns, when all of their share will be there again */
	uv_prepare_t prepare;     /* a new turn */
	uint64_t began;           /* ns, the first read of this turn; 0: none yet */
	bool waits;               /* some stream has something, and there was no time for it */
	struct buffer *pool;
	size_t handles; /* open ones, closing ones included */
	void (*done)(void *context);
	uint8_t input[READ_SIZE];
};

static void finish(struct io_streams *streams)
{
	void (*done)(void *context) = streams->done;
	void *context = streams->options.context;

	if (streams->handles > 0 || !done)
		return;
	while (streams->pool) {
		struct buffer *buffer = streams->pool;

		streams->pool = buffer->next;
		free(buffer);
	}
	if (streams->spare >= 0)
		close(streams->spare);
	free(streams->listeners);
	free(streams);
	done(context);
}

static struct buffer *buffer_take(struct io_streams *streams)
{
	struct buffer *buffer = streams->pool;

	if (!buffer)
		return malloc(sizeof(*buffer));
	streams->pool = buffer->next;
	return buffer;
}

static void buffer_give(struct io_streams *streams, struct buffer *buffer)
{
	if (!buffer)
		return;
	buffer->next = streams->pool;
	streams->pool = buffer;
}

static void stream_freed(uv_handle_t *handle)
{
	struct io_stream *stream = (struct io_stream *)handle;
	struct io_streams *streams = stream->streams;

	/* the write was cancelled and its callback has run */
	buffer_give(streams, stream->buffer);
	free(stream);
	streams->handles--;
	finish(streams);
}

void io_streams_cut(struct io_streams *streams, unsigned int number)
{
	struct io_stream *stream = streams->streams[number];

	if (!stream)
		return;
	streams->streams[number] = NULL;
	bits_remove(streams->used, number);
	uv_close((uv_handle_t *)&stream->tcp, stream_freed);
}

static void stream_fail(struct io_stream *stream, int error)
{
	struct io_streams *streams = stream->streams;
	unsigned int number = stream->number;

	io_streams_cut(streams, number);
	streams->options.closed(streams->options.context, number, error == UV_ECONNREFUSED);
}

/* A number that is taken is given to the new stream. NULL: no memory. */
static struct io_stream *stream_new(struct io_streams *streams, unsigned int number)
{
	struct io_stream *stream = calloc(1, sizeof(*stream));

	io_streams_cut(streams, number);
	if (!stream)
		return NULL;
	if (uv_tcp_init(streams->options.loop, &stream->tcp) < 0) {
		free(stream);
		return NULL;
	}
	stream->streams = streams;
	stream->number = number;
	stream->piece = READ_SIZE;
	streams->streams[number] = stream;
	bits_add(streams->used, number);
	streams->handles++;
	return stream;
}

static bool stream_gone(const struct io_stream *stream)
{
	return stream->streams->streams[stream->number] != stream;
}

static void written(uv_write_t *write, int status)
{
	struct io_stream *stream = container_of(write, struct io_stream, write);

	if (stream_gone(stream))
		return;
	buffer_give(stream->streams, stream->buffer);
	stream->buffer = NULL;
	if (status < 0 || io_streams_kick(stream->streams, stream->number) < 0) {
		if (!stream_gone(stream))
			stream_fail(stream, status);
		else
			stream->streams->options.closed(stream->streams->options.context,
							stream->number, false);
	}
}

static uint64_t director_of(const struct io_streams *streams, unsigned int number)
{
	return streams->options.director
		       ? streams->options.director(streams->options.context, number)
		       : 0;
}

static bool is_throttled(const struct io_streams *streams, uint64_t director)
{
	return director && streams->options.throttled(streams->options.context, director);
}

/* Charges the director for the time since that clock_cpu(). */
static void charge(const struct io_streams *streams, uint64_t director, usec_t since)
{
	if (director)
		streams->options.charge(streams->options.context, director, clock_cpu() - since);
}

static uv_buf_t output(struct io_stream *stream)
{
	const struct io_streams_options *options = &stream->streams->options;
	uint8_t *data = stream->buffer->data;

	return (uv_buf_t){
		.base = (char *)data,
		.len = options->output(options->context, stream->number, data, IO_STREAMS_BUFFER),
	};
}

/* Leaves the bytes that the socket does not take at once in the buffer. */
static int write_now(struct io_stream *stream, uv_buf_t *buf)
{
	int r = buf->len > 0 ? uv_try_write((uv_stream_t *)&stream->tcp, buf, 1) : 0;

	if (r == UV_EAGAIN)
		return 0;
	if (r > 0) {
		buf->base += r;
		buf->len -= (size_t)r;
	}
	return MIN(r, 0);
}

static int kick(struct io_streams *streams, unsigned int number)
{
	struct io_stream *stream = streams->streams[number];
	uv_buf_t buf;
	int r;

	stream->buffer = buffer_take(streams);
	if (!stream->buffer) {
		io_streams_cut(streams, number);
		return -ENOMEM;
	}
	buf = output(stream);
	r = write_now(stream, &buf);
	/* Mostly that was all; a further buffer has to wait for its turn. */
	if (r == 0 && buf.len == 0)
		buf = output(stream);
	if (r == 0 && buf.len > 0)
		r = uv_write(&stream->write, (uv_stream_t *)&stream->tcp, &buf, 1, written);
	if (r < 0) {
		io_streams_cut(streams, number);
	} else if (buf.len == 0) {
		buffer_give(streams, stream->buffer);
		stream->buffer = NULL;
	}
	return r;
}

int io_streams_kick(struct io_streams *streams, unsigned int number)
{
	const struct io_stream *stream = streams->streams[number];
	uint64_t director;
	usec_t since;
	int r;

	if (!stream || !stream->open || stream->buffer)
		return 0;
	director = director_of(streams, number);
	since = director ? clock_cpu() : 0;
	r = kick(streams, number);
	charge(streams, director, since);
	return r;
}

static bool turn_is_over(const struct io_streams *streams)
{
	return streams->began && uv_hrtime() - streams->began >= IO_STREAMS_TURN * 1000;
}

static bool is_stranger(const struct io_streams *streams, unsigned int number)
{
	return streams->options.stranger &&
	       streams->options.stranger(streams->options.context, number);
}

/* Charges strangers for the time since that clock_cpu_ns(), and returns it. */
static uint64_t strangers_charge(struct io_streams *streams, uint64_t since)
{
	uint64_t took = clock_cpu_ns() - since;

	streams->strangers_until =
		MAX(streams->strangers_until, uv_hrtime()) + took * IO_STREAMS_STRANGERS_SHARE;
	return took;
}

static bool strangers_wanted(const struct io_streams *streams)
{
	const uint64_t burst = IO_STREAMS_STRANGERS_BURST * 1000 * IO_STREAMS_STRANGERS_SHARE;

	return streams->strangers_until <= uv_hrtime() + burst;
}

/* Without room the stream is not read, and asked again in the next turn. */
static void input_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct io_stream *stream = (struct io_stream *)handle;
	struct io_streams *streams = stream->streams;
	bool stranger = is_stranger(streams, stream->number);
	bool over = stranger ? streams->strangers_turn >= IO_STREAMS_STRANGERS_TURN * 1000
			     : turn_is_over(streams);

	(void)suggested;
	stream->director = stranger ? 0 : director_of(streams, stream->number);
	stream->throttled = !over && is_throttled(streams, stream->director);
	/* strangers do not count as waiting */
	streams->waits |= over && !stranger && !stream->served;
	buf->base = (char *)streams->input;
	buf->len = over || stream->throttled ? 0 : stream->piece;
	stream->since = stream->director && buf->len ? clock_cpu() : 0;
}

static void input_take(struct io_stream *stream, ssize_t len, const uv_buf_t *buf)
{
	const struct io_streams_options *options = &stream->streams->options;

	if (len < 0)
		stream_fail(stream, 0);
	else
		options->data(options->context, stream->number, (const uint8_t *)buf->base,
			      (size_t)len);
}

static void stranger_read(struct io_stream *stream, ssize_t len, const uv_buf_t *buf)
{
	struct io_streams *streams = stream->streams;
	uint64_t since = clock_cpu_ns();

	input_take(stream, len, buf);
	if (++stream->reads >= IO_STREAMS_STRANGER_READS && !stream_gone(stream) &&
	    is_stranger(streams, stream->number))
		stream_fail(stream, 0);
	streams->strangers_turn += strangers_charge(streams, since);
}

/* A stream that makes more work than a turn has time for is read in smaller pieces. */
static void piece_adapt(struct io_stream *stream, uint64_t took)
{
	if (took > IO_STREAMS_TURN * 2 * 1000)
		stream->piece = MAX(stream->piece / 2, READ_SIZE_MIN);
	else
		stream->piece = MIN(stream->piece * 2, READ_SIZE);
}

static void input_read(uv_stream_t *handle, ssize_t len, const uv_buf_t *buf)
{
	struct io_stream *stream = (struct io_stream *)handle;
	struct io_streams *streams = stream->streams;
	uint64_t since, director;
	usec_t cpu;

	if (stream->throttled)
		uv_read_stop(handle);
	if (len == 0 || len == UV_ENOBUFS)
		return;
	if (is_stranger(streams, stream->number)) {
		stranger_read(stream, len, buf);
		return;
	}
	since = uv_hrtime();
	director = stream->director;
	cpu = stream->since;
	if (!streams->began)
		streams->began = since;
	stream->served = true;
	input_take(stream, len, buf);
	charge(streams, director, cpu);
	if (!stream_gone(stream))
		piece_adapt(stream, uv_hrtime() - since);
}

/* Streams that wait are read before those that were read in the last turn. */
static void turn_begins(uv_prepare_t *prepare)
{
	struct io_streams *streams = container_of(prepare, struct io_streams, prepare);
	bool waits = streams->waits;

	BITS_EACH (i, streams->used, IO_STREAMS_MAX) {
		struct io_stream *stream = streams->streams[i];
		bool rested = stream->paused || stream->throttled;

		stream->paused = waits && (stream->paused || stream->served);
		stream->throttled =
			stream->throttled && is_throttled(streams, director_of(streams, i));
		stream->served = false;
		if (!rested && stream->paused)
			uv_read_stop((uv_stream_t *)&stream->tcp);
		else if (rested && !stream->paused && !stream->throttled)
			uv_read_start((uv_stream_t *)&stream->tcp, input_alloc, input_read);
	}
	streams->began = 0;
	streams->waits = false;
	streams->accepts = 0;
	streams->strangers_turn = 0;
}

static void options_set(uv_tcp_t *tcp)
{
	const unsigned int timeout = USER_TIMEOUT_MS, not_sent = NOT_SENT_MAX;
	uv_os_fd_t fd;

	uv_tcp_nodelay(tcp, 1);
	if (uv_fileno((uv_handle_t *)tcp, &fd) < 0)
		return;
	/* both may fail: then silence is noticed later, and more is queued */
	(void)!setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
	(void)!setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &not_sent, sizeof(not_sent));
}

static int stream_start(struct io_stream *stream)
{
	struct io_streams *streams = stream->streams;
	struct sockaddr_storage address;
	struct endpoint remote;
	int len = sizeof(address), r;

	options_set(&stream->tcp);
	stream->open = true;
	r = uv_tcp_getpeername(&stream->tcp, (struct sockaddr *)&address, &len);
	if (r == 0)
		r = endpoint_from_sockaddr((struct sockaddr *)&address, &remote);
	if (r == 0)
		r = uv_read_start((uv_stream_t *)&stream->tcp, input_alloc, input_read);
	if (r == 0)
		streams->options.opened(streams->options.context, stream->number, &remote);
	return r;
}

static void connected(uv_connect_t *connect, int status)
{
	struct io_stream *stream = container_of(connect, struct io_stream, connect);

	if (stream_gone(stream))
		return;
	if (status < 0 || stream_start(stream) < 0)
		stream_fail(stream, status);
}

int io_streams_dial(struct io_streams *streams, unsigned int number, const struct endpoint *remote)
{
	struct io_stream *stream = stream_new(streams, number);
	struct sockaddr_storage address;
	int r;

	if (!stream)
		return -ENOMEM;
	endpoint_to_sockaddr(remote, &address);
	r = uv_tcp_connect(&stream->connect, &stream->tcp, (struct sockaddr *)&address, connected);
	if (r < 0)
		io_streams_cut(streams, number);
	return r;
}

/* Closes by a reset: the kernel keeps nothing of it. */
static void refuse(int fd)
{
	const struct linger at_once = {.l_onoff = 1};

	(void)!setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
}

/* The connection is the stream's, or closed. */
static int stream_adopt(struct io_stream *stream, int fd)
{
	int r = stream ? uv_tcp_open(&stream->tcp, fd) : -ENOMEM;

	if (r < 0) {
		refuse(fd);
		return r;
	}
	return stream_start(stream);
}

/* Whether a stranger was let in: one that is refused takes no share from others. */
static bool accepted(struct io_streams *streams, int fd, const struct sockaddr *address)
{
	const struct io_streams_options *options = &streams->options;
	unsigned int number = IO_STREAMS_MAX;
	struct endpoint remote;

	if (endpoint_from_sockaddr(address, &remote) == 0)
		number = options->accept(options->context, &remote, strangers_wanted(streams));
	if (number >= IO_STREAMS_MAX)
		refuse(fd);
	else if (stream_adopt(stream_new(streams, number), fd) < 0)
		io_streams_cut(streams, number);
	return number < IO_STREAMS_MAX && is_stranger(streams, number);
}

/* A connection that there is no descriptor for would wake us for ever. */
static void refuse_by_spare(struct io_streams *streams, int listener)
{
	int fd;

	if (streams->spare < 0)
		return;
	close(streams->spare);
	fd = accept(listener, NULL, NULL);
	if (fd >= 0)
		refuse(fd);
	streams->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* False: there is none. */
static bool accept_one(struct listener *listener)
{
	struct io_streams *streams = listener->streams;
	uint64_t since = clock_cpu_ns();
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	int fd = accept4(listener->fd, (struct sockaddr *)&address, &len,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE))
		refuse_by_spare(streams, listener->fd);
	if (fd < 0)
		return errno != EAGAIN;
	if (accepted(streams, fd, (struct sockaddr *)&address))
		strangers_charge(streams, since);
	return true;
}

static void incoming(uv_poll_t *poll, int status, int events)
{
	struct listener *listener = container_of(poll, struct listener, poll);

	(void)status;
	(void)events;
	while (listener->streams->accepts++ < IO_STREAMS_ACCEPTS && accept_one(listener))
		;
}

static int listener_bind(int fd, const struct endpoint *endpoint)
{
	struct sockaddr_storage address;
	socklen_t len = endpoint_to_sockaddr(endpoint, &address);
	const int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (endpoint->ip.family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
	    bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return 0;
}

static int listen_on(struct io_streams *streams, const struct endpoint *endpoint)
{
	struct listener *listener = &streams->listeners[streams->n_listeners];
	int fd = socket(endpoint->ip.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r = fd < 0 ? -errno : listener_bind(fd, endpoint);

	if (r == 0)
		r = uv_poll_init(streams->options.loop, &listener->poll, fd);
	if (r < 0) {
		if (fd >= 0)
			close(fd);
		return r;
	}
	listener->streams = streams;
	listener->fd = fd;
	streams->n_listeners++;
	streams->handles++;
	return uv_poll_start(&listener->poll, UV_READABLE, incoming);
}

static void explain(struct fault *fault, const struct endpoint *endpoint, int r)
{
	char text[ENDPOINT_TEXT];
	const char *remedy = r == -EADDRNOTAVAIL ? ": give this host the address, or change "
						   "cluster.listen"
			     : r == -EADDRINUSE  ? ": another program listens there, see `ss -ltnp`"
						 : "";

	fault_set(fault, r, "can't listen on %s: %s%s", endpoint_format(endpoint, text),
		  uv_strerror(r), remedy);
}

static void opened_not(void *context)
{
	(void)context;
}

int io_streams_open(const struct io_streams_options *options, struct io_streams **ret_streams,
		    struct fault *fault)
{
	struct io_streams *streams = calloc(1, sizeof(*streams));
	int r = -ENOMEM;

	fault_set(fault, r, "%s", uv_strerror(r));
	if (!streams)
		return r;
	streams->options = *options;
	streams->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	streams->listeners = calloc(options->n_listen, sizeof(*streams->listeners));
	if (!streams->listeners) {
		if (streams->spare >= 0)
			close(streams->spare);
		free(streams);
		return r;
	}
	uv_prepare_init(options->loop, &streams->prepare);
	uv_prepare_start(&streams->prepare, turn_begins);
	streams->handles++;
	for (size_t i = 0; i < options->n_listen; i++) {
		r = listen_on(streams, &options->listen[i]);
		if (r < 0) {
			explain(fault, &options->listen[i], r);
			io_streams_close(streams, opened_not);
			return r;
		}
	}
	*ret_streams = streams;
	return 0;
}

static void prepare_freed(uv_handle_t *handle)
{
	struct io_streams *streams = container_of(handle, struct io_streams, prepare);

	streams->handles--;
	finish(streams);
}

static void listener_freed(uv_handle_t *handle)
{
	struct io_streams *streams = container_of(handle, struct listener, poll)->streams;

	streams->handles--;
	finish(streams);
}

void io_streams_close(struct io_streams *streams, void (*done)(void *context))
{
	streams->done = done;
	BITS_EACH (i, streams->used, IO_STREAMS_MAX)
		io_streams_cut(streams, i);
	for (size_t i = 0; i < streams->n_listeners; i++) {
		/* uv_close() waits for no callback of the descriptor */
		uv_close((uv_handle_t *)&streams->listeners[i].poll, listener_freed);
		close(streams->listeners[i].fd);
	}
	uv_close((uv_handle_t *)&streams->prepare, prepare_freed);
}
