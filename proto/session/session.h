/* One mutually authenticated stream between two directors, as a state machine without I/O: bytes
 * in, frames out, and frames in, bytes out. PROTOCOL.md, "Streams", numbers the steps.
 *
 * It guarantees: the peer holds the key of a certificate that our cluster key signed and that is
 * valid now; every frame is from that peer, of this connection, in order, once. It guarantees
 * neither secrecy nor delivery. */
#ifndef PROTO_SESSION_SESSION_H
#define PROTO_SESSION_SESSION_H

#include "proto/identity/identity.h"
#include "proto/identity/peer_cache.h"
#include "proto/version.h"

struct session;

/* A frame's body is at most this long; before the peer is known, SESSION_HELLO_MAX. */
#define SESSION_BODY_MAX (256 * 1024)
#define SESSION_HELLO_MAX 4096
/* Bytes that sealing adds to a body: length, kind and MAC. SESSION_HEADER of them come before. */
#define SESSION_HEADER 5
#define SESSION_OVERHEAD 21
/* Kinds from here on are the user's. */
#define SESSION_KIND_MIN 16

/* Why a stream was refused: it is to be closed, and counted under the name. */
enum session_error {
	SESSION_E_MAGIC = 1,   /* not our protocol at all */
	SESSION_E_VERSION,     /* no wire version in common */
	SESSION_E_CLUSTER,     /* another cluster's */
	SESSION_E_SIZE,        /* a length beyond the limit */
	SESSION_E_MALFORMED,   /* a frame that does not decode */
	SESSION_E_CERTIFICATE, /* not signed by our cluster key */
	SESSION_E_EXPIRED,     /* certificate not valid now */
	SESSION_E_SELF,        /* our own name or key, and it holds that key */
	SESSION_E_MAC,         /* forged, replayed, reordered or damaged */
	SESSION_E_KIND,        /* a kind that must not come in this phase */
	SESSION_E_MEMORY,      /* ours ran out */
	SESSION_E_MAX,
};

const char *session_error_name(int error); /* "magic", "version", ... */

struct session_options {
	const struct identity *identity; /* borrowed, must outlive the session */
	struct peer_cache *cache;        /* the same; NULL: none */
	bool dialer;                     /* we connected; else we accepted */
	uint8_t nonce[32];               /* fresh random bytes */
	uint64_t epoch;                  /* our boot epoch */
	struct version_range versions;   /* that we speak */
};

struct session_frame {
	uint8_t kind;        /* the user's own, 16 to 255; below are the session's */
	const uint8_t *body; /* borrowed from data, or from the session until its next call */
	size_t len;
};

/* 0, or -ENOMEM. */
int session_new(const struct session_options *options, struct session **ret_session);
void session_free(struct session *session);

/* Takes bytes from the socket, at most up to the end of one frame. *ret_used is their number. 0:
 * more bytes are needed, or a frame of the session's own was taken; 1: *ret_frame holds a frame of
 * the user's; SESSION_E_* as a negative number: close; every later call returns the same. Call
 * again until everything is used. wall: the peer's certificate must be valid now, at any time. */
int session_feed(struct session *session, const uint8_t *data, size_t len, usec_t wall,
		 size_t *ret_used, struct session_frame *ret_frame);

/* Handshake bytes that wait to be written: copies at most cap, returns how many. Call it after _new
 * and after each _feed until it returns 0. */
size_t session_output(struct session *session, uint8_t *data, size_t cap);

/* True if handshake bytes wait. */
bool session_pending(const struct session *session);

/* True once the peer is authenticated: only then may frames be sealed. The order on the socket is
 * that of the calls: session_output() first, as its bytes open our direction. */
bool session_ready(const struct session *session);

/* Valid when ready. The certificate belongs to the session. */
const struct certificate *session_peer(const struct session *session);
uint64_t session_peer_epoch(const struct session *session);
/* The version of this stream: the highest that both sides speak. */
uint32_t session_version(const struct session *session);

/* Writes one frame, len + SESSION_OVERHEAD bytes, to data. body may be at data + SESSION_HEADER
 * already, and is not copied then. Frames must be sent in the order of the calls, all of them.
 * 0, -ENOSPC (cap), -EMSGSIZE (len), -EINVAL (kind), -ENOTCONN (not ready), -EAGAIN (session_output
 * has bytes that must go out first). */
int session_seal(struct session *session, uint8_t kind, const uint8_t *body, size_t len,
		 uint8_t *data, size_t cap, size_t *ret_len);

#endif
