#include "director/check/setting.h"

#include <stdlib.h>

void setting_fini(struct settings *settings)
{
	free(settings->list);
	*settings = (struct settings){0};
}

/* The place of the first one that is not before the key. */
static size_t place(const struct settings *settings, const uint8_t *key)
{
	size_t low = 0, high = settings->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (memcmp(settings->list[middle].key, key, KEY_SIZE) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct setting *find(const struct settings *settings, const uint8_t *key)
{
	size_t at = place(settings, key);

	if (at == settings->count || memcmp(settings->list[at].key, key, KEY_SIZE) != 0)
		return NULL;
	return &settings->list[at];
}

const struct setting *setting_find(const struct settings *settings, const uint8_t *key)
{
	return find(settings, key);
}

/* False: there is no reset. */
static bool drop_oldest_reset(struct settings *settings)
{
	const struct setting *oldest = NULL;
	size_t at;

	for (size_t i = 0; i < settings->count; i++)
		if (settings->list[i].setting == HEALTH_SET_RESET &&
		    (!oldest || value_newer(oldest, &settings->list[i])))
			oldest = &settings->list[i];
	if (!oldest)
		return false;
	at = (size_t)(oldest - settings->list);
	settings->count--;
	memmove(&settings->list[at], &settings->list[at + 1],
		(settings->count - at) * sizeof(*settings->list));
	return true;
}

static int insert(struct settings *settings, const struct setting *setting)
{
	size_t at;

	if (settings->count == SETTINGS_MAX && !drop_oldest_reset(settings))
		return SETTING_FULL;
	if (settings->count == settings->room) {
		size_t room = settings->room ? 2 * settings->room : 16;
		struct setting *list = reallocarray(settings->list, room, sizeof(*list));

		if (!list)
			return -ENOMEM;
		settings->list = list;
		settings->room = room;
	}
	at = place(settings, setting->key);
	memmove(&settings->list[at + 1], &settings->list[at],
		(settings->count - at) * sizeof(*settings->list));
	settings->list[at] = *setting;
	settings->count++;
	return SETTING_NEW;
}

int setting_take(struct settings *settings, const struct setting *setting)
{
	struct setting *held = find(settings, setting->key);

	if (!held)
		return insert(settings, setting);
	if (value_newer(held, setting))
		return SETTING_STALE;
	if (!value_newer(setting, held))
		return SETTING_SAME;
	*held = *setting;
	return SETTING_NEW;
}

void setting_publish_at(struct settings *settings, const uint8_t *key, usec_t mono)
{
	struct setting *held = find(settings, key);

	if (!held)
		return;
	held->publish = mono;
	settings->publish = MIN(settings->publish, mono);
}

bool setting_publish_next(struct settings *settings, usec_t mono, struct setting *ret_setting)
{
	usec_t first = USEC_NEVER;

	if (settings->publish > mono)
		return false;
	for (size_t i = 0; i < settings->count; i++) {
		struct setting *setting;

		settings->at = settings->at + 1 < settings->count ? settings->at + 1 : 0;
		setting = &settings->list[settings->at];
		if (setting->publish <= mono) {
			*ret_setting = *setting;
			setting->publish = USEC_NEVER;
			return true;
		}
		first = MIN(first, setting->publish);
	}
	settings->publish = first;
	return false;
}

uint64_t setting_version(const struct settings *settings, const uint8_t *key, usec_t wall)
{
	const struct setting *held = setting_find(settings, key);

	return held ? MAX(held->version + 1, wall) : wall;
}
