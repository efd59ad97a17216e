/* Drives a node on libuv: its clock and timer, and the streams to its peers. The tap and the
 * services are tied to it by whoever opens it: what they report goes in by the functions below,
 * what the node wants of them comes out by the callbacks. */
#ifndef DIRECTOR_IO_NODE_H
#define DIRECTOR_IO_NODE_H

#include <uv.h>

#include "director/io_streams.h"
#include "director/node.h"

struct io_node;

struct io_node_options {
	uv_loop_t *loop;
	struct node_options node;
	const struct endpoint *listen; /* borrowed during _open */
	size_t n_listen;
	void *context;
	/* io_node_inject() has something; said often. Must not call back from within. */
	void (*inject)(void *context);
	/* node_update.announce has changed. The same. */
	void (*announce)(void *context, bool announce);
};

/* 0, or a negative errno and a sentence. Events are given from the loop only, never from here. */
int io_node_open(const struct io_node_options *options, struct io_node **ret_node,
		 char error[IO_STREAMS_ERROR_MAX]);
/* Closes the streams; done is called once when nothing is left, and the node is freed. */
void io_node_close(struct io_node *node, void (*done)(void *context));

void io_node_join(struct io_node *node, const struct endpoint *join, unsigned int count);
void io_node_captured(struct io_node *node, const uint8_t *data, size_t len);
void io_node_adopted(struct io_node *node, const struct entry *entry);
size_t io_node_inject(struct io_node *node, uint8_t *data, size_t cap);
void io_node_injected(struct io_node *node);
void io_node_inject_lost(struct io_node *node);
void io_node_forwarder(struct io_node *node, bool ok);

const struct node *io_node_get(const struct io_node *node);

#endif
