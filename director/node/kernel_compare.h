/* Whether the kernel holds as many connections of each real server as the table says: the kernel
 * counts them itself, so this costs a walk of the table and no look at the kernel's own table,
 * which is slow to read. Memory only, and it decides nothing about single entries.
 *
 * A round: compare_add() is given the kernel's services, in pieces, and compare_judge() begins it;
 * compare_count() takes every entry; compare_add() and compare_judge() with the services of then
 * end it and begin the next. Counts move while they are taken, so a difference counts when it is
 * beyond a tolerance for some rounds in a row; when a repair does not help, it takes twice as many
 * the next time. */
#ifndef DIRECTOR_NODE_COMPARE_H
#define DIRECTOR_NODE_COMPARE_H

#include "director/service/service.h"
#include "sync/table/entry.h"

struct compare;

struct compare *compare_new(void); /* NULL: no memory */
void compare_free(struct compare *compare);

/* sure: the kernel has to have it; otherwise it may have it. Entries of no service are left out. */
void compare_count(struct compare *compare, const struct entry *entry, bool sure);

struct compare_verdict {
	uint64_t lost; /* so many connections and templates are missing in the kernel; 0: go on */
	bool unknown;  /* the kernel has some that the table lacks */
};

/* services: the next of the kernel's, all together sorted, with counters; copied. 0 or -ENOMEM: the
 * piece is left out, the round is to be judged as failed. */
int compare_add(struct compare *compare, const struct service_set *services);
/* After the last piece. failed: nothing is judged and nothing is counted until the next call. */
void compare_judge(struct compare *compare, bool failed, struct compare_verdict *ret_verdict);

/* The kernel's services of the round, sorted; none before the first. */
const struct service_set *compare_services(const struct compare *compare);

/* Whether by the last verdict the kernel has lost connections (or templates, if it is one) of the
 * entry's real server. */
bool compare_lost(const struct compare *compare, const struct entry *entry);

#endif
