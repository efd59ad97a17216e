#include "director/tap/metronome.h"

void metronome_init(struct metronome *metronome)
{
	*metronome = (struct metronome){0};
}

/* Packets that are not ours; a counter that was set back counts as traffic, to be safe. */
static uint64_t foreign_packets(const struct metronome *metronome, uint64_t packets)
{
	uint64_t moved;

	if (packets < metronome->packets)
		return 1;
	moved = packets - metronome->packets;
	/* If IPVS does not see our beats, they are not in its counters either. */
	if (metronome->echo.silent_since)
		return moved;
	return moved > metronome->own ? moved - metronome->own : 0;
}

static void count(struct metronome *metronome, const struct metronome_input *input)
{
	uint64_t foreign = foreign_packets(metronome, input->packets);

	/* Our own connection is counted too, but it is ours alone if no one else's packet came. */
	if (metronome->started && foreign > 0) {
		metronome->owed = true;
		metronome->last_moved = input->now;
		if (input->conns != metronome->conns)
			metronome->attentive_until = input->now + METRONOME_ATTENTIVE;
	}
	metronome->started = true;
	metronome->conns = input->conns;
	metronome->packets = input->packets;
	metronome->own = 0;
}

static unsigned int choose(const struct metronome *metronome, const struct metronome_input *input)
{
	bool rested = input->now - metronome->last_burst >= METRONOME_RELAXED;

	if (metronome->owed && input->captured < METRONOME_ENOUGH &&
	    (input->now < metronome->attentive_until || rested))
		return METRONOME_BURST;
	if (metronome->sent == 0 || input->now - metronome->last_beat >= METRONOME_PROBE_EVERY)
		return METRONOME_PROBE;
	return 0;
}

static void watch_judge(struct metronome_watch *watch, usec_t now, bool rx_dropped)
{
	if (rx_dropped && !watch->silent_since)
		watch->ticks = 0;
	if (watch->ticks >= METRONOME_SILENCE_TICKS && !watch->silent_since &&
	    now - watch->first >= METRONOME_SILENCE_AFTER)
		watch->silent_since = watch->first;
}

static void watch_expect(struct metronome_watch *watch, usec_t now)
{
	if (watch->ticks++ == 0)
		watch->first = now;
}

static void watch_answer(struct metronome_watch *watch)
{
	watch->answers++;
	watch->ticks = 0;
	watch->silent_since = 0;
}

unsigned int metronome_tick(struct metronome *metronome, const struct metronome_input *input)
{
	unsigned int beats;

	count(metronome, input);
	watch_judge(&metronome->echo, input->now, input->rx_dropped);
	watch_judge(&metronome->sync, input->now, input->rx_dropped);
	beats = choose(metronome, input);
	if (beats == 0)
		return 0;
	if (beats == METRONOME_BURST) {
		metronome->owed = false;
		metronome->last_burst = input->now;
	}
	watch_expect(&metronome->echo, input->now);
	watch_expect(&metronome->sync, input->now);
	metronome->last_beat = input->now;
	metronome->own = beats;
	metronome->sent += beats;
	return beats;
}

bool metronome_idle(const struct metronome *metronome, usec_t now)
{
	return !metronome->owed && now >= metronome->attentive_until &&
	       now - metronome->last_moved >= METRONOME_ATTENTIVE;
}

void metronome_echo(struct metronome *metronome)
{
	watch_answer(&metronome->echo);
}

void metronome_sync(struct metronome *metronome)
{
	watch_answer(&metronome->sync);
}
