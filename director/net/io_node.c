#include "director/net/io_node.h"

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
	struct io_datagrams *datagrams;
	uv_timer_t timer;
	usec_t timeout;      /* mono, the timer's */
	struct now captured; /* the time of all that is captured in one turn; mono 0: nothing yet */
	uint64_t turn;       /* ms, when this turn of the loop began, as far as is known */
	usec_t late;         /* for which it has lasted, as last given to the node */
	bool announce, refuse; /* as last reported */
	bool told_done, told_epoch, told_returned;
	unsigned int open; /* parts to be closed yet */
	void (*done)(void *context);
};

static bool streams_take(struct node_streams *streams, unsigned int *ret_stream)
{
	*ret_stream = bits_next(streams->bits, NODE_STREAMS_MAX, 0);
	if (*ret_stream == NODE_STREAMS_MAX)
		return false;
	bits_remove(streams->bits, *ret_stream);
	return true;
}

static void datagrams_send(struct io_node *node)
{
	uint8_t data[MEMBERSHIP_DATAGRAM_MAX];
	struct membership_target target;
	size_t len;

	while ((len = node_datagram(node->node, data, sizeof(data), &target)) > 0)
		io_datagrams_send(node->datagrams, target.local, &target.remote, data, len);
}

/* Closing is quick; the rest is started only for streams that stay. Streams that fail at once are
 * added to *failed: the node has to learn of them, but not in the middle of this. */
static void apply(struct io_node *node, const struct node_update *update, struct now now,
		  struct node_streams *failed)
{
	struct node_stream_status status;

	BITS_EACH (i, update->close.bits, NODE_STREAMS_MAX)
		io_streams_cut(node->streams, i);
	BITS_EACH (i, update->dial.bits, NODE_STREAMS_MAX) {
		node_stream_status(node->node, i, now, &status);
		if (io_streams_dial(node->streams, i, &status.remote) < 0)
			bits_add(failed->bits, i);
	}
	BITS_EACH (i, update->output.bits, NODE_STREAMS_MAX)
		if (io_streams_kick(node->streams, i) < 0)
			bits_add(failed->bits, i);
}

static void expired(uv_timer_t *timer);

static void timer_set(struct io_node *node, usec_t timeout, struct now now)
{
	usec_t wait = timeout > now.mono ? timeout - now.mono : 0;

	if (timeout == node->timeout && uv_is_active((uv_handle_t *)&node->timer))
		return;
	node->timeout = timeout;
	if (timeout == USEC_NEVER)
		uv_timer_stop(&node->timer);
	else
		uv_timer_start(&node->timer, expired, (wait + USEC_PER_MSEC - 1) / USEC_PER_MSEC,
			       0);
}

/* Does the part of the update that is not about streams. */
static void tell(struct io_node *node, const struct node_update *update)
{
	const struct io_node_options *options = &node->options;
	struct membership_notice notice;

	if (update->inject)
		options->inject(options->context);
	if (update->facts && options->facts)
		options->facts(options->context);
	if (update->confirm)
		options->confirm(options->context);
	if (update->services && options->services)
		options->services(options->context);
	if (update->adopt && options->adopt)
		options->adopt(options->context, update->missed);
	while (update->notices && node_notice(node->node, &notice))
		options->notice(options->context, &notice);
	if (update->roster)
		options->roster(options->context);
	if ((update->announce && !node->announce) || (update->refuse && !node->refuse))
		options->announce(options->context, update->announce);
	node->announce = update->announce;
	node->refuse = update->refuse;
	if (update->done && !node->told_done) {
		node->told_done = true;
		options->done(options->context);
	}
	if (update->epoch_wanted && !node->told_epoch) {
		node->told_epoch = true;
		options->epoch_wanted(options->context, update->epoch_wanted);
	}
	if (update->returned && !node->told_returned) {
		node->told_returned = true;
		options->returned(options->context, update->returned);
	}
}

/* For how long the turn has lasted, if that is long and the node does not know it yet. Datagrams
 * are not read meanwhile, and events of streams pass on the time all the same. */
static usec_t lateness(struct io_node *node, struct now now)
{
	uint64_t turn = uv_now(node->options.loop);
	usec_t lasts = now.mono - MIN(now.mono, turn * USEC_PER_MSEC), late;

	if (turn != node->turn)
		node->late = 0;
	node->turn = turn;
	late = lasts - MIN(lasts, node->late);
	if (late < node->options.node.profile.timeout / 2)
		return 0;
	node->late = lasts;
	return late;
}

/* A datagram and the answers to it are charged to the director that made it. */
static void step_charged(struct io_node *node, const struct node_event *event,
			 struct node_update *ret_update)
{
	usec_t since = event->type == NODE_DATAGRAM ? clock_cpu() : 0;
	uint64_t director;

	node_step(node->node, event, ret_update);
	if (ret_update->datagrams)
		datagrams_send(node);
	director = event->type == NODE_DATAGRAM ? node_sender(node->node) : 0;
	if (director)
		node_charge(node->node, director, clock_cpu() - since, event->now);
}

void io_node_send(struct io_node *node, struct node_event *event)
{
	struct node_event closed = {.type = NODE_STREAM_CLOSED};
	struct node_streams failed = {{0}};
	struct node_update update;

	do {
		event->now = clock_now();
		event->late = lateness(node, event->now);
		step_charged(node, event, &update);
		apply(node, &update, event->now, &failed);
		timer_set(node, update.timeout, event->now);
		tell(node, &update);
		event = &closed;
	} while (streams_take(&failed, &closed.stream));
}

static void expired(uv_timer_t *timer)
{
	io_node_send(container_of(timer, struct io_node, timer),
		     &(struct node_event){.type = NODE_TICK});
}

