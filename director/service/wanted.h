/* The services that are to be in the kernel: those of the configuration, as checks and the operator
 * changed them. Memory only, and for one thread at a time.
 *
 * A service without changes borrows the configuration's real servers: 100,000 of them cost nothing
 * here. */
#ifndef DIRECTOR_SERVICE_WANTED_H
#define DIRECTOR_SERVICE_WANTED_H

#include "director/service/service.h"

/* How a real server, or the sorry server, of a service is to be. All of it: an edit does not depend
 * on those before it. */
struct wanted_edit {
	size_t service; /* numbers in the configuration's set */
	size_t real;    /* not looked at for the sorry server */
	bool sorry;
	bool removed; /* it is not to be in the kernel; without an edit the sorry server is not */
	uint32_t weight;
};

struct wanted_service;

struct wanted {
	const struct service_set *file; /* borrowed */
	struct service_set set;         /* sorted, valid; services as in file, in their order */
	struct wanted_service *changes; /* of each service */
};

/* file: sorted; borrowed until wanted_fini(). 0, or -ENOMEM. */
int wanted_init(struct wanted *wanted, const struct service_set *file);
/* All zero: does nothing. */
void wanted_fini(struct wanted *wanted);

/* A weight of 0 under mh-fallback keeps the share of the table that the file's weight has; so the
 * table is the same on a director that has never seen another weight. An edit whose numbers are out
 * of range, or that adds a sorry server which is also a real server, changes nothing. 0, or
 * -ENOMEM: nothing is changed. */
int wanted_edit(struct wanted *wanted, const struct wanted_edit *edit);

#endif
