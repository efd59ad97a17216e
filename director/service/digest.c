#include "director/service/digest.h"

void digest_begin(struct digest *digest, size_t size)
{
	crypto_generichash_init(&digest->state, NULL, 0, size);
}

void digest_bytes(struct digest *digest, const void *data, size_t len)
{
	crypto_generichash_update(&digest->state, data, len);
}

void digest_number(struct digest *digest, uint64_t number)
{
	uint8_t bytes[8];

	store_le64(bytes, number);
	digest_bytes(digest, bytes, sizeof(bytes));
}

void digest_text(struct digest *digest, const char *text)
{
	digest_number(digest, text ? strlen(text) : UINT64_MAX);
	if (text)
		digest_bytes(digest, text, strlen(text));
}

void digest_address(struct digest *digest, const struct ip_addr *ip)
{
	digest_number(digest, ip->family);
	digest_bytes(digest, ip->bytes, sizeof(ip->bytes));
}

void digest_endpoint(struct digest *digest, const struct endpoint *endpoint)
{
	digest_address(digest, &endpoint->ip);
	digest_number(digest, endpoint->port);
}

void digest_end(struct digest *digest, uint8_t *ret_bytes, size_t size)
{
	crypto_generichash_final(&digest->state, ret_bytes, size);
}
