#include "proto/session/seal.h"

#include <errno.h>
#include <sodium.h>

#define CLUSTER_TAG 4
#define MAC_SIZE 16
#define HASH_SIZE 32

_Static_assert(PACKET_HEADER == 2 + CLUSTER_TAG + 3 * 8, "the header");
_Static_assert(PACKET_OVERHEAD == PACKET_HEADER + MAC_SIZE, "the overhead");
_Static_assert(MAC_SIZE == crypto_aead_xchacha20poly1305_ietf_ABYTES, "the MAC");

/* No other message that the same key signs or seals begins with either prefix. */
static const char record_prefix[] = "lvsmesh record 1";
static const char packet_prefix[] = "lvsmesh packet 1";

#define RECORD_MESSAGE (sizeof(record_prefix) + CLUSTER_ID_SIZE + 1 + 8 + 8 + HASH_SIZE)

/* We sign a hash of the body, as Ed25519 hashes its message twice. */
static void record_message(const uint8_t cluster[CLUSTER_ID_SIZE], uint8_t kind, uint64_t epoch,
			   uint64_t sequence, const uint8_t *body, size_t len,
			   uint8_t message[RECORD_MESSAGE])
{
	uint8_t *at = message;

	memcpy(at, record_prefix, sizeof(record_prefix));
	at += sizeof(record_prefix);
	memcpy(at, cluster, CLUSTER_ID_SIZE);
	at += CLUSTER_ID_SIZE;
	*at++ = kind;
	store_le64(at, epoch);
	store_le64(at + 8, sequence);
	crypto_generichash(at + 16, HASH_SIZE, body, len, NULL, 0);
}

void seal_record_sign(const struct identity *identity, uint8_t kind, uint64_t epoch,
		      uint64_t sequence, const uint8_t *body, size_t len,
		      uint8_t ret_signature[SIGNATURE_SIZE])
{
	uint8_t message[RECORD_MESSAGE];

	record_message(identity->certificate.cluster, kind, epoch, sequence, body, len, message);
	crypto_sign_detached(ret_signature, NULL, message, sizeof(message), identity->sign_secret);
}

int seal_record_verify(const struct certificate *origin, uint8_t kind, uint64_t epoch,
		       uint64_t sequence, const uint8_t *body, size_t len,
		       const uint8_t signature[SIGNATURE_SIZE])
{
	uint8_t message[RECORD_MESSAGE];

	record_message(origin->cluster, kind, epoch, sequence, body, len, message);
	if (crypto_sign_verify_detached(signature, message, sizeof(message), origin->sign_key) != 0)
		return -EBADMSG;
	return 0;
}

/* The key of what from sends to to. */
static void direction_key(const uint8_t shared[crypto_scalarmult_BYTES],
			  const struct certificate *from, const struct certificate *to,
			  uint8_t key[32])
{
	uint8_t input[sizeof(packet_prefix) + CLUSTER_ID_SIZE + 2 * BOX_KEY_SIZE];
	uint8_t *at = input + sizeof(packet_prefix);

	memcpy(input, packet_prefix, sizeof(packet_prefix));
	memcpy(at, from->cluster, CLUSTER_ID_SIZE);
	memcpy(at + CLUSTER_ID_SIZE, from->box_key, BOX_KEY_SIZE);
	memcpy(at + CLUSTER_ID_SIZE + BOX_KEY_SIZE, to->box_key, BOX_KEY_SIZE);
	crypto_generichash(key, 32, input, sizeof(input), shared, crypto_scalarmult_BYTES);
}

int seal_packet_key_init(const struct identity *identity, const struct certificate *peer,
			 struct packet_key *ret_key)
{
	uint8_t shared[crypto_scalarmult_BYTES];

	if (crypto_scalarmult(shared, identity->box_secret, peer->box_key) != 0)
		return -EBADMSG;
	direction_key(shared, &identity->certificate, peer, ret_key->send);
	direction_key(shared, peer, &identity->certificate, ret_key->receive);
	sodium_memzero(shared, sizeof(shared));
	return 0;
}

const char *seal_packet_error_name(int error)
{
	static const char *const names[PACKET_E_MAX] = {
		[PACKET_E_SIZE] = "size",
		[PACKET_E_VERSION] = "version",
		[PACKET_E_CLUSTER] = "cluster",
		[PACKET_E_MAC] = "mac",
	};

	return error > 0 && error < PACKET_E_MAX ? names[error] : "unknown";
}

/* XChaCha20 for its longer nonce: epoch and sequence fit whole. */
static void packet_nonce(const uint8_t *data,
			 uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES])
{
	memset(nonce, 0, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
	memcpy(nonce, data + PACKET_HEADER - 16, 16);
}

int seal_packet_pack(const struct packet_key *key, const uint8_t cluster[CLUSTER_ID_SIZE],
		     const struct packet *packet, uint8_t *data, size_t cap, size_t *ret_len)
{
	uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES], none = 0;
	size_t len = PACKET_HEADER + packet->len;

	if (packet->len > PACKET_MAX - PACKET_OVERHEAD)
		return -EMSGSIZE;
	if (cap < len + MAC_SIZE)
		return -ENOSPC;
	if (packet->len > 0 && packet->body != data + PACKET_HEADER)
		memmove(data + PACKET_HEADER, packet->body, packet->len);
	data[0] = packet->version;
	data[1] = packet->kind;
	memcpy(data + 2, cluster, CLUSTER_TAG);
	store_le64(data + PACKET_SENDER_AT, packet->sender);
	store_le64(data + 14, packet->epoch);
	store_le64(data + 22, packet->sequence);
	packet_nonce(data, nonce);
	crypto_aead_xchacha20poly1305_ietf_encrypt_detached(&none, data + len, NULL, &none, 0, data,
							    len, NULL, nonce, key->send);
	*ret_len = len + MAC_SIZE;
	return 0;
}

int seal_packet_parse(const uint8_t cluster[CLUSTER_ID_SIZE], struct version_range versions,
		      const uint8_t *data, size_t len, struct packet *ret_packet)
{
	if (len < PACKET_OVERHEAD || len > PACKET_MAX)
		return PACKET_E_SIZE;
	if (data[0] < versions.min || data[0] > versions.max)
		return PACKET_E_VERSION;
	if (memcmp(data + 2, cluster, CLUSTER_TAG) != 0)
		return PACKET_E_CLUSTER;
	ret_packet->version = data[0];
	ret_packet->kind = data[1];
	ret_packet->sender = load_le64(data + PACKET_SENDER_AT);
	ret_packet->epoch = load_le64(data + 14);
	ret_packet->sequence = load_le64(data + 22);
	ret_packet->body = data + PACKET_HEADER;
	ret_packet->len = len - PACKET_OVERHEAD;
	return 0;
}

int seal_packet_verify(const struct packet_key *key, const uint8_t *data, size_t len)
{
	uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES], none = 0;

	if (len < PACKET_OVERHEAD)
		return PACKET_E_MAC;
	packet_nonce(data, nonce);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt_detached(
		    &none, NULL, &none, 0, data + len - MAC_SIZE, data, len - MAC_SIZE, nonce,
		    key->receive) != 0)
		return PACKET_E_MAC;
	return 0;
}
