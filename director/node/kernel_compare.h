/* Whether the kernel holds as many connections of each real server as the table says: the kernel
 * counts them itself, so this costs a walk of the table and no look at the kernel's own table,
 * which is slow to read. Memory only, and it decides nothing about single entries.
 *
 * A round: kernel_compare_add() is given the kernel's services, in pieces, and
 * kernel_compare_judge() begins it; kernel_compare_count() takes every entry; kernel_compare_add()
 * and kernel_compare_judge() with the kernel's services of that moment end the round, and begin the
 * next. Counts move while
 * they are taken, so a difference counts when it is beyond a tolerance for some rounds in a row;
 * when a repair does not help, it takes twice as many the next time. */
#ifndef DIRECTOR_NODE_KERNEL_COMPARE_H
#define DIRECTOR_NODE_KERNEL_COMPARE_H

#include "director/service/service.h"
#include "sync/table/entry.h"

struct kernel_compare;

struct kernel_compare *kernel_compare_new(void); /* NULL: no memory */
void kernel_compare_free(struct kernel_compare *compare);

/* sure: the kernel has to have it; otherwise it may have it. Entries of no service are left out. */
void kernel_compare_count(struct kernel_compare *compare, const struct entry *entry, bool sure);

struct kernel_compare_verdict {
	uint64_t lost; /* so many connections and templates are missing in the kernel; 0: go on */
	bool unknown;  /* the kernel has some that the table lacks */
};

/* services: the next of the kernel's, all together sorted, with counters; copied. 0 or -ENOMEM: the
 * piece is left out, the round is to be judged as failed. */
int kernel_compare_add(struct kernel_compare *compare, const struct service_set *services);
/* After the last piece. failed: nothing is judged and nothing is counted until the next call. */
void kernel_compare_judge(struct kernel_compare *compare, bool failed,
			  struct kernel_compare_verdict *ret_verdict);

/* The kernel's services of the round, sorted; none before the first. */
const struct service_set *kernel_compare_services(const struct kernel_compare *compare);

/* Whether by the last verdict the kernel has lost connections (or templates, if it is one) of the
 * entry's real server. */
bool kernel_compare_lost(const struct kernel_compare *compare, const struct entry *entry);

#endif
