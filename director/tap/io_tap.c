#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/tap/io_tap_private.h"

void io_tap_options_init(struct io_tap_options *options)
{
	*options = (struct io_tap_options){
		.interface = "lvsmesh-tap",
		.net = {.own = 0xa9fe7501, /* 169.254.117.1 */
			.peer = 0xa9fe7502,
			.group = 0xe0000051, /* 224.0.0.81 */
			.port = 8848,
			.beat_port = 8848},
		.prefix = 30,
		.syncid = 117,
		.receive_size = 4 << 20,
	};
}

static void free_when_closed(uv_handle_t *handle)
{
	struct io_tap *tap = handle->data;
	void (*done)(void *ctx) = tap->done;
	void *ctx = tap->done_ctx;

	if (--tap->handles > 0)
		return;
	free(tap);
	if (done)
		done(ctx);
}

static void wake_closed(uv_handle_t *handle)
{
	struct io_tap_wake *wake = handle->data;

	handle->data = wake->ctx;
	free_when_closed(handle);
}

static void poll_closed(uv_handle_t *poll)
{
	free(poll);
}

void io_tap_unwatch(struct io_tap *tap)
{
	if (tap->readable)
		uv_close((uv_handle_t *)tap->readable, poll_closed);
	tap->readable = NULL;
}

int io_tap_watch(struct io_tap *tap)
{
	uv_poll_t *poll = malloc(sizeof(*poll));
	int r = poll ? uv_poll_init(tap->options.loop, poll, tap->fd) : -ENOMEM;

	if (r < 0) {
		free(poll);
		return r;
	}
	poll->data = tap;
	tap->readable = poll;
	tap->index = if_nametoindex(tap->interface);
	tap->wake.ifindex = tap->index;
	uv_timer_stop(&tap->batch_timer);
	return uv_poll_start(poll, UV_READABLE, io_tap_on_readable);
}

static int watch(struct io_tap *tap)
{
	uv_loop_t *loop = tap->options.loop;
	int r = io_tap_watch(tap);

	if (r < 0)
		return r;
	uv_timer_init(loop, &tap->beat);
	uv_timer_init(loop, &tap->pump);
	uv_timer_init(loop, &tap->batch_timer);
	tap->handles = 3;
	tap->seen = uv_now(loop) * USEC_PER_MSEC;
	tap->beat.data = tap->pump.data = tap->batch_timer.data = tap;
	if (io_tap_wake_open(&tap->wake, loop, tap->index, tap->options.port, io_tap_on_wake,
			     tap) == 0) {
		tap->status.woken_by_packets = true;
		tap->handles += 2;
	}
	uv_timer_start(&tap->beat, io_tap_on_beat, 0, 0);
	return 0;
}

int io_tap_open(const struct io_tap_options *options, struct io_tap **ret_tap, struct fault *fault)
{
	struct io_tap *tap = calloc(1, sizeof(*tap));
	int r;

	if (!tap)
		return fault_set(fault, -ENOMEM, "out of memory");
	tap->options = *options;
	snprintf(tap->interface, sizeof(tap->interface), "%s", options->interface);
	for (int i = 0; i < TAP_SERVICES; i++)
		tap->services[i] = (struct ipvs_daemon_probe){
			.address = options->net.own,
			.server = options->net.peer,
			.port = (uint16_t)(options->net.beat_port + i),
		};
	tap->wake.fds[0] = tap->wake.fds[1] = -1;
	tap->fd = tap->stats_fd = tap->socket_fd = tap->device_fd = -1;
	metronome_init(&tap->metronome);
	inject_probe_init(&tap->inject_probe, 0);

	r = io_tap_setup(tap, fault);
	if (r == 0) {
		r = watch(tap);
		if (r < 0)
			fault_set(fault, r, "%s: %s", tap->interface, uv_strerror(r));
	}
	if (r < 0) {
		io_tap_undo(tap);
		free(tap);
		return r;
	}
	*ret_tap = tap;
	return 0;
}

