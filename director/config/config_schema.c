#include "director/config/config_schema.h"

#include <netinet/in.h>

#include "director/config/config.h"

#define OPTIONAL (CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT)
#define REQUIRED CYAML_FLAG_STRICT
#define STRING(_key, _flags, _type, _member, _max)                                                 \
	CYAML_FIELD_STRING_PTR(_key, (_flags) | CYAML_FLAG_POINTER, _type, _member, 1, _max)
#define ENUM(_key, _type, _member, _strings)                                                       \
	CYAML_FIELD_ENUM_PTR(_key, OPTIONAL, _type, _member, _strings, ARRAY_SIZE(_strings))
#define FLAGS(_key, _type, _member, _strings)                                                      \
	CYAML_FIELD_FLAGS(_key, OPTIONAL, _type, _member, _strings, ARRAY_SIZE(_strings))
#define SEQUENCE(_key, _flags, _type, _member, _count, _entry, _min, _max)                         \
	CYAML_FIELD_SEQUENCE_COUNT(_key, (_flags) | CYAML_FLAG_POINTER, _type, _member, _count,    \
				   _entry, _min, _max)

#define ADDRESS_MAX (ENDPOINT_TEXT - 1)
#define SERVICES_MAX 4096
#define REALS_MAX 1024
#define ARGUMENTS_MAX 32
#define URL_MAX 2047

static const cyaml_strval_t protocols[] = {
	{"tcp", IPPROTO_TCP},
	{"udp", IPPROTO_UDP},
	{"sctp", IPPROTO_SCTP},
};

static const cyaml_strval_t forwardings[] = {
	{"direct", FORWARDING_DIRECT},
	{"tunnel", FORWARDING_TUNNEL},
	{"nat", FORWARDING_NAT},
};

static const cyaml_strval_t tunnels[] = {
	{"ipip", TUNNEL_IPIP},
	{"gue", TUNNEL_GUE},
	{"gre", TUNNEL_GRE},
};

static const cyaml_strval_t checksums[] = {
	{"none", 0},
	{"csum", TUNNEL_CSUM},
	{"remcsum", TUNNEL_REMCSUM},
};

static const cyaml_strval_t schedulers[] = {
	{"rr", 0}, {"wrr", 1}, {"lc", 2}, {"wlc", 3}, {"lblc", 4}, {"lblcr", 5}, {"dh", 6},
	{"sh", 7}, {"sed", 8}, {"nq", 9}, {"fo", 10}, {"ovf", 11}, {"mh", 12},   {"twos", 13},
};

static const cyaml_strval_t minorities[] = {
	{"forward", RAW_MINORITY_FORWARD},
	{"withdraw", RAW_MINORITY_WITHDRAW},
};

static const cyaml_strval_t alones[] = {
	{"forward", RAW_ALONE_FORWARD},
	{"wait", RAW_ALONE_WAIT},
};

static const cyaml_strval_t profiles[] = {
	{"default", RAW_PROFILE_DEFAULT},
	{"fast", RAW_PROFILE_FAST},
};

static const cyaml_strval_t families[] = {
	{"ipv4", RAW_FAMILY_IPV4},
	{"ipv6", RAW_FAMILY_IPV6},
};

static const cyaml_strval_t syncs[] = {
	{"on", RAW_SYNC_ON},
	{"off", RAW_SYNC_OFF},
};

static const cyaml_strval_t on_downs[] = {
	{"weight-zero", HEALTH_WEIGHT_ZERO},
	{"remove", HEALTH_REMOVE},
};

static const cyaml_strval_t connections_of_down[] = {
	{"keep", RAW_CONNECTIONS_KEEP},
	{"end", RAW_CONNECTIONS_END},
};

static const cyaml_strval_t all_downs[] = {
	{"forward", HEALTH_FAIL_OPEN},
	{"refuse", HEALTH_FAIL_CLOSED},
};

