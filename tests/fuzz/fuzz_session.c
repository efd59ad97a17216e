/* Bytes from a socket, to either side, before and after a true handshake. On any input, a frame
 * that the session gives out is one that the true peer sealed, in its order. */
#include "tests/fuzz/session_streams.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct streams streams;

struct run {
	struct session *session;
	const struct identity *peer;
	size_t frames;
};

static void check_frame(struct run *run, const struct session_frame *frame)
{
	const char *text;

	if (!session_ready(run->session) || run->frames == STREAMS_FRAMES)
		abort();
	if (strcmp(session_peer(run->session)->name, run->peer->certificate.name) != 0)
		abort();
	text = streams_texts[run->frames];
	if (frame->kind != SESSION_KIND_MIN + run->frames || frame->len != strlen(text) ||
	    memcmp(frame->body, text, frame->len) != 0)
		abort();
	run->frames++;
}

/* As a shell does: feed, then send what there is to send. */
static void feed(struct run *run, const uint8_t *data, size_t len, size_t chunk)
{
	struct session_frame frame;
	uint8_t out[512];
	size_t used;
	int r = 0;

	while (len > 0 && r >= 0) {
		size_t n = chunk ? MIN(chunk, len) : len;

		r = session_feed(run->session, data, n, FIXTURE_WALL, &used, &frame);
		if (r == 1)
			check_frame(run, &frame);
		if (r >= 0 && (used == 0 || used > n))
			abort();
		while (session_output(run->session, out, sizeof(out)) > 0)
			;
		data += used;
		len -= used;
	}
	if (r < 0 && (session_ready(run->session) ||
		      session_feed(run->session, data, len, FIXTURE_WALL, &used, &frame) != r))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run run = {0};
	bool dialer;

	if (streams.sides[0].opening_len == 0)
		streams_init(&streams);
	if (size < 2)
		return 0;
	dialer = data[0] & STREAMS_DIALER;
	run.peer = &streams.sides[!dialer].identity;
	run.session = streams_session(&streams, dialer);
	if (data[0] & STREAMS_OPEN)
		feed(&run, streams.sides[!dialer].opening, streams.sides[!dialer].opening_len, 0);
	feed(&run, data + 2, size - 2, data[1]);
	session_free(run.session);
	return 0;
}
