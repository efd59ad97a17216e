/*
 * insider IDENTITY ENDPOINT TARGET-IDENTITY TARGET-ENDPOINT: a member with a valid key that
 * misbehaves. It has that identity, a number of the fixture or a directory, joins the target,
 * answers its pings, accepts its streams, and makes as much work as it can in the way that the last
 * line of standard input names:
 *
 *   quiet            only that
 *   wants            wants the whole table, again and again
 *   subscribes       dials, subscribes to everything, and dials again
 *   sums, orphans    a Sums, or an Orphans of 256 journals, again and again
 *   batches          signed batches without entries
 *   forged-batches   batches with a wrong signature, in a new stream each
 *   statements       States of 64 statements of its own
 *   forged-statements, forged-certificates   States of which nothing is genuine
 *   gossip           datagrams of 8 statements of its own
 *   forged-gossip    datagrams of 8 records with a wrong signature
 *   accusations      datagrams of 8 accusations of the target
 *   pings            pings
 *
 * Writes JSON lines: "joined" when the target has subscribed to it; "storm" when it has begun one.
 * Ends with the input.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "membership/membership.h"
#include "proto/identity/identity_file.h"
#include "proto/membership.pb-c.h"
#include "proto/session/seal.h"
#include "proto/session/session.h"
#include "proto/sync.pb-c.h"
#include "sync/sync.h"
#include "tests/identity_fixture.h"

#define CONNS 8
#define OUT_SIZE (256 * 1024)
#define STATE_RECORDS 64
#define GOSSIP_RECORDS 8
#define JOURNALS 256
#define RANGES 4096
#define REDIAL (25 * USEC_PER_MSEC) /* as fast as the target admits */

enum { PING = 1, ACK, GOSSIP };
enum { STATEMENT = 32, SUSPICION };

enum storm {
	QUIET,
	WANTS,
	SUBSCRIBES,
	SUMS,
	ORPHANS,
	BATCHES,
	FORGED_BATCHES,
	STATEMENTS,
	FORGED_STATEMENTS,
	FORGED_CERTIFICATES,
	GOSSIPS,
	FORGED_GOSSIP,
	ACCUSATIONS,
	PINGS,
	STORMS,
};

static const char *const storm_names[STORMS] = {
	[QUIET] = "quiet",
	[WANTS] = "wants",
	[SUBSCRIBES] = "subscribes",
	[SUMS] = "sums",
	[ORPHANS] = "orphans",
	[BATCHES] = "batches",
	[FORGED_BATCHES] = "forged-batches",
	[STATEMENTS] = "statements",
	[FORGED_STATEMENTS] = "forged-statements",
	[FORGED_CERTIFICATES] = "forged-certificates",
	[GOSSIPS] = "gossip",
	[FORGED_GOSSIP] = "forged-gossip",
	[ACCUSATIONS] = "accusations",
	[PINGS] = "pings",
};

enum use { ACCEPTED, SUBSCRIBER, MEMBERSHIP };

struct conn {
	int fd; /* -1: not used */
	struct session *session;
	enum use use;
	bool dialled, begun, asked, told;
	uint64_t position;
	size_t received, out_at, out_len;
	uint8_t out[OUT_SIZE];
};

static struct insider {
	struct identity identity, target;
	struct packet_key key;
	struct endpoint own;
	struct sockaddr_storage address;
	socklen_t address_len;
	int udp, listener;
	uint64_t epoch, sequence, incarnation, accusation;
	/* The target's newest statement, as it is to be quoted. */
	uint64_t target_epoch, target_incarnation;
	enum storm storm;
	bool joined;
	usec_t dialled;
	struct conn conns[CONNS];
} insider;

static struct now time_now(void)
{
	struct timespec mono, wall;

	clock_gettime(CLOCK_MONOTONIC, &mono);
	clock_gettime(CLOCK_REALTIME, &wall);
	return (struct now){
		.mono = (usec_t)mono.tv_sec * USEC_PER_SEC + (usec_t)mono.tv_nsec / 1000,
		.wall = (usec_t)wall.tv_sec * USEC_PER_SEC + (usec_t)wall.tv_nsec / 1000,
	};
}

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static ProtobufCBinaryData bytes_of(const void *data, size_t len)
{
	return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)data};
}

/* Records */

struct record {
	Lvsmesh__Pb__Record message;
	uint8_t body[160], signature[SIGNATURE_SIZE];
};

