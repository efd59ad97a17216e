/* The wire tap: a TUN interface with both IPVS sync threads on it. Changes of the kernel's
 * connections come out of it as sync messages, and sync messages put into it become connections.
 *
 * Owns the interface, the two threads, the settings below net/ipv4/vs that they need, and two probe
 * services; all are undone by io_tap_close(), and taken over by io_tap_open() where a killed
 * process left them. Never touches the connection table: forwarding goes on, whatever happens to
 * us. Foreign changes are put back within seconds. Does not look into messages, except to keep
 * those of its own probe services to itself.
 *
 * A shell around director/tap/tap_packet (packets), director/tap/metronome (makes the master thread
 * send at once, and watches that IPVS forwards) and director/tap/pace (does not overrun the backup
 * thread). */
#ifndef DIRECTOR_TAP_IO_TAP_H
#define DIRECTOR_TAP_IO_TAP_H

#include <uv.h>

#include "director/counter.h"
#include "director/tap/tap_packet.h"
#include "proto/fault.h"

/* Most bytes asked of pull() at once: with headers it fits 16 KB of the kernel's memory. */
#define IO_TAP_PAYLOAD_MAX 15800

/* Buckets of the connection table under which status says that there are too few. */
#define IO_TAP_TABLE_ENOUGH 65536

/* All called from the loop, none from within another io_tap_*() function. They may call any of
 * those but io_tap_close(). */
struct io_tap_callbacks {
	/* A sync message of the kernel's; payload is valid until it returns. */
	void (*captured)(void *ctx, const uint8_t *payload, size_t len);
	/* We stalled, and read now the backlog since `since` (mono); 0: all of it has been read. */
	void (*late)(void *ctx, usec_t since);
	/* Those were all that there were at once. */
	void (*captured_all)(void *ctx);
	/* Write the next message to inject into payload[cap]; its length, 0: none now (then
	 * io_tap_kick() when there is). */
	size_t (*pull)(void *ctx, uint8_t *payload, size_t cap);
	/* All messages pulled so far have reached the kernel, as far as a probe can tell. */
	void (*confirmed)(void *ctx);
	/* Some of those pulled since the last confirmed() have not: pull() gives them again. */
	void (*lost)(void *ctx);
	/* Entries may have been missed: the kernel dropped some, or the master thread was stopped
	 * for a while. They are in the kernel's table. At most once in some seconds. */
	void (*missed)(void *ctx);
	/* One of the *_since in the status changed between 0 and a time. */
	void (*changed)(void *ctx);
	/* Another process changed our kernel state. what: "net.ipv4.vs.sync_version", the
	 * interface's name, "backup sync thread"...; was: "was set to 0"; r: 0, it was put back, or
	 * the negative errno of trying. */
	void (*put_back)(void *ctx, const char *what, const char *was, int r);
};

struct io_tap_options {
	uv_loop_t *loop;
	const char *interface;
	struct tap_net net;
	unsigned int prefix; /* of the subnet of own and peer */
	uint8_t syncid;
	uint32_t receive_size; /* asked for the backup's socket, bytes; net.core.rmem_max bounds it
				*/
	uint16_t port; /* our own streams' and gossip's: no reason to look at IPVS; 0: none */
	const char *state_dir; /* where the former settings are kept; exists */
	struct io_tap_callbacks callbacks;
	void *node_ctx; /* of captured, late, captured_all, confirmed and lost */
	void *ctx;      /* of all other callbacks */
};

/* Fills in the defaults: all but loop, state_dir, callbacks and their contexts. */
void io_tap_options_init(struct io_tap_options *options);

struct io_tap;

/* options' strings are copied. 0, or a negative errno, nothing left behind, and a sentence for the
 * operator, with the command that helps. Takes some milliseconds. */
int io_tap_open(const struct io_tap_options *options, struct io_tap **ret_tap, struct fault *fault);

/* Undoes everything at once, then calls done(ctx) from the loop; the tap is freed by then, and no
 * other callback comes any more. done may be NULL. Messages that the kernel has not sent or taken
 * yet are lost. */
void io_tap_close(struct io_tap *tap, void (*done)(void *ctx), void *ctx);

/* There is something to pull. Cheap; may be called from callbacks. */
void io_tap_kick(struct io_tap *tap);
/* confirmed() is waited for: as soon as can be, and not when it costs least. Likewise. */
void io_tap_hurry(struct io_tap *tap);

struct io_tap_status {
	uint64_t captured_messages, captured_entries;
	uint64_t own_messages;       /* of the probe services */
	uint64_t foreign_packets;    /* IGMP and the like */
	uint64_t refused[TAP_E_MAX]; /* packets, by enum tap_error */
	uint64_t capture_drops;      /* packets that the kernel dropped because we did not read */

	uint64_t injected_messages, injected_entries; /* again counts again */
	uint64_t inject_drops;                        /* messages dropped by the kernel */
	uint64_t inject_retries;                      /* times that lost() was called */
	uint64_t write_errors;

	uint64_t beats, echoes;
	usec_t stalled_since; /* IPVS does not forward; uv_now() in us; 0: it does */
	usec_t silent_since;  /* the master thread sends nothing */
	usec_t blocked_since; /* the backup thread takes nothing */
	usec_t unseen_since;  /* injected entries do not arrive in the kernel's table */
	bool injects;         /* something that was injected has been seen there */
	uint64_t thread_restarts;

	/* False for want of CAP_NET_RAW: then an idle tap looks at IPVS each few ms, and costs
	 * more. */
	bool guarded; /* other users of this host can't inject through the tap */
	bool woken_by_packets;
	uint64_t wakes;

	uint32_t table_size; /* buckets of the connection table */
	bool table_small;
};

void io_tap_status(const struct io_tap *tap, struct io_tap_status *ret_status);
/* Of struct io_tap_status; the second of its `refused`. */
extern const struct counter_table io_tap_counters, io_tap_packet_counters;

#endif