static unsigned int stream_accept(void *context, const struct endpoint *remote, bool strangers)
{
	struct io_node *node = context;

	return node_accept(node->node, remote, strangers, clock_now());
}

static bool stream_stranger(void *context, unsigned int stream)
{
	struct io_node *node = context;

	return node_stranger(node->node, stream);
}

static uint64_t stream_director(void *context, unsigned int stream)
{
	struct io_node *node = context;

	return node_stream_director(node->node, stream);
}

static bool director_throttled(void *context, uint64_t director)
{
	struct io_node *node = context;

	return node_throttled(node->node, director, clock_now());
}

static void director_charge(void *context, uint64_t director, usec_t cpu)
{
	struct io_node *node = context;

	node_charge(node->node, director, cpu, clock_now());
}

static void stream_opened(void *context, unsigned int stream, const struct endpoint *remote)
{
	io_node_send(context, &(struct node_event){.type = NODE_STREAM_OPENED,
						   .stream = stream,
						   .remote = *remote});
}

static void stream_data(void *context, unsigned int stream, const uint8_t *data, size_t len)
{
	io_node_send(context,
		     &(struct node_event){
			     .type = NODE_STREAM_DATA, .stream = stream, .data = data, .len = len});
}

static void stream_closed(void *context, unsigned int stream, bool refused)
{
	io_node_send(context, &(struct node_event){.type = NODE_STREAM_CLOSED,
						   .stream = stream,
						   .refused = refused});
}

static bool datagram_received(void *context, unsigned int local, const struct endpoint *remote,
			      const uint8_t *data, size_t len)
{
	struct io_node *node = context;

	if (node_drops(node->node, data, len, clock_now()))
		return false;
	io_node_send(context, &(struct node_event){.type = NODE_DATAGRAM,
						   .local = local,
						   .remote = *remote,
						   .data = data,
						   .len = len});
	return true;
}

static size_t stream_output(void *context, unsigned int stream, uint8_t *data, size_t cap)
{
	struct io_node *node = context;

	return node_output(node->node, stream, clock_now(), data, cap);
}

void io_node_captured(void *io_node, const uint8_t *data, size_t len)
{
	struct io_node *node = io_node;

	if (!node->captured.mono)
		node->captured = clock_now();
	node_capture(node->node, node->captured, data, len);
}

void io_node_late(void *io_node, usec_t since)
{
	struct io_node *node = io_node;

	node_late(node->node, clock_now(), since);
}

void io_node_captured_all(void *io_node)
{
	struct io_node *node = io_node;

	node->captured.mono = 0;
	io_node_send(node, &(struct node_event){.type = NODE_TICK});
}

void io_node_injected(void *io_node)
{
	io_node_send(io_node, &(struct node_event){.type = NODE_INJECTED});
}

void io_node_inject_lost(void *io_node)
{
	io_node_send(io_node, &(struct node_event){.type = NODE_INJECT_LOST});
}

void io_node_datagrams(const struct io_node *node, struct io_datagrams_counts *ret_counts)
{
	io_datagrams_counts(node->datagrams, ret_counts);
}

const struct node *io_node_get(const struct io_node *node)
{
	return node->node;
}

static int parts_open(struct io_node *node, const struct io_node_options *options,
		      void (*released)(void *context), struct fault *fault)
{
	const struct io_streams_options streams = {
		.loop = options->loop,
		.listen = options->listen,
		.n_listen = options->n_listen,
		.context = node,
		.accept = stream_accept,
		.stranger = stream_stranger,
		.director = stream_director,
		.throttled = director_throttled,
		.charge = director_charge,
		.opened = stream_opened,
		.data = stream_data,
		.closed = stream_closed,
		.output = stream_output,
	};
	const struct io_datagrams_options datagrams = {
		.loop = options->loop,
		.listen = options->listen,
		.n_listen = options->n_listen,
		.context = node,
		.received = datagram_received,
		.sender_at = NODE_SENDER_AT,
	};
	int r = io_datagrams_open(&datagrams, &node->datagrams, fault);

	if (r < 0) {
		released(node);
		return r;
	}
	r = io_streams_open(&streams, &node->streams, fault);
	if (r < 0)
		io_datagrams_close(node->datagrams, released, node);
	return r;
}

static void opened_not(void *context)
{
	struct io_node *node = context;

	node_free(node->node);
	free(node);
}

int io_node_open(const struct io_node_options *options, struct io_node **ret_node,
		 struct fault *fault)
{
	struct io_node *node = calloc(1, sizeof(*node));
	struct node_options core = options->node;
	int r = -ENOMEM;

	core.now = clock_now();
	if (node)
		r = node_new(&core, &node->node);

	if (r < 0) {
		fault_set(fault, r, "can't start the node: %s", uv_strerror(r));
		free(node);
		return r;
	}
	node->options = *options;
	r = parts_open(node, options, opened_not, fault);
	if (r < 0)
		return r;
	uv_update_time(options->loop);
	uv_timer_init(options->loop, &node->timer);
	uv_timer_start(&node->timer, expired, 0, 0);
	*ret_node = node;
	return 0;
}

static void part_closed(void *context)
{
	struct io_node *node = context;
	void (*done)(void *context) = node->done;

	context = node->options.context;
	if (--node->open > 0)
		return;
	node_free(node->node);
	free(node);
	done(context);
}

static void timer_closed(uv_handle_t *handle)
{
	part_closed(container_of(handle, struct io_node, timer));
}

void io_node_close(struct io_node *node, void (*done)(void *context))
{
	node->done = done;
	node->open = 3;
	io_streams_close(node->streams, part_closed);
	io_datagrams_close(node->datagrams, part_closed, node);
	uv_close((uv_handle_t *)&node->timer, timer_closed);
}
