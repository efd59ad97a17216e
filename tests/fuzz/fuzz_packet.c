/* A datagram from anywhere. Only the one that the true peer sealed verifies. */
#include "proto/session/seal.h"
#include "tests/fuzz/packet_sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct packet_sample sample;
	struct packet packet;
	bool verified;

	if (sample.len == 0)
		packet_sample_init(&sample);
	verified = seal_packet_verify(&sample.key, data, size) == 0;
	if (verified && (size != sample.len || memcmp(data, sample.data, size) != 0))
		abort();
	if (seal_packet_parse(sample.cluster, VERSION_RANGE, data, size, &packet) != 0) {
		if (verified)
			abort();
		return 0;
	}
	if (packet.body != data + PACKET_HEADER || packet.len + PACKET_OVERHEAD != size)
		abort();
	return 0;
}
