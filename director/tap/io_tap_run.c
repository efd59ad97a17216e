/* Moves the kernel's sync messages: reads what the master thread sends to the TUN, notes when it
 * was read late, and writes what the backup thread is to inject. */
#include <errno.h>
#include <unistd.h>

#include "director/tap/io_tap_private.h"
#include "director/tap/tap_proc.h"
#include "sync/kernel_wire.h"

/* Work of one turn. */
#define READS 1024
#define WRITES 16

/* Between polls of IPVS: when active, when idle, and the first after a packet, whose connection
 * then has its third one too. */
#define ACTIVE_MS 6
#define IDLE_MS 100
#define WOKEN_MS 3

/* Above MANY messages in BATCH, reads are batched: all waiting messages are read once per BATCH,
 * since waking up for each few costs more than all else. The metronome has nothing to do
 * then. */
#define BATCH_MS 10
#define BATCH (BATCH_MS * USEC_PER_MSEC)
#define MANY (3 * METRONOME_ENOUGH)

/* Batched reads put off the poll of IPVS too, for at most so long. */
#define UNSEEN_MAX (100 * USEC_PER_MSEC)

/* If the TUN wasn't read for so long, the daemon stalled. */
#define STALLED (3 * IDLE_MS * USEC_PER_MSEC)
/* How long the kernel may hold back its last message, until another one pushes it out. */
#define HELD_BACK (3 * USEC_PER_SEC)

/* How long a packet that is not IPVS's keeps us awake: longer with each one. */
#define HOLD_MIN (16 * USEC_PER_MSEC)
#define HOLD_MAX USEC_PER_SEC

/* Between looks at the backup's queue while something is in it: when more could be written but for
 * that, or it is waited for, and otherwise. */
#define PUMP_MS 2
#define CONFIRM_MS 100
/* A timer of 0 ms would be run again at once, before anything else of the loop. */
#define NEXT_TURN_MS 1
/* After an error, which will not go away at once. */
#define RETRY_MS 100

#define LOOK_EVERY USEC_PER_SEC
#define REPAIR_EVERY (2 * USEC_PER_SEC)
/* Reading the whole table is much work, and most harmful when entries are dropped for want of
 * time. */
#define MISSED_EVERY (10 * USEC_PER_SEC)

/* Entries of a message, as its header says. */
static unsigned int entries(const uint8_t *payload, size_t len)
{
	return len < KERNEL_WIRE_HEADER ? 0 : payload[4];
}

static usec_t now(const struct io_tap *tap)
{
	return uv_now(tap->options.loop) * USEC_PER_MSEC;
}

static void late_end(struct io_tap *tap)
{
	tap->late = tap->last = false;
	tap->options.callbacks.late(tap->options.node_ctx, 0);
}

static void late_look(struct io_tap *tap)
{
	if (now(tap) > tap->seen + STALLED) {
		tap->late = true;
		tap->last = false;
		tap->options.callbacks.late(tap->options.node_ctx, tap->seen);
	} else if (tap->last && now(tap) > tap->late_until) {
		late_end(tap);
	}
}

static void all_seen(struct io_tap *tap)
{
	tap->seen = now(tap);
	if (!tap->late || tap->last)
		return;
	tap->last = true;
	tap->late_until = now(tap) + HELD_BACK;
}

static void take_sync(struct io_tap *tap, const struct tap_packet *packet)
{
	const struct io_tap_callbacks *callbacks = &tap->options.callbacks;
	unsigned int count = entries(packet->payload, packet->payload_len);

	metronome_sync(&tap->metronome);
	if (tap_packet_is_own(&tap->options.net, packet->payload, packet->payload_len)) {
		tap->status.own_messages++;
		return;
	}
	tap->captured += count;
	tap->status.captured_messages++;
	tap->status.captured_entries += count;
	callbacks->captured(tap->options.node_ctx, packet->payload, packet->payload_len);
}

static void take_packet(struct io_tap *tap, const uint8_t *data, size_t len)
{
	struct tap_packet packet;
	int r = tap_packet_parse(&tap->options.net, data, len, &packet);

	if (r > 0) {
		tap->status.refused[r]++;
	} else if (packet.kind == TAP_SYNC) {
		take_sync(tap, &packet);
		if (tap->last)
			late_end(tap);
	} else if (packet.kind == TAP_ECHO) {
		metronome_echo(&tap->metronome);
	} else {
		tap->status.foreign_packets++;
	}
}

/* Reads the waiting packets, up to READS. Returns how many of them were messages for others. */
static unsigned int drain(struct io_tap *tap)
{
	static uint8_t data[1 << 16];
	uint64_t before = tap->status.captured_messages;
	unsigned int count;

	late_look(tap);
	tap->behind = true;
	for (unsigned int i = 0; i < READS && tap->behind; i++) {
		ssize_t len = read(tap->fd, data, sizeof(data));

		tap->behind = len >= 0;
		if (tap->behind)
			take_packet(tap, data, (size_t)len);
	}
	if (!tap->behind)
		all_seen(tap);
	count = (unsigned int)(tap->status.captured_messages - before);
	if (count > 0)
		tap->options.callbacks.captured_all(tap->options.node_ctx);
	return count;
}

