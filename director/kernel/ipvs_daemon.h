/* The kernel's IPVS sync threads, and the tap's probe service, over generic netlink. Each call is
 * one request and waits for the answer. Services of the operator are director/kernel/ipvs.h's. */
#ifndef DIRECTOR_KERNEL_IPVS_DAEMON_H
#define DIRECTOR_KERNEL_IPVS_DAEMON_H

#include <net/if.h>

#include "proto/base.h"

struct ipvs_daemon;

enum ipvs_daemon_role {
	IPVS_DAEMON_MASTER, /* reports the connections */
	IPVS_DAEMON_BACKUP, /* learns of them */
	IPVS_DAEMON_ROLES,
};

struct ipvs_daemon_options {
	const char *interface;
	uint8_t syncid;
	uint16_t maxlen; /* bytes of a message's payload; the kernel raises the backup's to 1024 */
	uint32_t group;  /* host order */
	uint16_t port;
};

/* A TCP service with one real server, direct routing. Host order. */
struct ipvs_daemon_probe {
	uint32_t address, server;
	uint16_t port;
};

/* 0; -EPROTONOSUPPORT: the kernel has no IPVS (its module is not loaded); another negative errno:
 * no netlink socket. */
int ipvs_daemon_open(struct ipvs_daemon **ret_daemon);
void ipvs_daemon_close(struct ipvs_daemon *daemon); /* the threads live on */

/* Stops those of a process that was killed, which are bound to an interface of this name, and no
 * others. Without a reader the kernel logs a line for each message. 0 or a negative errno. */
int ipvs_daemon_stop_left(const char *interface);

/* The interface of each running thread; empty: it does not run. */
int ipvs_daemon_find(struct ipvs_daemon *daemon, char ret_interfaces[IPVS_DAEMON_ROLES][IFNAMSIZ]);

/* 0; -EEXIST: it runs; -ENODEV: no such interface; -EPERM; -EINVAL: some service mixes address
 * families, which the kernel can't sync. */
int ipvs_daemon_start(struct ipvs_daemon *daemon, enum ipvs_daemon_role role,
		      const struct ipvs_daemon_options *options);

/* Also when it does not run: 0. Messages that the master has not sent yet are lost. */
int ipvs_daemon_stop(struct ipvs_daemon *daemon, enum ipvs_daemon_role role);

/* Makes the service afresh, even if it exists. -ENOENT: no rr scheduler. */
int ipvs_daemon_add_probe(struct ipvs_daemon *daemon, const struct ipvs_daemon_probe *probe);
/* 0; -ESRCH: there is no such service; another negative errno. */
int ipvs_daemon_find_probe(struct ipvs_daemon *daemon, const struct ipvs_daemon_probe *probe);
/* The kernel's count of its connections, active and not; 0 also when there is no such service. */
int ipvs_daemon_probe_conns(struct ipvs_daemon *daemon, const struct ipvs_daemon_probe *probe,
			    uint32_t *ret_count);
/* Also when there is none: 0. */
int ipvs_daemon_remove_probe(struct ipvs_daemon *daemon, const struct ipvs_daemon_probe *probe);

/* Buckets of the connection table. */
int ipvs_daemon_table_size(struct ipvs_daemon *daemon, uint32_t *ret_size);

#endif
