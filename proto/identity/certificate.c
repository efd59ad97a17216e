#include "proto/identity/certificate.h"

#include <sodium.h>

#include "proto/arena.h"
#include "proto/identity.pb-c.h"

_Static_assert(SIGN_PUBLIC_SIZE == crypto_sign_PUBLICKEYBYTES, "Ed25519");
_Static_assert(SIGN_SECRET_SIZE == crypto_sign_SECRETKEYBYTES, "Ed25519");
_Static_assert(SIGNATURE_SIZE == crypto_sign_BYTES, "Ed25519");
_Static_assert(BOX_KEY_SIZE == crypto_scalarmult_BYTES, "X25519");

/* Signed before the body, so that no other signature of this key passes for a certificate's. */
static const char prefix[] = "lvsmesh certificate 1";

const char *certificate_error_text(int error)
{
	static const char *const texts[CERTIFICATE_E_MAX] = {
		[CERTIFICATE_E_MALFORMED] = "is not a certificate",
		[CERTIFICATE_E_CLUSTER] = "is of another cluster",
		[CERTIFICATE_E_SIGNATURE] = "is not signed by this cluster's key",
		[CERTIFICATE_E_EARLY] = "is not valid yet",
		[CERTIFICATE_E_EXPIRED] = "has expired",
		[CERTIFICATE_E_KEY] = "is of another key",
	};

	return error > 0 && error < CERTIFICATE_E_MAX ? texts[error] : "is damaged";
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool certificate_name_valid(const char *name, size_t len)
{
	if (len == 0 || len > CERTIFICATE_NAME_MAX || !is_alnum(name[0]) ||
	    !is_alnum(name[len - 1]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_alnum(name[i]) && name[i] != '.' && name[i] != '-')
			return false;
	return true;
}

static bool take_bytes(ProtobufCBinaryData from, uint8_t *to, size_t size)
{
	if (from.len != size)
		return false;
	memcpy(to, from.data, size);
	return true;
}

static bool take_address(ProtobufCBinaryData from, struct ip_addr *to)
{
	to->family = from.len == 4 ? AF_INET : AF_INET6;
	return take_bytes(from, to->bytes, ip_addr_size(to->family));
}

/* Every limit of a certificate, for received ones and for those that we make. */
static bool take_body(const Lvsmesh__Pb__CertificateBody *body, struct certificate *certificate)
{
	if (!take_bytes(body->cluster, certificate->cluster, CLUSTER_ID_SIZE) ||
	    !take_bytes(body->sign_key, certificate->sign_key, SIGN_PUBLIC_SIZE) ||
	    !take_bytes(body->box_key, certificate->box_key, BOX_KEY_SIZE))
		return false;
	if (!certificate_name_valid((const char *)body->name.data, body->name.len))
		return false;
	memcpy(certificate->name, body->name.data, body->name.len);

	if (body->n_addresses > CERTIFICATE_ADDRESSES_MAX)
		return false;
	for (size_t i = 0; i < body->n_addresses; i++)
		if (!take_address(body->addresses[i], &certificate->addresses[i]))
			return false;
	certificate->address_count = body->n_addresses;

	certificate->not_before = body->not_before;
	certificate->not_after = body->not_after;
	certificate->serial = body->serial;
	return body->not_before < body->not_after && body->not_after < USEC_NEVER / USEC_PER_SEC;
}

int certificate_parse(const uint8_t *bytes, size_t len, struct certificate *ret_certificate)
{
	_Alignas(max_align_t) uint8_t memory[4 * CERTIFICATE_MAX];
	struct certificate certificate = {0};
	Lvsmesh__Pb__CertificateBody *body;
	struct arena arena;

	if (len <= SIGNATURE_SIZE || len > CERTIFICATE_MAX)
		return CERTIFICATE_E_MALFORMED;
	arena_init(&arena, memory, sizeof(memory));
	body = lvsmesh__pb__certificate_body__unpack(&arena.allocator, len - SIGNATURE_SIZE, bytes);
	if (!body || !take_body(body, &certificate))
		return CERTIFICATE_E_MALFORMED;
	memcpy(certificate.bytes, bytes, len);
	certificate.len = len;
	*ret_certificate = certificate;
	return 0;
}

/* Builds the signed message: prefix and body. Returns its length. */
static size_t signed_message(const uint8_t *body, size_t len,
			     uint8_t message[sizeof(prefix) + CERTIFICATE_MAX])
{
	memcpy(message, prefix, sizeof(prefix));
	memcpy(message + sizeof(prefix), body, len);
	return sizeof(prefix) + len;
}

int certificate_verify(const struct certificate *certificate,
		       const uint8_t cluster_key[SIGN_PUBLIC_SIZE], usec_t wall)
{
	uint8_t message[sizeof(prefix) + CERTIFICATE_MAX], cluster[CLUSTER_ID_SIZE];
	size_t body_len = certificate->len - SIGNATURE_SIZE;
	size_t len;

	certificate_cluster_id(cluster_key, cluster);
	if (memcmp(cluster, certificate->cluster, sizeof(cluster)) != 0)
		return CERTIFICATE_E_CLUSTER;
	len = signed_message(certificate->bytes, body_len, message);
	if (crypto_sign_verify_detached(certificate->bytes + body_len, message, len, cluster_key) !=
	    0)
		return CERTIFICATE_E_SIGNATURE;
	return certificate_check_time(certificate, wall);
}

int certificate_check_time(const struct certificate *certificate, usec_t wall)
{
	uint64_t seconds = wall / USEC_PER_SEC;

	if (seconds < certificate->not_before)
		return CERTIFICATE_E_EARLY;
	if (seconds > certificate->not_after)
		return CERTIFICATE_E_EXPIRED;
	return 0;
}

static ProtobufCBinaryData binary(const void *data, size_t len)
{
	/* protobuf-c has no const; packing only reads. */
	return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)data};
}

