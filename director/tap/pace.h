/* Flow control to the backup sync thread. Its socket has a receive buffer and drops messages that
 * do not fit, without an error for the writer; /proc/net/udp shows the socket's queue and its
 * drops. So: write a windowful, look until the queue is empty, write the next. Written messages are
 * safe when the queue was seen empty and none was dropped meanwhile; after a drop, all that are not
 * safe yet are written again, in smaller windows, as the kernel does not say which it dropped.
 * Pure: time and observations are arguments. */
#ifndef DIRECTOR_TAP_PACE_H
#define DIRECTOR_TAP_PACE_H

#include "proto/base.h"

enum pace_verdict {
	PACE_PENDING = 0, /* not known yet, or nothing was written */
	PACE_CONFIRMED,   /* all that was written so far has been taken by the kernel */
	PACE_LOST,        /* all that was written since the last CONFIRMED must be written again */
};

/* The queue has been found not empty for so long while we wait: the thread is stuck, or gone. */
#define PACE_STALL_AFTER (3 * USEC_PER_SEC)

struct pace {
	size_t capacity;      /* the socket's receive buffer, bytes of memory */
	size_t window;        /* the part of it that we fill at once */
	size_t used;          /* written and not confirmed */
	uint32_t drops;       /* the socket's counter as last seen */
	usec_t waiting_since; /* the first observation with used > 0; 0: none yet */
	usec_t stalled_since; /* 0: not */
	uint64_t lost;        /* drops in all */
};

/* capacity: bytes, as the kernel counts them for SO_RCVBUF. drops: the socket's counter now. */
void pace_init(struct pace *pace, size_t capacity, uint32_t drops);

/* The thread was started anew, with a new socket: nothing is under way, drops is its counter. */
void pace_restart(struct pace *pace, uint32_t drops);

/* True if a datagram of len bytes may be written now. One always may when nothing is under way. */
bool pace_allows(const struct pace *pace, size_t len);

/* A datagram of len bytes was written. */
void pace_wrote(struct pace *pace, size_t len);

/* True while something is written and not confirmed: observe again soon. */
bool pace_waiting(const struct pace *pace);

/* Takes the present values of /proc/net/udp: queue in bytes, drops as a counter that may wrap; a
 * counter that was set back means a new socket, and all is LOST. */
enum pace_verdict pace_observe(struct pace *pace, size_t queue, uint32_t drops, usec_t now);

#endif
