/* Replication as a state machine without I/O: the table of entries, its journal, and a stream for
 * each peer and direction. PROTOCOL.md, "Sync", has the messages; ARCHITECTURE.md the data flow.
 * sync/fact.h has the facts that are replicated beside the connections.
 *
 * A *subscription* is a stream that we dialed, on which a publisher's entries come to us; a
 * *subscriber* one that we accepted, on which ours go to a peer. The session has authenticated the
 * peer before (proto/session/session.h).
 *
 * An entry is *captured* when the kernel reports it, *adopted* when it is found in the kernel's
 * list of connections, *learned* when a publisher brings it.
 *
 * It has no clock and no socket, and knows neither members nor services: its caller passes the
 * streams, the kernel's reports, and which flows are not to be replicated. It does not know how
 * fast the kernel takes injected entries (director/tap/pace.h). It counts all that it drops or
 * refuses. One thread at a time. Times are struct now: mono orders, wall only stamps. */
#ifndef SYNC_SYNC_H
#define SYNC_SYNC_H

#include "proto/identity/identity.h"
#include "sync/policy.h"
#include "sync/table/entry.h"

struct sync;

/* The largest frame body that sync_output() makes. */
#define SYNC_BODY_MAX (192 * 1024)
#define SYNC_STREAMS_MAX (4 * DIRECTORS_MAX) /* one takes memory while it is open */

/* Kinds of frames on a stream (struct session_frame). */
enum sync_kind {
	SYNC_KIND_SUBSCRIBE = 16,
	SYNC_KIND_BATCH,
	SYNC_KIND_HEARTBEAT,
	SYNC_KIND_ACK,
	SYNC_KIND_BEGIN,
	SYNC_KIND_WANT,
	SYNC_KIND_ORPHANS,
	SYNC_KIND_SUMS,
	SYNC_KIND_MAX,
};

/* Why a frame was refused: the stream is to be closed, except that SYNC_E_ENTRY is never returned:
 * it counts single entries that were left out. A subscriber that wants to resume at a position from
 * the future is counted, and gets the journal from its start. */
enum sync_error {
	SYNC_E_KIND = 1,  /* a kind that does not belong on this stream, or too early */
	SYNC_E_MALFORMED, /* does not decode, columns that do not agree, counts that lie */
	SYNC_E_SIGNATURE,
	SYNC_E_ORDER,    /* a position that goes backwards, or an answer without a Want */
	SYNC_E_POSITION, /* a position from the future */
	SYNC_E_CLOCK,    /* a version further ahead of our clock than SYNC_CLOCK_AHEAD */
	SYNC_E_ENTRY,    /* an entry that no kernel would take */
	SYNC_E_MEMORY,   /* ours ran out */
	SYNC_E_MAX,
};

const char *sync_error_name(int error);

#define SYNC_CLOCK_AHEAD (3600 * USEC_PER_SEC)
#define SYNC_SILENCE (5 * USEC_PER_SEC)
#define SYNC_STALL (30 * USEC_PER_SEC)

struct sync_options {
	const struct identity *identity; /* borrowed until sync_free(): signs batches */
	uint64_t epoch;                  /* our boot epoch: batches are signed with it */
	usec_t started;                  /* wall: the version of what the kernel has by then */
	usec_t before;                   /* wall: the start before this one, or 0 */
	usec_t returned;                 /* UTC: members have returned all that we stamped until
					    then, to us in an earlier life; 0: not known */
	uint64_t journal;                /* random: positions belong to it */
	uint8_t hash_key[16];            /* random */
	uint8_t syncid;                  /* of the kernel's threads */
	uint32_t entries_max;            /* of all families; address space is reserved for all */
};

/* 0 or -ENOMEM. options is copied but for the identity. */
int sync_new(const struct sync_options *options, struct sync **ret_sync);
void sync_free(struct sync *sync);

/* Stamps an entry that the local kernel reported, and puts it at the journal's tail unless the
 * policy withholds it, for good or for now. 0, also when the policy keeps it out of the table;
 * -ENOSPC (full, counted). The entry is one that sync/kernel_wire.h gave out, and is copied. */
int sync_capture(struct sync *sync, const struct entry *entry, struct now now);

/* Several, at most SYNC_CAPTURE_MAX: as one by one, and cheaper where the table is large. */
#define SYNC_CAPTURE_MAX 64
void sync_capture_group(struct sync *sync, const struct entry *entries, unsigned int count,
			struct now now);

/* Until called with 0, captured entries are stamped `wall`: we weren't reading, so the kernel may
 * have reported them at any time since. Such an entry is stale if a peer has published the flow
 * since. */
void sync_set_capture_floor(struct sync *sync, usec_t wall);

/* An entry found in the local kernel at start, whose history is unknown: older than any entry that
 * a peer has of the flow. 0 or -ENOSPC, as sync_capture(). */
int sync_adopt(struct sync *sync, const struct entry *entry, struct now now);

