/* The commands that lvsmesh sends to lvsmeshd, each described once: lvsmeshd reads requests by this
 * table, and lvsmesh makes its usage, its help, its command line and its requests from it. A new
 * command is a line here, one in control_answer.c (how it is answered), and one in ctl.c (how its
 * answer is shown). */
#ifndef DIRECTOR_CONTROL_CONTROL_COMMAND_H
#define DIRECTOR_CONTROL_CONTROL_COMMAND_H

#include <stdbool.h>

/* In the order of the usage. */
enum control_command {
	CONTROL_STATUS,
	CONTROL_MEMBERS,
	CONTROL_PEERS,
	CONTROL_SERVICES,
	CONTROL_CONNECTIONS,
	CONTROL_EVENTS,
	CONTROL_SET,
	CONTROL_DRAIN,
	CONTROL_UNDRAIN,
	CONTROL_LEAVE,
	CONTROL_REMOVE,
	CONTROL_RELOAD,
	CONTROL_COMMANDS,
};

/* Fields of a request, besides the command's name. */
enum control_field {
	CONTROL_FILTER = 1,
	CONTROL_FOLLOW = 2,
	CONTROL_EVIDENCE = 4,
	CONTROL_MEMBER = 8,
	CONTROL_SERVICE = 16, /* a service's name */
	CONTROL_REAL = 32,    /* a real server's address, with or without port */
	CONTROL_SETTING = 64, /* and weight, if it is one */
};

struct control_command_spec {
	const char *name;
	unsigned int fields;   /* that the request may have: enum control_field */
	unsigned int required; /* and of these must have */
	bool waits;            /* lvsmesh can wait until it is done: --wait */
	const char *arguments; /* in the usage, NULL: none */
	const char *summary;   /* likewise */
	const char *help;
};

const struct control_command_spec *control_command_spec(enum control_command command);
/* False: there is no such command. */
bool control_command_find(const char *name, enum control_command *ret_command);

#endif
