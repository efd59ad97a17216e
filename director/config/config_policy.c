#include "director/config/config_policy.h"

#include <errno.h>
#include <stdlib.h>

int config_policy(const struct config *config, struct policy_options *ret_policy)
{
	const struct service_set *set = &config->services;
	struct policy_service *services = calloc(set->count + 1, sizeof(*services));

	if (!services)
		return -ENOMEM;
	for (size_t i = 0; i < set->count; i++) {
		const struct service_key *key = &set->services[i].key;

		services[i].fwmark = key->fwmark;
		services[i].family = key->vip.ip.family;
		services[i].off = set->services[i].sync_off;
		if (key->fwmark)
			continue;
		memcpy(services[i].address, key->vip.ip.bytes, sizeof(services[i].address));
		services[i].port = key->vip.port;
		services[i].protocol = key->protocol;
	}
	*ret_policy = (struct policy_options){
		.min_age = config->sync.min_age,
		.flood_rate = config->sync.flood_rate,
		.services = services,
		.n_services = set->count,
	};
	return 0;
}
