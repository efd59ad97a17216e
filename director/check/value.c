#include "director/check/value.h"

#include "director/service/service.h"
#include "director/text.h"

static const char *const settings[HEALTH_SETTINGS] = {
	[HEALTH_SET_RESET] = "reset", [HEALTH_SET_WEIGHT] = "weight",
	[HEALTH_SET_DRAIN] = "drain", [HEALTH_SET_MAINTENANCE] = "maintenance",
	[HEALTH_SET_UP] = "up",
};

const char *health_setting_name(enum health_setting setting)
{
	return setting < HEALTH_SETTINGS ? settings[setting] : "?";
}

bool health_setting_find(const char *name, enum health_setting *ret_setting)
{
	for (unsigned int i = 0; i < HEALTH_SETTINGS; i++) {
		if (strcmp(settings[i], name) == 0) {
			*ret_setting = (enum health_setting)i;
			return true;
		}
	}
	return false;
}

const char *health_verdict_name(enum health_verdict verdict)
{
	return verdict == HEALTH_UP ? "up" : verdict == HEALTH_DOWN ? "down" : "unknown";
}

#define FORMAT 1
#define NO_WEIGHT 0xffff

/* Offsets of a vote's fields. */
enum {
	VOTE_FORMAT = 0,
	VOTE_STATE = 1,
	VOTE_VIEW = 2,
	VOTE_CAUSE = 3,
	VOTE_WEIGHT = 4,
	VOTE_SINCE = 6,
	VOTE_VIEW_SINCE = 14,
	VOTE_EPOCH = 22,
	VOTE_REASON = 30,
};

/* And of a setting's. */
enum {
	SETTING_FORMAT = 0,
	SETTING_SETTING = 1,
	SETTING_WEIGHT = 2,
	SETTING_VERSION = 6,
	SETTING_AUTHOR = 14,
};

static_assert(SETTING_AUTHOR + 8 == VALUE_SETTING_SIZE, "the last field ends the value");

size_t value_pack_vote(const struct vote *vote, uint8_t *data, size_t cap)
{
	char reason[CHECK_REASON_MAX] = "";
	size_t len;

	assert(cap > VOTE_REASON);
	data[VOTE_FORMAT] = FORMAT;
	data[VOTE_STATE] = (uint8_t)vote->state;
	data[VOTE_VIEW] = (uint8_t)vote->view;
	data[VOTE_CAUSE] = (uint8_t)vote->cause;
	store_le16(data + VOTE_WEIGHT, vote->weight < 0 ? NO_WEIGHT : (uint16_t)vote->weight);
	store_le64(data + VOTE_SINCE, vote->since);
	store_le64(data + VOTE_VIEW_SINCE, vote->view_since);
	store_le64(data + VOTE_EPOCH, vote->epoch);
	if (vote->reason)
		text_copy(reason, MIN(sizeof(reason), cap - VOTE_REASON), vote->reason);
	len = strlen(reason);
	memcpy(data + VOTE_REASON, reason, len);
	return VOTE_REASON + len;
}

/* A sentence as text_copy() leaves it: a reason of another director goes into logs and JSON. */
static bool is_clean(const uint8_t *data, size_t len, char *ret_text)
{
	char text[CHECK_REASON_MAX];

	if (len >= sizeof(text) || memchr(data, 0, len))
		return false;
	memcpy(text, data, len);
	text[len] = 0;
	text_copy(ret_text, CHECK_REASON_MAX, text);
	return strcmp(text, ret_text) == 0;
}

int value_unpack_vote(const uint8_t *data, size_t len, struct vote *ret_vote, char *reason)
{
	char text[CHECK_REASON_MAX];
	uint16_t weight;

	if (len < 1)
		return VALUE_E_MALFORMED;
	if (data[VOTE_FORMAT] != FORMAT)
		return VALUE_E_FORMAT;
	if (len < VOTE_REASON || data[VOTE_STATE] > HEALTH_DOWN || data[VOTE_VIEW] > HEALTH_DOWN ||
	    data[VOTE_CAUSE] >= CHECK_CAUSES)
		return VALUE_E_MALFORMED;
	weight = load_le16(data + VOTE_WEIGHT);
	if ((weight > CHECK_WEIGHT_MAX && weight != NO_WEIGHT) ||
	    !is_clean(data + VOTE_REASON, len - VOTE_REASON, text))
		return VALUE_E_MALFORMED;
	ret_vote->state = data[VOTE_STATE];
	ret_vote->view = data[VOTE_VIEW];
	ret_vote->cause = data[VOTE_CAUSE];
	ret_vote->weight = weight == NO_WEIGHT ? -1 : weight;
	ret_vote->since = load_le64(data + VOTE_SINCE);
	ret_vote->view_since = load_le64(data + VOTE_VIEW_SINCE);
	ret_vote->epoch = load_le64(data + VOTE_EPOCH);
	memcpy(reason, text, strlen(text) + 1);
	return 0;
}

size_t value_pack_setting(const struct setting *setting, uint8_t *data)
{
	data[SETTING_FORMAT] = FORMAT;
	data[SETTING_SETTING] = (uint8_t)setting->setting;
	store_le32(data + SETTING_WEIGHT, setting->weight);
	store_le64(data + SETTING_VERSION, setting->version);
	store_le64(data + SETTING_AUTHOR, setting->author);
	return VALUE_SETTING_SIZE;
}

int value_unpack_setting(const uint8_t *data, size_t len, struct setting *ret_setting)
{
	uint32_t weight;

	if (len < 1)
		return VALUE_E_MALFORMED;
	if (data[SETTING_FORMAT] != FORMAT)
		return VALUE_E_FORMAT;
	if (len != VALUE_SETTING_SIZE || data[SETTING_SETTING] >= HEALTH_SETTINGS)
		return VALUE_E_MALFORMED;
	weight = load_le32(data + SETTING_WEIGHT);
	if (weight > (data[SETTING_SETTING] == HEALTH_SET_WEIGHT ? SERVICE_WEIGHT_MAX : 0))
		return VALUE_E_MALFORMED;
	ret_setting->setting = data[SETTING_SETTING];
	ret_setting->weight = weight;
	ret_setting->version = load_le64(data + SETTING_VERSION);
	ret_setting->author = load_le64(data + SETTING_AUTHOR);
	return 0;
}

bool value_newer(const struct setting *a, const struct setting *b)
{
	if (a->version != b->version)
		return a->version > b->version;
	if (a->author != b->author)
		return a->author > b->author;
	if (a->setting != b->setting)
		return a->setting > b->setting;
	return a->weight > b->weight;
}
