#include "director/control/control.h"

#include <jansson.h>
#include <strings.h>

#include "sync/table/conn_state.h"

static const struct {
	const char *name, *text;
} errors[CONTROL_E_MAX] = {
	[CONTROL_E_OVERLONG] = {"overlong", "the request is longer than 4096 bytes"},
	[CONTROL_E_JSON] = {"json", "the request is not one line of JSON"},
	[CONTROL_E_COMMAND] = {"command", "unknown command"},
	[CONTROL_E_FIELD] = {"field", "unknown field for this command"},
	[CONTROL_E_FILTER] = {"filter",
			      "a filter consists of words like 192.0.2.1:80, client=ADDRESS, "
			      "vip=ADDRESS, real=ADDRESS, service=NAME, protocol=PROTOCOL, "
			      "state=STATE as the kernel writes it, origin=DIRECTOR, own, learned"},
	[CONTROL_E_FOLLOW] = {"follow", "follow must be true or false"},
	[CONTROL_E_EVIDENCE] = {"evidence", "evidence must be true or false"},
	[CONTROL_E_MEMBER] = {"member", "member must be the name or the id of a director"},
	[CONTROL_E_SERVICE] = {"service", "service must be the name of a service"},
	[CONTROL_E_REAL] = {"real", "real must be a real server's address, like 10.1.0.21:443, or "
				    "10.1.0.21 for every port"},
	[CONTROL_E_SETTING] = {"setting", "setting must be weight, with a weight of 0 to 65535, or "
					  "drain, maintenance, up or reset without one"},
	[CONTROL_E_BUSY] = {"busy", "too many clients are connected"},
	[CONTROL_E_SLOW] = {"slow", "the client took too long"},
	[CONTROL_E_EVICTED] = {"evicted", "the client was idle, and another one needed its place"},
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
	if (strcmp(name, "state") == 0 && conn_state_is_name(value))
		place = filter->state;
	else if (strcmp(name, "protocol") == 0 && conn_state_is_protocol_name(value))
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
	       memcmp(want->ip.bytes, bytes, ip_addr_size(family)) == 0 &&
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
	if (filter->state[0] && strcasecmp(filter->state, conn_state_name(entry)) != 0)
		return false;
	if (filter->protocol[0] &&
	    strcasecmp(filter->protocol, conn_state_protocol_name(entry)) != 0)
		return false;
	return !filter->origin[0] || strcmp(filter->origin, origin) == 0 ||
	       strcmp(filter->origin, id) == 0;
}

static int bool_parse(const json_t *value, int error, bool *ret_value)
{
	*ret_value = json_is_true(value);
	return json_is_boolean(value) ? 0 : -error;
}

static int filter_field(const json_t *value, struct control_request *request)
{
	const char *text = json_string_value(value);

	return text ? control_filter_parse(text, &request->filter) : -CONTROL_E_FILTER;
}

static int follow_field(const json_t *value, struct control_request *request)
{
	return bool_parse(value, CONTROL_E_FOLLOW, &request->follow);
}

static int evidence_field(const json_t *value, struct control_request *request)
{
	return bool_parse(value, CONTROL_E_EVIDENCE, &request->evidence);
}

static int member_field(const json_t *value, struct control_request *request)
{
	const char *name = json_string_value(value);

	if (!name || !*name || strlen(name) >= sizeof(request->member))
		return -CONTROL_E_MEMBER;
	strcpy(request->member, name);
	return 0;
}

static int service_field(const json_t *value, struct control_request *request)
{
	const char *name = json_string_value(value);

	if (!name || !*name || strlen(name) >= sizeof(request->service))
		return -CONTROL_E_SERVICE;
	strcpy(request->service, name);
	return 0;
}

static int real_field(const json_t *value, struct control_request *request)
{
	const char *text = json_string_value(value);

	return text && address_parse(text, &request->real) ? 0 : -CONTROL_E_REAL;
}

static int setting_field(const json_t *value, struct control_request *request)
{
	const char *name = json_string_value(value);

	return name && health_setting_find(name, &request->setting) ? 0 : -CONTROL_E_SETTING;
}

static int weight_field(const json_t *value, struct control_request *request)
{
	json_int_t weight = json_integer_value(value);

	if (!json_is_integer(value) || weight < 0 || weight > SERVICE_WEIGHT_MAX)
		return -CONTROL_E_SETTING;
	request->weight = (uint32_t)weight;
	return 0;
}

static const struct {
	const char *name;
	enum control_field field;
	int (*parse)(const json_t *value, struct control_request *request);
} fields[] = {
	{"filter", CONTROL_FILTER, filter_field},       {"follow", CONTROL_FOLLOW, follow_field},
	{"evidence", CONTROL_EVIDENCE, evidence_field}, {"member", CONTROL_MEMBER, member_field},
	{"service", CONTROL_SERVICE, service_field},    {"real", CONTROL_REAL, real_field},
	{"setting", CONTROL_SETTING, setting_field},    {"weight", CONTROL_SETTING, weight_field},
};

/* The fields that a command needs; a weight is needed for one setting, and for no other. */
static int required_check(const json_t *object, unsigned int required)
{
	const char *setting = json_string_value(json_object_get(object, "setting"));
	bool weight = json_object_get(object, "weight");

	if (required & CONTROL_MEMBER && !json_object_get(object, "member"))
		return -CONTROL_E_MEMBER;
	if (required & CONTROL_REAL && !json_object_get(object, "real"))
		return -CONTROL_E_REAL;
	if (required & CONTROL_SETTING && (!setting || weight != (strcmp(setting, "weight") == 0)))
		return -CONTROL_E_SETTING;
	return 0;
}

static int field_parse(const char *name, const json_t *value, unsigned int allowed,
		       struct control_request *request)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (strcmp(fields[i].name, name) == 0 && fields[i].field & allowed)
			return fields[i].parse(value, request);
	return -CONTROL_E_FIELD;
}

static int object_parse(json_t *object, struct control_request *request)
{
	const char *name = json_string_value(json_object_get(object, "command")), *key;
	unsigned int allowed;
	json_t *value;

	if (!name || !control_command_find(name, &request->command))
		return -CONTROL_E_COMMAND;
	allowed = control_command_spec(request->command)->fields;
	json_object_foreach(object, key, value)
	{
		int r = strcmp(key, "command") == 0 ? 0 : field_parse(key, value, allowed, request);

		if (r < 0)
			return r;
	}
	return required_check(object, control_command_spec(request->command)->required);
}

bool control_request_has_service(const struct control_request *request,
				 const struct service *service)
{
	return !request->service[0] || strcmp(request->service, service->name) == 0;
}

bool control_request_has_real(const struct control_request *request, const struct real_server *real)
{
	const struct endpoint *endpoint = &real->endpoint;

	return request->real.ip.family == 0 || address_match(&request->real, endpoint->ip.family,
							     endpoint->ip.bytes, endpoint->port);
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
