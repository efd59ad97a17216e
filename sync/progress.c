/* How far we followed each journal. A journal whose director is gone, or has started again, is
 * orphaned: no stream brings its tail any more. Directors tell each other how far they followed the
 * orphaned journals, and one that has less of a journal asks one that has more. */
#include <stdlib.h>

#include "sync/sync_private.h"

/* Several journals are often lost together. */
#define ORPHANS_INTERVAL (50 * USEC_PER_MSEC)
/* A peer that takes fewer journals than there are gets the others this long after each Orphans,
 * which replaces the one before: meanwhile it asks for what it lacks of those. */
#define ORPHANS_TURN (10 * USEC_PER_SEC)

const struct journal *progress_find(const struct sync *sync, uint64_t id, uint64_t journal)
{
	for (unsigned int i = 0; i < PROGRESS_MAX && sync->progress[i].id; i++) {
		const struct journal *known = &sync->progress[i];

		if (known->id == id && (journal == 0 || known->journal == journal))
			return known;
	}
	return NULL;
}

void progress_note(struct sync *sync, const struct journal *journal)
{
	struct journal *known = sync->progress, note = *journal;
	unsigned int i = 0;

	while (i < PROGRESS_MAX - 1 && known[i].id &&
	       (known[i].id != journal->id || known[i].journal != journal->journal))
		i++;
	if (known[i].id == journal->id && known[i].journal == journal->journal) {
		note.position = MAX(note.position, known[i].position);
		note.streamed = MAX(note.streamed, known[i].streamed);
		note.hlc = MAX(note.hlc, known[i].hlc);
		note.lacks |= known[i].lacks;
	}
	memmove(&known[1], &known[0], i * sizeof(*known));
	known[0] = note;
}

void progress_lacks_nothing(struct sync *sync, uint64_t id, uint64_t journal)
{
	for (unsigned int i = 0; i < PROGRESS_MAX && sync->progress[i].id; i++) {
		struct journal *known = &sync->progress[i];

		if (known->id == id && known->journal == journal)
			known->lacks = false;
	}
}

bool progress_now(const struct sync *sync, const struct journal *journal)
{
	STREAMS_EACH (i, sync) {
		const struct sync_stream *stream = sync->streams[i];

		if (stream->is_subscription && stream->peer_id == journal->id &&
		    stream->subscription.begun && stream->subscription.journal == journal->journal)
			return true;
	}
	return journal->id == sync->identity->id && journal->journal == sync->journal;
}

/* A peer that hears that we are complete asks at once, and has to know what it will get. */
usec_t progress_time(const struct sync *sync, const struct subscriber *subscriber)
{
	if (subscriber->orphans_changes == sync->orphans_changes)
		return subscriber->orphans_parts ? subscriber->orphans_time + ORPHANS_TURN
						 : USEC_NEVER;
	return subscriber->heartbeat_due ? 0 : subscriber->orphans_time + ORPHANS_INTERVAL;
}

size_t progress_output(struct sync *sync, struct subscriber *subscriber, struct now now,
		       uint8_t *data)
{
	Lvsmesh__Pb__Orphans message = LVSMESH__PB__ORPHANS__INIT;
	uint64_t columns[4][ORPHANS_MAX];
	unsigned int n = 0, before = 0,
		     max = MIN(subscriber->orphans_max, (unsigned int)ORPHANS_MAX);
	bool more = false;

	if (subscriber->orphans_changes != sync->orphans_changes)
		subscriber->orphans_from = 0;
	subscriber->orphans_changes = sync->orphans_changes;
	subscriber->orphans_time = now.mono;
	for (unsigned int i = 0; i < PROGRESS_MAX && before < ORPHANS_MAX && !more; i++) {
		const struct journal *known = &sync->progress[i];

		if (!known->id || progress_now(sync, known) || before++ < subscriber->orphans_from)
			continue;
		if (n == max) {
			more = true;
			continue;
		}
		columns[0][n] = known->id;
		columns[1][n] = known->journal;
		columns[2][n] = known->position;
		columns[3][n++] = known->hlc;
	}
	subscriber->orphans_parts = more || subscriber->orphans_from > 0;
	subscriber->orphans_from = more ? subscriber->orphans_from + n : 0;
	message.n_ids = message.n_journals = message.n_positions = message.n_hlcs = n;
	message.ids = columns[0];
	message.journals = columns[1];
	message.positions = columns[2];
	message.hlcs = columns[3];
	return lvsmesh__pb__orphans__pack(&message, data);
}

int progress_receive(struct sync_stream *stream, const Lvsmesh__Pb__Orphans *message)
{
	struct subscription *subscription = &stream->subscription;
	struct orphans *orphans = NULL;

	if (!subscription->begun)
		return -SYNC_E_KIND;
	if (message->n_ids > ORPHANS_MAX || message->n_journals != message->n_ids ||
	    message->n_positions != message->n_ids || message->n_hlcs != message->n_ids)
		return -SYNC_E_MALFORMED;
	if (message->n_ids > 0) {
		orphans = malloc(sizeof(*orphans) + message->n_ids * sizeof(orphans->journals[0]));
		if (!orphans)
			return -SYNC_E_MEMORY;
		orphans->len = (unsigned int)message->n_ids;
	}
	free(subscription->orphans);
	subscription->orphans = orphans;
	for (unsigned int i = 0; i < message->n_ids; i++) {
		orphans->journals[i] = (struct journal){
			.id = message->ids[i],
			.journal = message->journals[i],
			.position = message->positions[i],
			.hlc = message->hlcs[i],
		};
	}
	return 0;
}
