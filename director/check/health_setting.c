/* The operator's settings: given here, learned from others, and published. */
#include "director/check/health_private.h"

static void apply(struct health *health, const struct setting *setting, struct now now)
{
	uint32_t number = key_index_find(&health->layout.index, health->layout.backends,
					 sizeof(*health->layout.backends), setting->key);
	struct backend *backend;

	health->state_changed = true;
	if (number == KEY_INDEX_NONE)
		return;
	backend = &health->layout.backends[number];
	backend->setting = setting->setting;
	backend->setting_weight = setting->weight;
	fifo_add(&health->decide, backend->service);
	if (backend->target != TARGET_NONE)
		health_target_suspend(health, backend->target, now);
}

void health_setting_link(struct health *health, struct now now)
{
	for (size_t i = 0; i < health->layout.n_backends; i++) {
		struct backend *backend = &health->layout.backends[i];
		const struct setting *setting = setting_find(&health->settings, backend->key);

		backend->setting = setting ? setting->setting : HEALTH_SET_RESET;
		backend->setting_weight = setting ? setting->weight : 0;
	}
	for (uint32_t i = 0; i < health->targets.count; i++)
		if (health->targets.list[i].used)
			health_target_suspend(health, i, now);
}

int health_setting_fact(struct health *health, const struct fact *fact, struct now now)
{
	struct setting setting = {.publish = USEC_NEVER};
	int r = value_unpack_setting(fact->value, fact->len, &setting);

	if (r)
		return r == VALUE_E_FORMAT ? HEALTH_E_FORMAT : HEALTH_E_MALFORMED;
	memcpy(setting.key, fact->key, KEY_SIZE);
	if (setting.version > now.wall + AHEAD_MAX)
		return HEALTH_E_FUTURE;
	r = setting_take(&health->settings, &setting);
	switch (r) {
	case SETTING_NEW:
		apply(health, &setting, now);
		return 0;
	case SETTING_SAME:
		setting_publish_at(&health->settings, setting.key, USEC_NEVER);
		return 0;
	case SETTING_STALE:
		/* Another director has an older one: it gets the one that holds. */
		setting_publish_at(&health->settings, setting.key, now.mono);
		return HEALTH_E_STALE;
	case SETTING_FULL:
		return HEALTH_E_FULL;
	default:
		return r;
	}
}

int health_set(struct health *health, size_t service, size_t real, enum health_setting what,
	       uint32_t weight, struct now now)
{
	struct setting setting = {.setting = what, .author = health->self};
	const struct group *group = &health->layout.groups[service];
	int r;

	if (service >= health->layout.n_groups || real >= group->service->n_real_servers ||
	    what >= HEALTH_SETTINGS || weight > SERVICE_WEIGHT_MAX)
		return health_refuse(health, HEALTH_E_SETTING);
	memcpy(setting.key, health->layout.backends[group->first + real].key, KEY_SIZE);
	setting.weight = what == HEALTH_SET_WEIGHT ? weight : 0;
	setting.version = setting_version(&health->settings, setting.key, now.wall);
	/* The others would refuse it: the one that is held was made when our clock was ahead. */
	if (setting.version > now.wall + AHEAD_MAX)
		return health_refuse(health, HEALTH_E_FUTURE);
	r = setting_take(&health->settings, &setting);
	if (r < 0)
		return r;
	if (r == SETTING_FULL)
		return health_refuse(health, HEALTH_E_FULL);
	assert(r == SETTING_NEW);
	setting_publish_at(&health->settings, setting.key, now.mono);
	apply(health, &setting, now);
	return 0;
}

bool health_setting_publish(struct health *health, struct now now, struct fact *ret_fact)
{
	struct setting setting;

	if (!setting_publish_next(&health->settings, now.mono, &setting))
		return false;
	*ret_fact = (struct fact){
		.kind = FACT_SETTING, .origin = health->self, .timeout = FACT_FOREVER};
	memcpy(ret_fact->key, setting.key, KEY_SIZE);
	ret_fact->len = value_pack_setting(&setting, ret_fact->value);
	return true;
}
