/* When to send beats, and how many: the master sync thread keeps entries in half-full buffers for
 * up to 2 s unless something fills them (ip_vs_sync.c: sb_queue_tail wakes it at 8 queued buffers).
 * A beat is a packet to the probe service on our own tap; two of three make the kernel emit an
 * entry. Beats also prove that the kernel forwards, for each comes back out of the tap, and that
 * the master thread sends.
 *
 * Beating always would cost a busy core some percent; so it beats only when an entry may wait:
 * - after a new connection it is attentive for a while (the handshake's third packet makes the
 * entry) and sends a burst in each tick in which packets moved;
 * - with no new connections, a burst now and then as long as packets move (states change, timers
 * are refreshed), and one after the last of them;
 * - none while the traffic's own entries fill the buffers;
 * - idle, one cycle a second as a probe.
 * Pure: time and counters are arguments. */
#ifndef DIRECTOR_TAP_METRONOME_H
#define DIRECTOR_TAP_METRONOME_H

#include "proto/base.h"

/* Beats of one burst: 8 entries, each of which queues the buffer of the one before it. */
#define METRONOME_BURST 12
/* Beats of one probe: a full cycle. */
#define METRONOME_PROBE 3
/* Entries a tick that keep the buffers moving without us. */
#define METRONOME_ENOUGH 8

#define METRONOME_ATTENTIVE (1 * USEC_PER_SEC)
#define METRONOME_RELAXED (100 * USEC_PER_MSEC)
#define METRONOME_PROBE_EVERY (1 * USEC_PER_SEC)
/* Silence: so many ticks with beats, over such a time, and no answer. The ticks are counted so that
 * a pause of ours is not taken for one of the kernel's. */
#define METRONOME_SILENCE_TICKS 3
#define METRONOME_SILENCE_AFTER (3 * USEC_PER_SEC)

/* Waits for one kind of answer to the beats. */
struct metronome_watch {
	unsigned int ticks;  /* with beats, since the last answer */
	usec_t first;        /* of them */
	usec_t silent_since; /* 0: not silent */
	uint64_t answers;
};

struct metronome {
	bool started;
	uint64_t conns, packets; /* the kernel's counters at the last tick */
	uint64_t own;            /* beats sent since, which are in packets too */
	bool owed;               /* packets moved since the last burst */
	usec_t attentive_until, last_burst, last_beat, last_moved;

	uint64_t sent;
	struct metronome_watch echo; /* silent: IPVS does not forward */
	struct metronome_watch sync; /* silent: the master thread does not send */
};

/* conns, packets: of all IPVS services, summed over the processors. captured: entries read from the
 * tap since the last tick, without those of the probe service. */
struct metronome_input {
	usec_t now; /* monotonic, > 0 */
	uint64_t conns, packets;
	unsigned int captured;
	/* Answers may have been lost, or wait in the unread backlog: a daemon that has more to read
	 * than it can is no proof against the kernel. */
	bool rx_dropped;
};

void metronome_init(struct metronome *metronome);

/* A tick: how many beats to send now; the next one has number metronome->sent before the call. All
 * of them count as sent. */
unsigned int metronome_tick(struct metronome *metronome, const struct metronome_input *input);

/* True when no packet moves and no beat is owed: no entry is missed if the next tick comes only
 * when a packet does. Ticks are needed all the same, a few a second, for the probes. */
bool metronome_idle(const struct metronome *metronome, usec_t now);

/* A beat came back. */
void metronome_echo(struct metronome *metronome);

/* A message of the master thread came, with any content. */
void metronome_sync(struct metronome *metronome);

#endif