int certificate_issue(const struct certificate *want,
		      const uint8_t cluster_secret[SIGN_SECRET_SIZE],
		      struct certificate *ret_certificate)
{
	Lvsmesh__Pb__CertificateBody body = LVSMESH__PB__CERTIFICATE_BODY__INIT;
	uint8_t message[sizeof(prefix) + CERTIFICATE_MAX], bytes[CERTIFICATE_MAX];
	ProtobufCBinaryData addresses[CERTIFICATE_ADDRESSES_MAX];
	size_t len;

	if (want->address_count > CERTIFICATE_ADDRESSES_MAX)
		return CERTIFICATE_E_MALFORMED;
	for (size_t i = 0; i < want->address_count; i++)
		addresses[i] =
			binary(want->addresses[i].bytes, ip_addr_size(want->addresses[i].family));
	body.cluster = binary(want->cluster, CLUSTER_ID_SIZE);
	body.name = binary(want->name, strnlen(want->name, sizeof(want->name)));
	body.sign_key = binary(want->sign_key, SIGN_PUBLIC_SIZE);
	body.box_key = binary(want->box_key, BOX_KEY_SIZE);
	body.addresses = addresses;
	body.n_addresses = want->address_count;
	body.not_before = want->not_before;
	body.not_after = want->not_after;
	body.serial = want->serial;

	/* The limits bound it: 16 + 63 + 64 + 16 * 16 bytes, three numbers, and their tags. */
	len = lvsmesh__pb__certificate_body__pack(&body, bytes);
	crypto_sign_detached(bytes + len, NULL, message, signed_message(bytes, len, message),
			     cluster_secret);
	return certificate_parse(bytes, len + SIGNATURE_SIZE, ret_certificate);
}

uint64_t certificate_id(const struct certificate *certificate)
{
	uint8_t hash[crypto_generichash_BYTES];

	crypto_generichash(hash, sizeof(hash), certificate->sign_key, SIGN_PUBLIC_SIZE, NULL, 0);
	return load_le64(hash);
}

void certificate_cluster_id(const uint8_t cluster_key[SIGN_PUBLIC_SIZE],
			    uint8_t ret_id[CLUSTER_ID_SIZE])
{
	uint8_t hash[crypto_generichash_BYTES];

	crypto_generichash(hash, sizeof(hash), cluster_key, SIGN_PUBLIC_SIZE, NULL, 0);
	memcpy(ret_id, hash, CLUSTER_ID_SIZE);
}
