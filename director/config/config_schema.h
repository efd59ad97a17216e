/* The configuration as libcyaml reads it: one struct a mapping, every optional value a pointer or
 * with 0 as its default. Only config.c includes this. */
#ifndef DIRECTOR_CONFIG_CONFIG_SCHEMA_H
#define DIRECTOR_CONFIG_CONFIG_SCHEMA_H

#include <cyaml/cyaml.h>
#include <stdbool.h>
#include <stdint.h>

/* Flags of schedulers under their own names; the value's low nibble is flag-1 to flag-3. */
#define RAW_FLAG_1 0x001u
#define RAW_FLAG_2 0x002u
#define RAW_FLAG_3 0x004u
#define RAW_MH_FALLBACK 0x010u
#define RAW_MH_PORT 0x020u
#define RAW_SH_FALLBACK 0x100u
#define RAW_SH_PORT 0x200u

enum { RAW_MINORITY_FORWARD, RAW_MINORITY_WITHDRAW };
enum { RAW_ALONE_FORWARD, RAW_ALONE_WAIT };
enum { RAW_PROFILE_DEFAULT, RAW_PROFILE_FAST };
enum { RAW_SYNC_ON, RAW_SYNC_OFF };
enum { RAW_CONNECTIONS_KEEP, RAW_CONNECTIONS_END };
enum { RAW_FAMILY_IPV4, RAW_FAMILY_IPV6 };

struct raw_tunnel {
	uint32_t type;
	uint16_t port;
	uint32_t checksum; /* TUNNEL_* */
};

struct raw_real {
	char *address;
	uint16_t *weight;
	uint32_t *forwarding;
	struct raw_tunnel *tunnel;
	uint32_t upper_threshold, lower_threshold;
};

struct raw_sorry {
	char *address;
	uint32_t *forwarding;
	struct raw_tunnel *tunnel;
};

struct raw_service {
	char *name;
	char *address;
	uint32_t *fwmark;
	uint32_t *family; /* of the fwmark, RAW_FAMILY_* */
	uint32_t *protocol;
	uint32_t *scheduler; /* index for raw_scheduler_name() */
	uint32_t scheduler_flags;
	bool one_packet;
	char *persistence;
	char *netmask;
	uint32_t *engine; /* present: sip, the only one */
	uint32_t *forwarding;
	struct raw_tunnel *tunnel;
	uint32_t *sync; /* RAW_SYNC_* */
	char *checkers;
	uint32_t *on_down;             /* enum health_on_down */
	uint32_t *connections_of_down; /* RAW_CONNECTIONS_* */
	char *panic_threshold;
	uint32_t *when_all_down; /* enum health_all_down */
	struct raw_sorry *sorry;
	char *slow_start;
	uint32_t *quorum, *quorum_hysteresis;
	struct raw_real *reals;
	uint32_t n_reals;
};

struct raw_node {
	char *name, *identity, *state;
};

struct raw_cluster {
	char **listen;
	uint32_t n_listen;
	char **join;
	uint32_t n_join;
	uint32_t *on_minority; /* RAW_MINORITY_* */
	uint32_t *on_alone;    /* RAW_ALONE_* */
	uint32_t *profile;     /* RAW_PROFILE_* */
	char *witness, *absence;
};

struct raw_sync {
	char *min_age, *join_timeout;
	uint32_t *flood_rate;
};

struct raw_tap {
	char *interface, *subnet;
};

struct raw_alerts {
	char **exec;
	uint32_t n_exec;
	char *webhook;
};

struct raw_config {
	struct raw_node node;
	struct raw_cluster cluster;
	char *vip_interface;
	char *control;
	struct raw_sync *sync;
	struct raw_tap *tap;
	struct raw_service *services;
	uint32_t n_services;
	struct raw_alerts *alerts;
};

/* For a struct raw_config *. It ignores checks: config_check.c reads them from the outline, since a
 * real server inherits its service's keys. */
extern const cyaml_schema_value_t config_schema;

const char *config_schema_scheduler(uint32_t index);

#endif
