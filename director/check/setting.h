/* The operator's settings: the newest of each real server of each service, also of those that this
 * director's configuration does not have (yet). A reset is kept too, so that an older setting that
 * another director brings does not come back; when there are too many, the oldest reset gives
 * place. */
#ifndef DIRECTOR_CHECK_SETTING_H
#define DIRECTOR_CHECK_SETTING_H

#include "director/check/value.h"

#define SETTINGS_MAX 16384

struct settings {
	struct setting *list; /* by key */
	size_t count, room;
	size_t at;      /* the search for those to be published goes on here */
	usec_t publish; /* mono: none is to be published before; USEC_NEVER to begin with */
};

void setting_fini(struct settings *settings);
/* NULL: none. */
const struct setting *setting_find(const struct settings *settings, const uint8_t *key);

enum setting_outcome {
	SETTING_NEW,   /* it holds from now on */
	SETTING_SAME,  /* it holds already */
	SETTING_STALE, /* a newer one holds */
	SETTING_FULL,  /* there are SETTINGS_MAX others, none of them a reset */
};

/* -ENOMEM or enum setting_outcome. */
int setting_take(struct settings *settings, const struct setting *setting);

/* It is to be published then (mono); USEC_NEVER: not. */
void setting_publish_at(struct settings *settings, const uint8_t *key, usec_t mono);
/* The next one whose time has come, which it forgets; false: none. */
bool setting_publish_next(struct settings *settings, usec_t mono, struct setting *ret_setting);

/* The version of a setting that is given now: above that of the one that holds. */
uint64_t setting_version(const struct settings *settings, const uint8_t *key, usec_t wall);

#endif
