/* Compares the kernel's connections with ours periodically: see director/node/kernel_compare.h.
 * Entries that the kernel has lost are injected again; for connections that were never captured,
 * the node asks to read the kernel's list. */
#include <errno.h>

#include "director/node/node_private.h"
#include "sync/table/table.h"

#define ROUND_PAUSE (2 * USEC_PER_SEC)
#define PAUSE_PER_REAL (10 * USEC_PER_MSEC) /* asking the kernel costs something, too */
/* Slots looked at in one tick, a millisecond's work; then there is as long a pause as five walks
 * take. */
#define WALK_BUDGET 4096
#define WALK_SHARE 5
/* An entry that ends so soon may have ended. */
#define SURE_MARGIN (10 * USEC_PER_SEC)
/* The kernel has not lost an entry that it reported so lately, and may have changed it since. */
#define REPAIR_AGE (2 * USEC_PER_SEC)
/* The kernel's timeout of UDP. */
#define SHED_LIFETIME (300 * USEC_PER_SEC)

int node_kernel_new(struct node *node)
{
	node->kernel.compare = kernel_compare_new();
	return node->kernel.compare ? 0 : -ENOMEM;
}

void node_kernel_free(struct node *node)
{
	kernel_compare_free(node->kernel.compare);
}

/* Since the kernel last reported it. */
static usec_t age_of(const struct entry *entry, const struct sync_info *info, struct now now)
{
	return now.mono + table_lifetime(entry->timeout) * USEC_PER_SEC - info->expires;
}

static bool is_sure(const struct entry *entry, const struct sync_info *info, struct now now)
{
	return info->in_kernel &&
	       age_of(entry, info, now) + SURE_MARGIN < entry->timeout * USEC_PER_SEC;
}

/* False: no room for it now. */
static bool look(struct node *node, const struct entry *entry, const struct sync_info *info,
		 struct now now)
{
	struct kernel_compare *compare = node->kernel.compare;
	bool sure = is_sure(entry, info, now);

	if (node->kernel.step == KERNEL_COUNT)
		kernel_compare_count(compare, entry, sure);
	else if (sure && age_of(entry, info, now) >= REPAIR_AGE &&
		 kernel_compare_lost(compare, entry))
		return sync_reinject(node->sync, &entry->flow) == 0;
	return true;
}

bool node_kernel_walk(struct node *node, uint64_t *cursor, node_kernel_look each, struct now now)
{
	for (unsigned int i = 0; i < WALK_BUDGET; i++) {
		uint64_t next = *cursor;
		struct sync_info info;
		struct entry entry;

		if (!sync_walk(node->sync, &next, &entry, &info))
			return true;
		if (!each(node, &entry, &info, now))
			return false;
		*cursor = next;
	}
	return false;
}

void node_kernel_tick(struct node *node, struct now now)
{
	struct node_kernel *kernel = &node->kernel;

	switch (kernel->step) {
	case KERNEL_WAIT:
		if (now.mono < kernel->next || !node->ready || node->adopting)
			return;
		kernel->step = kernel->asked ? KERNEL_COUNT : KERNEL_ASK;
		kernel->began = now.mono;
		kernel->cursor = 0;
		break;
	case KERNEL_COUNT:
		if (node_kernel_walk(node, &kernel->cursor, look, now))
			kernel->step = KERNEL_ASK;
		break;
	case KERNEL_REPAIR:
		if (node_kernel_walk(node, &kernel->cursor, look, now))
			kernel->step = KERNEL_WAIT;
		break;
	case KERNEL_ASK:
		break;
	}
}

/* Flows that were shed are in the kernel and not in the table. */
static bool has_shed(const struct node *node, struct now now)
{
	struct sync_status status;

	sync_status(node->sync, &status);
	return status.flood_shed_time && now.mono < status.flood_shed_time + SHED_LIFETIME;
}

void node_kernel_services(struct node *node, const struct node_event *event)
{
	struct node_kernel *kernel = &node->kernel;
	struct kernel_compare_verdict verdict = {0};
	usec_t pause;

	if (kernel->step != KERNEL_ASK)
		return;
	if (!event->services || kernel_compare_add(kernel->compare, event->services) < 0)
		kernel->failed = true;
	for (size_t i = 0; event->services && i < event->services->count; i++)
		kernel->reals += event->services->services[i].n_real_servers;
	if (event->more)
		return;
	kernel->step = KERNEL_WAIT;
	kernel_compare_judge(kernel->compare, kernel->failed, &verdict);
	kernel->asked = !kernel->failed;
	pause = ROUND_PAUSE + (kernel->asked ? kernel->reals * PAUSE_PER_REAL : 0);
	kernel->failed = false;
	kernel->reals = 0;
	kernel->next = event->now.mono + pause + WALK_SHARE * (event->now.mono - kernel->began);
	kernel->want_adopt |= verdict.unknown && !has_shed(node, event->now);
	if (verdict.lost) {
		kernel->step = KERNEL_REPAIR;
		kernel->cursor = 0;
	}
}