void io_tap_on_readable(uv_poll_t *readable, int status, int events)
{
	struct io_tap *tap = readable->data;

	(void)events;
	/* The interface is gone, and libuv has stopped watching: io_tap_keep() finds it so. */
	if (status < 0)
		return;
	drain(tap);
	if (tap->behind || tap->captured < MANY || now(tap) >= tap->last_beat + BATCH)
		return;
	uv_poll_stop(readable);
	uv_timer_start(&tap->batch_timer, io_tap_batch_due, BATCH_MS, 0);
}

void io_tap_batch_due(uv_timer_t *timer)
{
	struct io_tap *tap = timer->data;

	if (!tap->readable)
		return;
	if (drain(tap) < MANY || tap->behind) {
		uv_poll_start(tap->readable, UV_READABLE, io_tap_on_readable);
		return;
	}
	if (now(tap) >= tap->last_beat + UNSEEN_MAX)
		io_tap_on_beat(&tap->beat);
	uv_timer_start(timer, io_tap_batch_due, BATCH_MS, 0);
	uv_timer_start(&tap->beat, io_tap_on_beat, BATCH_MS + WOKEN_MS, 0);
}

bool io_tap_put(struct io_tap *tap, const uint8_t *packet, size_t len)
{
	if (write(tap->fd, packet, len) == (ssize_t)len)
		return true;
	tap->status.write_errors++;
	return false;
}

static void report_changes(struct io_tap *tap)
{
	bool stalled = tap->metronome.echo.silent_since != 0;
	bool silent = tap->metronome.sync.silent_since != 0;
	bool blocked = tap->pace.stalled_since != 0;
	bool unseen = inject_probe_failed_since(&tap->inject_probe) != 0;

	if (stalled == tap->was_stalled && silent == tap->was_silent &&
	    blocked == tap->was_blocked && unseen == tap->was_unseen)
		return;
	tap->was_unseen = unseen;
	tap->was_stalled = stalled;
	tap->was_silent = silent;
	tap->was_blocked = blocked;
	tap->options.callbacks.changed(tap->options.ctx);
}

bool io_tap_begin_again(struct io_tap *tap)
{
	uint32_t queue, drops;

	tap->status.thread_restarts++;
	if (io_tap_restart_threads(tap) < 0 || io_tap_queue_read(tap, &queue, &drops) < 0)
		return false;
	tap->missed = true;
	tap->held = false;
	pace_restart(&tap->pace, drops);
	tap->status.inject_retries++;
	tap->options.callbacks.lost(tap->options.node_ctx);
	return true;
}

/* Rate limit: at most one repair per REPAIR_EVERY, so that repairs do not fill the loop. */
static bool may_repair(struct io_tap *tap)
{
	if (now(tap) < tap->next_repair)
		return false;
	tap->next_repair = now(tap) + REPAIR_EVERY;
	return true;
}

/* Restores our services and threads after another process flushed or stopped them. */
static void repair(struct io_tap *tap)
{
	if (!may_repair(tap))
		return;
	if (tap->metronome.echo.silent_since)
		ipvs_daemon_add_probe(tap->daemon, &tap->services[TAP_SERVICE_BEAT]);
	if (tap->metronome.sync.silent_since)
		io_tap_begin_again(tap);
}

static void poll_drops(struct io_tap *tap)
{
	uint64_t before = tap->device_drops;

	if (now(tap) < tap->next_look)
		return;
	tap->next_look = now(tap) + LOOK_EVERY;
	io_tap_capture_drops(tap, &tap->device_drops);
	/* An interface that was made anew counts from 0. */
	tap->status.capture_drops +=
		tap->device_drops >= before ? tap->device_drops - before : tap->device_drops;
	tap->rx_dropped = tap->device_drops != before;
	tap->missed |= tap->rx_dropped;
}

static void report_missed(struct io_tap *tap)
{
	if (!tap->missed || now(tap) < tap->next_missed)
		return;
	tap->missed = false;
	tap->next_missed = now(tap) + MISSED_EVERY;
	tap->options.callbacks.missed(tap->options.ctx);
}

static void beat(struct io_tap *tap, const struct metronome_input *input)
{
	uint32_t number = (uint32_t)tap->metronome.sent;
	unsigned int count = metronome_tick(&tap->metronome, input);

	while (count-- > 0) {
		uint8_t packet[TAP_BEAT_SIZE];

		tap_packet_beat(&tap->options.net, packet, number++);
		io_tap_put(tap, packet, sizeof(packet));
	}
}

static void poll_idle(struct io_tap *tap)
{
	if (tap->wake.armed || tap->held || now(tap) < tap->awake_until ||
	    !metronome_idle(&tap->metronome, now(tap)))
		return;
	if (tap->woken_at && tap->metronome.last_moved < tap->woken_at)
		tap->hold = MIN(2 * tap->hold, HOLD_MAX);
	else
		tap->hold = HOLD_MIN;
	tap->woken_at = 0;
	io_tap_wake_arm(&tap->wake);
}

