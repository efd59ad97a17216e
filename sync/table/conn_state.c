#include "sync/table/conn_state.h"

#include <assert.h>
#include <strings.h>

struct state {
	const char *name;
	enum conn_phase phase;
	bool active;
};

#define NONE CONN_PHASE_NONE
#define OPENING CONN_PHASE_OPENING
#define ESTABLISHED CONN_PHASE_ESTABLISHED
#define CLOSING CONN_PHASE_CLOSING

static const struct state tcp_states[] = {
	{"NONE", OPENING, false},     {"ESTABLISHED", ESTABLISHED, true},
	{"SYN_SENT", OPENING, true},  {"SYN_RECV", OPENING, true},
	{"FIN_WAIT", CLOSING, false}, {"TIME_WAIT", CLOSING, false},
	{"CLOSE", CLOSING, false},    {"CLOSE_WAIT", CLOSING, false},
	{"LAST_ACK", CLOSING, false}, {"LISTEN", OPENING, false},
	{"SYNACK", OPENING, true},
};
static const struct state udp_states[] = {{"UDP", NONE, false}};
static const struct state sctp_states[] = {
	{"NONE", OPENING, false},           {"INIT1", OPENING, false},
	{"INIT", OPENING, false},           {"C-SENT", OPENING, false},
	{"C-REPLIED", OPENING, false},      {"C-WAIT", OPENING, false},
	{"COOKIE", OPENING, false},         {"C-ECHOED", OPENING, false},
	{"ESTABLISHED", ESTABLISHED, true}, {"S-SENT", CLOSING, false},
	{"S-RECEIVED", CLOSING, false},     {"S-ACK-SENT", CLOSING, false},
	{"REJECTED", CLOSING, false},       {"CLOSED", CLOSING, false},
};
static const struct state template_states[] = {{"NONE", NONE, true}, {"ASSURED", NONE, true}};

static const struct protocol {
	const char *name;
	uint8_t number;
	unsigned int count;
	const struct state *states;
} protocols[] = {
	{"TCP", IPPROTO_TCP, ARRAY_SIZE(tcp_states), tcp_states},
	{"UDP", IPPROTO_UDP, ARRAY_SIZE(udp_states), udp_states},
	{"SCTP", IPPROTO_SCTP, ARRAY_SIZE(sctp_states), sctp_states},
	{"IP", IPPROTO_IP, 0, NULL},
};

static const struct protocol *protocol_find(uint8_t number)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (protocols[i].number == number)
			return &protocols[i];
	return NULL;
}

/* NULL: none. */
static const struct state *states_of(uint8_t protocol, bool template, unsigned int *ret_count)
{
	const struct protocol *known = protocol_find(protocol);

	if (known && template) {
		*ret_count = ARRAY_SIZE(template_states);
		return template_states;
	}
	*ret_count = known ? known->count : 0;
	return known ? known->states : NULL;
}

/* NULL: none. */
static const struct state *state_find(uint8_t protocol, bool template, uint16_t state)
{
	unsigned int count;
	const struct state *states = states_of(protocol, template, &count);

	return state < count ? &states[state] : NULL;
}

unsigned int conn_state_count(uint8_t protocol, bool template)
{
	unsigned int count;

	states_of(protocol, template, &count);
	return count;
}

enum conn_phase conn_state_phase(const struct entry *entry)
{
	const struct state *state =
		state_find(entry->flow.protocol, entry->flow.template, entry->state);

	return state ? state->phase : CONN_PHASE_NONE;
}

bool conn_state_is_active(uint8_t protocol, bool template, uint16_t state)
{
	const struct state *known = state_find(protocol, template, state);

	assert(known);
	return known->active;
}

const char *conn_state_name(const struct entry *entry)
{
	const struct state *state =
		state_find(entry->flow.protocol, entry->flow.template, entry->state);

	return state ? state->name : "?";
}

const char *conn_state_protocol_name(const struct entry *entry)
{
	const struct protocol *protocol = protocol_find(entry->flow.protocol);

	return protocol ? protocol->name : "?";
}

static bool name_is(const char *name, const char *text, size_t len)
{
	return strlen(name) == len && memcmp(name, text, len) == 0;
}

int conn_state_parse(uint8_t protocol, bool template, const char *text, size_t len)
{
	unsigned int count;
	const struct state *states = states_of(protocol, template, &count);

	for (unsigned int i = 0; i < count; i++)
		if (name_is(states[i].name, text, len))
			return (int)i;
	return -1;
}

int conn_state_protocol_parse(const char *text, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (name_is(protocols[i].name, text, len))
			return protocols[i].number;
	return -1;
}

static bool is_one_of(const struct state *states, unsigned int count, const char *name)
{
	for (unsigned int i = 0; i < count; i++)
		if (strcasecmp(states[i].name, name) == 0)
			return true;
	return false;
}

bool conn_state_is_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (is_one_of(protocols[i].states, protocols[i].count, name))
			return true;
	return is_one_of(template_states, ARRAY_SIZE(template_states), name);
}

bool conn_state_is_protocol_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		if (strcasecmp(protocols[i].name, name) == 0)
			return true;
	return false;
}
