#include "director/config/config_cluster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "director/config/config_service.h"

#define ABSENCE_DEFAULT 300 /* seconds */
#define ABSENCE_MAX (24 * 3600)

struct cluster_reader {
	const struct outline *outline;
	outline_node_t node;
	struct outline_fault *fault;
};

static outline_node_t child(const struct cluster_reader *reader, const char *key)
{
	return outline_child(reader->outline, reader->node, key);
}

static int check_repeats(const struct cluster_reader *reader, outline_node_t list,
			 const struct endpoint *endpoints, size_t i)
{
	char text[ENDPOINT_TEXT];

	for (size_t j = 0; j < i; j++)
		if (endpoint_compare(&endpoints[i], &endpoints[j]) == 0)
			return outline_refuse(reader->outline, reader->fault,
					      outline_item(reader->outline, list, i),
					      "%s is already on line %u; write it once",
					      endpoint_format(&endpoints[i], text),
					      outline_line(reader->outline,
							   outline_item(reader->outline, list, j)));
	return 0;
}

static int read_endpoints(const struct cluster_reader *reader, const char *key, char *const *texts,
			  size_t count, struct endpoint **ret_endpoints)
{
	struct endpoint *endpoints = calloc(count ? count : 1, sizeof(*endpoints));
	outline_node_t list = child(reader, key);

	if (!endpoints)
		return -ENOMEM;
	*ret_endpoints = endpoints;
	for (size_t i = 0; i < count; i++) {
		int r;

		if (endpoint_parse(texts[i], &endpoints[i]) < 0)
			return outline_refuse(
				reader->outline, reader->fault,
				outline_item(reader->outline, list, i),
				"\"%s\" is not an address with a port; write one like "
				"192.0.2.11:7946 or \"[2001:db8::11]:7946\"",
				texts[i]);
		r = check_repeats(reader, list, endpoints, i);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Checks the others' addresses, or those announced to the others. */
static int check_reachable(const struct cluster_reader *reader, const char *key,
			   const struct endpoint *endpoints, size_t count, const char *whose)
{
	char text[ENDPOINT_TEXT];

	for (size_t i = 0; i < count; i++) {
		const char *why = ip_addr_unusable(&endpoints[i].ip);

		if (why)
			return outline_refuse(
				reader->outline, reader->fault,
				outline_item(reader->outline, child(reader, key), i),
				"no other director can be reached at %s: it is %s; write one of %s",
				endpoint_format(&endpoints[i], text), why, whose);
	}
	return 0;
}

static int read_witness(const struct cluster_reader *reader, const char *text,
			struct config *config)
{
	if (!text)
		return 0;
	if (ip_addr_parse(text, &config->witness) < 0 || ip_addr_unusable(&config->witness))
		return outline_refuse(
			reader->outline, reader->fault, child(reader, "witness"),
			"witness \"%s\" is not a valid address; write one without a port, like "
			"192.0.2.1",
			text);
	return 0;
}

static int read_absence(const struct cluster_reader *reader, const char *text,
			struct config *config)
{
	uint32_t seconds = ABSENCE_DEFAULT;

	if (text && (config_service_seconds(text, &seconds) < 0 || seconds == 0))
		return outline_refuse(reader->outline, reader->fault, child(reader, "absence"),
				      "absence \"%s\" is not a valid duration of whole seconds; "
				      "write one like 5m",
				      text);
	if (seconds > ABSENCE_MAX)
		return outline_refuse(reader->outline, reader->fault, child(reader, "absence"),
				      "absence is longer than a day; write 24h or less");
	config->absence = seconds * USEC_PER_SEC;
	return 0;
}

int config_cluster_read(const struct raw_cluster *raw, const struct outline *outline,
			outline_node_t node, struct config *config, struct outline_fault *ret_fault)
{
	const struct cluster_reader reader = {.outline = outline, .node = node, .fault = ret_fault};
	int r;

	config->n_listen = raw->n_listen;
	config->n_join = raw->n_join;
	config->withdraw = raw->on_minority && *raw->on_minority == RAW_MINORITY_WITHDRAW;
	config->wait_alone = raw->on_alone && *raw->on_alone == RAW_ALONE_WAIT;
	config->fast = raw->profile && *raw->profile == RAW_PROFILE_FAST;
	r = read_endpoints(&reader, "listen", raw->listen, raw->n_listen, &config->listen);
	if (r == 0)
		r = check_reachable(&reader, "listen", config->listen, config->n_listen,
				    "this director's");
	if (r == 0)
		r = read_endpoints(&reader, "join", raw->join, raw->n_join, &config->join);
	if (r == 0)
		r = check_reachable(&reader, "join", config->join, config->n_join,
				    "another director's");
	if (r == 0)
		r = read_witness(&reader, raw->witness, config);
	if (r == 0)
		r = read_absence(&reader, raw->absence, config);
	return r;
}
