/* What sync.c (table, capture, injection) and sync_stream.c (peers) share, and nobody else. */
#ifndef SYNC_SYNC_PRIVATE_H
#define SYNC_SYNC_PRIVATE_H

#include "sync/batch.h"
#include "sync/hlc.h"
#include "sync/sync.h"

struct stream {
	bool open, source;
	const struct certificate *peer;
	uint64_t peer_id, peer_epoch;
	usec_t heard, said; /* mono */
	uint64_t entries, bytes;
	bool synced;
	uint64_t position; /* source: applied; sink: acknowledged */
	/* source */
	bool subscribed;     /* sink: it was asked; source: it was said */
	bool wants_snapshot; /* source: nothing else may come first; sink: it is being sent */
	bool ack_due;
	uint64_t pending; /* as the publisher said last */
	/* sink */
	struct table_cursor cursor;
	uint64_t walk;    /* of the snapshot */
	uint64_t mark;    /* the journal's tail at mark_time */
	usec_t mark_time; /* mono */
};

/* How far a publisher's journal was applied: survives the stream, so that the next one resumes. */
struct resume {
	uint64_t id, epoch, position;
};

/* The batch that was made last: signed once, written to every peer that stands at its start. */
struct made {
	bool valid;
	uint64_t first, last;
	unsigned int entries;
	size_t len;
	struct table_cursor cursor; /* at its end */
	usec_t time;                /* mono */
	uint8_t *body;              /* SYNC_BODY_MAX */
};

#define REPAIR_MAX 256

struct sync {
	const struct identity *identity;
	uint64_t epoch;
	uint8_t syncid;
	bool adopting;
	struct hlc hlc;
	struct table *table;
	struct batch *batch;
	struct batch_reader *reader;
	struct made made;
	uint64_t front;    /* how far in the journal any peer was sent, and when */
	usec_t front_time; /* mono */
	struct stream streams[SYNC_STREAMS_MAX];
	struct resume resume[SYNC_STREAMS_MAX];
	struct flow repair[REPAIR_MAX]; /* to be injected again */
	unsigned int repair_len;
	struct sync_status counters; /* only what counts up */
	uint64_t refused[SYNC_E_MAX];
};

/* The table counts seconds of mono from here, so that an entry may be older than our uptime. */
#define SECONDS_BASE 0x40000000u

static inline uint32_t mono_seconds(struct now now)
{
	return SECONDS_BASE + (uint32_t)(now.mono / USEC_PER_SEC);
}

/* Merges what a peer said of one entry. */
void sync_merge(struct sync *sync, const struct entry *entry, struct table_version version,
		uint32_t age, struct now now);

#endif
