#include "director/control/control.h"

#include <jansson.h>
#include <strings.h>

#include "director/service/kernel_conns.h"

static const char *const commands[] = {
	[CONTROL_STATUS] = "status",           [CONTROL_SERVICES] = "services",
	[CONTROL_CONNECTIONS] = "connections", [CONTROL_PEERS] = "peers",
	[CONTROL_RELOAD] = "reload",           [CONTROL_EVENTS] = "events",
	[CONTROL_MEMBERS] = "members",         [CONTROL_DRAIN] = "drain",
	[CONTROL_UNDRAIN] = "undrain",         [CONTROL_LEAVE] = "leave",
	[CONTROL_REMOVE] = "remove",
};

static const struct {
	const char *name, *text;
} errors[CONTROL_E_MAX] = {
	[CONTROL_E_OVERLONG] = {"overlong", "the request is longer than 4096 bytes"},
	[CONTROL_E_JSON] = {"json", "the request is not one line of JSON"},
	[CONTROL_E_COMMAND] = {"command", "there is no such command"},
	[CONTROL_E_FIELD] = {"field", "the command does not have such a field"},
	[CONTROL_E_FILTER] = {"filter",
			      "a filter is words like 192.0.2.1:80, client=ADDRESS, "
			      "vip=ADDRESS, real=ADDRESS, service=NAME, protocol=PROTOCOL, "
			      "state=STATE as the kernel writes it, origin=DIRECTOR, own, learned"},
	[CONTROL_E_FOLLOW] = {"follow", "follow is true or false"},
	[CONTROL_E_EVIDENCE] = {"evidence", "evidence is true or false"},
	[CONTROL_E_MEMBER] = {"member", "member is the name or the id of one"},
	[CONTROL_E_BUSY] = {"busy", "too many clients ask at once"},
	[CONTROL_E_SLOW] = {"slow", "the client took too long"},
	[CONTROL_E_EVICTED] = {"evicted", "another client needed the place of this idle one"},
	[CONTROL_E_GONE] = {"gone", "the client closed the connection before it was answered"},
};

const char *control_error_name(int error)
{
	return error > 0 && error < CONTROL_E_MAX ? errors[error].name : "?";
}

const char *control_error_text(int error)
{
	return error > 0 && error < CONTROL_E_MAX ? errors[error].text : "?";
}

const char *control_command_name(enum control_command command)
{
	return commands[command];
}

static bool address_parse(const char *text, struct endpoint *ret_endpoint)
{
	struct endpoint endpoint = {0};

	if (endpoint_parse(text, &endpoint) < 0 && ip_addr_parse(text, &endpoint.ip) < 0)
		return false;
	*ret_endpoint = endpoint;
	return true;
}

static bool value_parse(const char *name, const char *value, struct control_filter *filter)
{
	char *place = NULL;

	if (strcmp(name, "client") == 0)
		return address_parse(value, &filter->client);
	if (strcmp(name, "vip") == 0)
		return address_parse(value, &filter->vip);
	if (strcmp(name, "real") == 0)
		return address_parse(value, &filter->real);
	if (strcmp(name, "state") == 0 && kernel_conns_is_state(value))
		place = filter->state;
	else if (strcmp(name, "protocol") == 0 && kernel_conns_is_protocol(value))
		place = filter->protocol;
	else if (strcmp(name, "service") == 0)
		place = filter->service;
	else if (strcmp(name, "origin") == 0)
		place = filter->origin;
	if (!place || *value == '\0')
		return false;
	strcpy(place, value);
	return true;
}

static bool word_parse(char *word, struct control_filter *filter)
{
	char *value = strchr(word, '=');

	if (value) {
		*value++ = '\0';
		return value_parse(word, value, filter);
	}
	if (strcmp(word, "own") == 0)
		filter->own = true;
	else if (strcmp(word, "learned") == 0)
		filter->learned = true;
	else
		return address_parse(word, &filter->any);
	return true;
}

int control_filter_parse(const char *text, struct control_filter *ret_filter)
{
	struct control_filter filter;

	memset(&filter, 0, sizeof(filter));
	for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
		char word[CONTROL_WORD_MAX];
		size_t len = strcspn(text, " ");

		if (len >= sizeof(word))
			return -CONTROL_E_FILTER;
		memcpy(word, text, len);
		word[len] = '\0';
		if (!word_parse(word, &filter))
			return -CONTROL_E_FILTER;
		text += len;
	}
	*ret_filter = filter;
	return 0;
}

