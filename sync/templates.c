/* Persistence templates that this kernel holds with another real server than the other directors.
 *
 * The backup thread takes only state and timeout from a message about a template that the kernel
 * has (ip_vs_proc_conn(), net/netfilter/ipvs/ip_vs_sync.c). A template does not end while it
 * controls connections (ip_vs_conn_expire(), ip_vs_conn.c): its timer gives it another minute, and
 * the master thread reports it again. An injected connection has no template. So, in rounds:
 *
 * 1. Each connection that the template may control is replaced by itself, in one message: by the
 *    same one with another port, then by the right one.
 * 2. The template gets a timeout of a second, and ends then.
 * 3. The other directors' template is injected. The kernel's list of connections is read, and a
 *    template that it does not show goes through the next round, later each time.
 *
 * A round fails if the client opens a connection through this director within that second. Reports
 * of the former template are ignored all the while: each would be published to all directors as the
 * newest. */
#include <assert.h>
#include <errno.h>

#include "sync/kernel_wire.h"
#include "sync/sync_private.h"

/* After a split many come to differ at once. */
#define GATHER (300 * USEC_PER_MSEC)
/* The kernel's timers of a second are up to 80 ms late. */
#define LASTS (1050 * USEC_PER_MSEC)
#define PAUSE_MIN USEC_PER_SEC
#define PAUSE_DOUBLED_MAX 5
#define LATE (10 * USEC_PER_SEC)
/* A port of no real server, and another one in case the real server has it. */
#define PORT_BETWEEN 1
#define PORT_BETWEEN_TOO 2
#define FORWARD_DIRECT 3u

static uint32_t count(const struct sync *sync)
{
	return table_list_count(sync->table, TABLE_EVICT) +
	       table_list_count(sync->table, TABLE_EVICTED) +
	       table_list_count(sync->table, TABLE_UNSEEN);
}

static bool is_elsewhere(const struct entry *a, const struct entry *b)
{
	return a->dport != b->dport || memcmp(a->daddr, b->daddr, sizeof(a->daddr)) != 0;
}

/* The kernel's reports */

bool templates_ignore(struct sync *sync, const struct entry *reported)
{
	struct table_meta meta;
	struct entry held;
	table_ref ref;

	if (count(sync) == 0)
		return false;
	ref = table_find(sync->table, &reported->flow);
	if (!ref)
		return false;
	table_get(sync->table, ref, &held, &meta);
	if (!table_list_differs(meta.list))
		return false;
	/* A report of a template whose end was written proves nothing, whatever it names. */
	if (meta.list == TABLE_EVICTED || is_elsewhere(&held, reported)) {
		sync->counters.templates_ignored++;
		return true;
	}
	sync->counters.templates_replaced += meta.list == TABLE_UNSEEN;
	return false;
}

void templates_found(struct sync *sync, table_ref ref, const struct entry *found)
{
	struct table_meta meta;
	struct entry held;

	if (!found->flow.template || found->flow.pe_digest)
		return;
	table_get(sync->table, ref, &held, &meta);
	if (meta.list == TABLE_JOURNAL || meta.list == TABLE_EVICTED)
		return;
	if (is_elsewhere(&held, found)) {
		if (!table_list_differs(meta.list))
			table_list_move(sync->table, ref, TABLE_EVICT);
	} else if (table_list_differs(meta.list)) {
		sync->counters.templates_replaced += meta.list == TABLE_UNSEEN;
		table_list_move(sync->table, ref, TABLE_IDLE);
	}
}

/* Rounds */

static void wait_round(struct templates *templates, usec_t next)
{
	templates->step = TEMPLATES_WAIT;
	templates->next = next;
}

static void round_begin(struct sync *sync, struct now now)
{
	struct templates *templates = &sync->templates;
	uint32_t waiting = table_list_count(sync->table, TABLE_EVICT);

	if (waiting > templates->waiting)
		templates->next = MIN(templates->next, now.mono + GATHER);
	templates->waiting = waiting;
	if (waiting == 0) {
		templates->rounds = 0;
		templates->late = 0;
		templates->next = USEC_NEVER;
	} else if (now.mono >= templates->next) {
		templates->step = TEMPLATES_DETACH;
		templates->began = now.mono;
	}
}

static void round_end(struct sync *sync, struct now now)
{
	struct templates *templates = &sync->templates;
	uint32_t left = table_list_count(sync->table, TABLE_UNSEEN);

	table_list_splice(sync->table, TABLE_UNSEEN, TABLE_EVICT);
	/* Templates that came meanwhile do not wait so long. */
	templates->waiting = left;
	templates->late = left;
	templates->rounds = left ? templates->rounds + 1 : 0;
	wait_round(templates,
		   left ? now.mono + (PAUSE_MIN << MIN(templates->rounds - 1, PAUSE_DOUBLED_MAX))
			: USEC_NEVER);
}

void templates_tick(struct sync *sync, struct now now)
{
	struct templates *templates = &sync->templates;

	switch (templates->step) {
	case TEMPLATES_WAIT:
		round_begin(sync, now);
		return;
	case TEMPLATES_ENDING:
		templates->next = MIN(templates->next, now.mono + LASTS);
		if (now.mono >= templates->next)
			templates->step = TEMPLATES_INSTALL;
		break;
	case TEMPLATES_SEEN:
		round_end(sync, now);
		return;
	case TEMPLATES_DETACH:
	case TEMPLATES_EVICT:
	case TEMPLATES_INSTALL:
	case TEMPLATES_LOOK:
		break;
	}
	if (count(sync) == 0)
		wait_round(templates, USEC_NEVER);
	if (now.mono > templates->began + LATE)
		templates->late = UINT32_MAX;
}