static void record_set(struct record *record, uint8_t kind, uint64_t origin, uint64_t sequence,
		       size_t len, bool forged)
{
	lvsmesh__pb__record__init(&record->message);
	if (forged)
		memset(record->signature, 7, sizeof(record->signature));
	else
		seal_record_sign(&insider.identity, kind, insider.epoch, sequence, record->body,
				 len, record->signature);
	record->message.kind = kind;
	record->message.origin = origin;
	record->message.epoch = insider.epoch;
	record->message.sequence = sequence;
	record->message.body = bytes_of(record->body, len);
	record->message.signature = bytes_of(record->signature, sizeof(record->signature));
}

static void record_statement(struct record *record, bool forged)
{
	Lvsmesh__Pb__Statement message = LVSMESH__PB__STATEMENT__INIT;
	size_t size = ip_addr_size(insider.own.ip.family);
	uint8_t endpoint[18];
	ProtobufCBinaryData endpoints = bytes_of(endpoint, size + 2);

	memcpy(endpoint, insider.own.ip.bytes, size);
	store_be16(endpoint + size, insider.own.port);
	message.boot = 1;
	message.phase = PHASE_READY;
	message.n_endpoints = 1;
	message.endpoints = &endpoints;
	message.version_min = message.version_max = VERSION_WIRE;
	record_set(record, STATEMENT, insider.identity.id, ++insider.incarnation,
		   lvsmesh__pb__statement__pack(&message, record->body), forged);
}

static void record_accusation(struct record *record)
{
	Lvsmesh__Pb__Suspicion message = LVSMESH__PB__SUSPICION__INIT;

	message.subject = insider.target.id;
	message.epoch = insider.target_epoch;
	message.incarnation = insider.target_incarnation;
	record_set(record, SUSPICION, insider.identity.id, ++insider.accusation,
		   lvsmesh__pb__suspicion__pack(&message, record->body), false);
}

/* Datagrams */

static void datagram_send(uint8_t kind, const Lvsmesh__Pb__Datagram *body)
{
	uint8_t bytes[MEMBERSHIP_DATAGRAM_MAX], data[MEMBERSHIP_DATAGRAM_MAX + PACKET_OVERHEAD];
	struct packet packet = {.version = VERSION_WIRE,
				.kind = kind,
				.sender = insider.identity.id,
				.epoch = insider.epoch,
				.sequence = ++insider.sequence,
				.body = bytes};
	size_t len;

	packet.len = lvsmesh__pb__datagram__pack(body, bytes);
	check(seal_packet_pack(&insider.key, insider.identity.certificate.cluster, &packet, data,
			       sizeof(data), &len) == 0,
	      "a datagram");
	sendto(insider.udp, data, len, MSG_DONTWAIT, (struct sockaddr *)&insider.address,
	       insider.address_len);
}

static void datagram_storm(void)
{
	Lvsmesh__Pb__Datagram body = LVSMESH__PB__DATAGRAM__INIT;
	Lvsmesh__Pb__Record *pointers[GOSSIP_RECORDS];
	struct record records[GOSSIP_RECORDS];

	if (insider.storm == PINGS) {
		body.nonce = insider.sequence;
		datagram_send(PING, &body);
		return;
	}
	for (unsigned int i = 0; i < GOSSIP_RECORDS; i++) {
		if (insider.storm == ACCUSATIONS)
			record_accusation(&records[i]);
		else
			record_statement(&records[i], insider.storm == FORGED_GOSSIP);
		pointers[i] = &records[i].message;
	}
	body.n_records = GOSSIP_RECORDS;
	body.records = pointers;
	datagram_send(GOSSIP, &body);
}

static void datagrams_read(void)
{
	uint8_t data[65536];
	struct packet packet;
	ssize_t len;

	while ((len = recv(insider.udp, data, sizeof(data), MSG_DONTWAIT)) > 0) {
		Lvsmesh__Pb__Datagram answer = LVSMESH__PB__DATAGRAM__INIT, *body;

		if (seal_packet_parse(insider.identity.certificate.cluster,
				      (struct version_range)VERSION_RANGE, data, (size_t)len,
				      &packet) != 0 ||
		    packet.kind != PING || seal_packet_verify(&insider.key, data, (size_t)len) != 0)
			continue;
		body = lvsmesh__pb__datagram__unpack(NULL, packet.len, packet.body);
		if (!body)
			continue;
		answer.nonce = body->nonce;
		datagram_send(ACK, &answer);
		lvsmesh__pb__datagram__free_unpacked(body, NULL);
	}
}

