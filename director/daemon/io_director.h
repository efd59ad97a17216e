/* One director: everything of lvsmeshd put together on one libuv loop. */
#ifndef DIRECTOR_DAEMON_IO_DIRECTOR_H
#define DIRECTOR_DAEMON_IO_DIRECTOR_H

#include "director/config/config.h"
#include "proto/identity/identity.h"
#include "proto/version.h"

struct io_director_options {
	const char *config_path;
	struct config *config; /* becomes the director's */
	const struct identity *identity;
	struct version_range versions; /* of the protocol, that the program speaks */
};

/* Runs until SIGTERM or SIGINT. On the way out the forwarding, the services, the VIPs and the
 * connections stay. SIGHUP reads the configuration again. Logs; 0, or a negative errno when it
 * could not start. */
int io_director_run(const struct io_director_options *options);

/* Logs the warnings of a valid configuration. */
void io_director_log_warnings(const struct config *config);

#endif
