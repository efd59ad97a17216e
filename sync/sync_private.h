/* Shared by sync's files, and private to them: sync.c (table, capture, injection), sync_stream.c
 * (streams), subscriber.c, superseded.c and answer.c (a peer that receives from us), subscription.c
 * and ask.c (a peer that we receive from), join.c and progress.c (the start, and journals that
 * ended), anti_entropy.c, fact.c (facts beside connections), sync_policy.c (entries that are
 * withheld), templates.c (persistence templates that the kernel holds otherwise). */
#ifndef SYNC_SYNC_PRIVATE_H
#define SYNC_SYNC_PRIVATE_H

#include <errno.h>

#include "proto/bits.h"
#include "proto/sync.pb-c.h"
#include "sync/batch.h"
#include "sync/kernel_wire.h"
#include "sync/sync.h"
#include "sync/table/hlc.h"

/* Wants and sums divide the key space (entry_flow_range()) into this many parts. */
#define RANGES 4096u
#define RANGE_OF(point) ((uint16_t)((point) >> 4))
#define WANT_PAIRS_MAX 64
#define WANT_SKIP_MAX DIRECTORS_MAX
/* An older build, which does not state how many origins or journals it takes, takes this many. */
#define ORIGINS_UNSAID 64u

struct ranges {
	uint64_t bits[BITS_WORDS(RANGES)];
};

/* A journal, and how far it was applied here. */
struct journal {
	uint64_t id; /* its director */
	uint64_t journal, position;
	uint64_t streamed; /* up to there by itself, or with all that took the place of it */
	uint64_t hlc;      /* no captured version above it is in what was applied; 0: not known */
	bool lacks;        /* some of it came in the shares of a start, which have no results */
};

/* A peer whose stream ended, and the highest version known when it was heard last. */
struct away {
	uint64_t id, hlc;
};

#define ORPHANS_MAX DIRECTORS_MAX
/* Journals of directors that live, and earlier ones. */
#define PROGRESS_MAX (4 * DIRECTORS_MAX)

struct orphans {
	unsigned int len; /* at most ORPHANS_MAX */
	struct journal journals[];
};

/* A subscriber's Want, and how far we are with the answer. */
struct answer {
	bool nothing; /* no entry can match */
	uint64_t walk;
	uint64_t origin; /* 0: any */
	uint64_t since;
	bool facts;          /* only these, our own results too */
	uint64_t walk_facts; /* behind the walk over connections */
	struct ranges ranges;
	unsigned int skip_len;
	uint64_t skip[WANT_SKIP_MAX]; /* in order */
};

/* Batches that reached the journal's end as it was when they were made, and are not acknowledged.
 */
#define SUBSCRIBER_WHOLE_MAX 64

struct subscriber {
	bool subscribed, begun;
	bool facts;          /* the peer takes facts */
	bool heartbeat_due;  /* at once */
	uint64_t sent;       /* up to there it was sent the journal */
	uint64_t acked, end; /* the journal's tail when it subscribed */
	/* It holds each change captured up to there, or a newer one: an entry that had changed
	 * again when a batch was made, or had given way to a peer's, comes behind that batch. */
	uint64_t whole;
	unsigned int wholes_len;
	uint64_t wholes[SUBSCRIBER_WHOLE_MAX]; /* the next values of whole, ascending */
	uint64_t mark;                         /* the journal's tail at mark_time */
	usec_t mark_time;                      /* mono */
	usec_t moved;                          /* mono, when it acknowledged more than before */
	unsigned int orphans_changes; /* sync->orphans_changes when the last Orphans was sent */
	usec_t orphans_time;          /* mono, when */
	unsigned int orphans_max;     /* journals that the subscriber takes in an Orphans */
	bool orphans_parts;           /* there are more: sent in turn */
	unsigned int orphans_from;    /* the first that is sent next */
	bool digest_due;
	struct answer *answer; /* owned; NULL: no Want */
	usec_t answer_time;    /* mono, of its last batch */
};

/* The purpose of a Want. */
enum ask {
	ASK_NOTHING,
	ASK_SHARE,      /* of the start's */
	ASK_ORPHANS,    /* the orphaned tail of a dead director's journal */
	ASK_DIFFERENCE, /* parts of the key space whose sums differ */
	ASK_FACTS,      /* the same of facts, or all of them */
};

