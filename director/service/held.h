/* Remembers of the kernel what a list does not tell, or where a change is to cost
 * no list: for services whose scheduler's table depends on the order of adding (mh, sh, dh), this
 * order, and the weights that mh remembers. Memory only, for one thread at a time; all zero: it
 * knows nothing. */
#ifndef DIRECTOR_SERVICE_HELD_H
#define DIRECTOR_SERVICE_HELD_H

#include "director/service/plan.h"

struct held {
	struct service_set set; /* sorted; real servers in the order of adding */
};

void held_fini(struct held *held);

/* Completes a list of the kernel's (ipvs_dump()): the weights that mh remembers of real servers
 * with weight 0. SERVICE_TABLE_UNKNOWN where a former process may have given it any; without
 * mh-fallback lvsmesh lets mh remember none. */
void held_recall(const struct held *held, struct service_set *actual);

/* The service as the kernel has it, NULL: not known. */
const struct service *held_find(const struct held *held, const struct service_key *key);

/* The kernel was as in actual, and has been changed as planned to be as in desired: operations that
 * failed are seen in the next list. Both sorted. 0, or -ENOMEM: it knows nothing of some services.
 */
int held_take(struct held *held, const struct service_set *actual,
	      const struct service_set *desired, const struct plan *plan);

/* The kernel has been changed as planned. Likewise. */
int held_apply(struct held *held, const struct plan *plan);

#endif
