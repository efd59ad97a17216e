/* The configuration file as a plain struct. A text is taken whole or refused whole, with the line
 * and the remedy. The keys, their defaults and their ranges are in config_schema.c. */
#ifndef DIRECTOR_CONFIG_CONFIG_H
#define DIRECTOR_CONFIG_CONFIG_H

#include <net/if.h>

#include "director/config/check_pool.h"
#include "director/service/service.h"
#include "proto/fault.h"

#define CONFIG_NODE_NAME_MAX 63
#define CONFIG_CONTROL_MAX 107 /* sun_path */
#define CONFIG_PATH_MAX 4095
#define CONFIG_JOIN_MAX 64          /* MEMBERSHIP_JOIN_MAX */
#define CONFIG_LISTEN_MAX 4         /* MEMBERSHIP_ADDRESSES_MAX */
#define CONFIG_TEXT_MAX (32u << 20) /* bytes of a file */

#define CONFIG_DIGEST_SIZE 16

/* The TUN to the kernel's sync threads: IPv4, the two host addresses of a /30. */
struct config_tap {
	char interface[IFNAMSIZ];
	struct ip_addr local;  /* the interface's, and the probe service's */
	struct ip_addr remote; /* ours, behind the descriptor */
	uint8_t prefix;
};

/* Which of our connections are replicated (sync/policy.h). */
struct config_sync {
	usec_t min_age;
	uint32_t flood_rate; /* 0: no limit */
	usec_t join_timeout; /* 0: none */
};

/* Receivers of events besides the log. */
struct config_alerts {
	char **exec;   /* a program and its arguments, with a NULL behind them; NULL: none */
	char *webhook; /* an http or https URL, NULL: none */
};

#define CONFIG_WARNINGS_MAX 64

/* Sentences about what a valid configuration does otherwise than it may be meant, "FILE:LINE:
 * sentence; write X": the first CONFIG_WARNINGS_MAX of count. */
struct config_warnings {
	char *texts[CONFIG_WARNINGS_MAX];
	size_t count;
};

#define CONFIG_TEXT_SIZE 16

struct config {
	char node_name[CONFIG_NODE_NAME_MAX + 1];
	char *identity; /* directory of key and certificate */
	char *state;    /* directory of the state that survives a restart */
	char control[CONFIG_CONTROL_MAX + 1];
	struct endpoint *listen; /* at least one */
	size_t n_listen;
	struct endpoint *join; /* may have our own among them */
	size_t n_join;
	bool withdraw;          /* take no traffic in a minority */
	bool wait_alone;        /* at start, take none before another director has answered */
	bool fast;              /* the profile of membership */
	struct ip_addr witness; /* family 0: none */
	usec_t absence;         /* how long others wait for us when we stop */
	struct config_sync sync;
	char vip_interface[IFNAMSIZ];
	struct config_tap tap;
	struct config_alerts alerts;
	struct service_set services; /* valid, in canonical order */
	struct check_pool checks;    /* of their real servers */
	struct config_warnings warnings;
	uint8_t digest[CONFIG_DIGEST_SIZE]; /* of both, made once: config_digest.h */
	uint8_t text[CONFIG_TEXT_SIZE];     /* a hash of the file; zero: of none */
	unsigned int refs;                  /* besides the first: config_ref() */
};

/* text: "FILE:LINE: sentence; write X", without the line when it is 0: the file as a whole. */
struct config_error {
	unsigned int line;
	char text[FAULT_TEXT];
};

/* Touches memory only. name: what messages call the text. 0; -EINVAL: refused; -ENOMEM: either way
 * ret_error says why. */
int config_parse(const char *text, size_t len, const char *name, struct config **ret_config,
		 struct config_error *ret_error);

/* The same for a file; also -errno when it cannot be read, again with its sentence. */
int config_load(const char *path, struct config **ret_config, struct config_error *ret_error);

/* The same for a running configuration: 1: the file is as it was then, and nothing is returned. */
int config_reload(const char *path, const struct config *running, struct config **ret_config,
		  struct config_error *ret_error);

/* Takes a reference, to be dropped by config_free(); the last one frees it. One thread alone may
 * count. Returns config. */
struct config *config_ref(struct config *config);
void config_free(struct config *config);

#endif
