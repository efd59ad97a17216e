/* Asks an address that is no director, as the router before them, by ICMP echo each second whether
 * it answers: one class of evidence when members are lost. */
#ifndef DIRECTOR_NET_IO_WITNESS_H
#define DIRECTOR_NET_IO_WITNESS_H

#include <uv.h>

#include "proto/endpoint.h"
#include "proto/fault.h"

struct io_witness;

#define IO_WITNESS_INTERVAL_MS 1000
#define IO_WITNESS_LOSSES 3 /* in a row: it does not answer */

struct io_witness_options {
	uv_loop_t *loop;
	struct ip_addr address;
	uint64_t interval_ms;
	void *context;
	/* It answers, or does so no longer; at first it does not. Called from the loop only. */
	void (*changed)(void *context, bool ok);
};

/* Uses an unprivileged socket if the system gives one (net.ipv4.ping_group_range), else a raw one
 * (CAP_NET_RAW). 0, or a negative errno and a sentence. */
int io_witness_open(const struct io_witness_options *options, struct io_witness **ret_witness,
		    struct fault *fault);
/* done is called once when nothing is left, and witness is freed. */
void io_witness_close(struct io_witness *witness, void (*done)(void *context), void *context);

#endif
