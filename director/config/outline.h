/* The line of each value in a YAML text: libcyaml turns a text into structs but forgets the lines,
 * and reports one error at a time in its own words. An outline checks a text against the same
 * schema first, so that libcyaml only ever sees texts that it accepts, and afterwards gives the
 * line of any value. Touches memory only. */
#ifndef DIRECTOR_CONFIG_OUTLINE_H
#define DIRECTOR_CONFIG_OUTLINE_H

#include <cyaml/cyaml.h>
#include <stddef.h>

struct outline;
/* A value; 0: none. Valid as long as its outline. */
typedef int outline_node_t;

struct outline_fault {
	unsigned int line; /* from 1; 0: the text as a whole */
	char text[480];    /* "sentence; write X" */
};

/* Reads one document without aliases, nested no deeper than 8. The text is not kept. 0; -EINVAL and
 * why; -ENOMEM. */
int outline_new(const char *text, size_t len, struct outline **ret_outline,
		struct outline_fault *ret_fault);
void outline_free(struct outline *outline);

/* Every key known, given once and given when it must be, every value of the right type and in
 * range. schema: of a mapping, which messages call `what`. Understands mappings,
 * sequences, strings, unsigned integers, bool, enum and flags; not optional values in sequences;
 * ignored ones are left to outline_check_at(). 0, or -EINVAL and why. */
int outline_check(const struct outline *outline, const cyaml_schema_value_t *schema,
		  const char *what, struct outline_fault *ret_fault);

/* The same of a mapping within the text. */
int outline_check_at(const struct outline *outline, outline_node_t node,
		     const cyaml_schema_value_t *schema, const char *what,
		     struct outline_fault *ret_fault);

outline_node_t outline_root(const struct outline *outline);
/* The value of a key, and the index-th of a sequence; 0 when there is none. */
outline_node_t outline_child(const struct outline *outline, outline_node_t node, const char *key);
outline_node_t outline_item(const struct outline *outline, outline_node_t node, size_t index);
/* A single value's text, borrowed; NULL: it is none. */
const char *outline_text(const struct outline *outline, outline_node_t node);
/* 0 for no node. */
unsigned int outline_line(const struct outline *outline, outline_node_t node);

/* Reports a fault at a node, with its line: always -EINVAL. */
__attribute__((format(printf, 4, 5))) int outline_refuse(const struct outline *outline,
							 struct outline_fault *ret_fault,
							 outline_node_t node, const char *form,
							 ...);

#endif