static const cyaml_strval_t engines[] = {
	{"sip", 0},
};

static const cyaml_strval_t scheduler_flags[] = {
	{"mh-port", RAW_MH_PORT}, {"mh-fallback", RAW_MH_FALLBACK},
	{"sh-port", RAW_SH_PORT}, {"sh-fallback", RAW_SH_FALLBACK},
	{"flag-1", RAW_FLAG_1},   {"flag-2", RAW_FLAG_2},
	{"flag-3", RAW_FLAG_3},
};

static const cyaml_schema_field_t tunnel_fields[] = {
	CYAML_FIELD_ENUM("type", REQUIRED, struct raw_tunnel, type, tunnels, ARRAY_SIZE(tunnels)),
	CYAML_FIELD_UINT("port", OPTIONAL, struct raw_tunnel, port),
	CYAML_FIELD_ENUM("checksum", OPTIONAL, struct raw_tunnel, checksum, checksums,
			 ARRAY_SIZE(checksums)),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t real_fields[] = {
	STRING("address", REQUIRED, struct raw_real, address, ADDRESS_MAX),
	CYAML_FIELD_UINT_PTR("weight", OPTIONAL, struct raw_real, weight),
	ENUM("forwarding", struct raw_real, forwarding, forwardings),
	CYAML_FIELD_MAPPING_PTR("tunnel", OPTIONAL, struct raw_real, tunnel, tunnel_fields),
	CYAML_FIELD_UINT("upper-threshold", OPTIONAL, struct raw_real, upper_threshold),
	CYAML_FIELD_UINT("lower-threshold", OPTIONAL, struct raw_real, lower_threshold),
	CYAML_FIELD_IGNORE("check", OPTIONAL),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t sorry_fields[] = {
	STRING("address", REQUIRED, struct raw_sorry, address, ADDRESS_MAX),
	ENUM("forwarding", struct raw_sorry, forwarding, forwardings),
	CYAML_FIELD_MAPPING_PTR("tunnel", OPTIONAL, struct raw_sorry, tunnel, tunnel_fields),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t real_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_real, real_fields),
};

static const cyaml_schema_field_t service_fields[] = {
	STRING("name", REQUIRED, struct raw_service, name, SERVICE_NAME_MAX),
	STRING("address", OPTIONAL, struct raw_service, address, ADDRESS_MAX),
	CYAML_FIELD_UINT_PTR("fwmark", OPTIONAL, struct raw_service, fwmark),
	ENUM("family", struct raw_service, family, families),
	ENUM("protocol", struct raw_service, protocol, protocols),
	ENUM("scheduler", struct raw_service, scheduler, schedulers),
	FLAGS("scheduler-flags", struct raw_service, scheduler_flags, scheduler_flags),
	CYAML_FIELD_BOOL("one-packet", OPTIONAL, struct raw_service, one_packet),
	STRING("persistence", OPTIONAL, struct raw_service, persistence, 31),
	STRING("persistence-netmask", OPTIONAL, struct raw_service, netmask, 31),
	ENUM("persistence-engine", struct raw_service, engine, engines),
	ENUM("forwarding", struct raw_service, forwarding, forwardings),
	CYAML_FIELD_MAPPING_PTR("tunnel", OPTIONAL, struct raw_service, tunnel, tunnel_fields),
	ENUM("sync", struct raw_service, sync, syncs),
	CYAML_FIELD_IGNORE("check", OPTIONAL),
	STRING("checkers", OPTIONAL, struct raw_service, checkers, 31),
	ENUM("on-down", struct raw_service, on_down, on_downs),
	ENUM("connections-of-down", struct raw_service, connections_of_down, connections_of_down),
	STRING("panic-threshold", OPTIONAL, struct raw_service, panic_threshold, 31),
	ENUM("when-all-down", struct raw_service, when_all_down, all_downs),
	CYAML_FIELD_MAPPING_PTR("sorry-server", OPTIONAL, struct raw_service, sorry, sorry_fields),
	STRING("slow-start", OPTIONAL, struct raw_service, slow_start, 31),
	CYAML_FIELD_UINT_PTR("quorum", OPTIONAL, struct raw_service, quorum),
	CYAML_FIELD_UINT_PTR("quorum-hysteresis", OPTIONAL, struct raw_service, quorum_hysteresis),
	SEQUENCE("real-servers", OPTIONAL, struct raw_service, reals, n_reals, &real_schema, 0,
		 REALS_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t service_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_service, service_fields),
};

static const cyaml_schema_value_t address_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, ADDRESS_MAX),
};

