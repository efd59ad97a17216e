/* One check as it is read: config_check.c has the keys of every type, config_check_type.c those of
 * one. */
#ifndef DIRECTOR_CONFIG_CONFIG_CHECK_PRIVATE_H
#define DIRECTOR_CONFIG_CONFIG_CHECK_PRIVATE_H

#include "director/config/outline.h"
#include "director/service/check.h"

struct check_reader {
	const struct outline *outline;
	struct outline_fault *fault;
	outline_node_t own;       /* the mapping that is read, */
	outline_node_t inherited; /* and the one whose keys it inherits; 0: none */
	struct check *check;
};

/* All keys of a check, for outline_check_at(). */
extern const cyaml_schema_value_t config_check_schema;

/* A word of the schema as its number: of type, via, query-type, rcode. */
uint32_t config_check_word(const char *key, const char *word);

/* The value of a key: its own, or an inherited one; 0: none, or a check of this type has no such
 * key. */
outline_node_t config_check_find(const struct check_reader *reader, const char *key);
/* Whether it has the key itself. */
bool config_check_owns(const struct check_reader *reader, const char *key);
/* The value as text; NULL: none. */
const char *config_check_text(const struct check_reader *reader, const char *key);

/* Copies the text of a key, if it has one: 0, or -ENOMEM. */
int config_check_copy(const struct check_reader *reader, const char *key, char **ret_text);
/* *ret_number stays as it is if there is none. min to max, or -EINVAL. */
int config_check_number(const struct check_reader *reader, const char *key, uint32_t min,
			uint32_t max, uint32_t *ret_number);

/* Refuses the value of a key, or the check itself if it has no such key: -EINVAL. */
#define config_check_refuse(reader, key, ...)                                                      \
	outline_refuse((reader)->outline, (reader)->fault, config_check_place(reader, key),        \
		       __VA_ARGS__)
outline_node_t config_check_place(const struct check_reader *reader, const char *key);

/* Reads the keys that not all types have: 0; -EINVAL and why; -ENOMEM. */
int config_check_type_read(const struct check_reader *reader);

#endif