struct subscription {
	bool subscribed, begun;
	bool heartbeat_seen;
	bool complete;    /* by its last heartbeat */
	usec_t ack_after; /* after the last frame sent */
	uint64_t journal, position, end;
	uint64_t pending;      /* by the publisher's last heartbeat */
	enum ask ask;          /* the Want that it has yet to answer to the end */
	bool ask_due;          /* the Want has to be sent first */
	struct ranges wanted;  /* the parts that the Want is for */
	bool donor;            /* join.c has seen which orphans it knows */
	bool facts;            /* the publisher knows of facts */
	unsigned int skip_max; /* origins that the publisher takes in a Want */
	struct journal orphan; /* ASK_ORPHANS: how far it will be followed then */
	uint64_t since;
	uint64_t since_away; /* the highest version known when the peer was heard before, or 0 */
	/* ASK_DIFFERENCE: the parts not requested yet, and the horizon up to which both should have
	 * had the same. */
	struct ranges differ, facts_differ;
	unsigned int covered; /* news in the answer that the sums cover */
	uint64_t horizon;
	struct orphans *orphans; /* owned: the publisher's last Orphans; NULL: empty */
};

struct sync_stream {
	bool is_subscription;
	const struct certificate *peer;
	uint64_t peer_id, peer_epoch;
	usec_t heard_at, sent_at; /* mono */
	uint64_t heard_hlc;       /* the highest version known then */
	uint64_t entries, bytes;
	union {
		struct subscription subscription;
		struct subscriber subscriber;
	};
};

/* The batch that was made last: signed once, written to every peer that stands at its start. */
struct made {
	bool valid;
	bool whole; /* up to the journal's end */
	bool facts; /* for peers that take facts, or for others; else it has none, and is for all */
	bool any_facts;
	uint64_t first, last;
	unsigned int entries;
	size_t len;
	usec_t time;   /* mono */
	uint8_t *body; /* SYNC_BODY_MAX */
};

/* A flow that a peer's newer entry took out of the journal: published at this position. */
struct superseded_flow {
	struct flow flow;
	uint64_t position;
};

/* A peer whose stream from us ended. */
struct parted {
	uint64_t id; /* 0: none */
	uint64_t acked;
	usec_t heard; /* mono */
};

#define SUPERSEDED_MAX 16384u

struct superseded {
	usec_t born;  /* mono */
	uint64_t all; /* acknowledged by all, as it was found last, or less */
	unsigned int first, len;
	struct superseded_flow ring[SUPERSEDED_MAX]; /* in order of position */
	struct parted parted[DIRECTORS_MAX];
};

#define REINJECT_MAX 256
/* The start: entries that no journal brings are requested from complete peers, a share each time;
 * from a single peer all at once, as it walks its whole table for each share. */
#define SHARES_A_DONOR 4u
#define SHARES_MAX 256u

struct sync_join {
	bool active, done, complete, ended;
	uint64_t goal;      /* once counters.injected is this, all that came is in the kernel */
	unsigned int share; /* parts of each */
	unsigned int shares, shares_done;
	struct ranges left; /* neither requested nor answered */
	uint64_t entries;
	bool seen_any;
	/* How far all complete peers had followed the journals of directors that are gone. */
	unsigned int seen_len;
	struct journal seen[ORPHANS_MAX];
	usec_t alone; /* mono, since when there is no donor */
};

/* The sums over parts of the key space: of connections; of facts, that is settings and the
 * publisher's own results, whose parts are larger. */
#define FACTS_PARTS 64u
#define FACTS_RANGES (RANGES / FACTS_PARTS)

struct sums {
	uint64_t connections[RANGES];
	uint64_t facts[FACTS_PARTS];
};

/* Two walks: over connections, and over facts. */
struct sums_walk {
	uint64_t connections, facts;
};

/* The sums that we send to a peer; one peer each time, in turn. */
struct anti_entropy_sums {
	bool walking;
	unsigned int peer;
	usec_t next; /* mono */
	uint64_t horizon;
	struct sums_walk walk;
	struct sums sums;
	/* The last walk that ended: only its sums are sent, as a peer may take its time. */
	uint64_t ended_horizon;
	struct sums ended;
};

/* The comparison with a peer's sums, one at a time: it lasts until the differing parts are known,
 * however long the peer then takes to answer. */
struct anti_entropy_compare {
	struct sync_stream *stream; /* NULL: none */
	unsigned int from;          /* the part where the next Want starts */
	uint64_t horizon;
	struct sums_walk walk;
	struct sums sums; /* the peer's, less ours */
	bool facts;       /* the peer sent theirs: an older build has none */
};