void io_tap_close(struct io_tap *tap, void (*done)(void *ctx), void *ctx)
{
	tap->done = done;
	tap->done_ctx = ctx;
	io_tap_unwatch(tap);
	uv_close((uv_handle_t *)&tap->beat, free_when_closed);
	uv_close((uv_handle_t *)&tap->pump, free_when_closed);
	uv_close((uv_handle_t *)&tap->batch_timer, free_when_closed);
	io_tap_wake_close(&tap->wake, wake_closed);
	io_tap_undo(tap);
	tap->fd = -1;
}

void io_tap_kick(struct io_tap *tap)
{
	uv_timer_start(&tap->pump, io_tap_on_pump, 0, 0);
}

void io_tap_hurry(struct io_tap *tap)
{
	if (tap->hurry || !pace_waiting(&tap->pace))
		return;
	tap->hurry = true;
	io_tap_kick(tap);
}

static const struct counter_row counter_rows[] = {
	COUNTER_ROW(struct io_tap_status, captured_messages, "captured_messages", COUNTER_TOTAL,
		    "Messages from the kernel."),
	COUNTER_ROW(struct io_tap_status, captured_entries, "captured_entries", COUNTER_TOTAL,
		    "Connections in these."),
	COUNTER_ROW(struct io_tap_status, own_messages, "probe_messages", COUNTER_TOTAL,
		    "Messages of lvsmeshd's own probe services."),
	COUNTER_ROW(struct io_tap_status, foreign_packets, "foreign_packets", COUNTER_TOTAL,
		    "Packets on the wire tap that no sync thread sent, such as IGMP."),
	COUNTER_ROW(struct io_tap_status, capture_drops, "capture_drops", COUNTER_TOTAL,
		    "Packets that the kernel dropped because lvsmeshd did not read them in time."),
	COUNTER_ROW(struct io_tap_status, injected_messages, "injected_messages", COUNTER_TOTAL,
		    "Messages to the kernel; one that is written again counts again."),
	COUNTER_ROW(struct io_tap_status, injected_entries, "injected_entries", COUNTER_TOTAL,
		    "Connections in these."),
	COUNTER_ROW(struct io_tap_status, inject_drops, "inject_drops", COUNTER_TOTAL,
		    "Messages that the kernel dropped; they are written again."),
	COUNTER_ROW(struct io_tap_status, inject_retries, "inject_retries", COUNTER_TOTAL,
		    "Times that all unconfirmed connections were written again."),
	COUNTER_ROW(struct io_tap_status, write_errors, "write_errors", COUNTER_TOTAL,
		    "Writes that failed."),
	COUNTER_ROW(struct io_tap_status, beats, "flush_packets", COUNTER_TOTAL,
		    "Probe packets that made the kernel report changes at once."),
	COUNTER_ROW(struct io_tap_status, echoes, "probe_replies", COUNTER_TOTAL,
		    "Probe packets that IPVS forwarded back."),
	COUNTER_ROW(struct io_tap_status, thread_restarts, "thread_restarts", COUNTER_TOTAL,
		    "Restarts of the kernel's sync threads."),
};

const struct counter_table io_tap_counters = COUNTER_ROWS("tap", counter_rows);
const struct counter_table io_tap_packet_counters =
	COUNTER_REASONS("packet", tap_packet_error_name, 1, TAP_E_MAX);

void io_tap_status(const struct io_tap *tap, struct io_tap_status *ret_status)
{
	*ret_status = tap->status;
	ret_status->inject_drops = tap->pace.lost;
	ret_status->beats = tap->metronome.sent;
	ret_status->echoes = tap->metronome.echo.answers;
	ret_status->stalled_since = tap->metronome.echo.silent_since;
	ret_status->silent_since = tap->metronome.sync.silent_since;
	ret_status->blocked_since = tap->pace.stalled_since;
	ret_status->unseen_since = inject_probe_failed_since(&tap->inject_probe);
	ret_status->injects = tap->inject_probe.arrived != 0;
}
