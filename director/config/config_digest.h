/* A short name for a configuration's services: directors with the same digest distribute alike.
 * Keys that differ between directors by nature (name, addresses) are left out. */
#ifndef DIRECTOR_CONFIG_CONFIG_DIGEST_H
#define DIRECTOR_CONFIG_CONFIG_DIGEST_H

#include "director/config/config.h"

/* Hexadecimal digits and NUL. */
#define CONFIG_DIGEST_TEXT (2 * CONFIG_DIGEST_SIZE + 1)

/* Sets config->digest; config_parse() does it, at the end. */
void config_digest_make(struct config *config);

/* Returns text. */
char *config_digest(const struct config *config, char text[CONFIG_DIGEST_TEXT]);

/* Its first half as a number, not 0, as members gossip it. */
uint64_t config_digest_number(const struct config *config);

#endif
