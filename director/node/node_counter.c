/* The counters of all that a node refused or closed, in one list. */
#include "director/node/node_private.h"

static const struct counter_row account_rows[] = {
	COUNTER_ROW(struct node, throttled, "throttled", COUNTER_TOTAL,
		    "Times that a member had used up its share of this director's work."),
};

static const struct counter_row fact_rows[] = {
	COUNTER_ROW(struct sync_status, facts, "held", COUNTER_NOW,
		    "Facts that it knows: results of checks, and what operators set."),
	COUNTER_ROW(struct sync_status, facts_published, "published", COUNTER_TOTAL,
		    "Published by this director."),
	COUNTER_ROW(struct sync_status, facts_learned, "learned", COUNTER_TOTAL,
		    "Learned from peers."),
	COUNTER_ROW(struct sync_status, facts_stale, "stale", COUNTER_TOTAL,
		    "From peers, and as new a version was known."),
	COUNTER_ROW(struct sync_status, facts_returned, "returned", COUNTER_TOTAL,
		    "Settings of this director, from peers in a newer version: its clock was once "
		    "set back."),
	COUNTER_ROW(struct sync_status, facts_malformed, "malformed", COUNTER_TOTAL,
		    "Refused: no director of this build makes such a fact."),
	COUNTER_ROW(struct sync_status, facts_handed_on, "handed_on", COUNTER_TOTAL,
		    "Refused: another director's result, which only that one may send."),
	COUNTER_ROW(struct sync_status, facts_full, "full", COUNTER_TOTAL,
		    "Refused: too many are held of their kind, or of their director."),
};

/* Errors count from 1, our own reasons from 0. */
static const struct counter_table session_table = COUNTER_REASONS("session", session_error_name, 1,
								  SESSION_E_MAX),
				  sync_table =
					  COUNTER_REASONS("sync", sync_error_name, 1, SYNC_E_MAX),
				  capture_table = COUNTER_REASONS("capture", kernel_wire_error_name,
								  1, KERNEL_WIRE_E_MAX),
				  stream_table = COUNTER_REASONS("stream", node_close_reason_name,
								 0, WHY_MAX);
const struct counter_table node_counter_account = COUNTER_ROWS("account", account_rows);
const struct counter_table node_counter_facts = COUNTER_ROWS("facts", fact_rows);

bool node_counter(const struct node *node, unsigned int i, struct counter *ret_counter)
{
	uint64_t sync[SYNC_E_MAX];
	struct membership_counter counter;
	struct sync_status status;

	sync_status(node->sync, &status);
	for (int error = 0; error < SYNC_E_MAX; error++)
		sync[error] = sync_refused(node->sync, error);
	if (counter_get(&session_table, node->session_refused, &i, ret_counter) ||
	    counter_get(&sync_table, sync, &i, ret_counter) ||
	    counter_get(&capture_table, node->capture_refused, &i, ret_counter) ||
	    counter_get(&stream_table, node->stream_closed, &i, ret_counter) ||
	    counter_get(&node_counter_account, node, &i, ret_counter) ||
	    counter_get(&node_counter_facts, &status, &i, ret_counter))
		return true;
	if (!membership_counter(node->membership, i, &counter))
		return false;
	*ret_counter = (struct counter){"membership", counter.name, counter.value};
	return true;
}