/* Streams */

static void conn_close(struct conn *conn)
{
	close(conn->fd);
	session_free(conn->session);
	conn->session = NULL;
	conn->fd = -1;
}

static struct conn *conn_new(int fd, enum use use, bool dialled)
{
	struct session_options options = {.identity = &insider.identity,
					  .dialer = dialled,
					  .epoch = insider.epoch,
					  .versions = VERSION_RANGE};
	struct conn *conn = insider.conns;

	while (conn < insider.conns + CONNS && conn->fd >= 0)
		conn++;
	if (conn == insider.conns + CONNS) {
		close(fd);
		return NULL;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	store_le64(options.nonce, ++insider.sequence);
	check(session_new(&options, &conn->session) == 0, "a session");
	conn->fd = fd;
	conn->use = use;
	conn->dialled = dialled;
	conn->begun = conn->asked = conn->told = false;
	conn->position = 0;
	conn->received = conn->out_at = conn->out_len = 0;
	return conn;
}

static void conn_dial(enum use use)
{
	int fd = socket(insider.address.ss_family, SOCK_STREAM, 0);

	insider.dialled = time_now().mono;
	if (connect(fd, (struct sockaddr *)&insider.address, insider.address_len) < 0) {
		close(fd);
		return;
	}
	conn_new(fd, use, true);
}

static bool has_room(const struct conn *conn, size_t len)
{
	return conn->out_len + len + SESSION_OVERHEAD <= OUT_SIZE;
}

static void conn_say(struct conn *conn, uint8_t kind, const uint8_t *body, size_t len)
{
	size_t sealed;

	check(session_seal(conn->session, kind, body, len, conn->out + conn->out_len,
			   OUT_SIZE - conn->out_len, &sealed) == 0,
	      "a frame");
	conn->out_len += sealed;
}

static void say_subscribe(struct conn *conn)
{
	Lvsmesh__Pb__Subscribe message = LVSMESH__PB__SUBSCRIBE__INIT;
	uint8_t body[64];

	conn_say(conn, SYNC_KIND_SUBSCRIBE, body, lvsmesh__pb__subscribe__pack(&message, body));
}

/* No entry is newer: the table is walked in vain. */
static void say_want(struct conn *conn)
{
	Lvsmesh__Pb__Want message = LVSMESH__PB__WANT__INIT;
	uint32_t ranges[] = {0, RANGES - 1};
	uint8_t body[64];

	message.n_ranges = ARRAY_SIZE(ranges);
	message.ranges = ranges;
	message.since = UINT64_MAX;
	conn_say(conn, SYNC_KIND_WANT, body, lvsmesh__pb__want__pack(&message, body));
	conn->asked = true;
}

static void say_begin(struct conn *conn)
{
	Lvsmesh__Pb__Begin begin = LVSMESH__PB__BEGIN__INIT;
	Lvsmesh__Pb__Heartbeat heartbeat = LVSMESH__PB__HEARTBEAT__INIT;
	uint8_t body[64];

	begin.journal = insider.sequence;
	conn_say(conn, SYNC_KIND_BEGIN, body, lvsmesh__pb__begin__pack(&begin, body));
	heartbeat.complete = true;
	conn_say(conn, SYNC_KIND_HEARTBEAT, body, lvsmesh__pb__heartbeat__pack(&heartbeat, body));
	conn->begun = true;
	if (!insider.joined)
		printf("{\"event\": \"joined\"}\n");
	insider.joined = true;
}

static void say_heartbeat(struct conn *conn)
{
	Lvsmesh__Pb__Heartbeat message = LVSMESH__PB__HEARTBEAT__INIT;
	uint8_t body[64];

	message.position = conn->position;
	message.complete = true;
	conn_say(conn, SYNC_KIND_HEARTBEAT, body, lvsmesh__pb__heartbeat__pack(&message, body));
}

static void say_sums(struct conn *conn)
{
	static uint8_t sums[RANGES * 8], body[RANGES * 8 + 64];
	Lvsmesh__Pb__Sums message = LVSMESH__PB__SUMS__INIT;

	message.horizon = ++insider.sequence;
	message.sums = bytes_of(sums, sizeof(sums));
	conn_say(conn, SYNC_KIND_SUMS, body, lvsmesh__pb__sums__pack(&message, body));
}

static void say_orphans(struct conn *conn)
{
	Lvsmesh__Pb__Orphans message = LVSMESH__PB__ORPHANS__INIT;
	static uint64_t column[JOURNALS];
	static uint8_t body[JOURNALS * 32 + 64];

	for (unsigned int i = 0; i < JOURNALS; i++)
		column[i] = i + 1;
	message.n_ids = message.n_journals = message.n_positions = message.n_hlcs = JOURNALS;
	message.ids = message.journals = message.positions = message.hlcs = column;
	conn_say(conn, SYNC_KIND_ORPHANS, body, lvsmesh__pb__orphans__pack(&message, body));
}

/* answer: an empty answer to a Want. */
static void say_batch(struct conn *conn, bool forged, bool answer)
{
	Lvsmesh__Pb__Batch message = LVSMESH__PB__BATCH__INIT;
	uint8_t body[SIGNATURE_SIZE + 64] = {0};
	size_t len;

	message.first = conn->position;
	conn->position += !answer;
	message.last = conn->position;
	message.wanted = message.wanted_end = answer;
	len = lvsmesh__pb__batch__pack(&message, body + SIGNATURE_SIZE);
	if (!forged)
		seal_record_sign(&insider.identity, SYNC_KIND_BATCH, insider.epoch, message.last,
				 body + SIGNATURE_SIZE, len, body);
	conn_say(conn, SYNC_KIND_BATCH, body, SIGNATURE_SIZE + len);
}

static void say_digest(struct conn *conn)
{
	Lvsmesh__Pb__Digest message = LVSMESH__PB__DIGEST__INIT;
	uint8_t body[16];

	conn_say(conn, MEMBERSHIP_KIND_DIGEST, body, lvsmesh__pb__digest__pack(&message, body));
}

static void say_state(struct conn *conn, unsigned int count, enum storm storm)
{
	static uint8_t body[MEMBERSHIP_BODY_MAX], certificate[256];
	static struct record records[STATE_RECORDS];
	Lvsmesh__Pb__State message = LVSMESH__PB__STATE__INIT;
	Lvsmesh__Pb__Record *pointers[STATE_RECORDS];

	for (unsigned int i = 0; i < count; i++) {
		record_statement(&records[i],
				 storm == FORGED_STATEMENTS || storm == FORGED_CERTIFICATES);
		pointers[i] = &records[i].message;
		if (storm == FORGED_CERTIFICATES) {
			records[i].message.origin = insider.sequence++;
			records[i].message.certificate = bytes_of(certificate, sizeof(certificate));
		}
	}
	records[0].message.certificate = storm == FORGED_CERTIFICATES
						 ? bytes_of(certificate, sizeof(certificate))
						 : bytes_of(insider.identity.certificate.bytes,
							    insider.identity.certificate.len);
	message.n_records = count;
	message.records = pointers;
	message.done = storm == QUIET;
	conn_say(conn, MEMBERSHIP_KIND_STATE, body, lvsmesh__pb__state__pack(&message, body));
}

/* The target's frames */

static void target_statement(const struct session_frame *frame)
{
	Lvsmesh__Pb__State *state = lvsmesh__pb__state__unpack(NULL, frame->len, frame->body);

	for (size_t i = 0; state && i < state->n_records; i++) {
		const Lvsmesh__Pb__Record *record = state->records[i];

		if (record->kind == STATEMENT && record->origin == insider.target.id) {
			insider.target_epoch = record->epoch;
			insider.target_incarnation = record->sequence;
		}
	}
	if (state)
		lvsmesh__pb__state__free_unpacked(state, NULL);
}

/* Is it the last batch of an answer to a Want? */
static bool ends_answer(const struct session_frame *frame)
{
	for (size_t i = SIGNATURE_SIZE; i + 4 <= MIN(frame->len, (size_t)SIGNATURE_SIZE + 24); i++)
		if (memcmp(frame->body + i, "\x18\x01\x20\x01", 4) == 0)
			return true;
	return false;
}

static void frame_take(struct conn *conn, const struct session_frame *frame)
{
	switch (frame->kind) {
	case SYNC_KIND_SUBSCRIBE:
		say_begin(conn);
		break;
	case SYNC_KIND_WANT:
		if (has_room(conn, sizeof(struct record)))
			say_batch(conn, false, true);
		break;
	case SYNC_KIND_BEGIN:
		conn->begun = true;
		break;
	case SYNC_KIND_BATCH:
		if (ends_answer(frame))
			conn->asked = false;
		break;
	case MEMBERSHIP_KIND_STATE:
		target_statement(frame);
		if (conn->begun)
			break;
		conn->begun = true;
		if (insider.storm < STATEMENTS || insider.storm > FORGED_CERTIFICATES)
			say_state(conn, 1, QUIET);
		break;
	case MEMBERSHIP_KIND_DIGEST:
		conn_close(conn);
		break;
	default:
		break;
	}
}

/* False: it is gone. */
static bool conn_read(struct conn *conn)
{
	static uint8_t data[65536];
	ssize_t len = recv(conn->fd, data, sizeof(data), MSG_DONTWAIT);
	struct session_frame frame;
	size_t used;

	if (len < 0 && errno == EAGAIN)
		return true;
	for (size_t at = 0; len > 0 && at < (size_t)len && conn->fd >= 0; at += used) {
		int r = session_feed(conn->session, data + at, (size_t)len - at, time_now().wall,
				     &used, &frame);

		if (r < 0)
			len = -1;
		else if (r == 1)
			frame_take(conn, &frame);
	}
	if (conn->fd >= 0 && len <= 0)
		conn_close(conn);
	else if (conn->fd >= 0)
		conn->received += (size_t)len;
	return conn->fd >= 0;
}

static bool conn_write(struct conn *conn)
{
	size_t left = conn->out_len - conn->out_at;
	ssize_t len = left ? send(conn->fd, conn->out + conn->out_at, left, MSG_DONTWAIT) : 0;

	if (len < 0 && errno != EAGAIN) {
		conn_close(conn);
		return false;
	}
	conn->out_at += len > 0 ? (size_t)len : 0;
	if (conn->out_at == conn->out_len)
		conn->out_at = conn->out_len = 0;
	return true;
}

static bool is_target(const struct conn *conn)
{
	return certificate_id(session_peer(conn->session)) == insider.target.id;
}

/* Writes the next frame of the storm, when the last ones are sent. */
static void conn_storm(struct conn *conn)
{
	if (conn->use == ACCEPTED && conn->begun) {
		if (!is_target(conn))
			;
		else if (insider.storm == SUMS)
			say_sums(conn);
		else if (insider.storm == ORPHANS)
			say_orphans(conn);
		else if (insider.storm == BATCHES || insider.storm == FORGED_BATCHES)
			for (unsigned int i = 0; i < 100; i++)
				say_batch(conn, insider.storm == FORGED_BATCHES, false);
		if (!conn->told)
			say_heartbeat(conn);
		conn->told = true;
	}
	if (conn->use == SUBSCRIBER && conn->begun && !conn->asked && insider.storm == WANTS)
		say_want(conn);
	if (conn->use == MEMBERSHIP && conn->begun && insider.storm >= STATEMENTS &&
	    insider.storm <= FORGED_CERTIFICATES)
		say_state(conn, STATE_RECORDS, insider.storm);
}

/* Does it write the next frame as soon as the last one is sent? */
static bool pours(const struct conn *conn)
{
	if (!conn->begun)
		return false;
	if (conn->use == ACCEPTED)
		return is_target(conn) && insider.storm >= SUMS && insider.storm <= FORGED_BATCHES;
	return conn->use == MEMBERSHIP && insider.storm >= STATEMENTS &&
	       insider.storm <= FORGED_CERTIFICATES;
}

static void conn_go_on(struct conn *conn)
{
	if (!session_ready(conn->session)) {
		conn->out_len += session_output(conn->session, conn->out + conn->out_len,
						OUT_SIZE - conn->out_len);
		return;
	}
	if (session_pending(conn->session)) {
		conn->out_len += session_output(conn->session, conn->out + conn->out_len,
						OUT_SIZE - conn->out_len);
		if (conn->use == SUBSCRIBER)
			say_subscribe(conn);
		else if (conn->use == MEMBERSHIP)
			say_digest(conn);
	}
	if (conn->out_len == 0 && has_room(conn, MEMBERSHIP_BODY_MAX))
		conn_storm(conn);
}

/* Dials the stream that the storm needs, unless it is there. */
static void dial_next(struct now now)
{
	enum use use =
		insider.storm == WANTS || insider.storm == SUBSCRIBES ? SUBSCRIBER : MEMBERSHIP;
	bool wanted = use == SUBSCRIBER || !insider.joined ||
		      (insider.storm >= STATEMENTS && insider.storm <= FORGED_CERTIFICATES);

	for (unsigned int i = 0; i < CONNS; i++) {
		struct conn *conn = &insider.conns[i];

		if (conn->fd < 0 || !conn->dialled)
			continue;
		if (conn->use != use ||
		    (insider.storm == SUBSCRIBES && conn->begun && conn->received > 16 * 1024))
			conn_close(conn);
		else
			wanted = false;
	}
	if (wanted && now.mono >= insider.dialled + (insider.joined ? REDIAL : USEC_PER_SEC))
		conn_dial(use);
}

static void beat(struct now now)
{
	static usec_t last;

	if (now.mono < last + USEC_PER_SEC)
		return;
	last = now.mono;
	for (unsigned int i = 0; i < CONNS; i++)
		insider.conns[i].told = false;
}

/* False: the input has ended. */
static bool command_read(void)
{
	char line[64] = "";
	ssize_t len = read(STDIN_FILENO, line, sizeof(line) - 1);

	if (len <= 0)
		return false;
	line[strcspn(line, "\n")] = '\0';
	for (unsigned int i = 0; i < STORMS; i++)
		if (strcmp(line, storm_names[i]) == 0)
			insider.storm = (enum storm)i;
	printf("{\"event\": \"storm\", \"what\": \"%s\"}\n", storm_names[insider.storm]);
	return true;
}

static bool turn(void)
{
	struct pollfd polls[3 + CONNS] = {
		{.fd = STDIN_FILENO, .events = POLLIN},
		{.fd = insider.udp, .events = POLLIN},
		{.fd = insider.listener, .events = POLLIN},
	};
	bool datagrams = insider.storm >= GOSSIPS;
	struct now now = time_now();

	beat(now);
	dial_next(now);
	for (unsigned int i = 0; i < CONNS; i++) {
		struct conn *conn = &insider.conns[i];

		polls[3 + i].fd = conn->fd;
		if (conn->fd < 0)
			continue;
		conn_go_on(conn);
		polls[3 + i].events = POLLIN;
		if (conn->out_len > 0 || pours(conn))
			polls[3 + i].events |= POLLOUT;
	}
	poll(polls, ARRAY_SIZE(polls), datagrams ? 0 : 10);
	if (polls[0].revents && !command_read())
		return false;
	datagrams_read();
	if (polls[2].revents & POLLIN)
		conn_new(accept(insider.listener, NULL, NULL), ACCEPTED, false);
	for (unsigned int i = 0; i < CONNS; i++) {
		struct conn *conn = &insider.conns[i];

		if (polls[3 + i].fd < 0 || conn->fd != polls[3 + i].fd)
			continue;
		if (conn_read(conn))
			conn_write(conn);
	}
	for (unsigned int i = 0; datagrams && insider.joined && i < 16; i++)
		datagram_storm();
	return true;
}

static void identity_get(const char *text, struct identity *ret_identity)
{
	struct fault fault;

	if (atoi(text) > 0)
		fixture_now((uint8_t)atoi(text), ret_identity);
	else if (identity_file_load(text, ret_identity, &fault) < 0) {
		fprintf(stderr, "%s\n", fault.text);
		exit(2);
	}
}

static int bound(int type)
{
	struct sockaddr_storage address;
	socklen_t len = endpoint_to_sockaddr(&insider.own, &address);
	int fd = socket(address.ss_family, type, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	check(bind(fd, (struct sockaddr *)&address, len) == 0, "bind");
	return fd;
}

int main(int argc, char **argv)
{
	struct endpoint target;

	if (argc != 5 || endpoint_parse(argv[2], &insider.own) < 0 ||
	    endpoint_parse(argv[4], &target) < 0) {
		fprintf(stderr, "insider IDENTITY ENDPOINT TARGET-IDENTITY TARGET-ENDPOINT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	identity_get(argv[1], &insider.identity);
	identity_get(argv[3], &insider.target);
	insider.epoch = time_now().wall;
	insider.address_len = endpoint_to_sockaddr(&target, &insider.address);
	check(seal_packet_key_init(&insider.identity, &insider.target.certificate, &insider.key) ==
		      0,
	      "the keys");
	for (unsigned int i = 0; i < CONNS; i++)
		insider.conns[i].fd = -1;
	insider.udp = bound(SOCK_DGRAM);
	insider.listener = bound(SOCK_STREAM);
	check(listen(insider.listener, 16) == 0, "listen");
	while (turn())
		;
	return 0;
}
