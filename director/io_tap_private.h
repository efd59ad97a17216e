/* What the files of io_tap share. */
#ifndef DIRECTOR_IO_TAP_PRIVATE_H
#define DIRECTOR_IO_TAP_PRIVATE_H

#include <limits.h>

#include "director/io_tap.h"
#include "director/io_tap_guard.h"
#include "director/io_tap_wake.h"
#include "director/ipvs_daemon.h"
#include "director/vs_sysctl.h"
#include "sync/metronome.h"
#include "sync/pace.h"

#define TAP_SETTINGS 12

struct io_tap {
	struct io_tap_options options;
	char interface[IFNAMSIZ];
	struct vs_sysctl settings[TAP_SETTINGS];
	size_t settings_count;
	char save_path[PATH_MAX];
	struct ipvs_daemon *daemon;
	struct ipvs_daemon_probe probe;

	int fd;        /* the TUN */
	int stats_fd;  /* /proc/net/ip_vs_stats_percpu */
	int socket_fd; /* /proc/net/udp */
	int device_fd; /* /proc/net/dev */

	struct metronome metronome;
	struct pace pace;
	unsigned int captured; /* entries since the last beat */
	usec_t last_beat;
	usec_t next_observe; /* of the backup's queue, where the pace does not wait for it */
	bool hurry;          /* the next one is waited for */
	usec_t next_repair, next_look, next_missed;
	usec_t seen;       /* then there was nothing to read */
	bool late;         /* we slept, and what is read was sent meanwhile */
	bool last;         /* of that there may be one message more, */
	usec_t late_until; /* until then */
	bool missed;       /* and not said yet */
	bool behind;       /* there is more to read than was read in one turn */
	bool deaf;         /* packets were dropped since the last beat */
	bool was_stalled, was_silent, was_blocked;
	struct io_tap_status status;

	struct io_tap_wake wake;
	usec_t woken_at; /* 0: by no packet since it was armed */
	usec_t hold;     /* how long it stays awake after a packet */
	usec_t awake_until;

	uv_poll_t readable;
	uv_timer_t beat, pump;
	uv_timer_t rest; /* runs: readable is not watched */
	unsigned int handles;
	void (*done)(void *ctx);
	void *done_ctx;
};

/* io_tap_setup.c: everything in the kernel. */
int io_tap_setup(struct io_tap *tap, char *error);
void io_tap_undo(struct io_tap *tap);
/* Stops both threads and starts them anew. */
int io_tap_restart_threads(struct io_tap *tap);
/* The backup socket's queue and drops: 0, -ENOENT: there is none. */
int io_tap_look(struct io_tap *tap, uint32_t *ret_queue, uint32_t *ret_drops);

/* io_tap_run.c: what the loop calls. */
void io_tap_on_readable(uv_poll_t *readable, int status, int events);
void io_tap_on_rest(uv_timer_t *rest);
void io_tap_on_beat(uv_timer_t *beat);
void io_tap_on_pump(uv_timer_t *pump);
void io_tap_on_wake(void *ctx);

#endif
