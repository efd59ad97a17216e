/* Every entry this director knows, with its version, and the lists that its slots hang in: the
 * journal of entries captured here, and those that still have to reach the kernel. Merging is a
 * join: an entry is replaced only by a newer version, so order, repetition and loss do not matter.
 *
 * It has no clock and does no I/O; it does not know peers (sync/sync.h does), nor whether an entry
 * makes sense (sync/kernel_wire.h). Entries given to it are copied. */
#ifndef SYNC_TABLE_TABLE_H
#define SYNC_TABLE_TABLE_H

#include "sync/table/entry.h"

struct table;

/* Names a slot while its entry is held; 0: none. */
typedef uint32_t table_ref;

/* A slot is in exactly one of these. */
enum table_list {
	TABLE_IDLE,        /* learned, and the kernel has it (or never will) */
	TABLE_JOURNAL,     /* captured or adopted here: in order of last change */
	TABLE_INJECT,      /* learned, the kernel has yet to get it */
	TABLE_REPLACE,     /* the same, and it may hold another real server's */
	TABLE_UNCONFIRMED, /* written towards the kernel */
	/* Persistence templates that the kernel may hold with another real server, which it does
	 * not replace (sync/templates.c): that one has to end; its end was written; this one was
	 * written in its place, and has not been seen there. */
	TABLE_EVICT,
	TABLE_EVICTED,
	TABLE_UNSEEN,
	/* Captured or adopted here, and the other directors do not know them (sync/policy.h). */
	TABLE_YOUNG,   /* in order of first capture */
	TABLE_WAITING, /* in order of coming here */
	TABLE_LOCAL,
	TABLE_LISTS,
};

/* True if entries on this list are replicated; no others are in a journal, share or digest. */
static inline bool table_list_shared(enum table_list list)
{
	return list < TABLE_YOUNG;
}

/* True if the kernel may hold templates on this list with another real server. */
static inline bool table_list_differs(enum table_list list)
{
	return list >= TABLE_EVICT && list <= TABLE_UNSEEN;
}

struct table_options {
	uint64_t self;        /* our director's id */
	uint64_t adopted;     /* the version of what is adopted, below all that is captured */
	uint32_t entries_max; /* facts are counted apart: at most facts_max */
	uint32_t facts_max;
	uint32_t bindings_max; /* different services, real servers, flags, fwmarks: any combination
				*/
	uint8_t hash_key[16];  /* random: clients can't make flows collide */
};

/* One table holds entries of at most this many directors at once. */
#define TABLE_ORIGINS_MAX 1024
/* Enough bindings for any cluster, in at most 64 MiB; as many entries can have options. */
#define TABLE_BINDINGS_MAX ((1u << 20) - 1)
/* s, 48 days: a longer timeout is held as this. (ipvsadm sets at most 31 days.) */
#define TABLE_TIMEOUT_MAX ((1u << 22) - 1)
/* More facts of one binding (settings; or results of one origin) are refused. */
#define TABLE_FACTS_OF_ONE_MAX (1u << 17)
/* States are below. */
#define TABLE_STATES 16

enum table_result {
	TABLE_NEW,     /* was not known */
	TABLE_CHANGED, /* replaced an older version */
	TABLE_SAME,    /* this very version was known */
	TABLE_STALE,   /* a newer version is known: nothing changed */
	TABLE_FULL,    /* entries_max, origins, bindings or memory: nothing changed */
};

/* A slot's data besides the entry. */
struct table_meta {
	struct table_version version;
	uint64_t position; /* in the journal, from 1; in TABLE_YOUNG: its mark; else nothing */
	enum table_list list;
	uint32_t refreshed; /* s, mono, when the kernel last reported it */
	bool adopted;       /* found in the kernel at start, history unknown */
	bool returned;      /* a version of our own, of an earlier life, returned by a peer */
	uint16_t range;     /* entry_flow_range() */
};

/* 0 or -ENOMEM. */
int table_new(const struct table_options *options, struct table **ret_table);
void table_free(struct table *table);

/* The local kernel carried the flow: takes the version (hlc, self), which must be newer than any
 * held, and goes to the journal's tail. now: s, mono. */
enum table_result table_capture(struct table *table, const struct entry *entry, uint64_t hlc,
				uint32_t now);

/* The same for a flow that is new or on a list that is not shared: it goes to the tail of such a
 * list. An entry that is on that very list already keeps its place and its mark. mark: TABLE_YOUNG
 * only, below 2^48 and not below that of the list's last. */
enum table_result table_withhold(struct table *table, const struct entry *entry, uint64_t hlc,
				 uint32_t now, enum table_list list, uint64_t mark);

/* The local kernel holds the flow at start: version (options.adopted, self), to the tail of the
 * journal or of a list that is not shared. A flow already known is left as it is: TABLE_STALE. */
enum table_result table_adopt(struct table *table, const struct entry *entry, uint32_t now,
			      enum table_list list);