static const cyaml_schema_field_t node_fields[] = {
	STRING("name", REQUIRED, struct raw_node, name, CONFIG_NODE_NAME_MAX),
	STRING("identity", OPTIONAL, struct raw_node, identity, CONFIG_PATH_MAX),
	STRING("state", OPTIONAL, struct raw_node, state, CONFIG_PATH_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t cluster_fields[] = {
	SEQUENCE("listen", REQUIRED, struct raw_cluster, listen, n_listen, &address_schema, 1,
		 CONFIG_LISTEN_MAX),
	SEQUENCE("join", OPTIONAL, struct raw_cluster, join, n_join, &address_schema, 0,
		 CONFIG_JOIN_MAX),
	ENUM("on-minority", struct raw_cluster, on_minority, minorities),
	ENUM("on-alone", struct raw_cluster, on_alone, alones),
	STRING("witness", OPTIONAL, struct raw_cluster, witness, ADDRESS_MAX),
	ENUM("profile", struct raw_cluster, profile, profiles),
	STRING("absence", OPTIONAL, struct raw_cluster, absence, 31),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t sync_fields[] = {
	STRING("min-age", OPTIONAL, struct raw_sync, min_age, 31),
	STRING("join-timeout", OPTIONAL, struct raw_sync, join_timeout, 31),
	CYAML_FIELD_UINT_PTR("flood-rate", OPTIONAL, struct raw_sync, flood_rate),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t tap_fields[] = {
	STRING("interface", OPTIONAL, struct raw_tap, interface, IFNAMSIZ - 1),
	STRING("subnet", OPTIONAL, struct raw_tap, subnet, ADDRESS_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t argument_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CONFIG_PATH_MAX),
};

static const cyaml_schema_field_t alerts_fields[] = {
	SEQUENCE("exec", OPTIONAL, struct raw_alerts, exec, n_exec, &argument_schema, 1,
		 ARGUMENTS_MAX),
	STRING("webhook", OPTIONAL, struct raw_alerts, webhook, URL_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t config_fields[] = {
	CYAML_FIELD_MAPPING("node", REQUIRED, struct raw_config, node, node_fields),
	CYAML_FIELD_MAPPING("cluster", REQUIRED, struct raw_config, cluster, cluster_fields),
	CYAML_FIELD_MAPPING_PTR("sync", OPTIONAL, struct raw_config, sync, sync_fields),
	STRING("vip-interface", OPTIONAL, struct raw_config, vip_interface, IFNAMSIZ - 1),
	STRING("control", OPTIONAL, struct raw_config, control, CONFIG_CONTROL_MAX),
	CYAML_FIELD_MAPPING_PTR("wire-tap", OPTIONAL, struct raw_config, tap, tap_fields),
	SEQUENCE("services", OPTIONAL, struct raw_config, services, n_services, &service_schema, 0,
		 SERVICES_MAX),
	CYAML_FIELD_MAPPING_PTR("alerts", OPTIONAL, struct raw_config, alerts, alerts_fields),
	CYAML_FIELD_END,
};

const cyaml_schema_value_t config_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_config, config_fields),
};

const char *config_schema_scheduler(uint32_t index)
{
	return schedulers[index].str;
}
