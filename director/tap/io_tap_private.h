/* Shared by the files of io_tap. */
#ifndef DIRECTOR_TAP_IO_TAP_PRIVATE_H
#define DIRECTOR_TAP_IO_TAP_PRIVATE_H

#include <limits.h>

#include "director/kernel/ipvs_daemon.h"
#include "director/kernel/vs_sysctl.h"
#include "director/tap/inject_probe.h"
#include "director/tap/io_tap.h"
#include "director/tap/io_tap_guard.h"
#include "director/tap/io_tap_wake.h"
#include "director/tap/metronome.h"
#include "director/tap/pace.h"

#define TAP_SETTINGS 12

/* Services of our own: one for the metronome's packets; one that no packet reaches, so that the
 * kernel counts only injected entries. */
enum {
	TAP_SERVICE_BEAT,
	TAP_SERVICE_INJECT,
	TAP_SERVICES,
};

struct io_tap {
	struct io_tap_options options;
	char interface[IFNAMSIZ];
	struct vs_sysctl settings[TAP_SETTINGS];
	size_t settings_count;
	char save_path[PATH_MAX];
	struct ipvs_daemon *daemon;
	struct ipvs_daemon_probe services[TAP_SERVICES];

	int fd;             /* the TUN; -1: it was deleted, and is not made anew yet */
	unsigned int index; /* of the interface */
	int guards;         /* filters on it */
	int stats_fd;       /* /proc/net/ip_vs_stats_percpu */
	int socket_fd;      /* /proc/net/udp */
	int device_fd;      /* /proc/net/dev */

	struct metronome metronome;
	struct pace pace;
	struct inject_probe inject_probe;
	bool held; /* the pace has confirmed, and a probe has to before more is injected */
	unsigned int captured; /* entries since the last beat */
	usec_t last_beat;
	usec_t next_observe; /* of the backup's queue, if the pace does not wait for it */
	bool hurry;          /* the next one is waited for */
	usec_t next_repair, next_look, next_missed, next_keep;
	usec_t seen;           /* then there was nothing to read */
	bool late;             /* we stalled, and read the backlog */
	bool last;             /* of that there may be one message more, */
	usec_t late_until;     /* until then */
	uint64_t device_drops; /* as the interface counts them */
	bool missed;           /* and not said yet */
	bool behind;           /* there is more to read than was read in one turn */
	bool rx_dropped;       /* packets were dropped since the last beat */
	bool was_stalled, was_silent, was_blocked, was_unseen;
	struct io_tap_status status;

	struct io_tap_wake wake;
	usec_t woken_at; /* 0: by no packet since it was armed */
	usec_t hold;     /* how long it stays awake after a packet */
	usec_t awake_until;

	uv_poll_t *readable; /* NULL: there is no TUN */
	uv_timer_t beat, pump;
	uv_timer_t batch_timer; /* runs: readable is not watched */
	unsigned int handles;
	void (*done)(void *ctx);
	void *done_ctx;
};

/* io_tap.c: the loop looks at the TUN; before its descriptor is closed, no more. */
int io_tap_watch(struct io_tap *tap);
void io_tap_unwatch(struct io_tap *tap);

/* io_tap_setup.c: everything in the kernel. */
int io_tap_setup(struct io_tap *tap, struct fault *fault);
void io_tap_undo(struct io_tap *tap);
/* Stops both threads and starts them anew. */
int io_tap_restart_threads(struct io_tap *tap);
int io_tap_stop_threads(struct io_tap *tap);
/* Keeps other users of this host away from the interface; 0, or negative errno: not. */
int io_tap_protect(struct io_tap *tap);

/* io_tap_queue.c. The backup socket's queue and drops: 0, -ENOENT: there is none. */
int io_tap_queue_read(struct io_tap *tap, uint32_t *ret_queue, uint32_t *ret_drops);
/* The kernel's drops at the TUN because we did not read. Likewise. */
int io_tap_capture_drops(struct io_tap *tap, uint64_t *ret_drops);
/* The port from which the master thread sends, into options.net. Likewise. */
int io_tap_find_master(struct io_tap *tap);

/* io_tap_run.c: callbacks of the loop. */
void io_tap_on_readable(uv_poll_t *readable, int status, int events);
void io_tap_batch_due(uv_timer_t *timer);
void io_tap_on_beat(uv_timer_t *beat);
void io_tap_on_pump(uv_timer_t *pump);
void io_tap_on_wake(void *ctx);
/* Starts both threads anew; messages that the old backup had not taken are lost with its socket.
 * False: they don't run. */
bool io_tap_begin_again(struct io_tap *tap);

bool io_tap_put(struct io_tap *tap, const uint8_t *packet, size_t len);

/* io_tap_confirm.c: sends probes when they are due and looks at those under way; called often. */
void io_tap_probe_injection(struct io_tap *tap, usec_t now);
/* All that was pulled has left the backup thread's queue. True: it may be confirmed; false: that is
 * done, or it is injected again, when the next probe has its verdict. */
bool io_tap_confirm(struct io_tap *tap, usec_t now);

/* io_tap_keep.c: puts back foreign changes, every few seconds; called often. */
void io_tap_keep(struct io_tap *tap, usec_t now);

#endif