bool sync_templates_detach(const struct sync *sync)
{
	return sync->templates.step == TEMPLATES_DETACH;
}

bool sync_template_differs(const struct sync *sync, const struct flow *flow)
{
	table_ref ref = table_find(sync->table, flow);
	struct table_meta meta;

	if (!ref)
		return false;
	table_get(sync->table, ref, NULL, &meta);
	return table_list_differs(meta.list);
}

void sync_template_leave(struct sync *sync, const struct flow *flow)
{
	if (sync_template_differs(sync, flow))
		table_list_move(sync->table, table_find(sync->table, flow), TABLE_IDLE);
}

int sync_detach(struct sync *sync, const struct flow *flow)
{
	struct templates *templates = &sync->templates;

	assert(templates->step == TEMPLATES_DETACH);
	if (templates->detach_len == DETACH_MAX)
		return -EAGAIN;
	templates->detach[templates->detach_len++] = *flow;
	return 0;
}

void sync_detached(struct sync *sync)
{
	if (sync->templates.step == TEMPLATES_DETACH)
		sync->templates.step = TEMPLATES_EVICT;
}

bool sync_templates_look(struct sync *sync)
{
	bool due = sync->templates.look;

	sync->templates.look = false;
	return due;
}

void templates_looked(struct sync *sync)
{
	if (sync->templates.step == TEMPLATES_LOOK)
		sync->templates.step = TEMPLATES_SEEN;
}

/* Towards the kernel */

/* All of it in one message, or nothing. The first entry also sends a packet that comes between the
 * two to the right real server, unchanged. A real server behind nat drops that packet, and its
 * sender repeats it. */
static int detach_add(struct sync *sync, table_ref ref, struct now now,
		      struct kernel_wire_writer *writer)
{
	struct kernel_wire_writer before = *writer;
	struct entry entry, between, lives;
	struct table_meta meta;
	int r;

	if (!sync_inject_entry(sync, ref, now, &entry, &meta))
		return -ENOENT;
	lives = entry;
	lives.flags &= ~ENTRY_INACTIVE;
	between = lives;
	between.flags = (between.flags & ~ENTRY_FWD_MASK) | FORWARD_DIRECT;
	between.dport = entry.dport == PORT_BETWEEN ? PORT_BETWEEN_TOO : PORT_BETWEEN;
	r = kernel_wire_add(writer, &between);
	if (r == 0)
		r = kernel_wire_add(writer, &lives);
	if (r == 0 && entry.flags & ENTRY_INACTIVE)
		r = kernel_wire_add(writer, &entry);
	if (r < 0)
		*writer = before;
	return r;
}

static bool inject_detached(struct sync *sync, struct now now, struct kernel_wire_writer *writer)
{
	struct templates *templates = &sync->templates;

	for (; templates->detach_len > 0; templates->detach_len--) {
		const struct flow *flow = &templates->detach[templates->detach_len - 1];
		table_ref ref = table_find(sync->table, flow);

		if (ref && detach_add(sync, ref, now, writer) == -ENOSPC)
			return false;
	}
	return true;
}

/* The next template of this step; 0: none is left. Those added since the round began stay. */
static table_ref inject_next(const struct sync *sync)
{
	switch (sync->templates.step) {
	case TEMPLATES_EVICT:
		return sync->templates.waiting ? table_list_head(sync->table, TABLE_EVICT) : 0;
	case TEMPLATES_INSTALL:
		return table_list_head(sync->table, TABLE_EVICTED);
	default:
		return 0;
	}
}

/* -ENOSPC: the message is full. */
static int template_add(struct sync *sync, table_ref ref, struct now now,
			struct kernel_wire_writer *writer)
{
	bool evict = sync->templates.step == TEMPLATES_EVICT;
	struct table_meta meta;
	struct entry entry;
	bool lives = sync_inject_entry(sync, ref, now, &entry, &meta);

	if (evict)
		entry.timeout = 1;
	if (lives && kernel_wire_add(writer, &entry) == -ENOSPC)
		return -ENOSPC;
	assert(meta.list == (evict ? TABLE_EVICT : TABLE_EVICTED));
	if (evict)
		sync->templates.waiting--;
	table_list_move(sync->table, ref,
			!lives  ? TABLE_IDLE
			: evict ? TABLE_EVICTED
				: TABLE_UNSEEN);
	return 0;
}

void templates_inject(struct sync *sync, struct now now, struct kernel_wire_writer *writer)
{
	bool room = inject_detached(sync, now, writer);
	table_ref ref;

	while (room && (ref = inject_next(sync)))
		room = template_add(sync, ref, now, writer) == 0;
}

bool templates_pending(const struct sync *sync)
{
	return sync->templates.detach_len > 0 || inject_next(sync);
}

void templates_injected(struct sync *sync)
{
	struct templates *templates = &sync->templates;

	if (templates_pending(sync))
		return;
	if (templates->step == TEMPLATES_EVICT) {
		templates->step = TEMPLATES_ENDING;
		templates->next = USEC_NEVER;
	} else if (templates->step == TEMPLATES_INSTALL) {
		templates->step = TEMPLATES_LOOK;
		templates->look = true;
	}
}

void templates_lost(struct sync *sync)
{
	struct templates *templates = &sync->templates;

	if (templates->step != TEMPLATES_EVICT && templates->step != TEMPLATES_ENDING &&
	    templates->step != TEMPLATES_INSTALL)
		return;
	table_list_splice(sync->table, TABLE_EVICTED, TABLE_EVICT);
	table_list_splice(sync->table, TABLE_UNSEEN, TABLE_EVICT);
	wait_round(templates, 0);
}

void templates_status(const struct sync *sync, struct sync_status *status)
{
	status->templates_differ = count(sync);
	status->templates_late = MIN(status->templates_differ, sync->templates.late);
}
