#include "director/config/config_digest.h"

#include "director/service/digest.h"

static void add_real(struct digest *digest, const struct real_server *real)
{
	digest_endpoint(digest, &real->endpoint);
	digest_number(digest, real->weight);
	digest_number(digest, real->upper_threshold);
	digest_number(digest, real->lower_threshold);
	digest_number(digest, real->forwarding);
	digest_number(digest, real->tunnel);
	digest_number(digest, real->tunnel_port);
	digest_number(digest, real->tunnel_flags);
	if (real->check) {
		digest_text(digest, "check");
		digest_bytes(digest, real->check->digest, sizeof(real->check->digest));
	}
}

static void add_policy(struct digest *digest, const struct health_policy *policy)
{
	digest_text(digest, "policy");
	digest_number(digest, policy->checkers);
	digest_number(digest, policy->on_down);
	digest_number(digest, policy->end_connections);
	digest_number(digest, policy->panic_threshold);
	digest_number(digest, policy->all_down);
	digest_number(digest, policy->slow_start);
	digest_number(digest, policy->quorum);
	digest_number(digest, policy->quorum_hysteresis);
}

static void add_service(struct digest *digest, const struct service *service)
{
	digest_endpoint(digest, &service->key.vip);
	digest_number(digest, service->key.protocol);
	digest_number(digest, service->key.fwmark);
	digest_text(digest, service->scheduler);
	digest_text(digest, service->engine);
	digest_number(digest, service->flags);
	digest_number(digest, service->persistence);
	digest_number(digest, service->netmask);
	/* Older versions, which do not know these, have the same digest while they are not used. */
	if (service->sync_off)
		digest_text(digest, "sync off");
	if (!health_policy_same(&service->health, &health_policy_default))
		add_policy(digest, &service->health);
	if (service->sorry.endpoint.ip.family != 0) {
		digest_text(digest, "sorry server");
		add_real(digest, &service->sorry);
	}
	digest_number(digest, service->n_real_servers);
	for (size_t i = 0; i < service->n_real_servers; i++)
		add_real(digest, &service->real_servers[i]);
}

void config_digest_make(struct config *config)
{
	struct digest digest;

	digest_begin(&digest, sizeof(config->digest));
	digest_number(&digest, config->services.count);
	for (size_t i = 0; i < config->services.count; i++)
		add_service(&digest, &config->services.services[i]);
	digest_end(&digest, config->digest, sizeof(config->digest));
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
