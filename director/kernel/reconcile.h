/* Brings IPVS to the wanted services, once: list, plan, apply, and remember which services are ours
 * around it. The kernel's services of others stay as they are. */
#ifndef DIRECTOR_KERNEL_RECONCILE_H
#define DIRECTOR_KERNEL_RECONCILE_H

#include "director/kernel/ipvs.h"

struct reconcile_result {
	unsigned int operations; /* tried */
	bool forgot;             /* the list of our services was damaged; it has been begun anew */
	struct ipvs_error error; /* of the first that failed */
};

/* desired: valid and sorted. state: the directory of owned.h. ret_owned: the services that are ours
 * from now on, to be ended with plan_keys_fini() whatever is returned. ret_result is always
 * written. 0; -errno of the first failure, and its sentence: all other operations have been done,
 * also when the list of our services could not be written. */
int reconcile_services(struct ipvs *ipvs, const struct service_set *desired, const char *state,
		       struct service_keys *ret_owned, struct reconcile_result *ret_result);

/* Whether reconcile_services() would change anything, or fail. Changes nothing, and may be called
 * on any thread that has ipvs to itself. */
bool reconcile_differs(struct ipvs *ipvs, const struct service_set *desired, const char *state);

#endif
