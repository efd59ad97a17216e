#include "director/config/outline.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "proto/base.h"

#define DEPTH_MAX 8

struct outline {
	yaml_document_t document;
};

struct outline_check {
	const struct outline *outline;
	struct outline_fault *fault;
};

static int __attribute__((format(printf, 3, 4)))
fault(struct outline_fault *ret_fault, size_t line, const char *form, ...)
{
	va_list args;

	ret_fault->line = (unsigned int)line;
	va_start(args, form);
	vsnprintf(ret_fault->text, sizeof(ret_fault->text), form, args);
	va_end(args);
	return -EINVAL;
}

static int syntax_fault(const yaml_parser_t *parser, struct outline_fault *ret_fault)
{
	if (parser->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (parser->error == YAML_READER_ERROR)
		return fault(ret_fault, 0,
			     "byte %zu is not UTF-8 text (%s); write plain text in UTF-8",
			     parser->problem_offset, parser->problem);
	return fault(ret_fault, parser->problem_mark.line + 1,
		     "this is not YAML: %s%s%s; write \"key: value\" lines, indented by spaces, "
		     "with quotes around a value that begins with a bracket",
		     parser->context ? parser->context : "", parser->context ? ", " : "",
		     parser->problem);
}

/* Reads the text once, before any tree is made of it: aliases could make a small text a huge tree,
 * and deep nesting costs libyaml more than linear time. */
static int scan(yaml_parser_t *parser, struct outline_fault *ret_fault)
{
	unsigned int depth = 0, documents = 0;
	bool more = true;
	int r = 0;

	while (r == 0 && more) {
		yaml_event_t event;
		size_t line;

		if (!yaml_parser_parse(parser, &event))
			return syntax_fault(parser, ret_fault);
		line = event.start_mark.line + 1;
		more = event.type != YAML_STREAM_END_EVENT;
		if (event.type == YAML_DOCUMENT_START_EVENT && ++documents > 1)
			r = fault(ret_fault, line, "a second document begins; write only one");
		else if (event.type == YAML_ALIAS_EVENT)
			r = fault(ret_fault, line,
				  "aliases (*%s) are not taken; write the value itself",
				  event.data.alias.anchor);
		else if (event.type == YAML_SCALAR_EVENT &&
			 strlen((char *)event.data.scalar.value) != event.data.scalar.length)
			r = fault(ret_fault, line, "a zero byte in a value; write plain text");
		else if (event.type == YAML_MAPPING_START_EVENT ||
			 event.type == YAML_SEQUENCE_START_EVENT)
			r = ++depth <= DEPTH_MAX ? 0
						 : fault(ret_fault, line,
							 "nested deeper than anything known here; "
							 "see the example configuration");
		else if (event.type == YAML_MAPPING_END_EVENT ||
			 event.type == YAML_SEQUENCE_END_EVENT)
			depth--;
		yaml_event_delete(&event);
	}
	return r;
}

int outline_new(const char *text, size_t len, struct outline **ret_outline,
		struct outline_fault *ret_fault)
{
	struct outline *outline;
	yaml_parser_t parser;
	int r;

	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	r = scan(&parser, ret_fault);
	yaml_parser_delete(&parser);
	if (r < 0)
		return r;

	outline = malloc(sizeof(*outline));
	if (!outline || !yaml_parser_initialize(&parser)) {
		free(outline);
		return -ENOMEM;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (!yaml_parser_load(&parser, &outline->document)) {
		r = syntax_fault(&parser, ret_fault);
		free(outline);
	} else {
		*ret_outline = outline;
	}
	yaml_parser_delete(&parser);
	return r;
}

void outline_free(struct outline *outline)
{
	if (!outline)
		return;
	yaml_document_delete(&outline->document);
	free(outline);
}

/* libyaml's accessors take a document that is not const, and change nothing. */
static const yaml_node_t *node_get(const struct outline *outline, outline_node_t node)
{
	return yaml_document_get_node((yaml_document_t *)&outline->document, node);
}

static const char *node_text(const yaml_node_t *node)
{
	return (const char *)node->data.scalar.value;
}

outline_node_t outline_root(const struct outline *outline)
{
	return node_get(outline, 1) ? 1 : 0;
}

outline_node_t outline_child(const struct outline *outline, outline_node_t parent, const char *key)
{
	const yaml_node_t *node = node_get(outline, parent);

	if (!node || node->type != YAML_MAPPING_NODE)
		return 0;
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *name = node_get(outline, pair->key);

		if (name->type == YAML_SCALAR_NODE && strcmp(node_text(name), key) == 0)
			return pair->value;
	}
	return 0;
}

outline_node_t outline_item(const struct outline *outline, outline_node_t parent, size_t index)
{
	const yaml_node_t *node = node_get(outline, parent);

	if (!node || node->type != YAML_SEQUENCE_NODE ||
	    index >= (size_t)(node->data.sequence.items.top - node->data.sequence.items.start))
		return 0;
	return node->data.sequence.items.start[index];
}

const char *outline_text(const struct outline *outline, outline_node_t id)
{
	const yaml_node_t *node = node_get(outline, id);

	return node && node->type == YAML_SCALAR_NODE ? node_text(node) : NULL;
}

unsigned int outline_line(const struct outline *outline, outline_node_t id)
{
	const yaml_node_t *node = node_get(outline, id);

	return node ? (unsigned int)node->start_mark.line + 1 : 0;
}

/* Edits (insert, delete, change, swap of neighbours) from a to b, at most `limit`. */
static size_t edit_distance(const char *a, const char *b, size_t limit)
{
	size_t rows[3][33], la = strlen(a), lb = strlen(b);

	if (lb >= ARRAY_SIZE(rows[0]) || la > lb + limit || lb > la + limit)
		return limit;
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t *row = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t same = a[i - 1] == b[j - 1] ? 0 : 1;

			row[j] = MIN(MIN(up[j], row[j - 1]) + 1, up[j - 1] + same);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], up2[j - 2] + 1);
		}
	}
	return MIN(rows[la % 3][lb], limit);
}

