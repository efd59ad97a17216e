/* lvsmesh, the operator's command: shared by its parts. Every command is a function from its
 * arguments to an exit status; messages go to standard error. */
#ifndef DIRECTOR_CTL_CTL_H
#define DIRECTOR_CTL_CTL_H

#include <jansson.h>
#include <stdbool.h>

#include "director/control/control_command.h"

enum ctl_exit {
	CTL_DONE = 0,
	CTL_REFUSED = 1, /* or unhealthy */
	CTL_USAGE = 2,
	CTL_NO_DAEMON = 3,
};

#define CTL_SOCKET "/run/lvsmesh/lvsmesh.sock"

struct ctl_options {
	const char *command; /* its name */
	const char *control; /* the daemon's socket */
	bool json;           /* for programs */
	bool follow;
	bool evidence;
	bool wait; /* until it is done */
};

__attribute__((format(printf, 1, 2))) void ctl_error(const char *format, ...);

/* Commands that need no daemon. argv[0] is the command's name. */
int ctl_keygen(int argc, char **argv);
int ctl_check(int argc, char **argv);

/* Commands of the daemon: send the request, which they take over, and show the answer. */
int ctl_status(const struct ctl_options *options, json_t *request);
int ctl_members(const struct ctl_options *options, json_t *request);
int ctl_peers(const struct ctl_options *options, json_t *request);
int ctl_services(const struct ctl_options *options, json_t *request);
int ctl_connections(const struct ctl_options *options, json_t *request);
int ctl_events(const struct ctl_options *options, json_t *request);
int ctl_set(const struct ctl_options *options, json_t *request);
int ctl_drain(const struct ctl_options *options, json_t *request);
int ctl_undrain(const struct ctl_options *options, json_t *request);
int ctl_leave(const struct ctl_options *options, json_t *request);
int ctl_remove(const struct ctl_options *options, json_t *request);
int ctl_reload(const struct ctl_options *options, json_t *request);

/* The arguments of services, set and drain, [SERVICE] [REAL] [SETTING [N]], become fields of the
 * request. CTL_DONE or CTL_USAGE, which is printed. */
int ctl_real_arguments(const struct control_command_spec *spec, int count, char **arguments,
		       json_t *request);
/* Waits until the real servers that the request drained have no connections left. */
int ctl_real_wait(const struct ctl_options *options, const char *real);

/* One question to the daemon. */
struct ctl_client;

/* The string of that key, borrowed; "": there is none. */
const char *ctl_text(const json_t *object, const char *key);

/* Sends the request, which is taken over. CTL_DONE: the daemon answers; else nothing was opened,
 * and the reason is printed. */
int ctl_client_open(const char *path, json_t *request, struct ctl_client **ret_client);
/* The next item: 1, it belongs to the caller; 0: there are no more; -1: the answer broke off, which
 * is printed. */
int ctl_client_next(struct ctl_client *client, json_t **ret_item);
/* Whether a daemon takes requests there; prints nothing. */
bool ctl_client_answers(const char *path);
/* Removes the timeout for the next item. */
void ctl_client_wait(struct ctl_client *client);
void ctl_client_close(struct ctl_client *client);

/* Prints {"name": [item, ...]} of all that is left. An exit status. */
int ctl_client_print(struct ctl_client *client, const char *name);

#endif
