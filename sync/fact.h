/* Facts: small values that every director gets, beside the connections: the results of a director's
 * checks of the real servers, and what an operator set. A fact rides in the table and the journal
 * as an entry of a protocol that no connection has (PROTOCOL.md, "Facts"), so that resume,
 * acknowledgement and join bring it as they bring connections. It never reaches the kernel, is
 * never withheld, keeps no director from becoming ready, and has room of its own: a table that is
 * full of connections takes facts.
 *
 * Its value is opaque to sync. Calls belong to the sync of sync/sync.h. */
#ifndef SYNC_FACT_H
#define SYNC_FACT_H

#include "proto/base.h"

struct sync;

#define FACT_KEY 16
#define FACT_VALUE_MAX 200

enum fact_kind {
	/* One per key and origin. It is taken only out of a batch that its origin signed: a member
	 * can lie about its own results, never about another's. So our own of an earlier life do
	 * not come back, and those of a director to which no stream leads are not known. The last
	 * one that the origin sent holds, whatever its hlc: its clock may have been set back. */
	FACT_RESULT = 1,
	/* One per key, the newest by hlc, which any member may make and hand on. Ours of an earlier
	 * life come back from the others. */
	FACT_SETTING = 2,
};

/* A timeout: the fact does not end. */
#define FACT_FOREVER UINT32_MAX
/* s, at most; a longer one is taken as FACT_FOREVER. */
#define FACT_TIMEOUT_MAX ((1u << 22) - 2)
/* s: enough for a fact that takes the place of one with FACT_FOREVER, in order to end it. A
 * director that was cut off for longer, and did not start again, would bring the old one back. */
#define FACT_ENDED FACT_TIMEOUT_MAX

struct fact {
	enum fact_kind kind;
	uint8_t key[FACT_KEY]; /* what it is about: a hash that all directors compute alike */
	uint64_t origin;       /* the director that published it; set by sync */
	uint64_t hlc;          /* its version, milliseconds of UTC << 16 | logical; set by sync */
	uint32_t timeout;      /* s that it is believed after it was published */
	uint32_t age;          /* s since it was published; set by sync, by no director's clock */
	size_t len;
	uint8_t value[FACT_VALUE_MAX];
};

/* More results of one origin, more settings, and more facts in all are refused and counted. */
#define FACT_OF_ONE_MAX (1u << 17)
#define FACT_MAX (1u << 19)

/* Publishes ours: it is stamped, and at the journal's end at once, so that it leaves with the next
 * batch. It takes the place of the fact that has its kind and key (a result: ours). To end a fact,
 * publish it with len 0, and a timeout for which the old one could be held: that of the old one, or
 * FACT_ENDED. 0; -EINVAL: no such kind, or len is beyond FACT_VALUE_MAX; -ENOSPC: full, counted. */
int sync_publish(struct sync *sync, const struct fact *fact, struct now now);

/* Pulls the next fact that is news here: learned from a peer, or a setting of ours of an earlier
 * life that a peer returned. What is pulled last of a kind, key and origin (of a setting: of its
 * key) holds; changes that follow each other fast are pulled once, and those that ended (len 0) are
 * pulled too. False: there is none. */
bool sync_fact_next(struct sync *sync, struct now now, struct fact *ret_fact);
bool sync_fact_pending(const struct sync *sync);

/* Walks all that are held, ours too: *cursor starts at 0 and is opaque; false: the end. A fact that
 * comes or goes meanwhile may or may not be seen, others are seen once. */
bool sync_fact_walk(const struct sync *sync, struct now now, uint64_t *cursor,
		    struct fact *ret_fact);

#endif
