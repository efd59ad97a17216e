/* A peer whose journal we receive. */
#include "sync/sync_private.h"

#include "proto/session/seal.h"

/* We acknowledge with the first batch that comes this long after our last frame: a timer would wake
 * us, and the peer, for the ack alone. */
#define ACK_WITH_BATCH (100 * USEC_PER_MSEC)
/* The ack's delay when no more batches come. */
#define ACK_AFTER_BATCH (200 * USEC_PER_MSEC)
#define ACK_IDLE USEC_PER_SEC

bool subscription_caught_up(const struct subscription *subscription)
{
	return subscription->heartbeat_seen && subscription->position >= subscription->end;
}

/* Our messages */

static size_t output_subscribe(const struct sync *sync, struct sync_stream *stream, uint8_t *data)
{
	Lvsmesh__Pb__Subscribe message = LVSMESH__PB__SUBSCRIBE__INIT;
	const struct journal *left = progress_find(sync, stream->peer_id, 0);

	stream->subscription.subscribed = true;
	message.journals = ORPHANS_MAX;
	message.facts = true;
	if (left) {
		message.journal = stream->subscription.journal = left->journal;
		message.position = stream->subscription.position = left->streamed;
	}
	return lvsmesh__pb__subscribe__pack(&message, data);
}

static size_t output_ack(struct subscription *subscription, uint8_t *data)
{
	Lvsmesh__Pb__Ack message = LVSMESH__PB__ACK__INIT;

	subscription->ack_after = ACK_IDLE;
	message.position = subscription->position;
	return lvsmesh__pb__ack__pack(&message, data);
}

usec_t subscription_time(const struct sync_stream *stream)
{
	const struct subscription *subscription = &stream->subscription;

	if (!subscription->subscribed)
		return 0;
	if (!subscription->begun)
		return USEC_NEVER;
	if (subscription->ask_due)
		return 0;
	return stream->sent_at + subscription->ack_after;
}

size_t subscription_output(struct sync *sync, struct sync_stream *stream, uint8_t *data,
			   uint8_t *ret_kind)
{
	struct subscription *subscription = &stream->subscription;

	if (!subscription->subscribed) {
		*ret_kind = SYNC_KIND_SUBSCRIBE;
		return output_subscribe(sync, stream, data);
	}
	if (subscription->ask_due) {
		*ret_kind = SYNC_KIND_WANT;
		return ask_output(sync, stream, data);
	}
	*ret_kind = SYNC_KIND_ACK;
	return output_ack(subscription, data);
}

/* The peer's messages */

int subscription_begin(struct sync *sync, struct sync_stream *stream,
		       const Lvsmesh__Pb__Begin *message)
{
	struct subscription *subscription = &stream->subscription;

	if (!subscription->subscribed || subscription->begun)
		return -SYNC_E_KIND;
	if (message->journal == 0 || message->start > message->end ||
	    (message->start != 0 && (message->journal != subscription->journal ||
				     message->start != subscription->position)))
		return -SYNC_E_POSITION;
	subscription->begun = true;
	subscription->skip_max = message->origins ? message->origins : ORIGINS_UNSAID;
	subscription->facts = message->facts;
	subscription->ack_after = ACK_IDLE;
	subscription->journal = message->journal;
	subscription->position = message->start;
	subscription->end = message->end;
	sync->orphans_changes++;
	return 0;
}

int subscription_heartbeat(struct sync_stream *stream, const Lvsmesh__Pb__Heartbeat *message)
{
	struct subscription *subscription = &stream->subscription;

	if (!subscription->begun)
		return -SYNC_E_KIND;
	if (message->position < subscription->position)
		return -SYNC_E_POSITION;
	/* A complete publisher's journal also has what it learned of its own earlier lives. */
	if (message->complete && !subscription->complete)
		subscription->end = MAX(subscription->end, message->position);
	subscription->heartbeat_seen = true;
	subscription->pending = message->pending;
	subscription->complete = message->complete;
	return 0;
}

/* The batch that was read is the next one of this stream. */
static int batch_check(const struct sync *sync, const struct subscription *subscription,
		       const struct batch_head *head, struct now now)
{
	bool asked = subscription->ask != ASK_NOTHING && !subscription->ask_due;

	if (head->wanted ? !asked || head->first != head->last
			 : head->wanted_end || head->first != subscription->position ||
				   head->last <= head->first)
		return -SYNC_E_ORDER;
	if (hlc_wall(batch_hlc_max(sync->reader)) > now.wall + SYNC_CLOCK_AHEAD)
		return -SYNC_E_CLOCK;
	return 0;
}

static uint64_t batch_merge(struct sync *sync, struct sync_stream *stream, bool wanted,
			    struct now now)
{
	struct merged merged;

	sync_merge_batch(sync, stream, wanted, now, &merged);
	stream->entries += merged.read;
	if (!wanted)
		return merged.hlc;
	if (stream->subscription.ask == ASK_SHARE)
		sync->join.entries += merged.news;
	else if (stream->subscription.ask == ASK_ORPHANS)
		sync->counters.orphans_learned += merged.news;
	else {
		stream->subscription.covered += merged.covered;
		sync->counters.repaired_from_peers += merged.covered;
	}
	return merged.hlc;
}

static void journal_applied(struct sync *sync, struct sync_stream *stream, uint64_t position,
			    uint64_t hlc, struct now now)
{
	struct subscription *subscription = &stream->subscription;

	subscription->position = position;
	subscription->pending = 0;
	subscription->ack_after = now.mono < stream->sent_at + ACK_WITH_BATCH ? ACK_AFTER_BATCH : 0;
	progress_note(sync, &(struct journal){
				    .id = stream->peer_id,
				    .journal = subscription->journal,
				    .position = position,
				    .streamed = position,
				    /* Before the publisher is complete, its journal's order is not
				     * that of the versions. */
				    .hlc = subscription->complete ? hlc : 0,
			    });
}

int subscription_batch(struct sync *sync, struct sync_stream *stream, const uint8_t *body,
		       size_t len, struct now now)
{
	struct batch_head head;
	uint64_t hlc;
	int r;

	if (!stream->subscription.begun)
		return -SYNC_E_KIND;
	if (len < SIGNATURE_SIZE ||
	    batch_read(sync->reader, body + SIGNATURE_SIZE, len - SIGNATURE_SIZE, &head) < 0)
		return -SYNC_E_MALFORMED;
	r = batch_check(sync, &stream->subscription, &head, now);
	if (r < 0)
		return r;
	if (seal_record_verify(stream->peer, SYNC_KIND_BATCH, stream->peer_epoch, head.last,
			       body + SIGNATURE_SIZE, len - SIGNATURE_SIZE, body) < 0)
		return -SYNC_E_SIGNATURE;

	hlc = batch_merge(sync, stream, head.wanted, now);
	sync->counters.batches_received++;
	stream->bytes += len;
	if (!head.wanted)
		journal_applied(sync, stream, head.last, hlc, now);
	else if (head.wanted_end)
		ask_ended(sync, stream);
	return 0;
}
