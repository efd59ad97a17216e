/* The UDP sockets of a director, on libuv: one for each of its addresses. It does not interpret the
 * bytes. Datagrams are taken in batches if the kernel allows, a bounded number a turn of the loop;
 * a datagram that can't be sent at once is dropped and counted, as any network would do. */
#ifndef DIRECTOR_NET_IO_DATAGRAMS_H
#define DIRECTOR_NET_IO_DATAGRAMS_H

#include <uv.h>

#include "director/counter.h"
#include "proto/endpoint.h"
#include "proto/fault.h"

struct io_datagrams;

struct io_datagrams_options {
	uv_loop_t *loop;
	const struct endpoint *listen; /* borrowed during _open */
	size_t n_listen;
	void *context;
	/* On our address number local. Called from the loop only; may send. False: its sender
	 * sends too many, and for some ms the kernel drops those that have the same sender, which
	 * are the 8 bytes at sender_at. */
	bool (*received)(void *context, unsigned int local, const struct endpoint *remote,
			 const uint8_t *data, size_t len);
	size_t sender_at;
};

/* 0, or a negative errno and a sentence. */
int io_datagrams_open(const struct io_datagrams_options *options,
		      struct io_datagrams **ret_datagrams, struct fault *fault);

/* Sends from our address number local; if that is of the other family, from the first that is
 * not. */
void io_datagrams_send(struct io_datagrams *datagrams, unsigned int local,
		       const struct endpoint *remote, const uint8_t *data, size_t len);

struct io_datagrams_counts {
	uint64_t received, sent;
	uint64_t receive_errors; /* reported by the kernel, or too long for any of ours */
	uint64_t send_errors;    /* no way there */
	uint64_t send_drops;     /* the socket's buffer was full */
	uint64_t holds;          /* a sender's datagrams were to be dropped by the kernel */
};

void io_datagrams_counts(const struct io_datagrams *datagrams,
			 struct io_datagrams_counts *ret_counts);
extern const struct counter_table io_datagrams_counters; /* of struct io_datagrams_counts */

/* Closes everything; done is called once when nothing is left, and datagrams is freed. */
void io_datagrams_close(struct io_datagrams *datagrams, void (*done)(void *context), void *context);

#endif
