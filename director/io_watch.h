/* Descriptors by the thousand in a loop of libuv. They share one epoll instance, which is itself
 * one descriptor of the loop, so a turn of the loop handles IO_WATCH_TURN of them at most, begins
 * none after IO_WATCH_TURN_TIME, and everything else has its turn in between: libuv itself would
 * handle all that are ready first. */
#ifndef DIRECTOR_IO_WATCH_H
#define DIRECTOR_IO_WATCH_H

#include <sys/epoll.h>
#include <uv.h>

#include "proto/base.h"

#define IO_WATCH_TURN 32
#define IO_WATCH_TURN_TIME USEC_PER_MSEC

/* Part of the thing that has the descriptor. */
struct io_watch {
	int fd; /* -1: none */
	/* events: EPOLLIN and so on. May close this watch and any other, but the memory of a watch
	 * must stay until turned(). */
	void (*ready)(struct io_watch *watch, uint32_t events);
};

struct io_watch_set {
	int epoll;
	bool turning; /* ready() is being called */
	uv_poll_t poll;
	void (*turned)(struct io_watch_set *set); /* after each turn's ready() */
	void (*closed)(struct io_watch_set *set);
};

/* 0, or a negative errno. */
int io_watch_set_open(struct io_watch_set *set, uv_loop_t *loop,
		      void (*turned)(struct io_watch_set *set));
/* All watches are closed before. closed: once, from the loop. */
void io_watch_set_close(struct io_watch_set *set, void (*closed)(struct io_watch_set *set));

/* Takes over fd and waits for events, level-triggered. 0, or a negative errno: fd is still the
 * caller's. */
int io_watch_start(struct io_watch_set *set, struct io_watch *watch, int fd, uint32_t events,
		   void (*ready)(struct io_watch *watch, uint32_t events));
/* 0, or a negative errno. */
int io_watch_change(struct io_watch_set *set, struct io_watch *watch, uint32_t events);
/* Waits no more; its descriptor stays open. */
void io_watch_stop(struct io_watch_set *set, struct io_watch *watch);
/* The same, and closes it. One that has no descriptor is left alone. */
void io_watch_close(struct io_watch_set *set, struct io_watch *watch);

#endif