/* Progress with the templates that the kernel holds with another real server. */
enum templates_step {
	TEMPLATES_WAIT,   /* for some, or for the next round */
	TEMPLATES_DETACH, /* for their connections */
	TEMPLATES_EVICT,
	TEMPLATES_ENDING,
	TEMPLATES_INSTALL,
	TEMPLATES_LOOK, /* for the kernel's list */
	TEMPLATES_SEEN,
};

#define DETACH_MAX 1024

struct templates {
	enum templates_step step;
	bool look;                      /* the kernel's list is to be read */
	uint32_t waiting;               /* of TABLE_EVICT, as they were counted last */
	uint32_t late;                  /* differ for longer than they should */
	unsigned int rounds;            /* in a row that were in vain for some */
	usec_t began, next;             /* mono: the round; the next step */
	struct flow detach[DETACH_MAX]; /* to be taken from their templates */
	unsigned int detach_len;
};

#define ENDING_MAX 1024

/* Connections whose end the kernel has yet to confirm. */
struct ending {
	struct flow flows[ENDING_MAX];
	unsigned int len, sent;
};

/* Memory to decode a small message. */
#define MESSAGE_MEMORY (48 * 1024)

/* When we compared with a peer's sums last: it survives the stream. */
struct compared {
	uint64_t id; /* 0: unused */
	usec_t time; /* mono */
};

struct sync {
	const struct identity *identity;
	uint64_t epoch, journal;
	usec_t before, returned; /* wall */
	uint8_t syncid;
	bool adopting;
	struct hlc hlc;
	usec_t capture_floor; /* wall; 0: captured as it is reported */
	struct table *table;
	struct policy policy;
	bool draining;
	uint32_t review; /* how many of TABLE_LOCAL the policy has yet to judge again */
	struct batch *batch;
	bool batch_facts, batch_any_facts; /* as in struct made, of the batch being made */
	struct batch_reader *reader;
	struct made made;
	uint64_t front;    /* how far in the journal any peer was sent, and when */
	usec_t front_time; /* mono */
	struct sync_stream *streams[SYNC_STREAMS_MAX]; /* NULL: not open */
	uint64_t open[BITS_WORDS(SYNC_STREAMS_MAX)];
	/* How far the peers' journals were applied, the last used first: it survives the streams.
	 */
	struct journal progress[PROGRESS_MAX];
	struct away away[PROGRESS_MAX]; /* the last first */
	unsigned int orphans_changes;   /* how often those that we follow no more changed */
	struct sync_join join;
	struct anti_entropy_sums digest;
	struct anti_entropy_compare compare;
	struct compared compared[DIRECTORS_MAX];
	struct superseded superseded;
	_Alignas(16) uint8_t memory[MESSAGE_MEMORY];
	struct flow reinject[REINJECT_MAX]; /* to be injected again */
	unsigned int reinject_len;
	struct ending ending;
	struct templates templates;
	uint32_t entries_max;
	struct sync_status counters; /* only what counts up */
	uint64_t refused[SYNC_E_MAX];
};

/* Every open stream, with its number i. */
#define STREAMS_EACH(i, sync) BITS_EACH (i, (sync)->open, SYNC_STREAMS_MAX)

/* The table counts seconds of mono from here, so that an entry may be older than our uptime. */
#define SECONDS_BASE 0x40000000u

static inline uint32_t mono_seconds(struct now now)
{
	return SECONDS_BASE + (uint32_t)(now.mono / USEC_PER_SEC);
}

/* How many entries are withheld from the peers. */
static inline uint32_t sync_unshared(const struct sync *sync)
{
	return table_list_count(sync->table, TABLE_YOUNG) +
	       table_list_count(sync->table, TABLE_WAITING) +
	       table_list_count(sync->table, TABLE_LOCAL);
}

/* A fact for ever (sync/fact.h). */
static inline bool sync_entry_endless(const struct entry *entry)
{
	return flow_is_fact(&entry->flow) && entry->timeout >= TABLE_TIMEOUT_MAX;
}

/* True if an entry of that age has not ended. */
static inline bool sync_entry_lives(const struct entry *entry, uint32_t age)
{
	return sync_entry_endless(entry) || age < MIN(table_lifetime(entry->timeout), SECONDS_BASE);
}

