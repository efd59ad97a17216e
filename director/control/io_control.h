/* The control socket, on libuv: one request and its answer a connection, at most
 * IO_CONTROL_CLIENTS at once; control.h has the requests, control_answer.h the answers. A client
 * that neither asks nor reads is closed after IO_CONTROL_TIMEOUT_MS; one that follows the events
 * may wait as long as it likes, but only IO_CONTROL_FOLLOWERS do at once. A client gets at most
 * IO_CONTROL_PIECE bytes a turn of the loop, a quarter of a millisecond's work.
 *
 * No client locks the operator out: when all places are taken, a new connection evicts an idle one,
 * which has not asked yet or has not read for IO_CONTROL_STALLED_MS, of the process that holds the
 * most places. A request whose client has gone is dropped, not carried out. */
#ifndef DIRECTOR_CONTROL_IO_CONTROL_H
#define DIRECTOR_CONTROL_IO_CONTROL_H

#include <uv.h>

#include "director/control/control_answer.h"
#include "proto/fault.h"

struct io_control;

#define IO_CONTROL_CLIENTS 16
#define IO_CONTROL_FOLLOWERS 8
#define IO_CONTROL_TIMEOUT_MS 10000
#define IO_CONTROL_STALLED_MS 1000
#define IO_CONTROL_ACCEPTS 4 /* connections taken in one turn of the loop */
#define IO_CONTROL_PIECE (16 * 1024)

/* Makes the socket, mode 0600, and its directory. source is copied. 0, or a negative errno and a
 * sentence: -EADDRINUSE when another daemon answers there. */
int io_control_open(uv_loop_t *loop, const char *path, const struct control_source *source,
		    struct io_control **ret_control, struct fault *fault);

/* There are new events for those that follow them. */
void io_control_wake(struct io_control *control);

/* Clients and the socket are closed; done is called once when nothing is left, and control is
 * freed. */
void io_control_close(struct io_control *control, void (*done)(void *context), void *context);

/* Requests refused, by enum control_error. */
const uint64_t *io_control_refused(const struct io_control *control);

#endif