/* Whether the kernel's connections are still being read. Meanwhile an entry that we stamped in an
 * earlier life, and that a peer returns, is assumed to be in the kernel, which may have gone on
 * since: it is not injected. */
void sync_adopting(struct sync *sync, bool adopting);

/* Streams, numbered by the caller below SYNC_STREAMS_MAX; one that is open under the number is
 * closed before. peer: certificate of the director at the other end, borrowed until sync_close().
 * 0, or -ENOMEM: the stream is not open. */
int sync_open(struct sync *sync, unsigned int stream, bool subscription,
	      const struct certificate *peer, uint64_t peer_epoch, struct now now);
/* Does nothing if the stream is not open. Remembers how far the stream came. */
void sync_close(struct sync *sync, unsigned int stream);

/* Takes one whole frame of an open stream; body is borrowed for the call. 0, or -SYNC_E_*, counted:
 * close the stream. */
int sync_receive(struct sync *sync, unsigned int stream, uint8_t kind, const uint8_t *body,
		 size_t len, struct now now);

/* The next frame for the peer. 0 and *ret_len: made; -EAGAIN: nothing now. data: at least
 * SYNC_BODY_MAX bytes. */
int sync_output(struct sync *sync, unsigned int stream, struct now now, uint8_t *data,
		uint8_t *ret_kind, size_t *ret_len);

/* When sync_output() of that stream will have something, mono: 0: now; USEC_NEVER. */
usec_t sync_output_time(const struct sync *sync, unsigned int stream);
/* True when no frame came on the stream for SYNC_SILENCE. */
bool sync_silent(const struct sync *sync, unsigned int stream, struct now now);
/* True when there was something to acknowledge for SYNC_STALL, and the peer has acknowledged none
 * of it: it talks, and does not read. */
bool sync_stalled(const struct sync *sync, unsigned int stream, struct now now);

/* Bounded housekeeping (expiry, the start, comparisons with peers); to be called about every 100
 * ms.
 */
void sync_tick(struct sync *sync, struct now now);

/* The start. Each subscription that can be had has its publisher's journal (synced): now we
 * ask the peers that are complete, in shares, for entries that no journal brings, those of
 * directors that are gone. sync_status has the progress; without a complete peer it is done at
 * once, or 5 s after the last one was lost. A second call does nothing. */
void sync_join(struct sync *sync, struct now now);
/* Ends the start without the rest, and without waiting for the kernel to take what has come. */
void sync_join_end(struct sync *sync);
/* Sets which flows are replicated from now on (at first, all), among those that are new or that no
 * peer knows of. A flow that peers know of is always replicated. options->services becomes the
 * sync's. */
void sync_policy(struct sync *sync, const struct policy_options *options);
/* While true, no entry waits for its age or the rate limit: a draining director hands over all. */
void sync_set_draining(struct sync *sync, bool draining);
/* When flows come of age, mono; USEC_NEVER. Then sync_mature() puts some of them, a bounded number,
 * at the journal's tail. */
usec_t sync_mature_time(const struct sync *sync);
void sync_mature(struct sync *sync, struct now now);

/* Injection. The payload of the next sync message for the kernel's backup thread, at most cap bytes
 * (at least KERNEL_WIRE_HEADER and an entry); its length, 0: nothing is due. Entries pulled stay
 * unconfirmed until sync_injected(); after sync_inject_lost() all unconfirmed ones, in their then
 * newest state, are pulled again. */
size_t sync_inject(struct sync *sync, struct now now, uint8_t *data, size_t cap);
bool sync_inject_pending(const struct sync *sync);
void sync_injected(struct sync *sync);
/* True while the start waits for sync_injected() only. */
bool sync_inject_awaited(const struct sync *sync);
void sync_inject_lost(struct sync *sync);

/* Injects an entry again that the kernel seems to have lost, whatever its origin. Not confirmed:
 * call it again if the kernel still lacks the entry. 0; -EAGAIN: enough of them wait to be
 * pulled. */
int sync_reinject(struct sync *sync, const struct flow *flow);

/* Ends a connection, here and on all directors, by giving it another real server (daddr as in
 * struct entry) on which it is closed (sync/ending.c). Not what has ended, nor templates. Repeated
 * until the kernel has it. 0; -EAGAIN: enough of them wait to be pulled and confirmed. */
int sync_end(struct sync *sync, const struct flow *flow, const uint8_t daddr[16], uint16_t dport,
	     struct now now);

/* Persistence templates that the kernel holds with another real server than the table
 * (sync/templates.c). True: the caller goes through all connections that the kernel may have, gives
 * sync_detach() those whose template sync_template_differs(), and ends with sync_detached(). */
bool sync_templates_detach(const struct sync *sync);
bool sync_template_differs(const struct sync *sync, const struct flow *flow);
/* The kernel could not use the template: we leave it as it is. */
void sync_template_leave(struct sync *sync, const struct flow *flow);
/* 0; -EAGAIN: enough of them wait to be pulled. */
int sync_detach(struct sync *sync, const struct flow *flow);
void sync_detached(struct sync *sync);
/* Once true: the kernel's connections are to be read, each to be given to sync_adopt(), and
 * sync_adopting() to be called at the end. */