/* The names allowed in one place: keys of a mapping, or values of an enumeration. */
static const char *choice_name(const cyaml_schema_value_t *schema, unsigned int i)
{
	if (schema->type == CYAML_MAPPING)
		return schema->mapping.fields[i].key;
	return i < schema->enumeration.count ? schema->enumeration.strings[i].str : NULL;
}

/* "write X" for a name that is none of the choices: the nearest, or all. */
static const char *remedy(const cyaml_schema_value_t *schema, const char *name, char *text,
			  size_t size)
{
	size_t best = MIN(strlen(name) / 3 + 1, 4), used;
	const char *nearest = NULL;

	for (unsigned int i = 0; choice_name(schema, i); i++) {
		size_t distance = edit_distance(name, choice_name(schema, i), best);

		if (distance < best) {
			best = distance;
			nearest = choice_name(schema, i);
		}
	}
	if (!nearest && !choice_name(schema, 1))
		nearest = choice_name(schema, 0);
	if (nearest)
		return nearest;
	used = (size_t)snprintf(text, size, "one of");
	for (unsigned int i = 0; choice_name(schema, i) && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s %s", i ? "," : "",
					 choice_name(schema, i));
	return text;
}

static int check_value(const struct outline_check *check, const cyaml_schema_value_t *schema,
		       const char *name, const yaml_node_t *node);

static int check_key(const struct outline_check *check, const cyaml_schema_value_t *schema,
		     const char *name, const yaml_node_t *mapping, const yaml_node_pair_t *pair)
{
	const yaml_node_t *key = node_get(check->outline, pair->key);
	const cyaml_schema_field_t *field = schema->mapping.fields;
	size_t line = key->start_mark.line + 1;
	char text[384];

	if (key->type != YAML_SCALAR_NODE)
		return fault(check->fault, line, "a key of %s is not a word; write %s", name,
			     remedy(schema, "", text, sizeof(text)));
	while (field->key && strcmp(field->key, node_text(key)) != 0)
		field++;
	if (!field->key)
		return fault(check->fault, line, "%s has no key \"%.64s\"; write %s", name,
			     node_text(key), remedy(schema, node_text(key), text, sizeof(text)));

	for (const yaml_node_pair_t *p = mapping->data.mapping.pairs.start; p < pair; p++) {
		const yaml_node_t *other = node_get(check->outline, p->key);

		if (strcmp(node_text(other), node_text(key)) == 0)
			return fault(check->fault, line,
				     "key %s of %s is already on line %zu; write it once",
				     field->key, name, other->start_mark.line + 1);
	}
	return check_value(check, &field->value, field->key, node_get(check->outline, pair->value));
}

static int check_mapping(const struct outline_check *check, const cyaml_schema_value_t *schema,
			 const char *name, const yaml_node_t *node)
{
	const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	outline_node_t id = (outline_node_t)(node - check->outline->document.nodes.start) + 1;
	int r = 0;

	for (; r == 0 && pair < node->data.mapping.pairs.top; pair++)
		r = check_key(check, schema, name, node, pair);
	if (r < 0)
		return r;
	for (const cyaml_schema_field_t *field = schema->mapping.fields; field->key; field++)
		if (!(field->value.flags & CYAML_FLAG_OPTIONAL) &&
		    outline_child(check->outline, id, field->key) == 0)
			return fault(check->fault, node->start_mark.line + 1,
				     "%s lacks the key %s; write %s: and its value", name,
				     field->key, field->key);
	return 0;
}

/* The name of one of several, for messages: their key without the plural. */
static const char *singular(const char *plural, char *text, size_t size)
{
	int length = (int)strlen(plural);

	if (length > 1 && plural[length - 1] == 's')
		length--;
	snprintf(text, size, "%.*s", length, plural);
	return text;
}

