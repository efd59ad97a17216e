/* Input from an authenticated director: the first byte chooses the kind of datagram or frame, or
 * the roster of the last boot. A director can state of itself what it likes, and can't make up
 * members. */
#include <stdlib.h>

#include "membership/membership.h"
#include "proto/membership.pb-c.h"
#include "proto/session/seal.h"
#include "tests/identity_fixture.h"

#define EPOCH 7
#define STREAM 20
#define PORT 7946

enum { PING = 1, ACK };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct identity us, peer;
static struct packet_key key;
static struct membership_update update;
static usec_t mono = USEC_PER_SEC;

static void step(struct membership *m, struct membership_event event)
{
	mono += USEC_PER_MSEC;
	event.now = (struct now){.mono = mono, .wall = FIXTURE_WALL};
	membership_step(m, &event, &update);
}

static void send_packet(struct membership *m, uint8_t kind, const uint8_t *body, size_t len)
{
	static uint64_t sequence;
	static uint8_t bytes[70000];
	struct packet packet = {.version = VERSION_WIRE,
				.kind = kind,
				.sender = peer.id,
				.epoch = EPOCH,
				.sequence = ++sequence,
				.body = body,
				.len = len};
	struct membership_event event = {.type = MEMBERSHIP_DATAGRAM, .data = bytes};

	if (seal_packet_pack(&key, us.certificate.cluster, &packet, bytes, sizeof(bytes),
			     &event.len))
		return;
	event.remote = (struct endpoint){.ip = {.family = AF_INET, .bytes = {10}}, .port = PORT};
	step(m, event);
}

/* Acks every ping of ours. */
static void answer(struct membership *m)
{
	uint8_t bytes[MEMBERSHIP_DATAGRAM_MAX], body[64];
	Lvsmesh__Pb__Datagram ack = LVSMESH__PB__DATAGRAM__INIT, *ping;
	struct membership_target target;
	struct packet packet;
	size_t len;

	while ((len = membership_datagram(m, bytes, sizeof(bytes), &target))) {
		if (seal_packet_parse(us.certificate.cluster, VERSION_RANGE, bytes, len, &packet) !=
			    0 ||
		    packet.kind != PING)
			continue;
		ping = lvsmesh__pb__datagram__unpack(NULL, packet.len, packet.body);
		if (!ping)
			abort();
		ack.nonce = ping->nonce;
		lvsmesh__pb__datagram__free_unpacked(ping, NULL);
		send_packet(m, ACK, body, lvsmesh__pb__datagram__pack(&ack, body));
	}
}

static struct membership *start(const uint8_t *roster, size_t len)
{
	struct membership_options options = {
		.identity = &us,
		.epoch = EPOCH,
		.profile = membership_default,
		.addresses = {{.ip = {.family = AF_INET, .bytes = {10, 0, 0, 1}}, .port = PORT}},
		.address_count = 1,
		.versions = VERSION_RANGE,
		.roster = roster,
		.roster_len = len,
		.now = {.mono = mono, .wall = FIXTURE_WALL},
	};
	struct membership *m;

	return membership_new(&options, &m) == 0 ? m : NULL;
}

static void open_stream(struct membership *m)
{
	static const uint8_t none[1];

	step(m, (struct membership_event){.type = MEMBERSHIP_STREAM_OPENED,
					  .stream = STREAM,
					  .peer = &peer.certificate,
					  .peer_epoch = EPOCH});
	step(m, (struct membership_event){.type = MEMBERSHIP_STREAM_FRAME,
					  .stream = STREAM,
					  .kind = MEMBERSHIP_KIND_DIGEST,
					  .data = none});
}

/* The peer states its address, in the first frame that it owes. */
static void introduce(struct membership *m)
{
	Lvsmesh__Pb__Statement statement = LVSMESH__PB__STATEMENT__INIT;
	Lvsmesh__Pb__Record record = LVSMESH__PB__RECORD__INIT, *records = &record;
	Lvsmesh__Pb__State state = LVSMESH__PB__STATE__INIT;
	uint8_t body[128], signature[SIGNATURE_SIZE], bytes[512], frame[MEMBERSHIP_BODY_MAX], kind;
	uint8_t endpoint[6] = {10, 0, 0, 2, PORT >> 8, PORT & 255};
	ProtobufCBinaryData endpoints = {sizeof(endpoint), endpoint};
	size_t len;

	statement.n_endpoints = 1;
	statement.endpoints = &endpoints;
	statement.version_min = statement.version_max = 1;
	record.kind = 32;
	record.origin = peer.id;
	record.epoch = EPOCH;
	record.sequence = 1;
	record.body.data = body;
	record.body.len = lvsmesh__pb__statement__pack(&statement, body);
	seal_record_sign(&peer, 32, EPOCH, 1, body, record.body.len, signature);
	record.signature.data = signature;
	record.signature.len = sizeof(signature);
	state.n_records = 1;
	state.records = &records;
	while (membership_frame(m, STREAM, frame, &kind, &len) == 0)
		;
	step(m, (struct membership_event){.type = MEMBERSHIP_STREAM_FRAME,
					  .stream = STREAM,
					  .kind = MEMBERSHIP_KIND_STATE,
					  .data = bytes,
					  .len = lvsmesh__pb__state__pack(&state, bytes)});
}

static void check(const struct membership *m)
{
	struct membership_status status;
	struct member_info info;
	unsigned int cursor = 0;

	membership_status(m, &status);
	if (status.view > 2 || status.roster > 2)
		abort();
	while (membership_walk(m, &cursor, &info))
		if (info.id != peer.id)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct membership *m;
	uint8_t kind = size ? data[0] : 0;

	if (us.id == 0) {
		fixture_identity(1, 1, &us);
		fixture_identity(1, 2, &peer);
		if (seal_packet_key_init(&peer, &us.certificate, &key) != 0)
			abort();
	}
	if (size == 0)
		return 0;
	m = start(kind == 0 ? data + 1 : NULL, kind == 0 ? size - 1 : 0);
	if (!m)
		return 0;
	open_stream(m);
	introduce(m);
	answer(m);
	if (kind >= 32)
		step(m, (struct membership_event){.type = MEMBERSHIP_STREAM_FRAME,
						  .stream = STREAM,
						  .kind = kind,
						  .data = data + 1,
						  .len = size - 1});
	else if (kind > 0)
		send_packet(m, kind, data + 1, size - 1);
	for (unsigned int i = 0; i < 5; i++) {
		mono = update.timeout < mono + USEC_PER_SEC ? update.timeout : mono;
		step(m, (struct membership_event){.type = MEMBERSHIP_TICK});
		answer(m);
	}
	check(m);
	membership_free(m);
	return 0;
}
