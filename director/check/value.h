/* The values of health checking's facts, as bytes: a fixed layout, little endian (PROTOCOL.md,
 * "Facts of health checks"). Decoders touch memory only; a value that is longer, shorter or out of
 * range in any field is refused. */
#ifndef DIRECTOR_CHECK_VALUE_H
#define DIRECTOR_CHECK_VALUE_H

#include "director/check/verdict.h"

enum health_setting {
	HEALTH_SET_RESET,       /* none: the file and the checks decide */
	HEALTH_SET_WEIGHT,      /* this weight in place of the file's, the agent's and slow start;
				   the real server is taken out all the same when it is down */
	HEALTH_SET_DRAIN,       /* weight 0; its connections go on */
	HEALTH_SET_MAINTENANCE, /* weight 0, and not checked; comes back as one that was down */
	HEALTH_SET_UP,          /* taken as up, whatever the checks say */
	HEALTH_SETTINGS,
};

/* "reset", "weight", "drain", "maintenance", "up"; "?" for any other number. */
const char *health_setting_name(enum health_setting setting);
/* false: no setting has that name. */
bool health_setting_find(const char *name, enum health_setting *ret_setting);
/* "unknown", "up", "down" */
const char *health_verdict_name(enum health_verdict verdict);

/* An operator's setting of one real server of one service. */
struct setting {
	uint8_t key[KEY_SIZE];
	enum health_setting setting;
	uint32_t weight;  /* of HEALTH_SET_WEIGHT, else 0 */
	uint64_t version; /* microseconds of UTC, and above that of the one before */
	uint64_t author;  /* the director on which the operator gave it */
	usec_t publish;   /* mono: to be published then; USEC_NEVER; not in the value */
};

/* VALUE_E_FORMAT: made by a newer version. */
enum value_error { VALUE_E_MALFORMED = 1, VALUE_E_FORMAT };

/* At most cap bytes (FACT_VALUE_MAX); a reason that does not fit is cut. Returns the length. */
size_t value_pack_vote(const struct vote *vote, uint8_t *data, size_t cap);
/* Fills in what the value says, but for the reason: that is written to reason, of CHECK_REASON_MAX
 * bytes, "" if there is none. 0 or VALUE_E_*; then nothing is written. */
int value_unpack_vote(const uint8_t *data, size_t len, struct vote *ret_vote, char *reason);

#define VALUE_SETTING_SIZE 22
size_t value_pack_setting(const struct setting *setting, uint8_t *data);
/* All but the key. 0 or VALUE_E_*. */
int value_unpack_setting(const uint8_t *data, size_t len, struct setting *ret_setting);

/* Whether a is newer than b. Total: all directors say the same. */
bool value_newer(const struct setting *a, const struct setting *b);

#endif
