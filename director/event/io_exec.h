/* Runs the operator's program for each event of a log, on libuv: one at a time, the event as a line
 * of JSON on its standard input, killed with its whole process group when it takes too long. Its
 * output is kept up to IO_EXEC_OUTPUT bytes, further writes fail; the first line of a program that
 * failed is logged.
 *
 * There is no queue but a cursor in the log: the log bounds the events that wait, and events that
 * it no longer keeps are counted as lost. */
#ifndef DIRECTOR_EVENT_IO_EXEC_H
#define DIRECTOR_EVENT_IO_EXEC_H

#include <uv.h>

#include "director/event/event_log.h"

struct io_exec;

#define IO_EXEC_OUTPUT (64 * 1024)

/* log is borrowed. 0 or -ENOMEM. */
int io_exec_open(uv_loop_t *loop, const struct event_log *log, uint64_t timeout_ms,
		 struct io_exec **ret_exec);

/* argv: copied, with a NULL behind it; NULL: run nothing. One that is on from now gets the events
 * from now on. 0, or -ENOMEM: the former setting stays. */
int io_exec_config(struct io_exec *exec, char *const *argv);

/* The log has something new. */
void io_exec_kick(struct io_exec *exec);

/* Nothing runs and nothing waits. */
bool io_exec_idle(const struct io_exec *exec);

struct io_exec_counts {
	uint64_t done;      /* exited with 0 */
	uint64_t failed;    /* not started, another exit status, or a signal */
	uint64_t timed_out; /* of those, killed by us */
	uint64_t lost;      /* events that the log no longer keeps */
};

void io_exec_counts(const struct io_exec *exec, struct io_exec_counts *ret_counts);

/* Kills a running program; done is called once when nothing is left, and exec is freed. */
void io_exec_close(struct io_exec *exec, void (*done)(void *context), void *context);

#endif
