/* One program: started, watched, ended with its whole process group. It is started by a thread of
 * libuv's with posix_spawn(), which copies no page tables: fork() would take as long as the daemon
 * is large, and even posix_spawn() waits until the program runs.
 *
 * The program has a process group of its own, all signals at their defaults, /dev/null as standard
 * input, no descriptor but its standard ones, 1,024 descriptors at most unless it raises that
 * itself, and no protection from the OOM killer. */
#ifndef DIRECTOR_CHECKER_IO_PROGRAM_H
#define DIRECTOR_CHECKER_IO_PROGRAM_H

#include <uv.h>

#include "director/checker/deadlines.h"
#include "director/io_watch.h"

#define IO_PROGRAM_OUTPUT (64 * 1024) /* bytes that it may print */
#define IO_PROGRAM_LINE 100           /* bytes kept of the first line */
#define IO_PROGRAM_GRACE USEC_PER_SEC /* from SIGTERM to SIGKILL */

struct io_program;

struct io_program_options {
	uv_loop_t *loop;
	struct io_watch_set *watches;
	struct deadlines *deadlines;            /* for the grace */
	char *const *argv, *const *environment; /* copied */
	/* All from the loop. At most one of the first three is called, once; and gone() last: the
	 * process is reaped or never was, and the program may be freed, but not before the watches'
	 * turn is over. None is called after io_program_abandon(), but gone(). */
	void (*failed)(void *context, int error); /* it did not start: a positive errno */
	/* status: as waitpid()'s */
	void (*exited)(void *context, int status, const char *line);
	void (*flooded)(void *context); /* it printed more than IO_PROGRAM_OUTPUT, and was killed */
	void (*gone)(void *context);
	void *context;
};

/* 0, or -ENOMEM: nothing is called. */
int io_program_start(const struct io_program_options *options, struct io_program **ret_program);

/* Its end is of no interest any more: SIGTERM, after IO_PROGRAM_GRACE SIGKILL. */
void io_program_abandon(struct io_program *program);

/* The daemon ends: SIGKILL, and the process is left for init to reap. True: gone() was not called
 * and will be, from the loop, because a thread is starting it just now. */
bool io_program_drop(struct io_program *program);

void io_program_free(struct io_program *program);

/* A signal ended it, or is about to. */
bool io_program_killed(const struct io_program *program);

#endif
