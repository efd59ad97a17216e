#include "director/io_node.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/io_clock.h"

static_assert(IO_STREAMS_MAX == NODE_STREAMS_MAX, "streams have the node's numbers");
static_assert(IO_STREAMS_BUFFER >= NODE_OUTPUT_MIN, "a buffer holds what the node writes at once");

struct io_node {
	struct io_node_options options;
	struct node *node;
	struct io_streams *streams;
	uv_timer_t timer;
	bool announce;
	unsigned int open; /* parts to be closed yet */
	void (*done)(void *context);
};

/* Closing is quick; the rest is started only for streams that stay. What fails at once is returned:
 * the node has to be told, but not in the middle of this. */
static struct node_streams apply(struct io_node *node, const struct node_update *update,
				 struct now now)
{
	struct node_streams failed = {{0}};

	for (unsigned int i = 0; i < NODE_STREAMS_MAX; i++)
		if (update->close.bits[i / 64] >> (i % 64) & 1)
			io_streams_cut(node->streams, i);
	for (uint64_t dial = update->dial; dial; dial &= dial - 1) {
		unsigned int i = (unsigned int)__builtin_ctzll(dial);
		struct node_stream_status status;

		node_stream_status(node->node, i, now, &status);
		if (io_streams_dial(node->streams, i, &status.remote) < 0)
			failed.bits[i / 64] |= UINT64_C(1) << (i % 64);
	}
	for (unsigned int word = 0; word < ARRAY_SIZE(update->output.bits); word++) {
		for (uint64_t bits = update->output.bits[word]; bits; bits &= bits - 1) {
			unsigned int i = word * 64 + (unsigned int)__builtin_ctzll(bits);

			if (io_streams_kick(node->streams, i) < 0)
				failed.bits[word] |= bits & -bits;
		}
	}
	return failed;
}

static void expired(uv_timer_t *timer);

static void timer_set(struct io_node *node, usec_t timeout, struct now now)
{
	usec_t wait = timeout > now.mono ? timeout - now.mono : 0;

	if (timeout == USEC_NEVER)
		uv_timer_stop(&node->timer);
	else
		uv_timer_start(&node->timer, expired, (wait + USEC_PER_MSEC - 1) / USEC_PER_MSEC,
			       0);
}

static bool streams_any(const struct node_streams *streams, unsigned int *ret_stream)
{
	for (unsigned int word = 0; word < ARRAY_SIZE(streams->bits); word++) {
		if (streams->bits[word]) {
			*ret_stream =
				word * 64 + (unsigned int)__builtin_ctzll(streams->bits[word]);
			return true;
		}
	}
	return false;
}

static void step(struct io_node *node, struct node_event *event)
{
	struct node_streams failed = {{0}};
	struct node_event closed = {.type = NODE_STREAM_CLOSED};
	struct node_update update;

	do {
		struct node_streams more;

		event->now = clock_now();
		node_step(node->node, event, &update);
		more = apply(node, &update, event->now);
		for (unsigned int i = 0; i < ARRAY_SIZE(failed.bits); i++)
			failed.bits[i] |= more.bits[i];
		timer_set(node, update.timeout, event->now);
		event = &closed;
		if (!streams_any(&failed, &closed.stream))
			break;
		failed.bits[closed.stream / 64] &= ~(UINT64_C(1) << (closed.stream % 64));
	} while (true);

	if (update.inject)
		node->options.inject(node->options.context);
	if (update.announce != node->announce) {
		node->announce = update.announce;
		node->options.announce(node->options.context, update.announce);
	}
}

static void expired(uv_timer_t *timer)
{
	step(container_of(timer, struct io_node, timer), &(struct node_event){.type = NODE_TICK});
}

static unsigned int stream_accept(void *context)
{
	struct io_node *node = context;

	return node_accept(node->node);
}

static void stream_opened(void *context, unsigned int stream, const struct endpoint *remote)
{
	step(context,
	     &(struct node_event){.type = NODE_STREAM_OPENED, .stream = stream, .remote = *remote});
}

static void stream_data(void *context, unsigned int stream, const uint8_t *data, size_t len)
{
	step(context,
	     &(struct node_event){
		     .type = NODE_STREAM_DATA, .stream = stream, .data = data, .len = len});
}

static void stream_closed(void *context, unsigned int stream)
{
	step(context, &(struct node_event){.type = NODE_STREAM_CLOSED, .stream = stream});
}

static size_t stream_output(void *context, unsigned int stream, uint8_t *data, size_t cap)
{
	struct io_node *node = context;

	return node_output(node->node, stream, clock_now(), data, cap);
}

void io_node_join(struct io_node *node, const struct endpoint *join, unsigned int count)
{
	step(node, &(struct node_event){.type = NODE_JOIN, .join = join, .join_count = count});
}

void io_node_captured(struct io_node *node, const uint8_t *data, size_t len)
{
	step(node, &(struct node_event){.type = NODE_CAPTURED, .data = data, .len = len});
}

void io_node_adopted(struct io_node *node, const struct entry *entry)
{
	step(node, &(struct node_event){.type = NODE_ADOPTED, .entry = entry});
}

size_t io_node_inject(struct io_node *node, uint8_t *data, size_t cap)
{
	return node_inject(node->node, clock_now(), data, cap);
}

void io_node_injected(struct io_node *node)
{
	step(node, &(struct node_event){.type = NODE_INJECTED});
}

void io_node_inject_lost(struct io_node *node)
{
	step(node, &(struct node_event){.type = NODE_INJECT_LOST});
}

void io_node_forwarder(struct io_node *node, bool ok)
{
	step(node, &(struct node_event){.type = NODE_FORWARDER, .ok = ok});
}

const struct node *io_node_get(const struct io_node *node)
{
	return node->node;
}

int io_node_open(const struct io_node_options *options, struct io_node **ret_node,
		 char error[IO_STREAMS_ERROR_MAX])
{
	struct io_node *node = calloc(1, sizeof(*node));
	struct io_streams_options streams = {
		.loop = options->loop,
		.listen = options->listen,
		.n_listen = options->n_listen,
		.context = node,
		.accept = stream_accept,
		.opened = stream_opened,
		.data = stream_data,
		.closed = stream_closed,
		.output = stream_output,
	};
	int r = node ? node_new(&options->node, &node->node) : -ENOMEM;

	if (r < 0) {
		snprintf(error, IO_STREAMS_ERROR_MAX, "no memory for the connections");
		free(node);
		return r;
	}
	node->options = *options;
	r = io_streams_open(&streams, &node->streams, error);
	if (r < 0) {
		node_free(node->node);
		free(node);
		return r;
	}
	uv_timer_init(options->loop, &node->timer);
	uv_timer_start(&node->timer, expired, 0, 0);
	*ret_node = node;
	return 0;
}

static void part_closed(struct io_node *node)
{
	void (*done)(void *context) = node->done;
	void *context = node->options.context;

	if (--node->open > 0)
		return;
	node_free(node->node);
	free(node);
	done(context);
}

static void streams_closed(void *context)
{
	part_closed(context);
}

static void timer_closed(uv_handle_t *handle)
{
	part_closed(container_of(handle, struct io_node, timer));
}

void io_node_close(struct io_node *node, void (*done)(void *context))
{
	node->done = done;
	node->open = 2;
	io_streams_close(node->streams, streams_closed);
	uv_close((uv_handle_t *)&node->timer, timer_closed);
}
