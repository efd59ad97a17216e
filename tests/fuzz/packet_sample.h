/* One packet from d1 to d2 of the fixture, always the same bytes, and d2's key for it. */
#ifndef TESTS_FUZZ_PACKET_SAMPLE_H
#define TESTS_FUZZ_PACKET_SAMPLE_H

#include "proto/session/seal.h"
#include "tests/identity_fixture.h"

struct packet_sample {
	struct packet_key key;
	uint8_t cluster[CLUSTER_ID_SIZE];
	uint8_t data[128];
	size_t len;
};

static inline void packet_sample_init(struct packet_sample *sample)
{
	static const uint8_t body[] = "a packet";
	struct packet packet = {.version = VERSION_WIRE, .kind = 1, .epoch = 2, .sequence = 3};
	struct packet_key from;
	struct identity d1, d2;

	fixture_identity(1, 1, &d1);
	fixture_identity(1, 2, &d2);
	packet.sender = d1.id;
	packet.body = body;
	packet.len = sizeof(body);
	memcpy(sample->cluster, d2.certificate.cluster, CLUSTER_ID_SIZE);
	if (seal_packet_key_init(&d1, &d2.certificate, &from) != 0 ||
	    seal_packet_key_init(&d2, &d1.certificate, &sample->key) != 0 ||
	    seal_packet_pack(&from, sample->cluster, &packet, sample->data, sizeof(sample->data),
			     &sample->len) != 0)
		abort();
}

#endif
