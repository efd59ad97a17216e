/* The kernel's input: packets from the tap, and the text of files of /proc; by the first byte. */
#include <stdlib.h>

#include "director/tap/tap_packet.h"
#include "director/tap/tap_proc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct tap_net net = {
	.own = 0xa9fe7501,
	.peer = 0xa9fe7502,
	.group = 0xe0000051,
	.port = 8848,
	.beat_port = 9,
	.master_port = 40000,
};

static void packet(const uint8_t *data, size_t size)
{
	struct tap_packet parsed;
	int r = tap_packet_parse(&net, data, size, &parsed);

	if (r < 0 || r >= TAP_E_MAX)
		abort();
	if (r != 0 || parsed.kind != TAP_SYNC)
		return;
	if (parsed.payload < data || parsed.payload + parsed.payload_len != data + size)
		abort();
	tap_packet_is_own(&net, parsed.payload, parsed.payload_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t conns, packets;
	uint32_t queue, drops;
	uint16_t port;

	if (size == 0)
		return 0;
	switch (data[0]) {
	case 's':
		tap_proc_stats((const char *)data + 1, size - 1, &conns, &packets);
		break;
	case 'u':
		tap_proc_socket((const char *)data + 1, size - 1, net.group, net.port, &queue,
				&drops);
		tap_proc_sender((const char *)data + 1, size - 1, net.own, net.group, net.port,
				&port);
		break;
	case 'd':
		tap_proc_device((const char *)data + 1, size - 1, "lvsmesh-tap", &packets);
		break;
	default:
		packet(data + 1, size - 1);
	}
	return 0;
}
