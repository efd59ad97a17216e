/* Proof of origin, in two strengths. A record is signed (Ed25519): anyone in the cluster can check
 * it, so it may be relayed. A packet carries a MAC that only its two ends can make or check: fifty
 * times cheaper, and a stranger's costs next to nothing. Neither hides what it carries.
 *
 * Everything here computes on memory. The program has called sodium_init(). */
#ifndef PROTO_SESSION_SEAL_H
#define PROTO_SESSION_SEAL_H

#include "proto/identity/identity.h"
#include "proto/version.h"

/* Signs body as ours. kind: what the record is, the user's numbers, PROTOCOL.md lists them; it,
 * the epoch and the sequence are signed with it, and so need not be in the body. */
void seal_record_sign(const struct identity *identity, uint8_t kind, uint64_t epoch,
		      uint64_t sequence, const uint8_t *body, size_t len,
		      uint8_t ret_signature[SIGNATURE_SIZE]);

/* origin: a verified certificate. 0, or -EBADMSG. The caller checks that the record is fresh, and
 * does so first: this costs a hundred times more. */
int seal_record_verify(const struct certificate *origin, uint8_t kind, uint64_t epoch,
		       uint64_t sequence, const uint8_t *body, size_t len,
		       const uint8_t signature[SIGNATURE_SIZE]);

/* Keys that two directors share without having met: one for either direction, for as long as both
 * have their box keys. */
struct packet_key {
	uint8_t send[32];
	uint8_t receive[32];
};

/* peer: a verified certificate. 0, or -EBADMSG: a key that makes no secret. */
int seal_packet_key_init(const struct identity *identity, const struct certificate *peer,
			 struct packet_key *ret_key);

/* Bytes before and after a packet's body. */
#define PACKET_HEADER 30
#define PACKET_OVERHEAD 46
#define PACKET_MAX 65507 /* the largest UDP payload */

enum packet_error {
	PACKET_E_SIZE = 1, /* shorter than the overhead, or longer than PACKET_MAX */
	PACKET_E_VERSION,  /* none that we speak */
	PACKET_E_CLUSTER,  /* another cluster's tag */
	PACKET_E_MAC,      /* forged or damaged */
	PACKET_E_MAX,
};

const char *seal_packet_error_name(int error); /* "size", "version", ... */

struct packet {
	uint8_t version;   /* in which the receiver shall read it */
	uint8_t kind;      /* the user's own */
	uint64_t sender;   /* certificate_id() of it */
	uint64_t epoch;    /* the sender's boot epoch */
	uint64_t sequence; /* (epoch, sequence) is used once for each receiver: never send two */
	const uint8_t *body;
	size_t len;
};

/* Writes len + PACKET_OVERHEAD bytes; the body may be at data + PACKET_HEADER already. cluster: our
 * cluster's id. 0, -EMSGSIZE (longer than PACKET_MAX), -ENOSPC (cap). */
int seal_packet_pack(const struct packet_key *key, const uint8_t cluster[CLUSTER_ID_SIZE],
		     const struct packet *packet, uint8_t *data, size_t cap, size_t *ret_len);

/* Reads a packet's claims without cryptography: only good for finding the sender's key and its
 * replay window (proto/session/replay.h). versions: those that we speak. The body is borrowed from
 * data. 0, or PACKET_E_*. */
int seal_packet_parse(const uint8_t cluster[CLUSTER_ID_SIZE], struct version_range versions,
		      const uint8_t *data, size_t len, struct packet *ret_packet);

#define PACKET_SENDER_AT 6 /* 8 bytes of a packet */

/* The kind and sender that a packet of PACKET_OVERHEAD bytes or more claims; nothing is proved. */
static inline uint8_t packet_claimed_kind(const uint8_t *data)
{
	return data[1];
}

static inline uint64_t packet_claimed_sender(const uint8_t *data)
{
	return load_le64(data + PACKET_SENDER_AT);
}

/* data, len: as seal_packet_parse() took them. 0: the packet is from the sender whose key this is,
 * and now the window may move; or PACKET_E_MAC. */
int seal_packet_verify(const struct packet_key *key, const uint8_t *data, size_t len);

#endif