bool sync_templates_look(struct sync *sync);

struct sync_status {
	uint64_t entries, entries_own; /* held; of those, captured here */
	uint64_t position;             /* of the journal's tail */
	usec_t stamped;                /* UTC in the highest version given out or seen */
	uint64_t inject_pending, inject_unconfirmed;
	/* Since the start, entries: reported by the kernel; found in it; news from peers, and
	 * entries of theirs that were none; ended, here or on the way here; confirmed in the
	 * kernel; pulled again because the kernel dropped them, or because it had lost them
	 * (sync_reinject()). */
	uint64_t captured, adopted, learned, stale, expired, injected, inject_retries, reinjected;
	uint64_t ended;                           /* by sync_end() */
	uint64_t tables_compared, parts_differed; /* of peers; parts of the key space in them */
	uint64_t repaired_from_peers; /* learned from these comparisons: they had been lost */
	uint64_t orphans_learned; /* of those learned: entries of dead directors, from peers that
				     had more of their journals */
	/* Entries that our kernel reported, and a peer's newer version replaced: both directors
	 * changed them while partitioned; they went on with another real server, then or within a
	 * minute. Only the director whose version loses counts, so that the sum over all directors
	 * is exact. */
	uint64_t concurrent_updates, conflicts;
	uint64_t refused_full, refused_entry; /* no room; SYNC_E_ENTRY */
	uint64_t batches_sent, batches_received;
	bool joined;         /* every share of the start has come, or it ended without */
	bool join_timed_out; /* by sync_join_end() */
	bool complete;       /* and is in the kernel: what it holds is all that it could learn */
	unsigned int join_shares, join_shares_done;
	uint64_t join_entries; /* that came in them */
	/* Ours, and withheld from the peers: too young; not established, and there are too many; of
	 * a service that is not replicated, or ended young. */
	uint64_t young, flood_waiting, local;
	uint64_t local_total;   /* flows of services that are not replicated */
	uint64_t young_ended;   /* that ended young */
	uint64_t flood_shed;    /* that were not established and too many, and are not held */
	usec_t flood_shed_time; /* mono, the last time; 0: never */
	/* Templates that the kernel may hold with another real server; of those, the ones that have
	 * differed for longer than a successful round takes. Since the start: replaced, and seen
	 * so; ignored reports of those that had to end. */
	uint64_t templates_differ, templates_late;
	uint64_t templates_replaced, templates_ignored;
	/* Facts (sync/fact.h), which no number above but `expired` has: held. Since the start:
	 * published by us; news from peers, and facts of theirs that were none; settings of ours
	 * that peers had in a higher version, of an earlier life. Left out: malformed; a result
	 * that another director than its origin sent, which proves nothing; no room. */
	uint64_t facts, facts_published, facts_learned, facts_stale, facts_returned;
	uint64_t facts_malformed, facts_handed_on, facts_full;
};

struct sync_stream_status {
	bool synced;   /* subscription: has all that there was when it began; subscriber: has
			  acknowledged  all */
	bool returned; /* subscription: the publisher is complete, and we have all that it has, also
			  of what we published in earlier lives */
	bool facts;    /* subscription: synced, and all results (sync/fact.h) that the publisher had
			  then are here too */
	bool joining;  /* subscriber: acknowledges, and not yet all that there was when it began */
	uint64_t position; /* subscription: applied; subscriber: acknowledged */
	uint64_t behind; /* entries: subscription: not received, by its last heartbeat; subscriber:
			    not sent */
	usec_t lag;      /* subscriber: age of the oldest change that is not acknowledged */
	uint64_t entries, bytes; /* of batches, in this stream */
};

void sync_status(const struct sync *sync, struct sync_status *ret_status);
/* All fields are 0 if the stream is not open. */
void sync_stream_status(const struct sync *sync, unsigned int stream, struct now now,
			struct sync_stream_status *ret_status);
uint64_t sync_refused(const struct sync *sync, int error); /* by enum sync_error */
/* Number i from 0, ourselves first, of the directors whose entries are held, and how many: some may
 * have none. False: there are no more. */
bool sync_origin(const struct sync *sync, unsigned int i, uint64_t *ret_id, uint64_t *ret_entries);

/* The table's data on an entry, besides the entry itself. */
struct sync_info {
	uint64_t origin; /* the director's id */
	uint64_t hlc;    /* version: milliseconds of UTC << 16 | logical */
	usec_t expires;  /* mono */
	bool own;        /* the local kernel carried it last */
	bool in_kernel;  /* own, or its injection is confirmed */
	bool shared;     /* replicated: published by us, or by a peer */
};

/* Walks the entries: *cursor starts at 0 and is opaque; false: the end. Entries that come or go
 * meanwhile may or may not be seen, others are seen once. ret_entry->options is valid until the
 * next change. */
bool sync_walk(const struct sync *sync, uint64_t *cursor, struct entry *ret_entry,
	       struct sync_info *ret_info);

#endif