/* Moves an entry from a list that is not shared to the journal's tail, with version hlc unless it
 * was adopted: versions in the journal only grow. */
void table_publish(struct table *table, table_ref ref, uint64_t hlc);
/* Forgets the entry. Not in the journal. */
void table_drop(struct table *table, table_ref ref);

/* An entry that this director's own kernel had reported, and that a peer's entry replaced. */
struct table_displaced {
	uint64_t hlc; /* its version; 0: nothing of the kind */
	uint64_t position;
	uint16_t state;
	bool elsewhere; /* another real server than that of the entry merged */
};

/* Merges a peer's entry. When it wins it goes to TABLE_INJECT, or to TABLE_REPLACE where the kernel
 * may hold it with another real server (a template to TABLE_EVICT; one that is in such a list
 * already, with this real server, stays there), except that an adopted slot of the same destination
 * and state only takes the version, and counts as injected. refreshed: s, mono, as table_meta.
 * ret_displaced is written when the result is TABLE_NEW or TABLE_CHANGED. */
enum table_result table_merge(struct table *table, const struct entry *entry,
			      struct table_version version, uint32_t refreshed,
			      struct table_displaced *ret_displaced);

/* Prefetches the cache lines that these flows need, so that a table larger than the caches does not
 * stall on each of them: call it before capturing, merging or finding them, at most TABLE_FETCH_MAX
 * at once. Changes nothing. */
#define TABLE_FETCH_MAX 64
void table_fetch(struct table *table, const struct entry *entries, unsigned int count);

/* 0: not held. */
table_ref table_find(const struct table *table, const struct flow *flow);
/* ret_entry->options belongs to the table and is valid until the slot changes. Either may be NULL.
 */
void table_get(const struct table *table, table_ref ref, struct entry *ret_entry,
	       struct table_meta *ret_meta);

/* meta.position alone. */
uint64_t table_ref_position(const struct table *table, table_ref ref);

/* Without facts. */
uint32_t table_count(const struct table *table);

/* Facts (sync/fact.h). A fact that is merged is at once where an entry is that the kernel has, and
 * is news until table_fact_told(). One whose timeout is TABLE_TIMEOUT_MAX does not expire. */
uint32_t table_facts(const struct table *table);
/* The first that is news; 0: none. */
table_ref table_fact_news(const struct table *table);
void table_fact_told(struct table *table, table_ref ref);
/* As table_walk(), which sees no facts. */
table_ref table_fact_walk(const struct table *table, uint64_t *cursor);

/* A director, and how many of the entries and facts held have it as origin. */
struct table_origin {
	uint64_t id;
	uint32_t entries, facts;
};

/* Number i from 0, ourselves first; others may have none. False: there are no more. */
bool table_origin(const struct table *table, unsigned int i, struct table_origin *ret_origin);

/* With facts, and how many of them are. */
uint32_t table_list_count(const struct table *table, enum table_list list);
uint32_t table_list_facts(const struct table *table, enum table_list list);
/* The list's first slot, the oldest. */
table_ref table_list_head(const struct table *table, enum table_list list);
/* Moves a slot to a list's tail. Neither into or out of the journal nor into TABLE_YOUNG. */
void table_list_move(struct table *table, table_ref ref, enum table_list list);
/* The kernel has it: to the journal's tail when the version is our own, else to TABLE_IDLE. Not
 * from the journal. */
void table_mark_injected(struct table *table, table_ref ref);
/* All of one list to the tail of another, order kept. Not the journal. */
void table_list_splice(struct table *table, enum table_list from, enum table_list to);

/* All slots but facts, in no order: *cursor starts at 0; 0: the end. A slot taken meanwhile may be
 * missed. */
table_ref table_walk(const struct table *table, uint64_t *cursor);

/* How long an entry is believed: its timeout, and the time within which the kernel reports a flow
 * that lives again (net.ipv4.vs.sync_refresh_period, ip_vs_sync_conn_needed()). */
#define TABLE_REFRESH 60u /* s */
uint32_t table_lifetime(uint32_t timeout);

/* Examines up to budget slots, round robin, none twice within some seconds, and drops expired ones.
 * Returns how many it dropped. */
uint32_t table_sweep(struct table *table, uint32_t now, uint32_t budget);

/* The journal. Positions start at 1 and only grow; a changed entry moves to the next position. */
uint64_t table_position(const struct table *table); /* the tail's, 0 while empty */
/* Takes the next position, for an entry that is published there and is on another list. */
uint64_t table_pass(struct table *table);

/* A reader of the entries that changed after a position, in order; valid until an entry changes. */
struct table_reader {
	uint64_t after;
	uint32_t at;
};

void table_read(const struct table *table, uint64_t position, struct table_reader *ret_reader);
/* The next; 0: all is read, up to table_position(). */
table_ref table_read_next(const struct table *table, struct table_reader *reader);

#endif