/* fact.c */
/* True for a result of that director, or a setting: that director's batches prove it. */
bool fact_is_proved_by(const struct flow *flow, uint64_t director);
bool fact_is_result(const struct flow *flow);
/* Merges a fact of a batch that the peer signed. True: it was news. */
bool fact_merge(struct sync *sync, const struct entry *entry, struct table_version version,
		uint32_t age, uint64_t peer, struct now now);

/* sync_policy.c: the list for an entry that the kernel reported, or that was found in it and, if it
 * is known already, stays where it is. TABLE_LISTS: none, it is not to be held. */
enum table_list sync_policy_place(struct sync *sync, const struct entry *entry, bool adopted,
				  struct now now);

/* sync.c: the entry as it is injected, with the timeout that is left. False: none is. */
bool sync_inject_entry(const struct sync *sync, table_ref ref, struct now now,
		       struct entry *ret_entry, struct table_meta *ret_meta);

struct merged {
	unsigned int read, news;
	unsigned int covered; /* news that the sums of the last comparison with this peer cover */
	uint64_t hlc;         /* the highest version of the peer's own */
};

/* Merges the batch that the reader has read: part of an answer to a Want, or of the journal. */
void sync_merge_batch(struct sync *sync, const struct sync_stream *stream, bool wanted,
		      struct now now, struct merged *ret_merged);

/* sync_stream.c */
void sync_stream_free(struct sync_stream *stream);

/* subscriber.c. output: the next frame, which is due; its length. */
usec_t subscriber_time(const struct sync *sync, const struct sync_stream *stream);
size_t subscriber_output(struct sync *sync, struct sync_stream *stream, struct now now,
			 uint8_t *data, uint8_t *ret_kind);
int subscriber_subscribe(struct sync *sync, struct sync_stream *stream,
			 const Lvsmesh__Pb__Subscribe *message);
int subscriber_ack(struct sync *sync, struct sync_stream *stream, const Lvsmesh__Pb__Ack *message,
		   struct now now);
/* The age of the oldest change that the peer has not acknowledged. */
usec_t subscriber_lag(const struct subscriber *subscriber, struct now now);
bool subscriber_joining(const struct subscriber *subscriber, struct now now);
bool subscriber_stalled(const struct subscriber *subscriber, struct now now);
void subscriber_tick(struct sync *sync, struct now now);
uint64_t subscriber_unsent(const struct sync *sync, const struct subscriber *subscriber);
/* Sends all peers a heartbeat at once: we are complete. */
void subscriber_heartbeat_now(struct sync *sync);
/* Begins a batch, for peers that take facts or for others. */
void sync_batch_begin(struct sync *sync, bool facts);
/* Adds an entry to the batch being made, unless it has expired or is not shared. False: it is
 * full. */
bool sync_batch_collect(struct sync *sync, table_ref ref, struct now now);
/* Packs what was collected and signs it: the signature, then the batch. */
size_t sync_batch_seal(struct sync *sync, const struct batch_head *head, uint8_t *data);

/* superseded.c */
void superseded_tick(struct sync *sync, struct now now);
/* Notes that a peer's entry replaced ours, which was at that position. */
void superseded_note(struct sync *sync, const struct flow *flow, uint64_t position, struct now now);
/* The superseded flows behind a position, in order, until one is noted. */
struct superseded_reader {
	unsigned int at;
	uint64_t position; /* of the next; UINT64_MAX: there is none */
};

void superseded_read(const struct sync *sync, uint64_t position,
		     struct superseded_reader *ret_reader);
/* The entry to publish at the next gap, which must exist; 0: none, as the flow is in the journal
 * again, or has ended. */
table_ref superseded_read_next(const struct sync *sync, struct superseded_reader *reader);
/* The stream of a peer that was subscribed ends. */
void superseded_parted(struct sync *sync, const struct sync_stream *stream);

/* answer.c */
int answer_want(const struct sync *sync, struct sync_stream *stream,
		const Lvsmesh__Pb__Want *message);
usec_t answer_time(const struct subscriber *subscriber);
size_t answer_output(struct sync *sync, struct sync_stream *stream, struct now now, uint8_t *data);

/* subscription.c */
usec_t subscription_time(const struct sync_stream *stream);
size_t subscription_output(struct sync *sync, struct sync_stream *stream, uint8_t *data,
			   uint8_t *ret_kind);
int subscription_begin(struct sync *sync, struct sync_stream *stream,
		       const Lvsmesh__Pb__Begin *message);
