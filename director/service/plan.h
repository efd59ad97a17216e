/* The changes that bring IPVS to its wanted state, and nothing else: a pure function of the present
 * state, the wanted one, and the list of services that lvsmesh made.
 *
 * It relies on (net/netfilter/ipvs/ip_vs_ctl.c, ip_vs_mh.c): a real server that is added goes to
 * one end of its service's list, an edit never moves it, and the only way to move it is to delete
 * and to add it again. Connections keep their real server through that: the kernel finds the old
 * object again. mh, sh and dh make their tables of the list in its order; for these, the plan ends
 * with the canonical order, moving only what must move. mh remembers the last weight above 0
 * (last_weight of struct ip_vs_dest; 0 if it was added with weight 0) and gives a real server with
 * weight 0 the share of its table that this weight had: so weight 0 changes nothing for other
 * clients, and the table depends on the past. Therefore table_weight is a part of the wanted state,
 * and the plan sets it: a director that has just started has the same table. A real server without
 * a share may stand anywhere in the order. */
#ifndef DIRECTOR_SERVICE_PLAN_H
#define DIRECTOR_SERVICE_PLAN_H

#include "director/service/service.h"

/* Keys in order, each once; owns its array. */
struct service_keys {
	struct service_key *keys;
	size_t count;
};

enum plan_kind {
	PLAN_ADD_SERVICE,
	PLAN_EDIT_SERVICE,
	PLAN_DELETE_SERVICE,
	PLAN_PLAIN_SERVICE, /* edit its scheduler to rr, until PLAN_EDIT_SERVICE */
	PLAN_ADD_REAL,
	PLAN_EDIT_REAL,
	PLAN_DELETE_REAL,
	PLAN_MOVE_REAL,  /* delete and add at once: it becomes the last in the order of adding */
	PLAN_SHARE_REAL, /* edit to table_weight, and to weight 0 at once: for mh */
};

struct plan_op {
	enum plan_kind kind;
	/* Both borrowed: from desired, or from actual for deletions. real: NULL for a whole
	 * service. */
	const struct service *service;
	const struct real_server *real;
};

struct plan {
	struct plan_op *ops;
	size_t count;
};

/* actual: services sorted, real servers in the order in which they were added. desired: sorted
 * (service_set_sort), valid. Both must outlive the plan. A service that is neither desired nor
 * owned is left alone; one that is desired is made as desired, even if lvsmesh did not make it.
 *
 * mh, sh and dh make their table anew with each real server that is added: a service of many is
 * scheduled by rr until it has all.
 *
 * Services come in canonical order, those to be deleted last. Within a service: its own settings,
 * edits, additions, and only then deletions, so that it is not without real servers on the way.
 * 0, or -ENOMEM. */
int plan_new(const struct service_set *actual, const struct service_set *desired,
	     const struct service_keys *owned, struct plan *ret_plan);
void plan_fini(struct plan *plan);

/* Appends what brings one service from actual to desired, whose keys are alike. plan: all zero,
 * or of earlier calls. 0, or -ENOMEM. */
int plan_add_service(const struct service *actual, const struct service *desired,
		     struct plan *plan);

/* "add", "edit", "delete", "move". */
const char *plan_kind_name(enum plan_kind kind);

/* The union of owned and the keys of a sorted set. 0, or -ENOMEM. */
int plan_keys_join(const struct service_keys *owned, const struct service_set *set,
		   struct service_keys *ret_keys);
bool plan_keys_has(const struct service_keys *keys, const struct service_key *key);
void plan_keys_fini(struct service_keys *keys);

#endif
