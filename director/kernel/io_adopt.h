/* Adoption: reads the kernel's connections, once, in pieces and off the loop: at start this list
 * alone shows the connections that the kernel carried meanwhile. */
#ifndef DIRECTOR_KERNEL_IO_ADOPT_H
#define DIRECTOR_KERNEL_IO_ADOPT_H

#include <uv.h>

#include "director/service/kernel_conns.h"

struct io_adopt;

struct io_adopt_options {
	uv_loop_t *loop;
	const char *path; /* /proc/net/ip_vs_conn */
	/* After each piece it rests so many times as long as the kernel took for it: the kernel's
	 * time grows with the table, and only the rests bound its share. */
	unsigned int rest;
	void *context;
	void (*entry)(void *context, const struct entry *entry);
	/* A line was left out: enum kernel_conns_error. */
	void (*refused)(void *context, int error);
	/* The end, once; error 0 or a negative errno. The io_adopt is freed. */
	void (*done)(void *context, int error);
};

/* 0, or a negative errno: then done() is not called. */
int io_adopt_start(const struct io_adopt_options *options, struct io_adopt **ret_adopt);

/* Ends it early, with done() and -ECANCELED. */
void io_adopt_cancel(struct io_adopt *adopt);

#endif
