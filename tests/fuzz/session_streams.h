/* All bytes that two directors of the fixture exchange on one stream, always the same: the fuzzer
 * starts from them, and must not be able to forge them. */
#ifndef TESTS_FUZZ_SESSION_STREAMS_H
#define TESTS_FUZZ_SESSION_STREAMS_H

#include "proto/session/session.h"
#include "tests/identity_fixture.h"

#define STREAMS_FRAMES 3

/* The first byte of an input. The second is how many bytes are fed at once, 0 for all; the rest is
 * the stream. */
#define STREAMS_DIALER 1 /* the session under test is the dialer */
#define STREAMS_OPEN 2   /* the handshake is done before */

static const char *const streams_texts[STREAMS_FRAMES] = {"one", "", "three, and the last"};

struct streams_side {
	struct identity identity;
	uint8_t opening[2048]; /* bytes that this side sends until it is ready */
	size_t opening_len;
	uint8_t frames[256]; /* streams_texts, kinds 16, 17, 18 */
	size_t frames_len;
};

struct streams {
	struct streams_side sides[2]; /* acceptor, dialer */
};

static inline struct session *streams_session(const struct streams *streams, bool dialer)
{
	struct session_options options = {
		.identity = &streams->sides[dialer].identity,
		.dialer = dialer,
		.nonce = {dialer},
		.epoch = 100 + dialer,
		.versions = VERSION_RANGE,
	};
	struct session *session;

	if (session_new(&options, &session) < 0)
		abort();
	return session;
}

/* Moves what from has to send to to, and keeps a copy. */
static inline void streams_pass(struct session *from, struct session *to, struct streams_side *side)
{
	uint8_t *data = side->opening + side->opening_len;
	size_t len = session_output(from, data, sizeof(side->opening) - side->opening_len);
	struct session_frame frame;
	size_t used;

	if (session_feed(to, data, len, FIXTURE_WALL, &used, &frame) != 0 || used != len)
		abort();
	side->opening_len += len;
}

static inline void streams_seal(struct session *session, struct streams_side *side)
{
	size_t len;

	for (size_t i = 0; i < STREAMS_FRAMES; i++) {
		if (session_seal(session, (uint8_t)(SESSION_KIND_MIN + i),
				 (const uint8_t *)streams_texts[i], strlen(streams_texts[i]),
				 side->frames + side->frames_len,
				 sizeof(side->frames) - side->frames_len, &len) < 0)
			abort();
		side->frames_len += len;
	}
}

static inline void streams_init(struct streams *streams)
{
	struct streams_side *acceptor_side = &streams->sides[0], *dialer_side = &streams->sides[1];
	struct session *acceptor, *dialer;

	memset(streams, 0, sizeof(*streams));
	fixture_identity(1, 1, &acceptor_side->identity);
	fixture_identity(1, 2, &dialer_side->identity);
	acceptor = streams_session(streams, false);
	dialer = streams_session(streams, true);
	streams_pass(dialer, acceptor, dialer_side);
	streams_pass(acceptor, dialer, acceptor_side);
	streams_pass(dialer, acceptor, dialer_side);
	streams_seal(dialer, dialer_side);
	streams_seal(acceptor, acceptor_side);
	session_free(acceptor);
	session_free(dialer);
}

#endif