int subscription_heartbeat(struct sync_stream *stream, const Lvsmesh__Pb__Heartbeat *message);
int subscription_batch(struct sync *sync, struct sync_stream *stream, const uint8_t *body,
		       size_t len, struct now now);
/* Has all that there was when it began, and knows whether the peer is complete. */
bool subscription_caught_up(const struct subscription *subscription);

/* progress.c */
/* NULL: not known. journal 0: the one that was followed last. */
const struct journal *progress_find(const struct sync *sync, uint64_t id, uint64_t journal);
/* Notes it, unless more is known. */
void progress_note(struct sync *sync, const struct journal *journal);
/* Of this journal its director's results have come by now. */
void progress_lacks_nothing(struct sync *sync, uint64_t id, uint64_t journal);
/* Some subscription follows it now. */
bool progress_now(const struct sync *sync, const struct journal *journal);
size_t progress_output(struct sync *sync, struct subscriber *subscriber, struct now now,
		       uint8_t *data);
usec_t progress_time(const struct sync *sync, const struct subscriber *subscriber);
int progress_receive(struct sync_stream *stream, const Lvsmesh__Pb__Orphans *message);

/* ask.c: the next Want of a subscription, if one is due. The facade calls it after each event: a
 * frame that the stream received, and for all streams the tick and the start. */
void ask_next(struct sync *sync, struct sync_stream *stream);
void ask_all(struct sync *sync);
size_t ask_output(struct sync *sync, struct sync_stream *stream, uint8_t *data);
/* True if the publisher is complete, and we have all that it has, of orphaned journals too. */
bool ask_has_all(const struct sync *sync, const struct subscription *subscription);
/* True if we have all results that the publisher had when the stream began. */
bool ask_has_facts(const struct sync *sync, const struct sync_stream *stream);
/* Moves parts of `left`, at most so many, to the next Want, from *at on and round; *at is then the
 * one behind the last. Returns how many. */
unsigned int ask_parts(struct subscription *subscription, struct ranges *left, unsigned int most,
		       unsigned int *at);
/* The answer has ended, or the stream. */
void ask_ended(struct sync *sync, struct sync_stream *stream);
void ask_dropped(struct sync *sync, struct sync_stream *stream);

/* anti_entropy.c */
/* True for an entry that both directors have, unless something was lost. */
bool anti_entropy_covers(struct table_version version, const struct entry *entry, uint64_t horizon);
void anti_entropy_tick(struct sync *sync, struct now now);
size_t anti_entropy_output(struct sync *sync, struct subscriber *subscriber, uint8_t *data);
int anti_entropy_receive(struct sync *sync, struct sync_stream *stream,
			 const Lvsmesh__Pb__Sums *message, struct now now);
/* The next of the parts that differ at this publisher, to be asked for: false: there are none. */
bool anti_entropy_take(struct sync *sync, struct subscription *subscription);
/* The parts whose facts differ, likewise. */
bool anti_entropy_take_facts(struct subscription *subscription);
void anti_entropy_answered(struct subscription *subscription);
void anti_entropy_dropped(struct sync *sync, const struct sync_stream *stream);

/* templates.c */
void templates_tick(struct sync *sync, struct now now);
/* True if the template that the kernel reported is one that has to end. */
bool templates_ignore(struct sync *sync, const struct entry *reported);
/* An entry learned from a peer was found in the kernel. */
void templates_found(struct sync *sync, table_ref ref, const struct entry *found);
/* The kernel's connections have been read. */
void templates_looked(struct sync *sync);
/* As sync_inject(), sync_inject_pending(), sync_injected(), sync_inject_lost(). */
void templates_inject(struct sync *sync, struct now now, struct kernel_wire_writer *writer);
bool templates_pending(const struct sync *sync);
void templates_injected(struct sync *sync);
void templates_lost(struct sync *sync);
void templates_status(const struct sync *sync, struct sync_status *status);

/* ending.c: likewise. False: the message is full. */
bool ending_inject(struct sync *sync, struct kernel_wire_writer *writer);
bool ending_pending(const struct sync *sync);
void ending_injected(struct sync *sync);
void ending_lost(struct sync *sync);

/* join.c */
/* A share for this subscription: false: there is none. */
bool join_take(struct sync *sync, struct sync_stream *stream);
void join_share_ended(struct sync *sync, const struct subscription *subscription, bool answered);
void join_tick(struct sync *sync, struct now now);
/* Whether all that came is in the kernel by now. */
void join_look(struct sync *sync);

#endif