static int check_sequence(const struct outline_check *check, const cyaml_schema_value_t *schema,
			  const char *name, const yaml_node_t *node)
{
	const yaml_node_item_t *item = node->data.sequence.items.start;
	const yaml_node_item_t *end = node->data.sequence.items.top;
	size_t line = node->start_mark.line + 1;
	char text[64];
	int r = 0;

	if (schema->type == CYAML_SEQUENCE && end - item < (ptrdiff_t)schema->sequence.min)
		return fault(check->fault, line, "%s is an empty list; write at least one", name);
	if (schema->type == CYAML_SEQUENCE && end - item > (ptrdiff_t)schema->sequence.max)
		return fault(check->fault, line, "%s has more than %u items; write fewer", name,
			     schema->sequence.max);
	singular(name, text, sizeof(text));
	for (; r == 0 && item < end; item++) {
		const yaml_node_t *value = node_get(check->outline, *item);

		if (schema->type == CYAML_SEQUENCE) {
			r = check_value(check, schema->sequence.entry, text, value);
		} else {
			cyaml_schema_value_t one = *schema;

			one.type = CYAML_ENUM;
			r = check_value(check, &one, text, value);
		}
	}
	return r;
}

static int check_number(const struct outline_check *check, const cyaml_schema_value_t *schema,
			const char *name, const yaml_node_t *node)
{
	uint64_t max = UINT64_MAX >> (64 - 8 * schema->data_size);
	const char *text = node_text(node);
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || text[digits] != '\0' || (text[0] == '0' && digits > 1) || digits > 18 ||
	    strtoull(text, NULL, 10) > max)
		return fault(check->fault, node->start_mark.line + 1,
			     "%s is \"%.64s\"; write a whole number, 0 to %ju", name, text,
			     (uintmax_t)max);
	return 0;
}

static int check_scalar(const struct outline_check *check, const cyaml_schema_value_t *schema,
			const char *name, const yaml_node_t *node)
{
	size_t line = node->start_mark.line + 1, length = node->data.scalar.length;
	const char *value = node_text(node);
	char text[384];

	switch (schema->type) {
	case CYAML_UINT:
		return check_number(check, schema, name, node);
	case CYAML_BOOL:
		if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0)
			return 0;
		return fault(check->fault, line, "%s is \"%.64s\"; write true or false", name,
			     value);
	case CYAML_ENUM:
		for (unsigned int i = 0; choice_name(schema, i); i++)
			if (strcmp(value, choice_name(schema, i)) == 0)
				return 0;
		return fault(check->fault, line, "unknown %s \"%.64s\"; write %s", name, value,
			     remedy(schema, value, text, sizeof(text)));
	default:
		if (length < schema->string.min)
			return fault(check->fault, line, "%s is empty; write its value", name);
		if (length > schema->string.max)
			return fault(check->fault, line, "%s has %zu bytes; write at most %u", name,
				     length, schema->string.max);
		return 0;
	}
}

static const char *type_name(cyaml_type_e type)
{
	switch (type) {
	case CYAML_MAPPING:
		return "a mapping of keys to values";
	case CYAML_SEQUENCE:
	case CYAML_FLAGS:
		return "a list";
	default:
		return "a single value";
	}
}

static int check_value(const struct outline_check *check, const cyaml_schema_value_t *schema,
		       const char *name, const yaml_node_t *node)
{
	bool list = schema->type == CYAML_SEQUENCE || schema->type == CYAML_FLAGS;
	const char *form = "%s: and, indented below, its keys";

	if (schema->type == CYAML_IGNORE)
		return 0;
	if (node->type == YAML_MAPPING_NODE && schema->type == CYAML_MAPPING)
		return check_mapping(check, schema, name, node);
	if (node->type == YAML_SEQUENCE_NODE && list)
		return check_sequence(check, schema, name, node);
	if (node->type == YAML_SCALAR_NODE && !list && schema->type != CYAML_MAPPING)
		return check_scalar(check, schema, name, node);

	if (list)
		form = "%s: [..., ...]";
	else if (schema->type != CYAML_MAPPING)
		form = "%s: and one value";
	char text[128];
	snprintf(text, sizeof(text), form, name);
	return fault(check->fault, node->start_mark.line + 1, "%s must be %s; write %s", name,
		     type_name(schema->type), text);
}

int outline_check(const struct outline *outline, const cyaml_schema_value_t *schema,
		  const char *what, struct outline_fault *ret_fault)
{
	struct outline_check check = {.outline = outline, .fault = ret_fault};
	const yaml_node_t *root = node_get(outline, 1);

	if (!root || root->type != YAML_MAPPING_NODE)
		return fault(ret_fault, 1, "%s has no keys; write %s: and its value", what,
			     schema->mapping.fields[0].key);
	return check_value(&check, schema, what, root);
}

int outline_check_at(const struct outline *outline, outline_node_t node,
		     const cyaml_schema_value_t *schema, const char *what,
		     struct outline_fault *ret_fault)
{
	struct outline_check check = {.outline = outline, .fault = ret_fault};

	return check_value(&check, schema, what, node_get(outline, node));
}

int outline_refuse(const struct outline *outline, struct outline_fault *ret_fault,
		   outline_node_t node, const char *form, ...)
{
	va_list args;

	ret_fault->line = outline_line(outline, node);
	va_start(args, form);
	vsnprintf(ret_fault->text, sizeof(ret_fault->text), form, args);
	va_end(args);
	return -EINVAL;
}
