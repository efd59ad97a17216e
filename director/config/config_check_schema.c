/* The keys of a check and their types; which keys a type of check has is in config_check.c. */
#include "director/config/config.h"
#include "director/config/config_check_private.h"

#define OPTIONAL (CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT)
/* A field that libcyaml itself never reads: no struct belongs to it. */
#define FIELD(_key, _type, ...)                                                                    \
	{                                                                                          \
		.key = _key, .value = {.type = _type, .flags = OPTIONAL, __VA_ARGS__},             \
	}
#define TEXT(_key, _min, _max) FIELD(_key, CYAML_STRING, .string = {_min, _max})
#define NUMBER(_key, _type) FIELD(_key, CYAML_UINT, .data_size = sizeof(_type))
#define BOOL(_key) FIELD(_key, CYAML_BOOL, .data_size = sizeof(bool))
#define WORD(_key, _words)                                                                         \
	FIELD(_key, CYAML_ENUM, .enumeration = {.strings = _words, .count = ARRAY_SIZE(_words)})
#define LIST(_key, _entry, _max)                                                                   \
	FIELD(_key, CYAML_SEQUENCE, .sequence = {.entry = &_entry, .min = 1, .max = _max})

#define NAME_MAX_BYTES 255
#define HEADERS_MAX 32
#define ARGUMENTS_MAX 32

static const cyaml_strval_t types[] = {
	{"tcp", CHECK_TCP},   {"http", CHECK_HTTP}, {"https", CHECK_HTTPS},
	{"grpc", CHECK_GRPC}, {"dns", CHECK_DNS},   {"udp", CHECK_UDP},
	{"ping", CHECK_PING}, {"exec", CHECK_EXEC}, {"agent", CHECK_AGENT},
};

static const cyaml_strval_t vias[] = {
	{"address", CHECK_VIA_ADDRESS},
	{"forwarding", CHECK_VIA_FORWARDING},
};

static const cyaml_strval_t query_types[] = {
	{"A", 1},   {"NS", 2},   {"CNAME", 5}, {"SOA", 6},  {"PTR", 12},
	{"MX", 15}, {"TXT", 16}, {"AAAA", 28}, {"SRV", 33},
};

static const cyaml_strval_t rcodes[] = {
	{"noerror", 0},  {"formerr", 1}, {"servfail", 2},
	{"nxdomain", 3}, {"notimp", 4},  {"refused", 5},
};

static const cyaml_schema_value_t status = {.type = CYAML_STRING, .string = {1, 7}};
static const cyaml_schema_value_t header = {.type = CYAML_STRING, .string = {1, 1023}};
static const cyaml_schema_value_t argument = {.type = CYAML_STRING, .string = {0, CONFIG_PATH_MAX}};

static const cyaml_schema_field_t fields[] = {
	WORD("type", types),
	WORD("via", vias),
	TEXT("address", 1, ENDPOINT_TEXT - 1),
	NUMBER("port", uint16_t),
	TEXT("interval", 1, 31),
	TEXT("fast-interval", 1, 31),
	TEXT("timeout", 1, 31),
	NUMBER("fall", uint32_t),
	NUMBER("rise", uint32_t),
	TEXT("jitter", 1, 31),
	TEXT("source", 1, ENDPOINT_TEXT - 1),
	NUMBER("mark", uint32_t),
	TEXT("send", 0, CHECK_TEXT_MAX),
	TEXT("send-hex", 2, 2 * CHECK_TEXT_MAX),
	TEXT("payload", 0, CHECK_TEXT_MAX),
	TEXT("payload-hex", 2, 2 * CHECK_TEXT_MAX),
	TEXT("expect", 1, CHECK_TEXT_MAX),
	TEXT("expect-hex", 2, 2 * CHECK_TEXT_MAX),
	TEXT("method", 1, 31),
	TEXT("path", 1, 2047),
	TEXT("host", 1, NAME_MAX_BYTES),
	LIST("headers", header, HEADERS_MAX),
	LIST("status", status, CHECK_STATUSES_MAX),
	TEXT("body", 1, CHECK_TEXT_MAX),
	NUMBER("body-max", uint32_t),
	NUMBER("redirects", uint32_t),
	BOOL("http2"),
	BOOL("tls"),
	BOOL("verify"),
	TEXT("ca", 1, CONFIG_PATH_MAX),
	TEXT("sni", 1, NAME_MAX_BYTES),
	TEXT("service", 0, NAME_MAX_BYTES),
	TEXT("name", 1, NAME_MAX_BYTES),
	WORD("query-type", query_types),
	WORD("rcode", rcodes),
	LIST("command", argument, ARGUMENTS_MAX),
	CYAML_FIELD_END,
};

const cyaml_schema_value_t config_check_schema = {
	.type = CYAML_MAPPING,
	.mapping = {.fields = fields},
};

uint32_t config_check_word(const char *key, const char *word)
{
	const cyaml_schema_field_t *field = fields;

	while (strcmp(field->key, key) != 0)
		field++;
	for (uint32_t i = 0; i < field->value.enumeration.count; i++)
		if (strcmp(field->value.enumeration.strings[i].str, word) == 0)
			return (uint32_t)field->value.enumeration.strings[i].val;
	assert(false); /* the outline refuses all other words */
	return 0;
}
