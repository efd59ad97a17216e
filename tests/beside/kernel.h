/* The part of a director's kernel that its daemon sees, as a process of its own: a master thread
 * that sends sync messages into the tap and a backup thread that takes them from it, as
 * net/netfilter/ipvs/ip_vs_sync.c does. It forwards nothing. */
#ifndef TESTS_BESIDE_KERNEL_H
#define TESTS_BESIDE_KERNEL_H

#include "director/tap/tap_packet.h"

struct kernel {
	int master, backup; /* their sockets */
	int stats;          /* is written as /proc/net/ip_vs_stats_percpu is read */
	uint8_t syncid;
	uint32_t *sent_at; /* by the flow's number, us, the low 32 bits: of all kernels */
};

/* The sockets, on that interface. 0, or a negative errno. */
int kernel_open(struct kernel *kernel, const char *interface, struct tap_net *net,
		uint32_t receive_size);

/* Commands, lines on standard input:
 *	send FIRST COUNT RATE BURST PER-MESSAGE   "sent" is said at the end
 *	report                                    "taken", since the last report
 * Says what it has to as JSON lines on standard output. Ends with its input. */
void kernel_run(struct kernel *kernel);

#endif
