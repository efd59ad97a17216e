/* Confirms injected entries when an injected probe is seen in the kernel. */
#include "director/tap/io_tap_private.h"
#include "sync/kernel_wire.h"

static uint32_t connections(struct io_tap *tap)
{
	uint32_t count = 0;

	/* Without the service nothing arrives either; io_tap_keep() and the metronome see to it. */
	ipvs_daemon_probe_conns(tap->daemon, &tap->services[TAP_SERVICE_INJECT], &count);
	return count;
}

static void send_probe(struct io_tap *tap, usec_t now)
{
	const struct entry entry =
		inject_probe_entry(&tap->inject_probe, tap->options.net.own, tap->options.net.peer,
				   tap->services[TAP_SERVICE_INJECT].port);
	uint8_t packet[TAP_SYNC_HEADER + KERNEL_WIRE_HEADER + KERNEL_WIRE_V4];
	uint32_t before = connections(tap);
	struct kernel_wire_writer writer;
	size_t len;

	kernel_wire_write(&writer, packet + TAP_SYNC_HEADER, sizeof(packet) - TAP_SYNC_HEADER,
			  tap->options.syncid);
	kernel_wire_add(&writer, &entry);
	len = kernel_wire_finish(&writer);
	tap_packet_sync_header(&tap->options.net, packet, len);
	io_tap_put(tap, packet, TAP_SYNC_HEADER + len);
	inject_probe_sent(&tap->inject_probe, before, now);
}

/* Confirms the entries that waited for the verdict, or has them injected again. */
static void release(struct io_tap *tap, bool arrived)
{
	const struct io_tap_callbacks *callbacks = &tap->options.callbacks;

	if (!tap->held)
		return;
	tap->held = tap->hurry = false;
	if (arrived) {
		callbacks->confirmed(tap->options.node_ctx);
	} else {
		tap->status.inject_retries++;
		callbacks->lost(tap->options.node_ctx);
	}
	io_tap_kick(tap);
}

void io_tap_probe_injection(struct io_tap *tap, usec_t now)
{
	struct inject_probe *probe = &tap->inject_probe;

	if (tap->fd < 0)
		return;
	if (inject_probe_due(probe, now)) {
		send_probe(tap, now);
		return;
	}
	if (!probe->sent)
		return;
	switch (inject_probe_observe(probe, connections(tap), now)) {
	case INJECT_PROBE_PENDING:
		break;
	case INJECT_PROBE_ARRIVED:
		release(tap, true);
		break;
	case INJECT_PROBE_LOST:
		release(tap, false);
		break;
	}
}

bool io_tap_confirm(struct io_tap *tap, usec_t now)
{
	if (inject_probe_trusted(&tap->inject_probe))
		return true;
	tap->held = true;
	inject_probe_hurry(&tap->inject_probe, now);
	return false;
}
