/* A replay window accepts each (epoch, sequence) of one sender once, in any order within the window
 * (RFC 4303, 3.4.3, with a boot epoch above it).
 *
 * Check first, before any cryptography; commit only what has been verified, or a stranger could
 * move the window. A new window accepts any packet, so an old one as well: a director that meets a
 * peer for the first time must get a nonce back before it believes the peer. */
#ifndef PROTO_SESSION_REPLAY_H
#define PROTO_SESSION_REPLAY_H

#include "proto/base.h"

#define REPLAY_WINDOW 1024

enum replay_error {
	REPLAY_E_STALE = 1, /* of an earlier boot, or too far behind to tell */
	REPLAY_E_REPEATED,
	REPLAY_E_MAX,
};

const char *replay_error_name(int error); /* "stale", "repeated" */

/* Starts zeroed. */
struct replay_window {
	uint64_t epoch;
	uint64_t highest; /* sequence taken */
	uint64_t taken[REPLAY_WINDOW / 64];
	bool used;
};

/* 0, or REPLAY_E_*. */
int replay_window_check(const struct replay_window *window, uint64_t epoch, uint64_t sequence);

/* For a packet that _check would let through now. */
void replay_window_commit(struct replay_window *window, uint64_t epoch, uint64_t sequence);

/* Closes the window: all sequences up to the highest count as taken. */
void replay_window_close(struct replay_window *window);

#endif
