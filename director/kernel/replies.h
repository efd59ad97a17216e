/* Replies to checks that go a real server's forwarding path: their source is the VIP, which is an
 * address of this host, and IPv4 drops such packets as martians unless the interface has
 * accept_local, and drops them as spoofed if rp_filter is strict (fib_validate_source(),
 * net/ipv4/fib_frontend.c). So both are set below net/ipv4/conf, on the interfaces where real
 * servers are, while such checks are configured; as the other settings (vs_sysctl.h), their former
 * values are kept, and foreign changes put back. IPv6 has neither. On any thread. */
#ifndef DIRECTOR_KERNEL_REPLIES_H
#define DIRECTOR_KERNEL_REPLIES_H

#include <net/if.h>

#include "director/kernel/vs_sysctl.h"

#define REPLIES_INTERFACES_MAX 16
#define REPLIES_NAME (IF_NAMESIZE + 16)

struct replies_interfaces {
	char names[REPLIES_INTERFACES_MAX][IF_NAMESIZE]; /* each once, in any order */
	size_t count;
};

/* All zero: nothing is set. */
struct replies {
	struct replies_interfaces interfaces;
	struct vs_sysctl settings[2 * REPLIES_INTERFACES_MAX];
	char names[2 * REPLIES_INTERFACES_MAX][REPLIES_NAME];
	size_t count;
	bool recovered; /* what a former process left has been put back */
};

/* A foreign change that was put back, or a failure (r). */
struct replies_change {
	char what[REPLIES_NAME + 16];
	char was[VS_SYSCTL_VALUE + 16];
	int r;
};

#define REPLIES_CHANGES_MAX 8

struct replies_changes {
	struct replies_change changes[REPLIES_CHANGES_MAX];
	size_t count;
};

/* Sets them on these interfaces, and puts them back on others, also those of a former process that
 * was killed, and whose configuration may have been another. state: a directory for the former
 * values. root: "/proc/sys". ret_changes: the first ones, of what was set by an earlier call. 0, or
 * a negative errno. */
int replies_set(struct replies *replies, const char *root, const char *state,
		const struct replies_interfaces *interfaces, struct replies_changes *ret_changes);

/* Puts the former values back. 0, or a negative errno. */
int replies_restore(struct replies *replies, const char *root, const char *state);

#endif
