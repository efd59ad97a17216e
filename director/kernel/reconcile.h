/* Brings IPVS to the wanted services, once: list, plan, apply, and remember which services are ours
 * around it. The kernel's services of others stay as they are. */
#ifndef DIRECTOR_KERNEL_RECONCILE_H
#define DIRECTOR_KERNEL_RECONCILE_H

#include "director/kernel/ipvs.h"
#include "director/service/held.h"
#include "director/service/wanted.h"

struct reconcile_result {
	unsigned int operations; /* tried */
	uint64_t messages;       /* of netlink, that changed something */
	bool forgot;             /* the list of our services was damaged; it has been begun anew */
	struct ipvs_error error; /* of the first that failed */
};

/* desired: valid and sorted. held: what is known of the kernel, brought up to date. state: the
 * directory of owned.h. ret_owned: the services that are ours from now on, to be ended with
 * plan_keys_fini() whatever is returned. ret_result is always written. 0; -errno of the first
 * failure, and its sentence: all other operations have been done, also when the list of our
 * services could not be written. */
int reconcile_services(struct ipvs *ipvs, const struct service_set *desired, struct held *held,
		       const char *state, struct service_keys *ret_owned,
		       struct reconcile_result *ret_result);

/* Makes the edits in wanted, and in the kernel without listing anything: the kernel is as wanted
 * was before. Edits of one service are made at once. 0; -errno of the first failure, and its
 * sentence: the kernel is not as thought. */
int reconcile_edits(struct ipvs *ipvs, struct wanted *wanted, struct held *held,
		    const struct wanted_edit *edits, size_t count,
		    struct reconcile_result *ret_result);

/* Whether reconcile_services() would change anything, or fail. Changes nothing, and may be called
 * on any thread that has ipvs to itself. */
bool reconcile_differs(struct ipvs *ipvs, const struct service_set *desired,
		       const struct held *held, const char *state);

#endif
