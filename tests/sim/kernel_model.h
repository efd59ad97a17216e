/* A model of one director's IPVS, as far as a director can see it: entries with timers, the rules
 * by which they are reported and injected (net/netfilter/ipvs/ip_vs_sync.c,
 * ip_vs_sync_conn_needed() and ip_vs_proc_conn()), and how many it counts of each real server. */
#ifndef TESTS_SIM_KERNEL_MODEL_H
#define TESTS_SIM_KERNEL_MODEL_H

#include "director/service.h"
#include "sync/entry.h"

#define KERNEL_MODEL_MAX 65536

struct kernel_model;

struct kernel_model *kernel_model_new(void);
void kernel_model_free(struct kernel_model *kernel);
void kernel_model_flush(struct kernel_model *kernel);

/* A packet of the flow: takes the state, restarts the timer. True: the entry is reported. */
bool kernel_model_carry(struct kernel_model *kernel, const struct entry *entry, usec_t now);
/* A sync message came. */
void kernel_model_inject(struct kernel_model *kernel, const struct entry *entry, usec_t now);
/* Drops what has ended. */
void kernel_model_expire(struct kernel_model *kernel, usec_t now);
/* Entry number i is gone, nobody knows why. */
void kernel_model_lose(struct kernel_model *kernel, unsigned int i);

unsigned int kernel_model_count(const struct kernel_model *kernel);
/* Entry number i, in no order. */
const struct entry *kernel_model_at(const struct kernel_model *kernel, unsigned int i);
const struct entry *kernel_model_find(const struct kernel_model *kernel, const struct flow *flow);

/* A service for each VIP, and a real server for each destination, that there ever were entries of;
 * sorted, with what it counts now; the caller's. */
void kernel_model_services(struct kernel_model *kernel, struct service_set *ret_services);

#endif
