/* IPVS's states of connections and of persistence templates, by protocol: the kernel's names for
 * them, and what each says of the connection. include/net/ip_vs.h has the numbers
 * (enum ip_vs_tcp_states and its siblings); user space does not get that header. No state. */
#ifndef SYNC_TABLE_CONN_STATE_H
#define SYNC_TABLE_CONN_STATE_H

#include "sync/table/entry.h"

enum { CONN_STATE_TCP_ESTABLISHED = 1, CONN_STATE_TCP_LISTEN = 9 };

/* UDP and templates have none. */
enum conn_phase {
	CONN_PHASE_NONE,
	CONN_PHASE_OPENING, /* half-open */
	CONN_PHASE_ESTABLISHED,
	CONN_PHASE_CLOSING, /* or closed */
};

/* How many states there are: a state is a number below. 0: IPVS synchronises nothing of the kind.
 * Templates of a fwmark's service have protocol 0, which has no connections. */
unsigned int conn_state_count(uint8_t protocol, bool template);

enum conn_phase conn_state_phase(const struct entry *entry);

/* Whether the kernel counts an entry in that state, which must exist, as an active connection of
 * its real server. */
bool conn_state_is_active(uint8_t protocol, bool template, uint16_t state);

/* The kernel's words, as in /proc/net/ip_vs_conn: "ESTABLISHED"; "TCP", "UDP", "SCTP", "IP". "?":
 * it has none. */
const char *conn_state_name(const struct entry *entry);
const char *conn_state_protocol_name(const struct entry *entry);

/* The number that has that name; -1: none has. text need not end with NUL. */
int conn_state_parse(uint8_t protocol, bool template, const char *text, size_t len);
int conn_state_protocol_parse(const char *text, size_t len);

/* Whether a state, or a protocol, of any kind has that name, in any case of letters. */
bool conn_state_is_name(const char *name);
bool conn_state_is_protocol_name(const char *name);

#endif
