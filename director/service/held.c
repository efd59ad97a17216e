#include "director/service/held.h"

#include <errno.h>
#include <stdio.h>

void held_fini(struct held *held)
{
	service_set_fini(&held->set);
}

void held_recall(const struct held *held, struct service_set *actual)
{
	for (size_t i = 0; i < actual->count; i++) {
		struct service *service = &actual->services[i];
		const struct service *known = service_set_find(&held->set, &service->key);

		if (!service_is_mh(service))
			continue;
		for (size_t j = 0; j < service->n_real_servers; j++) {
			struct real_server *real = &service->real_servers[j];
			const struct real_server *was =
				known ? service_real_find(known, real) : NULL;

			if (real->weight)
				continue;
			if (was)
				real->table_weight = service_real_share(was);
			else if (service->flags & SERVICE_MH_FALLBACK)
				real->table_weight = SERVICE_TABLE_UNKNOWN;
		}
	}
}

const struct service *held_find(const struct held *held, const struct service_key *key)
{
	return service_set_find(&held->set, key);
}

static void real_remove(struct service *service, struct real_server *real)
{
	size_t behind = (size_t)(&service->real_servers[service->n_real_servers] - (real + 1));

	memmove(real, real + 1, behind * sizeof(*real));
	service->n_real_servers--;
}

/* As the kernel does it: who is added comes last. */
static int op_apply(struct service *service, const struct plan_op *op)
{
	struct real_server *real = op->real ? service_real_find(service, op->real) : NULL;

	switch (op->kind) {
	case PLAN_ADD_REAL:
	case PLAN_DELETE_REAL:
	case PLAN_MOVE_REAL:
		if (real)
			real_remove(service, real);
		if (op->kind != PLAN_DELETE_REAL && !service_add(service, op->real))
			return -ENOMEM;
		break;
	case PLAN_EDIT_REAL:
	case PLAN_SHARE_REAL:
		if (real)
			*real = *op->real;
		break;
	case PLAN_EDIT_SERVICE:
		snprintf(service->scheduler, sizeof(service->scheduler), "%s",
			 op->service->scheduler);
		service->flags = op->service->flags;
		break;
	case PLAN_ADD_SERVICE:
	case PLAN_DELETE_SERVICE:
	case PLAN_PLAIN_SERVICE:
		break;
	}
	return 0;
}

static void forget(struct held *held, struct service *service)
{
	size_t behind = (size_t)(&held->set.services[held->set.count] - (service + 1));

	service_fini(service);
	memmove(service, service + 1, behind * sizeof(*service));
	held->set.count--;
}

int held_apply(struct held *held, const struct plan *plan)
{
	int first = 0;

	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_op *op = &plan->ops[i];
		struct service *service = service_set_find(&held->set, &op->service->key);

		if (service && op_apply(service, op) < 0) {
			forget(held, service);
			first = -ENOMEM;
		}
	}
	return first;
}

int held_take(struct held *held, const struct service_set *actual,
	      const struct service_set *desired, const struct plan *plan)
{
	service_set_fini(&held->set);
	for (size_t i = 0; i < desired->count; i++) {
		const struct service *wanted = &desired->services[i], *is;
		struct service added = *wanted;

		if (!service_is_ordered(wanted))
			continue;
		is = service_set_find(actual, &wanted->key);
		added.real_servers = NULL;
		added.n_real_servers = 0;
		if (!service_set_add(&held->set, is ? is : &added))
			return -ENOMEM;
	}
	return held_apply(held, plan);
}