static bool address_match(const struct endpoint *want, uint8_t family, const uint8_t *bytes,
			  uint16_t port)
{
	return want->ip.family == family &&
	       memcmp(want->ip.bytes, bytes, ip_family_size(family)) == 0 &&
	       (want->port == 0 || want->port == port);
}

bool control_filter_service(struct control_filter *filter, const struct service_set *services)
{
	if (!filter->service[0])
		return true;
	for (size_t i = 0; i < services->count; i++) {
		if (strcmp(services->services[i].name, filter->service) == 0) {
			filter->key = services->services[i].key;
			return true;
		}
	}
	return false;
}

static bool service_match(const struct service_key *key, const struct entry *entry)
{
	const struct flow *flow = &entry->flow;

	if (key->fwmark)
		return key->fwmark == entry->fwmark && key->vip.ip.family == flow->family;
	return key->protocol == flow->protocol &&
	       address_match(&key->vip, flow->family, flow->vaddr, flow->vport);
}

bool control_filter_match(const struct control_filter *filter, const struct entry *entry,
			  const char *origin, const char *id, bool own)
{
	const struct flow *flow = &entry->flow;
	uint8_t family = flow->family;

	if ((filter->own && !own) || (filter->learned && own))
		return false;
	if (filter->service[0] && !service_match(&filter->key, entry))
		return false;
	if (filter->client.ip.family &&
	    !address_match(&filter->client, family, flow->caddr, flow->cport))
		return false;
	if (filter->vip.ip.family && !address_match(&filter->vip, family, flow->vaddr, flow->vport))
		return false;
	if (filter->real.ip.family &&
	    !address_match(&filter->real, family, entry->daddr, entry->dport))
		return false;
	if (filter->any.ip.family &&
	    !address_match(&filter->any, family, flow->caddr, flow->cport) &&
	    !address_match(&filter->any, family, flow->vaddr, flow->vport) &&
	    !address_match(&filter->any, family, entry->daddr, entry->dport))
		return false;
	if (filter->state[0] && strcasecmp(filter->state, kernel_conns_state_name(entry)) != 0)
		return false;
	if (filter->protocol[0] &&
	    strcasecmp(filter->protocol, kernel_conns_protocol_name(entry)) != 0)
		return false;
	return !filter->origin[0] || strcmp(filter->origin, origin) == 0 ||
	       strcmp(filter->origin, id) == 0;
}

static int command_find(const char *name, enum control_command *ret_command)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i], name) == 0) {
			*ret_command = (enum control_command)i;
			return 0;
		}
	}
	return -CONTROL_E_COMMAND;
}

static int field_parse(const char *key, const json_t *value, struct control_request *request)
{
	if (strcmp(key, "filter") == 0 && request->command == CONTROL_CONNECTIONS)
		return json_is_string(value)
			       ? control_filter_parse(json_string_value(value), &request->filter)
			       : -CONTROL_E_FILTER;
	if (strcmp(key, "follow") == 0 && request->command == CONTROL_EVENTS) {
		request->follow = json_is_true(value);
		return json_is_boolean(value) ? 0 : -CONTROL_E_FOLLOW;
	}
	if (strcmp(key, "evidence") == 0 && request->command == CONTROL_EVENTS) {
		request->evidence = json_is_true(value);
		return json_is_boolean(value) ? 0 : -CONTROL_E_EVIDENCE;
	}
	if (strcmp(key, "member") == 0 && request->command == CONTROL_REMOVE) {
		const char *name = json_string_value(value);

		if (!name || !*name || strlen(name) >= sizeof(request->member))
			return -CONTROL_E_MEMBER;
		strcpy(request->member, name);
		return 0;
	}
	return -CONTROL_E_FIELD;
}

static int object_parse(json_t *object, struct control_request *request)
{
	const char *key;
	json_t *value;
	int r = command_find(json_string_value(json_object_get(object, "command")),
			     &request->command);

	if (r < 0)
		return r;
	json_object_foreach(object, key, value)
	{
		if (strcmp(key, "command") == 0)
			continue;
		r = field_parse(key, value, request);
		if (r < 0)
			return r;
	}
	return request->command == CONTROL_REMOVE && !*request->member ? -CONTROL_E_MEMBER : 0;
}

int control_request_parse(const char *line, size_t len, struct control_request *ret_request)
{
	struct control_request request;
	json_t *object = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	int r = -CONTROL_E_JSON;

	memset(&request, 0, sizeof(request));
	if (json_is_object(object))
		r = object_parse(object, &request);
	json_decref(object);
	if (r == 0)
		*ret_request = request;
	return r;
}
