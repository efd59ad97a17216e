#include "proto/session/hello.h"

#include "proto/arena.h"
#include "proto/identity.pb-c.h"

static ProtobufCBinaryData binary(const void *data, size_t len)
{
	/* protobuf-c has no const; packing only reads. */
	return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)data};
}

size_t hello_pack(const struct identity *identity, struct version_range versions,
		  const uint8_t nonce[HELLO_NONCE_SIZE], uint64_t epoch, uint8_t data[HELLO_MAX])
{
	Lvsmesh__Pb__Hello hello = LVSMESH__PB__HELLO__INIT;

	hello.version_min = versions.min;
	hello.version_max = versions.max;
	hello.cluster = binary(identity->certificate.cluster, CLUSTER_ID_SIZE);
	hello.certificate = binary(identity->certificate.bytes, identity->certificate.len);
	hello.nonce = binary(nonce, HELLO_NONCE_SIZE);
	hello.epoch = epoch;
	return lvsmesh__pb__hello__pack(&hello, data);
}

int hello_parse(const struct identity *identity, struct version_range ours, const uint8_t *data,
		size_t len, struct hello *ret_hello)
{
	_Alignas(max_align_t) uint8_t memory[2 * SESSION_HELLO_MAX];
	const struct certificate *own = &identity->certificate;
	struct version_range versions;
	Lvsmesh__Pb__Hello *hello;
	struct arena arena;

	arena_init(&arena, memory, sizeof(memory));
	hello = lvsmesh__pb__hello__unpack(&arena.allocator, len, data);
	if (!hello)
		return SESSION_E_MALFORMED;
	versions = (struct version_range){hello->version_min, hello->version_max};
	if (versions.min > versions.max || version_common(ours, versions) == 0)
		return SESSION_E_VERSION;
	if (hello->cluster.len != CLUSTER_ID_SIZE)
		return SESSION_E_MALFORMED;
	if (memcmp(hello->cluster.data, own->cluster, CLUSTER_ID_SIZE) != 0)
		return SESSION_E_CLUSTER;
	if (hello->nonce.len != HELLO_NONCE_SIZE ||
	    certificate_parse(hello->certificate.data, hello->certificate.len,
			      &ret_hello->certificate) != 0)
		return SESSION_E_MALFORMED;

	memcpy(ret_hello->nonce, hello->nonce.data, HELLO_NONCE_SIZE);
	ret_hello->versions = versions;
	ret_hello->epoch = hello->epoch;
	return 0;
}

int hello_check(const struct identity *identity, struct peer_cache *cache,
		const struct hello *hello, usec_t wall)
{
	switch (peer_cache_verify(cache, identity, &hello->certificate, wall)) {
	case 0:
		return 0;
	case CERTIFICATE_E_CLUSTER:
		return SESSION_E_CLUSTER;
	case CERTIFICATE_E_EARLY:
	case CERTIFICATE_E_EXPIRED:
		return SESSION_E_EXPIRED;
	default:
		return SESSION_E_CERTIFICATE;
	}
}

size_t hello_confirm_pack(uint64_t epoch, uint8_t data[CONFIRM_MAX])
{
	Lvsmesh__Pb__Confirm confirm = LVSMESH__PB__CONFIRM__INIT;

	confirm.epoch = epoch;
	return lvsmesh__pb__confirm__pack(&confirm, data);
}

int hello_confirm_parse(const uint8_t *data, size_t len, uint64_t *ret_epoch)
{
	_Alignas(max_align_t) uint8_t memory[256];
	Lvsmesh__Pb__Confirm *confirm;
	struct arena arena;

	arena_init(&arena, memory, sizeof(memory));
	confirm = lvsmesh__pb__confirm__unpack(&arena.allocator, len, data);
	if (!confirm)
		return SESSION_E_MALFORMED;
	*ret_epoch = confirm->epoch;
	return 0;
}
