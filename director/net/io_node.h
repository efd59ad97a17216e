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
	void (*inject)(void *context);  /* io_node_inject() has something; said often */
	void (*confirm)(void *context); /* node_update.confirm; said often */
	/* Whether to take traffic; not called before that is known. */
	void (*announce)(void *context, bool announce);
	/* NULL if there is no kernel to compare with. */
	void (*services)(void *context);           /* io_node_services() is wanted; said often */
	void (*adopt)(void *context, bool missed); /* node_update.adopt, .missed */
	void (*notice)(void *context, const struct membership_notice *notice);
	void (*roster)(void *context);                       /* node_roster() has changed */
	void (*done)(void *context);                         /* after _leave, _absence: said once */
	void (*epoch_wanted)(void *context, uint64_t epoch); /* said once */
	void (*returned)(void *context, usec_t wall);        /* node_update.returned: said once */
};

/* 0, or a negative errno and a sentence. Events are given from the loop only, never from here. */
int io_node_open(const struct io_node_options *options, struct io_node **ret_node,
		 char error[IO_STREAMS_ERROR_MAX]);
/* Closes the streams; done is called once when nothing is left, and the node is freed. */
void io_node_close(struct io_node *node, void (*done)(void *context));

void io_node_join(struct io_node *node, const struct endpoint *join, unsigned int count);
/* One of the kernel's messages; _captured_all() when these were all that there are at once. */
void io_node_captured(struct io_node *node, const uint8_t *data, size_t len);
/* As node_late(). */
void io_node_late(struct io_node *node, usec_t since);
void io_node_captured_all(struct io_node *node);
void io_node_adopted(struct io_node *node, const struct entry *entry);
void io_node_services(struct io_node *node, const struct service_set *services, bool more);
void io_node_adopted_all(struct io_node *node);
size_t io_node_inject(struct io_node *node, uint8_t *data, size_t cap);
void io_node_injected(struct io_node *node);
void io_node_inject_lost(struct io_node *node);
void io_node_forwarder(struct io_node *node, bool ok);
void io_node_config(struct io_node *node, uint64_t digest, const struct policy_options *policy);
void io_node_drain(struct io_node *node, bool drain);
void io_node_leave(struct io_node *node);
void io_node_absence(struct io_node *node, usec_t lease);
void io_node_remove(struct io_node *node, uint64_t member);
void io_node_witness(struct io_node *node, bool ok);

const struct node *io_node_get(const struct io_node *node);
void io_node_datagrams(const struct io_node *node, struct io_datagrams_counts *ret_counts);

#endif