void io_tap_on_wake(void *ctx)
{
	struct io_tap *tap = ctx;

	tap->status.wakes++;
	tap->woken_at = now(tap);
	tap->awake_until = tap->woken_at + tap->hold;
	uv_timer_start(&tap->beat, io_tap_on_beat, WOKEN_MS, 0);
}

static void poll_ipvs(struct io_tap *tap)
{
	static char text[1 << 16];
	struct metronome_input input = {
		.now = now(tap),
		.captured = tap->captured,
		.rx_dropped = tap->behind || tap->rx_dropped,
	};
	ssize_t len = pread(tap->stats_fd, text, sizeof(text), 0);

	tap->captured = 0;
	tap->rx_dropped = false;
	if (len > 0 && tap_proc_stats(text, (size_t)len, &input.conns, &input.packets) == 0)
		beat(tap, &input);
	if (!metronome_idle(&tap->metronome, now(tap)))
		io_tap_wake_disarm(&tap->wake);
}

void io_tap_on_beat(uv_timer_t *timer)
{
	struct io_tap *tap = timer->data;

	tap->last_beat = now(tap);
	if (now(tap) > tap->seen + STALLED)
		drain(tap);
	else if (!tap->behind)
		all_seen(tap);
	/* Arms before it polls, so that no packet falls between the two. */
	poll_idle(tap);
	io_tap_keep(tap, now(tap));
	io_tap_probe_injection(tap, now(tap));
	poll_drops(tap);
	poll_ipvs(tap);
	uv_timer_start(timer, io_tap_on_beat, tap->wake.armed ? IDLE_MS : ACTIVE_MS, 0);
	if (tap->metronome.echo.silent_since || tap->metronome.sync.silent_since)
		repair(tap);
	report_changes(tap);
	report_missed(tap);
}

/* False when there is no backup thread, or its state is unknown. */
static bool observe(struct io_tap *tap)
{
	const struct io_tap_callbacks *callbacks = &tap->options.callbacks;
	uint32_t queue, drops;

	tap->next_observe = now(tap) + CONFIRM_MS * USEC_PER_MSEC;
	if (io_tap_queue_read(tap, &queue, &drops) < 0)
		return may_repair(tap) && io_tap_begin_again(tap);
	switch (pace_observe(&tap->pace, queue, drops, now(tap))) {
	case PACE_PENDING:
		break;
	case PACE_CONFIRMED:
		if (!io_tap_confirm(tap, now(tap)))
			break;
		tap->hurry = false;
		callbacks->confirmed(tap->options.node_ctx);
		break;
	case PACE_LOST:
		tap->status.inject_retries++;
		callbacks->lost(tap->options.node_ctx);
		break;
	}
	return true;
}

/* Writes as much as the pace allows. True when there may be more at once. */
static bool inject(struct io_tap *tap, bool *ret_failed)
{
	static uint8_t packet[TAP_SYNC_HEADER + IO_TAP_PAYLOAD_MAX];
	uint8_t *payload = packet + TAP_SYNC_HEADER;

	for (unsigned int i = 0; i < WRITES; i++) {
		size_t len;

		if (tap->held || !pace_allows(&tap->pace, IO_TAP_PAYLOAD_MAX))
			return false;
		len = tap->options.callbacks.pull(tap->options.ctx, payload, IO_TAP_PAYLOAD_MAX);
		if (len == 0)
			return false;
		tap_packet_sync_header(&tap->options.net, packet, len);
		if (!io_tap_put(tap, packet, TAP_SYNC_HEADER + len)) {
			tap->status.inject_retries++;
			tap->options.callbacks.lost(tap->options.node_ctx);
			*ret_failed = true;
			return false;
		}
		pace_wrote(&tap->pace, len);
		tap->status.injected_messages++;
		tap->status.injected_entries += entries(payload, len);
	}
	return true;
}

/* A look takes longer than writing some messages. */
static bool due_to_observe(const struct io_tap *tap)
{
	return pace_waiting(&tap->pace) && (now(tap) >= tap->next_observe || tap->hurry ||
					    !pace_allows(&tap->pace, IO_TAP_PAYLOAD_MAX));
}

void io_tap_on_pump(uv_timer_t *pump)
{
	struct io_tap *tap = pump->data;
	bool more = false, failed = false;

	if (!pace_waiting(&tap->pace))
		tap->next_observe = now(tap) + CONFIRM_MS * USEC_PER_MSEC;
	if (!due_to_observe(tap) || observe(tap))
		more = inject(tap, &failed);
	else
		failed = true;
	if (failed)
		uv_timer_start(pump, io_tap_on_pump, RETRY_MS, 0);
	else if (more)
		uv_timer_start(pump, io_tap_on_pump, NEXT_TURN_MS, 0);
	else if (pace_waiting(&tap->pace))
		uv_timer_start(pump, io_tap_on_pump, due_to_observe(tap) ? PUMP_MS : CONFIRM_MS, 0);
}
