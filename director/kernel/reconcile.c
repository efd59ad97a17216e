#include "director/kernel/reconcile.h"

#include <errno.h>
#include <stdio.h>

#include "director/kernel/owned.h"

/* Reports only the first failure. */
static void fail(struct reconcile_result *result, int *first, int error, const char *what,
		 const char *state)
{
	if (error >= 0 || *first < 0)
		return;
	*first = error;
	snprintf(result->error.text, sizeof(result->error.text),
		 "%s %.200s/services: %s; look at this directory", what, state, strerror(-error));
}

/* owned: the services that were ours before; replaced by those that are ours now. */
static int apply(struct ipvs *ipvs, const struct plan *plan, const struct service_set *desired,
		 const char *state, struct service_keys *owned, struct reconcile_result *result)
{
	struct service_keys before = {0}, after = {0};
	struct ipvs_error error;
	int first = 0, r;

	r = plan_keys_join(owned, desired, &before);
	if (r == 0)
		r = plan_keys_join(&(struct service_keys){0}, desired, &after);
	if (r < 0) {
		plan_keys_fini(&before);
		fail(result, &first, r, "prepare", state);
		return first;
	}
	/* Before the kernel learns of a service: kill -9 may come in between. */
	if (before.count != owned->count || result->forgot)
		fail(result, &first, owned_save(state, &before), "write", state);
	plan_keys_fini(owned);
	result->operations = (unsigned int)plan->count;
	r = ipvs_apply(ipvs, plan, &error);
	if (r < 0) {
		/* The operation that failed may be a deletion. */
		result->error = error;
		*owned = before;
		plan_keys_fini(&after);
		return r;
	}
	if (after.count != before.count)
		fail(result, &first, owned_save(state, &after), "write", state);
	*owned = after;
	plan_keys_fini(&before);
	return first;
}

int reconcile_services(struct ipvs *ipvs, const struct service_set *desired, const char *state,
		       struct service_keys *ret_owned, struct reconcile_result *ret_result)
{
	struct service_set actual = {0};
	struct service_keys owned = {0};
	struct plan plan = {0};
	int first = 0, r;

	*ret_result = (struct reconcile_result){0};
	*ret_owned = owned;
	r = owned_load(state, &owned);
	ret_result->forgot = r == -EBADMSG;
	if (r < 0 && r != -EBADMSG) {
		fail(ret_result, &first, r, "read", state);
		return first;
	}
	r = ipvs_dump(ipvs, &actual, &ret_result->error);
	if (r == 0) {
		r = plan_new(&actual, desired, &owned, &plan);
		fail(ret_result, &first, r, "plan with", state);
	}
	if (r == 0)
		r = apply(ipvs, &plan, desired, state, &owned, ret_result);
	plan_fini(&plan);
	service_set_fini(&actual);
	*ret_owned = owned;
	return r;
}

bool reconcile_differs(struct ipvs *ipvs, const struct service_set *desired, const char *state)
{
	struct service_keys owned = {0}, all = {0};
	struct service_set actual = {0};
	struct plan plan = {0};
	struct ipvs_error error;
	bool same;

	same = owned_load(state, &owned) == 0 && plan_keys_join(&owned, desired, &all) == 0 &&
	       owned.count == desired->count && all.count == owned.count &&
	       ipvs_dump(ipvs, &actual, &error) == 0 &&
	       plan_new(&actual, desired, &owned, &plan) == 0 && plan.count == 0;
	plan_fini(&plan);
	service_set_fini(&actual);
	plan_keys_fini(&owned);
	plan_keys_fini(&all);
	return !same;
}
