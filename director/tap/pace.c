#include "director/tap/pace.h"

/* A datagram's share of the receive buffer: it lies in one piece of memory, whose size is a power
 * of two, with headers and the kernel's bookkeeping (struct sk_buff, skb_shared_info). */
static size_t cost(size_t len)
{
	size_t piece = 512;

	while (piece < len + 512)
		piece *= 2;
	return piece + 512;
}

/* Smaller than any buffer that the kernel allows, so that at least single datagrams go. */
#define WINDOW_MIN 4096
/* A confirmation walks all entries under way: not more than fits one turn. */
#define WINDOW_MAX ((size_t)1 << 20)

static size_t window_max(const struct pace *pace)
{
	return MIN(pace->capacity / 4 * 3, WINDOW_MAX);
}

void pace_init(struct pace *pace, size_t capacity, uint32_t drops)
{
	*pace = (struct pace){.capacity = capacity, .drops = drops};
	pace->window = MAX(window_max(pace), WINDOW_MIN);
}

static enum pace_verdict settle(struct pace *pace, size_t used, enum pace_verdict verdict)
{
	pace->used = used;
	pace->waiting_since = 0;
	pace->stalled_since = 0;
	return verdict;
}

void pace_restart(struct pace *pace, uint32_t drops)
{
	pace->drops = drops;
	settle(pace, 0, PACE_PENDING);
}

bool pace_allows(const struct pace *pace, size_t len)
{
	return pace->used == 0 || pace->used + cost(len) <= pace->window;
}

void pace_wrote(struct pace *pace, size_t len)
{
	pace->used += cost(len);
}

bool pace_waiting(const struct pace *pace)
{
	return pace->used > 0;
}

enum pace_verdict pace_observe(struct pace *pace, size_t queue, uint32_t drops, usec_t now)
{
	uint32_t dropped = drops - pace->drops;

	pace->drops = drops;
	if (dropped > INT32_MAX)
		return pace->used ? settle(pace, 0, PACE_LOST) : PACE_PENDING;
	pace->lost += dropped;
	if (pace->used == 0)
		return PACE_PENDING;
	if (dropped > 0) {
		pace->window = MAX(pace->window / 2, WINDOW_MIN);
		return settle(pace, queue, PACE_LOST);
	}
	if (queue == 0) {
		/* Back to the full window in some dozen steps. */
		pace->window =
			MIN(pace->window + pace->window / 16, MAX(window_max(pace), WINDOW_MIN));
		return settle(pace, 0, PACE_CONFIRMED);
	}
	if (pace->waiting_since == 0)
		pace->waiting_since = now;
	else if (!pace->stalled_since && now - pace->waiting_since >= PACE_STALL_AFTER)
		pace->stalled_since = pace->waiting_since;
	return PACE_PENDING;
}
