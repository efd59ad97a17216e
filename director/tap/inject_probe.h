/* Checks that injected entries arrive in the kernel's table. The backup thread's socket shows which
 * messages it has taken, but not whether a packet filter, another program's thread in its place, or
 * the kernel itself dropped them. So now and then an entry of our own probe service is injected,
 * short-lived and each of another client's port, and the kernel's count of that service's
 * connections has to rise. Messages arrive in order: all messages written before a probe that
 * arrived had their chance too. Pure: time and counts are arguments. */
#ifndef DIRECTOR_TAP_INJECT_PROBE_H
#define DIRECTOR_TAP_INJECT_PROBE_H

#include "sync/table/entry.h"

#define INJECT_PROBE_EVERY (5 * USEC_PER_SEC)
/* A probe may take so long; the next is sent so long after one that did not arrive. */
#define INJECT_PROBE_PATIENCE USEC_PER_SEC
/* The kernel keeps it so long: it is gone when the next one is sent. */
#define INJECT_PROBE_LIFETIME 3 /* s */

enum inject_probe_verdict {
	INJECT_PROBE_PENDING, /* not known yet, or none is under way */
	INJECT_PROBE_ARRIVED,
	INJECT_PROBE_LOST,
};

struct inject_probe {
	usec_t next;           /* mono: send one then */
	usec_t sent;           /* mono: it is under way since; 0: none is */
	uint32_t before;       /* the kernel's count then */
	uint16_t port;         /* the client's, of the next one */
	usec_t arrived;        /* mono: the last that arrived was sent; 0: none ever did */
	usec_t failed;         /* mono: the first since then was sent that did not; 0: none */
	unsigned int failures; /* since then */
};

void inject_probe_init(struct inject_probe *probe, usec_t now);

/* One is to be sent: count the connections, write the entry, call inject_probe_sent(). */
bool inject_probe_due(const struct inject_probe *probe, usec_t now);
/* Sends the next one as soon as can be. */
void inject_probe_hurry(struct inject_probe *probe, usec_t now);
/* The entry of the next one; own, server: the probe service's address and its real server's, host
 * order; port: of both. */
struct entry inject_probe_entry(const struct inject_probe *probe, uint32_t own, uint32_t server,
				uint16_t port);
void inject_probe_sent(struct inject_probe *probe, uint32_t before, usec_t now);

/* The kernel's count now, while one is under way. */
enum inject_probe_verdict inject_probe_observe(struct inject_probe *probe, uint32_t count,
					       usec_t now);

/* The last one that was sent arrived: entries injected since the one before it can be believed. */
bool inject_probe_trusted(const struct inject_probe *probe);
/* Since when injected entries do not arrive (mono): two probes in a row did not. 0: they do. */
usec_t inject_probe_failed_since(const struct inject_probe *probe);

#endif
