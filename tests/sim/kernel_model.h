/* A model of one director's IPVS, as far as a director can see it: entries with timers, the rules
 * by which they are reported, injected, and end (net/netfilter/ipvs: ip_vs_sync_conn_needed(),
 * ip_vs_proc_conn(), ip_vs_sched_persist(), ip_vs_conn_expire()), and how many it counts of each
 * real server. tests/lab/test_templates.py compares it with a kernel. */
#ifndef TESTS_SIM_KERNEL_MODEL_H
#define TESTS_SIM_KERNEL_MODEL_H

#include "director/service/service.h"
#include "sync/table/entry.h"

#define KERNEL_MODEL_MAX 65536

struct kernel_model;

struct kernel_model *kernel_model_new(void);
void kernel_model_free(struct kernel_model *kernel);
void kernel_model_flush(struct kernel_model *kernel);

/* The services that it has; copied. Until they are set it has those of all entries that there ever
 * were. An entry that belongs to none of them stays unbound: it is held, and not counted. */
void kernel_model_configure(struct kernel_model *kernel, const struct service_set *services);

/* A packet of the flow: takes the state, restarts the timer. True: the entry is reported. */
bool kernel_model_carry(struct kernel_model *kernel, const struct entry *entry, usec_t now);
/* The first packet of a connection, which has the real server that the scheduler would choose: that
 * of the client's template, if the service is persistent and has one that can be used, else it
 * makes one. Reported as kernel_model_carry() says. ret_entry: as the kernel has it; borrowed. */
bool kernel_model_connect(struct kernel_model *kernel, const struct entry *entry, usec_t now,
			  const struct entry **ret_entry);
/* The template that controls the connection, if it is to be reported with it; NULL: none. */
const struct entry *kernel_model_control(struct kernel_model *kernel, const struct flow *flow,
					 usec_t now);
/* A sync message came. */
void kernel_model_inject(struct kernel_model *kernel, const struct entry *entry, usec_t now);
/* Drops the entries that have ended, but templates that control connections. Returns the next of
 * those, which gets another minute and is reported; NULL: no more. Borrowed until the next call. */
const struct entry *kernel_model_expire(struct kernel_model *kernel, usec_t now);
/* A fault: entry number i is gone. */
void kernel_model_lose(struct kernel_model *kernel, unsigned int i);

unsigned int kernel_model_count(const struct kernel_model *kernel);
/* Entry number i, in no order. */
const struct entry *kernel_model_at(const struct kernel_model *kernel, unsigned int i);
/* The time at which entry number i ends. */
usec_t kernel_model_ends(const struct kernel_model *kernel, unsigned int i);
const struct entry *kernel_model_find(const struct kernel_model *kernel, const struct flow *flow);

/* Its services, sorted, with what they count now; the caller's. */
void kernel_model_services(struct kernel_model *kernel, struct service_set *ret_services);

#endif
