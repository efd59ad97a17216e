/* Connections that are ended at once, because their real server is down.
 *
 * An entry can't be deleted. While a client sends, each of its packets restarts the timer of an
 * entry in any state (set_tcp_state(), net/netfilter/ipvs/ip_vs_proto_tcp.c), and goes to the real
 * server that is down. So the connection gets another real server, and is closed: the next packet
 * goes there, and is answered with RST. Without packets the entry ends after the time that the
 * kernel gives closed connections. To the other directors it is a change of the connection as any
 * other. UDP, which has no state, goes on with the other real server. */
#include <errno.h>
#include <netinet/in.h>

#include "sync/kernel_wire.h"
#include "sync/sync_private.h"
#include "sync/table/conn_state.h"

/* s: the kernel's tcp_timeouts[IP_VS_TCP_S_CLOSE]. */
#define CLOSED_TIMEOUT 10

static uint16_t closed_state(uint8_t protocol)
{
	const char *name = protocol == IPPROTO_TCP ? "CLOSE" : "CLOSED";
	int state = conn_state_parse(protocol, false, name, strlen(name));

	return state < 0 ? 0 : (uint16_t)state;
}

int sync_end(struct sync *sync, const struct flow *flow, const uint8_t daddr[16], uint16_t dport,
	     struct now now)
{
	struct ending *ending = &sync->ending;
	table_ref ref = table_find(sync->table, flow);
	struct table_meta meta;
	struct entry entry;

	if (!ref || flow->template)
		return 0;
	if (ending->len == ENDING_MAX)
		return -EAGAIN;
	table_get(sync->table, ref, &entry, &meta);
	if (conn_state_phase(&entry) == CONN_PHASE_CLOSING)
		return 0;
	memcpy(entry.daddr, daddr, sizeof(entry.daddr));
	entry.dport = dport;
	if (conn_state_phase(&entry) != CONN_PHASE_NONE) {
		entry.state = closed_state(flow->protocol);
		entry.flags |= ENTRY_INACTIVE;
		entry.timeout = CLOSED_TIMEOUT;
	}
	if (table_list_shared(meta.list))
		table_capture(sync->table, &entry, hlc_stamp(&sync->hlc, now.wall),
			      mono_seconds(now));
	else
		table_withhold(sync->table, &entry, hlc_stamp(&sync->hlc, now.wall),
			       mono_seconds(now), TABLE_LOCAL, 0);
	sync->counters.ended++;
	ending->flows[ending->len++] = *flow;
	return 0;
}

/* Alive first: the kernel ignores the end of a connection that it holds with another real server.
 */
static int add(struct sync *sync, table_ref ref, struct kernel_wire_writer *writer)
{
	struct kernel_wire_writer before = *writer;
	struct table_meta meta;
	struct entry entry, lives;
	int r;

	table_get(sync->table, ref, &entry, &meta);
	lives = entry;
	lives.flags &= ~ENTRY_INACTIVE;
	r = kernel_wire_add(writer, &lives);
	if (r == 0)
		r = kernel_wire_add(writer, &entry);
	if (r < 0)
		*writer = before;
	return r;
}

bool ending_inject(struct sync *sync, struct kernel_wire_writer *writer)
{
	struct ending *ending = &sync->ending;

	for (; ending->sent < ending->len; ending->sent++) {
		table_ref ref = table_find(sync->table, &ending->flows[ending->sent]);

		if (ref && add(sync, ref, writer) == -ENOSPC)
			return false;
	}
	return true;
}

bool ending_pending(const struct sync *sync)
{
	return sync->ending.sent < sync->ending.len;
}

void ending_injected(struct sync *sync)
{
	struct ending *ending = &sync->ending;

	ending->len -= ending->sent;
	memmove(ending->flows, ending->flows + ending->sent, ending->len * sizeof(*ending->flows));
	ending->sent = 0;
}

void ending_lost(struct sync *sync)
{
	sync->ending.sent = 0;
}
