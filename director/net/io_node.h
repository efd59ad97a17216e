/* Drives a node on libuv: its clock and timer, its datagrams and the streams to its peers. The
 * caller ties the tap and the services to it: their reports go in by the functions below, the
 * node's requests come out by the callbacks. */
#ifndef DIRECTOR_NET_IO_NODE_H
#define DIRECTOR_NET_IO_NODE_H

#include <uv.h>

#include "director/net/io_datagrams.h"
#include "director/net/io_streams.h"
#include "director/node/node.h"

struct io_node;

struct io_node_options {
	uv_loop_t *loop;
	struct node_options node;
	const struct endpoint *listen; /* borrowed during _open */
	size_t n_listen;
	void *context;
	/* None of these may call back from within. */
	void (*inject)(void *context);  /* node_update.inject; said often */
	void (*confirm)(void *context); /* node_update.confirm; said often */
	void (*facts)(void *context);   /* node_update.facts; said often. NULL: not wanted */
	/* Whether to take traffic; not called before that is known. */
	void (*announce)(void *context, bool announce);
	/* NULL if there is no kernel to compare with. */
	void (*services)(void *context);           /* NODE_SERVICES is wanted; said often */
	void (*adopt)(void *context, bool missed); /* node_update.adopt, .missed */
	void (*notice)(void *context, const struct membership_notice *notice);
	void (*roster)(void *context);                       /* node_roster() has changed */
	void (*done)(void *context);                         /* node_update.done: said once */
	void (*epoch_wanted)(void *context, uint64_t epoch); /* said once */
	void (*returned)(void *context, usec_t wall);        /* node_update.returned: said once */
};

/* 0, or a negative errno and a sentence. Events are given from the loop only, never from here. */
int io_node_open(const struct io_node_options *options, struct io_node **ret_node,
		 struct fault *fault);
/* Closes the streams; done is called once when nothing is left, and the node is freed. */
void io_node_close(struct io_node *node, void (*done)(void *context));

/* Gives the node an event, but for those of datagrams and streams, which come from here. Sets its
 * time. */
void io_node_send(struct io_node *node, struct node_event *event);

/* The callbacks of a wire tap, whose context is a struct io_node: one of the kernel's messages;
 * those were all that there are at once; as node_late(); NODE_INJECTED; NODE_INJECT_LOST. */
void io_node_captured(void *io_node, const uint8_t *data, size_t len);
void io_node_captured_all(void *io_node);
void io_node_late(void *io_node, usec_t since);
void io_node_injected(void *io_node);
void io_node_inject_lost(void *io_node);

const struct node *io_node_get(const struct io_node *node);
void io_node_datagrams(const struct io_node *node, struct io_datagrams_counts *ret_counts);

#endif
