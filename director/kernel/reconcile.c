#include "director/kernel/reconcile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

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

int reconcile_services(struct ipvs *ipvs, const struct service_set *desired, struct held *held,
		       const char *state, struct service_keys *ret_owned,
		       struct reconcile_result *ret_result)
{
	uint64_t sent = ipvs_sent(ipvs);
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
		held_recall(held, &actual);
		r = plan_new(&actual, desired, &owned, &plan);
		fail(ret_result, &first, r, "plan with", state);
	}
	if (r == 0) {
		r = apply(ipvs, &plan, desired, state, &owned, ret_result);
		held_take(held, &actual, desired, &plan);
	}
	ret_result->messages = ipvs_sent(ipvs) - sent;
	plan_fini(&plan);
	service_set_fini(&actual);
	*ret_owned = owned;
	return r;
}

/* Services that edits concern, as they are before them. */
struct touched {
	struct service_set before;
	size_t *place; /* of each wanted service in before, and 1; 0: untouched */
};

static int touch(struct touched *touched, const struct wanted *wanted, const struct held *held,
		 size_t index)
{
	const struct service *service = &wanted->set.services[index];
	const struct service *known = held_find(held, &service->key);

	if (!touched->place)
		return -ENOMEM;
	if (touched->place[index])
		return 0;
	if (!service_set_add(&touched->before, known ? known : service))
		return -ENOMEM;
	touched->place[index] = touched->before.count;
	return 0;
}

static int edit_wanted(struct wanted *wanted, const struct held *held,
		       const struct wanted_edit *edits, size_t count, struct touched *touched)
{
	int first = 0, r;

	for (size_t i = 0; i < count; i++) {
		if (edits[i].service >= wanted->set.count)
			continue;
		r = touch(touched, wanted, held, edits[i].service);
		/* Wanted in any case: a failure here is found by the next look at the kernel. */
		if (wanted_edit(wanted, &edits[i]) < 0)
			r = -ENOMEM;
		if (first == 0)
			first = r;
	}
	return first;
}

static int plan_touched(const struct touched *touched, const struct wanted *wanted,
			struct plan *plan)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < wanted->set.count; i++)
		if (touched->place[i])
			r = plan_add_service(&touched->before.services[touched->place[i] - 1],
					     &wanted->set.services[i], plan);
	return r;
}

int reconcile_edits(struct ipvs *ipvs, struct wanted *wanted, struct held *held,
		    const struct wanted_edit *edits, size_t count,
		    struct reconcile_result *ret_result)
{
	struct touched touched = {.place = calloc(wanted->set.count + 1, sizeof(size_t))};
	uint64_t sent = ipvs_sent(ipvs);
	struct plan plan = {0};
	int r;

	*ret_result = (struct reconcile_result){0};
	r = edit_wanted(wanted, held, edits, count, &touched);
	if (r == 0)
		r = plan_touched(&touched, wanted, &plan);
	if (r == 0) {
		ret_result->operations = (unsigned int)plan.count;
		r = ipvs_apply(ipvs, &plan, &ret_result->error);
		held_apply(held, &plan);
	} else {
		snprintf(ret_result->error.text, sizeof(ret_result->error.text), "out of memory");
	}
	ret_result->messages = ipvs_sent(ipvs) - sent;
	plan_fini(&plan);
	service_set_fini(&touched.before);
	free(touched.place);
	return r;
}

bool reconcile_differs(struct ipvs *ipvs, const struct service_set *desired,
		       const struct held *held, const char *state)
{
	struct service_keys owned = {0}, all = {0};
	struct service_set actual = {0};
	struct plan plan = {0};
	struct ipvs_error error;
	bool same;

	same = owned_load(state, &owned) == 0 && plan_keys_join(&owned, desired, &all) == 0 &&
	       owned.count == desired->count && all.count == owned.count &&
	       ipvs_dump(ipvs, &actual, &error) == 0;
	if (same) {
		held_recall(held, &actual);
		same = plan_new(&actual, desired, &owned, &plan) == 0 && plan.count == 0;
	}
	plan_fini(&plan);
	service_set_fini(&actual);
	plan_keys_fini(&owned);
	plan_keys_fini(&all);
	return !same;
}
