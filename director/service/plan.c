#include "director/service/plan.h"

#include <errno.h>
#include <stdlib.h>

/* A service of so many real servers is worth it. */
#define PLAIN_REALS 16

/* A service that is there and should be, while its operations are collected. */
struct merge {
	struct plan *plan;
	const struct service *actual, *desired;
	const struct real_server **sorted; /* actual's real servers, by endpoint */
	bool mh;
};

static int emit(struct plan *plan, enum plan_kind kind, const struct service *service,
		const struct real_server *real)
{
	struct plan_op *grown = plan->ops;

	/* Grows when the count is 0 or a power of two. */
	if ((plan->count & (plan->count - 1)) == 0) {
		grown = reallocarray(grown, plan->count ? 2 * plan->count : 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		plan->ops = grown;
	}
	grown[plan->count++] = (struct plan_op){.kind = kind, .service = service, .real = real};
	return 0;
}

static int compare_pointed(const void *a, const void *b)
{
	return service_real_compare(*(const struct real_server *const *)a,
				    *(const struct real_server *const *)b);
}

static int compare_reals(const void *a, const void *b)
{
	return service_real_compare(a, b);
}

static const struct real_server *find_actual(const struct merge *merge,
					     const struct real_server *real)
{
	const struct real_server **found = NULL;

	if (merge->actual->n_real_servers > 0)
		found = bsearch(&real, merge->sorted, merge->actual->n_real_servers,
				sizeof(*merge->sorted), compare_pointed);
	return found ? *found : NULL;
}

static bool is_desired(const struct merge *merge, const struct real_server *real)
{
	return merge->desired->n_real_servers > 0 &&
	       bsearch(real, merge->desired->real_servers, merge->desired->n_real_servers,
		       sizeof(*real), compare_reals);
}

/* Whether its place in the order of adding matters. */
static bool has_place(const struct merge *merge, const struct real_server *wanted)
{
	return merge->mh ? service_real_share(wanted) > 0 : service_is_ordered(merge->desired);
}

/* How many of the desired real servers, from the first on, stay where they are: those that were
 * added in this order, whatever is between them. Those without a place are counted, too. */
static size_t count_kept(const struct merge *merge)
{
	const struct service *actual = merge->actual, *desired = merge->desired;
	size_t kept = 0;

	for (size_t i = 0; i < actual->n_real_servers; i++) {
		while (kept < desired->n_real_servers &&
		       !has_place(merge, &desired->real_servers[kept]))
			kept++;
		if (kept < desired->n_real_servers &&
		    service_real_compare(&actual->real_servers[i], &desired->real_servers[kept]) ==
			    0)
			kept++;
	}
	return kept;
}

/* The weight that mh remembers of it. */
static uint32_t share_of(const struct merge *merge, const struct real_server *is)
{
	if (is->weight == 0 && !service_is_mh(merge->actual))
		return SERVICE_TABLE_UNKNOWN;
	return service_real_share(is);
}

/* An edit of weight 0 that leaves mh remembering the wrong weight. */
static bool forgets(const struct merge *merge, const struct real_server *is,
		    const struct real_server *wanted)
{
	return merge->mh && wanted->weight == 0 && share_of(merge, is) != wanted->table_weight;
}

static int merge_kept(const struct merge *merge, const struct real_server *is,
		      const struct real_server *wanted)
{
	if (forgets(merge, is, wanted))
		return emit(merge->plan, wanted->table_weight ? PLAN_SHARE_REAL : PLAN_MOVE_REAL,
			    merge->desired, wanted);
	if (service_real_same(is, wanted))
		return 0;
	return emit(merge->plan, PLAN_EDIT_REAL, merge->desired, wanted);
}

static int merge_reals(const struct merge *merge)
{
	const struct service *actual = merge->actual, *desired = merge->desired;
	size_t kept = count_kept(merge);
	int r = 0;

	for (size_t i = 0; r == 0 && i < desired->n_real_servers; i++) {
		const struct real_server *wanted = &desired->real_servers[i];
		const struct real_server *is = find_actual(merge, wanted);

		if (is && (i < kept || !has_place(merge, wanted)))
			r = merge_kept(merge, is, wanted);
	}
	for (size_t i = 0; r == 0 && i < desired->n_real_servers; i++) {
		const struct real_server *wanted = &desired->real_servers[i];

		if (!find_actual(merge, wanted))
			r = emit(merge->plan, PLAN_ADD_REAL, desired, wanted);
		else if (i >= kept && has_place(merge, wanted))
			r = emit(merge->plan, PLAN_MOVE_REAL, desired, wanted);
	}
	for (size_t i = 0; r == 0 && i < actual->n_real_servers; i++)
		if (!is_desired(merge, merge->sorted[i]))
			r = emit(merge->plan, PLAN_DELETE_REAL, desired, merge->sorted[i]);
	return r;
}

int plan_add_service(const struct service *actual, const struct service *desired, struct plan *plan)
{
	struct merge merge = {
		.plan = plan,
		.actual = actual,
		.desired = desired,
		.mh = service_is_mh(desired),
	};
	int r = 0;

	if (!service_same(actual, desired))
		r = emit(plan, PLAN_EDIT_SERVICE, desired, NULL);
	if (r < 0)
		return r;
	merge.sorted = calloc(actual->n_real_servers + 1, sizeof(*merge.sorted));
	if (!merge.sorted)
		return -ENOMEM;
	for (size_t i = 0; i < actual->n_real_servers; i++)
		merge.sorted[i] = &actual->real_servers[i];
	qsort(merge.sorted, actual->n_real_servers, sizeof(*merge.sorted), compare_pointed);
	r = merge_reals(&merge);
	free(merge.sorted);
	return r;
}

/* Added with its own scheduler first, which the kernel may lack. */
static int add_service(struct plan *plan, const struct service *service)
{
	bool plain = service_is_ordered(service) && service->n_real_servers >= PLAIN_REALS;
	int r = emit(plan, PLAN_ADD_SERVICE, service, NULL);

	if (r == 0 && plain)
		r = emit(plan, PLAN_PLAIN_SERVICE, service, NULL);
	for (size_t i = 0; r == 0 && i < service->n_real_servers; i++)
		r = emit(plan, PLAN_ADD_REAL, service, &service->real_servers[i]);
	if (r == 0 && plain)
		r = emit(plan, PLAN_EDIT_SERVICE, service, NULL);
	return r;
}

int plan_new(const struct service_set *actual, const struct service_set *desired,
	     const struct service_keys *owned, struct plan *ret_plan)
{
	struct plan plan = {0};
	size_t a = 0;
	int r = 0;

	for (size_t d = 0; r == 0 && d < desired->count; d++) {
		const struct service *wanted = &desired->services[d];
		int order = -1;

		while (a < actual->count &&
		       (order = service_key_compare(&actual->services[a].key, &wanted->key)) < 0)
			a++;
		if (a < actual->count && order == 0)
			r = plan_add_service(&actual->services[a], wanted, &plan);
		else
			r = add_service(&plan, wanted);
	}
	for (a = 0; r == 0 && a < actual->count; a++) {
		const struct service *is = &actual->services[a];

		if (!service_set_find(desired, &is->key) && plan_keys_has(owned, &is->key))
			r = emit(&plan, PLAN_DELETE_SERVICE, is, NULL);
	}
	if (r < 0) {
		plan_fini(&plan);
		return r;
	}
	*ret_plan = plan;
	return 0;
}

void plan_fini(struct plan *plan)
{
	free(plan->ops);
	*plan = (struct plan){0};
}

const char *plan_kind_name(enum plan_kind kind)
{
	switch (kind) {
	case PLAN_ADD_SERVICE:
	case PLAN_ADD_REAL:
		return "add";
	case PLAN_EDIT_SERVICE:
	case PLAN_EDIT_REAL:
	case PLAN_SHARE_REAL:
	case PLAN_PLAIN_SERVICE:
		return "edit";
	case PLAN_MOVE_REAL:
		return "move";
	default:
		return "delete";
	}
}

int plan_keys_join(const struct service_keys *owned, const struct service_set *set,
		   struct service_keys *ret_keys)
{
	struct service_keys keys = {0};
	size_t o = 0, s = 0;

	keys.keys = calloc(owned->count + set->count + 1, sizeof(*keys.keys));
	if (!keys.keys)
		return -ENOMEM;
	while (o < owned->count || s < set->count) {
		const struct service_key *theirs = s < set->count ? &set->services[s].key : NULL;
		const struct service_key *ours = o < owned->count ? &owned->keys[o] : NULL;
		int order = !ours ? 1 : !theirs ? -1 : service_key_compare(ours, theirs);

		keys.keys[keys.count++] = order <= 0 ? *ours : *theirs;
		o += order <= 0;
		s += order >= 0;
	}
	*ret_keys = keys;
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	return service_key_compare(a, b);
}

bool plan_keys_has(const struct service_keys *keys, const struct service_key *key)
{
	return keys->count > 0 &&
	       bsearch(key, keys->keys, keys->count, sizeof(*key), compare_keys) != NULL;
}

void plan_keys_fini(struct service_keys *keys)
{
	free(keys->keys);
	*keys = (struct service_keys){0};
}
