/* The TCP streams between directors, on libuv: listening, dialling, reading, writing. It does not
 * interpret the bytes. Streams are numbered as node.h says.
 *
 * Bounded: one buffer a stream is on its way to the socket at any time, and the next is asked for
 * when the kernel has taken it. All streams together may use at most IO_STREAMS_TURN of each loop
 * iteration, and one read more; streams that had to wait come first in the next. A stream of which
 * one read takes longer than two such turns is read in smaller pieces.
 *
 * Strangers, which may be anyone who reaches the port, have a share of their own: in a turn
 * IO_STREAMS_ACCEPTS connections are accepted, and strangers' streams are read for
 * IO_STREAMS_STRANGERS_TURN; in each second accepting and reading theirs takes at most
 * one IO_STREAMS_STRANGERS_SHAREth, and then strangers are refused until that much time has passed;
 * one that is a stranger after IO_STREAMS_STRANGER_READS reads is closed. */
#ifndef DIRECTOR_NET_IO_STREAMS_H
#define DIRECTOR_NET_IO_STREAMS_H

#include <uv.h>

#include "proto/endpoint.h"
#include "proto/fault.h"

struct io_streams;

#define IO_STREAMS_MAX (3 * DIRECTORS_MAX)
#define IO_STREAMS_TURN USEC_PER_MSEC
#define IO_STREAMS_ACCEPTS 32
#define IO_STREAMS_STRANGERS_TURN (USEC_PER_MSEC / 4)
#define IO_STREAMS_STRANGERS_SHARE 6
#define IO_STREAMS_STRANGERS_BURST (50 * USEC_PER_MSEC)
#define IO_STREAMS_STRANGER_READS 32
/* Room for one large batch: two would take too much of a turn. */
#define IO_STREAMS_BUFFER (200 * 1024)

/* Called from the loop, never from within a function of this header, except output(). */
struct io_streams_options {
	uv_loop_t *loop;
	const struct endpoint *listen; /* borrowed during _open */
	size_t n_listen;
	void *context;
	/* A number for a stream accepted from there, IO_STREAMS_MAX: refused. Its former stream is
	 * cut off. strangers: whether they are taken now. */
	unsigned int (*accept)(void *context, const struct endpoint *remote, bool strangers);
	/* Whether the stream is a stranger's, who may be anyone. NULL: none is. */
	bool (*stranger)(void *context, unsigned int stream);
	/* The director at the other end, 0: it is not known yet; whether its streams are to be left
	 * unread for now, asked again in each turn; and what CPU time one of them took, with the
	 * system calls. NULL, all three: not accounted. */
	uint64_t (*director)(void *context, unsigned int stream);
	bool (*throttled)(void *context, uint64_t director);
	void (*charge)(void *context, uint64_t director, usec_t cpu);
	void (*opened)(void *context, unsigned int stream, const struct endpoint *remote);
	void (*data)(void *context, unsigned int stream, const uint8_t *data, size_t len);
	/* Closed by the other end or a failure; also when a dial failed, refused: no process
	 * listens there. */
	void (*closed)(void *context, unsigned int stream, bool refused);
	/* Writes at most cap bytes, IO_STREAMS_BUFFER; 0: there are none now. */
	size_t (*output)(void *context, unsigned int stream, uint8_t *data, size_t cap);
};

/* Listens. 0, or a negative errno and a sentence. */
int io_streams_open(const struct io_streams_options *options, struct io_streams **ret_streams,
		    struct fault *fault);

/* Both: 0; or a negative errno, the stream is gone and closed() is not called. */
int io_streams_dial(struct io_streams *streams, unsigned int stream, const struct endpoint *remote);
/* There are bytes to be had from output(). */
int io_streams_kick(struct io_streams *streams, unsigned int stream);

/* Closes at once, bytes that were not sent are dropped. closed() is not called. */
void io_streams_cut(struct io_streams *streams, unsigned int stream);

/* Closes everything; done is called once when nothing is left, and streams is freed. */
void io_streams_close(struct io_streams *streams, void (*done)(void *context));

#endif
