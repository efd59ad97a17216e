#include "tests/sim/guest.h"

#include <stdlib.h>

#include "proto/session/session.h"
#include "proto/sync.pb-c.h"
#include "sync/batch.h"

struct guest {
	struct cluster *cluster;
	unsigned int director, stream;
	struct session *session;
	struct batch_reader *reader;
	/* The director's output that the test has not read. */
	size_t len;
	uint8_t input[2 * NODE_OUTPUT_MIN];
	uint8_t output[NODE_OUTPUT_MIN];
};

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void tell(struct guest *guest, const uint8_t *data, size_t len)
{
	if (len > 0)
		cluster_tell(guest->cluster, guest->director,
			     (struct node_event){.type = NODE_STREAM_DATA,
						 .stream = guest->stream,
						 .data = data,
						 .len = len});
}

bool guest_connected(const struct guest *guest)
{
	struct node_stream_status status;

	node_stream_status(cluster_node(guest->cluster, guest->director), guest->stream,
			   cluster_now(guest->cluster), &status);
	return status.phase != NODE_STREAM_NONE;
}

unsigned int guest_stream(const struct guest *guest)
{
	return guest->stream;
}

static void read_frame(struct guest *guest, const struct session_frame *frame,
		       uint64_t *ret_position)
{
	struct batch_head head;

	if (frame->kind != SYNC_KIND_BATCH)
		return;
	must(batch_read(guest->reader, frame->body + SIGNATURE_SIZE, frame->len - SIGNATURE_SIZE,
			&head) == 0);
	if (!head.wanted)
		*ret_position = head.last;
}

size_t guest_read(struct guest *guest, size_t max, uint64_t *ret_position)
{
	usec_t wall = cluster_now(guest->cluster).wall;
	size_t len = guest->len, at = 0;

	if (len < max && guest_connected(guest))
		len += node_output(cluster_node(guest->cluster, guest->director), guest->stream,
				   cluster_now(guest->cluster), guest->input + len,
				   sizeof(guest->input) - len);
	max = MIN(max, len);
	while (at < max) {
		struct session_frame frame;
		size_t used = 0;
		int r = session_feed(guest->session, guest->input + at, max - at, wall, &used,
				     &frame);

		must(r >= 0);
		if (r == 1)
			read_frame(guest, &frame, ret_position);
		at += used;
	}
	guest->len = len - max;
	memmove(guest->input, guest->input + max, guest->len);
	return max;
}

void guest_say(struct guest *guest, uint8_t kind, const uint8_t *body, size_t len)
{
	size_t sealed;

	must(session_seal(guest->session, kind, body, len, guest->output, sizeof(guest->output),
			  &sealed) == 0);
	tell(guest, guest->output, sealed);
}

void guest_subscribe(struct guest *guest, uint64_t journal, uint64_t position)
{
	Lvsmesh__Pb__Subscribe message = LVSMESH__PB__SUBSCRIBE__INIT;
	uint8_t body[64];

	message.journal = journal;
	message.position = position;
	guest_say(guest, SYNC_KIND_SUBSCRIBE, body, lvsmesh__pb__subscribe__pack(&message, body));
}

void guest_ack(struct guest *guest, uint64_t position)
{
	Lvsmesh__Pb__Ack message = LVSMESH__PB__ACK__INIT;
	uint8_t body[64];

	message.position = position;
	guest_say(guest, SYNC_KIND_ACK, body, lvsmesh__pb__ack__pack(&message, body));
}

struct guest *guest_new(struct cluster *cluster, unsigned int d, unsigned int as)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	struct session_options options = {
		.identity = cluster_identity(cluster, as),
		.dialer = true,
		.epoch = cluster_epoch(cluster, as),
		.versions = VERSION_RANGE,
	};
	struct endpoint remote;
	uint64_t position;

	must(guest && !cluster_up(cluster, as) && batch_reader_new(&guest->reader) == 0);
	guest->cluster = cluster;
	guest->director = d;
	store_le64(options.nonce, cluster_random(cluster));
	must(session_new(&options, &guest->session) == 0);
	remote = cluster_endpoint(as);
	guest->stream = node_accept(cluster_node(cluster, d), &remote, true, cluster_now(cluster));
	cluster_tell(cluster, d,
		     (struct node_event){.type = NODE_STREAM_OPENED,
					 .stream = guest->stream,
					 .remote = remote});
	while (!session_ready(guest->session)) {
		tell(guest, guest->output,
		     session_output(guest->session, guest->output, sizeof(guest->output)));
		guest_read(guest, SIZE_MAX, &position);
	}
	tell(guest, guest->output,
	     session_output(guest->session, guest->output, sizeof(guest->output)));
	return guest;
}

void guest_free(struct guest *guest)
{
	if (!guest)
		return;
	session_free(guest->session);
	batch_reader_free(guest->reader);
	free(guest);
}
