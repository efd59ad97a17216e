#include "director/config/config_digest.h"

#include <sodium.h>

struct digest {
	crypto_generichash_state state;
};

static void add_bytes(struct digest *digest, const void *data, size_t len)
{
	crypto_generichash_update(&digest->state, data, len);
}

static void add_number(struct digest *digest, uint64_t number)
{
	uint8_t bytes[8];

	store_le64(bytes, number);
	add_bytes(digest, bytes, sizeof(bytes));
}

static void add_text(struct digest *digest, const char *text)
{
	add_number(digest, strlen(text));
	add_bytes(digest, text, strlen(text));
}

static void add_endpoint(struct digest *digest, const struct endpoint *endpoint)
{
	add_number(digest, endpoint->ip.family);
	add_bytes(digest, endpoint->ip.bytes, sizeof(endpoint->ip.bytes));
	add_number(digest, endpoint->port);
}

static void add_real(struct digest *digest, const struct real_server *real)
{
	add_endpoint(digest, &real->endpoint);
	add_number(digest, real->weight);
	add_number(digest, real->upper_threshold);
	add_number(digest, real->lower_threshold);
	add_number(digest, real->forwarding);
	add_number(digest, real->tunnel);
	add_number(digest, real->tunnel_port);
	add_number(digest, real->tunnel_flags);
}

static void add_service(struct digest *digest, const struct service *service)
{
	add_endpoint(digest, &service->key.vip);
	add_number(digest, service->key.protocol);
	add_number(digest, service->key.fwmark);
	add_text(digest, service->scheduler);
	add_text(digest, service->engine);
	add_number(digest, service->flags);
	add_number(digest, service->persistence);
	add_number(digest, service->netmask);
	/* Older versions, which do not know it, have the same digest while it is not used. */
	if (service->sync_off)
		add_text(digest, "sync off");
	add_number(digest, service->n_real_servers);
	for (size_t i = 0; i < service->n_real_servers; i++)
		add_real(digest, &service->real_servers[i]);
}

void config_digest_make(struct config *config)
{
	struct digest digest;

	crypto_generichash_init(&digest.state, NULL, 0, sizeof(config->digest));
	add_number(&digest, config->services.count);
	for (size_t i = 0; i < config->services.count; i++)
		add_service(&digest, &config->services.services[i]);
	crypto_generichash_final(&digest.state, config->digest, sizeof(config->digest));
}

char *config_digest(const struct config *config, char text[CONFIG_DIGEST_TEXT])
{
	return sodium_bin2hex(text, CONFIG_DIGEST_TEXT, config->digest, sizeof(config->digest));
}

uint64_t config_digest_number(const struct config *config)
{
	uint64_t number = (uint64_t)load_be32(config->digest) << 32 | load_be32(config->digest + 4);

	return number ? number : 1;
}
