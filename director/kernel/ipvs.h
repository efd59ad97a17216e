/* The kernel's IPVS of this network namespace: services and real servers in and out. Synchronous,
 * over one netlink socket; the kernel answers before the call returns. Does not touch the sync
 * daemons, the connection table or sysctls, loads no module, and never flushes anything. */
#ifndef DIRECTOR_KERNEL_IPVS_H
#define DIRECTOR_KERNEL_IPVS_H

#include "director/service/plan.h"
#include "proto/fault.h"

struct ipvs;

/* text: "what failed: why; what to do". failed: how many operations of a plan did; text is of the
 * first. */
struct ipvs_error {
	unsigned int failed;
	char text[FAULT_TEXT];
};

struct ipvs_info {
	uint32_t version; /* 0x010201 is 1.2.1 */
	uint32_t conn_tab_size;
};

/* 0; -ENOENT: this kernel has no IPVS (module ip_vs); -EPERM, or any -errno: ret_error has the
 * remedy. Likewise for all that follow. */
int ipvs_open(struct ipvs **ret_ipvs, struct ipvs_error *ret_error);
void ipvs_close(struct ipvs *ipvs);

int ipvs_get_info(struct ipvs *ipvs, struct ipvs_info *ret_info, struct ipvs_error *ret_error);

/* All services, sorted, each with its real servers in the order in which they were added, and all
 * counters. The caller ends ret_set with service_set_fini(). A dump during which something changed
 * is thrown away and repeated; -EAGAIN when that happens ten times in a row. */
int ipvs_dump(struct ipvs *ipvs, struct service_set *ret_set, struct ipvs_error *ret_error);

/* Executes a plan, in its order; goes on after an operation that fails. Operations go to the kernel
 * in as few writes as possible, a move always in one. 0, or -errno of the first
 * that failed. */
int ipvs_apply(struct ipvs *ipvs, const struct plan *plan, struct ipvs_error *ret_error);
/* Messages that ipvs_apply() has sent. */
uint64_t ipvs_sent(const struct ipvs *ipvs);

#endif
